"""Give machines a key to the API, and take it away again."""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from integrations.models import ApiKey
from omni.kernel.audit import record_act
from omni.kernel.errors import BadInput

SCOPES = frozenset(
    {
        "orders:read",
        "orders:write",
        "products:read",
        "products:write",
        "listings:approve",
        "prices:read",
        "prices:write",
        "prices:approve",
        "stock:read",
        "stock:write",
        "holds:write",
        "quotas:write",
        "shipments:read",
        "shipments:write",
    }
)
ALPHABET = string.ascii_letters + string.digits
PREFIX_LENGTH = 10
PREFIX = re.compile(rf"[A-Za-z0-9]{{{PREFIX_LENGTH}}}", re.ASCII)
SECRET_LENGTH = 40  # 238 bits: a slow hash would protect nothing
USED_EVERY = timedelta(minutes=1)


class UnknownScope(BadInput):
    """A scope was named that no endpoint asks for."""

    code = "unknown_scope"


class AlreadyIssued(BadInput):
    """A key with this prefix was issued before; its secret cannot be read again."""

    code = "already_issued"


class ExpiresAtOnce(BadInput):
    """The key would be expired before anybody could use it."""

    code = "expires_at_once"


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """`text` is the whole key, to be shown to the person who asked for it; it cannot be read again."""

    key_id: int
    text: str

    def __repr__(self) -> str:
        return f"IssuedKey(key_id={self.key_id})"


@transaction.atomic
def issue_key(
    *,
    name: str,
    scopes: Sequence[str],
    at: datetime,
    by: str,
    shop_ids: Sequence[int] = (),
    expires_at: datetime | None = None,
    prefix: str = "",
) -> IssuedKey:
    """Make a key with these scopes, for these shops (none: for every shop). Every call makes a new one.

    `prefix`: a `new_prefix()` made beforehand, so that a form sent twice issues one key.

    Raises UnknownScope, ExpiresAtOnce, AlreadyIssued.
    """
    if unknown := sorted(set(scopes) - SCOPES):
        raise UnknownScope(
            _("There is no scope %(scopes)s.") % {"scopes": ", ".join(unknown)},
            fields={"scopes": [_("Known scopes: %(scopes)s.") % {"scopes": ", ".join(sorted(SCOPES))}]},
        )
    if expires_at is not None and expires_at <= at:
        raise ExpiresAtOnce(_("A key cannot expire in the past."), fields={"expires_at": [_("in the past")]})
    if prefix and not PREFIX.fullmatch(prefix):
        raise BadInput(_("A prefix is ten letters and digits."), fields={"prefix": [_("not a prefix")]})
    prefix, secret = prefix or new_prefix(), _random_text(SECRET_LENGTH)
    try:
        with transaction.atomic():
            key = ApiKey.objects.create(
                name=name,
                prefix=prefix,
                secret_hash=hash_secret(secret),
                scopes=sorted(set(scopes)),
                expires_at=expires_at,
                created_by=by,
                created_at=at,
            )
    except IntegrityError:
        raise AlreadyIssued(
            _("This key was issued already; it was shown then and cannot be read again.")
        ) from None
    key.shops.set(shop_ids)
    detail = {
        "scopes": key.scopes,
        "shops": sorted(shop_ids),
        "expires_at": expires_at.isoformat() if expires_at else None,
    }
    record_act(by=by, action="api_key.issued", subject=key, detail=detail)
    return IssuedKey(key_id=key.pk, text=f"omk_{prefix}_{secret}")


@transaction.atomic
def revoke_key(*, key_id: int, at: datetime, by: str, reason: str = "") -> bool:
    """Take a key away, at once and for good. False: it was revoked before."""
    key = ApiKey.objects.select_for_update().get(pk=key_id)
    if key.revoked_at is not None:
        return False
    key.revoked_at = at
    key.save(update_fields=["revoked_at"])
    record_act(by=by, action="api_key.revoked", subject=key, reason=reason)
    return True


def new_prefix() -> str:
    """A prefix that no key has yet."""
    return _random_text(PREFIX_LENGTH)


def note_use(*, key: ApiKey, at: datetime) -> None:
    """Remember that a key is in use, once a minute and not per request: the row would become a hot spot."""
    oldest = at - USED_EVERY
    if key.last_used_at is not None and key.last_used_at > oldest:
        return
    unnoted = Q(last_used_at__isnull=True) | Q(last_used_at__lte=oldest)
    ApiKey.objects.filter(unnoted, pk=key.pk).update(last_used_at=at)


def hash_secret(secret: str) -> bytes:
    """What is stored instead of the secret."""
    return hashlib.sha256(secret.encode()).digest()


def _random_text(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))

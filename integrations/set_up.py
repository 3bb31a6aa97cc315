"""Set up a connection, and change how it is set up: who, when and why is recorded, the credentials never shown."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from integrations.contract import Description
from integrations.models import Connection
from integrations.registry import describe, known_settings
from omni.kernel.audit import record_act
from omni.kernel.errors import BadInput


class BadConnection(BadInput):
    """The adapter cannot work with this; `fields` says what is at fault, `credentials.secret` and so on."""

    code = "bad_connection"


class AlreadyConnected(BadInput):
    """The code is taken, or the shop or location has a connection already."""

    code = "already_connected"


class NewAddressNeedsCredentials(BadInput):
    """Stored credentials are never sent to another server than the one that they were given for."""

    code = "new_address_needs_credentials"


@dataclass(frozen=True, slots=True)
class NewConnection:
    """`shop_id` for a channel, `location_id` for a warehouse. `pulls_since`: orders from before are left alone."""

    code: str
    kind: str
    adapter: str
    base_url: str
    credentials: Mapping[str, str]
    settings: Mapping[str, Any]
    shop_id: int | None = None
    location_id: int | None = None
    pulls_since: datetime | None = None


@transaction.atomic
def create_connection(*, wanted: NewConnection, at: datetime, by: str, reason: str) -> int:
    """Make a connection that runs at once. Returns its id.

    Raises UnknownAdapter, BadConnection, AlreadyConnected.
    """
    connection = Connection(
        code=wanted.code,
        kind=wanted.kind,
        adapter=wanted.adapter,
        shop_id=wanted.shop_id,
        location_id=wanted.location_id,
        base_url=wanted.base_url.strip(),
        credentials=_filled(wanted.credentials),
        settings=dict(wanted.settings),
        pulls_since=wanted.pulls_since or at,
    )
    _check(connection)
    try:
        with transaction.atomic():
            connection.save(force_insert=True)
    except IntegrityError:
        raise _already_connected(wanted) from None
    detail = {"adapter": wanted.adapter, "credentials": sorted(connection.credentials)}
    record_act(by=by, action="connection.created", subject=connection, reason=reason, detail=detail)
    return connection.pk


@transaction.atomic
def change_connection(
    *,
    connection_id: int,
    base_url: str,
    credentials: Mapping[str, str],
    settings: Mapping[str, Any],
    is_active: bool,
    at: datetime,
    by: str,
    reason: str,
    forget: Collection[str] = (),
) -> list[str]:
    """Change what may change. `credentials`: the new ones; an empty or missing one keeps what is stored, unless it is
    named in `forget`. `settings` take the place of the old ones.

    Returns the names of what changed (`base_url`, `credentials.secret`, `settings.owner_code`, …); none: nothing was
    written. Raises BadConnection, NewAddressNeedsCredentials.
    """
    connection = Connection.objects.select_for_update().get(pk=connection_id)
    stored = dict(connection.credentials)
    kept = {name: value for name, value in stored.items() if name not in forget}
    given = _filled(credentials)
    wanted: dict[str, Any] = {
        "base_url": base_url.strip(),
        "credentials": kept | given,
        "settings": dict(settings),
        "is_active": is_active,
    }
    if _origin(wanted["base_url"]) != _origin(connection.base_url) and (
        unsaid := sorted(set(kept) - set(given))
    ):
        raise NewAddressNeedsCredentials(
            _("At another address the credentials must be typed in again: they were given for the old one."),
            fields={f"credentials.{name}": [_("Type it in again.")] for name in unsaid},
        )
    changed = _differences(connection, wanted)
    if not changed:
        return []
    for name, value in wanted.items():
        setattr(connection, name, value)
    _check(connection)
    connection.save(update_fields=list(wanted))
    record_act(
        by=by, action="connection.changed", subject=connection, reason=reason, detail={"changed": changed}
    )
    return changed


def missing_credentials(connection: Connection) -> list[str]:
    """The names of the credentials without which the adapter cannot work; none: they are complete.

    Raises UnknownAdapter.
    """
    return _missing(describe(connection), connection.credentials)


def _check(connection: Connection) -> None:
    faults: dict[str, list[str]] = {}
    if not _origin(connection.base_url):
        faults["base_url"] = [_("It must begin with https:// (or http:// on this machine) and name a host.")]
    # One that is switched off may wait for what it still needs.
    for name in missing_credentials(connection) if connection.is_active else ():
        faults[f"credentials.{name}"] = [_("The adapter needs it.")]
    for need in known_settings(connection) if connection.is_active else ():
        if need.is_required and _setting(connection.settings, need.name) in ("", None):
            faults[f"settings.{need.name}"] = [_("The adapter needs it.")]
    if faults:
        raise BadConnection(_("So the connection could not work."), fields=faults)


def _missing(description: Description, credentials: Mapping[str, Any]) -> list[str]:
    lacking = [
        ([name for name in names if not credentials.get(name)], len(names))
        for names in description.credential_sets
    ]
    # Of several ways to sign in, the one that lacks least; of those, the one that has been begun.
    return min(lacking, key=lambda way: (len(way[0]), len(way[0]) - way[1]), default=([], 0))[0]


def _setting(settings: Mapping[str, Any], name: str) -> Any:
    found: Any = settings
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _filled(credentials: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in credentials.items() if value}


def _origin(address: str) -> tuple[str, str, int | None] | None:
    """To whom an address sends; None: it is no address, or carries a password."""
    try:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            return None
        return parts.scheme, parts.hostname, parts.port
    except ValueError:
        return None


def _differences(connection: Connection, wanted: Mapping[str, Any]) -> list[str]:
    changed = [name for name in ("base_url", "is_active") if getattr(connection, name) != wanted[name]]
    for column in ("credentials", "settings"):
        before, after = getattr(connection, column), wanted[column]
        names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
        changed += [f"{column}.{name}" for name in names]
    return changed


def _already_connected(wanted: NewConnection) -> AlreadyConnected:
    if Connection.objects.filter(code=wanted.code).exists():
        return AlreadyConnected(_("The code is taken."), fields={"code": [_("The code is taken.")]})
    place = "shop" if wanted.shop_id else "location"
    text = _("It has a connection already.")
    return AlreadyConnected(text, fields={place: [text]})

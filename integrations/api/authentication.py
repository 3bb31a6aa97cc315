"""Let machines in by their API key."""

from __future__ import annotations

import hmac
import re
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from integrations.keys import hash_secret, note_use
from integrations.models import ApiKey
from omni.kernel.actors import actor
from omni.kernel.sql import fetch_models

KEY = re.compile(r"omk_([A-Za-z0-9]{1,16})_([A-Za-z0-9]{1,128})", re.ASCII)


class Machine(AnonymousUser):
    """Whoever holds a key: nobody in the user table, but somebody who can be named in `by`."""

    def __init__(self, key: ApiKey) -> None:
        super().__init__()
        self.actor = actor("key", key.pk)

    def __str__(self) -> str:
        return self.actor


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer omk_<prefix>_<secret>`.

    Sets `request.auth` to the ApiKey, with `scopes` and `shop_ids` (empty: every shop), and `request.user` to a
    Machine. Without the header the next way of authentication is tried; with a wrong key the answer is 401.
    """

    def authenticate(self, request: Request) -> tuple[Machine, Any] | None:
        word, _space, text = request.headers.get("Authorization", "").partition(" ")
        if word.lower() != "bearer":
            return None
        found = KEY.fullmatch(text.strip())
        key = _find_key(found[1]) if found else None
        # One sentence for every reason: which part of a key is right is nobody's business.
        if not found or not key or not hmac.compare_digest(bytes(key.secret_hash), hash_secret(found[2])):
            raise AuthenticationFailed(_("The API key is not valid."))
        note_use(key=key, at=timezone.now())
        return Machine(key), key

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def _find_key(prefix: str) -> ApiKey | None:
    """The key with this prefix, with its `shop_ids`, if it is neither revoked nor expired."""
    found = fetch_models(
        ApiKey,
        "WHERE t.prefix = %s AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > %s)",
        [prefix, timezone.now()],
        also={
            "shop_ids": "ARRAY(SELECT s.shop_id FROM integrations_apikey_shops s WHERE s.apikey_id = t.id)"
        },
    )
    return found[0] if found else None


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the schema describes it."""

    target_class = ApiKeyAuthentication
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "omk_<prefix>_<secret>"}

"""Speaks JSON to the peer's HTTP interface with the standard library alone.

Nothing here is shared with the adapter under test: what the adapter misunderstands, this must not repeat.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


class Refused(Exception):
    """The peer answered with a status that is no success."""

    def __init__(self, *, method: str, path: str, status: int, body: str) -> None:
        super().__init__(f"{method} {path}: {status} {body[:500]}")
        self.status = status
        self.body = body


class Api:
    """One base address and the headers that every request to it carries."""

    def __init__(self, *, base_url: str, headers: Mapping[str, str] | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        self.headers = dict(headers or {})

    def get(self, path: str, **query: Any) -> Json:
        return self._send(
            method="GET", path=path + ("?" + urllib.parse.urlencode(query, doseq=True) if query else "")
        )

    def post(self, path: str, body: Json | None = None) -> Json:
        return self._send(method="POST", path=path, body={} if body is None else body)

    def delete(self, path: str) -> Json:
        return self._send(method="DELETE", path=path)

    def _send(self, *, method: str, path: str, body: Json | None = None) -> Json:
        request = urllib.request.Request(
            self.base_url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **self.headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as refused:
            raise Refused(
                method=method, path=path, status=refused.code, body=refused.read().decode(errors="replace")
            ) from None
        found: Json = json.loads(text) if text else {}
        return found


def open_admin(*, base_url: str, email: str, password: str) -> Api:
    """The admin interface, signed in."""
    token = Api(base_url=base_url).post("/auth/user/emailpass", {"email": email, "password": password})[
        "token"
    ]
    return Api(base_url=base_url, headers={"Authorization": f"Bearer {token}"})


def open_store(*, base_url: str, publishable_key: str) -> Api:
    """The public shop interface, as a browser of the shop uses it."""
    return Api(base_url=base_url, headers={"x-publishable-api-key": publishable_key})

"""Signed-in requests to Medusa's admin interface; every refusal comes out as one of the contract's two errors."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from integrations.contract import ChannelRejected, ChannelUnavailable
from omni.kernel.http import HttpAnswer, HttpClient, HttpFailed


class ServerSilent(ChannelUnavailable):
    """There was no answer at all, so asking for the next thing is as useless as this was."""


class MedusaSession:
    """Signs in when it must, with `{"api_key"}` or `{"email", "password"}`.

    A token lives for a day; one that Medusa no longer takes is renewed once, then the refusal stands.
    """

    def __init__(self, *, base_url: str, credentials: Mapping[str, str], http: HttpClient) -> None:
        self._base_url = base_url.rstrip("/")
        self._credentials = credentials
        self._http = http
        self._token = ""

    def read(self, path: str, *, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        """GET. Raises ChannelUnavailable, ChannelRejected."""
        return self._ask(method="GET", path=path, params=params, body=None)

    def write(self, path: str, *, body: Mapping[str, Any], fields: str = "id") -> dict[str, Any]:
        """POST. `fields`: the little of the answer that is wanted; Medusa sends the whole object without it.

        Raises ChannelUnavailable, with `is_unknown_outcome` when it may have taken effect; ChannelRejected.
        """
        return self._ask(method="POST", path=path, params={"fields": fields}, body=body)

    def _ask(
        self, *, method: str, path: str, params: Mapping[str, str] | None, body: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        answer = self._send(method=method, path=path, params=params, body=body, headers=self._authorisation())
        if answer.status == 401 and self._token:
            self._token = ""
            answer = self._send(
                method=method, path=path, params=params, body=body, headers=self._authorisation()
            )
        return _understand(answer, is_write=method != "GET")

    def _authorisation(self) -> dict[str, str]:
        if key := self._credentials.get("api_key"):
            # A secret API key is the user name of HTTP Basic, with an empty password.
            return {"Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()}
        if not self._token:
            answer = self._send(
                method="POST",
                path="/auth/user/emailpass",
                params=None,
                body={name: self._credentials.get(name, "") for name in ("email", "password")},
                headers={},
            )
            # A second factor or another provider answers without a token: that is for a person to mend.
            self._token = str(_understand(answer, is_write=False).get("token") or "")
            if not self._token:
                raise ChannelRejected("Medusa gave no token for this user", code="no_token", is_auth=True)
        return {"Authorization": f"Bearer {self._token}"}

    def _send(
        self,
        *,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        headers: Mapping[str, str],
    ) -> HttpAnswer:
        try:
            return self._http.send(
                method=method,
                url=self._base_url + path,
                params=params,
                headers={"Accept": "application/json", "Content-Type": "application/json", **headers},
                content=None if body is None else json.dumps(body, ensure_ascii=False).encode(),
            )
        except HttpFailed as failed:
            is_write = method != "GET"
            raise ServerSilent(failed.detail, is_unknown_outcome=is_write and failed.was_sent) from failed


def _understand(answer: HttpAnswer, *, is_write: bool) -> dict[str, Any]:
    if answer.status == 429:
        raise ChannelUnavailable(
            "Medusa was asked too often", retry_seconds=_retry_after(answer), is_throttled=True
        )
    # 409: another request holds the lock on the same order or cart; Medusa's own word is to repeat it.
    if answer.status >= 500 or answer.status in (408, 409, 423, 425):
        raise ChannelUnavailable(
            f"{answer.status}: {_message(answer)}",
            retry_seconds=_retry_after(answer),
            is_unknown_outcome=is_write and answer.status >= 500,
        )
    if not 200 <= answer.status < 300:
        raise ChannelRejected(_message(answer), code=_code(answer), is_auth=answer.status in (401, 403))
    found = _json(answer)
    if found is None:
        # A proxy's page in front of the shop, most often while it is being deployed.
        raise ChannelUnavailable(
            f"not an answer of Medusa: {answer.text()[:200]}", is_unknown_outcome=is_write
        )
    return found


def _json(answer: HttpAnswer) -> dict[str, Any] | None:
    try:
        found = answer.json()
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _message(answer: HttpAnswer) -> str:
    return str((_json(answer) or {}).get("message") or answer.text()[:200])


def _code(answer: HttpAnswer) -> str:
    found = _json(answer) or {}
    return str(found.get("type") or found.get("code") or f"http_{answer.status}")


def _retry_after(answer: HttpAnswer) -> int | None:
    value = str(answer.headers.get("retry-after") or "")
    return int(value) if value.isdigit() else None

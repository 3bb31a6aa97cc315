"""One signed call to the TOP gateway, and what its answer means: later, never, or the data."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, cast
from urllib.parse import urlencode

from integrations.channels.top.signing import SignMethod, sign_parameters
from integrations.channels.top.translate import CHINA
from integrations.contract import ChannelRejected, ChannelUnavailable
from omni.kernel.http import HttpAnswer, HttpClient, HttpFailed

_BAN = re.compile(r"ban will last for (\d+) more second", re.IGNORECASE)
_DAILY_QUOTA = "accesscontrol.limited-by-app-access-count"
# 25 signature, 26 and 27 session, 29 app key; 11 and 12 permissions (all but 27 from memory,
# channels.md section 3)
_AUTH_CODES = frozenset({11, 12, 25, 26, 27, 29})
_CALL_LIMITED = 7
_REMOTE_SERVICE_FAILED = frozenset({10, 15})
_PAUSE_SECONDS = 0.1


class TopGateway:
    """Calls methods of TOP for one shop. Thread-safe, as `http` is."""

    def __init__(
        self,
        *,
        base_url: str,
        credentials: Mapping[str, str],
        http: HttpClient,
        sign_method: SignMethod,
        read_tries: int,
        ban_wait_seconds_max: int,
    ) -> None:
        self._base_url = base_url
        self._credentials = credentials
        self._http = http
        self._sign_method = sign_method
        self._read_tries = read_tries
        self._ban_wait_seconds_max = ban_wait_seconds_max
        self._banned_until: dict[str, float] = {}
        self._bans = threading.Lock()

    def read(self, *, method: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        """The body of the answer. A passing fault is tried again at once, a short ban is waited out."""
        for _ in range(self._read_tries - 1):
            try:
                return self._call(method=method, parameters=parameters)
            except ChannelUnavailable as later:
                self._pause_before_repeating(method, later)
        return self._call(method=method, parameters=parameters)

    def write(self, *, method: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        """The same, once: whoever writes decides how to find out whether a lost answer was a yes."""
        try:
            return self._call(method=method, parameters=parameters)
        except ChannelUnavailable as later:
            self._note_ban(method, later)
            raise

    def _call(self, *, method: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        self._wait_for_ban(method)
        content = urlencode(self._signed(method, parameters)).encode()
        try:
            answer = self._http.send(
                method="POST",
                url=self._base_url,
                headers={"Content-Type": "application/x-www-form-urlencoded;charset=utf-8"},
                content=content,
            )
        except HttpFailed as failed:
            raise ChannelUnavailable(f"{method}: {failed}", is_unknown_outcome=failed.was_sent) from failed
        return _read_answer(method, answer)

    def _signed(self, method: str, parameters: Mapping[str, str]) -> dict[str, str]:
        signed = {
            **parameters,
            "method": method,
            "app_key": self._credentials["app_key"],
            "session": self._credentials["session"],
            "timestamp": datetime.now(CHINA).strftime("%Y-%m-%d %H:%M:%S"),
            "v": "2.0",
            "format": "json",
            "sign_method": self._sign_method,
        }
        signed["sign"] = sign_parameters(
            parameters=signed, secret=self._credentials["secret"], sign_method=self._sign_method
        )
        return signed

    # TOP bans one method for some seconds; who goes on asking is banned longer.

    def _pause_before_repeating(self, method: str, later: ChannelUnavailable) -> None:
        if later.is_throttled and (later.retry_seconds or 0) > self._ban_wait_seconds_max:
            raise later
        self._note_ban(method, later)
        if not later.is_throttled:
            time.sleep(_PAUSE_SECONDS)

    def _note_ban(self, method: str, later: ChannelUnavailable) -> None:
        if later.is_throttled:
            until = time.monotonic() + (later.retry_seconds or 1)
            with self._bans:
                self._banned_until[method] = max(until, self._banned_until.get(method, 0.0))

    def _wait_for_ban(self, method: str) -> None:
        with self._bans:
            seconds = self._banned_until.get(method, 0.0) - time.monotonic()
        if seconds <= 0:
            return
        if seconds > self._ban_wait_seconds_max:
            raise ChannelUnavailable(
                f"{method} is banned by the platform", retry_seconds=int(seconds) + 1, is_throttled=True
            )
        time.sleep(seconds)


def _read_answer(method: str, answer: HttpAnswer) -> dict[str, Any]:
    """The object under `<method>_response`; everything else that may come raises."""
    if answer.status >= 500 or answer.status == 429:
        raise ChannelUnavailable(
            f"{method}: the gateway answered {answer.status}",
            retry_seconds=_retry_after(answer.headers),
            is_throttled=answer.status == 429,
            is_unknown_outcome=answer.status >= 500,
        )
    body = parse_json(answer.body)
    if not isinstance(body, dict):
        raise ChannelUnavailable(f"{method}: the answer is not a JSON object", is_unknown_outcome=True)
    error = body.get("error_response")
    if isinstance(error, dict):
        raise _read_error(method, error)
    found = body.get(answer_key(method))
    if not isinstance(found, dict):
        raise ChannelUnavailable(f"{method}: the answer lacks {answer_key(method)}", is_unknown_outcome=True)
    return cast("dict[str, Any]", found)


def answer_key(method: str) -> str:
    """`taobao.trade.get` answers under `trade_get_response`, `tmall.…` keeps its prefix (channels.md 3)."""
    return method.removeprefix("taobao.").replace(".", "_") + "_response"


def parse_json(body: bytes) -> object:
    """The parsed body, or None when it is none (an HTML page, a cut answer).

    What PostgreSQL could not store is mended here: invalid UTF-8 and NUL become U+FFFD, a lone surrogate a
    question mark. Fractions stay text, so that no amount is ever a float.
    """
    text = body.decode("utf-8", "replace")
    if "\\u0000" in text:
        text = text.replace("\\u0000", "\\ufffd")
    try:
        parsed = json.loads(text, parse_float=str, parse_constant=lambda _: None)
        if "\\ud" in text or "\\uD" in text:
            plain = json.dumps(parsed, ensure_ascii=False).encode("utf-8", "replace")
            parsed = json.loads(plain)
    except (ValueError, RecursionError):
        return None
    return parsed


def _read_error(method: str, error: Mapping[str, Any]) -> ChannelUnavailable | ChannelRejected:
    """The error classes of channels.md section 3: `isp.` is the platform's fault, `isv.` is ours."""
    code, sub_code = _number(error.get("code")), str(error.get("sub_code") or "")
    words = str(error.get("sub_msg") or error.get("msg") or "")
    detail = f"{method}: {code} {sub_code} {words}".strip()
    if code == _CALL_LIMITED or sub_code.startswith("accesscontrol."):
        return ChannelUnavailable(detail, retry_seconds=_ban_seconds(sub_code, words), is_throttled=True)
    if sub_code.startswith("isp.") or (code in _REMOTE_SERVICE_FAILED and not sub_code):
        return ChannelUnavailable(detail, is_unknown_outcome=True)
    is_auth = code in _AUTH_CODES or "session" in sub_code or "permission" in sub_code
    return ChannelRejected(detail, code=sub_code or str(code), is_auth=is_auth)


def _ban_seconds(sub_code: str, words: str) -> int | None:
    if banned := _BAN.search(words):
        return int(banned[1]) + 1
    if sub_code == _DAILY_QUOTA:
        return _seconds_to_midnight(datetime.now(CHINA))
    return None


def _seconds_to_midnight(now: datetime) -> int:
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return int((midnight - now).total_seconds()) + 1


def _retry_after(headers: Mapping[str, str]) -> int | None:
    value = next((headers[name] for name in headers if name.lower() == "retry-after"), "")
    return int(value) if value.isdigit() else None


def _number(value: object) -> int:
    try:
        return int(cast("int | str", value))
    except (TypeError, ValueError):
        return 0

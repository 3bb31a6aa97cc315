"""The gateway: checks that a call may come in, lets the method answer, and lets the transport traps snap.

Source: TOP documentation, "API call protocol". Errors come with HTTP 200.
"""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .faults import Dice
from .market import Market, Refused
from .methods import METHODS, Method
from .signing import SIGN_METHODS, is_signed
from .wire import ApiError, missing_argument, read_time, render, response_name

_CLOCK_SKEW_SECONDS = 600
_PROXY_PAGE = (
    b"<!DOCTYPE html><html><head><title>Service</title></head><body><h1>Please wait</h1></body></html>"
)


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back over HTTP. `is_cut`: nothing does, the connection closes after the wait."""

    status: int = 200
    content_type: str = "text/html;charset=utf-8"
    body: bytes = b""
    wait_seconds: float = 0
    is_cut: bool = False


@dataclass
class Seller:
    """Who may call: the app and the shop's session."""

    app_key: str
    secret: str
    session: str
    invalid_until: float = 0  # infinity: until it is renewed


class Gateway:
    def __init__(
        self,
        *,
        market: Market,
        dice: Dice,
        seller: Seller,
        hang_seconds: float = 20,
        expiry_seconds: float = 3,
    ) -> None:
        self._market = market
        self._dice = dice
        self.seller = seller
        self._hang_seconds = hang_seconds
        self._expiry_seconds = expiry_seconds
        self._banned_until: dict[str, float] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self.calls: dict[str, int] = {}

    def answer(self, parameters: Mapping[str, str]) -> Reply:
        name = parameters.get("method", "")
        with self._lock:
            self.calls[name] = self.calls.get(name, 0) + 1
        return self._break_before() or self._answer(name, parameters)

    def expire_session(self, seconds: float) -> None:
        self.seller.invalid_until = self._market.clock() + seconds

    def renew_session(self, session: str = "") -> None:
        self.seller.session = session or self.seller.session
        self.seller.invalid_until = 0

    def _answer(self, name: str, parameters: Mapping[str, str]) -> Reply:
        is_json = parameters.get("format") == "json"
        try:
            method = self._check_call(name, parameters)
            body = method.answer(self._market, parameters)
        except Refused as refused:
            return self._error(
                ApiError(15, "Remote service error", refused.sub_code, refused.detail), is_json
            )
        except ApiError as error:
            return self._error(error, is_json)
        if method.is_write and (broken := self._break_after_write()):
            return broken
        return self._break_answer(self._reply(response_name(name), body, is_json))

    # may this call come in?

    def _check_call(self, name: str, parameters: Mapping[str, str]) -> Method:
        method = METHODS.get(name)
        if not name:
            raise ApiError(21, "Missing Method")
        if method is None:
            raise ApiError(22, "Invalid Method", "isv.invalid-method", f"unknown method {name}")
        self._check_app(parameters)
        self._check_time(parameters)
        self._check_signature(parameters)
        if method.needs_session:
            self._check_session(parameters)
        self._check_load(name)
        return method

    def _check_app(self, parameters: Mapping[str, str]) -> None:
        if not parameters.get("app_key"):
            raise ApiError(28, "Missing App Key")
        if parameters["app_key"] != self.seller.app_key:
            raise ApiError(29, "Invalid App Key", "isv.appkey-not-exists", "unknown app_key")
        if parameters.get("format", "xml") not in ("xml", "json"):
            raise ApiError(23, "Invalid Format")
        if parameters.get("v") != "2.0":
            raise ApiError(33, "Invalid Version") if parameters.get("v") else missing_argument("v")

    def _check_time(self, parameters: Mapping[str, str]) -> None:
        if not parameters.get("timestamp"):
            raise ApiError(30, "Missing Timestamp")
        try:
            said = _read_timestamp(parameters["timestamp"])
        except ValueError:
            raise ApiError(31, "Invalid Timestamp", "isv.invalid-timestamp", "yyyy-MM-dd HH:mm:ss") from None
        if abs(self._market.clock() - said) > _CLOCK_SKEW_SECONDS:
            raise ApiError(
                31, "Invalid Timestamp", "isv.invalid-timestamp", "more than 10 minutes away from China time"
            )

    def _check_signature(self, parameters: Mapping[str, str]) -> None:
        if not parameters.get("sign"):
            raise ApiError(24, "Missing Signature")
        is_known = parameters.get("sign_method", "md5") in SIGN_METHODS
        if not is_known or not is_signed(parameters=parameters, secret=self.seller.secret):
            raise ApiError(
                25, "Invalid signature", "isv.invalid-signature", "the signature does not fit the parameters"
            )

    def _check_session(self, parameters: Mapping[str, str]) -> None:
        if not parameters.get("session"):
            raise ApiError(26, "Missing session")
        if self._dice.falls("session_expired"):
            self.expire_session(self._expiry_seconds)
        is_over = self._market.clock() < self.seller.invalid_until
        if is_over or parameters["session"] != self.seller.session:
            raise ApiError(27, "Invalid session", "invalid-sessionkey", "SessionKey非法或已过期")

    def _check_load(self, name: str) -> None:
        if self._dice.falls("isp_error"):
            raise ApiError(
                15,
                "Remote service error",
                "isp.top-remote-service-unavailable",
                "调用后端服务失败，服务不可用",
            )
        now = self._market.clock()
        if self._dice.falls("throttled"):
            self._banned_until[name] = now + 1 + self._dice.choose("throttled", 2)
        left = self._banned_until.get(name, 0) - now
        if left > 0:
            raise ApiError(
                7,
                "App Call Limited",
                "accesscontrol.limited-by-api-access-count",
                f"This ban will last for {int(left) + 1} more seconds",
            )

    # how answers break

    def _break_before(self) -> Reply | None:
        if self._dice.falls("http_500"):
            return Reply(status=500, body=b"Internal Server Error")
        if self._dice.falls("drop"):
            return Reply(is_cut=True)
        if self._dice.falls("hang"):
            return Reply(is_cut=True, wait_seconds=self._hang_seconds)
        return None

    def _break_after_write(self) -> Reply | None:
        if self._dice.falls("http_500_after_write"):
            return Reply(status=502, body=b"Bad Gateway")
        if self._dice.falls("drop_after_write"):
            return Reply(is_cut=True)
        if self._dice.falls("hang_after_write"):
            return Reply(is_cut=True, wait_seconds=self._hang_seconds)
        return None

    def _break_answer(self, reply: Reply) -> Reply:
        wait = 0.5 if self._dice.falls("slow") else 0.0
        if self._dice.falls("html_answer"):
            return Reply(body=_PROXY_PAGE, wait_seconds=wait)
        if self._dice.falls("truncated_answer"):
            return Reply(
                content_type=reply.content_type, body=reply.body[: len(reply.body) // 2], wait_seconds=wait
            )
        return Reply(content_type=reply.content_type, body=reply.body, wait_seconds=wait)

    # the envelope

    def _reply(self, name: str, body: Mapping[str, Any], is_json: bool) -> Reply:
        request_id = f"sandbox{next(self._numbers):012d}"
        content_type = "text/javascript;charset=utf-8" if is_json else "text/xml;charset=utf-8"
        content = render(name=name, body={**body, "request_id": request_id}, is_json=is_json)
        return Reply(content_type=content_type, body=_CONTROL_CHARACTERS.sub(b"", content))

    def _error(self, error: ApiError, is_json: bool) -> Reply:
        return self._reply("error_response", error.body(), is_json)


def _read_timestamp(text: str) -> float:
    """China time; TOP's own SDK sends milliseconds since 1970, which TOP takes too. Raises ValueError."""
    return int(text) / 1000 if text.isdecimal() and len(text) == 13 else read_time(text)


_CONTROL_CHARACTERS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # XML 1.0 has no way to say them

"""What TOP looks like on the wire: China time, yuan strings, envelopes and errors in XML and JSON.

Source: TOP documentation, "API call protocol": XML is the default format, lists are wrapped, errors come with
HTTP 200.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any
from xml.sax.saxutils import escape

CHINA = timezone(timedelta(hours=8))
_TIME = "%Y-%m-%d %H:%M:%S"


class ApiError(Exception):
    """An answer of the error_response kind. `sub_code` begins with isp. (repeat later) or isv. (the caller's fault)."""

    def __init__(self, code: int, msg: str, sub_code: str = "", sub_msg: str = "") -> None:
        super().__init__(f"{code} {msg} {sub_code} {sub_msg}")
        self.code = code
        self.msg = msg
        self.sub_code = sub_code
        self.sub_msg = sub_msg

    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = {"code": self.code, "msg": self.msg}
        if self.sub_code:
            body |= {"sub_code": self.sub_code, "sub_msg": self.sub_msg}
        return body


def missing_argument(name: str) -> ApiError:
    return ApiError(
        40, f"Missing required arguments:{name}", f"isv.missing-parameter:{name}", f"{name} is required"
    )


def invalid_argument(name: str, detail: str) -> ApiError:
    return ApiError(41, f"Invalid arguments:{name}", f"isv.invalid-parameter:{name}", detail)


def show_time(second: float) -> str:
    return datetime.fromtimestamp(int(second), tz=CHINA).strftime(_TIME)


def read_time(text: str) -> int:
    """Unix seconds of a China time. Raises ValueError."""
    return int(datetime.strptime(text, _TIME).replace(tzinfo=CHINA).timestamp())


def show_yuan(cents: int) -> str:
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def read_cents(text: str) -> int:
    """Cents of a yuan string such as "12.34". Raises ValueError."""
    whole, _, fraction = text.partition(".")
    if not whole.isdecimal() or (fraction and not fraction.isdecimal()) or len(fraction) > 2:
        raise ValueError(f"not an amount of yuan: {text!r}")
    return int(whole) * 100 + int(fraction.ljust(2, "0") or 0)


def response_name(method: str) -> str:
    """taobao.trade.fullinfo.get → trade_fullinfo_get_response; other prefixes stay."""
    return method.removeprefix("taobao.").replace(".", "_") + "_response"


def render(*, name: str, body: Mapping[str, Any], is_json: bool) -> bytes:
    if is_json:
        return json.dumps({name: body}, ensure_ascii=False, separators=(",", ":")).encode()
    return ('<?xml version="1.0" encoding="utf-8" ?>' + _as_xml(name, body)).encode()


def _as_xml(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        inside = "".join(_as_xml(key, part) for key, part in value.items())
        is_list = len(value) == 1 and isinstance(next(iter(value.values())), list)
        return f'<{name} list="true">{inside}</{name}>' if is_list else f"<{name}>{inside}</{name}>"
    if isinstance(value, list):
        return "".join(_as_xml(name, part) for part in value)
    if isinstance(value, bool):
        return f"<{name}>{'true' if value else 'false'}</{name}>"
    return f"<{name}>{escape(str(value))}</{name}>"

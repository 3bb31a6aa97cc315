"""JSON as it should be: UTF-8, no NaN, no NUL, no duplicate keys, not bottomless."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import JSONParser

BODY_BYTES_MAX = 2 * 1024 * 1024


class BodyTooLarge(APIException):
    """More than a request may hold. It is not read to its end."""

    status_code = 413
    default_code = "body_too_large"
    default_detail = f"The body is larger than {BODY_BYTES_MAX} bytes: send less at once."


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def read_json(data: bytes) -> Any:
    """Parse strictly; numbers with a fraction become Decimal, exactly as written.

    Raises ValueError with a sentence that names what is wrong.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"the body is not UTF-8: byte {error.start}") from error
    if "\\u0000" in text or "\x00" in text:
        raise ValueError("NUL characters are not allowed")
    try:
        value = json.loads(
            text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=Decimal
        )
    except RecursionError as error:
        raise ValueError("the body is nested too deeply") from error
    # UTF-8 holds no half of a surrogate pair; only an escape can bring one in.
    if "\\u" in text:
        try:
            json.dumps(value, ensure_ascii=False, default=str).encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError("a string holds half of a surrogate pair") from error
    return value


class StrictJSONParser(JSONParser):
    """Refuses what PostgreSQL or the next reader would choke on."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        body = stream.read(BODY_BYTES_MAX + 1)
        if len(body) > BODY_BYTES_MAX:
            raise BodyTooLarge
        try:
            return read_json(body)
        except ValueError as error:
            raise ParseError(_("The body cannot be read as JSON: %s.") % error) from error

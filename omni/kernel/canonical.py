"""JSON as bytes: as short as it gets, and in one fixed form where two contents are compared."""

from __future__ import annotations

import json
from typing import Any

import orjson


def dump_json(value: Any) -> bytes:
    """Compact UTF-8. What JSON does not know becomes its text; moments are written as ISO 8601."""
    return _dump(value, is_sorted=False)


def canonical_json(value: Any) -> bytes:
    """The same, with sorted keys: equal contents are equal bytes, whatever order they came in."""
    return _dump(value, is_sorted=True)


def _dump(value: Any, *, is_sorted: bool) -> bytes:
    try:
        return orjson.dumps(value, str, orjson.OPT_SORT_KEYS if is_sorted else None)
    except TypeError:
        # A number beyond 64 bits, half of a surrogate pair, a key that is no text: rare, and not lost either.
        text = json.dumps(value, sort_keys=is_sorted, separators=(",", ":"), ensure_ascii=False, default=str)
        return text.encode("utf-8", "backslashreplace")

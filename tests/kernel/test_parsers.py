"""Only JSON that every reader understands alike is read."""

from __future__ import annotations

import pytest

from omni.kernel.api.parsers import read_json


def test_plain_json_is_read() -> None:
    assert read_json('{"名": ["😀", 1, null]}'.encode()) == {"名": ["😀", 1, None]}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"a": "\xff"}', "UTF-8"),
        (b'{"a": "\\u0000"}', "NUL"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": Infinity}', "Infinity"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b"[" * 10_000 + b"]" * 10_000, "deeply"),
        (b"{", "Expecting"),
    ],
)
def test_what_readers_disagree_about_is_refused_with_its_reason(body: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_json(body)

"""What `manage.py doctor` asks: one question per invariant, answered with the rows that disagree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from omni.kernel.sql import fetch_all


@dataclass(frozen=True, slots=True)
class Check:
    """One invariant. `find(limit)` returns at most `limit` rows that break it, as plain dictionaries; none: it holds.

    `code`: stable, such as `stock.reserved_equals_reservations`. `sentence`: what should be true, for people.
    """

    code: str
    sentence: str
    find: Callable[[int], list[dict[str, Any]]]


def sql_check(code: str, sentence: str, statement: str, columns: Sequence[str]) -> Check:
    """An invariant as one SELECT of the rows that break it; `statement` ends without LIMIT."""

    def find(limit: int) -> list[dict[str, Any]]:
        rows = fetch_all(f"{statement}\nLIMIT %s", [limit])
        return [dict(zip(columns, row, strict=True)) for row in rows]

    return Check(code, sentence, find)

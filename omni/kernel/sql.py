"""Set-based SQL: run one statement over many rows and get plain tuples back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection

Params = Sequence[Any] | Mapping[str, Any]


def fetch_all(statement: str, params: Params = ()) -> list[tuple[Any, ...]]:
    """Run a statement and return its rows. It is never prepared.

    A generic plan costs `unnest` a third (performance.md).
    """
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return list(cursor.fetchall())


def execute(statement: str, params: Params = ()) -> int:
    """Run a statement and return the number of rows that it touched."""
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return int(cursor.rowcount)

"""Set-based SQL: run one statement over many rows and get plain tuples back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

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


def as_array(values: Iterable[int | UUID | None]) -> str:
    """Numbers or UUIDs as the text of a PostgreSQL array, for a parameter with a cast: `%s::bigint[]`.

    The driver adapts a list value by value; for the arrays of a hot path that costs as much as the statement.
    """
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def as_text_array(values: Iterable[str]) -> str:
    """Texts as the text of a PostgreSQL array, for a parameter with a cast: `%s::text[]`. See `as_array`."""
    quoted = ['"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values]
    return "{" + ",".join(quoted) + "}"


def copy_rows(statement: str, types: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows that cannot conflict, the cheapest way in (performance.md): `COPY … FROM STDIN (FORMAT BINARY)`.

    `types`: those of the columns, by which the driver writes each value as the server keeps it; nobody parses text.
    """
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)

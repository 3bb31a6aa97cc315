"""Set-based SQL: run one statement over many rows and get plain tuples back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from django.db import connection
from django.db.models import Model

Row = TypeVar("Row", bound=Model)
FEW_ROWS = 12
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


class Load(NamedTuple):
    """Rows for one table. `columns`: their names with their types, by which the driver writes each value."""

    table: str
    columns: Mapping[str, str]
    rows: Sequence[Sequence[Any]]


def load_rows(*loads: Load) -> None:
    """Write rows that cannot conflict, table after table, the cheapest way in (performance.md).

    Many go by `COPY … FROM STDIN (FORMAT BINARY)`: nobody parses text. A handful goes in one round trip for all tables
    together, where each COPY would take three.
    """
    loads = tuple(load for load in loads if load.rows)
    if not loads:
        return
    with connection.cursor() as cursor:
        if sum(len(load.rows) for load in loads) <= FEW_ROWS:
            cursor.execute(";\n".join(map(_insert_statement, loads)), _values_of(loads))
            return
        for load in loads:
            statement = f"COPY {load.table} ({', '.join(load.columns)}) FROM STDIN (FORMAT BINARY)"
            with cursor.copy(statement) as copy:
                copy.set_types(tuple(load.columns.values()))
                for row in load.rows:
                    copy.write_row(row)


def _insert_statement(load: Load) -> str:
    one = "(" + ", ".join([f"%s::{kind}" for kind in load.columns.values()]) + ")"
    values = ", ".join([one] * len(load.rows))
    return f"INSERT INTO {load.table} ({', '.join(load.columns)}) VALUES {values}"  # noqa: S608 - names of the code


def _values_of(loads: Iterable[Load]) -> list[Any]:
    return [value for load in loads for row in load.rows for value in row]


def fetch_models(
    model: type[Row], rest: str, params: Params = (), *, also: Mapping[str, str] | None = None
) -> list[Row]:
    """Instances of a model: `SELECT` its columns `FROM` its table `AS t`, and the `rest` of the statement.

    `also`: more attributes and their expressions. For hot paths: the ORM puts its statement together anew each time,
    which costs five times as much as running it.
    """
    names, selected = _columns_of(model)
    more = also or {}
    statement = f"SELECT {', '.join([selected, *more.values()])} FROM {model._meta.db_table} t {rest}"  # noqa: S608 - as above
    found = []
    for row in fetch_all(statement, params):
        instance = model.from_db(connection.alias, names, row[: len(names)])
        for name, value in zip(more, row[len(names) :], strict=True):
            setattr(instance, name, value)
        found.append(instance)
    return found


@cache
def _columns_of(model: type[Model]) -> tuple[list[str], str]:
    fields = model._meta.concrete_fields
    return [field.attname for field in fields], ", ".join(f'"t"."{field.column}"' for field in fields)

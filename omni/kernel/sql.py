"""Set-based SQL: run one statement over many rows and get plain tuples back.

Statements of whole batches are never prepared: a generic plan costs `unnest` a third (performance.md). Where a request
brings a handful of rows it is the other way round, parsing and planning cost more than running: such an operation runs
inside `few_rows()`, and the server keeps its plans.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from django.db import connection
from django.db.backends.postgresql.base import ServerBindingCursor
from django.db.models import Model

Params = Sequence[Any] | Mapping[str, Any]
Row = TypeVar("Row", bound=Model)
FEW_ROWS = 12
VALUES_MAX = 50
_IS_FEW: ContextVar[bool] = ContextVar("is_few", default=False)


@contextmanager
def few_rows() -> Iterator[None]:
    """What is run inside concerns a handful of rows: its statements are prepared once a connection, then only run."""
    token = _IS_FEW.set(True)
    try:
        yield
    finally:
        _IS_FEW.reset(token)


def _open_cursor() -> Any:
    if not _IS_FEW.get():
        return connection.cursor()
    # As Django opens its own, but with parameters that the server binds: others cannot be prepared.
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    return connection._prepare_cursor(ServerBindingCursor(connection.connection))  # type: ignore[attr-defined, call-arg]


def fetch_all(statement: str, params: Params = ()) -> list[tuple[Any, ...]]:
    """Run a statement and return its rows."""
    with _open_cursor() as cursor:
        cursor.execute(statement, params)
        return list(cursor.fetchall())


def execute(statement: str, params: Params = ()) -> int:
    """Run a statement and return the number of rows that it touched."""
    with _open_cursor() as cursor:
        cursor.execute(statement, params)
        return int(cursor.rowcount)


def as_array(values: Iterable[int | Decimal | UUID | None]) -> str:
    """Numbers, UUIDs, yes or no as the text of a PostgreSQL array, for a parameter with a cast: `%s::bigint[]`.

    The driver adapts a list value by value; for the arrays of a hot path that costs as much as the statement.
    """
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def as_text_array(values: Iterable[str | None]) -> str:
    """Texts as the text of a PostgreSQL array, for a parameter with a cast: `%s::text[]`. See `as_array`."""
    quoted = [
        "NULL" if value is None else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        for value in values
    ]
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
    if sum(len(load.rows) for load in loads) <= FEW_ROWS:
        for together in _parcel_out(loads):
            shapes = tuple((load.table, tuple(load.columns.items()), len(load.rows)) for load in together)
            execute(
                _insert_statement(shapes), [value for load in together for row in load.rows for value in row]
            )
        return
    with connection.cursor() as cursor:
        for load in loads:
            statement = f"COPY {load.table} ({', '.join(load.columns)}) FROM STDIN (FORMAT BINARY)"
            with cursor.copy(statement) as copy:
                copy.set_types(tuple(load.columns.values()))
                for row in load.rows:
                    copy.write_row(row)


def _parcel_out(loads: Sequence[Load]) -> list[list[Load]]:
    """Tables that go together: of statements with more values than that, the driver does not keep the parsed form."""
    parcels: list[list[Load]] = []
    free = 0
    for load in loads:
        values = len(load.columns) * len(load.rows)
        if not parcels or values > free:
            parcels.append([])
            free = VALUES_MAX
        parcels[-1].append(load)
        free -= values
    return parcels


@lru_cache(maxsize=256)
def _insert_statement(loads: tuple[tuple[str, tuple[tuple[str, str], ...], int], ...]) -> str:
    """One statement for all tables; foreign keys are looked at when the transaction ends, so any order will do."""
    inserts = []
    for table, columns, rows in loads:
        one = "(" + ", ".join([f"%s::{kind}" for _name, kind in columns]) + ")"
        values = ", ".join([one] * rows)
        inserts.append(f"INSERT INTO {table} ({', '.join(name for name, _kind in columns)}) VALUES {values}")  # noqa: S608 - of the code
    *before, last = inserts
    parts = ", ".join([f"part{number} AS ({insert})" for number, insert in enumerate(before)])
    return f"WITH {parts} {last}" if before else last


def fetch_models(
    model: type[Row], rest: str, params: Params = (), *, also: Mapping[str, str] | None = None
) -> list[Row]:
    """Instances of a model: `SELECT` its columns `FROM` its table `AS t`, and the `rest` of the statement.

    `also`: more attributes and their expressions. For hot paths: the ORM puts its statement together anew each time,
    which costs five times as much as running it. For a handful of rows.
    """
    names, selected = _columns_of(model)
    more = also or {}
    statement = f"SELECT {', '.join([selected, *more.values()])} FROM {model._meta.db_table} t {rest}"  # noqa: S608 - as above
    found = []
    with few_rows():
        rows = fetch_all(statement, params)
    for row in rows:
        instance = model.from_db(connection.alias, names, row[: len(names)])
        for name, value in zip(more, row[len(names) :], strict=True):
            setattr(instance, name, value)
        found.append(instance)
    return found


@cache
def _columns_of(model: type[Model]) -> tuple[list[str], str]:
    fields = model._meta.concrete_fields
    return [field.attname for field in fields], ", ".join(f'"t"."{field.column}"' for field in fields)

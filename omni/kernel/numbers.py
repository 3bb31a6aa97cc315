"""Document numbers and ids taken ahead: gaps are allowed, repeats are not, and nobody waits for anybody."""

from __future__ import annotations

from django.db import connection
from django.db.models import Model


def take_ids(model: type[Model], count: int) -> list[int]:
    """Take `count` primary keys of a table from its sequence, in one statement.

    Rows whose ids are known before they are written need no RETURNING and no second look (performance.md).
    """
    if count <= 0:
        return []
    table = model._meta.db_table
    with connection.cursor() as cursor:
        # The sequence is looked up once, not once a row.
        cursor.execute(
            "WITH s AS MATERIALIZED (SELECT pg_get_serial_sequence(%s, 'id')::regclass AS name)"
            " SELECT nextval(name) FROM s, generate_series(1, %s)",
            [f'"{table}"', count],
        )
        return [row[0] for row in cursor.fetchall()]


def document_number(prefix: str, ident: int) -> str:
    """The number that people see: a prefix and the row's id. Unique because the id is.

    >>> document_number("SO", 42)
    'SO00000042'
    """
    return f"{prefix}{ident:08d}"

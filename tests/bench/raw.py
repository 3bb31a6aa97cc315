"""The raw limit: bare tables in a schema of their own, psycopg and plain SQL, nothing of the product.

The job is that of every comparison: store an external order with two lines, make two reservations, take them from two
guarded stock rows, write two ledger rows. In batches by `unnest`, or one order per transaction.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import psycopg

SCHEMA = """
    DROP SCHEMA IF EXISTS raw CASCADE;
    CREATE SCHEMA raw;
    CREATE TABLE raw.stock (
        sku_id bigint PRIMARY KEY, granted int NOT NULL, reserved int NOT NULL DEFAULT 0,
        CHECK (reserved BETWEEN 0 AND granted)
    ) WITH (fillfactor = 50);
    CREATE TABLE raw.external_order (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, shop_id bigint NOT NULL, outer_id text NOT NULL,
        status text NOT NULL, total numeric(20, 4) NOT NULL, placed_at timestamptz NOT NULL, payload jsonb NOT NULL,
        UNIQUE (shop_id, outer_id)
    );
    CREATE TABLE raw.order_line (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        order_id bigint NOT NULL REFERENCES raw.external_order, line_no int NOT NULL, sku_id bigint NOT NULL,
        quantity int NOT NULL CHECK (quantity > 0), amount numeric(20, 4) NOT NULL, UNIQUE (order_id, line_no)
    );
    CREATE TABLE raw.reservation (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, line_id bigint NOT NULL UNIQUE,
        sku_id bigint NOT NULL REFERENCES raw.stock, quantity int NOT NULL CHECK (quantity > 0)
    );
    CREATE TABLE raw.ledger (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, sku_id bigint NOT NULL, quantity int NOT NULL,
        line_id bigint NOT NULL, at timestamptz NOT NULL
    );
    CREATE INDEX ON raw.ledger (sku_id, id DESC);
    CREATE TABLE raw.change (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, sku_id bigint NOT NULL);
    CREATE TABLE raw.published (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, shop_id bigint NOT NULL, sku_id bigint NOT NULL,
        ratio numeric(6, 4) NOT NULL, desired int NOT NULL DEFAULT 0, version bigint NOT NULL DEFAULT 0,
        UNIQUE (sku_id, shop_id)
    ) WITH (fillfactor = 50);
"""
FILL_STOCK = "INSERT INTO raw.stock (sku_id, granted) SELECT n, 1000000000 FROM generate_series(1, %s) n"

LOCK_STOCK = "SELECT sku_id, granted - reserved FROM raw.stock WHERE sku_id = ANY(%s) ORDER BY sku_id FOR NO KEY UPDATE"
# The payloads travel in binary (%b): quoting them as text would cost more than all the rest.
INSERT_ORDERS = """
    INSERT INTO raw.external_order (shop_id, outer_id, status, total, placed_at, payload)
    SELECT 1, v.outer_id, 'WAIT_SELLER_SEND_GOODS', v.total, %s, v.payload::jsonb
    FROM unnest(%s::text[], %s::numeric[], %b::text[]) AS v(outer_id, total, payload)
    ON CONFLICT (shop_id, outer_id) DO NOTHING RETURNING id, outer_id
"""
INSERT_LINES = """
    INSERT INTO raw.order_line (order_id, line_no, sku_id, quantity, amount)
    SELECT * FROM unnest(%s::bigint[], %s::int[], %s::bigint[], %s::int[], %s::numeric[])
    RETURNING id, sku_id, quantity
"""
INSERT_RESERVATIONS = """
    INSERT INTO raw.reservation (line_id, sku_id, quantity) SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::int[])
"""
INSERT_LEDGER = """
    INSERT INTO raw.ledger (line_id, sku_id, quantity, at)
    SELECT v.*, %s FROM unnest(%s::bigint[], %s::bigint[], %s::int[]) v
"""
TAKE_STOCK = """
    UPDATE raw.stock s SET reserved = s.reserved + v.quantity
    FROM unnest(%s::bigint[], %s::int[]) AS v(sku_id, quantity)
    WHERE s.sku_id = v.sku_id AND s.granted - s.reserved >= v.quantity
"""

FILL_PUBLISHED = """
    INSERT INTO raw.published (shop_id, sku_id, ratio)
    SELECT shop, sku, 0.9 FROM generate_series(1, %s) shop, generate_series(1, %s) sku
"""
CHANGE_STOCK = """
    WITH changed AS (UPDATE raw.stock SET reserved = reserved + 10 WHERE sku_id <= %s RETURNING sku_id)
    INSERT INTO raw.change (sku_id) SELECT sku_id FROM changed
"""
TAKE_CHANGES = "DELETE FROM raw.change RETURNING sku_id"
PLAN = """
    UPDATE raw.published p SET desired = c.quantity, version = p.version + 1
    FROM (
        SELECT l.id, floor((s.granted - s.reserved) * l.ratio)::int AS quantity
        FROM raw.published l JOIN raw.stock s USING (sku_id) WHERE l.sku_id = ANY(%s)
    ) c
    WHERE p.id = c.id AND p.desired <> c.quantity
"""


class Line(NamedTuple):
    sku_id: int
    quantity: int
    amount: str


@dataclass(frozen=True, slots=True)
class Order:
    outer_id: str
    total: str
    payload: str
    lines: Sequence[Line]


class StockDidNotHold(Exception):
    """A guarded update touched fewer rows than it should: the measurement is worth nothing."""


def prepare(conninfo: str, *, skus: int) -> None:
    """Make the tables anew, with plenty of stock of each SKU."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(SCHEMA)
        connection.execute(FILL_STOCK, [skus])
        connection.execute("ANALYZE raw.stock")


def make_orders(
    *, number: int, skus: int, name: str, payloads: Sequence[str] = ("{}",), lines: int = 2
) -> list[Order]:
    """Orders of `lines` different SKUs each, with these payloads in turn; other names, other orders."""
    rng = random.Random(name)
    return [
        Order(
            f"{name}-{position}",
            "258.00",
            payloads[position % len(payloads)],
            [Line(sku, 1 + rng.randrange(3), "129.00") for sku in rng.sample(range(1, skus + 1), lines)],
        )
        for position in range(number)
    ]


def store_batch(connection: psycopg.Connection[Any], orders: Sequence[Order]) -> None:
    """The raw baseline: a batch in one transaction, by `unnest`, ids handed on by RETURNING."""
    at = datetime.now(UTC)
    run = connection.execute
    with connection.transaction():
        rows = run(
            INSERT_ORDERS,
            [
                at,
                [order.outer_id for order in orders],
                [order.total for order in orders],
                [order.payload for order in orders],
            ],
            prepare=False,
        )
        ids = {outer_id: ident for ident, outer_id in rows.fetchall()}
        lines = [(ids[order.outer_id], n, *line) for order in orders for n, line in enumerate(order.lines)]
        columns = [list(column) for column in zip(*lines, strict=True)]
        stored = run(INSERT_LINES, columns, prepare=False).fetchall()
        reserve_lines(connection, stored, at=at)


def reserve_lines(
    connection: psycopg.Connection[Any], lines: Sequence[tuple[int, int, int]], *, at: datetime
) -> None:
    """The three-`unnest` reserve, (line, SKU, quantity): stock locked in key order, guarded UPDATE last."""
    run = connection.execute
    wanted = Counter[int]()
    for _line, sku_id, quantity in lines:
        wanted[sku_id] += quantity
    skus = sorted(wanted)
    run(LOCK_STOCK, [skus], prepare=False).fetchall()
    columns = [list(column) for column in zip(*lines, strict=True)]
    run(INSERT_RESERVATIONS, columns, prepare=False)
    run(INSERT_LEDGER, [at, *columns], prepare=False)
    taken = run(TAKE_STOCK, [skus, [wanted[sku] for sku in skus]], prepare=False)
    if taken.rowcount != len(skus):
        raise StockDidNotHold


def store_one(connection: psycopg.Connection[Any], order: Order) -> None:
    """One order per transaction, a round trip per statement: what code without batches does at best.

    Here the statements are prepared, as psycopg does by itself: with one row a generic plan is a good plan.
    """
    at = datetime.now(UTC)
    run = connection.execute
    with connection.transaction():
        found = run(INSERT_ORDERS, [at, [order.outer_id], [order.total], [order.payload]]).fetchone()
        if found is None:
            return
        for number, line in enumerate(order.lines):
            row = run(
                "INSERT INTO raw.order_line (order_id, line_no, sku_id, quantity, amount)"
                " VALUES (%s, %s, %s, %s, %s) RETURNING id",
                [found[0], number, *line],
            ).fetchone()
            assert row is not None
            run(
                "INSERT INTO raw.reservation (line_id, sku_id, quantity) VALUES (%s, %s, %s)",
                [row[0], line.sku_id, line.quantity],
            )
            run(
                "INSERT INTO raw.ledger (line_id, sku_id, quantity, at) VALUES (%s, %s, %s, %s)",
                [row[0], line.sku_id, line.quantity, at],
            )
        for line in sorted(order.lines):
            taken = run(
                "UPDATE raw.stock SET reserved = reserved + %s WHERE sku_id = %s AND granted - reserved >= %s",
                [line.quantity, line.sku_id, line.quantity],
            )
            if taken.rowcount != 1:
                raise StockDidNotHold


def prepare_published(conninfo: str, *, shops: int, skus: int) -> None:
    """Numbers that `shops` shops show for every SKU."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(FILL_PUBLISHED, [shops, skus])
        connection.execute("ANALYZE raw.published")
        connection.execute(CHANGE_STOCK, [skus])
        plan_published(connection)


def change_stock(connection: psycopg.Connection[Any], *, skus: int) -> None:
    """Reserve ten units of each of these SKUs, and note that they changed."""
    connection.execute(CHANGE_STOCK, [skus])


def plan_published(connection: psycopg.Connection[Any]) -> int:
    """Take the changes away and compute what the shops should show: how many numbers are others now."""
    with connection.transaction():
        skus = sorted({row[0] for row in connection.execute(TAKE_CHANGES).fetchall()})
        return connection.execute(PLAN, [skus], prepare=False).rowcount

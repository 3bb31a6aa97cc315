"""The shelves: how many units of each item lie there, are locked for a delivery, and left."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Key = tuple[str, str, str]  # warehouse, owner, item


class ItemUnknown(Exception):
    """The warehouse has never heard of the item."""


class StockShort(Exception):
    """Fewer units are free than are wanted."""


def add_stock(db: sqlite3.Connection, entries: Iterable[Mapping[str, Any]]) -> int:
    """Put each entry on the shelf unless its (warehouse, owner, item) was put there before; the number of new ones."""
    added = 0
    for entry in entries:
        quantity = int(entry["quantity"])
        key = (entry["warehouseCode"], entry["ownerCode"], entry["itemCode"])
        added += db.execute(
            "INSERT INTO stock (warehouse, owner, item, opening, quantity) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET opening = excluded.opening, quantity = quantity + excluded.quantity"
            " WHERE opening IS NULL",
            (*key, quantity, quantity),
        ).rowcount
    return added


def learn_item(db: sqlite3.Connection, key: Key) -> None:
    db.execute("INSERT INTO stock (warehouse, owner, item) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", key)


def lock_units(db: sqlite3.Connection, wanted: Mapping[Key, int]) -> None:
    """Raises ItemUnknown or StockShort; the caller's transaction then undoes what was locked."""
    for key, units in wanted.items():
        row = db.execute(
            "SELECT quantity - locked AS free FROM stock WHERE warehouse = ? AND owner = ? AND item = ?", key
        ).fetchone()
        if row is None:
            raise ItemUnknown(f"item {key[2]} of owner {key[1]} is not known in warehouse {key[0]}")
        if row["free"] < units:
            raise StockShort(f"item {key[2]}: {units} wanted, {row['free']} free")
        db.execute(
            "UPDATE stock SET locked = locked + ? WHERE warehouse = ? AND owner = ? AND item = ?",
            (units, *key),
        )


def unlock_units(db: sqlite3.Connection, key: Key, units: int) -> None:
    db.execute(
        "UPDATE stock SET locked = locked - ? WHERE warehouse = ? AND owner = ? AND item = ?", (units, *key)
    )


def ship_units(db: sqlite3.Connection, key: Key, *, planned: int, actual: int) -> None:
    """`actual` units leave; the rest of the `planned` ones was not there and is written off."""
    db.execute(
        "UPDATE stock SET locked = locked - :planned, quantity = quantity - :planned, shipped = shipped + :actual,"
        " changed = changed - :lost WHERE warehouse = :warehouse AND owner = :owner AND item = :item",
        {
            "planned": planned,
            "actual": actual,
            "lost": planned - actual,
            "warehouse": key[0],
            "owner": key[1],
            "item": key[2],
        },
    )


def change_units(db: sqlite3.Connection, key: Key, units: int) -> None:
    """Units were found (positive) or broke (negative). Raises ItemUnknown, or StockShort below what is locked."""
    row = db.execute(
        "SELECT quantity - locked AS free FROM stock WHERE warehouse = ? AND owner = ? AND item = ?", key
    ).fetchone()
    if row is None:
        raise ItemUnknown(f"item {key[2]} of owner {key[1]} is not known in warehouse {key[0]}")
    if row["free"] + units < 0:
        raise StockShort(f"item {key[2]}: only {row['free']} units are free")
    db.execute(
        "UPDATE stock SET quantity = quantity + ?, changed = changed + ?"
        " WHERE warehouse = ? AND owner = ? AND item = ?",
        (units, units, *key),
    )


def list_stock(
    db: sqlite3.Connection, *, warehouse: str = "", owner: str = "", item: str = ""
) -> Sequence[sqlite3.Row]:
    """The rows that match, an empty word matching all."""
    return db.execute(
        "SELECT * FROM stock WHERE (:warehouse = '' OR warehouse = :warehouse) AND (:owner = '' OR owner = :owner)"
        " AND (:item = '' OR item = :item) ORDER BY warehouse, owner, item",
        {"warehouse": warehouse, "owner": owner, "item": item},
    ).fetchall()

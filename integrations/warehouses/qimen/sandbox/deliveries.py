"""The deliveries: taken once per code, cancelled while nobody has picked them, otherwise shipped."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from integrations.warehouses.qimen.sandbox.shelves import lock_units, unlock_units
from integrations.warehouses.qimen.sandbox.wire import now_text

LIVE = ("ACCEPT", "PICK", "PACKAGE")
"""States of a delivery that is still in the house; after them DELIVERED or CANCELED."""


class DeliveryUnknown(Exception):
    """The warehouse has no delivery of that code."""


class TooLateToCancel(Exception):
    """Somebody has picked it already."""


@dataclass(frozen=True, slots=True)
class WantedLine:
    line_no: str
    owner: str
    item: str
    source_order: str
    source_line: str
    plan: int


@dataclass(frozen=True, slots=True)
class WantedDelivery:
    code: str
    order_type: str
    warehouse: str
    carrier: str
    lines: Sequence[WantedLine]


def create_delivery(db: sqlite3.Connection, wanted: WantedDelivery, *, due_at: float) -> tuple[str, bool]:
    """Its id, and whether it is new: the same code again is the same delivery.

    Raises ItemUnknown or StockShort (then roll back).
    """
    known = db.execute(
        "UPDATE delivery SET asked = asked + 1 WHERE code = ? RETURNING id", (wanted.code,)
    ).fetchone()
    if known:
        return str(known["id"]), False
    units: Counter[tuple[str, str, str]] = Counter()
    for line in wanted.lines:
        units[(wanted.warehouse, line.owner, line.item)] += line.plan
    lock_units(db, units)
    delivery_id = f"WMS-{wanted.code}"
    db.execute(
        "INSERT INTO delivery (code, id, warehouse, order_type, carrier, state, due_at, created_at)"
        " VALUES (?, ?, ?, ?, ?, 'ACCEPT', ?, ?)",
        (wanted.code, delivery_id, wanted.warehouse, wanted.order_type, wanted.carrier, due_at, now_text()),
    )
    db.executemany(
        "INSERT INTO line (code, line_no, owner, item, source_order, source_line, plan) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (wanted.code, line.line_no, line.owner, line.item, line.source_order, line.source_line, line.plan)
            for line in wanted.lines
        ],
    )
    note_process(db, wanted.code, "ACCEPT")
    return delivery_id, True


def cancel_delivery(db: sqlite3.Connection, code: str, *, is_lie: bool) -> None:
    """Stop it. Cancelling twice is fine. Raises DeliveryUnknown or TooLateToCancel.

    `is_lie`: say yes and ship all the same, as a warehouse does whose picker was faster than its computer.
    """
    delivery = find_delivery(db, code)
    db.execute("UPDATE delivery SET cancels = cancels + 1 WHERE code = ?", (code,))
    if delivery["state"] == "CANCELED" or delivery["is_cancel_promised"]:
        return
    if delivery["state"] != "ACCEPT":
        raise TooLateToCancel(f"订单已拣货 (delivery {code} is {delivery['state']} already)")
    if is_lie:
        db.execute("UPDATE delivery SET is_cancel_promised = 1 WHERE code = ?", (code,))
        return
    for line in list_lines(db, code):
        unlock_units(db, (delivery["warehouse"], line["owner"], line["item"]), line["plan"])
    set_state(db, code, "CANCELED")
    note_process(db, code, "CANCELED")


def find_delivery(db: sqlite3.Connection, code: str) -> sqlite3.Row:
    found = db.execute("SELECT * FROM delivery WHERE code = ?", (code,)).fetchone()
    if found is None:
        raise DeliveryUnknown(f"订单不存在 (delivery {code} does not exist)")
    row: sqlite3.Row = found
    return row


def list_lines(db: sqlite3.Connection, code: str) -> list[sqlite3.Row]:
    return db.execute("SELECT rowid, * FROM line WHERE code = ? ORDER BY rowid", (code,)).fetchall()


def list_parcels(db: sqlite3.Connection, code: str) -> list[sqlite3.Row]:
    return db.execute("SELECT * FROM parcel WHERE code = ? ORDER BY number", (code,)).fetchall()


def list_processes(db: sqlite3.Connection, code: str) -> list[sqlite3.Row]:
    return db.execute("SELECT * FROM process WHERE code = ? ORDER BY happened_at", (code,)).fetchall()


def list_due(db: sqlite3.Connection, *, now: float, limit: int) -> list[sqlite3.Row]:
    """The deliveries whose next step is due and that nobody holds."""
    return db.execute(
        "SELECT * FROM delivery WHERE state IN ('ACCEPT', 'PICK', 'PACKAGE') AND due_at <= ?"
        " AND code NOT IN (SELECT code FROM hold) ORDER BY due_at LIMIT ?",
        (now, limit),
    ).fetchall()


def set_state(db: sqlite3.Connection, code: str, state: str, *, due_at: float = 0.0) -> None:
    db.execute("UPDATE delivery SET state = ?, due_at = ? WHERE code = ?", (state, due_at, code))


def note_process(db: sqlite3.Connection, code: str, status: str) -> None:
    db.execute(
        "INSERT INTO process (code, status, happened_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (code, status, now_text()),
    )


def hold_delivery(db: sqlite3.Connection, code: str, *, is_held: bool) -> None:
    """Nobody picks a held delivery; the code may be held before the delivery exists."""
    if is_held:
        db.execute("INSERT INTO hold (code) VALUES (?) ON CONFLICT DO NOTHING", (code,))
    else:
        db.execute("DELETE FROM hold WHERE code = ?", (code,))

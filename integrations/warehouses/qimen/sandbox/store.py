"""What the warehouse knows, in one SQLite file that outlives a kill -9."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS stock (
    warehouse TEXT NOT NULL, owner TEXT NOT NULL, item TEXT NOT NULL,
    opening INTEGER,                        -- NULL: known as an item, not yet in the stock file
    quantity INTEGER NOT NULL DEFAULT 0 CHECK (quantity >= 0),
    locked INTEGER NOT NULL DEFAULT 0 CHECK (locked >= 0 AND locked <= quantity),
    shipped INTEGER NOT NULL DEFAULT 0,
    changed INTEGER NOT NULL DEFAULT 0,     -- found less broken
    PRIMARY KEY (warehouse, owner, item)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS delivery (
    code TEXT PRIMARY KEY, id TEXT NOT NULL, warehouse TEXT NOT NULL, order_type TEXT NOT NULL, carrier TEXT NOT NULL,
    state TEXT NOT NULL, step INTEGER NOT NULL DEFAULT 0, due_at REAL NOT NULL, created_at TEXT NOT NULL,
    asked INTEGER NOT NULL DEFAULT 1,       -- how often deliveryorder.create came for this code
    shipments INTEGER NOT NULL DEFAULT 0,   -- how often it left the house
    cancels INTEGER NOT NULL DEFAULT 0, is_cancel_promised INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS delivery_due ON delivery (due_at) WHERE state IN ('ACCEPT', 'PICK', 'PACKAGE');
CREATE TABLE IF NOT EXISTS line (
    code TEXT NOT NULL, line_no TEXT NOT NULL, owner TEXT NOT NULL, item TEXT NOT NULL,
    source_order TEXT NOT NULL, source_line TEXT NOT NULL, plan INTEGER NOT NULL, actual INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS line_code ON line (code);
CREATE TABLE IF NOT EXISTS parcel (
    code TEXT NOT NULL, number INTEGER NOT NULL, carrier TEXT NOT NULL, waybill TEXT NOT NULL, items TEXT NOT NULL,
    confirm TEXT NOT NULL, PRIMARY KEY (code, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS process (
    code TEXT NOT NULL, status TEXT NOT NULL, happened_at TEXT NOT NULL, PRIMARY KEY (code, status)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS callback (
    id INTEGER PRIMARY KEY AUTOINCREMENT, method TEXT NOT NULL, code TEXT NOT NULL, kind TEXT NOT NULL,
    body BLOB NOT NULL, query TEXT, priority INTEGER NOT NULL, due_at REAL NOT NULL, after_id INTEGER,
    tries INTEGER NOT NULL DEFAULT 0, tries_max INTEGER, is_done INTEGER NOT NULL DEFAULT 0,
    is_accepted INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS callback_due ON callback (priority, due_at) WHERE is_done = 0;
CREATE INDEX IF NOT EXISTS callback_code ON callback (code);
CREATE TABLE IF NOT EXISTS hold (code TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS change (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL);
"""
TABLES_OF_A_RUN = ("delivery", "line", "parcel", "process", "callback", "hold")


class Store:
    """One connection, one writer at a time: everything takes microseconds, so that nobody waits long.

    synchronous=OFF: what was written survives the death of this process, not that of the machine; enough for a sandbox.
    """

    def __init__(self, path: Path | str) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(str(path), check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=OFF")
        self._connection.executescript(SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it or nothing; nobody else reads or writes meanwhile."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def reset(self) -> None:
        """Forget every delivery and call-back; the stock is again what it was at the beginning."""
        with self.transaction() as db:
            for table in TABLES_OF_A_RUN:
                db.execute(f"DELETE FROM {table}")  # noqa: S608 names from this module
            db.execute(
                "UPDATE stock SET quantity = coalesce(opening, 0), locked = 0, shipped = 0, changed = 0"
            )

    def close(self) -> None:
        with self._lock:
            self._connection.close()

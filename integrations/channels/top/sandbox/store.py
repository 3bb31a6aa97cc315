"""Keeps the market's records in one SQLite file, so that they outlive a restart and a `kill -9`.

`synchronous=OFF` leaves the writing to disk to the operating system: a killed process loses nothing that was
committed, only a machine that loses power does. That is the right price for a sandbox.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

Record = tuple[str, int, Any]  # kind, id, a dataclass or a plain value


class Store:
    def __init__(self, path: Path | None) -> None:
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(
            str(path) if path else ":memory:", isolation_level=None, check_same_thread=False
        )
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS record (kind TEXT, id INTEGER, body TEXT NOT NULL, PRIMARY KEY (kind, id))"
            " WITHOUT ROWID"
        )

    def save(self, records: Iterable[Record]) -> None:
        """All of them or none."""
        rows = [
            (kind, key, json.dumps(body, default=vars, ensure_ascii=False)) for kind, key, body in records
        ]
        if not rows:
            return
        self._db.execute("BEGIN")
        self._db.executemany("INSERT OR REPLACE INTO record VALUES (?, ?, ?)", rows)
        self._db.execute("COMMIT")

    def read(self, kind: str) -> Iterator[tuple[int, Any]]:
        for key, body in self._db.execute("SELECT id, body FROM record WHERE kind = ? ORDER BY id", (kind,)):
            yield key, json.loads(body)

    def clear(self) -> None:
        self._db.execute("DELETE FROM record")

    def close(self) -> None:
        self._db.close()

"""What the warehouse tells its customer: queued with the act itself, sent until it is answered with success."""

from __future__ import annotations

import http.client
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from xml.etree import ElementTree

from integrations.warehouses.qimen.sandbox.faults import Faults
from integrations.warehouses.qimen.sandbox.store import Store
from integrations.warehouses.qimen.sandbox.wire import LONG_PREFIX, now_text, sign_call, write_document

logger = logging.getLogger(__name__)

CONFIRM = "deliveryorder.confirm"
PROGRESS = "orderprocess.report"
STOCK_CHANGE = "stockchange.report"
LACK = "itemlack.report"

_PRIORITIES = {CONFIRM: 0, STOCK_CHANGE: 0, LACK: 1, PROGRESS: 2}
_TRIES_OF_A_LIE = 3  # a forged or unknown confirm is refused for ever
_TRIES_OF_A_COURTESY = 3  # not every customer listens to itemlack.report
_BACK_OFF_FIRST_SECONDS = 0.2
_BACK_OFF_SECONDS_MAX = 15.0
_DELAY_SECONDS_MAX = 5.0
_ANSWER_SECONDS_MAX = 15.0
_BATCH = 200
_NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who signs: the call-backs carry the same names as the calls."""

    app_key: str
    secret: str
    customer_id: str


def queue_callback(
    db: sqlite3.Connection,
    faults: Faults,
    *,
    method: str,
    code: str,
    content: Mapping[str, Any],
    kind: str = "normal",
    after_id: int | None = None,
) -> int:
    """Remember to tell it; part of the caller's transaction. `after_id`: only when that one was accepted."""
    now = time.time()
    key = f"{method}|{code}|{kind}"
    delay = (
        _DELAY_SECONDS_MAX * faults.fraction("delay", key) if faults.is_hit("callback_delayed", key) else 0.0
    )
    return int(
        db.execute(
            "INSERT INTO callback (method, code, kind, body, priority, due_at, after_id, tries_max)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
            (
                method,
                code,
                kind,
                write_document("request", content),
                _PRIORITIES[method],
                _NEVER if after_id else now + delay,
                after_id,
                _tries_max(method, kind),
            ),
        ).fetchone()["id"]
    )


def _tries_max(method: str, kind: str) -> int | None:
    """None: until it is accepted."""
    if kind in ("forged", "unknown"):
        return _TRIES_OF_A_LIE
    return _TRIES_OF_A_COURTESY if method == LACK else None


class Messenger:
    """Sends what is due with several threads, each on a connection of its own."""

    def __init__(self, *, store: Store, faults: Faults, identity: Identity, url: str, threads: int) -> None:
        self._store = store
        self._faults = faults
        self._identity = identity
        self._url = url
        self._is_stopping = threading.Event()
        self._ready = threading.Event()
        self._work: queue.Queue[sqlite3.Row | None] = queue.Queue(maxsize=_BATCH)
        self._in_hand: set[int] = set()
        self._threads = [threading.Thread(target=self._deliver_due, daemon=True)]
        self._threads += [threading.Thread(target=self._send_all, daemon=True) for _ in range(threads)]

    def start(self) -> None:
        """Nothing is sent without an address, and nothing is forgotten either."""
        if self._url:
            for thread in self._threads:
                thread.start()

    def stop(self) -> None:
        self._is_stopping.set()
        self._ready.set()
        for _ in self._threads[1:]:
            try:
                self._work.put_nowait(None)
            except queue.Full:
                break

    def hurry(self) -> None:
        """Something new is due."""
        self._ready.set()

    def wait_until_told(self, code: str, *, seconds: float) -> None:
        """Until the confirm of a delivery was sent at least once, or the time is over."""
        until = time.monotonic() + seconds
        while self._url and time.monotonic() < until and not self._is_stopping.is_set():
            with self._store.transaction() as db:
                row = db.execute(
                    "SELECT 1 FROM callback WHERE code = ? AND method = ? AND tries > 0", (code, CONFIRM)
                ).fetchone()
            if row:
                return
            time.sleep(0.02)

    # --- the one that hands out ---

    def _deliver_due(self) -> None:
        while not self._is_stopping.is_set():
            try:
                rows = self._take_due()
            except sqlite3.ProgrammingError:
                return  # the store is closed
            for row in rows:
                self._put(row)
            if not rows:
                self._ready.wait(0.05)
                self._ready.clear()

    def _put(self, row: sqlite3.Row) -> None:
        while not self._is_stopping.is_set():
            try:
                self._work.put(row, timeout=0.2)
            except queue.Full:
                continue
            return

    def _take_due(self) -> list[sqlite3.Row]:
        with self._store.transaction() as db:
            due = db.execute(
                "SELECT * FROM callback WHERE is_done = 0 AND due_at <= ? ORDER BY priority, due_at LIMIT ?",
                (time.time(), _BATCH + len(self._in_hand)),
            ).fetchall()
            fresh = [row for row in due if row["id"] not in self._in_hand][:_BATCH]
            self._in_hand.update(row["id"] for row in fresh)
        return fresh

    # --- those that send ---

    def _send_all(self) -> None:
        line = _Line(self._url)
        while not self._is_stopping.is_set():
            row = self._work.get()
            if row is None:
                return
            query = row["query"] or self._signed_query(row)
            is_accepted = line.post(query, row["body"])
            try:
                self._settle(row, query, is_accepted=is_accepted)
            except sqlite3.ProgrammingError:
                return  # the store was closed while we were sending: it is sent again after the restart

    def _signed_query(self, row: sqlite3.Row) -> str:
        own = dict(parse_qsl(urlsplit(self._url).query))
        # some warehouses send the official name, some the short one: a receiver must know both
        name = row["method"] if row["id"] % 2 else LONG_PREFIX + row["method"]
        query = own | {
            "method": name,
            "timestamp": now_text(),
            "format": "xml",
            "app_key": self._identity.app_key,
            "v": "2.0",
            "sign_method": "md5",
            "customerId": self._identity.customer_id,
        }
        secret = "forged" if row["kind"] == "forged" else self._identity.secret
        query["sign"] = sign_call(query=query, body=row["body"], secret=secret)
        return urlencode(query)

    def _settle(self, row: sqlite3.Row, query: str, *, is_accepted: bool) -> None:
        tries = row["tries"] + 1
        is_done = is_accepted or (row["tries_max"] is not None and tries >= row["tries_max"])
        wait = min(_BACK_OFF_FIRST_SECONDS * 2 ** min(tries - 1, 10), _BACK_OFF_SECONDS_MAX)
        with self._store.transaction() as db:
            db.execute(
                "UPDATE callback SET tries = ?, is_done = ?, is_accepted = ?, due_at = ? WHERE id = ?",
                (tries, is_done, is_accepted, time.time() + wait, row["id"]),
            )
            if is_accepted:
                self._continue_with(db, row, query)
            self._in_hand.discard(row["id"])
        if is_accepted:
            self._ready.set()

    def _continue_with(self, db: sqlite3.Connection, row: sqlite3.Row, query: str) -> None:
        db.execute(
            "UPDATE callback SET due_at = ? WHERE after_id = ? AND is_done = 0", (time.time(), row["id"])
        )
        if row["kind"] == "normal" and self._faults.is_hit(
            "callback_replayed", f"{row['method']}|{row['code']}"
        ):
            later = time.time() + 1.0 + _DELAY_SECONDS_MAX * self._faults.fraction("replay", row["code"])
            db.execute(
                "INSERT INTO callback (method, code, kind, body, query, priority, due_at, tries_max)"
                " VALUES (?, ?, 'replay', ?, ?, ?, ?, ?)",
                (row["method"], row["code"], row["body"], query, row["priority"], later, _TRIES_OF_A_LIE),
            )


class _Line:
    """One kept-open connection to the receiver."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._connection: http.client.HTTPConnection | None = None

    def post(self, query: str, body: bytes) -> bool:
        """Whether the receiver answered flag success."""
        try:
            if self._connection is None:
                self._connection = self._open()
            self._connection.request(
                "POST", f"{self._parts.path or '/'}?{query}", body, {"Content-Type": "text/xml;charset=utf-8"}
            )
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            return False
        return answer.status == 200 and _is_success(content)

    def _open(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        return kind(self._parts.hostname or "", self._parts.port, timeout=_ANSWER_SECONDS_MAX)


def _is_success(content: bytes) -> bool:
    try:
        flag = ElementTree.fromstring(content).findtext("flag")  # noqa: S314 the answer of the one we work for
    except ElementTree.ParseError:
        return False
    return (flag or "").strip() == "success"

"""The floor of the warehouse: picks, packs and ships what is due, and queues what there is to tell about it."""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from integrations.warehouses.qimen.sandbox.callbacks import (
    CONFIRM,
    LACK,
    PROGRESS,
    STOCK_CHANGE,
    Messenger,
    queue_callback,
)
from integrations.warehouses.qimen.sandbox.deliveries import (
    find_delivery,
    list_due,
    list_lines,
    list_parcels,
    note_process,
    set_state,
)
from integrations.warehouses.qimen.sandbox.faults import Faults
from integrations.warehouses.qimen.sandbox.shelves import change_units, ship_units
from integrations.warehouses.qimen.sandbox.store import Store
from integrations.warehouses.qimen.sandbox.wire import now_text

logger = logging.getLogger(__name__)

_BATCH = 100
_NEXT = {"ACCEPT": "PICK", "PICK": "PACKAGE", "PACKAGE": "DELIVERED"}
STEPS_REPORTED = ("PICK", "PACKAGE")


class Floor:
    """One thread that moves every delivery a step further when its time has come.

    `pace`: seconds from the acceptance to the parcel; 0 is as fast as it can.
    """

    def __init__(
        self,
        *,
        store: Store,
        faults: Faults,
        messenger: Messenger,
        seed: int,
        pace: float,
        steps: Sequence[str],
    ) -> None:
        self.pace = pace
        self._store = store
        self._faults = faults
        self._messenger = messenger
        self._seed = seed
        self._steps = frozenset(steps)
        self._is_stopping = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._is_stopping.set()
        self._ready.set()

    def hurry(self) -> None:
        self._ready.set()

    def first_due_at(self) -> float:
        return time.time() + self.pace / 3

    def ship_at_once(self, code: str) -> None:
        """All steps now, whatever the pace."""
        with self._store.transaction() as db:
            delivery = find_delivery(db, code)
            if delivery["state"] == "ACCEPT":
                self._ship(db, delivery)
        self._messenger.hurry()

    def change_stock(self, *, warehouse: str, owner: str, item: str, quantity: int, reason: str) -> str:
        """Units were found or broke; the customer hears of it. Its outBizCode. Raises ItemUnknown or StockShort."""
        with self._store.transaction() as db:
            change_units(db, (warehouse, owner, item), quantity)
            out_biz_code = self._tell_stock_change(db, warehouse, owner, item, quantity, reason)
        self._messenger.hurry()
        return out_biz_code

    def _work(self) -> None:
        while not self._is_stopping.is_set():
            try:
                moved = self._advance_due()
            except sqlite3.ProgrammingError:
                return  # the store is closed
            except Exception:
                logger.exception("the floor stumbled")
                moved = 0
            if moved:
                self._messenger.hurry()
            else:
                self._ready.wait(0.05)
                self._ready.clear()

    def _advance_due(self) -> int:
        with self._store.transaction() as db:
            due = list_due(db, now=time.time(), limit=_BATCH)
            for delivery in due:
                if self.pace > 0:
                    self._advance(db, delivery)
                else:
                    self._ship(db, delivery)
        return len(due)

    def _advance(self, db: sqlite3.Connection, delivery: sqlite3.Row) -> None:
        state = _NEXT[delivery["state"]]
        if state == "DELIVERED":
            self._ship(db, delivery)
            return
        set_state(db, delivery["code"], state, due_at=time.time() + self.pace / 3)
        note_process(db, delivery["code"], state)
        # shuffled: nothing is told on the way, all of it backwards after the confirm
        if not self._faults.is_hit("progress_shuffled", delivery["code"]):
            self._tell_progress(db, delivery, state)

    def _ship(self, db: sqlite3.Connection, delivery: sqlite3.Row) -> None:
        code, is_shuffled = delivery["code"], self._faults.is_hit("progress_shuffled", delivery["code"])
        missed = ("PICK", "PACKAGE") if delivery["state"] == "ACCEPT" else ()
        for step in missed:
            note_process(db, code, step)
        lines = [dict(line) for line in list_lines(db, code)]
        self._pick(db, delivery, lines)
        confirm_id = self._pack(db, delivery, lines)
        set_state(db, code, "DELIVERED")
        db.execute("UPDATE delivery SET shipments = shipments + 1 WHERE code = ?", (code,))
        note_process(db, code, "DELIVERED")
        if delivery["is_cancel_promised"]:
            self._tell_progress(db, delivery, "TMSCANCELFAILED")
        if is_shuffled:
            package_id = self._tell_progress(db, delivery, "PACKAGE", after_id=confirm_id)
            self._tell_progress(db, delivery, "PICK", after_id=package_id)
            return
        for step in missed:
            self._tell_progress(db, delivery, step)

    def _pick(self, db: sqlite3.Connection, delivery: sqlite3.Row, lines: list[dict[str, Any]]) -> None:
        """Take the units from the shelves; `actual` of each line is what was there."""
        for line in lines:
            line["actual"] = line["plan"]
        if sum(line["plan"] for line in lines) > 1 and self._faults.is_hit("short_pick", delivery["code"]):
            lines[-1]["actual"] -= 1
        for line in lines:
            key = (delivery["warehouse"], line["owner"], line["item"])
            ship_units(db, key, planned=line["plan"], actual=line["actual"])
            db.execute("UPDATE line SET actual = ? WHERE rowid = ?", (line["actual"], line["rowid"]))
            if line["actual"] < line["plan"]:
                self._tell_lack(db, delivery, line)
                self._tell_stock_change(db, *key, line["actual"] - line["plan"], "not on its shelf")

    def _pack(
        self, db: sqlite3.Connection, delivery: sqlite3.Row, lines: Sequence[dict[str, Any]]
    ) -> int | None:
        code = delivery["code"]
        units = [(line, 1) for line in lines for _ in range(line["actual"])]
        is_partial = len(units) > 1 and self._faults.is_hit("partial_confirms", code)
        is_split = is_partial or (len(units) > 1 and self._faults.is_hit("two_packages", code))
        halves = [units[: len(units) // 2], units[len(units) // 2 :]] if is_split else [units]
        packed = [_count_by_line(half) for half in halves]
        for number, content in enumerate(packed, start=1):
            confirm = f"{code}-C{number if is_partial else 1}"
            db.execute(
                "INSERT INTO parcel (code, number, carrier, waybill, items, confirm) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    code,
                    number,
                    delivery["carrier"],
                    self._waybill(delivery, number),
                    json.dumps(content),
                    confirm,
                ),
            )
        return self._tell_confirms(db, delivery, lines, is_partial=is_partial)

    def _waybill(self, delivery: sqlite3.Row, number: int) -> str:
        digest = hashlib.sha256(f"{self._seed}|{delivery['code']}|{number}".encode()).digest()
        return f"{delivery['carrier']}{int.from_bytes(digest[:6], 'big'):015d}"

    # --- what is told ---

    def _tell_confirms(
        self,
        db: sqlite3.Connection,
        delivery: sqlite3.Row,
        lines: Sequence[dict[str, Any]],
        *,
        is_partial: bool,
    ) -> int | None:
        """Queue them one after the other; the id of the last one."""
        code = delivery["code"]
        parcels = list_parcels(db, code)
        groups = [[parcel] for parcel in parcels] if is_partial else [parcels]
        before: int | None = None
        for number, group in enumerate(groups, start=1):
            content = confirm_content(delivery, lines, group, is_final=number == len(groups))
            before = self._queue(db, CONFIRM, code, content, after_id=before)
            if self._faults.is_hit("confirm_twice", code):
                self._queue(db, CONFIRM, code, content, kind="twin")
            if self._faults.is_hit("confirm_forged", code):
                self._queue(db, CONFIRM, code, content, kind="forged")
        if self._faults.is_hit("confirm_unknown", code):
            ghost = confirm_content(
                {**dict(delivery), "code": f"GHOST-{code}"}, lines, parcels, is_final=True
            )
            ghost["deliveryOrder"]["outBizCode"] = f"GHOST-{code}-C1"
            self._queue(db, CONFIRM, f"GHOST-{code}", ghost, kind="unknown")
        return before

    def _tell_progress(
        self, db: sqlite3.Connection, delivery: sqlite3.Row, status: str, *, after_id: int | None = None
    ) -> int | None:
        if status in STEPS_REPORTED and status not in self._steps:
            return after_id
        content = {
            "order": {
                "orderCode": delivery["code"],
                "orderId": delivery["id"],
                "orderType": delivery["order_type"],
                "warehouseCode": delivery["warehouse"],
            },
            "process": {"processStatus": status, "operatorName": "picker 7", "operateTime": now_text()},
        }
        return self._queue(db, PROGRESS, delivery["code"], content, after_id=after_id)

    def _tell_lack(self, db: sqlite3.Connection, delivery: sqlite3.Row, line: Mapping[str, Any]) -> None:
        content = {
            "warehouseCode": delivery["warehouse"],
            "deliveryOrderCode": delivery["code"],
            "deliveryOrderId": delivery["id"],
            "createTime": now_text(),
            "outBizCode": f"{delivery['code']}-L{line['line_no']}",
            "items": [
                {
                    "itemCode": line["item"],
                    "inventoryType": "ZP",
                    "planQty": line["plan"],
                    "lackQty": line["plan"] - line["actual"],
                    "reason": "not on its shelf",
                }
            ],
        }
        self._queue(db, LACK, delivery["code"], content)

    def _tell_stock_change(
        self, db: sqlite3.Connection, warehouse: str, owner: str, item: str, quantity: int, reason: str
    ) -> str:
        row = db.execute("INSERT INTO change (at) VALUES (?) RETURNING id", (now_text(),)).fetchone()
        # the number of changes outlives a reset, so that no code ever names two movements
        out_biz_code = f"SC-{self._seed}-{row['id']}"
        content = {
            "items": [
                {
                    "ownerCode": owner,
                    "warehouseCode": warehouse,
                    "orderCode": out_biz_code,
                    "orderType": "CHECK",
                    "outBizCode": out_biz_code,
                    "itemCode": item,
                    "inventoryType": "ZP",
                    "quantity": quantity,
                    "changeTime": now_text(),
                    "remark": reason,
                }
            ]
        }
        self._queue(db, STOCK_CHANGE, out_biz_code, content)
        return out_biz_code

    def _queue(
        self,
        db: sqlite3.Connection,
        method: str,
        code: str,
        content: Mapping[str, Any],
        *,
        kind: str = "normal",
        after_id: int | None = None,
    ) -> int:
        return queue_callback(
            db, self._faults, method=method, code=code, content=content, kind=kind, after_id=after_id
        )


def _count_by_line(units: Sequence[tuple[Mapping[str, Any], int]]) -> list[dict[str, Any]]:
    counted: dict[str, dict[str, Any]] = {}
    for line, one in units:
        entry = counted.setdefault(
            line["line_no"], {"line_no": line["line_no"], "item": line["item"], "quantity": 0}
        )
        entry["quantity"] += one
    return list(counted.values())


def confirm_content(
    delivery: Mapping[str, Any] | sqlite3.Row,
    lines: Sequence[Mapping[str, Any]],
    parcels: Sequence[sqlite3.Row],
    *,
    is_final: bool,
) -> dict[str, Any]:
    """`deliveryorder.confirm` for these parcels; quantities of lines are those of this confirm."""
    contents = [(parcel, json.loads(parcel["items"])) for parcel in parcels]
    shipped: dict[str, int] = {}
    for _, items in contents:
        for item in items:
            shipped[item["line_no"]] = shipped.get(item["line_no"], 0) + item["quantity"]
    return {
        "deliveryOrder": {
            "deliveryOrderCode": delivery["code"],
            "deliveryOrderId": delivery["id"],
            "warehouseCode": delivery["warehouse"],
            "orderType": delivery["order_type"],
            "status": "DELIVERED" if is_final else "PARTDELIVERED",
            "outBizCode": parcels[0]["confirm"] if parcels else f"{delivery['code']}-C1",
            "confirmType": 0 if is_final else 1,
            "orderConfirmTime": now_text(),
            "operateTime": now_text(),
        },
        "packages": [write_package(parcel, items) for parcel, items in contents],
        "orderLines": [write_line(line, shipped.get(line["line_no"], 0)) for line in lines],
    }


def write_package(
    parcel: Mapping[str, Any] | sqlite3.Row, items: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    return {
        "logisticsCode": parcel["carrier"],
        "expressCode": parcel["waybill"],
        "packageCode": f"{parcel['code']}-P{parcel['number']}",
        "weight": f"{sum(item['quantity'] for item in items) * 0.35:.3f}",
        "items": [{"itemCode": item["item"], "quantity": item["quantity"]} for item in items],
    }


def write_line(line: Mapping[str, Any] | sqlite3.Row, actual: int) -> dict[str, Any]:
    return {
        "orderLineNo": line["line_no"],
        "orderSourceCode": line["source_order"],
        "subSourceCode": line["source_line"],
        "itemCode": line["item"],
        "inventoryType": "ZP",
        "ownerCode": line["owner"],
        "planQty": line["plan"],
        "actualQty": actual,
    }

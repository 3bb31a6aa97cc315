"""The methods that the customer calls: each answers flag success or failure, never an HTTP error."""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree.ElementTree import Element

from integrations.warehouses.qimen.sandbox.callbacks import Identity, Messenger
from integrations.warehouses.qimen.sandbox.deliveries import (
    DeliveryUnknown,
    TooLateToCancel,
    WantedDelivery,
    WantedLine,
    cancel_delivery,
    create_delivery,
    find_delivery,
    list_lines,
    list_parcels,
    list_processes,
)
from integrations.warehouses.qimen.sandbox.faults import Faults
from integrations.warehouses.qimen.sandbox.floor import Floor, confirm_content
from integrations.warehouses.qimen.sandbox.shelves import ItemUnknown, StockShort, learn_item, list_stock
from integrations.warehouses.qimen.sandbox.store import Store
from integrations.warehouses.qimen.sandbox.wire import (
    Malformed,
    now_text,
    read_request,
    short_name,
    sign_call,
    text_of,
    write_document,
)

PAGE_SIZE_MAX = 100
_EARLY_CONFIRM_SECONDS_MAX = 2.0

# required by the field table of taobao.qimen.deliveryorder.create
_ORDER_FIELDS = (
    "deliveryOrderCode",
    "orderType",
    "warehouseCode",
    "createTime",
    "placeOrderTime",
    "operateTime",
    "shopNick",
    "logisticsCode",
    "receiverInfo/name",
    "receiverInfo/mobile",
    "receiverInfo/province",
    "receiverInfo/city",
    "receiverInfo/detailAddress",
)
_LINE_FIELDS = ("ownerCode", "itemCode", "planQty", "actualPrice")
_ITEM_FIELDS = ("itemCode", "itemName", "barCode", "itemType")


class Refused(Exception):
    """The answer is flag failure with this code and message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Broken(Exception):
    """The gateway breaks before the method began."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes over the wire. `status` 200 but for a fault; `is_dropped`: the connection dies without an answer."""

    body: bytes = b""
    status: int = 200
    is_dropped: bool = False


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a method did: the fields of its answer and the faults that may spoil the answer, in order."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    spoiled_by: tuple[str, ...] = ()


class Gateway:
    def __init__(
        self, *, store: Store, faults: Faults, floor: Floor, messenger: Messenger, identity: Identity
    ) -> None:
        self._store = store
        self._faults = faults
        self._floor = floor
        self._messenger = messenger
        self._identity = identity
        self._calls = 0
        self._tries: Counter[str] = Counter()
        self._methods: Mapping[str, Callable[[Element], _Outcome]] = {
            "deliveryorder.create": self._create,
            "deliveryorder.query": self._query,
            "order.cancel": self._cancel,
            "inventory.query": self._query_inventory,
            "stock.query": self._query_stock,
            "orderprocess.query": self._query_process,
            "singleitem.synchronize": self._synchronize_item,
        }

    def answer(self, query: Mapping[str, str], body: bytes) -> Reply:
        self._calls += 1
        call_key = str(self._calls)
        try:
            self._check_signature(query, body)
            method = short_name(query.get("method", ""))
            act = self._methods.get(method)
            if act is None:
                raise Refused("isv.invalid-method", f"there is no method {method!r} here")
            if method.endswith(".query") and self._faults.is_hit("query_500", call_key):
                return Reply(b"Internal Server Error", status=500)
            outcome = act(read_request(body))
        except Refused as refused:
            return _truncate_or_not(self._faults, call_key, _failure(refused.code, refused.message))
        except Broken:
            return Reply(b"Internal Server Error", status=500)
        except Malformed as malformed:
            return Reply(_failure("isv.invalid-xml", str(malformed)))
        return self._spoil(outcome, call_key)

    def _check_signature(self, query: Mapping[str, str], body: bytes) -> None:
        expected = sign_call(query=query, body=body, secret=self._identity.secret)
        if not hmac.compare_digest(expected.encode(), query.get("sign", "").encode()):
            raise Refused("sign-check-failure", "Illegal request")
        if query.get("app_key") != self._identity.app_key:
            raise Refused("isv.invalid-app-key", "this app key is not ours")
        if query.get("customerId") != self._identity.customer_id:
            raise Refused("isv.invalid-customer", "this customerId is not ours")

    def _spoil(self, outcome: _Outcome, call_key: str) -> Reply:
        for name in outcome.spoiled_by:
            if not self._faults.is_hit(name, outcome.key):
                continue
            if name.endswith("_500"):
                return Reply(b"Internal Server Error", status=500)
            if name == "create_timeout":
                return Reply(is_dropped=True)
            return Reply(_failure("isv.order-exists", "订单已存在 (the order already exists)"))
        success = {"flag": "success", "code": "0", "message": "ok", **outcome.fields}
        return _truncate_or_not(self._faults, call_key, write_document("response", success))

    # --- deliveries ---

    def _create(self, request: Element) -> _Outcome:
        wanted = read_delivery(request)
        with self._store.transaction() as db:
            row = db.execute("SELECT asked FROM delivery WHERE code = ?", (wanted.code,)).fetchone()
        # the dice are thrown anew for each repetition, or a fault would stay for ever
        key = f"{wanted.code}|{row['asked'] if row else 0}"
        if row is None:
            self._refuse_create(wanted.code)
        try:
            with self._store.transaction() as db:
                delivery_id, is_new = create_delivery(db, wanted, due_at=self._floor.first_due_at())
        except (ItemUnknown, StockShort) as problem:
            raise Refused("isv.stock-short", str(problem)) from problem
        if is_new and self._faults.is_hit("confirm_early", wanted.code):
            self._floor.ship_at_once(wanted.code)
            self._messenger.wait_until_told(wanted.code, seconds=_EARLY_CONFIRM_SECONDS_MAX)
        elif is_new:
            self._floor.hurry()
        return _Outcome(
            {"deliveryOrderId": delivery_id, "createTime": now_text(), "warehouseCode": wanted.warehouse},
            key,
            ("create_500", "create_timeout", "create_exists"),
        )

    def _refuse_create(self, code: str) -> None:
        """Before anything happened; each try of the same code has its own dice."""
        self._tries[code] += 1
        key = f"{code}|{self._tries[code]}"
        if self._faults.is_hit("create_refused", key):
            raise Refused("isv.address-not-served", "no carrier of this warehouse serves the address")
        if self._faults.is_hit("create_500_before", key):
            raise Broken

    def _cancel(self, request: Element) -> _Outcome:
        code = _required(request, "orderCode")
        _required(request, "warehouseCode")
        try:
            with self._store.transaction() as db:
                cancels = find_delivery(db, code)["cancels"]
                cancel_delivery(db, code, is_lie=self._faults.is_hit("cancel_too_late", code))
        except DeliveryUnknown as problem:
            raise Refused("isv.order-unknown", str(problem)) from problem
        except TooLateToCancel as problem:
            raise Refused("isv.order-picked", str(problem)) from problem
        return _Outcome(key=f"{code}|{cancels}", spoiled_by=("cancel_500",))

    def _query(self, request: Element) -> _Outcome:
        code = _required(request, "orderCode")
        page, size = _paging(request)
        with self._store.transaction() as db:
            delivery = self._find(db, code)
            lines, parcels = list_lines(db, code), list_parcels(db, code)
        shown = lines[(page - 1) * size : page * size]
        content = confirm_content(delivery, [dict(line) for line in shown], parcels, is_final=True)
        content["deliveryOrder"] |= {"status": _STATUS_WORDS.get(delivery["state"], delivery["state"])}
        if not parcels:
            for name in ("outBizCode", "orderConfirmTime", "confirmType"):
                content["deliveryOrder"].pop(name)
        return _Outcome({"totalLines": len(lines), **content})

    def _query_process(self, request: Element) -> _Outcome:
        code = _required(request, "orderCode")
        with self._store.transaction() as db:
            delivery = self._find(db, code)
            steps = list_processes(db, code)
        processes = [{"processStatus": step["status"], "operateTime": step["happened_at"]} for step in steps]
        return _Outcome(
            {
                "orderProcess": {
                    "orderCode": code,
                    "orderId": delivery["id"],
                    "orderType": delivery["order_type"],
                    "warehouseCode": delivery["warehouse"],
                    "processes": processes,
                }
            }
        )

    def _find(self, db: Any, code: str) -> Any:
        try:
            return find_delivery(db, code)
        except DeliveryUnknown as problem:
            raise Refused("isv.order-unknown", str(problem)) from problem

    # --- stock ---

    def _query_inventory(self, request: Element) -> _Outcome:
        criteria = request.findall("criteriaList/criteria")
        if not criteria:
            raise Refused("isv.missing-parameter", "criteriaList is missing")
        items = []
        with self._store.transaction() as db:
            for wanted in criteria:
                found = list_stock(
                    db,
                    warehouse=text_of(wanted, "warehouseCode"),
                    owner=text_of(wanted, "ownerCode"),
                    item=_required(wanted, "itemCode"),
                )
                items += [write_stock(row, extra=self._miscount(row)) for row in found]
        return _Outcome({"items": items})

    def _query_stock(self, request: Element) -> _Outcome:
        page, size = _paging(request)
        with self._store.transaction() as db:
            found = list_stock(
                db,
                warehouse=text_of(request, "warehouseCode"),
                owner=text_of(request, "ownerCode"),
                item=text_of(request, "itemCode"),
            )
        shown = found[(page - 1) * size : page * size]
        return _Outcome(
            {
                "totalCount": len(found),
                "items": [write_stock(row, extra=self._miscount(row)) for row in shown],
            }
        )

    def _miscount(self, row: Any) -> int:
        """The same items every time: a miscount stays until somebody mends it."""
        return int(self._faults.is_hit("stock_differs", f"{row['warehouse']}|{row['owner']}|{row['item']}"))

    def _synchronize_item(self, request: Element) -> _Outcome:
        if _required(request, "actionType") not in ("add", "update"):
            raise Refused("isv.invalid-parameter", "actionType must be add or update")
        for name in _ITEM_FIELDS:
            _required(request, f"item/{name}")
        item = text_of(request, "item/itemCode")
        with self._store.transaction() as db:
            learn_item(db, (_required(request, "warehouseCode"), _required(request, "ownerCode"), item))
        return _Outcome({"itemId": f"WMS-{item}"})


_STATUS_WORDS = {"PICK": "ACCEPT", "PACKAGE": "ACCEPT"}
"""The status of a delivery has no words for the steps inside the house; orderprocess.query has."""


def read_delivery(request: Element) -> WantedDelivery:
    """The delivery that is asked for. Raises Refused and names the field that is missing or wrong."""
    order = request.find("deliveryOrder")
    if order is None:
        raise Refused("isv.missing-parameter", "deliveryOrder is missing")
    for name in _ORDER_FIELDS:
        _required(order, name)
    lines = [
        read_line(line, place) for place, line in enumerate(request.findall("orderLines/orderLine"), start=1)
    ]
    if not lines:
        raise Refused("isv.missing-parameter", "orderLines are missing")
    if len({line.line_no for line in lines}) != len(lines):
        raise Refused("isv.invalid-parameter", "orderLineNo is not unique")
    return WantedDelivery(
        code=text_of(order, "deliveryOrderCode"),
        order_type=text_of(order, "orderType"),
        warehouse=text_of(order, "warehouseCode"),
        carrier=text_of(order, "logisticsCode"),
        lines=lines,
    )


def read_line(line: Element, place: int) -> WantedLine:
    for name in _LINE_FIELDS:
        _required(line, name)
    plan = text_of(line, "planQty")
    if not plan.isdecimal() or int(plan) == 0:
        raise Refused("isv.invalid-parameter", f"planQty {plan!r} is not a number above zero")
    return WantedLine(
        line_no=text_of(line, "orderLineNo") or str(place),
        owner=text_of(line, "ownerCode"),
        item=text_of(line, "itemCode"),
        source_order=text_of(line, "sourceOrderCode"),
        source_line=text_of(line, "subSourceOrderCode"),
        plan=int(plan),
    )


def write_stock(row: Any, *, extra: int = 0) -> dict[str, Any]:
    """`quantity` is what is free, `lockQuantity` what is promised to deliveries that have not left."""
    return {
        "warehouseCode": row["warehouse"],
        "itemCode": row["item"],
        "inventoryType": "ZP",
        "quantity": row["quantity"] - row["locked"] + extra,
        "lockQuantity": row["locked"],
    }


def _paging(request: Element) -> tuple[int, int]:
    page, size = _required(request, "page"), _required(request, "pageSize")
    if not page.isdecimal() or not size.isdecimal() or int(page) < 1 or not 1 <= int(size) <= PAGE_SIZE_MAX:
        raise Refused("isv.invalid-parameter", f"page from 1, pageSize from 1 to {PAGE_SIZE_MAX}")
    return int(page), int(size)


def _required(element: Element, name: str) -> str:
    found = text_of(element, name)
    if not found:
        raise Refused("isv.missing-parameter", f"{name} is missing")
    return found


def _failure(code: str, message: str) -> bytes:
    return write_document("response", {"flag": "failure", "code": code, "message": message})


def _truncate_or_not(faults: Faults, call_key: str, body: bytes) -> Reply:
    return Reply(body[: len(body) * 2 // 3] if faults.is_hit("truncated_answer", call_key) else body)

"""Reads what a warehouse tells us by itself, and answers it; decides and stores nothing.

Source: Qimen documentation of deliveryorder.confirm, deliveryorder.batchconfirm, orderprocess.report,
stockchange.report and inventory.report.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Literal

from integrations.contract import (
    DeliveryNotice,
    ParcelNotice,
    ProgressNotice,
    StockChangeNotice,
    WarehouseNotices,
)
from integrations.warehouses.qimen.documents import (
    PREFIX,
    BadDocument,
    build_document,
    fingerprint,
    parse_document,
    read_items,
    read_text,
    read_time,
)
from integrations.warehouses.qimen.signing import is_signed

if TYPE_CHECKING:
    from datetime import datetime
    from xml.etree.ElementTree import Element

State = Literal["shipped", "part_shipped", "cancelled", "rejected", "exception", "accepted"]

_STATES: Mapping[str, State] = {
    "DELIVERED": "shipped",
    "PARTDELIVERED": "part_shipped",
    "CANCELED": "cancelled",
    "CLOSED": "cancelled",
    "REJECT": "rejected",
    "EXCEPTION": "exception",
    "NEW": "accepted",
    "ACCEPT": "accepted",
    "CANCELEDFAIL": "accepted",  # we asked to cancel and it could not: the order lives on
}
_NEVER_FINAL = frozenset({"accepted", "exception", "part_shipped"})


class BadSignature(Exception):
    """The call is not signed with our secret: answer it with `sign-check-failure` and believe nothing in it."""


class BadCallback(Exception):
    """The call is signed, but no notice can be read from it; the text says why."""


def read_callback(
    *, query: Mapping[str, str], body: bytes, secret: str, settings: Mapping[str, Any] | None = None
) -> WarehouseNotices:
    """The notices in one signed call, in its order. Raises BadSignature and BadCallback.

    `query`: the raw values of the URL's query; `body`: byte for byte as it came. `settings`: those of the connection;
    its carrier_codes (our code → theirs) are read backwards. The same event always has the same `event_key`.
    """
    if query.get("sign_method", "md5") != "md5" or not is_signed(query=query, body=body, secret=secret):
        raise BadSignature("the signature does not fit the query and the body")
    method = query.get("method", "").removeprefix(PREFIX)
    read = _READERS.get(method)
    if read is None:
        raise BadCallback(f"nothing here listens to the method {method or '(none)'}")
    try:
        root = parse_document(body)
        if root.tag != "request":
            raise BadCallback(f"the root element is {root.tag}, not request")
        return read(root, _carriers_backwards(settings or {}))
    except BadDocument as wrong:
        raise BadCallback(str(wrong)) from wrong


def answer_success() -> bytes:
    return build_document("response", {"flag": "success", "code": "0", "message": "ok"})


def answer_failure(code: str, message: str) -> bytes:
    return build_document("response", {"flag": "failure", "code": code, "message": message})


def _carriers_backwards(settings: Mapping[str, Any]) -> dict[str, str]:
    """Two of our codes may share one of theirs: then the first one is meant."""
    backwards: dict[str, str] = {}
    for ours, theirs in settings.get("carrier_codes", {}).items():
        backwards.setdefault(theirs, ours)
    return backwards


# delivery orders


def _read_confirm(root: Element, carriers: Mapping[str, str]) -> WarehouseNotices:
    return [_read_delivery(root, carriers)]


def _read_batch_confirm(root: Element, carriers: Mapping[str, str]) -> WarehouseNotices:
    orders = read_items(root, "orders", "order")
    if not orders:
        raise BadCallback("orders/order is missing")
    return [_read_delivery(order, carriers) for order in orders]


def _read_delivery(element: Element, carriers: Mapping[str, str]) -> DeliveryNotice:
    order = element.find("deliveryOrder")
    if order is None:
        raise BadCallback("deliveryOrder is missing")
    number = _required(order, "deliveryOrderCode")
    # the status is optional: a confirmation that does not say otherwise means that the goods have left
    status = read_text(order, "status") or "DELIVERED"
    state = _STATES.get(status, "exception")
    return DeliveryNotice(
        event_key=_key(
            "deliveryorder.confirm", number, read_text(order, "outBizCode") or fingerprint(element)
        ),
        number=number,
        warehouse_code=_required(order, "warehouseCode"),
        state=state,
        raw_state=status,
        is_final=_is_final(order, state),
        happened_at=_first_time(order, "orderConfirmTime", "operateTime"),
        parcels=[_read_parcel(each, carriers) for each in read_items(element, "packages", "package")],
        lines=[_read_line(each) for each in read_items(element, "orderLines", "orderLine")],
        detail=_describe(order, status),
    )


def _is_final(order: Element, state: State) -> bool:
    """confirmType 0 is final, 1 intermediate; without it only a state that ends the order is."""
    kind = read_text(order, "confirmType")
    if kind not in ("", "0", "1"):
        raise BadCallback(f"confirmType is {kind}, neither 0 nor 1")
    return kind == "0" if kind else state not in _NEVER_FINAL


def _describe(order: Element, status: str) -> str:
    remark = read_text(order, "remark")
    return remark if status in _STATES else f"unknown status {status}; {remark}".rstrip("; ")


def _read_parcel(package: Element, carriers: Mapping[str, str]) -> ParcelNotice:
    carrier = _required(package, "logisticsCode")
    items = read_items(package, "items", "item")
    return ParcelNotice(
        carrier_code=carriers.get(carrier, carrier),
        tracking_no=_required(package, "expressCode"),
        items=[(_required(item, "itemCode"), _read_count(item, "quantity")) for item in items],
        weight_grams=_read_grams(package),
    )


def _read_line(line: Element) -> tuple[str, str, int]:
    return read_text(line, "orderLineNo"), _required(line, "itemCode"), _read_count(line, "actualQty")


def _read_grams(package: Element) -> int | None:
    """Weights come in kilograms. One that is no number is left out: it must not hold up a parcel."""
    try:
        weight = Decimal(read_text(package, "weight") or "NaN")
    except InvalidOperation:
        return None
    return int(weight * 1000) if weight.is_finite() and 0 <= weight < 1_000_000 else None


# progress


def _read_progress(root: Element, carriers: Mapping[str, str]) -> WarehouseNotices:
    order, process = root.find("order"), root.find("process")
    if order is None or process is None:
        raise BadCallback("order or process is missing")
    number = _required(order, "orderCode")
    notice = ProgressNotice(
        # this report has no outBizCode
        event_key=_key("orderprocess.report", number, fingerprint(root)),
        number=number,
        step=_required(process, "processStatus"),
        happened_at=read_time(read_text(process, "operateTime")),
        operator=read_text(process, "operatorName"),
        detail=read_text(process, "operateInfo") or read_text(process, "remark"),
    )
    return [notice]


# stock


def _read_stock_changes(root: Element, carriers: Mapping[str, str]) -> WarehouseNotices:
    items = _required_items(root)
    keys = _keys_of("stockchange.report", [(item, read_text(item, "outBizCode")) for item in items])
    changes = [
        _read_change(
            item,
            key,
            warehouse_code=_required(item, "warehouseCode"),
            owner_code=_required(item, "ownerCode"),
            reason=_join(item, "orderType", "orderCode", "remark"),
            happened_at=read_time(read_text(item, "changeTime")),
        )
        for item, key in zip(items, keys, strict=True)
    ]
    return [change for change in changes if change.quantity]


def _read_count_report(root: Element, carriers: Mapping[str, str]) -> WarehouseNotices:
    """Stock-taking: `quantity` is the difference found. Its pages may share one outBizCode."""
    items = _required_items(root)
    code = read_text(root, "outBizCode")
    event = f"{code}:{read_text(root, 'currentPage') or '1'}" if code else ""
    keys = _keys_of("inventory.report", [(item, event) for item in items])
    reason = _join(root, "adjustType", "checkOrderCode", "remark")
    changes = [
        _read_change(
            item,
            key,
            warehouse_code=_required(root, "warehouseCode"),
            owner_code=_required(root, "ownerCode"),
            reason=reason,
            happened_at=read_time(read_text(root, "checkTime")),
        )
        for item, key in zip(items, keys, strict=True)
    ]
    return [change for change in changes if change.quantity]  # counted as expected: nothing moved


def _read_change(
    item: Element,
    key: str,
    *,
    warehouse_code: str,
    owner_code: str,
    reason: str,
    happened_at: datetime | None,
) -> StockChangeNotice:
    return StockChangeNotice(
        event_key=key,
        warehouse_code=warehouse_code,
        owner_code=owner_code,
        sku_code=_required(item, "itemCode"),
        quantity=_read_whole(item, "quantity"),
        reason=reason,
        happened_at=happened_at,
        inventory_type=read_text(item, "inventoryType") or "ZP",
    )


def _keys_of(method: str, events: list[tuple[Element, str]]) -> list[str]:
    """One event may move several SKUs, and one SKU in several batches: each movement gets a key of its own.

    With an outBizCode only what names the movement counts, so that a repeated call may word the rest differently;
    without one the whole content does. Movements of the same name are told apart by their place.
    """
    seen: Counter[str] = Counter()
    keys = []
    for item, event in events:
        named = [read_text(item, name) for name in ("itemCode", "inventoryType", "batchCode")]
        key = _key(method, event, *named) if event else _key(method, fingerprint(item))
        seen[key] += 1
        keys.append(_key(key, str(seen[key])))
    return keys


def _key(*parts: str) -> str:
    """Short enough for an indexed column, whatever the other side sends."""
    key = ":".join(parts)
    return key if len(key) <= 160 else hashlib.sha256(key.encode()).hexdigest()


def _join(element: Element, *names: str) -> str:
    return " ".join(text for name in names if (text := read_text(element, name)))


# fields


def _required(element: Element, name: str) -> str:
    text = read_text(element, name)
    if not text:
        raise BadCallback(f"{element.tag}/{name} is missing")
    return text


def _required_items(root: Element) -> list[Element]:
    items = read_items(root, "items", "item")
    if not items:
        raise BadCallback("items/item is missing")
    return items


def _first_time(element: Element, *names: str) -> datetime | None:
    return next((moment for name in names if (moment := read_time(read_text(element, name)))), None)


def _read_whole(element: Element, name: str) -> int:
    """A whole number, also as 3.0, as some warehouses write it."""
    text = _required(element, name)
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number != number.to_integral_value() or abs(number) > 10**9:
        raise BadCallback(f"{element.tag}/{name} is not a whole number: {text[:40]}")
    return int(number)


def _read_count(element: Element, name: str) -> int:
    number = _read_whole(element, name)
    if number < 0:
        raise BadCallback(f"{element.tag}/{name} is negative: {number}")
    return number


_READERS: Mapping[str, Callable[[Element, Mapping[str, str]], WarehouseNotices]] = {
    "deliveryorder.confirm": _read_confirm,
    "deliveryorder.batchconfirm": _read_batch_confirm,
    "orderprocess.report": _read_progress,
    "stockchange.report": _read_stock_changes,
    "inventory.report": _read_count_report,
}

"""Speaks Qimen to one warehouse: delivery orders out, questions about them, cancellations, stock read.

Source: Qimen documentation of deliveryorder.create, deliveryorder.query, order.cancel, inventory.query, stock.query.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from integrations.contract import (
    ChannelRejected,
    ChannelUnavailable,
    DeliveryLine,
    DeliveryOrder,
    StockPage,
    WarehouseAnswer,
    WarehouseStock,
)
from integrations.warehouses.qimen.description import DESCRIPTION
from integrations.warehouses.qimen.documents import (
    CHINA,
    PREFIX,
    BadDocument,
    Many,
    Node,
    build_document,
    parse_document,
    read_items,
    read_text,
    show_time,
)
from integrations.warehouses.qimen.signing import sign_call
from omni.kernel.http import HttpAnswer, HttpClient, HttpFailed

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_CRITERIA_MAX = 50
_STOCK_PAGE = 100
_STOCK_PAGES_MAX = 5000
_SALE = "JYCK"

# How it is said differs from vendor to vendor: the text is never believed alone, they are asked what they have.
_EXISTS = re.compile("已存在|重复|已经存在|already exist|duplicate", re.IGNORECASE)
_ALREADY_CANCELLED = re.compile("已取消|已经取消|重复取消|already cancel", re.IGNORECASE)
_QUERY_PAGES_MAX = 20
_NOT_FOUND = re.compile("不存在|查无|无此|未找到|找不到|not exist|not found|no such", re.IGNORECASE)
_BAN_SECONDS = re.compile(r"(\d+)\s+more second")

_DEAD = frozenset({"CANCELED", "CLOSED", "REJECT"})
_AUTH_CODES = frozenset(
    {"25", "26", "27", "28", "29", "sign-check-failure", "isv.invalid-signature", "isv.appkey-not-exists"}
)


class QimenAdapter:
    """One warehouse.

    `credentials`: app_key, secret, customer_id. `settings`, all optional: carrier_codes (our code → theirs),
    order_carrier_default, short_method_names, owner_code, warehouse_code, and sender (name, mobile, province,
    city, address).
    """

    description = DESCRIPTION

    def __init__(
        self, *, base_url: str, credentials: Mapping[str, Any], settings: Mapping[str, Any], http: HttpClient
    ) -> None:
        self._base_url = base_url
        self._credentials = credentials
        self._settings = settings
        self._http = http

    def greet(self) -> str:
        """Ask for an order that cannot be there: that it is not known says that address and signature are right."""
        self.find_delivery(number=f"OMNI-HELLO-{datetime.now(tz=CHINA):%Y%m%d%H%M%S}")
        return str(self._settings.get("warehouse_code", ""))

    def create_delivery(self, *, order: DeliveryOrder) -> WarehouseAnswer:
        """Idempotent by `order.number`: an order that the warehouse already has is `ok`.

        Raises ChannelUnavailable (`is_unknown_outcome`: find_delivery before repeating) and ChannelRejected.
        """
        content: dict[str, Node] = {
            "deliveryOrder": self._show_order(order),
            "orderLines": Many("orderLine", [_show_line(line, order.owner_code) for line in order.lines]),
        }
        response = self._call("deliveryorder.create", content, is_write=True)
        if _is_success(response):
            return WarehouseAnswer(key=order.number, ok=True, outer_id=read_text(response, "deliveryOrderId"))
        refusal = _refusal(order.number, response)
        if not _EXISTS.search(refusal.detail):
            return refusal
        return self.find_delivery(number=order.number) or refusal

    def find_delivery(self, *, number: str) -> WarehouseAnswer | None:
        """The order as the warehouse has it: `code` is its status; one that was cancelled or rejected is not `ok`.

        None: the warehouse says that it does not have it.
        """
        response = self._query_delivery(number, page=1)
        return None if response is None else _read_found(number, response)

    def count_sent(self, *, number: str) -> int | None:
        """The actual quantities of its lines, page by page."""
        sent, seen = 0, 0
        for page in range(1, _QUERY_PAGES_MAX + 1):
            response = self._query_delivery(number, page=page)
            if response is None:
                return None
            lines = read_items(response, "orderLines", "orderLine")
            sent += sum(_read_int(line, "actualQty") for line in lines)
            seen += len(lines)
            if not lines or seen >= _read_int(response, "totalLines"):
                return sent
        raise ChannelRejected(f"deliveryorder.query {number}: it does not end after {_QUERY_PAGES_MAX} pages")

    def _query_delivery(self, number: str, *, page: int) -> Element | None:
        content: dict[str, Node] = {
            "ownerCode": str(self._settings.get("owner_code", "")),
            "warehouseCode": str(self._settings.get("warehouse_code", "")),
            "orderCode": number,
            "page": page,
            "pageSize": 100,
        }
        response = self._call("deliveryorder.query", content, is_write=False)
        if _is_success(response):
            return response
        refusal = _refusal(number, response)
        if _NOT_FOUND.search(refusal.detail):
            return None
        raise ChannelRejected(f"deliveryorder.query {number}: {refusal.detail}", code=refusal.code)

    def cancel_delivery(
        self, *, number: str, warehouse_code: str, owner_code: str, reason: str
    ) -> WarehouseAnswer:
        """Ask; the synchronous answer decides. "Already cancelled" is believed after reading back."""
        content: dict[str, Node] = {
            "warehouseCode": warehouse_code,
            "ownerCode": owner_code,
            "orderCode": number,
            "orderType": _SALE,
            "cancelReason": reason,
        }
        response = self._call("order.cancel", content, is_write=True)
        if _is_success(response):
            return WarehouseAnswer(key=number, ok=True)
        refusal = _refusal(number, response)
        if _ALREADY_CANCELLED.search(refusal.detail):
            found = self.find_delivery(number=number)
            if found is not None and found.code in _DEAD:
                return WarehouseAnswer(key=number, ok=True, outer_id=found.outer_id, code=found.code)
        return refusal

    def read_stock(
        self, *, warehouse_code: str, owner_code: str, sku_codes: Sequence[str]
    ) -> list[WarehouseStock]:
        """One row per SKU and inventory type, batches added up. A SKU that the warehouse does not know has no row."""
        totals: dict[tuple[str, str], tuple[int, int]] = {}
        for start in range(0, len(sku_codes), _CRITERIA_MAX):
            codes = sku_codes[start : start + _CRITERIA_MAX]
            for item in self._query_inventory(warehouse_code, owner_code, codes):
                key = (read_text(item, "itemCode"), read_text(item, "inventoryType") or "ZP")
                free, locked = totals.get(key, (0, 0))
                totals[key] = (free + _read_int(item, "quantity"), locked + _read_int(item, "lockQuantity"))
        return [_stock(code, kind, free, locked) for (code, kind), (free, locked) in totals.items()]

    def list_stock(self, *, warehouse_code: str, owner_code: str) -> Iterator[StockPage]:
        """By `stock.query`. A list whose length changes while it is read may have skipped a row: it is read again."""
        first, seen = None, 0
        for page in range(1, _STOCK_PAGES_MAX + 1):
            content: dict[str, Node] = {
                "warehouseCode": warehouse_code,
                "ownerCode": owner_code,
                "page": page,
                "pageSize": _STOCK_PAGE,
            }
            response = self._call("stock.query", content, is_write=False)
            if not _is_success(response):
                refusal = _refusal("", response)
                raise ChannelRejected(f"stock.query: {refusal.detail}", code=refusal.code)
            items = read_items(response, "items", "item")
            total = _read_int(response, "totalCount")
            first = total if first is None else first
            if total != first or (not items and seen < total):
                raise ChannelUnavailable(
                    f"stock.query: the list changed while it was read, {first} → {total}"
                )
            seen += len(items)
            yield StockPage([_read_stock(item) for item in items], total)
            if seen >= total:
                return
        raise ChannelRejected(f"stock.query: it does not end after {_STOCK_PAGES_MAX} pages")

    def _query_inventory(self, warehouse_code: str, owner_code: str, codes: Sequence[str]) -> list[Element]:
        criteria: list[Node] = [
            {"warehouseCode": warehouse_code, "ownerCode": owner_code, "itemCode": code} for code in codes
        ]
        response = self._call("inventory.query", {"criteriaList": Many("criteria", criteria)}, is_write=False)
        if not _is_success(response):
            refusal = _refusal("", response)
            raise ChannelRejected(f"inventory.query: {refusal.detail}", code=refusal.code)
        return read_items(response, "items", "item")

    # documents

    def _show_order(self, order: DeliveryOrder) -> dict[str, Node]:
        carriers: Mapping[str, str] = self._settings.get("carrier_codes", {})
        carrier = order.carrier_code or str(self._settings.get("order_carrier_default", "OTHER"))
        return {
            "deliveryOrderCode": order.number,
            "orderType": _SALE,
            "warehouseCode": order.warehouse_code,
            "sourcePlatformCode": order.platform_code,
            "createTime": show_time(order.created_at),
            "placeOrderTime": show_time(order.placed_at),
            "payTime": show_time(order.paid_at),
            "operateTime": show_time(order.created_at),
            "shopNick": order.shop_name,
            "logisticsCode": carriers.get(carrier, carrier),
            "senderInfo": self._show_sender(),
            "receiverInfo": _show_receiver(order),
            "buyerMessage": order.buyer_message,
            "sellerMessage": order.seller_memo,
            "ownerCode": order.owner_code,
            "oaidOrderSourceCode": order.lines[0].outer_id if order.receiver.token and order.lines else "",
        }

    def _show_sender(self) -> Node:
        sender: Mapping[str, Any] = self._settings.get("sender", {})
        if not sender:
            return None
        shown = {name: str(sender.get(name, "")) for name in ("name", "mobile", "province", "city")}
        return {**shown, "detailAddress": str(sender.get("address", ""))}

    # the call

    def _call(self, name: str, content: Mapping[str, Node], *, is_write: bool) -> Element:
        body = build_document("request", content)
        query = {
            "method": name if self._settings.get("short_method_names") else PREFIX + name,
            "timestamp": show_time(datetime.now(tz=CHINA)),
            "format": "xml",
            "app_key": str(self._credentials["app_key"]),
            "v": "2.0",
            "sign_method": "md5",
            "customerId": str(self._credentials["customer_id"]),
        }
        query["sign"] = sign_call(query=query, body=body, secret=str(self._credentials["secret"]))
        answer = self._send(name, query, body, is_write=is_write)
        _check_status(name, answer, is_write=is_write)
        try:
            response = parse_document(answer.body)
        except BadDocument as wrong:
            raise ChannelUnavailable(f"{name}: {wrong}", is_unknown_outcome=is_write) from wrong
        _check_gateway(name, response, is_write=is_write)
        return response

    def _send(self, name: str, query: Mapping[str, str], body: bytes, *, is_write: bool) -> HttpAnswer:
        headers = {"Content-Type": "text/xml;charset=utf-8"}
        try:
            return self._http.send(
                method="POST", url=self._base_url, params=query, headers=headers, content=body
            )
        except HttpFailed as failed:
            raise ChannelUnavailable(
                f"{name}: {failed.detail}", is_unknown_outcome=is_write and failed.was_sent
            ) from failed


def _check_status(name: str, answer: HttpAnswer, *, is_write: bool) -> None:
    """Qimen always answers 200; another status comes from something in between."""
    status = answer.status
    if status == 429:
        raise ChannelUnavailable(f"{name}: HTTP 429", is_throttled=True)
    if status in (408, 425) or status >= 500:
        raise ChannelUnavailable(f"{name}: HTTP {status}", is_unknown_outcome=is_write)
    if status != 200:
        raise ChannelRejected(f"{name}: HTTP {status}", code=str(status), is_auth=status in (401, 403))


def _check_gateway(name: str, response: Element, *, is_write: bool) -> None:
    """A failure of the gateway, told by its code, is not the warehouse's word. Raises for it."""
    if response.tag not in ("response", "error_response"):
        raise ChannelUnavailable(f"{name}: an answer of the kind {response.tag}", is_unknown_outcome=is_write)
    if _is_success(response):
        return
    refusal = _refusal("", response)
    codes = {read_text(response, each) for each in ("code", "sub_code", "subCode")}
    if codes & _AUTH_CODES:
        raise ChannelRejected(f"{name}: {refusal.detail}", code=refusal.code, is_auth=True)
    if any(code == "7" or code.startswith("accesscontrol.") for code in codes):
        found = _BAN_SECONDS.search(refusal.detail)
        seconds = int(found[1]) + 1 if found else None
        raise ChannelUnavailable(f"{name}: {refusal.detail}", retry_seconds=seconds, is_throttled=True)
    if any(code.startswith("isp.") for code in codes):
        raise ChannelUnavailable(f"{name}: {refusal.detail}", is_unknown_outcome=is_write)
    if response.tag == "error_response":
        raise ChannelRejected(f"{name}: {refusal.detail}", code=refusal.code)


def _is_success(response: Element) -> bool:
    return read_text(response, "flag").lower() == "success"


def _refusal(key: str, response: Element) -> WarehouseAnswer:
    code = read_text(response, "sub_code") or read_text(response, "code")
    texts = [read_text(response, name) for name in ("message", "msg", "sub_message", "sub_msg")]
    detail = "; ".join(dict.fromkeys(text for text in texts if text)) or code or "refused without a reason"
    return WarehouseAnswer(key=key, ok=False, code=code, detail=detail)


def _read_found(number: str, response: Element) -> WarehouseAnswer | None:
    found = response.find("deliveryOrder")
    if found is None or read_text(found, "deliveryOrderCode") not in ("", number):
        return None
    status = read_text(found, "status")
    return WarehouseAnswer(
        key=number,
        ok=status not in _DEAD,
        outer_id=read_text(found, "deliveryOrderId"),
        code=status,
        detail=f"the warehouse has it as {status}" if status else "",
    )


def _read_stock(item: Element) -> WarehouseStock:
    kind = read_text(item, "inventoryType") or "ZP"
    free, locked = _read_int(item, "quantity"), _read_int(item, "lockQuantity")
    return _stock(read_text(item, "itemCode"), kind, free, locked)


def _stock(code: str, kind: str, free: int, locked: int) -> WarehouseStock:
    """Qimen tells what is free and what is locked apart; a picker counts both."""
    return WarehouseStock(sku_code=code, quantity=free + locked, locked=locked, inventory_type=kind)


def _show_receiver(order: DeliveryOrder) -> Node:
    receiver = order.receiver
    return {
        "name": receiver.name,
        "zipCode": receiver.postcode,
        "tel": receiver.phone,
        "mobile": receiver.mobile or receiver.phone,
        "province": receiver.province,
        "city": receiver.city or receiver.province,
        "area": receiver.district,
        "town": receiver.town,
        "detailAddress": receiver.address,
        "oaid": receiver.token,
    }


def _show_line(line: DeliveryLine, owner_code: str) -> Node:
    return {
        "orderLineNo": line.line_no,
        "sourceOrderCode": line.outer_id,
        "subSourceOrderCode": line.outer_line_id,
        "ownerCode": owner_code,
        "itemCode": line.sku_code,
        "inventoryType": "ZP",
        "itemName": line.sku_name,
        "planQty": line.quantity,
        "actualPrice": str(line.actual_price.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)),
    }


def _read_int(element: Element, name: str) -> int:
    """A whole number; some warehouses write 3.0. Raises ChannelRejected for anything else."""
    text = read_text(element, name) or "0"
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number != number.to_integral_value():
        raise ChannelRejected(f"{name} of {read_text(element, 'itemCode')} is not a whole number: {text}")
    return int(number)

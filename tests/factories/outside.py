"""A channel and a warehouse that keep their own books and do on request what real ones do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils.translation import gettext_lazy

from integrations.contract import (
    BadPayload,
    Capabilities,
    ChannelRejected,
    ChannelUnavailable,
    DeliveryOrder,
    Description,
    DispatchLine,
    FindKnown,
    LineResult,
    ListingLine,
    Need,
    PriceLine,
    StockLine,
    StockPage,
    TitleLine,
    WarehouseAnswer,
    WarehouseStock,
    find_none,
)
from orders.draft import OrderDraft, RefundDraft
from products.observe import SeenItem

AWAY = ChannelUnavailable("the gateway answered 502")
LOST = ChannelUnavailable("no answer", is_unknown_outcome=True)
EXPIRED = ChannelRejected("session expired", code="27", is_auth=True)

Hook = Callable[[], object]


def describe_fake() -> Description:
    """An account with one password and one setting that must be there."""
    return Description(
        title=gettext_lazy("warehouse"),
        address=gettext_lazy("address"),
        credentials=(Need("token", gettext_lazy("Password"), is_required=True),),
        credential_sets=(("token",),),
        settings=(Need("stall", gettext_lazy("name"), is_required=True),),
    )


@dataclass
class Market:
    """A channel. It is its own factory, so that it can stand in the registry."""

    capabilities: Capabilities = field(
        default_factory=lambda: Capabilities(
            honesty="C",
            pull_window_max=timedelta(days=1),
            pull_lag=timedelta(seconds=60),
            pull_overlap=timedelta(minutes=10),
            stock_basis="sellable",
            stock_batch_max=20,
            partial_ship=True,
            refunds=True,
            listings=True,
            titles=True,
        )
    )
    description: Description = field(default_factory=describe_fake)
    orders: list[OrderDraft | BadPayload] = field(default_factory=list)
    refunds: list[RefundDraft | BadPayload] = field(default_factory=list)
    hidden: list[OrderDraft] = field(default_factory=list)  # not in the change feed, but there
    page_size: int = 2
    fails: dict[str, Exception] = field(default_factory=dict)  # by call; or `page 2`
    refused: dict[str, LineResult] = field(default_factory=dict)  # by SKU code or outer order id
    during: dict[str, Hook] = field(default_factory=dict)  # what happens while a call is under way
    calls: list[tuple[str, Any]] = field(default_factory=list)
    known: list[list[str]] = field(default_factory=list)  # by pull: what need not be read again
    shelf: dict[str, int] = field(default_factory=dict)  # SKU code → the number that the channel shows
    told: list[tuple[str, int]] = field(default_factory=list)
    parcels: list[DispatchLine] = field(default_factory=list)
    on_sale: dict[str, bool] = field(default_factory=dict)  # SKU code → what the channel was asked to do last
    items: list[SeenItem] = field(default_factory=list)  # what the channel shows
    titles: dict[str, str] = field(default_factory=dict)  # outer item id → what it was told to be called

    def __call__(self, **_: Any) -> Market:
        return self

    def greet(self) -> str:
        self._call("greet", None)
        return "The corner shop"

    def pull_orders(
        self, *, since: datetime, until: datetime, find_known: FindKnown = find_none
    ) -> Iterator[list[OrderDraft | BadPayload]]:
        self._call("pull_orders", (since, until))
        found = [order for order in self.orders if self._is_within(order, since, until)]
        listed = {order.outer_id: order.outer_modified_at for order in found if isinstance(order, OrderDraft)}
        self.known.append(sorted(find_known(listed)))
        yield from self._pages(found)

    def read_orders(self, *, outer_ids: Sequence[str]) -> list[OrderDraft | BadPayload]:
        self._call("read_orders", list(outer_ids))
        return [order for order in [*self.orders, *self.hidden] if order.outer_id in outer_ids]

    def list_order_ids(self, *, since: datetime, until: datetime) -> Iterator[list[str]]:
        self._call("list_order_ids", (since, until))
        for order in [*self.orders, *self.hidden]:
            if isinstance(order, OrderDraft) and since <= order.placed_at <= until:
                yield [order.outer_id]

    def pull_refunds(self, *, since: datetime, until: datetime) -> Iterator[list[RefundDraft | BadPayload]]:
        self._call("pull_refunds", (since, until))
        yield from self._pages(self.refunds)

    def push_stock(self, *, lines: Sequence[StockLine]) -> list[LineResult]:
        results = []
        for line in lines:
            refusal = self.refused.get(line.sku_code)
            if refusal is None:
                self.shelf[line.sku_code] = line.quantity
                self.told.append((line.sku_code, line.quantity))
            results.append(self._result(line.key, refusal))
        self._call("push_stock", [line.sku_code for line in lines])  # fails after it took effect
        return results

    def push_prices(self, *, lines: Sequence[PriceLine]) -> list[LineResult]:
        raise NotImplementedError

    def list_items(self, *, lines: Sequence[ListingLine]) -> list[LineResult]:
        return self._move("list_items", lines, True)

    def delist_items(self, *, lines: Sequence[ListingLine]) -> list[LineResult]:
        return self._move("delist_items", lines, False)

    def _move(self, call: str, lines: Sequence[ListingLine], is_listed: bool) -> list[LineResult]:
        results = []
        for line in lines:
            refusal = self.refused.get(line.sku_code)
            if refusal is None:
                self.on_sale[line.sku_code] = is_listed
            results.append(self._result(line.key, refusal))
        self._call(call, list(lines))  # fails after it took effect
        return results

    def update_items(self, *, lines: Sequence[TitleLine]) -> list[LineResult]:
        results = []
        for line in lines:
            refusal = self.refused.get(line.outer_item_id)
            if refusal is None:
                self.titles[line.outer_item_id] = line.title
            results.append(self._result(line.key, refusal))
        self._call("update_items", list(lines))  # fails after it took effect
        return results

    def read_items(self) -> Iterator[list[SeenItem]]:
        self._call("read_items", None)
        for start in range(0, len(self.items), self.page_size):
            yield self.items[start : start + self.page_size]

    def push_dispatch(self, *, lines: Sequence[DispatchLine]) -> list[LineResult]:
        results = []
        for line in lines:
            refusal = self.refused.get(line.outer_id)
            if refusal is None:
                self.parcels.append(line)
            results.append(self._result(line.key, refusal))
        self._call("push_dispatch", [line.outer_id for line in lines])
        return results

    def _call(self, name: str, content: Any) -> None:
        self.calls.append((name, content))
        if hook := self.during.pop(name, None):
            hook()
        if name in self.fails:
            raise self.fails[name]

    def _pages(self, found: Sequence[Any]) -> Iterator[list[Any]]:
        for number, start in enumerate(range(0, len(found), self.page_size), 1):
            if hook := self.during.pop(f"page {number}", None):
                hook()
            if f"page {number}" in self.fails:
                raise self.fails[f"page {number}"]
            yield list(found[start : start + self.page_size])

    @staticmethod
    def _is_within(order: OrderDraft | BadPayload, since: datetime, until: datetime) -> bool:
        return isinstance(order, BadPayload) or since <= order.outer_modified_at <= until

    @staticmethod
    def _result(key: int, refusal: LineResult | None) -> LineResult:
        if refusal is None:
            return LineResult(key, ok=True)
        return LineResult(key, False, refusal.code, refusal.detail, refusal.is_final, refusal.retry_seconds)

    def named(self, name: str) -> list[Any]:
        """What was asked in the calls of that name."""
        return [content for called, content in self.calls if called == name]


@dataclass
class Depot:
    """A warehouse. `takes_effect`: whether a create that fails has been done all the same."""

    description: Description = field(default_factory=describe_fake)
    fails: dict[str, Exception] = field(default_factory=dict)
    takes_effect: bool = False
    refusal: str = ""
    cancels: WarehouseAnswer | None = None
    created: list[DeliveryOrder] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=dict)  # by order: units that have left
    shelf: list[WarehouseStock] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, **_: Any) -> Depot:
        return self

    def greet(self) -> str:
        self.calls.append("greet")
        if "greet" in self.fails:
            raise self.fails["greet"]
        return "Depot one"

    def create_delivery(self, *, order: DeliveryOrder) -> WarehouseAnswer:
        with self._lock:
            self.calls.append(f"create {order.number}")
            if "create" in self.fails and not self.takes_effect:
                raise self.fails["create"]
            if self.refusal:
                return WarehouseAnswer(order.number, ok=False, code="S001", detail=self.refusal)
            self.created.append(order)
            if "create" in self.fails:
                raise self.fails["create"]
            return WarehouseAnswer(order.number, ok=True, outer_id=f"W-{order.number}")

    def find_delivery(self, *, number: str) -> WarehouseAnswer | None:
        with self._lock:
            self.calls.append(f"find {number}")
            if "find" in self.fails:
                raise self.fails["find"]
            if number in {order.number for order in self.created}:
                return WarehouseAnswer(number, ok=True, outer_id=f"W-{number}")
            return None

    def cancel_delivery(
        self, *, number: str, warehouse_code: str, owner_code: str, reason: str
    ) -> WarehouseAnswer:
        with self._lock:
            self.calls.append(f"cancel {number}")
            if "cancel" in self.fails:
                raise self.fails["cancel"]
            return self.cancels or WarehouseAnswer(number, ok=True)

    def count_sent(self, *, number: str) -> int | None:
        self.calls.append(f"count {number}")
        if "count" in self.fails:
            raise self.fails["count"]
        return self.sent.get(number)

    def read_stock(
        self, *, warehouse_code: str, owner_code: str, sku_codes: Sequence[str]
    ) -> list[WarehouseStock]:
        self.calls.append(f"read stock of {len(sku_codes)}")
        return [row for row in self.shelf if row.sku_code in set(sku_codes)]

    def list_stock(self, *, warehouse_code: str, owner_code: str) -> Iterator[StockPage]:
        self.calls.append("list stock")
        for start in range(0, max(len(self.shelf), 1), 2):
            if "stock" in self.fails:
                raise self.fails["stock"]
            yield StockPage(self.shelf[start : start + 2], len(self.shelf))

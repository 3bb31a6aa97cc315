"""Orders as channels tell of them, and a small house with stock to sell."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from inventory.models import Location
from orders.capture import Captured, capture_orders
from orders.draft import ChannelState, LineDraft, OrderDraft, Receiver
from orders.models import SalesOrder
from products.models import Shop, Sku
from tests.factories.inventory import LocationFactory, LocationGroupFactory, put_stock, shop_drawing_on
from tests.factories.products import SkuFactory

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
_numbers = count(1)

RECEIVER = Receiver(
    name="张伟",
    mobile="13800138000",
    province="广东省",
    city="广州市",
    district="天河区",
    address="体育西路 1 号",
)


def line_draft(sku: Sku, quantity: int = 1, **changes: Any) -> LineDraft:
    """A line named by the seller's code, at 10.00 a unit."""
    values: dict[str, Any] = {
        "outer_line_id": f"L{next(_numbers)}",
        "quantity": quantity,
        "unit_price": Decimal("10.00"),
        "amount": Decimal("10.00") * max(quantity, 0),
        "title": sku.name,
        "sku_code": sku.code,
    }
    return LineDraft(**(values | changes))


def order_draft(*lines: LineDraft, **changes: Any) -> OrderDraft:
    """A paid order of these lines, one minute old at NOON."""
    values: dict[str, Any] = {
        "outer_id": f"{4_000_000_000_000_000_000 + next(_numbers)}",
        "state": ChannelState.TO_SHIP,
        "outer_modified_at": NOON - timedelta(minutes=1),
        "placed_at": NOON - timedelta(minutes=2),
        "paid_at": NOON - timedelta(minutes=1),
        "currency": "CNY",
        "total_amount": sum((line.amount for line in lines), Decimal(0))
        + changes.get("freight_amount", Decimal(0)),
        "lines": list(lines),
        "receiver": RECEIVER,
        "raw_state": "WAIT_SELLER_SEND_GOODS",
    }
    return OrderDraft(**(values | changes))


def later(draft: OrderDraft, minutes: int = 1, **changes: Any) -> OrderDraft:
    """The same order as its platform tells it some minutes later."""
    return replace(draft, outer_modified_at=draft.outer_modified_at + timedelta(minutes=minutes), **changes)


def order_of(captured: Captured) -> SalesOrder:
    """The order that was made of a draft."""
    assert captured.order_id is not None, captured
    return SalesOrder.objects.get(pk=captured.order_id)


@dataclass(frozen=True)
class House:
    """One shop that draws on one location with stock."""

    shop: Shop
    location: Location
    sku: Sku

    def take(self, *drafts: OrderDraft, at: datetime = NOON) -> list[Captured]:
        return capture_orders(shop=self.shop, drafts=drafts, at=at, by="test", source="test")

    def order(self, *lines: LineDraft, **changes: Any) -> SalesOrder:
        """Capture one order and return it."""
        (captured,) = self.take(order_draft(*(lines or [line_draft(self.sku)]), **changes))
        return order_of(captured)


def make_house(stock: int = 10, **shop: Any) -> House:
    group = LocationGroupFactory.create()
    location = LocationFactory.create(group=group)
    sku = SkuFactory.create()
    if stock:
        put_stock(location, sku, stock)
    return House(shop_drawing_on(group, **shop), location, sku)

"""Sourcing meets stock that turned out not to exist."""

from __future__ import annotations

from typing import Any

import pytest

from inventory.count import StockCount, count_stock
from inventory.fill import fill_shortages
from orders.models import FulfilmentOrder
from orders.shortage import follow_shortages
from orders.source import source_orders
from orders.states import Stage
from tests.factories.inventory import put_stock
from tests.factories.orders import NOON, House, line_draft, make_house, order_draft, order_of
from tests.factories.path import approve, stage
from tests.factories.products import SkuFactory

pytestmark = pytest.mark.django_db
BY: dict[str, Any] = {"at": NOON, "by": "test"}


@pytest.fixture
def house() -> House:
    return make_house(stock=10)


def test_an_order_of_which_a_promise_was_withdrawn_waits_although_its_line_does_not_say_so_yet(
    house: House,
) -> None:
    put_stock(house.location, other := SkuFactory.create(), 5)
    (captured,) = house.take(order_draft(line_draft(house.sku, 2), line_draft(other, 3)))
    order = order_of(captured)
    approve(order)
    count_stock(key="c1", counts=[StockCount(house.location.pk, other.pk, 1)], reason="shelf count", **BY)

    source_orders(limit=10, at=NOON)
    before_the_news = (stage(order), FulfilmentOrder.objects.count(), order.holds.count())
    put_stock(house.location, other, 4)
    fill_shortages(sku_ids=[other.pk], **BY)
    source_orders(limit=10, at=NOON)

    assert before_the_news == (Stage.APPROVED, 0, 0)
    assert stage(order) == Stage.SOURCED
    assert sorted(FulfilmentOrder.objects.get().lines.values_list("quantity", flat=True)) == [2, 3]


def test_news_of_promises_may_come_in_any_order(house: House) -> None:
    order = house.order(line_draft(house.sku, 6))
    keys = [line.line_key for line in order.lines.all()]
    count_stock(key="c1", counts=[StockCount(house.location.pk, house.sku.pk, 5)], reason="shelf count", **BY)
    put_stock(house.location, house.sku, 1)
    fill_shortages(sku_ids=[house.sku.pk], **BY)
    count_stock(key="c2", counts=[StockCount(house.location.pk, house.sku.pk, 4)], reason="shelf count", **BY)

    for _news in ("withdrawn", "withdrawn again", "filled, which came between them"):
        follow_shortages(line_keys=keys, **BY)

    order.refresh_from_db()
    assert order.short_lines == 1
    assert order.lines.get().short_quantity == 6

"""Sourcing meets stock that turned out not to exist."""

from __future__ import annotations

from typing import Any

import pytest

from inventory.count import StockCount, count_stock
from inventory.fill import fill_shortages
from orders.allow import allow_locations_again
from orders.models import FulfilmentOrder, SalesOrder
from orders.models.review import HoldKind
from orders.release import ReleaseAnswer, record_release_answers
from orders.shortage import follow_shortages
from orders.source import resource_orders, source_orders
from orders.states import FulfilmentState, Stage
from tests.factories.inventory import put_stock
from tests.factories.orders import NOON, House, line_draft, make_house, order_draft, order_of
from tests.factories.path import approve, request, source, stage
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


class TestRefusedByTheOnlyLocation:
    """A brand with one warehouse, which refused the order; an operator had it sent from elsewhere."""

    @pytest.fixture
    def order(self, house: House) -> SalesOrder:
        order = house.order(line_draft(house.sku, 2))
        refuse(source(order))
        resource_orders(order_ids=[order.pk], **BY)
        source_orders(limit=10, at=NOON)
        return order

    def test_the_hold_names_the_location_that_is_left_out(self, house: House, order: SalesOrder) -> None:
        hold = order.holds.get()

        assert hold.kind == HoldKind.SOURCING
        assert hold.reason_said == (
            "No location that may ship has 2 of the promised units free."
            f" Left out because they refused it: {house.location.code}."
        )

    def test_allowed_again_it_sends_the_order_after_all(self, house: House, order: SalesOrder) -> None:
        refusals = allow_locations_again(
            order_ids=[order.pk], reason="they found the key", at=NOON, by="user:7"
        )
        source_orders(limit=10, at=NOON)

        assert refusals == {}
        assert FulfilmentOrder.objects.get(state=FulfilmentState.PLANNED).location == house.location
        assert stage(order) == Stage.SOURCED
        event = order.events.get(kind="location.allowed")
        assert (event.by, event.detail) == (
            "user:7",
            {"locations": [house.location.code], "note": "they found the key"},
        )
        assert not order.holds.filter(state="open").exists()

    def test_when_it_refuses_once_more_it_is_left_out_once_more(self, order: SalesOrder) -> None:
        allow_locations_again(order_ids=[order.pk], reason="they found the key", **BY)
        source_orders(limit=10, at=NOON)
        refuse(FulfilmentOrder.objects.get(state=FulfilmentState.PLANNED))

        resource_orders(order_ids=[order.pk], **BY)
        source_orders(limit=10, at=NOON)

        assert stage(order) == Stage.APPROVED
        assert order.holds.get(state="open").kind == HoldKind.SOURCING

    def test_an_order_for_which_no_location_is_left_out_is_refused_and_nothing_happens(
        self, house: House
    ) -> None:
        other = house.order()

        refusals = allow_locations_again(order_ids=[other.pk], reason="why not", **BY)

        assert list(refusals) == [other.pk]
        assert not other.events.filter(kind="location.allowed").exists()


def refuse(fulfilment: FulfilmentOrder) -> None:
    request(fulfilment)
    answer = ReleaseAnswer(fulfilment.pk, "refused", detail="closed for stock-taking")
    record_release_answers(answers=[answer], **BY)

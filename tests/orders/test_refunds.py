"""Refund cases meet orders at every point of their path."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal

import pytest

from orders.draft import LineDraft, LineRefund, OrderDraft, RefundDraft
from orders.models import FulfilmentOrder, OrderHold, SalesOrder
from orders.models.review import HoldKind
from orders.refunds import take_refunds
from orders.states import FulfilmentState, Stage
from tests.factories.inventory import put_stock
from tests.factories.orders import NOON, House, later, line_draft, make_house, order_draft, order_of
from tests.factories.path import release, ship, stage
from tests.factories.products import SkuFactory

pytestmark = pytest.mark.django_db
BY: dict[str, Any] = {"at": NOON, "by": "test"}


@pytest.fixture
def house() -> House:
    return make_house(stock=10)


def refund(
    draft: OrderDraft,
    line: LineDraft | None = None,
    state: Literal["open", "refused", "done"] = "open",
    minutes: int = 0,
) -> RefundDraft:
    return RefundDraft(
        outer_refund_id="R1",
        outer_id=draft.outer_id,
        outer_line_id=line.outer_line_id if line else "",
        state=state,
        raw_state=state.upper(),
        amount=line.amount if line else draft.total_amount,
        currency="CNY",
        outer_modified_at=NOON + timedelta(minutes=minutes),
    )


def open_holds() -> list[str]:
    return list(OrderHold.objects.filter(state="open").values_list("kind", flat=True))


def test_a_refund_of_the_whole_order_that_names_no_line_holds_it_and_then_cancels_it(house: House) -> None:
    draft = order_draft(line_draft(house.sku), line_draft(house.sku))
    (captured,) = house.take(draft)

    take_refunds(shop=house.shop, refunds=[refund(draft)], **BY)
    while_open = open_holds()
    take_refunds(shop=house.shop, refunds=[refund(draft, state="done", minutes=1)], **BY)

    assert while_open == [HoldKind.REFUND]
    assert stage(order_of(captured)) == Stage.CANCELLED


def test_an_open_refund_still_holds_after_a_version_of_the_order_that_does_not_know_of_it(
    house: House,
) -> None:
    line = line_draft(house.sku)
    draft = order_draft(line)
    house.take(draft)
    take_refunds(shop=house.shop, refunds=[refund(draft, line)], **BY)

    house.take(later(draft, seller_memo="please hurry"))

    assert open_holds() == [HoldKind.REFUND]


@pytest.mark.parametrize("told_by", ["order", "refund"])
def test_a_refunded_line_whose_parcel_is_half_on_its_way_is_asked_to_be_stopped(
    house: House, told_by: str
) -> None:
    put_stock(house.location, other := SkuFactory.create(), 5)
    sent, refunded = line_draft(house.sku), line_draft(other)
    draft = order_draft(sent, refunded)
    (captured,) = house.take(draft)
    ship(release(order_of(captured)), house.sku.code, 1, is_final=False)

    if told_by == "order":
        house.take(later(draft, lines=[sent, replace(refunded, refund=LineRefund.DONE)]))
    else:
        take_refunds(shop=house.shop, refunds=[refund(draft, refunded, "done")], **BY)

    assert FulfilmentOrder.objects.get().state == FulfilmentState.CANCEL_REQUESTED
    lines = SalesOrder.objects.get().lines.order_by("id")
    assert list(lines.values_list("cancel_wanted", "cancelled_quantity")) == [(0, 0), (1, 0)]


class TestPartlyShippedLine:
    """One of three units has left when the platform pays the line back."""

    @pytest.fixture(params=["order", "refund"])
    def told_by(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def tell(self, house: House, draft: OrderDraft, told_by: str) -> None:
        if told_by == "order":
            house.take(later(draft, lines=[replace(line, refund=LineRefund.DONE) for line in draft.lines]))
        else:
            take_refunds(shop=house.shop, refunds=[refund(draft, draft.lines[0], "done")], **BY)

    @pytest.fixture
    def draft(self, house: House) -> OrderDraft:
        return order_draft(line_draft(house.sku, 3))

    def test_the_warehouse_is_asked_to_stop_the_rest(
        self, house: House, draft: OrderDraft, told_by: str
    ) -> None:
        (captured,) = house.take(draft)
        ship(release(order_of(captured)), house.sku.code, 1, is_final=False)

        self.tell(house, draft, told_by)

        assert FulfilmentOrder.objects.get().state == FulfilmentState.CANCEL_REQUESTED
        assert order_of(captured).lines.get().cancel_wanted == 2

    def test_a_rest_that_no_warehouse_has_is_cancelled_and_what_left_stays_shipped(
        self, house: House, draft: OrderDraft, told_by: str
    ) -> None:
        (captured,) = house.take(draft)
        ship(release(order_of(captured)), house.sku.code, 1, is_final=True)

        self.tell(house, draft, told_by)

        line = order_of(captured).lines.get()
        assert (line.shipped_quantity, line.cancelled_quantity) == (1, 2)
        assert stage(order_of(captured)) == Stage.SHIPPED


def test_the_end_of_a_refund_lets_go_of_an_order_that_has_shipped_meanwhile(house: House) -> None:
    line = line_draft(house.sku)
    draft = order_draft(line)
    (captured,) = house.take(draft)
    fulfilment = release(order_of(captured))
    take_refunds(shop=house.shop, refunds=[refund(draft, line)], **BY)
    ship(fulfilment, house.sku.code, 1)

    take_refunds(shop=house.shop, refunds=[refund(draft, line, "refused", minutes=1)], **BY)

    assert open_holds() == []
    assert stage(order_of(captured)) == Stage.SHIPPED


def test_a_refund_that_is_more_than_its_line_cost_leaves_the_other_lines_alone(house: House) -> None:
    kept, gone = line_draft(house.sku), line_draft(house.sku)
    draft = order_draft(kept, gone)
    house.take(draft)
    done = replace(refund(draft, gone, "done"), amount=Decimal("12.00"))

    take_refunds(shop=house.shop, refunds=[done], **BY)

    lines = SalesOrder.objects.get().lines.order_by("id")
    assert list(lines.values_list("cancelled_quantity", flat=True)) == [0, 1]

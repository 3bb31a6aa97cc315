"""A person confirms that goods were shipped outside Omni, as their platform says."""

from __future__ import annotations

from typing import Any

import pytest

from inventory.models import Reservation, Shortage, StockLevel, StockPool
from orders.cancel import CancelAnswer, record_cancel_answers, stop_fulfilments
from orders.draft import ChannelState, OrderDraft
from orders.hold import NewHold, place_holds
from orders.models import DispatchNotice, FulfilmentOrder, SalesOrder
from orders.models.review import HoldKind
from orders.ship_outside import confirm_outside_shipments
from orders.source import source_orders
from orders.states import FulfilmentState, Stage
from orders.timeline import order_timeline
from tests.factories.inventory import put_stock
from tests.factories.orders import NOON, House, later, line_draft, make_house, order_draft, order_of
from tests.factories.path import approve, release, ship, source, stage
from tests.factories.products import SkuFactory
from tests.statements import StatementCounter

pytestmark = pytest.mark.django_db
BY: dict[str, Any] = {"at": NOON, "by": "user:7"}


@pytest.fixture
def house() -> House:
    return make_house(stock=10)


@pytest.fixture
def draft(house: House) -> OrderDraft:
    return order_draft(line_draft(house.sku, 3))


def said_shipped(house: House, draft: OrderDraft) -> SalesOrder:
    """The order after its platform has said that it was shipped."""
    (captured,) = house.take(later(draft, 5, state=ChannelState.SHIPPED))
    return order_of(captured)


def confirm(order: SalesOrder, *outer_line_ids: str) -> dict[int, str]:
    return confirm_outside_shipments(
        order_ids=[order.pk], note="the shop sent it", outer_line_ids=outer_line_ids, **BY
    )


def open_holds(order: SalesOrder) -> list[str]:
    return sorted(order.holds.filter(state="open").values_list("kind", flat=True))


def promised() -> tuple[int, int]:
    return StockPool.objects.get().reserved, StockLevel.objects.get().committed


def test_its_stock_is_free_again_its_lines_are_shipped_and_the_timeline_says_who_and_why(
    house: House, draft: OrderDraft
) -> None:
    house.take(draft)
    order = said_shipped(house, draft)
    held_before = open_holds(order)

    refusals = confirm(order)

    line = order.lines.get()
    event = order.events.get(kind="shipped.outside")
    assert (held_before, refusals) == ([HoldKind.SHIPPED_ELSEWHERE], {})
    assert (line.shipped_quantity, line.outside_quantity) == (3, 3)
    assert (stage(order), open_holds(order), promised()) == (Stage.SHIPPED, [], (0, 0))
    assert StockLevel.objects.get().on_hand == 10
    assert (event.by, event.detail["note"], event.detail["units"]) == ("user:7", "the shop sent it", 3)
    assert "3 units were shipped outside Omni: the shop sent it" in [m.text for m in order_timeline(order)]
    assert not DispatchNotice.objects.exists()


def test_its_other_holds_are_closed_and_the_hold_that_was_confirmed_keeps_the_persons_word(
    house: House, draft: OrderDraft
) -> None:
    house.take(draft)
    order = said_shipped(house, draft)
    place_holds(holds=[NewHold(order.pk, HoldKind.MANUAL, "ask the shop")], **BY)

    confirm(order)

    notes = {hold.kind: (hold.state, hold.note_said) for hold in order.holds.all()}
    assert notes == {
        HoldKind.SHIPPED_ELSEWHERE: ("resolved", "the shop sent it"),
        HoldKind.MANUAL: ("resolved", "Nothing of the order is left to ship."),
    }


def test_an_order_that_its_platform_has_completed_is_completed(house: House, draft: OrderDraft) -> None:
    house.take(draft)
    (captured,) = house.take(later(draft, state=ChannelState.COMPLETED))

    confirm(order_of(captured))

    assert stage(order_of(captured)) == Stage.COMPLETED


def test_a_short_order_is_owed_nothing_any_more(house: House) -> None:
    draft = order_draft(line_draft(house.sku, 12))
    house.take(draft)
    order = said_shipped(house, draft)

    confirm(order)

    order.refresh_from_db()
    assert (order.short_lines, order.lines.get().short_quantity) == (0, 0)
    assert not Shortage.objects.filter(state=Shortage.State.OPEN).exists()


def test_what_is_planned_is_dropped(house: House, draft: OrderDraft) -> None:
    (captured,) = house.take(draft)
    fulfilment = source(order_of(captured))
    order = said_shipped(house, draft)

    confirm(order)

    fulfilment.refresh_from_db()
    assert fulfilment.state == FulfilmentState.CANCELLED
    assert (stage(order), promised()) == (Stage.SHIPPED, (0, 0))


def test_of_one_line_that_was_shipped_outside_the_other_is_still_ours_to_send(house: House) -> None:
    put_stock(house.location, other := SkuFactory.create(), 5)
    gone, ours = line_draft(house.sku, 2), line_draft(other, 1)
    draft = order_draft(gone, ours)
    (captured,) = house.take(draft)
    approve(order_of(captured))
    order = said_shipped(house, draft)

    refusals = confirm(order, gone.outer_line_id)
    source_orders(limit=10, at=NOON)

    assert (refusals, open_holds(order), stage(order)) == ({}, [], Stage.SOURCED)
    assert [line.sku_id for line in FulfilmentOrder.objects.get().lines.all()] == [other.pk]
    assert not Reservation.objects.filter(sku=house.sku, state__in=Reservation.LIVE).exists()


class TestWithAWarehouse:
    """The buyer would get it twice."""

    @pytest.fixture
    def order(self, house: House, draft: OrderDraft) -> SalesOrder:
        (captured,) = house.take(draft)
        release(order_of(captured))
        return said_shipped(house, draft)

    def test_it_is_refused_and_nothing_happens(self, order: SalesOrder) -> None:
        refusals = confirm(order)

        number = FulfilmentOrder.objects.get().number
        assert refusals == {order.pk: f"A warehouse may still send {number}: have it stopped first."}
        assert (stage(order), open_holds(order)) == (Stage.RELEASED, [HoldKind.SHIPPED_ELSEWHERE])
        assert promised() == (3, 3)

    def test_once_it_is_stopped_it_can_be_confirmed(self, order: SalesOrder) -> None:
        fulfilment = FulfilmentOrder.objects.get()
        asked = stop_fulfilments(fulfilment_ids=[fulfilment.pk], reason="the shop sent it", **BY)
        record_cancel_answers(answers=[CancelAnswer(fulfilment.pk, is_cancelled=True)], **BY)
        source_orders(limit=10, at=NOON)
        while_held = stage(order)

        refusals = confirm(order)

        assert (asked, while_held, refusals) == ([fulfilment.pk], Stage.APPROVED, {})
        assert (stage(order), promised()) == (Stage.SHIPPED, (0, 0))


def test_what_a_warehouse_stopped_although_nothing_was_cancelled_is_sourced_anew(house: House) -> None:
    order = house.order(line_draft(house.sku, 3))
    fulfilment = release(order)
    ship(fulfilment, house.sku.code, 1, is_final=False)

    asked = stop_fulfilments(fulfilment_ids=[fulfilment.pk], reason="no word for a week", **BY)
    again = stop_fulfilments(fulfilment_ids=[fulfilment.pk], reason="no word for a week", **BY)
    record_cancel_answers(answers=[CancelAnswer(fulfilment.pk, is_cancelled=True)], **BY)
    source_orders(limit=10, at=NOON)

    assert (asked, again) == ([fulfilment.pk], [])
    assert order.events.filter(kind="cancel.asked").count() == 1
    rest = FulfilmentOrder.objects.get(state=FulfilmentState.PLANNED).lines.get()
    assert (rest.quantity, order.lines.get().cancelled_quantity) == (2, 0)


@pytest.mark.parametrize("reason", ["over", "unpaid", "no such line"])
def test_what_cannot_have_been_shipped_is_refused_with_its_reason(house: House, reason: str) -> None:
    unpaid = {"state": ChannelState.PENDING_PAYMENT, "paid_at": None}
    order = house.order(**unpaid if reason == "unpaid" else {})
    if reason == "over":
        ship(release(order), house.sku.code, 1)

    refusals = confirm(order, *(["L404"] if reason == "no such line" else []))

    expected = {
        "over": "It is over: shipped.",
        "unpaid": "It is not paid.",
        "no such line": "It has no open line L404.",
    }
    assert refusals == {order.pk: expected[reason]}
    assert order.lines.get().outside_quantity == 0


def test_the_statements_of_many_orders_are_those_of_few() -> None:
    house = make_house(stock=100)
    counts = []
    for size in (2, 12):
        drafts = [order_draft(line_draft(house.sku)) for _ in range(size)]
        house.take(*drafts)
        orders = [said_shipped(house, draft) for draft in drafts]
        with StatementCounter() as counter:
            confirm_outside_shipments(order_ids=[order.pk for order in orders], note="sent", **BY)
        counts.append(counter.statements)

    assert counts[0] == counts[1]
    assert not SalesOrder.objects.exclude(stage=Stage.SHIPPED).exists()

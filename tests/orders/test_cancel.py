"""Cancelling what lies in several places at once, and what meets the parcel on its way."""

from __future__ import annotations

from typing import Any

import pytest

from inventory.models import StockLevel, StockPool
from orders.cancel import (
    CancelAnswer,
    LineCancel,
    cancel_lines,
    cancel_orders,
    claim_cancel_questions,
    drop_fulfilments,
    record_cancel_answers,
)
from orders.draft import ChannelState
from orders.models import FulfilmentOrder, SalesOrder
from orders.models.review import HoldKind
from orders.release import ReleaseAnswer, record_release_answers
from orders.source import source_orders
from orders.states import FulfilmentState, Stage
from tests.factories.inventory import LocationFactory, put_stock
from tests.factories.orders import NOON, House, later, line_draft, make_house, order_draft, order_of
from tests.factories.path import accept, release, request, ship, source_split, stage
from tests.factories.products import SkuFactory
from tests.statements import StatementCounter

pytestmark = pytest.mark.django_db
BY: dict[str, Any] = {"at": NOON, "by": "test"}


@pytest.fixture
def house() -> House:
    return make_house(stock=10)


@pytest.fixture
def split(house: House) -> tuple[SalesOrder, FulfilmentOrder, FulfilmentOrder]:
    """An order of one line, 12 units, of which two locations send a part each."""
    put_stock(LocationFactory.create(group=house.location.group), house.sku, 5)
    order = house.order(line_draft(house.sku, 12))
    first, second = source_split(order)
    return order, first, second


def state(fulfilment: FulfilmentOrder) -> str:
    fulfilment.refresh_from_db()
    return fulfilment.state


def promised() -> tuple[int, int]:
    pools = sum(StockPool.objects.values_list("reserved", flat=True))
    return pools, sum(StockLevel.objects.values_list("committed", flat=True))


def test_what_no_warehouse_has_yet_is_taken_back_while_the_other_warehouse_is_asked(
    split: tuple[SalesOrder, FulfilmentOrder, FulfilmentOrder],
) -> None:
    order, first, second = split
    accept(first)

    (result,) = cancel_orders(order_ids=[order.pk], reason="buyer called", **BY)
    record_cancel_answers(answers=[CancelAnswer(first.pk, is_cancelled=True)], **BY)

    assert result.outcome == "asked"
    assert state(second) == FulfilmentState.CANCELLED
    assert stage(order) == Stage.CANCELLED
    assert promised() == (0, 0)


def test_a_warehouse_that_has_not_answered_the_request_is_still_asked_when_the_other_has_stopped(
    split: tuple[SalesOrder, FulfilmentOrder, FulfilmentOrder],
) -> None:
    order, first, second = split
    accept(first)
    request(second)
    cancel_orders(order_ids=[order.pk], reason="buyer called", **BY)

    record_cancel_answers(answers=[CancelAnswer(first.pk, is_cancelled=True)], **BY)
    before_the_answer = stage(order)
    record_release_answers(answers=[ReleaseAnswer(second.pk, "accepted", "WMS-2")], **BY)
    asked = state(second)
    record_cancel_answers(answers=[CancelAnswer(second.pk, is_cancelled=True)], **BY)

    assert before_the_answer != Stage.CANCELLED
    assert asked == FulfilmentState.CANCEL_REQUESTED
    assert stage(order) == Stage.CANCELLED
    assert promised() == (0, 0)


def test_units_that_one_warehouse_gave_back_are_not_sent_anew_while_the_other_is_still_asked(
    split: tuple[SalesOrder, FulfilmentOrder, FulfilmentOrder],
) -> None:
    order, first, second = split
    accept(first)
    accept(second)
    cancel_orders(order_ids=[order.pk], reason="buyer called", **BY)

    record_cancel_answers(answers=[CancelAnswer(first.pk, is_cancelled=True)], **BY)
    source_orders(limit=10, at=NOON)
    planned = FulfilmentOrder.objects.filter(state=FulfilmentState.PLANNED).count()
    record_cancel_answers(answers=[CancelAnswer(second.pk, is_cancelled=True)], **BY)

    assert planned == 0
    assert stage(order) == Stage.CANCELLED
    assert promised() == (0, 0)


def test_what_a_short_pick_leaves_of_a_cancelled_order_is_cancelled_and_not_sent_anew(house: House) -> None:
    order = house.order(line_draft(house.sku, 3))
    fulfilment = release(order)
    cancel_orders(order_ids=[order.pk], reason="buyer called", **BY)

    ship(fulfilment, house.sku.code, 1, is_final=True)
    source_orders(limit=10, at=NOON)

    line = order.lines.get()
    assert (line.shipped_quantity, line.cancelled_quantity, line.cancel_wanted) == (1, 2, 0)
    assert stage(order) == Stage.SHIPPED
    assert promised() == (0, 0)


def test_a_warehouse_that_sent_a_part_may_still_stop_the_rest(house: House) -> None:
    order = house.order(line_draft(house.sku, 3))
    fulfilment = release(order)
    cancel_orders(order_ids=[order.pk], reason="buyer called", **BY)
    ship(fulfilment, house.sku.code, 1, is_final=False)

    record_cancel_answers(answers=[CancelAnswer(fulfilment.pk, is_cancelled=True)], **BY)

    line = order.lines.get()
    assert (line.shipped_quantity, line.cancelled_quantity) == (1, 2)
    assert stage(order) == Stage.SHIPPED
    assert promised() == (0, 0)


class TestPartShipped:
    """A part has left, and the last confirmation never comes."""

    @pytest.fixture
    def order(self, house: House) -> SalesOrder:
        order = house.order(line_draft(house.sku, 3))
        ship(release(order), house.sku.code, 1, is_final=False)
        return order

    @pytest.fixture
    def fulfilment(self, order: SalesOrder) -> FulfilmentOrder:
        return FulfilmentOrder.objects.get()

    def test_the_warehouse_is_asked_to_stop_what_is_still_open(
        self, order: SalesOrder, fulfilment: FulfilmentOrder
    ) -> None:
        (result,) = cancel_orders(order_ids=[order.pk], reason="buyer called", **BY)
        questions = claim_cancel_questions(location_id=fulfilment.location_id, limit=10)

        assert result.outcome == "asked"
        assert [question.number for question in questions] == [fulfilment.number]
        assert (stage(order), promised()) == (Stage.RELEASED, (2, 2))

    def test_its_yes_frees_only_what_is_open_and_what_has_left_stays_shipped(
        self, order: SalesOrder, fulfilment: FulfilmentOrder
    ) -> None:
        cancel_orders(order_ids=[order.pk], reason="buyer called", **BY)

        record_cancel_answers(answers=[CancelAnswer(fulfilment.pk, is_cancelled=True)], **BY)

        line = order.lines.get()
        assert (line.shipped_quantity, line.cancelled_quantity, line.cancel_wanted) == (1, 2, 0)
        assert (stage(order), state(fulfilment)) == (Stage.SHIPPED, FulfilmentState.CANCELLED)
        assert promised() == (0, 0)
        assert StockLevel.objects.get().on_hand == 9

    def test_after_its_no_the_rest_may_still_leave(
        self, house: House, order: SalesOrder, fulfilment: FulfilmentOrder
    ) -> None:
        cancel_orders(order_ids=[order.pk], reason="buyer called", **BY)

        record_cancel_answers(answers=[CancelAnswer(fulfilment.pk, False, "already packed")], **BY)
        after_the_no = state(fulfilment)
        told = order.holds.get().kind
        ship(fulfilment, house.sku.code, 2, key="K2")

        assert (after_the_no, told) == (FulfilmentState.PART_SHIPPED, HoldKind.CANCEL_REFUSED)
        assert (stage(order), state(fulfilment)) == (Stage.SHIPPED, FulfilmentState.SHIPPED)

    def test_another_part_that_leaves_while_we_ask_does_not_take_the_question_back(
        self, house: House, order: SalesOrder, fulfilment: FulfilmentOrder
    ) -> None:
        cancel_orders(order_ids=[order.pk], reason="buyer called", **BY)

        ship(fulfilment, house.sku.code, 1, key="K2", is_final=False)
        questions = claim_cancel_questions(location_id=fulfilment.location_id, limit=10)
        record_cancel_answers(answers=[CancelAnswer(fulfilment.pk, is_cancelled=True)], **BY)

        line = order.lines.get()
        assert [question.number for question in questions] == [fulfilment.number]
        assert (line.shipped_quantity, line.cancelled_quantity) == (2, 1)
        assert stage(order) == Stage.SHIPPED

    def test_an_order_that_its_platform_closes_is_asked_to_be_stopped(self, house: House) -> None:
        draft = order_draft(line_draft(house.sku, 3))
        (captured,) = house.take(draft)
        fulfilment = release(order_of(captured))
        ship(fulfilment, house.sku.code, 1, is_final=False)

        house.take(later(draft, state=ChannelState.CLOSED))

        assert state(fulfilment) == FulfilmentState.CANCEL_REQUESTED
        assert order_of(captured).lines.get().cancel_wanted == 2

    def test_a_warehouse_that_has_sent_its_part_of_the_line_is_not_asked_to_stop_other_lines(
        self, house: House
    ) -> None:
        put_stock(LocationFactory.create(group=house.location.group), house.sku, 5)
        put_stock(house.location, other := SkuFactory.create(), 5)
        (captured,) = house.take(order_draft(line_draft(house.sku, 12), line_draft(other, 1)))
        order = order_of(captured)
        first, second = source_split(order)
        accept(first)
        accept(second)
        ship(first, house.sku.code, 10, is_final=False)

        cancel_lines(cancels=[LineCancel(order.lines.get(sku=house.sku).pk)], reason="refunded", **BY)

        assert state(first) == FulfilmentState.PART_SHIPPED
        assert state(second) == FulfilmentState.CANCEL_REQUESTED

    def test_a_part_that_leaves_before_the_answer_to_the_request_makes_us_ask(self, house: House) -> None:
        order = house.order(line_draft(house.sku, 3))
        (fulfilment,) = source_split(order)
        request(fulfilment)
        cancel_orders(order_ids=[order.pk], reason="buyer called", **BY)

        ship(fulfilment, house.sku.code, 1, is_final=False)

        assert state(fulfilment) == FulfilmentState.CANCEL_REQUESTED
        assert order.lines.get().cancel_wanted == 2


def test_of_a_short_line_a_part_can_be_cancelled_and_the_rest_stays_short(house: House) -> None:
    order = house.order(line_draft(house.sku, 15))
    line = order.lines.get()

    cancel_lines(cancels=[LineCancel(line.pk, 3)], reason="buyer called", **BY)

    line.refresh_from_db()
    order.refresh_from_db()
    assert (line.cancelled_quantity, line.short_quantity, order.short_lines) == (3, 12, 1)


def test_the_line_that_stays_at_its_warehouse_is_not_taken_for_an_order_that_nobody_can_send(
    house: House,
) -> None:
    put_stock(other := LocationFactory.create(group=house.location.group), sku := SkuFactory.create(), 5)
    (captured,) = house.take(order_draft(line_draft(house.sku, 1), line_draft(sku, 1)))
    order = order_of(captured)
    fulfilments = source_split(order)
    for fulfilment in fulfilments:
        accept(fulfilment)
    gone = order.lines.get(sku=sku)

    cancel_lines(cancels=[LineCancel(gone.pk)], reason="refunded", **BY)
    stopped = next(one for one in fulfilments if one.location_id == other.pk)
    record_cancel_answers(answers=[CancelAnswer(stopped.pk, is_cancelled=True)], **BY)
    source_orders(limit=10, at=NOON)

    assert not order.holds.exists()
    assert stage(order) == Stage.RELEASED


def test_the_statements_of_many_answers_are_those_of_few() -> None:
    house = make_house(stock=100)
    counts = []
    for size in (2, 12):
        orders, fulfilments = [], []
        for _ in range(size):
            orders.append(house.order())
            fulfilments.append(release(orders[-1]))
        cancel_orders(order_ids=[order.pk for order in orders], reason="buyer called", **BY)
        with StatementCounter() as counter:
            record_cancel_answers(answers=[CancelAnswer(one.pk, True) for one in fulfilments], **BY)
        counts.append(counter.statements)

    assert counts[0] == counts[1]
    assert not SalesOrder.objects.exclude(stage=Stage.CANCELLED).exists()


def test_fulfilments_are_dropped_only_after_their_orders_are_locked(house: House) -> None:
    order = house.order()
    (fulfilment,) = source_split(order)

    with StatementCounter() as counter:
        drop_fulfilments(fulfilment_ids=[fulfilment.pk], **BY)

    locks = [sql for sql in counter.log if "FOR NO KEY UPDATE" in sql]
    assert "orders_salesorder" in locks[0]
    assert "orders_fulfilmentorder" in locks[1]

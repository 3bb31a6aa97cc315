"""The path of an order through the house: review, sourcing, release, parcel, notice; and every way off it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

import pytest

from inventory.count import StockCount, count_stock
from inventory.models import Reservation, StockLevel, StockPool
from omni.kernel.answers import Answer
from omni.kernel.errors import BadInput
from orders.cancel import CancelAnswer, cancel_orders, claim_cancel_questions, record_cancel_answers
from orders.confirm import (
    ConfirmedParcel,
    MoreThanOrdered,
    NotShippable,
    UnknownFulfilment,
    confirm_shipment,
    record_progress,
)
from orders.dispatch import claim_due_notices, record_notice_answers, retry_notices
from orders.draft import ChannelState, LineRefund
from orders.hold import NewHold, place_holds, resolve_holds
from orders.models import DispatchNotice, FulfilmentOrder, Parcel, ReviewRule, SalesOrder, Shipment
from orders.models.review import HoldKind
from orders.release import ReleaseAnswer, claim_planned, record_release_answers, retry_refused
from orders.review import approve_orders, check_conditions, review_captured
from orders.shortage import follow_shortages
from orders.source import resource_orders, source_orders
from orders.states import FulfilmentState, Stage
from tests.factories.inventory import LocationFactory, put_stock
from tests.factories.orders import NOON, House, later, line_draft, make_house, order_draft, order_of
from tests.factories.path import approve, release, ship, source, stage
from tests.factories.products import SkuFactory

pytestmark = pytest.mark.django_db
BY: dict[str, Any] = {"at": NOON, "by": "test"}


@pytest.fixture
def house() -> House:
    return make_house(stock=10)


def kinds(order: SalesOrder) -> list[str]:
    return list(order.events.order_by("id").values_list("kind", flat=True))


@pytest.mark.capability("O6", "O18", "O22", "O24", "O17")
def test_a_clean_order_goes_from_capture_to_parcel_and_its_channel_is_told(house: House) -> None:
    order = house.order(line_draft(house.sku, 3))
    fulfilment = release(order)

    ship(fulfilment, house.sku.code, 3)
    (notice,) = claim_due_notices(shop_id=house.shop.pk, limit=10, **BY)
    record_notice_answers(answers=[Answer(notice.notice_id, ok=True)], **BY)

    assert stage(order) == Stage.SHIPPED
    assert (notice.outer_id, notice.is_whole_order, notice.tracking_no) == (order.outer_id, True, "SFK1")
    level = StockLevel.objects.get(sku=house.sku)
    assert (level.on_hand, level.committed) == (7, 0)
    assert kinds(order) == [
        "captured",
        "stage.approved",
        "sourced",
        "stage.sourced",
        "release.requested",
        "release.accepted",
        "stage.released",
        "shipped",
        "stage.shipped",
        "dispatch.sent",
    ]


class TestReview:
    def test_a_rule_that_fires_asks_a_person_and_is_named(self, house: House) -> None:
        ReviewRule.objects.create(
            name="memo", conditions=[{"field": "seller_memo", "operator": "is_not_empty"}], action="hold"
        )
        ReviewRule.objects.create(
            name="dear",
            conditions=[{"field": "total_amount", "operator": "gt", "value": "9999"}],
            action="hold",
        )
        order = house.order(seller_memo="加急")

        review_captured(limit=10, at=NOON)

        assert stage(order) == Stage.IN_REVIEW
        assert order.review_decisions.get().fired == ["memo"]
        assert order.holds.get().reason == "memo"

    def test_a_person_approves_and_the_order_goes_on(self, house: House) -> None:
        ReviewRule.objects.create(name="all", conditions=[], action="hold")
        order = house.order()
        review_captured(limit=10, at=NOON)

        refused = approve_orders(order_ids=[order.pk], note="called the buyer", at=NOON, by="user:7")

        assert refused == {}
        assert (stage(order), order.open_holds) == (Stage.APPROVED, 0)
        assert order.holds.get().resolved_by == "user:7"

    def test_an_order_is_approved_once(self, house: House) -> None:
        ReviewRule.objects.create(name="all", conditions=[], action="hold")
        order = house.order()
        review_captured(limit=10, at=NOON)
        approve_orders(order_ids=[order.pk], note="", **BY)

        refused = approve_orders(order_ids=[order.pk], note="", **BY)

        assert refused == {order.pk: "It is not in review."}

    def test_a_held_order_is_not_reviewed(self, house: House) -> None:
        order = house.order(state=ChannelState.ON_HOLD)

        review_captured(limit=10, at=NOON)

        assert stage(order) == Stage.CAPTURED

    def test_a_broken_rule_neither_fires_nor_stops_the_line(self, house: House) -> None:
        ReviewRule.objects.create(name="broken", conditions=[{"field": "moon"}], action="hold")
        order = house.order()

        review_captured(limit=10, at=NOON)

        assert stage(order) == Stage.APPROVED

    @pytest.mark.parametrize(
        "conditions",
        [
            "all",
            [{"field": "moon", "operator": "is"}],
            [{"field": "city", "operator": "looks_like", "value": "x"}],
            [{"field": "total_amount", "operator": "gt", "value": "much"}],
            [{"field": "city", "operator": "gt", "value": "5"}],
            [{"field": "total_amount", "operator": "gt", "value": "NaN"}],
            [{"field": "city", "operator": "is_one_of", "value": None}],
            [{"field": ["city"], "operator": "is", "value": "x"}],
        ],
    )
    def test_conditions_that_no_order_could_be_tested_with_are_refused(self, conditions: object) -> None:
        with pytest.raises(BadInput):
            check_conditions(conditions)


class TestSourcing:
    def test_one_location_that_can_send_all_beats_a_nearer_one_that_cannot(self, house: House) -> None:
        near = LocationFactory.create(group=house.location.group, province="广东", priority=1)
        put_stock(near, house.sku, 1)

        fulfilment = source(house.order(line_draft(house.sku, 3)))

        assert fulfilment.location == house.location
        decision = SalesOrder.objects.get().sourcing_decisions.get()
        assert decision.reason == "whole_order"
        assert [row["location"] for row in decision.candidates] == [house.location.code, near.code]

    def test_among_equals_the_receivers_province_wins(self, house: House) -> None:
        near = LocationFactory.create(group=house.location.group, province="广东", priority=200)
        put_stock(near, house.sku, 5)

        fulfilment = source(house.order())

        assert fulfilment.location == near

    def test_an_order_that_no_single_location_can_send_is_split(self, house: House) -> None:
        other = LocationFactory.create(group=house.location.group)
        put_stock(other, house.sku, 5)
        order = house.order(line_draft(house.sku, 12))
        approve(order)

        source_orders(limit=10, at=NOON)

        sent = FulfilmentOrder.objects.order_by("id").values_list("location__code", "lines__quantity")
        assert dict(sent) == {house.location.code: 10, other.code: 2}
        assert stage(order) == Stage.SOURCED

    def test_a_short_order_waits(self, house: House) -> None:
        order = house.order(line_draft(house.sku, 11))
        review_captured(limit=10, at=NOON)

        source_orders(limit=10, at=NOON)

        assert stage(order) == Stage.APPROVED
        assert not FulfilmentOrder.objects.exists()

    def test_when_no_location_may_ship_a_person_is_told(self, house: House) -> None:
        order = house.order()
        approve(order)
        type(house.location).objects.update(ships_online=False)

        source_orders(limit=10, at=NOON)

        assert order.holds.get().kind == HoldKind.SOURCING
        assert stage(order) == Stage.APPROVED

    def test_two_orders_of_one_run_cannot_take_the_same_units(self, house: House) -> None:
        other = LocationFactory.create(group=house.location.group)
        put_stock(other, house.sku, 6)
        first, second = house.order(line_draft(house.sku, 6)), house.order(line_draft(house.sku, 6))
        approve(first)

        source_orders(limit=10, at=NOON)

        assert {stage(first), stage(second)} == {Stage.SOURCED}
        assert FulfilmentOrder.objects.values("location").distinct().count() == 2


class TestRelease:
    @pytest.mark.capability("O15")
    def test_what_is_held_does_not_leave(self, house: House) -> None:
        order = house.order()
        fulfilment = source(order)
        place_holds(holds=[NewHold(order.pk, HoldKind.MANUAL, "wait")], **BY)

        claimed_while_held = claim_planned(location_id=fulfilment.location_id, limit=10, **BY)
        resolve_holds(order_ids=[order.pk], kinds=[HoldKind.MANUAL], **BY)
        claimed = claim_planned(location_id=fulfilment.location_id, limit=10, **BY)

        assert claimed_while_held == []
        assert [row.number for row in claimed] == [fulfilment.number]

    def test_a_request_is_claimed_once(self, house: House) -> None:
        fulfilment = source(house.order())

        first = claim_planned(location_id=fulfilment.location_id, limit=10, **BY)
        second = claim_planned(location_id=fulfilment.location_id, limit=10, **BY)

        assert (len(first), len(second)) == (1, 0)
        assert first[0].receiver.name == "张伟"
        assert [(line.sku_code, line.quantity) for line in first[0].lines] == [(house.sku.code, 1)]

    def test_no_answer_is_asked_again_later(self, house: House) -> None:
        fulfilment = source(house.order())
        claim_planned(location_id=fulfilment.location_id, limit=10, **BY)

        record_release_answers(answers=[ReleaseAnswer(fulfilment.pk, "later", retry_seconds=30)], **BY)
        now = claim_planned(location_id=fulfilment.location_id, limit=10, **BY)
        soon = claim_planned(
            location_id=fulfilment.location_id, limit=10, at=NOON + timedelta(seconds=31), by="test"
        )

        assert (len(now), len(soon)) == (0, 1)
        assert soon[0].attempts == 2

    def test_a_refusal_is_shown_and_can_be_retried(self, house: House) -> None:
        order = house.order()
        fulfilment = source(order)
        claim_planned(location_id=fulfilment.location_id, limit=10, **BY)
        record_release_answers(answers=[ReleaseAnswer(fulfilment.pk, "refused", detail="no such item")], **BY)
        refused = FulfilmentOrder.objects.get()

        retried = retry_refused(fulfilment_ids=[fulfilment.pk], **BY)

        assert (refused.state, refused.refusal) == (FulfilmentState.REFUSED, "no such item")
        assert stage(order) == Stage.SOURCED
        assert retried == [fulfilment.pk]
        assert claim_planned(location_id=fulfilment.location_id, limit=10, **BY)

    @pytest.mark.capability("O14")
    def test_a_refused_order_can_be_sourced_elsewhere(self, house: House) -> None:
        order = house.order()
        fulfilment = source(order)
        claim_planned(location_id=fulfilment.location_id, limit=10, **BY)
        record_release_answers(answers=[ReleaseAnswer(fulfilment.pk, "refused", detail="closed")], **BY)
        other = LocationFactory.create(group=house.location.group)
        put_stock(other, house.sku, 5)

        impossible = resource_orders(order_ids=[order.pk], **BY)
        source_orders(limit=10, at=NOON)

        assert impossible == {}
        assert FulfilmentOrder.objects.get(state=FulfilmentState.PLANNED).location == other
        assert stage(order) == Stage.SOURCED


class TestShipment:
    def test_the_same_confirmation_twice_ships_once(self, house: House) -> None:
        fulfilment = release(house.order(line_draft(house.sku, 2)))

        answers = [ship(fulfilment, house.sku.code, 2), ship(fulfilment, house.sku.code, 2)]

        assert answers == [True, False]
        assert Shipment.objects.count() == DispatchNotice.objects.count() == 1
        assert StockLevel.objects.get(sku=house.sku).on_hand == 8

    def test_more_than_was_ordered_is_refused_and_changes_nothing(self, house: House) -> None:
        fulfilment = release(house.order(line_draft(house.sku, 2)))

        with pytest.raises(MoreThanOrdered):
            ship(fulfilment, house.sku.code, 3)

        assert not Shipment.objects.exists()
        assert not Parcel.objects.exists()
        assert StockLevel.objects.get(sku=house.sku).on_hand == 10

    def test_goods_that_were_not_asked_for_are_refused(self, house: House) -> None:
        fulfilment = release(house.order())

        with pytest.raises(MoreThanOrdered):
            ship(fulfilment, SkuFactory.create().code, 1)

    def test_an_unknown_number_is_refused(self, house: House) -> None:
        with pytest.raises(UnknownFulfilment):
            ship(FulfilmentOrder(number="FO404"), house.sku.code, 1)

    def test_another_warehouse_cannot_confirm_it(self, house: House) -> None:
        fulfilment = release(house.order())

        with pytest.raises(UnknownFulfilment):
            confirm_shipment(
                number=fulfilment.number,
                event_key="K",
                parcels=[ConfirmedParcel("SF", "1", [(house.sku.code, 1)])],
                is_final=True,
                shipped_at=NOON,
                location_id=LocationFactory.create().pk,
                **BY,
            )

    def test_a_confirmation_may_come_before_the_answer_to_the_request(self, house: House) -> None:
        order = house.order()
        fulfilment = source(order)
        claim_planned(location_id=fulfilment.location_id, limit=10, **BY)

        ship(fulfilment, house.sku.code, 1)
        record_release_answers(answers=[ReleaseAnswer(fulfilment.pk, "accepted", "WMS-1")], **BY)

        fulfilment.refresh_from_db()
        assert fulfilment.state == FulfilmentState.SHIPPED
        assert stage(order) == Stage.SHIPPED

    def test_a_parcel_of_what_was_thought_not_to_have_arrived_is_a_fact(self, house: House) -> None:
        order = house.order()
        fulfilment = source(order)
        claim_planned(location_id=fulfilment.location_id, limit=10, **BY)
        record_release_answers(answers=[ReleaseAnswer(fulfilment.pk, "later")], **BY)

        ship(fulfilment, house.sku.code, 1)

        fulfilment.refresh_from_db()
        assert fulfilment.state == FulfilmentState.SHIPPED
        assert stage(order) == Stage.SHIPPED

    def test_two_parcels_at_two_times_are_one_order_shipped_in_parts(self, house: House) -> None:
        order = house.order(line_draft(house.sku, 3))
        fulfilment = release(order)

        ship(fulfilment, house.sku.code, 1, key="K1", is_final=False)
        stage_after_first = stage(order)
        ship(fulfilment, house.sku.code, 2, key="K2", is_final=True)

        assert (stage_after_first, stage(order)) == (Stage.RELEASED, Stage.SHIPPED)
        assert list(DispatchNotice.objects.values_list("is_whole_order", flat=True)) == [False, False]

    def test_a_short_pick_goes_back_to_be_sourced_anew(self, house: House) -> None:
        order = house.order(line_draft(house.sku, 3))
        fulfilment = release(order)

        ship(fulfilment, house.sku.code, 1, is_final=True)
        back = stage(order)
        source_orders(limit=10, at=NOON)

        assert back == Stage.APPROVED
        rest = FulfilmentOrder.objects.get(state=FulfilmentState.PLANNED).lines.get()
        assert rest.quantity == 2

    def test_steps_inside_the_warehouse_are_on_the_timeline(self, house: House) -> None:
        order = house.order()
        fulfilment = release(order)

        record_progress(number=fulfilment.number, step="PICK", happened_at=NOON, detail="", **BY)

        assert order.events.get(kind="warehouse.step").detail["step"] == "PICK"

    def test_a_failed_notice_waits_for_a_person_and_can_be_sent_again(self, house: House) -> None:
        ship(release(house.order()), house.sku.code, 1)
        (notice,) = claim_due_notices(shop_id=house.shop.pk, limit=10, **BY)

        record_notice_answers(answers=[Answer(notice.notice_id, False, "no such trade", is_final=True)], **BY)
        failed = DispatchNotice.objects.get().state
        retry_notices(notice_ids=[notice.notice_id], **BY)

        assert failed == DispatchNotice.State.FAILED
        assert len(claim_due_notices(shop_id=house.shop.pk, limit=10, **BY)) == 1


@pytest.mark.capability("O10")
class TestCancel:
    def test_before_release_it_is_immediate(self, house: House) -> None:
        order = house.order(line_draft(house.sku, 4))
        fulfilment = source(order)

        (result,) = cancel_orders(order_ids=[order.pk], reason="buyer called", **BY)

        assert result.outcome == "cancelled"
        assert stage(order) == Stage.CANCELLED
        fulfilment.refresh_from_db()
        assert fulfilment.state == FulfilmentState.CANCELLED
        assert (StockPool.objects.get().reserved, StockLevel.objects.get().committed) == (0, 0)

    def test_twice_gives_the_stock_back_once(self, house: House) -> None:
        house.order(line_draft(house.sku, 4))
        order = house.order(line_draft(house.sku, 3))

        for _ in range(2):
            cancel_orders(order_ids=[order.pk], reason="twice", **BY)

        assert StockPool.objects.get().reserved == 4

    @pytest.mark.capability("O15")
    def test_after_release_the_warehouse_is_asked_and_nothing_is_assumed(self, house: House) -> None:
        order = house.order()
        fulfilment = release(order)

        (result,) = cancel_orders(order_ids=[order.pk], reason="buyer called", **BY)
        questions = claim_cancel_questions(location_id=fulfilment.location_id, limit=10)

        assert result.outcome == "asked"
        assert [question.number for question in questions] == [fulfilment.number]
        assert stage(order) == Stage.RELEASED
        assert StockPool.objects.get().reserved == 1

    def test_when_the_warehouse_stops_it_the_order_is_cancelled(self, house: House) -> None:
        order = house.order()
        fulfilment = release(order)
        cancel_orders(order_ids=[order.pk], reason="buyer called", **BY)

        record_cancel_answers(answers=[CancelAnswer(fulfilment.pk, is_cancelled=True)], **BY)

        assert stage(order) == Stage.CANCELLED
        assert Reservation.objects.get().state == Reservation.State.RELEASED

    def test_when_it_cannot_a_person_is_told_and_the_parcel_still_counts(self, house: House) -> None:
        order = house.order()
        fulfilment = release(order)
        cancel_orders(order_ids=[order.pk], reason="buyer called", **BY)

        record_cancel_answers(answers=[CancelAnswer(fulfilment.pk, False, "already packed")], **BY)
        ship(fulfilment, house.sku.code, 1)

        assert order.holds.get().kind == HoldKind.CANCEL_REFUSED
        assert stage(order) == Stage.SHIPPED

    def test_a_parcel_that_leaves_while_we_ask_wins(self, house: House) -> None:
        order = house.order()
        fulfilment = release(order)
        cancel_orders(order_ids=[order.pk], reason="buyer called", **BY)

        ship(fulfilment, house.sku.code, 1)
        record_cancel_answers(answers=[CancelAnswer(fulfilment.pk, is_cancelled=True)], **BY)

        assert stage(order) == Stage.SHIPPED
        assert order.lines.get().cancelled_quantity == 0

    def test_a_request_without_an_answer_is_not_asked_to_be_stopped_before_it_is_answered(
        self, house: House
    ) -> None:
        order = house.order()
        fulfilment = source(order)
        claim_planned(location_id=fulfilment.location_id, limit=10, **BY)

        (result,) = cancel_orders(order_ids=[order.pk], reason="buyer called", **BY)
        too_early = claim_cancel_questions(location_id=fulfilment.location_id, limit=10)
        record_release_answers(answers=[ReleaseAnswer(fulfilment.pk, "accepted", "WMS-1")], **BY)
        in_time = claim_cancel_questions(location_id=fulfilment.location_id, limit=10)

        assert result.outcome == "asked"
        assert (too_early, [question.number for question in in_time]) == ([], [fulfilment.number])

    @pytest.mark.parametrize("outcome", ["refused", "later"])
    def test_a_cancelled_order_that_the_warehouse_never_took_is_cancelled_at_its_answer(
        self, house: House, outcome: Literal["refused", "later"]
    ) -> None:
        order = house.order()
        fulfilment = source(order)
        claim_planned(location_id=fulfilment.location_id, limit=10, **BY)
        cancel_orders(order_ids=[order.pk], reason="buyer called", **BY)

        record_release_answers(answers=[ReleaseAnswer(fulfilment.pk, outcome)], **BY)

        assert stage(order) == Stage.CANCELLED
        assert StockPool.objects.get().reserved == 0

    def test_what_was_stopped_cannot_ship(self, house: House) -> None:
        order = house.order()
        fulfilment = release(order)
        cancel_orders(order_ids=[order.pk], reason="buyer called", **BY)
        record_cancel_answers(answers=[CancelAnswer(fulfilment.pk, is_cancelled=True)], **BY)

        with pytest.raises(NotShippable):
            ship(fulfilment, house.sku.code, 1)

    def test_one_line_of_a_released_order_is_stopped_and_the_other_goes_on(self, house: House) -> None:
        kept, gone = line_draft(house.sku, 1), line_draft(house.sku, 2)
        draft = order_draft(kept, gone)
        (captured,) = house.take(draft)
        order = order_of(captured)
        fulfilment = release(order)

        house.take(later(draft, lines=[kept, replace(gone, refund=LineRefund.DONE)]))
        record_cancel_answers(answers=[CancelAnswer(fulfilment.pk, is_cancelled=True)], **BY)
        source_orders(limit=10, at=NOON)

        assert stage(order) == Stage.SOURCED
        again = FulfilmentOrder.objects.get(state=FulfilmentState.PLANNED)
        assert [line.quantity for line in again.lines.all()] == [1]

    def test_a_shipped_order_is_refused(self, house: House) -> None:
        order = house.order()
        ship(release(order), house.sku.code, 1)

        (result,) = cancel_orders(order_ids=[order.pk], reason="too late", **BY)

        assert result.outcome == "refused"
        assert stage(order) == Stage.SHIPPED


def test_a_count_that_finds_less_makes_the_youngest_promise_short(house: House) -> None:
    first, second = house.order(line_draft(house.sku, 6)), house.order(line_draft(house.sku, 4))

    count_stock(
        key="count-1", counts=[StockCount(house.location.pk, house.sku.pk, 7)], reason="shelf count", **BY
    )
    follow_shortages(line_keys=[line.line_key for line in second.lines.all()], **BY)

    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.short_lines, second.short_lines) == (0, 1)


def test_a_completed_platform_order_completes_ours(house: House) -> None:
    draft = order_draft(line_draft(house.sku))
    (captured,) = house.take(draft)
    order = order_of(captured)
    ship(release(order), house.sku.code, 1)

    house.take(later(draft, 1, state=ChannelState.SHIPPED), at=NOON)
    house.take(later(draft, 2, state=ChannelState.COMPLETED), at=NOON)

    assert stage(order) == Stage.COMPLETED
    assert order.open_holds == 0


class TestCompletedBeforeTheLastParcel:
    """A platform may let the buyer confirm while a part of the order has not left."""

    @pytest.fixture
    def order(self, house: House) -> SalesOrder:
        draft = order_draft(line_draft(house.sku, 3))
        (captured,) = house.take(draft)
        order = order_of(captured)
        ship(release(order), house.sku.code, 1, is_final=False)
        house.take(later(draft, state=ChannelState.COMPLETED))
        return order

    def test_the_order_is_not_over_before_the_rest_has_left(self, order: SalesOrder) -> None:
        assert stage(order) == Stage.RELEASED

    def test_the_last_parcel_completes_it_because_the_platform_will_not_say_so_again(
        self, house: House, order: SalesOrder
    ) -> None:
        ship(FulfilmentOrder.objects.get(), house.sku.code, 2, key="K2")

        assert stage(order) == Stage.COMPLETED
        assert kinds(order)[-3:] == ["shipped", "stage.shipped", "stage.completed"]

    def test_a_rest_that_is_stopped_completes_it_as_well(self, order: SalesOrder) -> None:
        cancel_orders(order_ids=[order.pk], reason="buyer called", **BY)

        record_cancel_answers(
            answers=[CancelAnswer(FulfilmentOrder.objects.get().pk, is_cancelled=True)], **BY
        )

        assert stage(order) == Stage.COMPLETED


def test_a_platform_that_says_shipped_too_early_raises_a_hold(house: House) -> None:
    draft = order_draft(line_draft(house.sku))
    house.take(draft)

    house.take(later(draft, state=ChannelState.SHIPPED, raw_state="WAIT_BUYER_CONFIRM_GOODS"))

    assert SalesOrder.objects.get().holds.get().kind == HoldKind.SHIPPED_ELSEWHERE

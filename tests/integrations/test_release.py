"""A warehouse is asked for each fulfilment order until its answer is known, and never sends one twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations import registry
from integrations.contract import ChannelRejected, ChannelUnavailable, WarehouseAnswer
from integrations.health import resume_connection
from integrations.lease import open_streams
from integrations.models import Connection, Cursor, MessageLog
from integrations.release import ask_cancellations, release_fulfilments, settle_unanswered
from inventory.models import Reservation
from orders.cancel import cancel_orders
from orders.hold import NewHold, place_holds
from orders.models import FulfilmentOrder, OrderHold, SalesOrder
from orders.models.review import HoldKind
from orders.review import review_captured
from orders.source import source_orders
from orders.states import FulfilmentState, Stage
from tests.factories.integrations import make_warehouse
from tests.factories.orders import House, make_house
from tests.factories.outside import AWAY, EXPIRED, LOST, Depot

pytestmark = [pytest.mark.django_db, pytest.mark.capability("O1")]


@pytest.fixture
def depot(monkeypatch: pytest.MonkeyPatch) -> Depot:
    depot = Depot()
    monkeypatch.setitem(registry.WAREHOUSES, "fake", depot)
    return depot


@pytest.fixture
def house() -> House:
    return make_house(stock=20)


@pytest.fixture
def warehouse(house: House, depot: Depot) -> Connection:
    warehouse = make_warehouse(adapter="fake", location=house.location)
    open_streams(connection_id=warehouse.pk, streams=["release", "cancel", "settle"])
    return warehouse


def plan(house: House, count: int = 1) -> list[FulfilmentOrder]:
    """Orders that are captured, reviewed and sourced: their fulfilment orders wait to be released."""
    for _ in range(count):
        house.order()
    review_captured(limit=100, at=timezone.now())
    source_orders(limit=100, at=timezone.now())
    planned = list(FulfilmentOrder.objects.order_by("pk"))
    assert [one.state for one in planned] == [FulfilmentState.PLANNED] * count
    return planned


def release(warehouse: Connection) -> Any:
    return release_fulfilments(connection_id=warehouse.pk, at=timezone.now())


def settle(warehouse: Connection) -> Any:
    return settle_unanswered(connection_id=warehouse.pk, at=timezone.now())


def again() -> None:
    """Let every wait pass."""
    FulfilmentOrder.objects.update(not_before=timezone.now() - timedelta(seconds=1))
    Connection.objects.update(not_before=timezone.now() - timedelta(seconds=1))


def only() -> FulfilmentOrder:
    return FulfilmentOrder.objects.get()


def test_what_is_planned_is_handed_over_with_everything_the_warehouse_needs(
    warehouse: Connection, depot: Depot, house: House
) -> None:
    planned = plan(house, count=3)

    run = release(warehouse)

    told = {order.number: order for order in depot.created}
    assert set(told) == {one.number for one in planned}
    first = told[planned[0].number]
    assert (first.warehouse_code, first.owner_code) == (house.location.code, "OMNI")
    assert [(line.sku_code, line.quantity) for line in first.lines] == [(house.sku.code, 1)]
    assert first.receiver.city == "广州市"
    assert {one.state for one in FulfilmentOrder.objects.all()} == {FulfilmentState.ACCEPTED}
    assert FulfilmentOrder.objects.get(pk=planned[0].pk).warehouse_outer_id == f"W-{planned[0].number}"
    assert set(SalesOrder.objects.values_list("stage", flat=True)) == {Stage.RELEASED}
    assert run.count == 3


def test_a_lost_answer_is_looked_up_and_nothing_is_sent_twice(
    warehouse: Connection, depot: Depot, house: House
) -> None:
    plan(house)
    depot.fails["create"], depot.takes_effect = LOST, True

    release(warehouse)

    assert depot.calls == [f"create {only().number}", f"find {only().number}"]
    assert only().state == FulfilmentState.ACCEPTED
    assert len(depot.created) == 1


def test_a_lost_request_that_did_not_arrive_is_sent_again(
    warehouse: Connection, depot: Depot, house: House
) -> None:
    plan(house)
    depot.fails["create"] = LOST
    release(warehouse)
    assert only().state == FulfilmentState.PLANNED
    depot.fails.clear()
    again()

    release(warehouse)

    assert only().state == FulfilmentState.ACCEPTED
    assert len(depot.created) == 1


@pytest.mark.parametrize("trouble", [LOST, AWAY, ChannelRejected("query refused", code="S999"), EXPIRED])
def test_while_nobody_knows_whether_it_arrived_it_is_not_sent_again(
    warehouse: Connection, depot: Depot, house: House, trouble: Exception
) -> None:
    plan(house)
    depot.fails, depot.takes_effect = {"create": LOST, "find": trouble}, True
    release(warehouse)
    again()

    release(warehouse)

    assert only().state == FulfilmentState.REQUESTED
    assert len(depot.created) == 1
    depot.fails.clear()
    FulfilmentOrder.objects.update(requested_at=timezone.now() - timedelta(minutes=5))
    Connection.objects.update(health=Connection.Health.OK)
    again()
    settle(warehouse)
    assert only().state == FulfilmentState.ACCEPTED
    assert len(depot.created) == 1


def test_a_sender_that_died_before_it_asked_leaves_nothing_behind(
    warehouse: Connection, depot: Depot, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan(house)

    def die(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr("integrations.release._call_each", die)
        with pytest.raises(SystemExit):
            release(warehouse)
    assert only().state == FulfilmentState.REQUESTED
    FulfilmentOrder.objects.update(requested_at=timezone.now() - timedelta(minutes=5))

    settle(warehouse)

    assert only().state == FulfilmentState.PLANNED
    again()
    release(warehouse)
    assert only().state == FulfilmentState.ACCEPTED
    assert len(depot.created) == 1


def test_a_young_request_is_not_taken_for_a_lost_one(
    warehouse: Connection, depot: Depot, house: House
) -> None:
    plan(house)
    depot.fails = {"create": LOST, "find": LOST}
    release(warehouse)
    depot.calls.clear()
    again()

    settle(warehouse)

    assert depot.calls == []
    assert only().state == FulfilmentState.REQUESTED


def test_a_refusal_waits_for_a_person_with_the_warehouses_words(
    warehouse: Connection, depot: Depot, house: House
) -> None:
    plan(house)
    depot.refusal = "商品不存在"

    release(warehouse)
    release(warehouse)

    assert (only().state, only().refusal) == (FulfilmentState.REFUSED, "商品不存在")
    assert len(depot.calls) == 1
    logged = MessageLog.objects.get()
    assert (logged.operation, logged.subject, logged.is_ok) == ("create_delivery", only().number, False)


def test_a_warehouse_that_is_away_is_asked_later_and_counted(
    warehouse: Connection, depot: Depot, house: House
) -> None:
    plan(house, count=3)
    depot.fails["create"] = AWAY

    run = release(warehouse)

    warehouse.refresh_from_db()
    assert run is None
    assert warehouse.failures == 1
    assert {one.state for one in FulfilmentOrder.objects.all()} == {FulfilmentState.PLANNED}
    assert Cursor.objects.get(stream="release").failures == 1


def test_expired_credentials_pause_and_the_request_is_not_lost(
    warehouse: Connection, depot: Depot, house: House
) -> None:
    plan(house)
    depot.fails["create"] = EXPIRED

    release(warehouse)

    warehouse.refresh_from_db()
    assert warehouse.health == Connection.Health.PAUSED
    depot.fails.clear()
    resume_connection(connection_id=warehouse.pk, at=timezone.now(), by="user:1")
    FulfilmentOrder.objects.update(requested_at=timezone.now() - timedelta(minutes=5))
    again()
    settle(warehouse)
    again()
    release(warehouse)
    assert only().state == FulfilmentState.ACCEPTED


def test_one_document_that_is_rejected_does_not_trouble_the_connection(
    warehouse: Connection, depot: Depot, house: House
) -> None:
    plan(house)
    depot.fails["create"] = ChannelRejected("receiver mobile is missing", code="S014")

    release(warehouse)

    warehouse.refresh_from_db()
    assert (only().state, only().refusal) == (FulfilmentState.REFUSED, "receiver mobile is missing")
    assert warehouse.failures == 0


def test_a_held_order_is_not_handed_over(warehouse: Connection, depot: Depot, house: House) -> None:
    plan(house)
    held = NewHold(SalesOrder.objects.get().pk, HoldKind.MANUAL, "wait")
    place_holds(holds=[held], at=timezone.now(), by="user:1")

    run = release(warehouse)

    assert (run.count, depot.calls) == (0, [])
    assert only().state == FulfilmentState.PLANNED


# --- cancelling ---------------------------------------------------------------------------------------------


def cancelled_after_release(warehouse: Connection, house: House) -> SalesOrder:
    plan(house)
    release(warehouse)
    order = SalesOrder.objects.get()
    (result,) = cancel_orders(order_ids=[order.pk], reason="buyer", at=timezone.now(), by="user:1")
    assert result.outcome == "asked"
    again()
    return order


def ask(warehouse: Connection) -> Any:
    return ask_cancellations(connection_id=warehouse.pk, at=timezone.now())


def test_a_yes_cancels_the_order_and_frees_its_stock(
    warehouse: Connection, depot: Depot, house: House
) -> None:
    order = cancelled_after_release(warehouse, house)

    ask(warehouse)

    order.refresh_from_db()
    assert (order.stage, only().state) == (Stage.CANCELLED, FulfilmentState.CANCELLED)
    assert not Reservation.objects.filter(state__in=["held", "committed"]).exists()


def test_a_no_leaves_the_parcel_on_its_way_and_says_so(
    warehouse: Connection, depot: Depot, house: House
) -> None:
    order = cancelled_after_release(warehouse, house)
    depot.cancels = WarehouseAnswer(only().number, ok=False, code="S020", detail="already picked")

    ask(warehouse)

    order.refresh_from_db()
    assert (order.stage, only().state) == (Stage.RELEASED, FulfilmentState.ACCEPTED)
    assert "already picked" in OrderHold.objects.get().reason


def test_no_answer_is_neither_and_the_question_is_put_again(
    warehouse: Connection, depot: Depot, house: House
) -> None:
    order = cancelled_after_release(warehouse, house)
    depot.fails["cancel"] = ChannelUnavailable("time-out", is_unknown_outcome=True)
    ask(warehouse)
    order.refresh_from_db()
    assert (order.stage, only().state) == (Stage.RELEASED, FulfilmentState.CANCEL_REQUESTED)
    depot.fails.clear()
    again()

    ask(warehouse)

    order.refresh_from_db()
    assert order.stage == Stage.CANCELLED


def test_nothing_to_ask_asks_nobody(warehouse: Connection, depot: Depot) -> None:
    assert ask(warehouse).has_talked is False
    assert settle(warehouse).has_talked is False
    assert depot.calls == []

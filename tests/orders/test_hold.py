"""Holds end with their orders."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

from omni.kernel.sql import execute
from orders.cancel import LineCancel, cancel_lines
from orders.drift import CHECKS
from orders.hold import NewHold, place_holds
from orders.models import OrderHold, SalesOrder
from orders.models.review import HoldKind
from orders.states import Stage
from tests.factories.orders import NOON, House, line_draft, make_house
from tests.factories.path import release, ship, stage

pytestmark = pytest.mark.django_db
BY: dict[str, Any] = {"at": NOON, "by": "test"}


@pytest.fixture
def house() -> House:
    return make_house(stock=10)


def hold(order: SalesOrder, kind: HoldKind = HoldKind.MANUAL) -> int:
    return place_holds(holds=[NewHold(order.pk, kind, "wait for the buyer")], **BY)


def test_a_parcel_that_left_all_the_same_closes_the_holds_of_its_order(house: House) -> None:
    order = house.order()
    fulfilment = release(order)
    hold(order)
    hold(order, HoldKind.REFUND)

    ship(fulfilment, house.sku.code, 1)

    assert (stage(order), order.open_holds) == (Stage.SHIPPED, 0)
    assert set(order.holds.values_list("state", flat=True)) == {"resolved"}


def test_a_rest_that_is_cancelled_closes_the_holds_of_an_order_of_which_a_part_has_left(house: House) -> None:
    order = house.order(line_draft(house.sku, 2))
    ship(release(order), house.sku.code, 1, is_final=True)
    hold(order)

    cancel_lines(cancels=[LineCancel(order.lines.get().pk)], reason="buyer called", **BY)

    assert (stage(order), order.open_holds) == (Stage.SHIPPED, 0)


def test_what_is_over_is_not_held_any_more_and_its_timeline_says_what_would_have_held_it(
    house: House,
) -> None:
    order = house.order()
    ship(release(order), house.sku.code, 1)

    placed = hold(order, HoldKind.WAREHOUSE)

    order.refresh_from_db()
    assert (placed, order.open_holds, order.holds.count()) == (0, 0, 0)
    assert order.events.get(kind="hold.too_late").detail == {
        "kind": "warehouse",
        "reason": "wait for the buyer",
    }


def test_a_hold_that_is_open_already_is_not_said_to_be_too_late(house: House) -> None:
    order = house.order()
    hold(order)

    placed = hold(order)

    assert placed == 0
    assert not order.events.filter(kind="hold.too_late").exists()


def test_the_doctor_finds_an_order_that_is_over_and_held(house: House) -> None:
    order = house.order()
    ship(release(order), house.sku.code, 1)
    OrderHold.objects.create(order=order, kind=HoldKind.MANUAL, reason="x", placed_by="test")

    (check,) = [check for check in CHECKS if check.code == "orders.finished_orders_are_not_held"]
    found = check.find(5)
    OrderHold.objects.all().delete()

    assert [row["number"] for row in found] == [order.number]
    assert check.find(5) == []


def test_holds_that_were_open_before_they_ended_with_their_orders_are_closed_by_the_upgrade(
    house: House,
) -> None:
    over, live = house.order(), house.order()
    hold(live)
    cancel_lines(cancels=[LineCancel(over.lines.get().pk)], reason="buyer called", **BY)
    OrderHold.objects.create(order=over, kind=HoldKind.REFUND, reason="x", placed_by="test")
    SalesOrder.objects.filter(pk=over.pk).update(open_holds=1)

    upgrade = import_module("orders.migrations.0012_what_is_over_is_not_held")
    for _twice in range(2):
        execute(upgrade.CLOSE)

    over.refresh_from_db()
    live.refresh_from_db()
    assert (over.open_holds, live.open_holds) == (0, 1)
    assert over.holds.get().note_said == "Nothing of the order is left to ship."
    assert over.events.filter(kind="hold.resolved").count() == 1

"""Receipts, adjustments and counts: what lies there, what may be promised of it, and who loses when it is less."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.utils import timezone

from inventory.adjust import NothingAdjusted, StockAdjustment, adjust_stock
from inventory.book import CommittedStock, NotOnHand, OperationConflict, UnknownPlace
from inventory.count import NothingCounted, StockCount, count_stock
from inventory.models import LocationGroup, Shortage, StockLevel, StockMovement, StockOperation, StockPool
from inventory.pools import set_safety_stock
from inventory.receive import NothingReceived, StockReceipt, receive_stock
from omni.kernel.errors import BadInput
from omni.kernel.models import OutboxEvent
from tests.factories.inventory import (
    LocationFactory,
    LocationGroupFactory,
    Scene,
    ShopPoolFactory,
    parts_of,
    put_stock,
)

pytestmark = [pytest.mark.django_db, pytest.mark.capability("V1")]


def receive(scene: Scene, quantity: int, *, key: str = "r1") -> bool:
    receipts = [StockReceipt(scene.location.pk, scene.sku.pk, quantity)]
    return receive_stock(key=key, receipts=receipts, reason="", at=timezone.now(), by="test")


def adjust(scene: Scene, quantity: int, *, key: str = "a1") -> bool:
    adjustments = [StockAdjustment(scene.location.pk, scene.sku.pk, quantity)]
    return adjust_stock(key=key, adjustments=adjustments, reason="broken", at=timezone.now(), by="test")


def count(scene: Scene, counted: int, *, key: str = "c1") -> bool:
    counts = [StockCount(scene.location.pk, scene.sku.pk, counted)]
    return count_stock(key=key, counts=counts, reason="yearly", at=timezone.now(), by="test")


def keep_safe(scene: Scene, target: int) -> None:
    set_safety_stock(
        group_id=scene.location.group_id,
        targets={scene.sku.pk: target},
        at=timezone.now(),
        by="test",
        reason="",
    )


def test_a_first_receipt_creates_the_level_and_the_groups_intake_pool() -> None:
    group = LocationGroupFactory.create(new_stock_goes_to=LocationGroup.Intake.BASE)
    scene = Scene(location=LocationFactory.create(group=group))

    is_new = receive(scene, 7)

    assert is_new
    assert (scene.level.on_hand, scene.pool("base").granted) == (7, 7)
    assert StockPool.objects.count() == 1


def test_the_same_receipt_is_taken_once_and_another_under_its_number_is_refused() -> None:
    scene = Scene()
    receive(scene, 7)

    again = receive(scene, 7)
    with pytest.raises(OperationConflict):
        receive(scene, 8)

    assert again is False
    assert scene.level.on_hand == 7
    assert StockOperation.objects.count() == 1


def test_two_lines_of_one_receipt_for_one_place_add_up() -> None:
    scene = Scene()
    line = StockReceipt(scene.location.pk, scene.sku.pk, 3)

    receive_stock(key="r1", receipts=[line, line], reason="", at=timezone.now(), by="test")

    assert scene.level.on_hand == 6


def test_units_that_are_not_good_lie_there_but_nobody_may_promise_them() -> None:
    scene = Scene()

    put_stock(scene.location, scene.sku, 5, grade="inspection")

    assert StockLevel.objects.get().on_hand == 5
    assert not StockPool.objects.exists()


def test_a_receipt_of_an_unknown_sku_or_location_books_nothing() -> None:
    scene = Scene()

    for receipt in (StockReceipt(scene.location.pk, 0, 1), StockReceipt(0, scene.sku.pk, 1)):
        with pytest.raises(UnknownPlace):
            receive_stock(
                key="r1",
                receipts=[StockReceipt(scene.location.pk, scene.sku.pk, 1), receipt],
                reason="",
                at=timezone.now(),
                by="test",
            )

    assert not StockLevel.objects.exists()
    assert not StockOperation.objects.exists()


@pytest.mark.parametrize("quantity", [0, -5])
def test_nothing_cannot_be_received(quantity: int) -> None:
    scene = Scene()

    with pytest.raises(NothingReceived):
        receive(scene, quantity)

    assert not StockLevel.objects.exists()


def test_an_operation_needs_a_number() -> None:
    scene = Scene()

    for key in ("", "x" * 121):
        with pytest.raises(BadInput):
            receive(scene, 1, key=key)

    assert not StockLevel.objects.exists()


def test_safety_stock_is_filled_before_anything_is_sold() -> None:
    scene = Scene()
    keep_safe(scene, 10)

    receive(scene, 7)
    receive(scene, 7, key="r2")

    assert (scene.pool("safety").granted, scene.pool().granted) == (10, 4)


def test_an_adjustment_changes_level_and_pool_by_the_same() -> None:
    scene = Scene(10)

    adjust(scene, -3)
    adjust(scene, 1, key="a2")
    again = adjust(scene, -3)

    assert again is False
    assert (scene.level.on_hand, scene.pool().granted) == (8, 8)


def test_more_than_lies_there_cannot_be_written_off() -> None:
    scene = Scene(10)

    with pytest.raises(NotOnHand):
        adjust(scene, -11)

    assert (scene.level.on_hand, scene.pool().granted) == (10, 10)
    assert not StockMovement.objects.filter(kind="adjust").exists()


def test_an_adjustment_by_nothing_is_refused() -> None:
    scene = Scene(10)

    with pytest.raises(NothingAdjusted):
        adjust(scene, 0)

    assert scene.level.on_hand == 10


def test_what_only_changes_its_location_within_a_group_costs_no_promise() -> None:
    scene = Scene(10)
    second = LocationFactory.create(group=scene.location.group)
    key = scene.promise(10)

    adjust_stock(
        key="a1",
        adjustments=[
            StockAdjustment(scene.location.pk, scene.sku.pk, -10),
            StockAdjustment(second.pk, scene.sku.pk, 10),
        ],
        reason="moved",
        at=timezone.now(),
        by="test",
    )

    assert parts_of(key) == [(0, 10, "held")]
    assert (scene.level.on_hand, StockLevel.objects.get(location=second).on_hand) == (0, 10)


def test_a_count_of_what_is_there_moves_nothing() -> None:
    scene = Scene(10)

    count(scene, 10)

    assert not StockMovement.objects.filter(kind="count").exists()


def test_a_count_that_finds_more_raises_what_can_be_promised() -> None:
    scene = Scene(10)

    count(scene, 12)

    assert (scene.level.on_hand, scene.pool().granted) == (12, 12)
    assert OutboxEvent.objects.filter(kind="inventory.StockRaised").count() == 2


def test_a_shortfall_takes_free_units_first_the_shared_before_the_safe() -> None:
    scene = Scene(10)
    keep_safe(scene, 4)
    key = scene.promise(3)

    count(scene, 5)

    assert parts_of(key) == [(0, 3, "held")]
    assert (scene.pool().granted, scene.pool("safety").granted) == (3, 2)
    assert not Shortage.objects.exists()


@pytest.mark.capability("V10")
def test_a_shortfall_beyond_what_is_free_withdraws_the_youngest_promises_that_no_location_has() -> None:
    scene = Scene(10)
    committed, oldest, young, youngest = (scene.promise(2) for _ in range(4))
    scene.commit(committed, 2)

    count(scene, 5)

    states = [parts_of(key)[0][2] for key in (committed, oldest, young, youngest)]
    assert states == ["committed", "held", "released", "released"]
    assert (scene.level.on_hand, scene.pool().granted, scene.pool().reserved) == (5, 5, 4)
    owed = {row.line_key: (row.quantity, row.reason, row.state) for row in Shortage.objects.all()}
    assert owed == {young: (2, "withdrawn", "open"), youngest: (2, "withdrawn", "open")}
    event = OutboxEvent.objects.get(kind="inventory.PromisesWithdrawn")
    assert set(event.payload["line_keys"]) == {str(young), str(youngest)}


def test_a_line_with_a_committed_part_loses_only_what_it_holds_and_is_owed_that() -> None:
    scene = Scene(5)
    key = scene.promise(5)
    scene.commit(key, 2)

    count(scene, 4)

    assert parts_of(key) == [(0, 3, "released"), (1, 2, "committed")]
    assert Shortage.objects.values_list("quantity", "reason").get() == (3, "withdrawn")
    assert (scene.pool().granted, scene.pool().reserved) == (4, 2)


def test_a_withdrawn_line_loses_its_units_in_other_groups_too() -> None:
    scene = Scene(2)
    elsewhere = LocationFactory.create()

    ShopPoolFactory.create(shop=scene.shop, group=elsewhere.group, position=1)
    put_stock(elsewhere, scene.sku, 2)
    key = scene.promise(4)

    count(scene, 1)

    assert [state for _part, _quantity, state in parts_of(key)] == ["released", "released"]
    assert Shortage.objects.values_list("quantity", "reason").get() == (4, "withdrawn")
    assert sorted(StockPool.objects.values_list("granted", "reserved")) == [(1, 0), (2, 0)]


def test_fewer_than_are_committed_cannot_be_counted_and_the_promises_are_named() -> None:
    scene = Scene(10)
    key = scene.promise(4)
    scene.commit(key, 4)

    with pytest.raises(CommittedStock) as refusal:
        count(scene, 3)

    assert refusal.value.extra["promises"] == [{"line_key": str(key), "part": 0, "quantity": 4}]
    assert (scene.level.on_hand, scene.pool().granted) == (10, 10)
    assert not StockOperation.objects.filter(kind="count").exists()


def test_a_count_says_each_place_once_and_no_less_than_nothing() -> None:
    scene = Scene(10)
    line = StockCount(scene.location.pk, scene.sku.pk, 5)
    less = StockCount(scene.location.pk, scene.sku.pk, -1)

    for counts in ([], [line, line], [less]):
        with pytest.raises(NothingCounted):
            count_stock(key=str(uuid4()), counts=counts, reason="", at=timezone.now(), by="test")

    assert scene.level.on_hand == 10

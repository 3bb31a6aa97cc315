"""A count sheet: what was counted, what the books said then, and what a person made of it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from inventory.adjust import StockAdjustment, adjust_stock
from inventory.book import BundleHasNoStock, OperationConflict, UnknownPlace
from inventory.count import NothingCounted
from inventory.models import CountLine, CountSheet, Reservation, Shortage, StockLevel, StockMovement
from inventory.network.drift import CHECKS
from inventory.network.tally import (
    Confirmation,
    CountedInFuture,
    CountedLine,
    NotAPerson,
    UnknownSheet,
    WrongSheetState,
    confirm_count_sheet,
    open_count_sheet,
    recount_sheet,
    reject_count_sheet,
    submit_count_sheet,
)
from products.models import BundleComponent
from tests.factories.inventory import Scene, put_stock
from tests.factories.products import SkuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("V18")]

PERSON = "user:1"


def now() -> datetime:
    return timezone.now()


def opened(scene: Scene, *lines: CountedLine, counted_at: datetime | None = None, **more: str) -> CountSheet:
    return open_count_sheet(
        location_id=scene.location.pk,
        lines=lines,
        counted_at=counted_at or now(),
        at=now(),
        by=PERSON,
        **more,
    )


def submitted(scene: Scene, counted: int, *, counted_at: datetime | None = None) -> CountSheet:
    sheet = opened(scene, CountedLine(scene.sku.pk, counted), counted_at=counted_at)
    submit_count_sheet(sheet_id=sheet.pk, at=now(), by=PERSON)
    return sheet


def confirm(sheet: CountSheet, *, by: str = PERSON) -> Confirmation:
    return confirm_count_sheet(sheet_id=sheet.pk, reason="recounted twice", at=now(), by=by)


def state(sheet: CountSheet) -> str:
    sheet.refresh_from_db()
    return sheet.state


def line(sheet: CountSheet) -> CountLine:
    return sheet.lines.get()


def test_a_variance_is_booked_only_when_a_person_has_confirmed_it() -> None:
    scene = Scene(10)

    sheet = submitted(scene, 8)
    assert (line(sheet).booked, line(sheet).posted, scene.level.on_hand) == (10, None, 10)
    assert not StockMovement.objects.filter(kind="count").exists()
    done = confirm(sheet)

    assert (done.posted, done.left, state(sheet)) == (1, [], "confirmed")
    assert (line(sheet).posted, scene.level.on_hand, scene.pool().granted) == (-2, 8, 8)
    movement = StockMovement.objects.get(kind="count", to_account=3)
    assert (movement.quantity, movement.document, movement.by) == (2, sheet.number, PERSON)
    assert (sheet.decided_by, sheet.reason) == (PERSON, "recounted twice")


def test_what_moved_between_the_count_and_the_confirmation_is_not_lost() -> None:
    """Counted 12 where 10 were; then 3 leave and 5 come; then the sheet is submitted, 1 leaves, it is confirmed."""
    scene = Scene(10)
    counted_at = now()
    sheet = opened(scene, CountedLine(scene.sku.pk, 12), counted_at=counted_at)
    key = scene.promise(3)
    scene.commit(key, 3)
    scene.ship(key, 3)
    put_stock(scene.location, scene.sku, 5)

    submit_count_sheet(sheet_id=sheet.pk, at=now(), by=PERSON)
    other = scene.promise(1)
    scene.commit(other, 1)
    scene.ship(other, 1)
    confirm(sheet)

    assert (line(sheet).booked, line(sheet).posted) == (10, 2)
    assert scene.level.on_hand == 10 - 3 + 5 - 1 + 2
    assert scene.pool().granted == 13


def test_movements_before_the_count_are_in_the_books_of_the_count() -> None:
    scene = Scene()
    put_stock(scene.location, scene.sku, 4, at=now() - timedelta(hours=2))
    put_stock(scene.location, scene.sku, 3, at=now() - timedelta(minutes=10))

    sheet = submitted(scene, 4, counted_at=now() - timedelta(hours=1))
    confirm(sheet)

    assert (line(sheet).booked, line(sheet).posted, scene.level.on_hand) == (4, 0, 7)


def test_goods_of_which_nothing_was_known_are_found() -> None:
    scene = Scene()

    confirm(submitted(scene, 5))

    assert (scene.level.on_hand, scene.pool().granted) == (5, 5)


def test_fewer_units_than_are_promised_withdraw_the_youngest_promise() -> None:
    scene = Scene(10)
    old, young = scene.promise(6), scene.promise(4)

    confirm(submitted(scene, 7))

    assert Reservation.objects.get(line_key=old).state == "held"
    assert Reservation.objects.get(line_key=young).state == "released"
    assert Shortage.objects.get(line_key=young).quantity == 4


def test_a_line_that_would_take_what_orders_were_given_says_so_and_is_left() -> None:
    scene = Scene(10)
    found = SkuFactory.create(spu=scene.sku.spu)
    key = scene.promise(6)
    scene.commit(key, 6)
    sheet = opened(scene, CountedLine(scene.sku.pk, 4), CountedLine(found.pk, 3))
    submit_count_sheet(sheet_id=sheet.pk, at=now(), by=PERSON)

    first = confirm(sheet)
    assert (first.posted, [left.sku for left in first.left]) == (1, [scene.sku.code])
    assert "10 lie there, 6 of them committed to orders" in first.left[0].text
    assert (state(sheet), scene.level.on_hand) == ("submitted", 10)
    scene.release(key)
    second = confirm(sheet)

    assert (second.posted, second.left, state(sheet)) == (1, [], "confirmed")
    assert scene.level.on_hand == 4
    assert StockLevel.objects.get(sku=found).on_hand == 3


def test_the_rest_of_a_sheet_can_be_dropped() -> None:
    scene = Scene(10)
    found = SkuFactory.create(spu=scene.sku.spu)
    scene.commit(scene.promise(6), 6)
    sheet = opened(scene, CountedLine(scene.sku.pk, 4), CountedLine(found.pk, 3))
    submit_count_sheet(sheet_id=sheet.pk, at=now(), by=PERSON)
    confirm(sheet)

    reject_count_sheet(sheet_id=sheet.pk, reason="they are at the packing table", at=now(), by=PERSON)

    assert (state(sheet), scene.level.on_hand) == ("confirmed", 10)


def test_a_rejected_sheet_books_nothing() -> None:
    scene = Scene(10)
    sheet = submitted(scene, 2)

    reject_count_sheet(sheet_id=sheet.pk, reason="the wrong shelf", at=now(), by=PERSON)

    with pytest.raises(WrongSheetState):
        confirm(sheet)
    assert (state(sheet), sheet.reason, scene.level.on_hand) == ("rejected", "the wrong shelf", 10)


def test_a_sheet_is_confirmed_once() -> None:
    scene = Scene(10)
    sheet = submitted(scene, 8)
    confirm(sheet)

    with pytest.raises(WrongSheetState):
        confirm(sheet)

    assert scene.level.on_hand == 8


@pytest.mark.parametrize("by", ["key:3", "system", "job:1"])
def test_a_machine_confirms_nothing(by: str) -> None:
    scene = Scene(10)
    sheet = submitted(scene, 8)

    with pytest.raises(NotAPerson):
        confirm(sheet, by=by)

    assert (state(sheet), scene.level.on_hand) == ("submitted", 10)


def test_a_sheet_that_is_being_counted_takes_counts_again() -> None:
    scene = Scene(10)
    other = SkuFactory.create(spu=scene.sku.spu)
    sheet = opened(scene, CountedLine(scene.sku.pk, 3))

    recount = [CountedLine(scene.sku.pk, 9), CountedLine(other.pk, 1)]
    recount_sheet(sheet_id=sheet.pk, lines=recount, at=now(), by=PERSON)

    assert sorted(sheet.lines.values_list("counted", flat=True)) == [1, 9]
    submit_count_sheet(sheet_id=sheet.pk, at=now(), by=PERSON)
    with pytest.raises(WrongSheetState):
        recount_sheet(sheet_id=sheet.pk, lines=recount, at=now(), by=PERSON)
    with pytest.raises(WrongSheetState):
        submit_count_sheet(sheet_id=sheet.pk, at=now(), by=PERSON)


def test_a_sheet_of_another_system_is_opened_once() -> None:
    scene, moment = Scene(10), now()
    first, again = (
        opened(scene, CountedLine(scene.sku.pk, 9), counted_at=moment, external_number="WMS-1")
        for _ in range(2)
    )

    with pytest.raises(OperationConflict):
        opened(scene, CountedLine(scene.sku.pk, 8), counted_at=moment, external_number="WMS-1")

    assert first.pk == again.pk


def test_what_makes_no_sense_is_refused() -> None:
    scene = Scene(10)
    bundle = SkuFactory.create()
    BundleComponent.objects.create(bundle=bundle, component=scene.sku, units=2, weight=1)
    sku = scene.sku.pk
    for fault, lines in (
        (NothingCounted, []),
        (NothingCounted, [CountedLine(sku, -1)]),
        (NothingCounted, [CountedLine(sku, 1), CountedLine(sku, 2)]),
        (UnknownPlace, [CountedLine(0, 1)]),
        (BundleHasNoStock, [CountedLine(bundle.pk, 1)]),
    ):
        with pytest.raises(fault):
            opened(scene, *lines)
    with pytest.raises(CountedInFuture):
        opened(scene, CountedLine(sku, 1), counted_at=now() + timedelta(minutes=1))
    with pytest.raises(UnknownSheet):
        submit_count_sheet(sheet_id=0, at=now(), by=PERSON)
    assert not CountSheet.objects.exists()


@pytest.mark.usefixtures("broken_on_purpose")
def test_the_doctor_finds_a_variance_that_nobody_booked() -> None:
    sheet = submitted(Scene(10), 8)

    CountLine.objects.filter(sheet=sheet).update(posted=-2)

    broken = {check.code for check in CHECKS if check.find(5)}
    assert broken == {"network.variances_equal_movements", "network.variances_were_confirmed"}


@pytest.mark.capability("V20")
def test_an_adjustment_of_several_lines_is_made_once_by_its_number() -> None:
    scene = Scene(10)
    other = SkuFactory.create(spu=scene.sku.spu)
    lines = [
        StockAdjustment(scene.location.pk, scene.sku.pk, -2),
        StockAdjustment(scene.location.pk, other.pk, 4),
    ]

    done = [
        adjust_stock(key="A-7", adjustments=order, reason="", at=now(), by="test")
        for order in (lines, lines[::-1])
    ]
    with pytest.raises(OperationConflict):
        adjust_stock(key="A-7", adjustments=lines[:1], reason="", at=now(), by="test")

    assert done == [True, False]
    assert (scene.level.on_hand, StockLevel.objects.get(sku=other).on_hand) == (8, 4)

"""Units change their grade: what is good is sold in the same minute, what is promised stays."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.utils import timezone

from inventory.book import NotFree, NotOnHand, OperationConflict
from inventory.models import PublishedStock, Reservation, StockChange, StockLevel
from inventory.pools import set_safety_stock
from inventory.publish import plan_published_stock
from inventory.regrade import NothingRegraded, Regrade, regrade_stock
from tests.factories.inventory import Scene, put_stock
from tests.factories.products import ListingFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("V27")]


def regrade(scene: Scene, units: int, from_grade: str, to_grade: str, *, key: str = "") -> bool:
    line = Regrade(scene.location.pk, scene.sku.pk, units, from_grade, to_grade)
    return regrade_stock(
        key=key or str(uuid4()), lines=[line], reason="inspected", at=timezone.now(), by="test"
    )


def lying(scene: Scene) -> dict[str, int]:
    rows = StockLevel.objects.filter(sku=scene.sku, on_hand__gt=0)
    return dict(rows.values_list("grade", "on_hand"))


def test_a_return_that_is_inspected_and_good_is_published_at_the_next_look() -> None:
    scene = Scene(2)
    listing = ListingFactory.create(shop=scene.shop, sku=scene.sku)
    put_stock(scene.location, scene.sku, 3, grade="inspection")
    plan_published_stock(limit=100, at=timezone.now())
    assert PublishedStock.objects.get(listing=listing).desired_quantity == 2

    regrade(scene, 3, "inspection", "good")
    plan_published_stock(limit=100, at=timezone.now())

    assert PublishedStock.objects.get(listing=listing).desired_quantity == 5
    assert (lying(scene), scene.pool().granted) == ({"good": 5}, 5)


def test_the_planner_is_told_in_the_same_transaction() -> None:
    scene = Scene(2)
    put_stock(scene.location, scene.sku, 3, grade="seconds")
    StockChange.objects.all().delete()

    regrade(scene, 1, "seconds", "good")

    assert list(StockChange.objects.values_list("sku_id", flat=True)) == [scene.sku.pk]


def test_what_becomes_good_fills_the_safety_stock_first() -> None:
    scene = Scene()
    put_stock(scene.location, scene.sku, 5, grade="inspection")
    set_safety_stock(
        group_id=scene.location.group_id, targets={scene.sku.pk: 2}, at=timezone.now(), by="t", reason=""
    )

    regrade(scene, 5, "inspection", "good")

    assert (scene.pool("safety").granted, scene.pool().granted) == (2, 3)


def test_what_turns_out_to_be_defective_is_no_longer_sold() -> None:
    scene = Scene(10)

    regrade(scene, 4, "good", "defective")

    assert (lying(scene), scene.pool().granted) == ({"good": 6, "defective": 4}, 6)


def test_no_promise_is_broken_for_a_grade() -> None:
    scene = Scene(10)
    key = scene.promise(8)

    with pytest.raises(NotFree):
        regrade(scene, 3, "good", "defective")

    assert Reservation.objects.get(line_key=key).state == "held"
    assert (lying(scene), scene.pool().granted) == ({"good": 10}, 10)


def test_what_is_committed_to_orders_keeps_its_grade() -> None:
    scene = Scene(10)
    scene.commit(scene.promise(8), 8)

    with pytest.raises(NotFree) as refusal:
        regrade(scene, 3, "good", "seconds")

    assert refusal.value.extra["free"] == 2


def test_no_more_changes_its_grade_than_lies_there() -> None:
    scene = Scene(1)
    put_stock(scene.location, scene.sku, 2, grade="inspection")

    with pytest.raises(NotOnHand):
        regrade(scene, 3, "inspection", "good")

    assert lying(scene) == {"good": 1, "inspection": 2}


def test_the_same_change_of_grade_is_made_once() -> None:
    scene = Scene()
    put_stock(scene.location, scene.sku, 4, grade="inspection")

    assert regrade(scene, 2, "inspection", "good", key="QC-1") is True
    assert regrade(scene, 2, "inspection", "good", key="QC-1") is False
    with pytest.raises(OperationConflict):
        regrade(scene, 1, "inspection", "good", key="QC-1")

    assert lying(scene) == {"good": 2, "inspection": 2}


def test_several_lines_change_together_or_not_at_all() -> None:
    scene = Scene(3)
    put_stock(scene.location, scene.sku, 4, grade="inspection")
    place = scene.location.pk, scene.sku.pk
    lines = [Regrade(*place, 2, "inspection", "good"), Regrade(*place, 2, "inspection", "seconds")]
    too_many = [*lines, Regrade(*place, 1, "inspection", "defective")]

    with pytest.raises(NotOnHand):
        regrade_stock(key="a", lines=too_many, reason="", at=timezone.now(), by="test")
    regrade_stock(key="b", lines=lines, reason="", at=timezone.now(), by="test")

    assert lying(scene) == {"good": 5, "seconds": 2}


@pytest.mark.parametrize(("units", "grade"), [(0, "good"), (-1, "good"), (1, "inspection")])
def test_a_change_that_changes_nothing_is_refused(units: int, grade: str) -> None:
    scene = Scene(1)

    with pytest.raises(NothingRegraded):
        regrade(scene, units, "inspection", grade)

"""What others say lies in a location, beside what the books say: differences open, age, are decided and close."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from inventory.adjust import StockAdjustment, adjust_stock
from inventory.models import StockComparison, StockDifference, StockLevel, StockMovement, Transfer
from inventory.network.causes import causes_of
from inventory.network.compare import (
    ComparisonConflict,
    CutOffInTheFuture,
    Figure,
    NothingCompared,
    OlderThanTheNewest,
    UnknownLocation,
    compare_stock,
    read_figures,
)
from inventory.network.decide import (
    ReasonMissing,
    book_theirs,
    explain_differences,
    take_differences,
)
from omni.kernel.models import AuditEntry
from omni.kernel.sentences import read_sentence
from products.models import BundleComponent
from tests.factories.inventory import LocationFactory, Scene, put_stock
from tests.factories.products import SkuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("V19")]

NOW = timezone.now().replace(microsecond=0)


def hours_ago(hours: float) -> datetime:
    return NOW - timedelta(hours=hours)


def stored(units: int, *, hours: float = 10) -> Scene:
    """One location where so many units have lain since then."""
    scene = Scene()
    if units:
        put_stock(scene.location, scene.sku, units, at=hours_ago(hours))
    return scene


def compare(scene: Scene, units: int | None, *, hours: float = 0, **how: Any) -> StockComparison:
    figures = {} if units is None else {(scene.sku.pk, "good"): units}
    values = {
        "location_id": scene.location.pk,
        "figures": figures,
        "basis": "gross",
        "cut_off_at": hours_ago(hours),
        "source": "the WMS",
        "is_complete": False,
        "external_number": None,
        "at": NOW,
        "by": "test",
    }
    return compare_stock(**{**values, **how})


def adjust(scene: Scene, units: int, *, hours: float, grade: str = "good", owner: str = "own") -> None:
    adjust_stock(
        key=f"adjust-{StockMovement.objects.count()}",
        adjustments=[StockAdjustment(scene.location.pk, scene.sku.pk, units, grade, owner)],
        reason="a test",
        at=hours_ago(hours),
        by="test",
    )


def the_difference(scene: Scene) -> StockDifference:
    return StockDifference.objects.get(location=scene.location, sku=scene.sku, grade="good", state="open")


def differences(scene: Scene) -> list[tuple[str, int, int, int]]:
    rows = StockDifference.objects.filter(location=scene.location).order_by("pk")
    return list(rows.values_list("state", "ours", "theirs", "times"))


# --- what is compared -------------------------------------------------------------------------------------------


def test_books_that_agree_open_nothing() -> None:
    scene = stored(100)

    comparison = compare(scene, 100)

    assert (comparison.compared, comparison.differing) == (1, 0)
    assert differences(scene) == []


def test_a_figure_that_differs_opens_one_difference_that_says_both_sides_and_since_when() -> None:
    scene = stored(100)

    comparison = compare(scene, 97, hours=2)

    difference = the_difference(scene)
    assert (difference.ours, difference.theirs, difference.basis) == (100, 97, "gross")
    assert difference.since == difference.cut_off_at == hours_ago(2)
    assert difference.comparison == comparison
    assert comparison.differing == 1
    assert scene.level.on_hand == 100


def test_what_moved_after_the_cut_off_is_taken_out_of_our_side() -> None:
    scene = stored(100)
    adjust(scene, -30, hours=1)
    adjust(scene, 5, hours=0.5)

    compare(scene, 100, hours=2)

    assert differences(scene) == []


def test_a_movement_at_the_very_moment_of_the_cut_off_lies_before_it() -> None:
    scene = stored(100)
    adjust(scene, -30, hours=2)

    compare(scene, 70, hours=2)

    assert differences(scene) == []


def test_gross_counts_what_is_committed_to_orders_and_net_does_not() -> None:
    scene = stored(100)
    assert scene.commit(scene.promise(8), 8)
    at = timezone.now()

    compare(scene, 100, at=at, cut_off_at=at)
    compare(scene, 92, at=at, cut_off_at=at, basis="net")

    assert differences(scene) == []


def test_net_takes_what_was_committed_since_the_cut_off_back_too() -> None:
    scene = stored(100)
    assert scene.commit(scene.promise(8), 8)

    compare(scene, 100, hours=2, basis="net")

    assert differences(scene) == []


def test_what_a_complete_compare_does_not_name_does_not_lie_there() -> None:
    scene = stored(6)

    compare(scene, None, is_complete=True)

    assert differences(scene) == [("open", 6, 0, 1)]


def test_what_an_incomplete_compare_does_not_name_is_left_alone() -> None:
    scene = stored(6)
    other = SkuFactory.create()

    compare(scene, None, figures={(other.pk, "good"): 0})

    assert differences(scene) == []


def test_grades_that_the_other_side_does_not_know_are_not_missed_there() -> None:
    scene = stored(6)
    adjust(scene, 3, hours=5, grade="inspection")

    compare(scene, 6, is_complete=True, grades=["good"])

    assert differences(scene) == []


def test_something_that_we_do_not_know_to_lie_there_is_a_difference() -> None:
    scene = stored(0)

    compare(scene, 4)

    assert differences(scene) == [("open", 0, 4, 1)]


def test_goods_of_all_owners_are_one_figure() -> None:
    scene = stored(6)
    adjust(scene, 4, hours=5, owner="partner")

    compare(scene, 10)

    assert differences(scene) == []


# --- how a difference ages and ends ---------------------------------------------------------------------------------


def test_a_difference_that_stays_is_one_row_that_grows_older() -> None:
    scene = stored(100)
    compare(scene, 97, hours=48)
    compare(scene, 97, hours=24)

    compare(scene, 95)

    assert differences(scene) == [("open", 100, 95, 3)]
    difference = the_difference(scene)
    assert (difference.since, difference.cut_off_at) == (hours_ago(48), NOW)


def test_a_difference_closes_by_itself_when_both_agree() -> None:
    scene = stored(100)
    compare(scene, 97, hours=4)
    adjust(scene, -3, hours=3)

    compare(scene, 97, hours=2)

    assert differences(scene) == [("gone", 97, 97, 1)]
    assert StockDifference.objects.get().closed_at == NOW


def test_one_that_comes_back_is_a_new_one() -> None:
    scene = stored(100)
    compare(scene, 97, hours=4)
    compare(scene, 100, hours=3)

    compare(scene, 97, hours=2)

    assert [row[0] for row in differences(scene)] == ["gone", "open"]
    assert the_difference(scene).since == hours_ago(2)


# --- what is refused ------------------------------------------------------------------------------------------------


def test_a_cut_off_in_the_future_is_refused() -> None:
    scene = stored(100)

    with pytest.raises(CutOffInTheFuture):
        compare(scene, 97, hours=-1)

    assert not StockComparison.objects.exists()


def test_a_cut_off_before_the_newest_compare_of_the_location_is_refused() -> None:
    scene = stored(100)
    compare(scene, 100, hours=2)

    with pytest.raises(OlderThanTheNewest) as refusal:
        compare(scene, 97, hours=3)

    assert refusal.value.extra["newest_cut_off_at"] == hours_ago(2).isoformat()
    assert differences(scene) == []


def test_another_location_may_be_compared_as_of_an_earlier_moment() -> None:
    compare(stored(100), 100, hours=2)
    scene = stored(50)

    compare(scene, 50, hours=3)

    assert differences(scene) == []


def test_the_same_number_is_compared_once() -> None:
    scene = stored(100)
    first = compare(scene, 97, hours=3, external_number="ERP-1")
    compare(scene, 97, hours=2)

    again = compare(scene, 97, hours=3, external_number="ERP-1")

    assert again == first
    assert the_difference(scene).times == 2


def test_the_same_number_with_other_figures_is_refused() -> None:
    scene = stored(100)
    compare(scene, 97, external_number="ERP-1")

    with pytest.raises(ComparisonConflict):
        compare(scene, 96, external_number="ERP-1")

    assert the_difference(scene).theirs == 97


def test_a_compare_of_nothing_is_refused() -> None:
    with pytest.raises(NothingCompared):
        compare(stored(100), None)


def test_a_location_that_is_not_there_is_refused() -> None:
    with pytest.raises(UnknownLocation):
        compare(stored(100), 3, location_id=10**9)


def test_what_cannot_be_placed_is_handed_back_with_its_reason_and_kept_with_the_compare() -> None:
    scene = stored(10)
    bundle = SkuFactory.create(code="BUNDLE")
    BundleComponent.objects.create(bundle=bundle, component=scene.sku, units=2, weight=1)

    read = read_figures(
        [
            Figure(scene.sku.code, 4),
            Figure(scene.sku.code, 6),
            Figure("NOBODY", 3),
            Figure("BUNDLE", 2),
            Figure(scene.sku.code, -1, "defective"),
        ]
    )
    comparison = compare(scene, None, figures=read.figures, unknown=read.unknown)

    assert read.figures == {(scene.sku.pk, "good"): 10}
    assert [(name, read_sentence(text)) for name, text in comparison.unknown] == [
        ("NOBODY", "no SKU has this code"),
        ("BUNDLE", "a bundle has no stock of its own"),
        (scene.sku.code, "fewer than none were said to lie there"),
    ]
    assert differences(scene) == []


# --- what is decided ------------------------------------------------------------------------------------------------


def decide(act: Any, *rows: StockDifference, **how: Any) -> list[Any]:
    ids = [row.pk for row in rows]
    result: list[Any] = act(
        difference_ids=ids, **{"reason": "counted twice", "at": NOW, "by": "user:7", **how}
    )
    return result


def test_theirs_is_booked_as_a_difference_so_that_later_movements_survive() -> None:
    scene = stored(100)
    compare(scene, 97, hours=4)
    adjust(scene, -20, hours=1)

    [decided] = decide(book_theirs, the_difference(scene))

    assert (decided.ok, decided.detail) == (True, "-3")
    assert scene.level.on_hand == 77
    assert differences(scene) == [("booked", 100, 97, 1)]
    difference = StockDifference.objects.get()
    assert (difference.reason, difference.closed_by) == ("counted twice", "user:7")
    assert AuditEntry.objects.filter(action="difference.booked", by="user:7").count() == 1


def test_what_was_booked_is_true_for_the_cut_off_it_was_booked_for() -> None:
    """The booking lies later than the next cut-off, and the difference does not come back for that."""
    scene = stored(100)
    compare(scene, 97, hours=4)
    decide(book_theirs, the_difference(scene))

    compare(scene, 97, hours=3)

    assert differences(scene) == [("booked", 100, 97, 1)]


def test_more_than_we_knew_of_is_booked_too_and_can_be_sold() -> None:
    scene = stored(0)
    compare(scene, 4)

    decide(book_theirs, the_difference(scene))

    assert (scene.level.on_hand, scene.pool().granted) == (4, 4)


def test_what_is_committed_to_orders_is_not_booked_away_and_the_others_are() -> None:
    scene, other = stored(10), stored(10)
    assert scene.commit(scene.promise(10), 10)
    at = timezone.now()
    for each in (scene, other):
        compare(each, 4, at=at, cut_off_at=at)

    refused, booked = decide(book_theirs, the_difference(scene), the_difference(other))

    assert not refused.ok
    assert "10 are committed to orders" in refused.detail
    assert booked.ok
    assert (scene.level.on_hand, other.level.on_hand) == (10, 4)
    assert the_difference(scene).state == "open"


def test_goods_of_several_owners_are_not_booked_by_guessing() -> None:
    scene = stored(6)
    adjust(scene, 4, hours=5, owner="partner")
    compare(scene, 9)

    [decided] = decide(book_theirs, the_difference(scene))

    assert not decided.ok
    assert "own, partner" in decided.detail
    assert StockLevel.objects.get(sku=scene.sku, owner="partner").on_hand == 4


def test_the_one_owner_whose_goods_lie_there_is_the_one_that_is_booked() -> None:
    scene = stored(0)
    adjust(scene, 4, hours=5, owner="partner")
    compare(scene, 3)

    decide(book_theirs, the_difference(scene))

    assert StockLevel.objects.get(sku=scene.sku, owner="partner").on_hand == 3


def test_a_difference_is_booked_once() -> None:
    scene = stored(100)
    compare(scene, 97)
    difference = the_difference(scene)
    decide(book_theirs, difference)

    [again] = decide(book_theirs, difference)

    assert not again.ok
    assert scene.level.on_hand == 97


def test_an_explained_difference_is_over_and_stock_stays_as_it_is() -> None:
    scene = stored(100)
    compare(scene, 97)

    [decided] = decide(explain_differences, the_difference(scene), reason="parcels of last night")

    assert decided.ok
    assert scene.level.on_hand == 100
    assert StockDifference.objects.get().state == "explained"
    assert StockDifference.objects.get().reason == "parcels of last night"


@pytest.mark.parametrize("act", [book_theirs, explain_differences])
def test_nobody_decides_without_saying_why(act: Any) -> None:
    scene = stored(100)
    compare(scene, 97)

    with pytest.raises(ReasonMissing):
        decide(act, the_difference(scene), reason="  ")

    assert the_difference(scene).state == "open"


def test_a_difference_can_be_taken_in_hand_and_stays_open() -> None:
    scene = stored(100)
    compare(scene, 97)

    decide(take_differences, the_difference(scene))
    compare(scene, 97)

    assert the_difference(scene).owner == "user:7"


def test_a_row_that_is_not_there_is_said_to_be_missing() -> None:
    for act in (book_theirs, explain_differences, take_differences):
        [decided] = act(difference_ids=[10**9], reason="why", at=NOW, by="test")
        assert not decided.ok


# --- why -----------------------------------------------------------------------------------------------------------


def the_cause(scene: Scene) -> str:
    difference = the_difference(scene)
    return causes_of([difference.pk])[difference.pk].code


def test_a_figure_newer_than_its_cut_off_is_recognised() -> None:
    scene = stored(100)
    adjust(scene, -30, hours=1)
    compare(scene, 70, hours=2)

    assert the_cause(scene) == "moved_since"


def test_a_net_figure_that_was_said_to_be_gross_is_recognised() -> None:
    scene = stored(100)
    assert scene.commit(scene.promise(8), 8)
    at = timezone.now()
    compare(scene, 92, at=at, cut_off_at=at)

    assert the_cause(scene) == "basis"


def test_a_gross_figure_that_was_said_to_be_net_is_recognised() -> None:
    scene = stored(100)
    assert scene.commit(scene.promise(8), 8)
    at = timezone.now()
    compare(scene, 100, at=at, cut_off_at=at, basis="net")

    assert the_cause(scene) == "basis"


def test_parcels_whose_confirmation_is_on_its_way_are_thought_of() -> None:
    scene = stored(100)
    assert scene.commit(scene.promise(8), 8)
    at = timezone.now()
    compare(scene, 95, at=at, cut_off_at=at)

    assert the_cause(scene) == "shipping"


@pytest.mark.usefixtures("broken_on_purpose")  # the transfer left no movement
def test_an_open_transfer_is_thought_of() -> None:
    scene = stored(100)
    transfer = Transfer.objects.create(
        number="TR-7",
        source=LocationFactory.create(),
        destination=scene.location,
        state="shipped",
        created_by="test",
    )
    transfer.lines.create(sku=scene.sku, quantity=12, shipped=12)
    compare(scene, 112)

    difference = the_difference(scene)
    cause = causes_of([difference.pk])[difference.pk]
    assert cause.code == "transfer_arrived"
    assert "TR-7" in read_sentence(cause.text)


def test_where_nothing_is_known_nothing_is_said() -> None:
    scene = stored(100)
    compare(scene, 97)

    assert the_cause(scene) == "unknown"


# --- how much it costs ----------------------------------------------------------------------------------------------


def test_a_compare_of_many_figures_takes_as_many_statements_as_one_of_few(
    django_assert_max_num_queries: Any,
) -> None:
    scene = stored(1)
    skus = SkuFactory.create_batch(60)

    with django_assert_max_num_queries(11):
        compare(scene, None, figures={(sku.pk, "good"): 1 for sku in skus}, is_complete=True)

    assert StockDifference.objects.filter(state="open").count() == 61

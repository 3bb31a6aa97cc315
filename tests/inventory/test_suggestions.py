"""What should be ordered: every number can be worked out by hand."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from inventory.models import DailyDemand, SupplyRule, Transfer
from inventory.pools import set_safety_stock
from inventory.supply.suggestions import DAYS, Suggestion, all_suggestions, suggest_supply
from products.models import BundleComponent
from tests.factories.inventory import LocationFactory, Scene, put_stock, shop_drawing_on
from tests.factories.products import SkuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("V14")]

TODAY = date(2026, 11, 29)


def rule(scene: Scene, **values: Any) -> SupplyRule:
    return SupplyRule.objects.create(group=scene.location.group, **values)


def demand(scene: Scene, units: int, *, days_ago: int = 1, shop: Any = None) -> None:
    DailyDemand.objects.create(
        day=TODAY - timedelta(days=days_ago), shop=shop or scene.shop, sku=scene.sku, units=units
    )


def suggest(scene: Scene) -> list[Suggestion]:
    return suggest_supply(today=TODAY, sku_ids=[scene.sku.pk])


def test_the_figures_of_the_formula() -> None:
    """56 in 28 days are 2 a day: the reorder point is 2 × 7 = 14, and 2 × (7 + 14) − 10 = 32 are missing."""
    scene = Scene(10)
    rule(scene, lead_days=7, cover_days=14)
    demand(scene, 56)

    [row] = suggest(scene)

    assert (row.per_day, row.reorder_point, row.position) == (Decimal("2.00"), 14, 10)
    assert (row.need, row.suggested) == (32, 32)


@pytest.mark.parametrize(("units", "is_suggested"), [(14, True), (15, False)])
def test_at_the_reorder_point_it_is_ordered_and_above_it_is_not(units: int, is_suggested: bool) -> None:
    scene = Scene(units)
    rule(scene, lead_days=7, cover_days=14)
    demand(scene, 56)

    assert bool(suggest(scene)) is is_suggested


def test_whole_packs_and_at_least_the_minimum() -> None:
    scene = Scene(10)
    supply = rule(scene, lead_days=7, cover_days=14, pack_size=12)
    demand(scene, 56)

    [by_packs] = suggest(scene)
    supply.order_minimum = 100
    supply.save()
    [at_least] = suggest(scene)

    assert (by_packs.need, by_packs.suggested, at_least.suggested) == (32, 36, 108)
    assert by_packs.terms() == [
        "There are 10 free − 0 owed + 0 in transit = 10.",
        "Order at 2.00 a day × 7 days + 0 safety = 14 or fewer.",
        "Needed: 2.00 × (7 + 14) days + 0 safety − 10 = 32, rounded up.",
        "In packs of 12: 36.",
    ]
    assert at_least.terms()[-1] == "At least 100, in packs of 12: 108."


def test_safety_stock_is_kept_and_is_not_ordered_twice() -> None:
    """18 lie there, 5 of them as safety stock: 42 + 5 − 18 = 29."""
    scene = Scene(18)
    rule(scene, lead_days=7, cover_days=14)
    set_safety_stock(
        group_id=scene.location.group_id, targets={scene.sku.pk: 5}, at=timezone.now(), by="test", reason="x"
    )
    demand(scene, 56)

    [row] = suggest(scene)

    assert (row.safety, row.free, row.reorder_point, row.suggested) == (5, 18, 19, 29)


@pytest.mark.usefixtures("broken_on_purpose")  # the transfer left no movement
def test_what_is_promised_or_owed_is_not_there_and_what_is_under_way_is() -> None:
    scene = Scene(10)
    rule(scene, lead_days=7, cover_days=14)
    demand(scene, 56)
    scene.promise(4)
    scene.reserve(scene.demand(9))
    transfer = Transfer.objects.create(
        number="TR-1",
        source=LocationFactory.create(),
        destination=scene.location,
        state="shipped",
        created_by="test",
    )
    transfer.lines.create(sku=scene.sku, quantity=8, shipped=8, received=3)

    [row] = suggest(scene)

    assert (row.free, row.owed, row.in_transit, row.position) == (6, 9, 5, 2)
    assert row.suggested == 40


def test_parts_of_a_unit_are_ordered_as_whole_ones() -> None:
    """1 in 28 days over 21 days is three quarters of a unit."""
    scene = Scene(0)
    put_stock(scene.location, scene.sku, 1)
    scene.promise(1)
    rule(scene, lead_days=7, cover_days=14)
    demand(scene, 1)

    [row] = suggest(scene)

    assert (row.need, row.suggested) == (1, 1)


def test_only_the_days_of_the_mean_count_and_today_is_not_over() -> None:
    scene = Scene(1)
    rule(scene)
    demand(scene, 1000, days_ago=0)
    demand(scene, 1000, days_ago=DAYS + 1)
    demand(scene, 28, days_ago=DAYS)

    [row] = suggest(scene)

    assert row.demand == 28


def test_a_shop_that_draws_on_two_groups_buys_from_its_first() -> None:
    scene, second = Scene(1), Scene(1)
    put_stock(second.location, scene.sku, 1)
    shop = shop_drawing_on(scene.location.group, second.location.group)
    rule(scene)
    rule(second)
    demand(scene, 56, shop=shop)

    [row] = suggest(scene)

    assert row.group_id == scene.location.group_id


def test_what_nobody_wants_and_nobody_keeps_is_not_ordered() -> None:
    scene = Scene(1)
    scene.promise(1)
    rule(scene, order_minimum=50)

    assert suggest(scene) == []


def test_the_most_specific_rule_holds_and_one_that_is_off_does_not() -> None:
    scene = Scene(10)
    rule(scene, lead_days=7, cover_days=14)
    own = rule(scene, lead_days=30, cover_days=0, sku=scene.sku)
    demand(scene, 56)

    assert suggest(scene)[0].suggested == 50
    own.is_active = False
    own.save()
    assert suggest(scene)[0].suggested == 32


def test_a_bundle_is_not_ordered() -> None:
    scene = Scene(1)
    bundle = SkuFactory.create(spu=scene.sku.spu)
    BundleComponent.objects.create(bundle=bundle, component=scene.sku, units=2, weight=1)
    rule(scene)
    DailyDemand.objects.create(day=TODAY - timedelta(days=1), shop=scene.shop, sku=bundle, units=100)

    assert suggest_supply(today=TODAY) == []


def test_it_is_read_in_pages_and_narrowed_to_groups_and_brands() -> None:
    scenes = [Scene(1) for _ in range(3)]
    for scene in scenes:
        rule(scene)
        demand(scene, 56)

    pages = [suggest_supply(today=TODAY, limit=2)]
    pages.append(suggest_supply(today=TODAY, limit=2, after=(pages[0][-1].sku_id, pages[0][-1].group_id)))

    assert [[row.sku_id for row in page] for page in pages] == [
        [scenes[0].sku.pk, scenes[1].sku.pk],
        [scenes[2].sku.pk],
    ]
    assert [row.sku_id for row in all_suggestions(today=TODAY, group_ids=[scenes[1].location.group_id])] == [
        scenes[1].sku.pk
    ]
    brand = scenes[2].sku.spu.brand_id
    assert {row.sku_id for row in all_suggestions(today=TODAY, brand_ids=[brand])} == {
        scene.sku.pk for scene in scenes if scene.sku.spu.brand_id == brand
    }

"""Somebody is told when too little is left, once, and is left in peace when there is enough again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from inventory.adjust import StockAdjustment, adjust_stock
from inventory.models import AlertRule, ShopPool, StockAlert, StockWatch
from inventory.publish import plan_published_stock
from inventory.supply.take import take_alerts
from inventory.supply.watch import Watched, watch_changed_stock, watch_group_soon, watch_stock
from products.models import BundleComponent, Category
from tests.factories.inventory import Scene, put_stock, shop_drawing_on
from tests.factories.products import ListingFactory, SkuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("V14")]

NOW = timezone.now()


def rule(scene: Scene, units: int, **scope: Any) -> AlertRule:
    return AlertRule.objects.create(group=scene.location.group, units=units, **scope)


def watch(*scenes: Scene, later: int = 0) -> Watched:
    ids = [scene.sku.pk for scene in scenes] or None
    return watch_stock(sku_ids=ids, at=NOW + timedelta(minutes=later))


def adjust(scene: Scene, units: int) -> None:
    adjust_stock(
        key=f"a-{timezone.now().timestamp()}",
        adjustments=[StockAdjustment(scene.location.pk, scene.sku.pk, units)],
        reason="a test",
        at=timezone.now(),
        by="test",
    )


def the_alert(scene: Scene) -> StockAlert:
    return StockAlert.objects.get(sku=scene.sku, state="open")


def test_below_the_level_one_alert_is_open_with_both_numbers() -> None:
    scene = Scene(9)
    rule(scene, 10, sku=scene.sku)

    assert watch(scene) == Watched(1, 0, 0)
    assert watch(scene) == Watched(0, 0, 0)

    alert = the_alert(scene)
    assert (alert.level, alert.sellable, alert.lowest, alert.shop) == (10, 9, 9, None)
    assert alert.opened_at == NOW


def test_at_the_level_there_is_enough() -> None:
    scene = Scene(10)
    rule(scene, 10, sku=scene.sku)

    assert watch(scene) == Watched(0, 0, 0)


def test_what_is_promised_is_not_free() -> None:
    scene = Scene(12)
    rule(scene, 10, sku=scene.sku)
    scene.promise(3)

    watch(scene)

    assert the_alert(scene).sellable == 9


def test_an_alert_closes_by_itself_and_keeps_the_lowest_number_that_it_saw() -> None:
    scene = Scene(9)
    rule(scene, 10, sku=scene.sku)
    watch(scene)
    adjust(scene, -7)
    assert watch(scene, later=1) == Watched(0, 1, 0)
    adjust(scene, 5)
    watch(scene, later=2)
    adjust(scene, 3)

    assert watch(scene, later=3) == Watched(0, 0, 1)

    alert = StockAlert.objects.get()
    assert (alert.state, alert.sellable, alert.lowest) == ("closed", 10, 2)
    assert alert.closed_at == NOW + timedelta(minutes=3)


def test_an_alert_that_comes_back_is_a_new_one() -> None:
    scene = Scene(9)
    rule(scene, 10, sku=scene.sku)
    watch(scene)
    adjust(scene, 1)
    watch(scene)
    adjust(scene, -1)

    watch(scene)

    assert list(StockAlert.objects.order_by("pk").values_list("state", flat=True)) == ["closed", "open"]


def test_the_most_specific_rule_holds() -> None:
    scene = Scene(9)
    root = Category.objects.create(code="alerts", name="Alerts", path="alerts/")
    leaf = Category.objects.create(code="leaf", name="Leaf", path="alerts/leaf/", parent=root)
    scene.sku.spu.category = leaf
    scene.sku.spu.save()
    levels = []
    scopes: list[dict[str, Any]] = [
        {},
        {"brand": scene.sku.spu.brand},
        {"category": root},
        {"category": leaf},
        {"sku": scene.sku},
    ]
    for level, scope in enumerate(scopes, 20):
        rule(scene, level, **scope)
        watch(scene)
        levels.append(the_alert(scene).level)

    assert levels == [20, 21, 22, 23, 24]


def test_a_category_beside_the_skus_own_says_nothing_about_it() -> None:
    scene = Scene(9)
    mine = Category.objects.create(code="al", name="Al", path="al/")
    other = Category.objects.create(code="alx", name="Alx", path="alx/")
    scene.sku.spu.category = other
    scene.sku.spu.save()
    rule(scene, 20, category=mine)

    assert watch(scene) == Watched(0, 0, 0)


def test_a_rule_of_a_shop_looks_at_what_that_shop_may_sell() -> None:
    scene = Scene(100)
    half = shop_drawing_on(scene.location.group)
    half_row = half_pool(half)
    rule(scene, 60, sku=scene.sku, shop=half)
    rule(scene, 60, sku=scene.sku)

    watch(scene)

    alert = the_alert(scene)
    assert half_row == 1
    assert (alert.shop, alert.sellable) == (half, 50)


def half_pool(shop: Any) -> int:
    return ShopPool.objects.filter(shop=shop).update(publish_ratio="0.5")


def test_of_a_shop_a_wide_rule_concerns_what_it_lists() -> None:
    scene = Scene(3)
    rule(scene, 10, shop=scene.shop)
    assert watch(scene) == Watched(0, 0, 0)

    ListingFactory.create(shop=scene.shop, sku=scene.sku)

    assert watch(scene) == Watched(1, 0, 0)


def test_of_a_group_a_wide_rule_concerns_what_was_ever_granted_there() -> None:
    scene = Scene(3)
    elsewhere = SkuFactory.create()
    rule(scene, 10)

    watch_stock(sku_ids=None, at=NOW)

    assert list(StockAlert.objects.values_list("sku", flat=True)) == [scene.sku.pk]
    rule(scene, 1, sku=elsewhere)
    watch_stock(sku_ids=None, at=NOW)
    assert StockAlert.objects.get(sku=elsewhere).sellable == 0


def test_an_alert_whose_rule_is_switched_off_is_over() -> None:
    scene = Scene(3)
    AlertRule.objects.filter(pk=rule(scene, 10).pk).update(is_active=True)
    watch(scene)
    AlertRule.objects.update(is_active=False)

    assert watch(scene) == Watched(0, 0, 1)


def test_a_sku_that_is_not_sold_any_more_troubles_nobody() -> None:
    scene = Scene(3)
    rule(scene, 10)
    watch(scene)
    scene.sku.is_active = False
    scene.sku.save()

    assert watch(scene) == Watched(0, 0, 1)


def test_bundles_are_watched_by_their_components() -> None:
    scene = Scene(3)
    bundle = SkuFactory.create(spu=scene.sku.spu)
    BundleComponent.objects.create(bundle=bundle, component=scene.sku, units=2, weight=1)
    rule(scene, 10, brand=scene.sku.spu.brand)

    watch_stock(sku_ids=[scene.sku.pk, bundle.pk], at=NOW)

    assert StockAlert.objects.get().sku == scene.sku


def test_only_the_skus_that_were_asked_about_are_looked_at() -> None:
    one, other = Scene(3), Scene(3)
    rule(one, 10)
    rule(other, 10)

    watch(one)

    assert StockAlert.objects.get().sku == one.sku


def test_what_the_planner_has_taken_is_watched_soon_after() -> None:
    scene = Scene(9)
    rule(scene, 10)
    StockWatch.objects.all().delete()
    adjust(scene, -1)

    plan_published_stock(limit=100, at=timezone.now())
    taken = watch_changed_stock(limit=100, at=NOW)

    assert taken == 1
    assert the_alert(scene).sellable == 8
    assert not StockWatch.objects.exists()


def test_without_rules_the_planner_notes_nothing() -> None:
    Scene(9)

    plan_published_stock(limit=100, at=timezone.now())

    assert not StockWatch.objects.exists()


def test_a_rule_that_changed_is_looked_at_for_all_that_it_may_concern() -> None:
    scene = Scene(9)
    rule(scene, 10)
    StockWatch.objects.all().delete()

    watch_group_soon(group_id=scene.location.group_id)

    assert list(StockWatch.objects.values_list("sku", flat=True)) == [scene.sku.pk]


def test_an_alert_is_taken_in_hand_and_its_note_stays_until_there_is_another() -> None:
    scene = Scene(9)
    rule(scene, 10)
    watch(scene)
    alert = the_alert(scene)

    [taken] = take_alerts(alert_ids=[alert.pk], note="ordered on Friday", at=NOW, by="user:7")
    take_alerts(alert_ids=[alert.pk], at=NOW, by="user:8")

    alert.refresh_from_db()
    assert taken.ok
    assert (alert.taken_by, alert.note, alert.state) == ("user:8", "ordered on Friday", "open")


def test_an_alert_that_is_over_is_not_taken() -> None:
    scene = Scene(9)
    rule(scene, 10)
    watch(scene)
    put_stock(scene.location, scene.sku, 10)
    watch(scene)
    alert = StockAlert.objects.get()

    over, missing = take_alerts(alert_ids=[alert.pk, 10**9], at=NOW, by="user:7")

    assert not over.ok
    assert not missing.ok
    assert StockAlert.objects.get().taken_by == ""

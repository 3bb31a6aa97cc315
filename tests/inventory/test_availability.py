"""What each shop may sell, and why."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.utils import timezone

from inventory.availability import explain_stock, sellable_stock
from inventory.models import ShopPool, StockPool
from inventory.pools import PoolMove, move_between_pools, set_safety_stock
from inventory.publish import plan_published_stock
from tests.factories.inventory import LocationFactory, Scene, ShopPoolFactory, put_stock
from tests.factories.products import ListingFactory, ShopFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("V9", "V12")]


def test_a_shop_may_sell_what_is_free_in_its_pools_by_its_ratio() -> None:
    scene = Scene(10)
    elsewhere = LocationFactory.create()
    ShopPoolFactory.create(shop=scene.shop, group=elsewhere.group, position=1, publish_ratio=Decimal("0.5"))
    put_stock(elsewhere, scene.sku, 7)
    scene.promise(4)

    sellable = sellable_stock(sku_ids=[scene.sku.pk])

    assert sellable == {(scene.shop.pk, scene.sku.pk): 6 + 3}


def test_a_shop_that_draws_on_nothing_may_sell_nothing() -> None:
    scene, stranger = Scene(10), ShopFactory.create()

    sellable = sellable_stock(sku_ids=[scene.sku.pk], shop_ids=[stranger.pk])

    assert sellable == {(stranger.pk, scene.sku.pk): 0}


def test_safety_stock_is_not_sold() -> None:
    scene = Scene(10)

    targets = {scene.sku.pk: 4}
    set_safety_stock(
        group_id=scene.location.group_id, targets=targets, at=timezone.now(), by="test", reason=""
    )

    assert sellable_stock(sku_ids=[scene.sku.pk]) == {(scene.shop.pk, scene.sku.pk): 6}


def test_a_skus_own_rows_replace_the_general_ones_here_as_in_reserving() -> None:
    scene = Scene(10)
    group = scene.location.group
    quota = StockPool.objects.create(group=group, sku=scene.sku, kind="quota", label="A")
    moves = [PoolMove(scene.pool().pk, quota.pk, 3)]
    move_between_pools(key="m1", moves=moves, at=timezone.now(), by="test", reason="")
    ShopPoolFactory.create(shop=scene.shop, group=group, kind="quota", label="A", sku=scene.sku)

    sellable = sellable_stock(sku_ids=[scene.sku.pk])[scene.shop.pk, scene.sku.pk]

    assert sellable == 3
    outcomes = scene.reserve(scene.demand(3), scene.demand(1))
    assert [outcome.reserved for outcome in outcomes] == [3, 0]


def test_every_number_of_a_sku_is_explained() -> None:
    scene = Scene(10)
    ShopPool.objects.update(publish_ratio=Decimal("0.5"))
    ListingFactory.create(shop=scene.shop, sku=scene.sku)
    shipped = scene.promise(3)
    scene.commit(shipped, 3)
    scene.ship(shipped, 3)
    scene.promise(2)
    scene.reserve(scene.demand(50))
    plan_published_stock(limit=100, at=timezone.now())

    explained = explain_stock(sku_id=scene.sku.pk)

    [level], [pool], [share], [published] = (
        explained.levels,
        explained.pools,
        explained.shares,
        explained.published,
    )
    assert (level.on_hand, level.committed, level.free) == (7, 0, 7)
    assert (pool.granted, pool.reserved, pool.free) == (7, 2, 5)
    assert (share.free, share.owed, share.publish_ratio, share.sellable) == (5, 50, Decimal("0.5"), 0)
    assert (published.desired, published.acknowledged) == (0, None)
    assert (explained.short_lines, explained.short_units) == (1, 50)
    goods = {
        (row.kind, row.quantity) for row in explained.history if row.from_account == 1 or row.to_account == 2
    }
    assert goods == {("receive", 10), ("ship", 3)}

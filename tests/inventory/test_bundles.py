"""A bundle has no stock: it is sold as often as its scarcest component goes into it."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from inventory.adjust import StockAdjustment, adjust_stock
from inventory.availability import explain_stock, free_by_location, sellable_stock
from inventory.book import BundleHasNoStock
from inventory.count import StockCount, count_stock
from inventory.models import Location, PublishedStock, ShopPool, StockLevel, StockPool
from inventory.pools import set_safety_stock
from inventory.publish import plan_all_published_stock, plan_published_stock
from inventory.reactions import plan_bundles_soon
from omni.kernel.errors import DomainError
from products.events import BundlesChanged
from products.models import Listing, Shop, Sku
from tests.factories.bundles import compose, make_bundle, skus_of_one_brand
from tests.factories.inventory import LocationFactory, Scene, put_stock, shop_drawing_on
from tests.factories.products import ListingFactory
from tests.statements import StatementCounter

pytestmark = pytest.mark.django_db
BY: dict[str, Any] = {"at": timezone.now(), "by": "test"}


class Set:
    """A set of two cups and one pot: eleven cups and four pots in one location, and one shop that draws on it."""

    def __init__(self, cups: int = 11, pots: int = 4) -> None:
        self.location: Location = LocationFactory.create()
        self.cup, self.pot = skus_of_one_brand(2)
        self.shop: Shop = shop_drawing_on(self.location.group)
        for sku, units in ((self.cup, cups), (self.pot, pots)):
            if units:
                put_stock(self.location, sku, units)
        self.set = make_bundle({self.cup: 2, self.pot: 1})

    def sellable(self, sku: Sku | None = None) -> int:
        sku = sku or self.set
        return sellable_stock(sku_ids=[sku.pk], shop_ids=[self.shop.pk])[self.shop.pk, sku.pk]


def shown(listing: Listing) -> int:
    return PublishedStock.objects.get(listing=listing).desired_quantity


def plan() -> None:
    plan_published_stock(limit=1000, at=timezone.now())


@pytest.mark.capability("P20")
def test_the_scarcest_component_limits_the_bundle() -> None:
    house = Set(cups=11, pots=4)
    limited_by_pots = house.sellable()
    put_stock(house.location, house.pot, 10)

    assert (limited_by_pots, house.sellable()) == (4, 5)


def test_plain_skus_are_asked_for_beside_their_bundle() -> None:
    house = Set()
    ids = [house.set.pk, house.cup.pk]

    found = sellable_stock(sku_ids=ids)

    assert found == {(house.shop.pk, house.set.pk): 4, (house.shop.pk, house.cup.pk): 11}


def test_a_component_that_a_shop_does_not_draw_on_makes_no_bundle() -> None:
    house = Set(pots=0)
    elsewhere = LocationFactory.create()
    put_stock(elsewhere, house.pot, 9)

    assert house.sellable() == 0
    assert sellable_stock(sku_ids=[house.set.pk]) == {(house.shop.pk, house.set.pk): 0}


def test_each_component_is_counted_with_what_the_shop_may_show_of_it() -> None:
    house = Set(cups=11, pots=9)
    ShopPool.objects.filter(shop=house.shop).update(publish_ratio="0.5")

    assert house.sellable() == 2  # ⌊11 × 0.5⌋ = 5 cups, two to a set


def test_how_many_can_be_put_together_is_said_for_each_location() -> None:
    house = Set(cups=5, pots=4)
    other = LocationFactory.create(group=house.location.group, priority=999)
    put_stock(other, house.cup, 40)

    found = free_by_location(sku_ids=[house.set.pk], shop_ids=[house.shop.pk])

    assert found == {(house.shop.pk, house.set.pk): [(house.location.code, 2)]}


class TestPublished:
    def test_a_change_of_a_component_changes_what_the_channel_shows_of_the_bundle(self) -> None:
        house = Set(cups=11, pots=4)
        listing = ListingFactory.create(shop=house.shop, sku=house.set)
        plan_all_published_stock(at=timezone.now())
        first = shown(listing)
        plan()

        put_stock(house.location, house.pot, 1)
        plan()

        assert (first, shown(listing)) == (4, 5)

    def test_other_components_change_it_too_and_a_plain_sku_has_its_own_stock_again(self) -> None:
        house = Set(cups=11, pots=4)
        listing = ListingFactory.create(shop=house.shop, sku=house.set)
        plan_all_published_stock(at=timezone.now())
        plan()
        numbers = []

        for units in ({house.cup: 1}, {}):
            compose(house.set, units, weights=dict.fromkeys(units, 1))
            plan_bundles_soon(BundlesChanged((house.set.pk,)))
            plan()
            numbers.append(shown(listing))

        assert numbers == [11, 0]

    def test_a_change_that_concerns_no_bundle_is_planned_without_them(self) -> None:
        house = Set()
        scene = Scene()
        ListingFactory.create(shop=scene.shop, sku=scene.sku)
        plan()

        put_stock(scene.location, scene.sku, 3)
        with StatementCounter() as counter:
            plan()

        [planned] = [text for text in counter.log if "INSERT INTO inventory_publishedstock" in text]
        assert "bundlecomponent" not in planned
        assert PublishedStock.objects.get(listing__sku=scene.sku).desired_quantity == 3
        assert house.sellable() == 4


class TestNoStock:
    @pytest.mark.parametrize("had_stock_before", [False, True])
    def test_nothing_is_booked_on_a_bundle(self, had_stock_before: bool) -> None:
        house = Set()
        bundle = house.set
        if had_stock_before:
            compose(bundle, {})
            put_stock(house.location, bundle, 1)
            count_stock(key="out", counts=[StockCount(house.location.pk, bundle.pk, 0)], reason="", **BY)
            compose(bundle, {house.cup: 2}, weights={house.cup: 1})
        where = (house.location.pk, bundle.pk)

        with pytest.raises(BundleHasNoStock, match=house.cup.code):
            put_stock(house.location, bundle, 1)
        with pytest.raises(BundleHasNoStock):
            count_stock(key="c", counts=[StockCount(*where, 5)], reason="", **BY)
        with pytest.raises(BundleHasNoStock):
            adjust_stock(key="a", adjustments=[StockAdjustment(*where, 5)], reason="", **BY)
        with pytest.raises(BundleHasNoStock):
            set_safety_stock(group_id=house.location.group_id, targets={bundle.pk: 3}, reason="", **BY)

        assert not StockLevel.objects.filter(sku=bundle, on_hand__gt=0).exists()
        assert StockPool.objects.filter(sku=bundle).exists() is had_stock_before

    def test_a_sku_that_lies_somewhere_does_not_become_a_bundle(self) -> None:
        house = Set()
        stocked, part = skus_of_one_brand(2)
        put_stock(house.location, stocked, 3, grade="defective")

        refused = compose(stocked, {part: 1}, weights={part: 1})

        assert isinstance(refused.refusal, DomainError)
        assert "3 units of it are on hand" in refused.refusal.detail

    def test_nor_does_one_that_lines_wait_for(self) -> None:
        scene = Scene(0)
        [part] = skus_of_one_brand(1)
        part.spu = scene.sku.spu
        part.save()
        scene.reserve(scene.demand(2))

        refused = compose(scene.sku, {part: 1}, weights={part: 1})

        assert isinstance(refused.refusal, DomainError)
        assert "Order lines hold it or wait for it" in refused.refusal.detail


def test_why_a_bundle_can_be_sold_so_often_is_said_by_component() -> None:
    house = Set(cups=11, pots=4)

    known = explain_stock(sku_id=house.set.pk)

    facts = [(f.sku_code, f.units, f.sellable, f.bundles, f.is_limit) for f in known.components]
    assert facts == [(house.cup.code, 2, 11, 5, False), (house.pot.code, 1, 4, 4, True)]
    assert explain_stock(sku_id=house.cup.pk).components == []

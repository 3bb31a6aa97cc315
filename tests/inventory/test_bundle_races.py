"""Bundles that are composed at the same time, and goods that come in meanwhile: the locks count, and it shows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.conf import LazySettings
from django.utils import timezone

from inventory import book, bundles
from inventory.book import BundleHasNoStock
from inventory.count import StockCount, count_stock
from inventory.models import Location, StockLevel
from products import compose as composing
from products.models import BundleComponent, Sku
from tests.factories.bundles import compose, skus_of_one_brand
from tests.factories.inventory import LocationFactory, put_stock
from tests.inventory.races import must_break, run_together

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.capability("P20")]
ROUNDS = 6


@pytest.fixture(autouse=True)
def quiet_doorbell(settings: LazySettings) -> None:
    """The bells would only slow the race down."""
    settings.OMNI_DOORBELL = False


@pytest.fixture
def no_sku_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SKUs are read without being held."""
    unlocked = composing.LOCK_SKUS.replace("FOR NO KEY UPDATE OF k", "")
    monkeypatch.setattr(composing, "LOCK_SKUS", unlocked)


@pytest.fixture
def no_pool_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks whether a SKU lies anywhere does not hold its pools."""
    monkeypatch.setattr(bundles, "lock_pools_of_skus", lambda _skus: {})


@pytest.fixture
def blind_booking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever books does not look once more whether it is a bundle by now."""
    lines = [line for line in book.FIND_LEVELS.splitlines() if "bundlecomponent" not in line]
    monkeypatch.setattr(book, "FIND_LEVELS", "\n".join(lines))


def a_ring_from_all_sides() -> None:
    """Each of eight SKUs becomes a bundle of the next, all at once: none may lie in a bundle and be one."""
    for _round in range(ROUNDS):
        skus = skus_of_one_brand(8, list_price=1)
        jobs: list[Callable[[], Any]] = [
            partial(compose, sku, {skus[(place + 1) % 8]: 1}) for place, sku in enumerate(skus)
        ]

        results = [composed.result for composed in run_together(jobs)]

        holders = set(BundleComponent.objects.values_list("bundle_id", flat=True))
        inside = set(BundleComponent.objects.values_list("component_id", flat=True))
        assert holders & inside == set()
        assert results.count("new") >= 1


def goods_against_composing() -> None:
    """Of a SKU that was counted out, units come in while it becomes a bundle: one of the two is refused."""
    for _round in range(ROUNDS):
        location: Location = LocationFactory.create()
        skus = skus_of_one_brand(5, list_price=1)
        part, others = skus[0], skus[1:]
        for sku in others:
            put_stock(location, sku, 1)
            count_stock(
                key=f"out:{sku.pk}",
                counts=[StockCount(location.pk, sku.pk, 0)],
                reason="",
                at=timezone.now(),
                by="test",
            )

        def receive(sku: Sku, location: Location = location) -> str:
            try:
                put_stock(location, sku, 1)
            except BundleHasNoStock:
                return "refused"
            return "received"

        jobs: list[Callable[[], Any]] = []
        for sku in others:
            jobs += [partial(receive, sku), partial(compose, sku, {part: 1})]
        run_together(jobs)

        stocked = set(StockLevel.objects.filter(on_hand__gt=0).values_list("sku_id", flat=True))
        assert stocked & set(BundleComponent.objects.values_list("bundle_id", flat=True)) == set()


def test_bundles_composed_at_the_same_time_are_never_nested() -> None:
    a_ring_from_all_sides()


def test_without_the_lock_they_would_be(no_sku_lock: None) -> None:
    must_break(a_ring_from_all_sides)
    BundleComponent.objects.all().delete()


def test_goods_that_come_in_while_a_sku_becomes_a_bundle_do_not_become_stock_of_a_bundle() -> None:
    goods_against_composing()


@pytest.mark.parametrize("mutant", ["no_pool_lock", "blind_booking"])
def test_each_net_under_that_counts(mutant: str, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(mutant)
    must_break(goods_against_composing)
    BundleComponent.objects.all().delete()

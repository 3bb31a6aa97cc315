"""What the channels are told: coalesced, decreases first, and only the last answer counts."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from inventory.models import PublishedStock, ShopPool, StockChange
from inventory.publish import (
    DueStock,
    claim_due_stock,
    plan_all_published_stock,
    plan_published_stock,
    record_stock_answers,
)
from inventory.tasks import plan_published
from omni.kernel.answers import Answer
from tests.factories.inventory import Scene, put_stock
from tests.factories.products import ListingFactory, SkuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("V12", "V13")]


def plan(at: datetime | None = None) -> int:
    return plan_published_stock(limit=1000, at=at or timezone.now())


def claim(scene: Scene, at: datetime | None = None) -> list[DueStock]:
    return claim_due_stock(shop_id=scene.shop.pk, limit=100, at=at or timezone.now() + timedelta(seconds=2))


def accept(due: list[DueStock], at: datetime | None = None) -> None:
    answers = [Answer(number.published_id, ok=True, version=number.version) for number in due]
    record_stock_answers(answers=answers, at=at or timezone.now())


def test_many_changes_of_a_sku_become_one_number() -> None:
    scene = Scene(50)
    ListingFactory.create(shop=scene.shop, sku=scene.sku)
    for _ in range(20):
        scene.promise(1)

    taken = plan()

    assert taken == 21
    assert PublishedStock.objects.values_list("desired_quantity", "desired_version").get() == (30, 1)
    assert not StockChange.objects.exists()


def test_a_number_that_did_not_change_gets_no_new_version() -> None:
    scene = Scene(50)
    ListingFactory.create(shop=scene.shop, sku=scene.sku)
    plan()
    scene.release(scene.promise(5))

    plan()
    plan_all_published_stock(at=timezone.now())

    assert PublishedStock.objects.get().desired_version == 1


def test_a_shop_shows_its_ratio_of_the_shared_pool_and_ratios_may_exceed_one() -> None:
    scene = Scene(11)
    second = Scene(location=scene.location, sku=scene.sku)
    ShopPool.objects.filter(shop=scene.shop).update(publish_ratio=Decimal("0.5"))
    listings = [ListingFactory.create(shop=shop, sku=scene.sku) for shop in (scene.shop, second.shop)]

    plan()

    shown = [PublishedStock.objects.get(listing=listing).desired_quantity for listing in listings]
    assert shown == [5, 11]


def test_units_that_a_line_is_owed_are_not_offered() -> None:
    scene = Scene(3)
    ListingFactory.create(shop=scene.shop, sku=scene.sku)
    scene.reserve(scene.demand(5))

    plan()

    assert PublishedStock.objects.get().desired_quantity == 0


def test_a_listing_whose_shop_draws_on_nothing_shows_zero_and_a_delisted_one_nothing() -> None:
    scene = Scene(3)
    ListingFactory.create(sku=scene.sku)
    ListingFactory.create(shop=scene.shop, sku=scene.sku, state="delisted")

    plan_all_published_stock(at=timezone.now())

    assert PublishedStock.objects.values_list("desired_quantity", flat=True).get() == 0


def test_decreases_go_out_before_increases_and_zeroes_first() -> None:
    scene = Scene()
    skus = [SkuFactory.create() for _ in range(3)]
    raised, lowered, emptied = (Scene(10, location=scene.location, sku=sku) for sku in skus)
    for sku in skus:
        ListingFactory.create(shop=scene.shop, sku=sku)
    plan()
    accept(claim(scene))
    put_stock(scene.location, raised.sku, 5)
    lowered.promise(5)
    emptied.promise(10)
    plan()

    due = claim(scene, timezone.now() + timedelta(seconds=5))

    assert [(number.quantity, number.is_increase) for number in due] == [(0, False), (5, False), (15, True)]


def test_what_is_under_way_is_not_sent_twice() -> None:
    scene = Scene(10)
    ListingFactory.create(shop=scene.shop, sku=scene.sku)
    plan()
    now = timezone.now() + timedelta(seconds=2)
    first = claim(scene, now)
    scene.promise(1)
    plan(now)

    second = claim(scene, now + timedelta(seconds=5))
    late = claim(scene, now + timedelta(seconds=61))

    assert [number.quantity for number in first] == [10]
    assert second == []
    assert [(number.quantity, number.version) for number in late] == [(9, 2)]


def test_an_answer_to_an_older_call_changes_nothing() -> None:
    scene = Scene(10)
    ListingFactory.create(shop=scene.shop, sku=scene.sku)
    plan()
    now = timezone.now() + timedelta(seconds=2)
    old = claim(scene, now)
    scene.promise(1)
    plan(now)
    new = claim(scene, now + timedelta(seconds=61))

    accept(old)
    row = PublishedStock.objects.get()

    assert (row.acked_version, row.acked_quantity) == (0, None)
    accept(new)
    row.refresh_from_db()
    assert (row.acked_version, row.acked_quantity) == (2, 9)


def test_a_newer_number_is_due_as_soon_as_the_call_under_way_is_answered() -> None:
    scene = Scene(10)
    ListingFactory.create(shop=scene.shop, sku=scene.sku)
    plan()
    now = timezone.now() + timedelta(seconds=2)
    due = claim(scene, now)
    scene.promise(1)
    plan(now)

    accept(due, now + timedelta(seconds=1))

    assert [number.quantity for number in claim(scene, now + timedelta(seconds=2))] == [9]


def test_a_refusal_is_tried_again_later_and_a_final_one_when_the_number_changes() -> None:
    scene = Scene(10)
    ListingFactory.create(shop=scene.shop, sku=scene.sku)
    plan()
    now = timezone.now() + timedelta(seconds=2)
    [due] = claim(scene, now)

    later = Answer(due.published_id, ok=False, detail="throttled", retry_seconds=30, version=due.version)
    record_stock_answers(answers=[later], at=now)
    assert claim(scene, now + timedelta(seconds=29)) == []
    [due] = claim(scene, now + timedelta(seconds=30))
    never = Answer(due.published_id, ok=False, detail="item is gone", is_final=True, version=due.version)
    record_stock_answers(answers=[never], at=now + timedelta(seconds=31))
    assert claim(scene, now + timedelta(hours=2)) == []
    scene.promise(1)
    plan(now + timedelta(seconds=40))

    assert [number.quantity for number in claim(scene, now + timedelta(seconds=41))] == [9]
    assert PublishedStock.objects.get().last_error == "item is gone"


def test_the_sweep_drains_the_changes() -> None:
    scene = Scene(10)
    ListingFactory.create(shop=scene.shop, sku=scene.sku)

    plan_published()

    assert PublishedStock.objects.get().desired_quantity == 10

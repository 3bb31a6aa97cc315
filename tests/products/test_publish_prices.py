"""What the channels are told about prices: planned when a price begins, sent, believed once they said yes."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from omni.kernel.answers import REFUSED_FOR, Answer
from products.events import ListingsChanged, ProductsChanged
from products.models import Listing, PriceChange, PublishedPrice, Shop, Sku
from products.prices.decide import withdraw_prices
from products.prices.publish import (
    DuePrice,
    claim_due_prices,
    plan_all_published_prices,
    plan_published_prices,
    push_prices_again,
    record_price_answers,
)
from products.reactions import tell_list_prices_soon, tell_prices_soon
from tests.factories.prices import BOSS, DAY, NOON, approved, put_floor
from tests.factories.products import ListingFactory, ShopFactory, SkuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("P12")]


@pytest.fixture
def sku() -> Sku:
    return SkuFactory.create(list_price=Decimal(129))


@pytest.fixture
def shop() -> Shop:
    return ShopFactory.create()


@pytest.fixture
def listing(shop: Shop, sku: Sku) -> Listing:
    return ListingFactory.create(shop=shop, sku=sku)


def plan(at: datetime = NOON) -> int:
    return plan_published_prices(limit=1000, at=at)


def claim(shop: Shop, at: datetime = NOON) -> list[DuePrice]:
    return claim_due_prices(shop_id=shop.pk, limit=100, at=at)


def answer(due: DuePrice, *, at: datetime = NOON, ok: bool = True, **more: object) -> None:
    given = Answer(due.published_id, ok=ok, version=due.version, **more)  # type: ignore[arg-type]
    record_price_answers(answers=[given], at=at)


def push(shop: Shop, at: datetime) -> list[Decimal]:
    """Plan, tell and hear yes. Returns what was told."""
    plan(at)
    due = claim(shop, at)
    for price in due:
        answer(price, at=at)
    return [price.amount for price in due]


def shown(listing: Listing) -> PublishedPrice:
    return PublishedPrice.objects.get(listing=listing)


def test_an_approved_price_is_told_and_the_acknowledged_value_is_kept(shop: Shop, listing: Listing) -> None:
    price = approved(listing.sku, 99)

    plan()
    [due] = claim(shop)
    assert (due.amount, due.currency, due.outer_item_id, due.outer_sku_id, due.sku_code) == (
        Decimal(99),
        "CNY",
        listing.outer_item_id,
        listing.outer_sku_id,
        listing.sku.code,
    )
    assert shown(listing).acked_amount is None
    answer(due)

    row = shown(listing)
    assert (row.acked_amount, row.acked_version, row.acked_at) == (Decimal(99), 1, NOON)
    assert row.price_id == price.pk
    assert claim(shop, NOON + DAY) == []


def test_a_scheduled_price_is_told_at_its_time_and_what_was_before_when_it_ends(
    shop: Shop, listing: Listing
) -> None:
    sku = listing.sku
    approved(sku, 99)
    approved(sku, 79, kind="special", starts_at=NOON + DAY, ends_at=NOON + 2 * DAY)

    assert push(shop, NOON) == [99]
    assert push(shop, NOON + DAY - timedelta(seconds=1)) == []
    assert push(shop, NOON + DAY) == [79]
    assert push(shop, NOON + 2 * DAY) == [99]
    assert not PriceChange.objects.exists()


def test_prices_that_omni_never_set_are_left_to_the_channel(shop: Shop, listing: Listing) -> None:
    plan_all_published_prices(at=NOON)
    assert not PublishedPrice.objects.exists()

    price = approved(listing.sku, 99)
    push(shop, NOON)
    withdraw_prices(price_ids=[price.pk], reason="mistake", at=NOON + DAY, by=BOSS)

    assert push(shop, NOON + DAY) == [129]
    assert shown(listing).price_id is None


def test_only_shops_that_the_price_concerns_are_told(shop: Shop, listing: Listing) -> None:
    other = ListingFactory.create(sku=listing.sku)
    delisted = ListingFactory.create(shop=shop, sku=listing.sku, state="delisted")

    approved(listing.sku, 99, shop=shop)
    plan()

    assert list(PublishedPrice.objects.values_list("listing_id", flat=True)) == [listing.pk]
    assert {other.pk, delisted.pk}.isdisjoint({listing.pk})


def test_a_price_that_changes_nothing_pushes_nothing_but_says_whose_it_is(
    shop: Shop, listing: Listing
) -> None:
    approved(listing.sku, 99)
    push(shop, NOON)

    new = approved(listing.sku, 99, at=NOON + DAY, starts_at=NOON + DAY)

    assert push(shop, NOON + DAY) == []
    assert shown(listing).price_id == new.pk


def test_an_answer_to_an_older_call_counts_for_nothing(shop: Shop, listing: Listing) -> None:
    approved(listing.sku, 99)
    plan()
    [first] = claim(shop)
    approved(listing.sku, 89, at=NOON + DAY, starts_at=NOON + DAY)
    plan(NOON + DAY)
    [second] = claim(shop, NOON + DAY)

    answer(first, at=NOON + DAY)
    assert shown(listing).acked_amount is None
    answer(second, at=NOON + DAY)
    assert shown(listing).acked_amount == 89


def test_while_a_call_is_under_way_its_successor_waits(shop: Shop, listing: Listing) -> None:
    approved(listing.sku, 99)
    plan()
    [first] = claim(shop)
    soon = NOON + timedelta(seconds=1)
    approved(listing.sku, 89, at=soon, starts_at=soon)
    plan(soon)

    assert claim(shop, soon) == []
    answer(first, at=soon)
    assert [due.amount for due in claim(shop, soon + timedelta(seconds=200))] == [89]


def test_a_refused_price_says_why_and_waits_for_another_one(shop: Shop, listing: Listing) -> None:
    approved(listing.sku, 99)
    plan()
    [due] = claim(shop)
    answer(due, ok=False, detail="no such SKU", is_final=True)

    row = shown(listing)
    assert (row.last_error, row.acked_amount, row.not_before) == ("no such SKU", None, NOON + REFUSED_FOR)
    approved(listing.sku, 89, at=NOON + DAY / 24, starts_at=NOON + DAY / 24)
    assert push(shop, NOON + DAY / 24) == [89]
    assert shown(listing).last_error == ""


def test_a_price_that_failed_for_now_comes_again_ever_later(shop: Shop, listing: Listing) -> None:
    approved(listing.sku, 99)
    plan()
    waits = []
    at = NOON
    for _ in range(3):
        [due] = claim(shop, at)
        answer(due, at=at, ok=False, detail="away")
        waits.append(shown(listing).not_before - at)
        at = shown(listing).not_before
    assert waits == [timedelta(seconds=seconds) for seconds in (2, 4, 8)]


def test_a_lost_answer_is_asked_for_again(shop: Shop, listing: Listing) -> None:
    approved(listing.sku, 99)
    plan()
    claim(shop)

    assert claim(shop, NOON + timedelta(seconds=60)) == []
    assert [due.amount for due in claim(shop, NOON + timedelta(seconds=120))] == [99]


def test_a_listing_below_the_floor_keeps_what_it_shows(shop: Shop, listing: Listing) -> None:
    approved(listing.sku, 99)
    push(shop, NOON)

    put_floor(listing.sku, 200, since=NOON + DAY, at=NOON)

    assert push(shop, NOON + DAY) == []
    assert shown(listing).desired_amount == 99


def test_a_raised_floor_takes_the_next_price_that_is_not_below(shop: Shop, listing: Listing) -> None:
    approved(listing.sku, 99)
    push(shop, NOON)

    put_floor(listing.sku, 120, since=NOON + DAY, at=NOON)

    assert push(shop, NOON + DAY) == [129]


def test_a_listing_that_is_mapped_later_is_told_its_price(shop: Shop, sku: Sku) -> None:
    approved(sku, 99)
    plan()
    listing = ListingFactory.create(shop=shop, sku=sku)
    assert claim(shop) == []

    tell_prices_soon(ListingsChanged(shop.pk, (sku.pk,)))
    later = NOON + 1000 * DAY
    assert push(shop, later) == [99]

    # listed again: whatever its channel shows now, it is told, even if it is the same
    tell_prices_soon(ListingsChanged(shop.pk, (sku.pk,)))
    assert push(shop, later) == [99]
    assert shown(listing).acked_version == 2


def test_a_person_can_have_a_price_told_again(shop: Shop, listing: Listing) -> None:
    approved(listing.sku, 99)
    push(shop, NOON)

    push_prices_again(published_ids=[shown(listing).pk], at=NOON + DAY, by=BOSS)

    assert [due.amount for due in claim(shop, NOON + DAY)] == [99]


def test_the_nightly_net_finds_what_no_change_was_noted_for(shop: Shop, listing: Listing) -> None:
    approved(listing.sku, 99)
    PriceChange.objects.all().delete()

    plan_all_published_prices(at=NOON)

    assert [due.amount for due in claim(shop)] == [99]


def test_a_list_price_that_changes_is_told_where_nothing_stands_before_it(
    shop: Shop, listing: Listing
) -> None:
    price = approved(listing.sku, 99)
    push(shop, NOON)
    withdraw_prices(price_ids=[price.pk], reason="mistake", at=NOON + DAY, by=BOSS)
    push(shop, NOON + DAY)
    Sku.objects.update(list_price=135)

    later = NOON + 1000 * DAY
    tell_list_prices_soon(ProductsChanged((listing.sku.spu_id,), ()))
    assert push(shop, later) == [135]
    Sku.objects.update(list_price=136)
    tell_list_prices_soon(ProductsChanged((), (listing.sku_id,)))
    assert push(shop, later) == [136]

"""Every price can be asked why: which won, over which, since when, by whose word; the same as the batch says."""

from __future__ import annotations

import random
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from products.models import Price, Shop, Sku
from products.prices.ask import ask_for_prices
from products.prices.decide import approve_prices
from products.prices.effective import effective_prices, prices_at
from products.prices.faults import PriceDraft
from products.prices.set_floor import NewFloor, set_floors
from products.prices.why import Candidate, Lost, Scope, why_price
from tests.factories.prices import BOSS, BUYER, DAY, NOON, approved, put_floor
from tests.factories.products import ShopFactory, SkuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("P11")]


@pytest.fixture
def sku() -> Sku:
    return SkuFactory.create(list_price=Decimal(129))


@pytest.fixture
def shop() -> Shop:
    return ShopFactory.create()


def told(row: Candidate) -> Any:
    return row.amount, row.scope, row.lost


def test_the_winner_is_named_with_all_that_it_beat_and_why(shop: Shop, sku: Sku) -> None:
    special = approved(sku, 95, shop=shop, kind="special", ends_at=NOON + 2 * DAY)
    approved(sku, 99, shop=shop)
    approved(sku, 105, channel="top")
    approved(sku, 60, kind="special", ends_at=NOON + 2 * DAY)
    soon = approved(sku, 89, shop=shop, kind="special", starts_at=NOON + 3 * DAY, ends_at=NOON + 4 * DAY)

    why = why_price(shop=shop, sku=sku, at=NOON + DAY)

    assert why.winner is not None
    assert told(why.winner) == (95, Scope.SHOP, None)
    assert why.winner.price == special
    assert [told(row) for row in why.beaten] == [
        (99, Scope.SHOP, Lost.SPECIAL_FIRST),
        (105, Scope.CHANNEL, Lost.LESS_SPECIFIC),
        (60, Scope.EVERYWHERE, Lost.LESS_SPECIFIC),
        (129, Scope.LIST_PRICE, Lost.LESS_SPECIFIC),
    ]
    assert why.next == [soon]


def test_without_an_approved_price_the_list_price_is_it(shop: Shop, sku: Sku) -> None:
    why = why_price(shop=shop, sku=sku, at=NOON)

    assert why.winner is not None
    assert told(why.winner) == (129, Scope.LIST_PRICE, None)
    assert (why.winner.price, why.beaten, why.floor) == (None, [], None)


def test_a_price_that_a_floor_keeps_out_is_named_as_that(shop: Shop, sku: Sku) -> None:
    approved(sku, 99, shop=shop)
    put_floor(sku, 120, since=NOON + DAY)

    why = why_price(shop=shop, sku=sku, at=NOON + DAY)

    assert why.winner is not None
    assert why.floor is not None
    assert told(why.winner) == (129, Scope.LIST_PRICE, None)
    assert [told(row) for row in why.beaten] == [(99, Scope.SHOP, Lost.BELOW_FLOOR)]
    assert why.floor.amount == 120


def test_the_past_is_answered_as_it_was(shop: Shop, sku: Sku) -> None:
    first = approved(sku, 99)
    approved(sku, 109, at=NOON + 5 * DAY, starts_at=NOON + 5 * DAY)

    why = why_price(shop=shop, sku=sku, at=NOON + DAY)

    assert why.winner is not None
    assert why.winner.price == first
    assert why.amount == 99
    assert why_price(shop=shop, sku=sku, at=NOON - DAY).amount == 129


@pytest.mark.parametrize("seed", range(5))
def test_the_batch_and_the_reasons_always_agree(seed: int) -> None:
    """Two ways to the same price, over random prices and floors at random moments."""
    rng = random.Random(seed)
    shops = [ShopFactory.create(channel=rng.choice(["top", "medusa"])) for _ in range(3)]
    skus = [SkuFactory.create(list_price=rng.choice([None, Decimal(30)])) for _ in range(3)]
    drafts = []
    for _ in range(60):
        shop_id, channel = rng.choice([(rng.choice(shops).pk, ""), (None, rng.choice(["", "top", "medusa"]))])
        starts_at = NOON + timedelta(hours=rng.randrange(200))
        is_special = rng.random() < 0.5
        drafts.append(
            PriceDraft(
                rng.choice(skus).pk,
                Decimal(rng.randrange(10, 50)),
                starts_at,
                ends_at=starts_at + timedelta(hours=rng.randrange(1, 60)) if is_special else None,
                shop_id=shop_id,
                channel=channel,
                kind=Price.Kind.SPECIAL if is_special else Price.Kind.REGULAR,
            )
        )
    outcomes = ask_for_prices(drafts=drafts, reason="", at=NOON, by=BUYER)
    idents = [outcome.price_id or 0 for outcome in outcomes]
    approve_prices(price_ids=idents, may_approve_own=False, at=NOON, by=BOSS)
    floors = [
        NewFloor(
            rng.choice(skus).pk, Decimal(rng.randrange(5, 35)), "CNY", NOON + rng.randrange(200) * DAY / 24
        )
        for _ in range(6)
    ]
    set_floors(floors=floors, reason="", at=NOON, by=BOSS)

    assert Price.objects.filter(state="approved").count() > 20
    for hour in (*range(0, 260, 13), 1):
        at = NOON + timedelta(hours=hour)
        found = effective_prices(
            shop_ids=[shop.pk for shop in shops], sku_ids=[sku.pk for sku in skus], at=at
        )
        pairs = [(shop.pk, sku.pk) for shop in shops for sku in skus]
        assert prices_at(asked=[(*pair, at) for pair in pairs]) == [found[pair] for pair in pairs]
        for shop in shops:
            for sku in skus:
                why = why_price(shop=shop, sku=sku, at=at)
                price = found[shop.pk, sku.pk]
                expected = why.winner.price.pk if why.winner and why.winner.price else None
                assert (price.amount, price.price_id) == (why.amount, expected)

"""Prices and floors for tests, made through the operations by which they come about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from products.models import Price, Shop, Sku
from products.prices.ask import ask_for_prices
from products.prices.decide import approve_prices
from products.prices.faults import PriceDraft
from products.prices.set_floor import NewFloor, set_floors
from tests.factories.products import ShopFactory

NOON = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
DAY = timedelta(days=1)
BUYER, BOSS = "user:1", "user:2"


def draft_of(sku: Sku, amount: int | str, *, shop: Shop | None = None, **given: Any) -> PriceDraft:
    """A regular price from noon on, unless `given` says otherwise; with an end and a kind it is a special one."""
    given.setdefault("starts_at", NOON)
    return PriceDraft(sku.pk, Decimal(amount), shop_id=shop.pk if shop else None, **given)


def asked(sku: Sku, amount: int | str, *, at: datetime = NOON, **given: Any) -> Price:
    """A price that waits for its approval. For a channel, there is a shop of that channel."""
    if "channel" in given and not Shop.objects.filter(channel=given["channel"]).exists():
        ShopFactory.create(channel=given["channel"])
    [outcome] = ask_for_prices(drafts=[draft_of(sku, amount, **given)], reason="autumn", at=at, by=BUYER)
    assert outcome.ok, outcome
    return Price.objects.get(pk=outcome.price_id or 0)


def approved(sku: Sku, amount: int | str, *, at: datetime = NOON, **given: Any) -> Price:
    price = asked(sku, amount, at=at, **given)
    [outcome] = approve_prices(price_ids=[price.pk], may_approve_own=False, at=at, by=BOSS)
    assert outcome.ok, outcome
    price.refresh_from_db()
    return price


def put_floor(sku: Sku, amount: int | str, *, since: datetime = NOON, at: datetime = NOON) -> None:
    floor = NewFloor(sku.pk, Decimal(amount), "CNY", since)
    set_floors(floors=[floor], reason="contract", at=at, by=BOSS)

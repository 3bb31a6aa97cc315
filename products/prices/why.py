"""Why a SKU costs in a shop what it costs: which price won, over which others, and what comes next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from django.db.models import Q

from products.models import FloorPrice, Price, PublishedPrice, Shop, Sku
from products.prices.states import PriceState

NEXT_MAX = 20


class Scope(StrEnum):
    SHOP = "shop"
    CHANNEL = "channel"
    EVERYWHERE = "everywhere"
    LIST_PRICE = "list_price"


class Lost(StrEnum):
    """Why a price that is in force did not win."""

    LESS_SPECIFIC = "less_specific"
    SPECIAL_FIRST = "special_first"
    BELOW_FLOOR = "below_floor"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A price that concerned the shop and the SKU at the moment. `price` None: the list price. `lost` None: it won."""

    amount: Decimal
    scope: Scope
    price: Price | None
    lost: Lost | None


@dataclass(frozen=True, slots=True)
class PriceWhy:
    """`winner` None: the SKU has no price there. `beaten`: the others, best first. `next`: what is approved and begins
    later, soonest first. `published`: what the shop's channel was told, per listing."""

    shop: Shop
    sku: Sku
    at: datetime
    currency: str
    winner: Candidate | None
    beaten: list[Candidate]
    next: list[Price]
    floor: FloorPrice | None
    published: list[PublishedPrice]

    @property
    def amount(self) -> Decimal | None:
        return self.winner.amount if self.winner else None


def scope_of_price(price: Price) -> Scope:
    if price.shop_id is not None:
        return Scope.SHOP
    return Scope.CHANNEL if price.channel else Scope.EVERYWHERE


def why_price(*, shop: Shop, sku: Sku, at: datetime) -> PriceWhy:
    """Every price that concerns the shop and the SKU at a moment, past ones too, in the order in which they win.

    The same rules as `effective_prices`, by another way: a test holds them to one another.
    """
    own = Q(shop=shop) | Q(shop=None, channel__in=["", shop.channel])
    approved = Price.objects.filter(own, sku=sku, currency=shop.currency, state=PriceState.APPROVED)
    in_force = approved.filter(Q(ends_at=None) | Q(ends_at__gt=at), starts_at__lte=at)
    floors = FloorPrice.objects.filter(sku=sku, currency=shop.currency, since__lte=at)
    floor = floors.order_by("-since").first()
    ranked = sorted(in_force.select_related("shop"), key=_rank)
    winner, beaten = _choose(ranked, sku, shop, floor.amount if floor else Decimal(0))
    return PriceWhy(
        shop=shop,
        sku=sku,
        at=at,
        currency=shop.currency,
        winner=winner,
        beaten=beaten,
        next=list(approved.filter(starts_at__gt=at).select_related("shop").order_by("starts_at")[:NEXT_MAX]),
        floor=floor if floor and floor.amount else None,
        published=list(
            PublishedPrice.objects.filter(shop=shop, listing__sku=sku)
            .select_related("listing")
            .order_by("pk")
        ),
    )


def _rank(price: Price) -> tuple[bool, bool, bool]:
    return price.shop_id is None, price.channel == "", price.kind != Price.Kind.SPECIAL


def _choose(
    ranked: Sequence[Price], sku: Sku, shop: Shop, floor: Decimal
) -> tuple[Candidate | None, list[Candidate]]:
    rows: list[tuple[Decimal, Scope, Price | None]] = [
        (price.amount, scope_of_price(price), price) for price in ranked
    ]
    if sku.list_price is not None and sku.currency == shop.currency:
        rows.append((sku.list_price, Scope.LIST_PRICE, None))
    winner: Candidate | None = None
    beaten = []
    for amount, scope, price in rows:
        if amount < floor:
            beaten.append(Candidate(amount, scope, price, Lost.BELOW_FLOOR))
        elif winner is None:
            winner = Candidate(amount, scope, price, None)
        else:
            lost = Lost.SPECIAL_FIRST if scope == winner.scope else Lost.LESS_SPECIFIC
            beaten.append(Candidate(amount, scope, price, lost))
    return winner, beaten

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
    [why] = why_prices(shop=shop, skus=[sku], at=at)
    return why


def why_prices(*, shop: Shop, skus: Sequence[Sku], at: datetime) -> list[PriceWhy]:
    """The same for many SKUs, in the order given. Four statements, however many they are."""
    own = Q(shop=shop) | Q(shop=None, channel__in=["", shop.channel])
    approved = Price.objects.filter(own, sku__in=skus, currency=shop.currency, state=PriceState.APPROVED)
    approved = approved.select_related("shop").order_by("starts_at")
    in_force: dict[int, list[Price]] = {}
    for price in approved.filter(Q(ends_at=None) | Q(ends_at__gt=at), starts_at__lte=at):
        in_force.setdefault(price.sku_id, []).append(price)
    following: dict[int, list[Price]] = {}
    for price in approved.filter(starts_at__gt=at):
        following.setdefault(price.sku_id, []).append(price)
    floors = FloorPrice.objects.filter(sku__in=skus, currency=shop.currency, since__lte=at)
    by_sku = {floor.sku_id: floor for floor in floors.order_by("since")}  # the latest stays
    published: dict[int, list[PublishedPrice]] = {}
    told = PublishedPrice.objects.filter(shop=shop, listing__sku__in=skus)
    for row in told.select_related("listing").order_by("pk"):
        published.setdefault(row.listing.sku_id, []).append(row)
    answers = []
    for sku in skus:
        floor = by_sku.get(sku.pk)
        ranked = sorted(in_force.get(sku.pk, ()), key=_rank)
        winner, beaten = _choose(ranked, sku, shop, floor.amount if floor else Decimal(0))
        answers.append(
            PriceWhy(
                shop=shop,
                sku=sku,
                at=at,
                currency=shop.currency,
                winner=winner,
                beaten=beaten,
                next=following.get(sku.pk, [])[:NEXT_MAX],
                floor=floor if floor and floor.amount else None,
                published=published.get(sku.pk, []),
            )
        )
    return answers


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

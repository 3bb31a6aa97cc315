"""Which approved prices stand beside one another, and where a further one finds its place."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.utils.translation import gettext as _

from omni.kernel.display import Money
from products.models import Price
from products.prices.outcome import Refusal, moment_text
from products.prices.states import PriceState

Scope = tuple[int, int | None, str, str, str]


class Timetable:
    """What is approved and not over for some SKUs, in memory, while a batch is decided; their SKUs are held.

    `moved`: prices that were approved before and whose end is another one now.
    """

    def __init__(self, sku_ids: Iterable[int], at: datetime) -> None:
        self._at = at
        self._by_scope: dict[Scope, list[Price]] = {}
        self._moved: dict[int, Price] = {}
        rows = Price.objects.filter(sku_id__in=set(sku_ids), state=PriceState.APPROVED)
        for price in rows.exclude(ends_at__lt=at).order_by("starts_at"):
            self._by_scope.setdefault(_scope(price), []).append(price)

    @property
    def moved(self) -> list[Price]:
        return list(self._moved.values())

    def enter(self, price: Price) -> Refusal | None:
        """Find the price its place between its neighbours, or say which of them is in the way."""
        refusal = self.find_overlap(price)
        if refusal is not None:
            return refusal
        others = self._by_scope.setdefault(_scope(price), [])
        if _is_of_the_line(price):
            self._enter_line(price, others)
        others.append(price)
        return None

    def find_overlap(self, price: Price) -> Refusal | None:
        """Which approved price is in the way of this one, if any: a special one of a special one's period, another
        regular one of a regular one's, unless both are of the line in which one ends the other."""
        for other in self._by_scope.get(_scope(price), ()):
            if other.ends_at is not None and other.ends_at <= price.starts_at:
                continue
            if _is_of_the_line(price):
                is_in_the_way = not _is_of_the_line(other) or other.starts_at == price.starts_at
            else:
                is_in_the_way = price.ends_at is None or price.ends_at > other.starts_at
            if is_in_the_way:
                return _overlaps(other)
        return None

    def of_scope(self, price: Price) -> list[Price]:
        """The approved prices of its scope, kind and currency, soonest first."""
        return list(self._by_scope.get(_scope(price), ()))

    def _enter_line(self, price: Price, others: list[Price]) -> None:
        """A regular price without an end: from its start to the next one's."""
        before = [
            other for other in others if other.starts_at < price.starts_at and not _is_over(other, price)
        ]
        after = [other for other in others if other.starts_at > price.starts_at]
        for other in before:
            self._move(other, price.starts_at, price.pk)
        if after:
            following = min(after, key=lambda other: other.starts_at)
            price.ends_at, price.succeeded_by_id = following.starts_at, following.pk

    def leave(self, price: Price) -> None:
        """Take a price that has not begun out of its line: what it followed goes on until what follows it."""
        others = self._by_scope.get(_scope(price), [])
        known = next((other for other in others if other.pk == price.pk), price)
        for other in others:
            if other.succeeded_by_id == price.pk:
                self._move(other, known.ends_at, known.succeeded_by_id)
        others[:] = [other for other in others if other.pk != price.pk]

    def end(self, price: Price) -> None:
        """A price that is in force ends now."""
        others = self._by_scope.get(_scope(price), [])
        self._move(next((other for other in others if other.pk == price.pk), price), self._at, None)

    def _move(self, price: Price, ends_at: datetime | None, succeeded_by_id: int | None) -> None:
        price.ends_at, price.succeeded_by_id = ends_at, succeeded_by_id
        if price.state == PriceState.APPROVED:
            self._moved[price.pk] = price


def _is_of_the_line(price: Price) -> bool:
    """A regular price that ends when the next one starts."""
    is_open = price.ends_at is None or price.succeeded_by_id is not None
    return price.kind == Price.Kind.REGULAR and is_open


def _is_over(price: Price, later: Price) -> bool:
    return price.ends_at is not None and price.ends_at <= later.starts_at


def _scope(price: Price) -> Scope:
    return price.sku_id, price.shop_id, price.channel, price.currency, price.kind


def _overlaps(other: Price) -> Refusal:
    return "overlaps", _(
        "It overlaps with price #%(id)s of %(amount)s, from %(start)s to %(end)s: take that back first."
    ) % {
        "id": other.pk,
        "amount": Money(other.amount, other.currency).text(),
        "start": moment_text(other.starts_at),
        "end": moment_text(other.ends_at),
    }

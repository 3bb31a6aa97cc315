"""Approve, reject and withdraw prices: the only place where a price comes into force or leaves it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from omni.kernel.audit import record_acts
from omni.kernel.display import Money
from omni.kernel.errors import BadInput
from omni.kernel.sql import execute
from products.models import Price
from products.prices.change import mark_price_changes
from products.prices.floors import Floor, floors_above
from products.prices.lock import lock_prices
from products.prices.outcome import (
    PriceOutcome,
    Refusal,
    below_floor,
    moment_text,
    no_such_price,
    refused,
    wrong_state,
)
from products.prices.states import NEXT, PriceState

# Ends are drawn in before prices are approved, and prices withdrawn before ends are put off: at no moment do two
# approved prices of one scope overlap, which the exclusion constraint would refuse.
MOVE_ENDS = """
    UPDATE products_price p SET ends_at = v.ends_at, succeeded_by_id = v.succeeded_by
    FROM unnest(%s::bigint[], %s::timestamptz[], %s::bigint[]) AS v(id, ends_at, succeeded_by) WHERE p.id = v.id
"""
APPROVE = """
    UPDATE products_price p
    SET state = 'approved', starts_at = v.starts_at, ends_at = v.ends_at, succeeded_by_id = v.succeeded_by,
        decided_by = %s, decided_at = %s, decision = %s
    FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::bigint[])
        AS v(id, starts_at, ends_at, succeeded_by)
    WHERE p.id = v.id
"""
DECIDE = (
    "UPDATE products_price SET state = %s, decided_by = %s, decided_at = %s, decision = %s WHERE id = ANY(%s)"
)

Scope = tuple[int, int | None, str, str, str]


class ReasonMissing(BadInput):
    """Refusing or taking back what somebody asked for needs a word why."""

    code = "reason_missing"


@transaction.atomic
def approve_prices(
    *, price_ids: Sequence[int], reason: str = "", may_approve_own: bool, at: datetime, by: str
) -> list[PriceOutcome]:
    """Approve submitted prices. One outcome per id, in the order given; one that is refused leaves the others alone.

    Nothing is approved for the past: a price whose start has passed starts now. A regular price ends the one that is
    in force when it starts, and is ended by the next one that is approved already; two that overlap otherwise are
    refused, and so is a price below the floor at any moment of its period. `may_approve_own`: whether this actor may
    approve what they asked for themselves.
    """
    prices = lock_prices(price_ids)
    sku_ids = [price.sku_id for price in prices.values()]
    floors = floors_above(price_ids=list(prices), sku_ids=sku_ids, at=at)
    plan = _Timetable(sku_ids, at)
    results: dict[int, PriceOutcome] = {}
    for price in sorted(prices.values(), key=lambda one: (one.starts_at, one.pk)):
        refusal = _refusal(price, floors.get(price.pk), may_approve_own, at, by)
        if refusal is None:
            price.starts_at = max(price.starts_at, at)
            refusal = plan.enter(price)
        results[price.pk] = refused(price.pk, refusal) if refusal else PriceOutcome(price.pk, ok=True)
    approved = [prices[ident] for ident, outcome in results.items() if outcome.ok]
    _move_ends(plan.moved)
    execute(
        APPROVE,
        [
            by,
            at,
            reason[:200],
            [price.pk for price in approved],
            [price.starts_at for price in approved],
            [price.ends_at for price in approved],
            [price.succeeded_by_id for price in approved],
        ],
    )
    _mark(approved, at)
    idents = [price.pk for price in approved]
    record_acts(by=by, action="price.approved", kind=Price, object_ids=idents, reason=reason, at=at)
    return [results.get(ident) or no_such_price(ident) for ident in price_ids]


@transaction.atomic
def reject_prices(*, price_ids: Sequence[int], reason: str, at: datetime, by: str) -> list[PriceOutcome]:
    """Refuse submitted prices, with the reason that whoever asked will read. One outcome per id.

    Raises ReasonMissing.
    """
    _check_reason(reason)
    prices = lock_prices(price_ids)
    outcomes: list[PriceOutcome] = []
    for ident in price_ids:
        price = prices.get(ident)
        if price is None:
            outcomes.append(no_such_price(ident))
        elif PriceState.REJECTED not in NEXT[PriceState(price.state)]:
            outcomes.append(wrong_state(price))
        else:
            outcomes.append(PriceOutcome(ident, ok=True))
    rejected = [ident for ident, outcome in zip(price_ids, outcomes, strict=True) if outcome.ok]
    execute(DECIDE, [str(PriceState.REJECTED), by, at, reason[:200], rejected])
    record_acts(by=by, action="price.rejected", kind=Price, object_ids=rejected, reason=reason, at=at)
    return outcomes


@transaction.atomic
def withdraw_prices(*, price_ids: Sequence[int], reason: str, at: datetime, by: str) -> list[PriceOutcome]:
    """Take prices back. One outcome per id, in the order given. Raises ReasonMissing.

    What has not begun is withdrawn, and a regular price that it would have ended goes on. What is in force ends now,
    and stays known as the price that it was. What is over cannot be taken back.
    """
    _check_reason(reason)
    prices = lock_prices(price_ids)
    plan = _Timetable([price.sku_id for price in prices.values()], at)
    results: dict[int, PriceOutcome] = {}
    withdrawn, ended = [], []
    for price in prices.values():
        if PriceState.WITHDRAWN not in NEXT[PriceState(price.state)]:
            results[price.pk] = wrong_state(price)
            continue
        if price.state != PriceState.APPROVED or price.starts_at > at:
            if price.state == PriceState.APPROVED:
                plan.leave(price)
            withdrawn.append(price.pk)
        elif price.ends_at is not None and price.ends_at <= at:
            results[price.pk] = refused(price.pk, ("is_over", _("It is over already.")))
            continue
        elif price.starts_at == at:
            # Approved and taken back within one moment: it never was the price, and a period of no length is none.
            plan.leave(price)
            withdrawn.append(price.pk)
        else:
            plan.end(price)
            ended.append(price.pk)
        results[price.pk] = PriceOutcome(price.pk, ok=True)
    execute(DECIDE, [str(PriceState.WITHDRAWN), by, at, reason[:200], withdrawn])
    _move_ends([price for price in plan.moved if price.pk not in withdrawn])
    changed = [prices[ident] for ident in (*withdrawn, *ended) if prices[ident].decided_at]
    mark_price_changes(moments=[(price.sku_id, at) for price in changed], at=at)
    _mark(plan.moved, at)
    record_acts(by=by, action="price.withdrawn", kind=Price, object_ids=withdrawn, reason=reason, at=at)
    record_acts(by=by, action="price.ended", kind=Price, object_ids=ended, reason=reason, at=at)
    return [results.get(ident) or no_such_price(ident) for ident in price_ids]


class _Timetable:
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
        others = self._by_scope.setdefault(_scope(price), [])
        if price.kind == Price.Kind.REGULAR and price.ends_at is None:
            return self._enter_line(price, others)
        for other in others:
            is_before = price.ends_at is not None and price.ends_at <= other.starts_at
            if not is_before and (other.ends_at is None or other.ends_at > price.starts_at):
                return _overlaps(other)
        others.append(price)
        return None

    def _enter_line(self, price: Price, others: list[Price]) -> Refusal | None:
        """A regular price without an end: from its start to the next one's."""
        before = after = None
        for other in others:
            is_open = other.ends_at is None or other.succeeded_by_id is not None
            if other.starts_at < price.starts_at:
                if other.ends_at is None or other.ends_at > price.starts_at:
                    if not is_open:
                        return _overlaps(other)
                    before = other
            elif other.starts_at == price.starts_at or not is_open:
                return _overlaps(other)
            elif after is None or other.starts_at < after.starts_at:
                after = other
        if before is not None:
            self._move(before, price.starts_at, price.pk)
        if after is not None:
            price.ends_at, price.succeeded_by_id = after.starts_at, after.pk
        others.append(price)
        return None

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


def _scope(price: Price) -> Scope:
    return price.sku_id, price.shop_id, price.channel, price.currency, price.kind


def _refusal(
    price: Price, floor: Floor | None, may_approve_own: bool, at: datetime, by: str
) -> Refusal | None:
    if PriceState.APPROVED not in NEXT[PriceState(price.state)]:
        outcome = wrong_state(price)
        return outcome.code, outcome.detail
    if price.requested_by == by and not may_approve_own:
        return "own_price", _("Whoever asked for a price does not approve it: somebody else must.")
    if price.ends_at is not None and price.ends_at <= at:
        return "is_over", _("It would have ended already.")
    if floor is not None:
        outcome = below_floor(price.pk, floor.amount, floor.currency, floor.since)
        return outcome.code, outcome.detail
    return None


def _overlaps(other: Price) -> Refusal:
    return "overlaps", _(
        "It overlaps with price #%(id)s of %(amount)s, from %(start)s to %(end)s: take that back first."
    ) % {
        "id": other.pk,
        "amount": Money(other.amount, other.currency).text(),
        "start": moment_text(other.starts_at),
        "end": moment_text(other.ends_at),
    }


def _move_ends(prices: Sequence[Price]) -> None:
    execute(
        MOVE_ENDS,
        [
            [price.pk for price in prices],
            [price.ends_at for price in prices],
            [price.succeeded_by_id for price in prices],
        ],
    )


def _mark(prices: Sequence[Price], at: datetime) -> None:
    """The planner looks when each of them starts and ends."""
    moments = [(price.sku_id, price.starts_at) for price in prices]
    moments += [(price.sku_id, price.ends_at) for price in prices if price.ends_at is not None]
    mark_price_changes(moments=moments, at=at)


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise ReasonMissing(_("Say why."), fields={"reason": [_("Say why.")]})

"""Approve, reject and withdraw prices: the only place where a price comes into force or leaves it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from omni.kernel.audit import record_acts
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
    no_such_price,
    refused,
    wrong_state,
)
from products.prices.states import NEXT, PriceState
from products.prices.timetable import Timetable

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
    plan = Timetable(sku_ids, at)
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
    plan = Timetable([price.sku_id for price in prices.values()], at)
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

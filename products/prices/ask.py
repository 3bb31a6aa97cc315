"""Ask for prices: drafts, and their submission to whoever approves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from omni.kernel.audit import record_acts
from omni.kernel.sql import Load, execute, fetch_all, load_rows
from products.models import Price
from products.prices.faults import Currencies, PriceDraft, find_fault
from products.prices.floors import floors_above
from products.prices.lock import lock_prices
from products.prices.outcome import PriceOutcome, below_floor, no_such_price, refused, wrong_state
from products.prices.states import NEXT, PriceState

NEXT_IDS = "SELECT nextval(pg_get_serial_sequence('products_price', 'id')) FROM generate_series(1, %s)"
COLUMNS = {
    "id": "int8",
    "sku_id": "int8",
    "shop_id": "int8",
    "channel": "text",
    "kind": "text",
    "amount": "numeric",
    "currency": "text",
    "starts_at": "timestamptz",
    "ends_at": "timestamptz",
    "state": "text",
    "reason": "text",
    "requested_by": "text",
    "requested_at": "timestamptz",
}
SUBMIT = (
    "UPDATE products_price SET state = 'submitted', requested_by = %s, requested_at = %s WHERE id = ANY(%s)"
)


@transaction.atomic
def draft_prices(*, drafts: Sequence[PriceDraft], reason: str, at: datetime, by: str) -> list[PriceOutcome]:
    """Write drafts down. One outcome per draft, in the order given; a bad one is refused alone and leaves nothing."""
    currencies = Currencies(drafts)
    refusals = [find_fault(draft, currencies, at) for draft in drafts]
    ids = iter(fetch_all(NEXT_IDS, [refusals.count(None)]))
    outcomes, rows = [], []
    for draft, refusal in zip(drafts, refusals, strict=True):
        if refusal is not None:
            outcomes.append(refused(None, refusal))
            continue
        (ident,) = next(ids)
        outcomes.append(PriceOutcome(ident, ok=True))
        rows.append(
            (
                ident,
                draft.sku_id,
                draft.shop_id,
                draft.channel,
                str(draft.kind),
                draft.amount,
                currencies.of(draft),
                draft.starts_at,
                draft.ends_at,
                str(PriceState.DRAFT),
                reason[:200],
                by,
                at,
            )
        )
    load_rows(Load("products_price", COLUMNS, rows))
    return outcomes


@transaction.atomic
def submit_prices(*, price_ids: Sequence[int], at: datetime, by: str) -> list[PriceOutcome]:
    """Ask for the approval of drafts. One outcome per id, in the order given.

    A price below the floor that holds at any moment of its period is refused.
    """
    prices = lock_prices(price_ids)
    floors = floors_above(price_ids=list(prices), sku_ids=[price.sku_id for price in prices.values()], at=at)
    outcomes, taken = [], []
    for ident in price_ids:
        price = prices.get(ident)
        if price is None:
            outcomes.append(no_such_price(ident))
        elif PriceState.SUBMITTED not in NEXT[PriceState(price.state)] or ident in taken:
            outcomes.append(wrong_state(price))
        elif price.ends_at is not None and price.ends_at <= at:
            outcomes.append(refused(ident, ("is_over", _("It would have ended already."))))
        elif floor := floors.get(ident):
            outcomes.append(below_floor(ident, floor.amount, floor.currency, floor.since))
        else:
            outcomes.append(PriceOutcome(ident, ok=True))
            taken.append(ident)
    execute(SUBMIT, [by, at, taken])
    record_acts(by=by, action="price.submitted", kind=Price, object_ids=taken, at=at)
    return outcomes


@transaction.atomic
def ask_for_prices(*, drafts: Sequence[PriceDraft], reason: str, at: datetime, by: str) -> list[PriceOutcome]:
    """Write drafts down and submit them at once. What cannot be submitted stays as a draft, with the reason here."""
    drafted = draft_prices(drafts=drafts, reason=reason, at=at, by=by)
    idents = [outcome.price_id for outcome in drafted if outcome.price_id is not None]
    submitted = {outcome.price_id: outcome for outcome in submit_prices(price_ids=idents, at=at, by=by)}
    return [submitted.get(outcome.price_id, outcome) for outcome in drafted]

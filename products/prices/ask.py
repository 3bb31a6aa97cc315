"""Ask for prices: drafts, and their submission to whoever approves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.utils.translation import gettext as _

from omni.kernel.audit import record_acts
from omni.kernel.money import round_money, smallest_unit
from omni.kernel.sql import Load, execute, fetch_all, load_rows
from products.models import Price, Shop, Sku
from products.prices.floors import floors_above
from products.prices.lock import lock_prices
from products.prices.outcome import PriceOutcome, Refusal, below_floor, no_such_price, refused, wrong_state
from products.prices.states import NEXT, PriceState

AMOUNT_MAX = Decimal(10) ** 12
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


@dataclass(frozen=True, slots=True)
class PriceDraft:
    """What is asked for. `shop_id` and `channel` empty: everywhere. `currency` empty: the shop's, else the SKU's.

    A special price needs its end; a regular one without an end is in force until the next.
    """

    sku_id: int
    amount: Decimal
    starts_at: datetime
    ends_at: datetime | None = None
    shop_id: int | None = None
    channel: str = ""
    kind: str = Price.Kind.REGULAR
    currency: str = ""


@transaction.atomic
def draft_prices(*, drafts: Sequence[PriceDraft], reason: str, at: datetime, by: str) -> list[PriceOutcome]:
    """Write drafts down. One outcome per draft, in the order given; a bad one is refused alone and leaves nothing."""
    skus = dict(Sku.objects.filter(pk__in={draft.sku_id for draft in drafts}).values_list("pk", "currency"))
    shops = dict(
        Shop.objects.filter(pk__in={draft.shop_id for draft in drafts}).values_list("pk", "currency")
    )
    refusals = [_refusal(draft, skus, shops, at) for draft in drafts]
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
                _currency(draft, skus, shops),
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


def _currency(draft: PriceDraft, skus: dict[int, str], shops: dict[int, str]) -> str:
    if draft.currency:
        return draft.currency
    return skus[draft.sku_id] if draft.shop_id is None else shops[draft.shop_id]


def _refusal(draft: PriceDraft, skus: dict[int, str], shops: dict[int, str], at: datetime) -> Refusal | None:
    if draft.sku_id not in skus:
        return "unknown_sku", _("There is no such SKU.")
    if draft.shop_id is not None and draft.shop_id not in shops:
        return "unknown_shop", _("There is no such shop.")
    if draft.shop_id is not None and draft.channel:
        return "two_scopes", _("A price is for a shop or for a channel, not for both.")
    currency = _currency(draft, skus, shops)
    if draft.shop_id is not None and currency != shops[draft.shop_id]:
        return "wrong_currency", _("The shop sells in %(currency)s.") % {"currency": shops[draft.shop_id]}
    if not 0 < draft.amount < AMOUNT_MAX:
        return "bad_amount", _("A price is above zero.")
    if draft.amount != round_money(draft.amount, unit=smallest_unit(currency)):
        return "bad_amount", _("The smallest amount in %(currency)s is %(unit)s.") % {
            "currency": currency,
            "unit": smallest_unit(currency),
        }
    return _refusal_of_period(draft, at)


def _refusal_of_period(draft: PriceDraft, at: datetime) -> Refusal | None:
    if draft.ends_at is None:
        if draft.kind == Price.Kind.SPECIAL:
            return "no_end", _("A special price has an end.")
        return None
    if draft.ends_at <= draft.starts_at:
        return "ends_before_start", _("It would end before it starts.")
    if draft.ends_at <= at:
        return "is_over", _("It would have ended already.")
    return None

"""What is wrong with prices that somebody wants to ask for, before they are written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.utils.translation import gettext as _

from omni.kernel.money import round_money, smallest_unit
from products.models import Price, Shop, Sku
from products.prices.floors import floors_above_drafts
from products.prices.outcome import Refusal, below_floor
from products.prices.timetable import Timetable

AMOUNT_MAX = Decimal(10) ** 12


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


class Currencies:
    """In which currency the SKUs and the shops of some drafts count, and which channels there are. Two statements,
    three where a draft names a channel.
    """

    def __init__(self, drafts: Sequence[PriceDraft]) -> None:
        skus = Sku.objects.filter(pk__in={draft.sku_id for draft in drafts})
        shops = Shop.objects.filter(pk__in={draft.shop_id for draft in drafts})
        self.of_skus = dict(skus.values_list("pk", "currency"))
        self.of_shops = dict(shops.values_list("pk", "currency"))
        named = {draft.channel for draft in drafts if draft.channel}
        known = Shop.objects.filter(channel__in=named).values_list("channel", flat=True).distinct()
        self.channels = frozenset(known if named else ())

    def of(self, draft: PriceDraft) -> str:
        if draft.currency:
            return draft.currency
        return self.of_skus[draft.sku_id] if draft.shop_id is None else self.of_shops[draft.shop_id]


def foresee_refusals(*, drafts: Sequence[PriceDraft], at: datetime) -> list[Refusal | None]:
    """Why each of these could not be written down, submitted or approved as things stand; None: it could.

    In the order given. What they would do to one another is not looked at: the first that is approved has its period.
    """
    currencies = Currencies(drafts)
    refusals = [find_fault(draft, currencies, at) for draft in drafts]
    sound = [place for place, refusal in enumerate(refusals) if refusal is None]
    floors = floors_above_drafts(
        wanted=[
            (
                place,
                drafts[place].sku_id,
                currencies.of(drafts[place]),
                drafts[place].amount,
                *_period(drafts[place], at),
            )
            for place in sound
        ],
        at=at,
    )
    approved = Timetable({drafts[place].sku_id for place in sound}, at)
    for place in sound:
        floor = floors.get(place)
        if floor is not None:
            told = below_floor(0, floor.amount, floor.currency, floor.since)
            refusals[place] = told.code, told.detail
        else:
            refusals[place] = approved.find_overlap(as_price(drafts[place], currencies, at))
    return refusals


def as_price(draft: PriceDraft, currencies: Currencies, at: datetime) -> Price:
    """The price that it would be, were it approved now; not saved."""
    starts_at, ends_at = _period(draft, at)
    return Price(
        sku_id=draft.sku_id,
        shop_id=draft.shop_id,
        channel=draft.channel,
        kind=draft.kind,
        amount=draft.amount,
        currency=currencies.of(draft),
        starts_at=starts_at,
        ends_at=ends_at,
    )


def _period(draft: PriceDraft, at: datetime) -> tuple[datetime, datetime | None]:
    return max(draft.starts_at, at), draft.ends_at


def find_fault(draft: PriceDraft, currencies: Currencies, at: datetime) -> Refusal | None:
    """Why it cannot even be written down; None: it can."""
    skus, shops = currencies.of_skus, currencies.of_shops
    if draft.sku_id not in skus:
        return "unknown_sku", _("There is no such SKU.")
    if draft.shop_id is not None and draft.shop_id not in shops:
        return "unknown_shop", _("There is no such shop.")
    if draft.shop_id is not None and draft.channel:
        return "two_scopes", _("A price is for a shop or for a channel, not for both.")
    if draft.channel and draft.channel not in currencies.channels:
        return "unknown_channel", _("No shop is of the channel %s.") % draft.channel
    currency = currencies.of(draft)
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

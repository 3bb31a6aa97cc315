"""What became of one price of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from omni.kernel.display import Money
from products.models import Price
from products.prices.states import PriceState

# A word for machines, and a sentence for people that says what to do about it.
Refusal = tuple[str, str]


@dataclass(frozen=True, slots=True)
class PriceOutcome:
    """Done, or refused with a `code` for machines and a `detail` for people. Of a draft that was refused there is no
    price."""

    price_id: int | None
    ok: bool
    code: str = ""
    detail: str = ""


def refused(price_id: int | None, refusal: Refusal) -> PriceOutcome:
    code, detail = refusal
    return PriceOutcome(price_id, ok=False, code=code, detail=detail)


def no_such_price(price_id: int) -> PriceOutcome:
    return refused(price_id, ("not_found", _("There is no such price.")))


def wrong_state(price: Price) -> PriceOutcome:
    text = _("It is %(state)s.") % {"state": PriceState(price.state).label}
    return refused(price.pk, ("wrong_state", text))


def below_floor(price_id: int, floor: Decimal, currency: str, since: datetime) -> PriceOutcome:
    text = _("It lies below the floor price of %(floor)s (since %(since)s).") % {
        "floor": Money(floor, currency).text(),
        "since": moment_text(since),
    }
    return refused(price_id, ("below_floor", text))


def moment_text(moment: datetime | None) -> str:
    """In the reader's zone, to the minute; `…` without an end."""
    return localtime(moment).strftime("%Y-%m-%d %H:%M") if moment else "…"

"""What begins and ends in the days to come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from products.models import Price
from products.prices.states import PriceState

STEPS_MAX = 500


@dataclass(frozen=True, slots=True)
class Step:
    """An approved price begins, or ends without another one that follows it."""

    at: datetime
    price: Price
    is_start: bool


def steps_between(*, prices: QuerySet[Price], start: datetime, end: datetime) -> list[Step]:
    """The steps of these prices in [start, end), soonest first, at most STEPS_MAX of each kind.

    Two statements, answered by price_calendar and price_calendar_ends.
    """
    approved = prices.filter(state=PriceState.APPROVED).select_related("sku", "shop")
    starts = approved.filter(starts_at__gte=start, starts_at__lt=end).order_by("starts_at", "pk")
    ends = approved.filter(ends_at__gte=start, ends_at__lt=end, succeeded_by=None).order_by("ends_at", "pk")
    steps = [Step(price.starts_at, price, True) for price in starts[:STEPS_MAX]]
    steps += [Step(price.ends_at, price, False) for price in ends[:STEPS_MAX] if price.ends_at]
    return sorted(steps, key=lambda step: (step.at, not step.is_start, step.price.pk))

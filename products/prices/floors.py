"""Which prices lie below the floor of their SKU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from omni.kernel.sql import fetch_all

# Each floor with the moment at which the next one takes its place.
PERIODS = """
    SELECT f.sku_id, f.currency, f.amount, f.since,
           lead(f.since) OVER (PARTITION BY f.sku_id, f.currency ORDER BY f.since) AS until
    FROM products_floorprice f WHERE f.sku_id = ANY(%(skus)s::bigint[])
"""
# The highest floor within the period of each price, where the price is below it. Nothing is asked of the past.
BELOW = f"""
    SELECT DISTINCT ON (p.id) p.id, f.amount, f.currency, f.since
    FROM products_price p
    JOIN ({PERIODS}) f ON f.sku_id = p.sku_id AND f.currency = p.currency
    WHERE p.id = ANY(%(prices)s::bigint[]) AND p.amount < f.amount
      AND f.since < coalesce(p.ends_at, 'infinity')
      AND coalesce(f.until, 'infinity') > greatest(p.starts_at, %(at)s)
    ORDER BY p.id, f.amount DESC, f.since
"""  # noqa: S608 - put together from constants
# The same of prices that are not written down yet.
BELOW_DRAFTS = f"""
    SELECT DISTINCT ON (v.place) v.place, f.amount, f.currency, f.since
    FROM unnest(%(places)s::int[], %(skus)s::bigint[], %(currencies)s::text[], %(amounts)s::numeric[],
                %(starts)s::timestamptz[], %(ends)s::timestamptz[])
        AS v(place, sku_id, currency, amount, starts_at, ends_at)
    JOIN ({PERIODS}) f ON f.sku_id = v.sku_id AND f.currency = v.currency
    WHERE v.amount < f.amount AND f.since < coalesce(v.ends_at, 'infinity')
      AND coalesce(f.until, 'infinity') > greatest(v.starts_at, %(at)s)
    ORDER BY v.place, f.amount DESC, f.since
"""  # noqa: S608 - put together from constants
# Plan: price_in_force, then the floors of those SKUs.
APPROVED_BELOW = """
    SELECT p.id, k.code, p.amount, p.currency, f.amount, f.since, p.starts_at, p.ends_at
    FROM products_price p
    JOIN products_sku k ON k.id = p.sku_id
    JOIN LATERAL (
        SELECT f.amount, f.since FROM products_floorprice f
        WHERE f.sku_id = p.sku_id AND f.currency = p.currency AND f.amount > p.amount
          AND f.since < coalesce(p.ends_at, 'infinity')
          AND NOT EXISTS (
              SELECT FROM products_floorprice later
              WHERE later.sku_id = f.sku_id AND later.currency = f.currency AND later.since > f.since
                AND later.since <= greatest(p.starts_at, %(at)s))
        ORDER BY f.since LIMIT 1
    ) f ON true
    WHERE p.state = 'approved' AND (p.ends_at IS NULL OR p.ends_at > %(at)s)
      AND (%(skus)s::bigint[] IS NULL OR p.sku_id = ANY(%(skus)s::bigint[]))
    ORDER BY p.starts_at, p.id LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Floor:
    amount: Decimal
    currency: str
    since: datetime


@dataclass(frozen=True, slots=True)
class BelowFloor:
    """An approved price that is not in force, or will not be, because a floor came to lie above it."""

    price_id: int
    sku_code: str
    amount: Decimal
    currency: str
    floor: Decimal
    floor_since: datetime
    starts_at: datetime
    ends_at: datetime | None


def floors_above(*, price_ids: Sequence[int], sku_ids: Sequence[int], at: datetime) -> dict[int, Floor]:
    """The floor by which each of these prices is too low at some moment of its period, from `at` on.

    Prices that no floor stands above are left out. `sku_ids`: the SKUs of the prices.
    """
    rows = fetch_all(BELOW, {"prices": list(price_ids), "skus": list(sku_ids), "at": at})
    return {price_id: Floor(amount, currency, since) for price_id, amount, currency, since in rows}


# Place, SKU, currency, amount, start and end.
Wanted = tuple[int, int, str, Decimal, datetime, datetime | None]


def floors_above_drafts(*, wanted: Sequence[Wanted], at: datetime) -> dict[int, Floor]:
    """As `floors_above`, by place, for prices that are not written down yet."""
    if not wanted:
        return {}
    places, skus, currencies, amounts, starts, ends = (list(column) for column in zip(*wanted, strict=True))
    rows = fetch_all(
        BELOW_DRAFTS,
        {
            "places": places,
            "skus": skus,
            "currencies": currencies,
            "amounts": amounts,
            "starts": starts,
            "ends": ends,
            "at": at,
        },
    )
    return {place: Floor(amount, currency, since) for place, amount, currency, since in rows}


def approved_below_floor(
    *, at: datetime, sku_ids: Sequence[int] | None = None, limit: int = 1000
) -> list[BelowFloor]:
    """What was approved and does not hold any more, or will not, because the floor was raised afterwards."""
    skus = None if sku_ids is None else list(sku_ids)
    return [BelowFloor(*row) for row in fetch_all(APPROVED_BELOW, {"at": at, "skus": skus, "limit": limit})]

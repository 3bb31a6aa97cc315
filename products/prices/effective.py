"""What things cost at a moment, for many shops and SKUs at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from omni.kernel.sql import fetch_all

# The floor of a SKU in a currency at a moment, 0 without one. Plan: one look into one_floor_begins_at_a_moment.
FLOOR = """
    coalesce((SELECT f.amount FROM products_floorprice f
              WHERE f.sku_id = {sku} AND f.currency = {currency} AND f.since <= %(at)s
              ORDER BY f.since DESC LIMIT 1), 0)
"""
# What is approved and in force at %(at)s for %(skus)s (NULL: all), and not below the floor: a floor holds from its
# moment on, whatever was approved before. Plan: price_in_force.
IN_FORCE = f"""
    SELECT p.id, p.sku_id, p.shop_id, p.channel, p.currency, p.amount, p.kind
    FROM products_price p
    WHERE p.state = 'approved' AND p.starts_at <= %(at)s AND (p.ends_at IS NULL OR p.ends_at > %(at)s)
      AND (%(skus)s::bigint[] IS NULL OR p.sku_id = ANY(%(skus)s::bigint[]))
      AND p.amount >= {FLOOR.format(sku="p.sku_id", currency="p.currency")}
"""  # noqa: S608 - put together from constants
# A price `c` that concerns shop `s` and SKU `k`.
CONCERNS = """
    c.sku_id = k.id AND c.currency = s.currency
    AND (c.shop_id = s.id OR (c.shop_id IS NULL AND c.channel IN ('', s.channel)))
"""
# The most specific wins: shop, channel, everywhere; of one scope the special price.
RANK = "(c.shop_id IS NOT NULL) DESC, (c.channel <> '') DESC, (c.kind = 'special') DESC"
# The list price stands behind all, where it is in the shop's money and not below the floor.
AMOUNT = f"""
    coalesce(c.amount, CASE WHEN k.currency = s.currency
        AND k.list_price >= {FLOOR.format(sku="k.id", currency="s.currency")} THEN k.list_price END)
"""

EFFECTIVE = f"""
    WITH in_force AS MATERIALIZED ({IN_FORCE})
    SELECT DISTINCT ON (s.id, k.id) s.id, k.id, {AMOUNT}, s.currency, c.id
    FROM products_shop s
    CROSS JOIN products_sku k
    LEFT JOIN in_force c ON {CONCERNS}
    WHERE s.id = ANY(%(shops)s::bigint[]) AND k.id = ANY(%(skus)s::bigint[])
    ORDER BY s.id, k.id, {RANK}
"""  # noqa: S608 - put together from constants

# For each (shop, SKU) the price of a moment of its own. Plan: one look into price_in_force a row.
AT_MOMENTS = f"""
    SELECT {AMOUNT}, s.currency, c.id
    FROM unnest(%(shops)s::bigint[], %(skus)s::bigint[], %(moments)s::timestamptz[])
        WITH ORDINALITY AS w(shop_id, sku_id, moment, place)
    JOIN products_shop s ON s.id = w.shop_id
    JOIN products_sku k ON k.id = w.sku_id
    LEFT JOIN LATERAL (
        SELECT c.id, c.amount FROM products_price c
        WHERE {CONCERNS} AND c.state = 'approved' AND c.starts_at <= w.moment
          AND (c.ends_at IS NULL OR c.ends_at > w.moment)
          AND c.amount >= {FLOOR.format(sku="k.id", currency="s.currency")}
        ORDER BY {RANK} LIMIT 1
    ) c ON true
    ORDER BY w.place
""".replace("%(at)s", "w.moment")  # noqa: S608 - put together from constants


@dataclass(frozen=True, slots=True)
class EffectivePrice:
    """`amount` None: there is none, neither approved nor as list price. `price_id` None: it is the list price."""

    amount: Decimal | None
    currency: str
    price_id: int | None


def effective_prices(
    *, shop_ids: Sequence[int], sku_ids: Sequence[int], at: datetime
) -> dict[tuple[int, int], EffectivePrice]:
    """The price of every SKU in every shop at a moment, in one statement, by (shop, SKU)."""
    rows = fetch_all(EFFECTIVE, {"shops": list(shop_ids), "skus": list(sku_ids), "at": at})
    return {
        (shop_id, sku_id): EffectivePrice(amount, currency, price_id)
        for shop_id, sku_id, amount, currency, price_id in rows
    }


def prices_at(*, asked: Sequence[tuple[int, int, datetime]]) -> list[EffectivePrice]:
    """The same for (shop id, SKU id, moment), each at its own moment, in the order given. All of them must exist."""
    params = {
        "shops": [shop_id for shop_id, _sku_id, _moment in asked],
        "skus": [sku_id for _shop_id, sku_id, _moment in asked],
        "moments": [moment for _shop_id, _sku_id, moment in asked],
    }
    return [EffectivePrice(*row) for row in fetch_all(AT_MOMENTS, params)]

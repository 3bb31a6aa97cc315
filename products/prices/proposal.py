"""What a change by percent or by amount would make of the regular prices of many SKUs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from omni.kernel.money import ZERO, round_money, smallest_unit
from omni.kernel.sql import fetch_all
from products.models import Price, Shop
from products.prices.effective import IN_FORCE

# From the regular price that is in force in the scope, else the list price: a change of a special price would change
# what was changed already.
BASES = f"""
    WITH in_force AS MATERIALIZED ({IN_FORCE} AND p.kind = 'regular')
    SELECT DISTINCT ON (k.id) k.id, k.code, k.name, m.currency,
           coalesce(c.amount, CASE WHEN k.currency = m.currency THEN k.list_price END)
    FROM products_sku k
    CROSS JOIN LATERAL (SELECT coalesce(%(currency)s, k.currency) AS currency) m
    LEFT JOIN in_force c ON c.sku_id = k.id AND c.currency = m.currency
         AND (c.shop_id = %(shop)s OR (c.shop_id IS NULL AND c.channel IN ('', %(channel)s)))
    WHERE k.id = ANY(%(skus)s::bigint[])
    ORDER BY k.id, (c.shop_id IS NOT NULL) DESC, (c.channel <> '') DESC
"""  # noqa: S608 - put together from constants
# The same for prices that are asked for already, each in its own scope.
REGULAR_BEFORE = f"""
    WITH in_force AS MATERIALIZED ({IN_FORCE} AND p.kind = 'regular')
    SELECT DISTINCT ON (w.id) w.id, coalesce(c.amount, CASE WHEN k.currency = w.currency THEN k.list_price END)
    FROM products_price w
    JOIN products_sku k ON k.id = w.sku_id
    LEFT JOIN products_shop s ON s.id = w.shop_id
    LEFT JOIN in_force c ON c.sku_id = w.sku_id AND c.currency = w.currency
         AND (c.shop_id = w.shop_id OR (c.shop_id IS NULL AND c.channel IN ('', coalesce(s.channel, w.channel))))
    WHERE w.id = ANY(%(prices)s::bigint[])
    ORDER BY w.id, (c.shop_id IS NOT NULL) DESC, (c.channel <> '') DESC
"""  # noqa: S608 - put together from constants


class Method(StrEnum):
    PERCENT = "percent"
    DIFFERENCE = "difference"
    AMOUNT = "amount"


@dataclass(frozen=True, slots=True)
class Proposal:
    """`base` None: there is no regular price yet. `amount` None: it cannot be computed."""

    sku_id: int
    sku_code: str
    sku_name: str
    currency: str
    base: Decimal | None
    amount: Decimal | None


def propose_prices(
    *,
    sku_ids: Sequence[int],
    shop: Shop | None,
    channel: str,
    method: Method,
    value: Decimal,
    own_amounts: Mapping[int, Decimal] | None = None,
    at: datetime,
) -> list[Proposal]:
    """New prices for SKUs in a scope, in the order given, in one statement; nothing is written.

    `value`: percent more or less (−10 is a tenth off), an amount more or less, or the new amount of all. `own_amounts`:
    what some SKUs shall cost whatever the method says. Rounded half up to what can be paid; `at`: when it would begin.
    """
    own = own_amounts or {}
    rows = fetch_all(
        BASES,
        {
            "skus": list(sku_ids),
            "shop": shop.pk if shop else None,
            "channel": shop.channel if shop else channel,
            "currency": shop.currency if shop else None,
            "at": at,
        },
    )
    found = {
        sku_id: Proposal(
            sku_id,
            code,
            name,
            currency,
            base,
            own.get(sku_id, _amount(base, method, value, currency)),
        )
        for sku_id, code, name, currency, base in rows
    }
    return [found[sku_id] for sku_id in dict.fromkeys(sku_ids) if sku_id in found]


def regular_prices_now(*, prices: Sequence[Price], at: datetime) -> dict[int, Decimal | None]:
    """What each of these would take the place of: the regular price in force in its scope, else the list price."""
    given = {"prices": [price.pk for price in prices], "skus": [price.sku_id for price in prices], "at": at}
    return dict(fetch_all(REGULAR_BEFORE, given)) if prices else {}


def _amount(base: Decimal | None, method: Method, value: Decimal, currency: str) -> Decimal | None:
    if method == Method.AMOUNT:
        amount = value
    elif base is None:
        return None
    elif method == Method.PERCENT:
        amount = base * (100 + value) / 100
    else:
        amount = base + value
    amount = round_money(amount, unit=smallest_unit(currency))
    return amount if amount > ZERO else None

"""What every shop may sell of every SKU, worked out from nothing and for those that changed, beside bare SQL."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg

from tests.bench.measure import Result, median, spread
from tests.bench.size import Size

SHOPS, DIRTY = 6, 10
# One in so many SKUs has rules of its own, and one in so many is sold so fast that its pool is shown divided.
OWN_RULE, SOLD_FAST = 20, 10

# The same answer where there are neither rules of single SKUs nor shortages, marks, windows, buffers and maxima: every
# shop shows its part of each pool that it draws on, added up.
BARE = """
    SELECT s.shop_id, p.sku_id, sum(floor((p.granted - p.reserved) * s.publish_ratio))::int
    FROM inventory_stockpool p
    JOIN inventory_shoppool s ON s.group_id = p.group_id AND s.kind = p.kind AND s.label = p.label
    WHERE p.kind <> 'safety' AND (%(skus)s::bigint[] IS NULL OR p.sku_id = ANY(%(skus)s::bigint[]))
    GROUP BY s.shop_id, p.sku_id
"""
SUMMED = "SELECT count(*), sum(quantity) FROM ({statement}) answer(shop_id, sku_id, quantity)"
SELL_FAST = """
    INSERT INTO inventory_shopexposure (group_id, sku_id, shop_id, units_per_hour, low_water, part_from, part_to)
    SELECT %s, k.id, s.id, 1000, 2000000, (s.n - 1) / %s::numeric, s.n / %s::numeric
    FROM unnest(%s::bigint[]) k(id), unnest(%s::bigint[]) WITH ORDINALITY s(id, n)
"""


def run(size: Size) -> list[Result]:
    """From nothing and a tenth changed; then the same with rules for single SKUs and pools that are shown divided."""
    from inventory.models import QuotaRule
    from inventory.quota.derive import derive_draws
    from tests.bench.goods import lay_out

    goods = lay_out(skus=size.sellable, shops=SHOPS)
    changed = goods.sku_ids[::DIRTY]
    numbers = f"{len(goods.sku_ids):,} SKUs × {SHOPS} shops"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("ANALYZE")
        results = [
            *_beside_bare(connection, size, f"{numbers}, from nothing", None),
            *_beside_bare(connection, size, f"{len(changed):,} changed SKUs × {SHOPS} shops", changed),
        ]
        QuotaRule.objects.bulk_create(
            QuotaRule(group_id=goods.group_id, shop_id=shop, sku_id=sku, publish_ratio=Decimal("0.5"))
            for shop in goods.shop_ids
            for sku in goods.sku_ids[::OWN_RULE]
        )
        since = time.perf_counter()
        derive_draws(at=datetime.now(UTC))
        derived = time.perf_counter() - since
        fast = goods.sku_ids[::SOLD_FAST]
        connection.execute(SELL_FAST, [goods.group_id, SHOPS, SHOPS, fast, goods.shop_ids])
        connection.execute("ANALYZE")
        with_rules = [_time(connection, _sellable(), None) for _ in range(size.repeats)]
    return [
        *results,
        Result(
            f"{numbers}, one in {OWN_RULE} with rules of its own, one in {SOLD_FAST} shown divided",
            median(with_rules) * 1000,
            "ms",
            spread([seconds * 1000 for seconds in with_rules]),
        ),
        Result(
            f"what shops draw on derived from {len(goods.sku_ids) // OWN_RULE * SHOPS:,} rules",
            derived * 1000,
            "ms",
            spread([derived * 1000]),
        ),
    ]


def _beside_bare(
    connection: psycopg.Connection[Any], size: Size, what: str, skus: Sequence[int] | None
) -> list[Result]:
    statement = _sellable()
    _agree(connection, statement, skus)
    bare = [_time(connection, BARE, skus) for _ in range(size.repeats)]
    ours = [_time(connection, statement, skus) for _ in range(size.repeats)]
    ratio = median(bare) / median(ours)
    return [
        Result(f"bare SQL, {what}", median(bare) * 1000, "ms", spread([b * 1000 for b in bare])),
        Result(
            what,
            median(ours) * 1000,
            "ms",
            spread([seconds * 1000 for seconds in ours]),
            ratio_to_raw=ratio,
            target="ratio ≥ 0.5",
            ok=ratio >= 0.5,
        ),
    ]


def _sellable() -> str:
    from inventory.availability import SELLABLE

    return SELLABLE


def _agree(connection: psycopg.Connection[Any], statement: str, skus: Sequence[int] | None) -> None:
    """Both must say the same, or there is nothing to compare."""
    answers = [_ask(connection, each, skus) for each in (BARE, statement)]
    if answers[0] != answers[1]:
        raise RuntimeError(f"bare SQL says {answers[0]}, Omni {answers[1]}")


def _time(connection: psycopg.Connection[Any], statement: str, skus: Sequence[int] | None) -> float:
    since = time.perf_counter()
    _ask(connection, statement, skus)
    return time.perf_counter() - since


def _ask(connection: psycopg.Connection[Any], statement: str, skus: Sequence[int] | None) -> Any:
    """As the planner of published stock asks: inside the server, in one statement, no rows to the client."""
    params = {"skus": None if skus is None else list(skus), "at": datetime.now(UTC)}
    return connection.execute(SUMMED.format(statement=statement), params, prepare=False).fetchone()

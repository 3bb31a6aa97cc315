"""Work out how shops show a shared pool when it is low, from how fast each of them sells."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction

from inventory.record import mark_changed
from omni.kernel.sql import fetch_all

# A sale at a channel is known here after its orders were pulled, and the channel shows the lower number after it was
# pushed: so long may it sell what is gone. Twice that is kept in view.
LAG = timedelta(minutes=6)
LOOK_BACK = timedelta(days=14)
# A shop that has not sold a SKU yet may still sell the next one.
NO_SALE_UNITS = Decimal("0.5")

# Of the pools with units: a shop's rate is what it was asked for in LOOK_BACK, as if it had sold NO_SALE_UNITS more.
# Fastest first; the parts follow one another from 0 to 1. Pools that one shop alone draws on need none.
COMPUTE = """
    WITH drawing AS (
        SELECT p.group_id, p.sku_id, s.shop_id
        FROM inventory_stockpool p
        JOIN inventory_shoppool s ON s.group_id = p.group_id AND s.kind = 'shared' AND s.publish_ratio > 0 AND (
            s.sku_id = p.sku_id OR s.sku_id IS NULL AND NOT EXISTS (
                SELECT FROM inventory_shoppool own WHERE own.shop_id = s.shop_id AND own.sku_id = p.sku_id))
        JOIN products_listing l ON l.shop_id = s.shop_id AND l.sku_id = p.sku_id AND l.state = 'listed'
        WHERE p.kind = 'shared' AND p.granted > 0
          AND (%(skus)s::bigint[] IS NULL OR p.sku_id = ANY(%(skus)s::bigint[]))
        GROUP BY 1, 2, 3
    ), sold AS (
        SELECT sku_id, shop_id, sum(units) AS units FROM inventory_dailydemand
        WHERE day >= %(since)s AND (%(skus)s::bigint[] IS NULL OR sku_id = ANY(%(skus)s::bigint[]))
        GROUP BY sku_id, shop_id
    ), rates AS (
        SELECT d.*, coalesce(o.units, 0) AS units, coalesce(o.units, 0) + %(unsold)s AS weight,
               sum(coalesce(o.units, 0)) OVER pool AS units_of_all,
               sum(coalesce(o.units, 0) + %(unsold)s) OVER pool AS weight_of_all,
               sum(coalesce(o.units, 0) + %(unsold)s) OVER (
                   PARTITION BY d.group_id, d.sku_id ORDER BY coalesce(o.units, 0) DESC, d.shop_id) AS weight_so_far,
               count(*) OVER pool AS shops
        FROM drawing d LEFT JOIN sold o ON o.sku_id = d.sku_id AND o.shop_id = d.shop_id
        WINDOW pool AS (PARTITION BY d.group_id, d.sku_id)
    ), wanted AS (
        SELECT group_id, sku_id, shop_id, units / %(hours)s AS per_hour,
               ceil(units_of_all / %(hours)s * %(lag_hours)s * 2)::int AS low_water,
               round((weight_so_far - weight) / weight_of_all, 8) AS part_from,
               round(weight_so_far / weight_of_all, 8) AS part_to
        FROM rates WHERE shops > 1 AND units_of_all > 0
    ), gone AS (
        DELETE FROM inventory_shopexposure x
        WHERE (%(skus)s::bigint[] IS NULL OR x.sku_id = ANY(%(skus)s::bigint[])) AND NOT EXISTS (
            SELECT FROM wanted w WHERE w.sku_id = x.sku_id AND w.group_id = x.group_id AND w.shop_id = x.shop_id)
        RETURNING x.sku_id
    ), written AS (
        INSERT INTO inventory_shopexposure AS x
            (group_id, sku_id, shop_id, units_per_hour, low_water, part_from, part_to, computed_at)
        SELECT w.*, %(at)s FROM wanted w
        ON CONFLICT (sku_id, group_id, shop_id) DO UPDATE
        SET units_per_hour = EXCLUDED.units_per_hour, low_water = EXCLUDED.low_water,
            part_from = EXCLUDED.part_from, part_to = EXCLUDED.part_to, computed_at = EXCLUDED.computed_at
        WHERE (x.low_water, x.part_from, x.part_to) IS DISTINCT FROM
              (EXCLUDED.low_water, EXCLUDED.part_from, EXCLUDED.part_to)
        RETURNING x.sku_id
    )
    SELECT sku_id FROM gone UNION SELECT sku_id FROM written
"""


@transaction.atomic
def compute_exposures(*, sku_ids: Collection[int] | None = None, at: datetime) -> int:
    """Set low-water marks and parts anew, of these SKUs or of all; returns of how many SKUs any of them changed.

    Low-water mark of a pool: units sold per hour in all shops × the lag until they stop showing what is sold × 2.
    Source: spec reliability 1.6. Where nothing was sold there is no mark, and every shop shows its ratio.
    """
    rows = fetch_all(
        COMPUTE,
        {
            "skus": None if sku_ids is None else sorted(sku_ids),
            "since": (at - LOOK_BACK).date(),
            "unsold": NO_SALE_UNITS,
            "hours": Decimal(LOOK_BACK // timedelta(hours=1)),
            "lag_hours": Decimal(LAG // timedelta(seconds=1)) / 3600,
            "at": at,
        },
    )
    mark_changed(row[0] for row in rows)
    return len(rows)

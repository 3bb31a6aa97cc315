"""What was asked of each SKU in each shop, and what that lets us expect."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from inventory.quota.forecast import NO_DEMAND, Method, Rate, expect_demand, forecast_demand
from omni.kernel.checks import Check
from omni.kernel.sql import fetch_all

# Eight weeks: enough for a weekly season, and short enough to forget the last one.
HISTORY_DAYS = 56
RATE_DAYS = 14
# A day that is longer ago than this has been added up since whatever last happened to it, also if one night was missed.
SETTLED_HOURS = 50

RATES = """
    SELECT shop_id, sku_id, sum(units) FROM inventory_dailydemand
    WHERE day >= %(since)s AND (%(skus)s::bigint[] IS NULL OR sku_id = ANY(%(skus)s::bigint[]))
    GROUP BY shop_id, sku_id
"""
HISTORY = """
    SELECT sku_id, shop_id, day, units FROM inventory_dailydemand
    WHERE sku_id = ANY(%s) AND shop_id = ANY(%s) AND day >= %s AND day < %s ORDER BY sku_id, shop_id, day
"""
CLASSES = """
    SELECT k.id, p.category_id, CASE WHEN p.category_id IS NULL THEN p.brand_id END, k.created_at
    FROM products_sku k JOIN products_spu p ON p.id = k.spu_id WHERE k.id = ANY(%s)
"""
# By category, or by brand where a product has none, and by shop: units, and what their squares are per SKU and per day.
# The rows without a shop count the SKUs of the class.
PEERS = """
    WITH wanted AS (
        SELECT DISTINCT p.category_id, CASE WHEN p.category_id IS NULL THEN p.brand_id END AS brand_id
        FROM products_sku k JOIN products_spu p ON p.id = k.spu_id WHERE k.id = ANY(%(skus)s)
    ), asked AS (
        SELECT w.category_id, w.brand_id, d.sku_id, d.shop_id, sum(d.units)::float8 AS units,
               sum(d.units::float8 * d.units) AS squares
        FROM wanted w
        JOIN products_spu p ON p.category_id = w.category_id
            OR w.category_id IS NULL AND p.category_id IS NULL AND p.brand_id = w.brand_id
        JOIN products_sku k ON k.spu_id = p.id
        JOIN inventory_dailydemand d ON d.sku_id = k.id
        WHERE d.shop_id = ANY(%(shops)s) AND d.day >= %(since)s AND d.day < %(until)s
        GROUP BY w.category_id, w.brand_id, d.sku_id, d.shop_id
    )
    SELECT category_id, brand_id, shop_id, count(DISTINCT sku_id), sum(units), sum(units * units), sum(squares)
    FROM asked GROUP BY GROUPING SETS ((category_id, brand_id, shop_id), (category_id, brand_id))
"""

# Every promise and shortage is added up once more and set beside the days that were rolled up. Left out: what changed
# within SETTLED_HOURS, and what is still owed, which may shrink at any time; the next night adds it up again. Days
# before the first line of the house were brought along from elsewhere.
DEMAND_AGAINST_LINES = """
    WITH held AS (
        SELECT line_key, min(created_at) AS first_at, max(changed_at) AS changed_at, min(sku_id) AS sku_id,
               min(shop_id) AS shop_id, coalesce(sum(quantity) FILTER (WHERE state <> 'released'), 0) AS units
        FROM inventory_reservation GROUP BY line_key
    ), lines AS (
        SELECT coalesce(h.sku_id, s.sku_id) AS sku_id, coalesce(h.shop_id, s.shop_id) AS shop_id,
               (least(h.first_at, s.created_at) AT TIME ZONE %(zone)s)::date AS day, coalesce(h.units, 0) AS units,
               CASE WHEN s.created_at <= coalesce(h.first_at, s.created_at) THEN coalesce(h.units, 0) ELSE 0 END
                   AS lost,
               s.state = 'open' OR greatest(h.changed_at, s.closed_at, s.created_at) > %(settled)s AS is_moving
        FROM held h FULL JOIN inventory_shortage s USING (line_key)
    ), both_sides AS (
        SELECT day, shop_id, sku_id, units AS rolled_units, lost AS rolled_lost, 0 AS units, 0 AS lost,
               false AS is_moving
        FROM inventory_dailydemand WHERE day >= (SELECT min(day) FROM lines)
        UNION ALL
        SELECT l.day, l.shop_id, l.sku_id, 0, 0, l.units, l.lost, coalesce(l.is_moving, false)
        FROM lines l WHERE l.shop_id IS NOT NULL AND EXISTS (SELECT FROM inventory_dailydemand d WHERE d.day = l.day)
    )
    SELECT day, shop_id, sku_id, sum(rolled_units), sum(units), sum(rolled_lost), sum(lost) FROM both_sides
    GROUP BY day, shop_id, sku_id
    HAVING NOT bool_or(is_moving) AND (sum(rolled_units) <> sum(units) OR sum(rolled_lost) <> sum(lost))
    ORDER BY day, shop_id, sku_id LIMIT %(limit)s
"""
DRIFT_COLUMNS = ("day", "shop_id", "sku_id", "rolled_up", "asked", "rolled_up_lost", "lost")


def local_day(at: datetime) -> date:
    """The day of this moment in the organisation's time zone."""
    return timezone.localtime(at, timezone.get_default_timezone()).date()


def day_bounds(day: date) -> tuple[datetime, datetime]:
    """When a day of the organisation's time zone begins and ends; half-open."""
    zone = timezone.get_default_timezone()
    return (
        datetime.combine(day, time.min, zone),
        datetime.combine(day + timedelta(days=1), time.min, zone),
    )


def demand_rates(
    *, sku_ids: Sequence[int] | None = None, days: int = RATE_DAYS, at: datetime
) -> dict[tuple[int, int], float]:
    """Units per hour by (shop id, SKU id), over the last `days` days and today so far; without those asked nothing."""
    today = local_day(at)
    since = today - timedelta(days=days)
    hours = (at - day_bounds(since)[0]).total_seconds() / 3600
    rows = fetch_all(RATES, {"since": since, "skus": None if sku_ids is None else list(sku_ids)})
    return {(shop_id, sku_id): float(units) / hours for shop_id, sku_id, units in rows}


def expected_demand(
    *, sku_ids: Sequence[int], shop_ids: Sequence[int], days: int = HISTORY_DAYS, at: datetime
) -> dict[tuple[int, int], Rate]:
    """What to expect per day, by (shop id, SKU id), one for every pair, from the last `days` whole days.

    A shop's own history where it was asked often; else the SKU's demand in all these shops together, divided as that
    of its category (or brand) is; a SKU that nobody asked for yet is expected to do as its category does in that shop.
    Four statements, however many SKUs.
    """
    today = local_day(at)
    since = today - timedelta(days=days)
    skus, shops = list(sku_ids), list(shop_ids)
    asked: dict[int, dict[int, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    for sku_id, shop_id, day, units in fetch_all(HISTORY, [skus, shops, since, today]):
        asked[sku_id][shop_id].append(((day - since).days, units))
    peers = _peers(skus, shops, since, today)
    expected: dict[tuple[int, int], Rate] = {}
    for sku_id, category_id, brand_id, created_at in fetch_all(CLASSES, [skus]):
        of_shops = peers.get((category_id, brand_id), {})
        history = asked.get(sku_id)
        if not history:
            for shop_id in shops:
                expected[shop_id, sku_id] = of_shops.get(shop_id, (0.0, NO_DEMAND))[1]
            continue
        born = (local_day(created_at) - since).days
        begin = max(0, min(born, *(series[0][0] for series in history.values())))
        own = [
            forecast_demand(
                [(day - begin, units) for day, units in history.get(shop_id, ())], days=days - begin
            )
            for shop_id in shops
        ]
        weights = [of_shops.get(shop_id, (0.0, NO_DEMAND))[0] for shop_id in shops]
        for shop_id, rate in zip(shops, expect_demand(own, weights), strict=True):
            expected[shop_id, sku_id] = rate
    return expected


def _peers(
    skus: Sequence[int], shops: Sequence[int], since: date, until: date
) -> dict[tuple[int | None, int | None], dict[int, tuple[float, Rate]]]:
    """By class and shop: the units that were asked of it, and what to expect of one SKU of this class."""
    days = (until - since).days
    rows = fetch_all(PEERS, {"skus": list(skus), "shops": list(shops), "since": since, "until": until})
    members = {(category, brand): count for category, brand, shop, count, *_rest in rows if shop is None}
    peers: dict[tuple[int | None, int | None], dict[int, tuple[float, Rate]]] = defaultdict(dict)
    for category, brand, shop, _count, units, per_sku, per_day in rows:
        if shop is None:
            continue
        count = members[category, brand]
        mean = units / (count * days)
        between = max(0.0, per_sku / (count * days * days) - mean * mean)
        within = max(mean, per_day / (count * days) - mean * mean - between)
        peers[category, brand][shop] = (units, Rate(mean, within, Method.POOLED, unsure=between))
    return peers


def _find_drift(limit: int) -> list[dict[str, Any]]:
    settled = timezone.now() - timedelta(hours=SETTLED_HOURS)
    rows = fetch_all(DEMAND_AGAINST_LINES, {"zone": settings.TIME_ZONE, "settled": settled, "limit": limit})
    return [dict(zip(DRIFT_COLUMNS, row, strict=True)) for row in rows]


DEMAND_CHECK = Check(
    "stock.demand_is_what_was_asked",
    "A day that was rolled up says what its promises and shortages say.",
    _find_drift,
)

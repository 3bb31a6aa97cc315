"""Keep the demand of each day: add up what was asked of each SKU in each shop, short or not, and not cancelled."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta

from django.conf import settings
from django.db import transaction

from inventory.quota.demand import day_bounds, local_day
from omni.kernel.sql import execute, fetch_all

# Beyond midnight: a night that was missed is made up for by the next.
NIGHTS = 3

# A line belongs to the day of its first row, be that a promise or a shortage; later parts, splits and promises that
# filled a shortage are the same demand. It was short at first if its shortage is its oldest row: then all of it, for a
# line gets all or nothing. What was withdrawn later was not. Plan: the two indexes by time, then the lines by key.
ROLL_UP = """
    WITH touched AS (
        SELECT line_key FROM inventory_reservation WHERE created_at >= %(since)s AND created_at < %(until)s
        UNION
        SELECT line_key FROM inventory_shortage WHERE created_at >= %(since)s AND created_at < %(until)s
    ), held AS (
        SELECT line_key, min(created_at) AS first_at, min(sku_id) AS sku_id, min(shop_id) AS shop_id,
               coalesce(sum(quantity) FILTER (WHERE state <> 'released'), 0) AS units
        FROM inventory_reservation JOIN touched USING (line_key) GROUP BY line_key
    ), lines AS (
        SELECT coalesce(h.sku_id, s.sku_id) AS sku_id, coalesce(h.shop_id, s.shop_id) AS shop_id,
               least(h.first_at, s.created_at) AS first_at,
               coalesce(h.units, 0) + CASE WHEN s.state = 'open' THEN s.quantity ELSE 0 END AS units,
               s.created_at <= coalesce(h.first_at, s.created_at) AS was_short
        FROM touched LEFT JOIN held h USING (line_key) LEFT JOIN inventory_shortage s USING (line_key)
    ), wanted AS (
        SELECT sku_id, shop_id, sum(units) AS units, coalesce(sum(units) FILTER (WHERE was_short), 0) AS lost
        FROM lines WHERE first_at >= %(since)s AND first_at < %(until)s AND shop_id IS NOT NULL AND units > 0
        GROUP BY sku_id, shop_id
    ), gone AS (
        DELETE FROM inventory_dailydemand d WHERE d.day = %(day)s AND NOT EXISTS (
            SELECT FROM wanted w WHERE w.sku_id = d.sku_id AND w.shop_id = d.shop_id)
        RETURNING 1
    ), written AS (
        INSERT INTO inventory_dailydemand AS d (day, shop_id, sku_id, units, lost)
        SELECT %(day)s, shop_id, sku_id, units, lost FROM wanted ORDER BY sku_id, shop_id
        ON CONFLICT (sku_id, shop_id, day) DO UPDATE SET units = EXCLUDED.units, lost = EXCLUDED.lost
        WHERE (d.units, d.lost) IS DISTINCT FROM (EXCLUDED.units, EXCLUDED.lost)
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM written)
"""

# Lines of older days of which something was cancelled, filled or split since; and those still owed something, for a
# shortage shrinks without a trace. Plan: the indexes by time.
TOUCHED_BEFORE = """
    WITH touched AS (
        SELECT line_key FROM inventory_reservation WHERE changed_at >= %(since)s
        UNION
        SELECT line_key FROM inventory_shortage WHERE closed_at >= %(since)s OR state = 'open'
    )
    SELECT DISTINCT (least(h.first_at, s.created_at) AT TIME ZONE %(zone)s)::date
    FROM touched t
    LEFT JOIN (
        SELECT line_key, min(created_at) AS first_at FROM inventory_reservation JOIN touched USING (line_key)
        GROUP BY line_key
    ) h USING (line_key)
    LEFT JOIN inventory_shortage s USING (line_key)
    WHERE least(h.first_at, s.created_at) < %(since)s
"""
# Taken before the day is read: of two roll-ups the one that read first must not be the one that writes last.
ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('inventory.quota.roll_up'), %s)"
# All days on which anything was asked. Days before them were brought along from elsewhere and stay.
ALL_DAYS = """
    SELECT DISTINCT (at AT TIME ZONE %s)::date FROM (
        SELECT created_at AS at FROM inventory_reservation UNION ALL SELECT created_at FROM inventory_shortage
    ) rows
"""


def roll_up_demand(
    *, days: int | None = 1, since: date | None = None, is_everything: bool = False, at: datetime
) -> int:
    """Add up the last so many days anew, today being the last of them, or all from `since` on, or everything there is.

    Each day is a transaction of its own, and whatever it says afterwards is what the promises and shortages say: done
    again it changes nothing, and the whole table may be emptied and built anew. Returns the rows that changed.
    """
    today = local_day(at)
    if is_everything:
        chosen: Iterable[date] = [row[0] for row in fetch_all(ALL_DAYS, [settings.TIME_ZONE])]
    else:
        first = since if since is not None else today - timedelta(days=(days or 1) - 1)
        chosen = [first + timedelta(days=n) for n in range((today - first).days + 1)]
    return sum(_roll_up(day) for day in sorted(chosen))


def roll_up_changed_demand(*, nights: int = NIGHTS, at: datetime) -> int:
    """The same for the last days, and for each older day of which a line was cancelled or filled since."""
    today = local_day(at)
    first = today - timedelta(days=nights)
    since, _until = day_bounds(first)
    older = {row[0] for row in fetch_all(TOUCHED_BEFORE, {"since": since, "zone": settings.TIME_ZONE})}
    return sum(_roll_up(day) for day in sorted(older)) + roll_up_demand(since=first, at=at)


@transaction.atomic
def _roll_up(day: date) -> int:
    execute(ONE_AT_A_TIME, [day.toordinal()])
    since, until = day_bounds(day)
    changed: int = fetch_all(ROLL_UP, {"since": since, "until": until, "day": day})[0][0]
    return changed

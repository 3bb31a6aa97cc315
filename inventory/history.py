"""How much of a SKU lay on the shelves and was promised, day by day, counted back from the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.utils import timezone

from omni.kernel.sql import fetch_all

# What changed per day, of good units on hand and of promises. Plan: movement_by_sku, the SKU's own movements once.
# Accounts 10 and 11: a level, free and committed; 21: a pool, reserved.
CHANGES = """
    WITH good AS MATERIALIZED (
        SELECT id FROM inventory_stocklevel WHERE sku_id = %(sku)s AND grade = 'good'
    )
    SELECT (m.at AT TIME ZONE %(zone)s)::date,
           sum(m.quantity * ((m.to_account IN (10, 11) AND m.to_id IN (SELECT id FROM good))::int
                             - (m.from_account IN (10, 11) AND m.from_id IN (SELECT id FROM good))::int))::int,
           sum(m.quantity * ((m.to_account = 21)::int - (m.from_account = 21)::int))::int
    FROM inventory_stockmovement m
    WHERE m.sku_id = %(sku)s AND m.at >= %(since)s GROUP BY 1
"""
NOW = """
    SELECT (SELECT coalesce(sum(on_hand), 0)::int FROM inventory_stocklevel
            WHERE sku_id = %(sku)s AND grade = 'good'),
           (SELECT coalesce(sum(reserved), 0)::int FROM inventory_stockpool WHERE sku_id = %(sku)s)
"""


@dataclass(frozen=True, slots=True)
class StockDay:
    """Good units on hand and units promised at the end of a day, or now if it is today."""

    day: date
    on_hand: int
    reserved: int


def stock_history(*, sku_id: int, days: int, at: datetime) -> list[StockDay]:
    """The last so many days of the organisation's time zone, the oldest first; the last one is today.

    Counted back from the running totals, so that it ends at them whatever the ledger held before.
    """
    zone: Any = timezone.get_current_timezone()
    today = timezone.localtime(at).date()
    first = today - timedelta(days=days - 1)
    since = datetime(first.year, first.month, first.day, tzinfo=zone)
    rows = fetch_all(CHANGES, {"sku": sku_id, "zone": str(zone), "since": since})
    changes = {day: (on_hand, reserved) for day, on_hand, reserved in rows}
    on_hand, reserved = fetch_all(NOW, {"sku": sku_id})[0]
    found = []
    for back in range(days):
        day = today - timedelta(days=back)
        found.append(StockDay(day, on_hand, reserved))
        moved = changes.get(day, (0, 0))
        on_hand, reserved = on_hand - moved[0], reserved - moved[1]
    return found[::-1]

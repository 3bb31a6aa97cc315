"""Which open orders of a shop are to be read from their channel again, for channels whose feed misses changes."""

from __future__ import annotations

from datetime import datetime

from omni.kernel.sql import fetch_all

# What was missed while nobody read, the minutes catch up with; after a longer outage each order waits for its turn,
# or a day's worth of questions would come at once.
MINUTES_AT_ONCE = 10

# How many minutes lie between two readings. Before the parcel leaves, money may come in or be given back; afterwards
# there is only the end of the order to be heard of. Its id gives each order a minute of its own: no state is kept,
# and every minute asks for about as many as the next. `captured_at` (never before `placed_at`) finds the rows of the
# period through its block index.
DUE = """
    SELECT outer_id FROM (
        SELECT o.id, o.outer_id, CASE
            WHEN o.stage = 'shipped' AND c.outer_modified_at > %(at)s - interval '1 day' THEN 60
            WHEN o.stage = 'shipped' THEN 1440
            WHEN c.outer_modified_at > %(at)s - interval '1 hour' THEN 1
            WHEN c.outer_modified_at > %(at)s - interval '1 day' THEN 10
            ELSE 60 END AS every
        FROM orders_salesorder o JOIN orders_channelorder c ON c.id = o.channel_order_id
        WHERE o.shop_id = %(shop)s AND o.placed_at >= %(since)s AND o.captured_at >= %(since)s
          AND o.stage NOT IN ('completed', 'cancelled')
    ) open
    WHERE mod(%(minute)s + id, every) < %(minutes)s ORDER BY id
"""


def due_outer_ids(*, shop_id: int, since: datetime, last_read_at: datetime | None, at: datetime) -> list[str]:
    """Outer ids of the orders placed since then that are not over and whose turn came after `last_read_at`.

    An order that has not left: every minute while it changed within the hour, every ten minutes within the day, then
    every hour. One that has left: every hour within a day of its last change, then once a day.
    """
    minute = _minute(at)
    passed = 1 if last_read_at is None else minute - _minute(last_read_at)
    values = {
        "shop": shop_id,
        "since": since,
        "at": at,
        "minute": minute,
        "minutes": min(max(passed, 1), MINUTES_AT_ONCE),
    }
    return [row[0] for row in fetch_all(DUE, values)]


def _minute(moment: datetime) -> int:
    return int(moment.timestamp()) // 60

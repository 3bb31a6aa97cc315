"""Keep what was owed: promise new supply to the lines that are short."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction

from inventory.events import ShortagesFilled
from inventory.reserve import Demand, find_standings, lock_sources, share_out, write_promises
from omni.kernel.events import record_events
from omni.kernel.sql import fetch_all

LINES_PER_RUN = 500

# Without a lock: which lines wait. The oldest first. Plan: shortage_open_by_sku.
OPEN_SHORTAGES = """
    SELECT line_key, shop_id, sku_id FROM inventory_shortage
    WHERE state = 'open' AND sku_id = ANY(%s) AND shop_id IS NOT NULL ORDER BY id LIMIT %s
"""
# After the pools: what is still owed, by key, as all that lock shortages do.
LOCK_SHORTAGES = """
    SELECT id, line_key, shop_id, sku_id, quantity FROM inventory_shortage
    WHERE line_key = ANY(%s) AND state = 'open' ORDER BY line_key FOR NO KEY UPDATE
"""


@transaction.atomic
def fill_shortages(*, sku_ids: Sequence[int], at: datetime, by: str) -> list[UUID]:
    """Promise what is free of these SKUs to the lines that are owed some of it: the oldest first, whole lines only.

    A line that wants more than there is waits, and does not keep a younger one waiting that can be served. Looks at
    the oldest 500 lines. Returns the lines that were filled, with the event ShortagesFilled.
    """
    waiting = [
        Demand(key, shop, sku, 1)
        for key, shop, sku in fetch_all(OPEN_SHORTAGES, [list(sku_ids), LINES_PER_RUN])
    ]
    if not waiting:
        return []
    sources, pools = lock_sources(waiting, at=at)
    owed = fetch_all(LOCK_SHORTAGES, [[demand.line_key for demand in waiting]])
    demands = [Demand(key, shop, sku, quantity) for _id, key, shop, sku, quantity in sorted(owed)]
    draws, _short = share_out(demands, sources=sources, pools=pools)
    filled = list(dict.fromkeys(draw.demand.line_key for draw in draws))
    if filled:
        write_promises(draws, standings=find_standings(filled), at=at, by=by)
        record_events(ShortagesFilled(line_keys=tuple(str(key) for key in filled)))
    return filled

"""Take promises away when the stock behind them turns out not to exist."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from inventory.advance import Step, advance_parts
from inventory.events import PromisesWithdrawn
from inventory.lock import LockedPool, lock_lines
from inventory.models.ledger import MovementKind
from inventory.models.promise import Reservation
from inventory.reserve import record_release
from omni.kernel.events import record_events
from omni.kernel.sql import execute, fetch_all

WITHDRAWN = "withdrawn"

# Under the pools' locks. Youngest promise first, until enough units are found: the one that reaches the number is
# the last taken. Plan: reservation_live_by_sku, one sort.
YOUNGEST_LINES = """
    SELECT line_key FROM (
        SELECT line_key, coalesce(sum(quantity) OVER (
            ORDER BY created_at DESC, id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS younger
        FROM inventory_reservation WHERE sku_id = %s AND pool_id = ANY(%s) AND state = 'held'
    ) held WHERE younger < %s
"""

# A line that was owed something already is owed that and this.
OWE_WITHDRAWN = """
    INSERT INTO inventory_shortage AS s (line_key, sku_id, shop_id, group_id, quantity, reason, created_at)
    SELECT v.*, %s, %s
    FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::bigint[], %s::int[]) v
    ON CONFLICT (line_key) DO UPDATE
    SET quantity = EXCLUDED.quantity + CASE WHEN s.state = 'open' THEN s.quantity ELSE 0 END,
        reason = EXCLUDED.reason, state = 'open', closed_at = NULL
"""


def withdraw_youngest(*, pools: Iterable[LockedPool], units: int, at: datetime, by: str) -> dict[int, int]:
    """Withdraw held promises, the youngest first, until `units` are free again in these pools of one SKU.

    A line loses all that it holds uncommitted, in every pool: it is owed that as one shortage, with the event
    PromisesWithdrawn. Committed parts stay. All pools of the SKU must be locked. Returns the units freed by pool.
    """
    pools = list(pools)
    sku_id = pools[0].sku_id
    keys = {row[0] for row in fetch_all(YOUNGEST_LINES, [sku_id, [pool.id for pool in pools], units])}
    lines = lock_lines(keys)
    steps = [
        Step(part, part.quantity, Reservation.State.RELEASED)
        for parts in lines.live.values()
        for part in parts
        if part.state == Reservation.State.HELD
    ]
    if not steps:
        return {}
    advance_parts(steps, lines=lines, at=at)
    record_release(steps, kind=MovementKind.BUMP, at=at, by=by)
    owed = Counter[UUID]()
    first: dict[UUID, Step] = {}
    freed = Counter[int]()
    for step in steps:
        owed[step.part.line_key] += step.quantity
        first.setdefault(step.part.line_key, step)
        freed[step.part.pool_id] += step.quantity
    keys_in_order = sorted(owed)
    parts = [first[key].part for key in keys_in_order]
    execute(
        OWE_WITHDRAWN,
        [
            WITHDRAWN,
            at,
            keys_in_order,
            [part.sku_id for part in parts],
            [part.shop_id for part in parts],
            [lines.pools[part.pool_id].group_id for part in parts],
            [owed[key] for key in keys_in_order],
        ],
    )
    record_events(PromisesWithdrawn(line_keys=tuple(str(key) for key in keys_in_order)))
    return dict(freed)

"""Say on the order what the stock could not promise, and when it could after all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction

from omni.kernel import doorbell
from omni.kernel.sql import execute, fetch_all
from orders.record import Happening, record_happenings

LOCK_ORDERS_OF = """
    SELECT o.id FROM orders_salesorder o
    WHERE o.id IN (SELECT order_id FROM orders_salesorderline WHERE line_key = ANY(%s)) ORDER BY o.id FOR NO
    KEY UPDATE
"""
SET_SHORT = """
    UPDATE orders_salesorderline l SET short_quantity = s.quantity
    FROM unnest(%s::uuid[], %s::int[]) AS s(key, quantity)
    WHERE l.line_key = s.key AND l.short_quantity <> s.quantity RETURNING l.order_id, s.quantity
"""
# Counted anew instead of added to: whatever happened twice, the number is right.
RECOUNT_SHORT = """
    UPDATE orders_salesorder o SET short_lines =
        (SELECT count(*) FROM orders_salesorderline l WHERE l.order_id = o.id AND l.short_quantity > 0)
    WHERE o.id = ANY(%s)
"""
OWED_NOW = """
    SELECT k.line_key, coalesce(s.quantity, 0) FROM unnest(%s::uuid[]) AS k(line_key)
    LEFT JOIN inventory_shortage s ON s.line_key = k.line_key AND s.state = 'open'
"""


@transaction.atomic
def mark_short(*, missing: Mapping[UUID, int], at: datetime, by: str) -> None:
    """Set what is missing on these lines, in units; 0 says that nothing is missing any more.

    Repeating changes nothing.
    """
    if not missing:
        return
    execute(LOCK_ORDERS_OF, [list(missing)])
    changed = fetch_all(SET_SHORT, [list(missing), list(missing.values())])
    units: dict[int, int] = {}
    for order_id, quantity in changed:
        units[order_id] = units.get(order_id, 0) + quantity
    if units:
        execute(RECOUNT_SHORT, [list(units)])
    record_happenings(
        happenings=[
            Happening(
                ident,
                "short" if missing_units else "filled",
                {"units": missing_units} if missing_units else {},
            )
            for ident, missing_units in units.items()
        ],
        at=at,
        by=by,
    )


@transaction.atomic
def follow_shortages(*, line_keys: Sequence[UUID], at: datetime, by: str) -> None:
    """Say on these lines what the stock owes them now, after promises were withdrawn or shortages filled.

    What the news said is not asked: it may come late, twice and out of order.
    """
    execute(LOCK_ORDERS_OF, [list(line_keys)])
    mark_short(missing=dict(fetch_all(OWED_NOW, [list(line_keys)])), at=at, by=by)
    doorbell.ring_after_commit("orders.tasks.source_approved")

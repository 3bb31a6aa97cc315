"""End orders of which nothing is open any more: cancelled or shipped, and completed if their platform has said so."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db import transaction

from omni.kernel.events import record_events
from omni.kernel.sentences import sentence
from omni.kernel.sql import fetch_all
from orders.advance import advance_orders
from orders.draft import ChannelState
from orders.events import OrdersCancelled
from orders.hold import resolve_holds
from orders.models.review import HoldKind
from orders.record import Side
from orders.states import OVER, Stage

# After the orders' locks: a platform's word that is written meanwhile waits for them, and then finds the order shipped.
FINISHED = """
    SELECT o.id, sum(l.shipped_quantity) > 0, o.open_holds > 0, coalesce(c.state, '') = %s
    FROM orders_salesorder o
    JOIN orders_salesorderline l ON l.order_id = o.id
    LEFT JOIN orders_channelorder c ON c.id = o.channel_order_id
    WHERE o.id = ANY(%s) AND o.stage <> ALL(%s)
    GROUP BY o.id, c.state HAVING sum(l.quantity - l.cancelled_quantity - l.shipped_quantity) = 0
    ORDER BY o.id
"""


@transaction.atomic
def finish_orders(
    *, order_ids: Collection[int], at: datetime, by: str, side: str = Side.OMNI
) -> frozenset[int]:
    """Give those of these orders of which nothing is open their last stage, and close their holds.

    The caller has locked the orders and counted what has left and what was cancelled. What a platform completed
    before the last parcel had left is completed now: it will not say so again. Returns the ids that are over.
    """
    rows = fetch_all(FINISHED, [ChannelState.COMPLETED.value, sorted(order_ids), [s.value for s in OVER]])
    if not rows:
        return frozenset()
    shipped = [ident for ident, has_left, *_rest in rows if has_left]
    cancelled = [ident for ident, has_left, *_rest in rows if not has_left]
    held = {ident for ident, _has_left, is_held, _is_completed in rows if is_held}
    completed = [ident for ident, has_left, _is_held, is_completed in rows if has_left and is_completed]
    for idents, note in (
        (cancelled, sentence("The order is cancelled.")),
        (shipped, sentence("Nothing of the order is left to ship.")),
    ):
        over = [ident for ident in idents if ident in held]
        resolve_holds(order_ids=over, kinds=list(HoldKind), at=at, by=by, note=note)
    advance_orders(order_ids=cancelled, to=Stage.CANCELLED, at=at, by=by)
    advance_orders(order_ids=shipped, to=Stage.SHIPPED, at=at, by=by, side=side)
    advance_orders(order_ids=completed, to=Stage.COMPLETED, at=at, by=by, side=Side.CHANNEL)
    if cancelled:
        record_events(OrdersCancelled(tuple(cancelled)))
    return frozenset(row[0] for row in rows)

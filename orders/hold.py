"""Make an order wait, and let it go on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from omni.kernel import doorbell
from omni.kernel.sql import execute, fetch_all
from orders.models.review import HoldKind
from orders.record import Happening, Side, record_happenings
from orders.states import OVER

# Orders are locked in key order first, so that counter and holds change together and nobody deadlocks.
LOCK_ORDERS = "SELECT id FROM orders_salesorder WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
INSERT_HOLDS = """
    INSERT INTO orders_orderhold (order_id, kind, reason, placed_by, placed_at)
    SELECT h.order_id, h.kind, h.reason, %s, %s
    FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS h(order_id, kind, reason)
    JOIN orders_salesorder o ON o.id = h.order_id AND o.stage <> ALL(%s)
    ON CONFLICT (order_id, kind) WHERE state = 'open' DO NOTHING
    RETURNING order_id, kind, reason
"""
FIND_OVER = "SELECT id FROM orders_salesorder WHERE id = ANY(%s) AND stage = ANY(%s)"
RESOLVE_HOLDS = """
    UPDATE orders_orderhold SET state = 'resolved', resolved_by = %s, resolved_at = %s, note = %s
    WHERE order_id = ANY(%s) AND state = 'open' AND kind = ANY(%s)
    RETURNING order_id, kind
"""
COUNT_HOLDS = """
    UPDATE orders_salesorder o SET open_holds = o.open_holds + d.change
    FROM unnest(%s::bigint[], %s::int[]) AS d(id, change) WHERE o.id = d.id
"""


@dataclass(frozen=True, slots=True)
class NewHold:
    """`reason`: a sentence for the person who will resolve it."""

    order_id: int
    kind: HoldKind
    reason: str


@transaction.atomic
def place_holds(*, holds: Sequence[NewHold], at: datetime, by: str, side: str = Side.OMNI) -> int:
    """Place holds; one that is open already for the same order and kind stays as it is.

    An order that is over cannot wait any more: its timeline says what would have held it. Returns how many were
    placed.
    """
    if not holds:
        return 0
    over = [stage.value for stage in OVER]
    execute(LOCK_ORDERS, [sorted({hold.order_id for hold in holds})])
    placed = fetch_all(
        INSERT_HOLDS,
        [
            by,
            at,
            [hold.order_id for hold in holds],
            [hold.kind.value for hold in holds],
            [hold.reason for hold in holds],
            over,
        ],
    )
    _count([order_id for order_id, *_ in placed], 1)
    if len(placed) < len(holds):
        _say_too_late(holds, over, at=at, by=by, side=side)
    record_happenings(
        happenings=[
            Happening(ident, "hold.placed", {"kind": kind, "reason": why}, side)
            for ident, kind, why in placed
        ],
        at=at,
        by=by,
    )
    return len(placed)


def _say_too_late(holds: Sequence[NewHold], over: Sequence[str], *, at: datetime, by: str, side: str) -> None:
    gone = {row[0] for row in fetch_all(FIND_OVER, [[hold.order_id for hold in holds], over])}
    record_happenings(
        happenings=[
            Happening(hold.order_id, "hold.too_late", {"kind": hold.kind.value, "reason": hold.reason}, side)
            for hold in holds
            if hold.order_id in gone
        ],
        at=at,
        by=by,
    )


@transaction.atomic
def resolve_holds(
    *,
    order_ids: Sequence[int],
    kinds: Collection[HoldKind],
    at: datetime,
    by: str,
    note: str = "",
    side: str = Side.OMNI,
) -> int:
    """Resolve the open holds of these kinds. Returns how many there were."""
    if not order_ids or not kinds:
        return 0
    execute(LOCK_ORDERS, [sorted(set(order_ids))])
    resolved = fetch_all(RESOLVE_HOLDS, [by, at, note, list(order_ids), [kind.value for kind in kinds]])
    _count([order_id for order_id, _ in resolved], -1)
    record_happenings(
        happenings=[
            Happening(ident, "hold.resolved", {"kind": kind, "note": note}, side) for ident, kind in resolved
        ],
        at=at,
        by=by,
    )
    if resolved:
        doorbell.ring_after_commit("orders.tasks.review_captured")
    return len(resolved)


def _count(order_ids: Sequence[int], change: int) -> None:
    changes: dict[int, int] = {}
    for ident in order_ids:
        changes[ident] = changes.get(ident, 0) + change
    if changes:
        execute(COUNT_HOLDS, [list(changes), list(changes.values())])

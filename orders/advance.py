"""The only writer of the stage of an order and of the state of a fulfilment order."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from omni.kernel.sql import fetch_all
from orders.record import Happening, Side, record_happenings
from orders.states import NEXT_FULFILMENT, NEXT_STAGE, FulfilmentState, Stage

# The rows are locked in key order before any is written; a row whose stage changed while we waited is looked at again.
ADVANCE_ORDERS = """
    WITH due AS (
        SELECT id FROM orders_salesorder WHERE id = ANY(%s) AND stage = ANY(%s) ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE orders_salesorder o SET stage = %s, stage_at = %s FROM due WHERE o.id = due.id RETURNING o.id
"""
ADVANCE_FULFILMENTS = """
    WITH due AS (
        SELECT id FROM orders_fulfilmentorder WHERE id = ANY(%s) AND state = ANY(%s) ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE orders_fulfilmentorder f SET state = %s, state_at = %s FROM due WHERE f.id = due.id RETURNING f.id
"""


@transaction.atomic
def advance_orders(
    *,
    order_ids: Sequence[int],
    to: Stage,
    at: datetime,
    by: str,
    details: Mapping[int, dict[str, Any]] | None = None,
    side: str = Side.OMNI,
) -> list[int]:
    """Move orders to a stage, those whose present stage allows it; return the ids that moved.

    Asking twice moves once. `details`: what the timeline shall say, by order.
    """
    if not order_ids:
        return []
    allowed = [stage.value for stage, following in NEXT_STAGE.items() if to in following]
    moved = [row[0] for row in fetch_all(ADVANCE_ORDERS, [list(order_ids), allowed, to.value, at])]
    details = details or {}
    record_happenings(
        happenings=[
            Happening(ident, f"stage.{to.value}", details.get(ident, {}), side) for ident in sorted(moved)
        ],
        at=at,
        by=by,
    )
    return sorted(moved)


@transaction.atomic
def advance_fulfilments(
    *,
    fulfilment_ids: Sequence[int],
    to: FulfilmentState,
    at: datetime,
    only_from: Collection[FulfilmentState] | None = None,
) -> list[int]:
    """Move fulfilment orders to a state, those whose present state allows it; return the ids that moved.

    `only_from` narrows that down: the answer to a question moves only what still waits for that answer.
    """
    if not fulfilment_ids:
        return []
    allowed = [
        state.value
        for state, following in NEXT_FULFILMENT.items()
        if to in following and (only_from is None or state in only_from)
    ]
    return sorted(
        row[0] for row in fetch_all(ADVANCE_FULFILMENTS, [list(fulfilment_ids), allowed, to.value, at])
    )

"""Forget holds that were over long ago, with the names of their buyers; the ledger keeps what they moved."""

from __future__ import annotations

from datetime import datetime

from omni.kernel.sql import execute

BATCH = 1_000

# Foreign keys are looked at when the transaction ends. The oldest stand in front by their ids: no index is needed.
FORGET = """
    WITH old AS MATERIALIZED (
        SELECT id FROM inventory_stockhold WHERE state <> 'held' AND ended_at < %s ORDER BY id LIMIT %s
    ), lines AS (
        DELETE FROM inventory_stockholdline l USING old WHERE l.hold_id = old.id
    )
    DELETE FROM inventory_stockhold h USING old WHERE h.id = old.id
"""


def forget_holds(*, before: datetime) -> int:
    """Delete holds that were over before the moment; those that stand stay. Their keys may be used again.

    Each batch is a statement of its own. Returns how many went.
    """
    count = 0
    while gone := execute(FORGET, [before, BATCH]):
        count += gone
    return count

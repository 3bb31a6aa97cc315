"""What must be true of stock holds: asked of the promises, which know nothing of holds."""

from __future__ import annotations

from collections.abc import Sequence

from omni.kernel.checks import Check, sql_check

# How long a hold may lie about after its time, while the sweep runs every few seconds.
LAG_MAX = "10 minutes"

# What a line of a hold has by the books of promises: `has` of live ones, `owed` what was withdrawn from it because the
# units turned out not to exist. Plan: one pass over each.
_LINES = """
    SELECT h.id, h.key, h.state, l.sku_id, l.quantity, coalesce(r.quantity, 0) AS has, coalesce(s.quantity, 0) AS owed
    FROM inventory_stockholdline l
    JOIN inventory_stockhold h ON h.id = l.hold_id
    LEFT JOIN (
        SELECT line_key, sum(quantity) AS quantity FROM inventory_reservation
        WHERE state IN ('held', 'committed') GROUP BY line_key
    ) r ON r.line_key = l.line_key
    LEFT JOIN inventory_shortage s ON s.line_key = l.line_key AND s.state = 'open'
"""
HELD_WITHOUT = f"""
    SELECT id, key, sku_id, quantity, has, owed FROM ({_LINES}) lines
    WHERE state = 'held' AND quantity <> has + owed ORDER BY id, sku_id
"""  # noqa: S608 - put together from constants
ENDED_WITH = f"""
    SELECT id, key, state, sku_id, has, owed FROM ({_LINES}) lines
    WHERE state <> 'held' AND has + owed <> 0 ORDER BY id, sku_id
"""  # noqa: S608 - put together from constants
LEFT_LYING = f"""
    SELECT id, key, expires_at FROM inventory_stockhold
    WHERE state = 'held' AND expires_at < now() - interval '{LAG_MAX}' ORDER BY id
"""  # noqa: S608 - put together from constants

CHECKS: Sequence[Check] = (
    sql_check(
        "holds.held_have_their_promises",
        "A stock hold that stands has exactly the units that it says, but for those that were withdrawn.",
        HELD_WITHOUT,
        ("hold_id", "key", "sku_id", "quantity", "promised", "owed"),
    ),
    sql_check(
        "holds.ended_have_none",
        "A stock hold that is over promises nothing any more.",
        ENDED_WITH,
        ("hold_id", "key", "state", "sku_id", "promised", "owed"),
    ),
    sql_check(
        "holds.lapse_in_time",
        f"What a stock hold promises is given back within {LAG_MAX} of its end.",
        LEFT_LYING,
        ("hold_id", "key", "expires_at"),
    ),
)

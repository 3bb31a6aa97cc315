"""What transfers and counts say of goods, asked again of the ledger."""

from __future__ import annotations

from collections.abc import Sequence

from omni.kernel.checks import Check, sql_check

# Account 5 is what is in transit, by the id of its transfer.
IN_TRANSIT_AGAINST_LEDGER = """
    SELECT transfer_id, sku_id, sum(under_way), sum(moved) FROM (
        SELECT transfer_id, sku_id, shipped::bigint - received - lost AS under_way, 0 AS moved
        FROM inventory_transferline
        UNION ALL
        SELECT to_id, sku_id, 0, quantity FROM inventory_stockmovement WHERE to_account = 5
        UNION ALL
        SELECT from_id, sku_id, 0, -quantity FROM inventory_stockmovement WHERE from_account = 5
    ) both_sides GROUP BY transfer_id, sku_id HAVING sum(under_way) <> sum(moved) ORDER BY transfer_id, sku_id
"""

TRANSFERS_IN_A_WRONG_STATE = """
    SELECT t.id, t.number, t.state, sum(l.shipped), sum(l.received), sum(l.lost)
    FROM inventory_transfer t JOIN inventory_transferline l ON l.transfer_id = t.id
    GROUP BY t.id HAVING CASE t.state
        WHEN 'shipped' THEN sum(l.shipped) <= sum(l.received) + sum(l.lost)
        WHEN 'closed' THEN sum(l.shipped) <> sum(l.received) + sum(l.lost)
        ELSE sum(l.shipped) > 0 END
    ORDER BY t.id
"""

# The movements of a sheet carry its number.
POSTED_AGAINST_LEDGER = """
    SELECT number, sku_id, sum(posted), sum(moved) FROM (
        SELECT s.number, l.sku_id, coalesce(l.posted, 0) AS posted, 0 AS moved
        FROM inventory_countline l JOIN inventory_countsheet s ON s.id = l.sheet_id
        UNION ALL
        SELECT s.number, m.sku_id, 0, CASE WHEN m.to_account = 10 THEN m.quantity ELSE -m.quantity END
        FROM inventory_stockmovement m JOIN inventory_countsheet s ON s.number = m.document
        WHERE m.kind = 'count' AND (m.to_account = 10 OR m.from_account = 10)
    ) both_sides GROUP BY number, sku_id HAVING sum(posted) <> sum(moved) ORDER BY number, sku_id
"""

POSTED_UNASKED = """
    SELECT s.number, l.sku_id, s.state, l.counted, l.booked, l.posted
    FROM inventory_countline l JOIN inventory_countsheet s ON s.id = l.sheet_id
    WHERE l.posted IS NOT NULL AND (s.decided_at IS NULL OR l.posted <> l.counted::bigint - l.booked) ORDER BY l.id
"""

CHECKS: Sequence[Check] = (
    sql_check(
        "network.in_transit_equals_movements",
        "What is under way of a transfer is what was shipped, less what was received and what was lost.",
        IN_TRANSIT_AGAINST_LEDGER,
        ("transfer_id", "sku_id", "under_way", "moved"),
    ),
    sql_check(
        "network.transfers_close_when_all_is_accounted_for",
        "A transfer is in transit while something of it is under way, and not longer.",
        TRANSFERS_IN_A_WRONG_STATE,
        ("transfer_id", "number", "state", "shipped", "received", "lost"),
    ),
    sql_check(
        "network.variances_equal_movements",
        "What a count sheet booked is in the ledger under its number.",
        POSTED_AGAINST_LEDGER,
        ("number", "sku_id", "posted", "moved"),
    ),
    sql_check(
        "network.variances_were_confirmed",
        "Nothing of a count is booked before somebody decided, and then the variance.",
        POSTED_UNASKED,
        ("number", "sku_id", "state", "counted", "booked", "posted"),
    ),
)

"""What transfers, counts and compares say of goods, asked again of the ledger."""

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

# The compare on which a difference stands is of its location, basis and cut-off; while it is open, no newer complete
# compare of its location may have passed over it.
UNFOUNDED = """
    SELECT d.id, d.location_id, d.sku_id, d.comparison_id FROM inventory_stockdifference d
    LEFT JOIN inventory_stockcomparison c ON c.id = d.comparison_id
    WHERE c.id IS NULL OR c.location_id <> d.location_id OR c.cut_off_at <> d.cut_off_at OR c.basis <> d.basis
       OR d.since > d.cut_off_at
    ORDER BY d.id
"""
OPEN_AND_EQUAL = """
    SELECT id, location_id, sku_id, ours FROM inventory_stockdifference
    WHERE state = 'open' AND ours = theirs OR state = 'gone' AND ours <> theirs ORDER BY id
"""
# Booked is what the ledger says: the adjustment of the difference, by its own number.
BOOKED_OTHERWISE = """
    SELECT d.id, d.theirs - d.ours, coalesce(m.units, 0) FROM inventory_stockdifference d
    LEFT JOIN LATERAL (
        SELECT sum(CASE WHEN n.to_account IN (10, 11) THEN n.quantity ELSE -n.quantity END)::int AS units
        FROM inventory_stockmovement n
        WHERE n.sku_id = d.sku_id AND n.document = 'difference:' || d.id
          AND (n.to_account IN (10, 11) OR n.from_account IN (10, 11))) m ON true
    WHERE d.state = 'booked' AND d.theirs - d.ours <> coalesce(m.units, 0) ORDER BY d.id
"""
# Compares of a location were made in the order of their cut-offs.
OUT_OF_ORDER = """
    SELECT id, location_id, cut_off_at, before FROM (
        SELECT id, location_id, cut_off_at, max(cut_off_at) OVER (
            PARTITION BY location_id ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
        FROM inventory_stockcomparison) c
    WHERE cut_off_at < before ORDER BY id
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
    sql_check(
        "compares.differences_are_founded",
        "Every difference stands on a compare of its own location, cut-off and basis.",
        UNFOUNDED,
        ("difference", "location_id", "sku_id", "comparison_id"),
    ),
    sql_check(
        "compares.open_differences_differ",
        "A difference is open while both books differ, and gone by itself only when they agree.",
        OPEN_AND_EQUAL,
        ("difference", "location_id", "sku_id", "ours"),
    ),
    sql_check(
        "compares.booked_is_what_moved",
        "A difference that was booked moved exactly its units in the ledger.",
        BOOKED_OTHERWISE,
        ("difference", "units", "moved"),
    ),
    sql_check(
        "compares.in_order",
        "The compares of a location follow one another in the order of their cut-offs.",
        OUT_OF_ORDER,
        ("comparison", "location_id", "cut_off_at", "before"),
    ),
)

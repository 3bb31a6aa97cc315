"""What must be true of compares and of the differences that they have found."""

from __future__ import annotations

from collections.abc import Sequence

from omni.kernel.checks import Check, sql_check

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

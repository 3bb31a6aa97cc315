"""What must be true of alerts: they are founded, and over when there is enough."""

from __future__ import annotations

from collections.abc import Sequence

from omni.kernel.checks import Check, sql_check

# Of groups, added up here once more; whatever is marked, planned or watched still is left out, and so is what was
# opened or changed within minutes.
OPEN_WITH_ENOUGH = """
    SELECT a.id, a.sku_id, a.group_id, a.level, f.units
    FROM inventory_stockalert a
    JOIN LATERAL (
        SELECT coalesce(sum(p.granted - p.reserved), 0)::int AS units FROM inventory_stockpool p
        WHERE p.sku_id = a.sku_id AND p.group_id = a.group_id AND p.kind IN ('shared', 'quota', 'lock', 'base')
    ) f ON true
    WHERE a.state = 'open' AND a.shop_id IS NULL AND f.units >= a.level
      AND NOT EXISTS (SELECT FROM inventory_stockwatch w WHERE w.sku_id = a.sku_id)
      AND NOT EXISTS (SELECT FROM inventory_stockchange n WHERE n.sku_id = a.sku_id)
    ORDER BY a.id
"""
UNFOUNDED = """
    SELECT id, sku_id, level, sellable, lowest FROM inventory_stockalert
    WHERE state = 'open' AND sellable >= level OR lowest > sellable OR (state = 'closed') <> (closed_at IS NOT NULL)
    ORDER BY id
"""
WATCH_LEFT_LYING = """
    SELECT sku_id, min(at), count(*) FROM inventory_stockwatch
    WHERE at < now() - interval '10 minutes' GROUP BY sku_id ORDER BY sku_id
"""

CHECKS: Sequence[Check] = (
    sql_check(
        "alerts.open_means_too_little",
        "No alert of a group is open although there is enough and nothing is still to be looked at.",
        OPEN_WITH_ENOUGH,
        ("alert", "sku_id", "group_id", "level", "free"),
    ),
    sql_check(
        "alerts.numbers_fit_together",
        "An open alert is below its level, its lowest number is the lowest, and only what is over has an end.",
        UNFOUNDED,
        ("alert", "sku_id", "level", "sellable", "lowest"),
    ),
    sql_check(
        "alerts.changes_are_watched",
        "Every change of stock is looked at for alerts within 10 minutes.",
        WATCH_LEFT_LYING,
        ("sku_id", "since", "notes"),
    ),
)

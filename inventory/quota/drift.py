"""What shops draw on and what is kept, asked again of the rules."""

from __future__ import annotations

from collections.abc import Sequence

from inventory.quota.derive import DESIRED
from inventory.quota.safety import TARGETS
from omni.kernel.checks import Check, sql_check


def _now(statement: str) -> str:
    """The statement for everything, at this moment."""
    return (
        statement.replace("%(skus)s::bigint[]", "NULL::bigint[]")
        .replace("%(shops)s::bigint[]", "NULL::bigint[]")
        .replace("%(at)s", "now()")
    )


# A row that a rule asks for and nobody has, or that somebody has and no rule asks for.
DRAWS_AGAINST_RULES = f"""
    WITH desired AS ({_now(DESIRED)}), actual AS (
        SELECT shop_id, group_id, kind, label, sku_id, position, publish_ratio, buffer, maximum
        FROM inventory_shoppool WHERE origin = 'rule'
    )
    SELECT 'missing' AS what, m.* FROM (SELECT * FROM desired EXCEPT SELECT * FROM actual) m
    UNION ALL
    SELECT 'too much', t.* FROM (SELECT * FROM actual EXCEPT SELECT * FROM desired) t
    ORDER BY 2, 3, 6
"""  # noqa: S608 - put together from constants

# Where goods have come to a location since, the sweep sets the target within ten minutes.
TARGETS_AGAINST_RULES = f"""
    SELECT t.group_id, t.sku_id, coalesce(p.target, 0), t.units
    FROM ({_now(TARGETS)}) t(group_id, sku_id, units)
    LEFT JOIN inventory_stockpool p ON p.group_id = t.group_id AND p.sku_id = t.sku_id AND p.kind = 'safety'
    WHERE coalesce(p.target, 0) <> t.units AND NOT EXISTS (
        SELECT FROM inventory_stockmovement m WHERE m.sku_id = t.sku_id AND m.at > now() - interval '20 minutes')
    ORDER BY 1, 2
"""  # noqa: S608 - put together from constants

PARTS_THAT_DO_NOT_ADD_UP = """
    SELECT group_id, sku_id, sum(part_to - part_from), count(*) FROM inventory_shopexposure
    GROUP BY group_id, sku_id HAVING abs(sum(part_to - part_from) - 1) > 0.000001 ORDER BY 1, 2
"""

CHECKS: Sequence[Check] = (
    sql_check(
        "quota.draws_follow_rules",
        "Shops draw on what their quota rules, safety rules and promotion locks say.",
        DRAWS_AGAINST_RULES,
        ("what", "shop_id", "group_id", "kind", "label", "sku_id", "position", "ratio", "buffer", "maximum"),
    ),
    sql_check(
        "quota.safety_follows_rules",
        "Safety pools should hold what the safety rules say.",
        TARGETS_AGAINST_RULES,
        ("group_id", "sku_id", "target", "by_rule"),
    ),
    sql_check(
        "quota.parts_add_up",
        "The parts in which a low shared pool is shown add up to it.",
        PARTS_THAT_DO_NOT_ADD_UP,
        ("group_id", "sku_id", "parts", "shops"),
    ),
)

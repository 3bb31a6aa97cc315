"""Every number of quotas, locks and units being taken back, asked again of the rules and of the ledger."""

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
        .replace("%(at)s", "statement_timestamp()")
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

# The ledger knows nothing of revocations: each is one movement into the pool of its shop, and what has arrived left it
# again. What the shop's late orders took is promised or gone from there, which is neither. Account 20: pool, free.
REVOKING_AGAINST_LEDGER = """
    SELECT group_id, sku_id, label, sum(taken), sum(taken_moved), sum(arrived), sum(arrived_moved) FROM (
        SELECT r.group_id, r.sku_id, s.code AS label, r.quantity AS taken, 0 AS taken_moved, r.arrived,
               0 AS arrived_moved
        FROM inventory_revocation r JOIN products_shop s ON s.id = r.shop_id
        UNION ALL
        SELECT p.group_id, p.sku_id, p.label, 0, m.quantity, 0, 0
        FROM inventory_stockpool p JOIN inventory_stockmovement m ON m.to_account = 20 AND m.to_id = p.id
        WHERE p.kind = 'revoking' AND m.kind = 'regrant'
        UNION ALL
        SELECT p.group_id, p.sku_id, p.label, 0, 0, 0, m.quantity
        FROM inventory_stockpool p JOIN inventory_stockmovement m ON m.from_account = 20 AND m.from_id = p.id
        WHERE p.kind = 'revoking' AND m.kind = 'regrant'
    ) both_sides GROUP BY group_id, sku_id, label
    HAVING sum(taken) <> sum(taken_moved) OR sum(arrived) <> sum(arrived_moved)
    ORDER BY group_id, sku_id, label
"""
LOCKS_AGAINST_LEDGER = """
    SELECT label, sku_id, sum(granted), sum(granted_moved), sum(returned), sum(returned_moved) FROM (
        SELECT l.code AS label, n.sku_id, n.granted, 0 AS granted_moved, n.returned, 0 AS returned_moved
        FROM inventory_promotionlockline n JOIN inventory_promotionlock l ON l.id = n.lock_id
        UNION ALL
        SELECT p.label, p.sku_id, 0, m.quantity, 0, 0
        FROM inventory_stockpool p JOIN inventory_stockmovement m ON m.to_account = 20 AND m.to_id = p.id
        WHERE p.kind = 'lock' AND m.kind = 'regrant' AND p.label IN (SELECT code FROM inventory_promotionlock)
        UNION ALL
        SELECT p.label, p.sku_id, 0, 0, 0, m.quantity
        FROM inventory_stockpool p JOIN inventory_stockmovement m ON m.from_account = 20 AND m.from_id = p.id
        WHERE p.kind = 'lock' AND m.kind = 'regrant' AND p.label IN (SELECT code FROM inventory_promotionlock)
    ) both_sides GROUP BY label, sku_id
    HAVING sum(granted) <> sum(granted_moved) OR sum(returned) <> sum(returned_moved) ORDER BY label, sku_id
"""
# A run that is over leaves no line to be done, and what it waits for is really on its way.
LINES_OF_RUNS = """
    SELECT l.run_id, l.id, l.sku_id, l.state, r.state FROM inventory_allocationline l
    JOIN inventory_allocationrun r ON r.id = l.run_id
    WHERE r.state IN ('applied', 'undone') AND (
        l.state = 'planned'
        OR l.state = 'waiting' AND NOT EXISTS (
            SELECT FROM inventory_revocation v
            WHERE v.run_id = l.run_id AND v.sku_id = l.sku_id AND v.to_kind = l.kind AND v.to_label = l.label
              AND v.state IN ('telling', 'pulling')))
    ORDER BY l.run_id, l.id
"""
# A run grants only what it takes from somebody: its lines add up to nothing, with what is on its way.
RUNS_AGAINST_LEDGER = """
    SELECT run_id, sum(moved), sum(ledger) FROM (
        SELECT l.run_id, CASE WHEN l.kind = 'quota' THEN l.moved ELSE 0 END AS moved, 0 AS ledger
        FROM inventory_allocationline l JOIN inventory_allocationrun r ON r.id = l.run_id
        WHERE r.state <> 'planned'
        UNION ALL
        SELECT split_part(m.document, ':', 2)::bigint, 0,
               m.quantity * ((t.kind = 'quota')::int - (f.kind = 'quota')::int)
        FROM inventory_stockmovement m
        JOIN inventory_stockpool f ON f.id = m.from_id
        JOIN inventory_stockpool t ON t.id = m.to_id
        WHERE m.kind = 'regrant' AND m.document LIKE 'allocation:%%'
    ) both_sides GROUP BY run_id HAVING sum(moved) <> sum(ledger) ORDER BY run_id
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
    sql_check(
        "stock.revocations_equal_movements",
        "What is being taken back from a shop went into its pool for that, and what has arrived left it.",
        REVOKING_AGAINST_LEDGER,
        ("group_id", "sku_id", "shop", "taken", "taken_moved", "arrived", "arrived_moved"),
    ),
    sql_check(
        "stock.locks_equal_movements",
        "What was set aside for a promotion, and what came back from it, is what the ledger says.",
        LOCKS_AGAINST_LEDGER,
        ("lock", "sku_id", "granted", "granted_moved", "returned", "returned_moved"),
    ),
    sql_check(
        "stock.runs_are_finished",
        "A run that is over has no line left to do, and waits only for what is on its way.",
        LINES_OF_RUNS,
        ("run_id", "line_id", "sku_id", "line", "run"),
    ),
    sql_check(
        "stock.runs_equal_movements",
        "What the lines of a run say was granted to quotas is what the ledger says.",
        RUNS_AGAINST_LEDGER,
        ("run_id", "moved", "ledger"),
    ),
)

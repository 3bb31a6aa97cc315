"""Every number of this room, asked again of a source that the writer of the number did not use."""

from __future__ import annotations

from collections.abc import Sequence

from inventory.availability import SELLABLE
from inventory.holds import drift as holds
from inventory.network import drift as network
from inventory.quota.demand import DEMAND_CHECK
from inventory.quota.drift import CHECKS as QUOTA_CHECKS
from inventory.supply import drift as supply
from omni.kernel.checks import Check, sql_check

# How long a number may wait for a channel's acknowledgement, and a change for the planner.
LAG_MAX = "10 minutes"

# Counters and movements are added up together, with opposite signs: one pass, and nothing to join. Accounts of the
# ledger: 10 level free, 11 level committed, 20 pool free, 21 pool reserved.
POOLS_AGAINST_LEDGER = """
    SELECT ident, sum(free), sum(free_moved), sum(reserved), sum(reserved_moved) FROM (
        SELECT id AS ident, granted - reserved AS free, 0 AS free_moved, reserved, 0 AS reserved_moved
        FROM inventory_stockpool
        UNION ALL
        SELECT to_id, 0, CASE WHEN to_account = 20 THEN quantity ELSE 0 END,
               0, CASE WHEN to_account = 21 THEN quantity ELSE 0 END
        FROM inventory_stockmovement WHERE to_account IN (20, 21)
        UNION ALL
        SELECT from_id, 0, CASE WHEN from_account = 20 THEN -quantity ELSE 0 END,
               0, CASE WHEN from_account = 21 THEN -quantity ELSE 0 END
        FROM inventory_stockmovement WHERE from_account IN (20, 21)
    ) both_sides GROUP BY ident
    HAVING sum(free) <> sum(free_moved) OR sum(reserved) <> sum(reserved_moved) ORDER BY ident
"""

LEVELS_AGAINST_LEDGER = """
    SELECT ident, sum(free), sum(free_moved), sum(committed), sum(committed_moved) FROM (
        SELECT id AS ident, on_hand - committed AS free, 0 AS free_moved, committed, 0 AS committed_moved
        FROM inventory_stocklevel
        UNION ALL
        SELECT to_id, 0, CASE WHEN to_account = 10 THEN quantity ELSE 0 END,
               0, CASE WHEN to_account = 11 THEN quantity ELSE 0 END
        FROM inventory_stockmovement WHERE to_account IN (10, 11)
        UNION ALL
        SELECT from_id, 0, CASE WHEN from_account = 10 THEN -quantity ELSE 0 END,
               0, CASE WHEN from_account = 11 THEN -quantity ELSE 0 END
        FROM inventory_stockmovement WHERE from_account IN (10, 11)
    ) both_sides GROUP BY ident
    HAVING sum(free) <> sum(free_moved) OR sum(committed) <> sum(committed_moved) ORDER BY ident
"""

OUT_OF_BOUNDS = """
    SELECT 'pool', id, sku_id, granted, reserved FROM inventory_stockpool
    WHERE reserved < 0 OR reserved > granted
    UNION ALL
    SELECT 'level', id, sku_id, on_hand, committed FROM inventory_stocklevel
    WHERE committed < 0 OR committed > on_hand
"""

GRANTED_AGAINST_ON_HAND = """
    SELECT group_id, sku_id, sum(granted), sum(on_hand) FROM (
        SELECT group_id, sku_id, granted, 0 AS on_hand FROM inventory_stockpool
        UNION ALL
        SELECT l.group_id, v.sku_id, 0, v.on_hand
        FROM inventory_stocklevel v JOIN inventory_location l ON l.id = v.location_id WHERE v.grade = 'good'
    ) both_sides GROUP BY group_id, sku_id HAVING sum(granted) <> sum(on_hand) ORDER BY group_id, sku_id
"""

RESERVED_AGAINST_PROMISES = """
    SELECT p.id, p.group_id, p.sku_id, p.kind, p.reserved, coalesce(r.quantity, 0)
    FROM inventory_stockpool p
    LEFT JOIN (
        SELECT pool_id, sum(quantity) AS quantity FROM inventory_reservation
        WHERE state IN ('held', 'committed') GROUP BY pool_id
    ) r ON r.pool_id = p.id
    WHERE p.reserved <> coalesce(r.quantity, 0) ORDER BY p.id
"""

COMMITTED_AGAINST_PROMISES = """
    SELECT l.id, l.location_id, l.sku_id, l.committed, coalesce(r.quantity, 0)
    FROM inventory_stocklevel l
    LEFT JOIN (
        SELECT level_id, sum(quantity) AS quantity FROM inventory_reservation
        WHERE state = 'committed' GROUP BY level_id
    ) r ON r.level_id = l.id
    WHERE l.committed <> coalesce(r.quantity, 0) ORDER BY l.id
"""

# What the ledger says that each line was promised, less what it gave back and what left, against what it holds.
PROMISES_AGAINST_LEDGER = """
    SELECT line_key, sum(held), sum(moved) FROM (
        SELECT line_key, quantity AS held, 0 AS moved FROM inventory_reservation
        WHERE state IN ('held', 'committed')
        UNION ALL
        SELECT line_key, 0, CASE WHEN to_account = 21 THEN quantity ELSE -quantity END
        FROM inventory_stockmovement
        WHERE line_key IS NOT NULL AND (to_account = 21) <> (from_account = 21)
    ) both_sides GROUP BY line_key HAVING sum(held) <> sum(moved) ORDER BY line_key
"""

SHIPPED_AGAINST_LEDGER = """
    SELECT line_key, sum(shipped), sum(moved) FROM (
        SELECT line_key, quantity AS shipped, 0 AS moved FROM inventory_reservation WHERE state = 'shipped'
        UNION ALL
        SELECT line_key, 0, quantity FROM inventory_stockmovement WHERE to_account = 2 AND line_key IS NOT NULL
    ) both_sides GROUP BY line_key HAVING sum(shipped) <> sum(moved) ORDER BY line_key
"""

# The parts of one promise share its moment, also after a split. A second promise beside a living first is only
# made for what the line was owed, and that has left a shortage.
PROMISED_TWICE = """
    SELECT r.line_key, count(DISTINCT r.created_at), sum(r.quantity)
    FROM inventory_reservation r
    WHERE r.state <> 'released' AND NOT EXISTS (SELECT FROM inventory_shortage s WHERE s.line_key = r.line_key)
    GROUP BY r.line_key HAVING count(DISTINCT r.created_at) > 1 ORDER BY r.line_key
"""

# A line gets all or nothing, so it can only be owed units beside a promise if they were withdrawn from it.
OWED_AND_PROMISED = """
    SELECT s.line_key, s.quantity, s.reason, r.quantity, coalesce(w.quantity, 0)
    FROM inventory_shortage s
    JOIN (
        SELECT line_key, sum(quantity) AS quantity FROM inventory_reservation
        WHERE state <> 'released' GROUP BY line_key
    ) r ON r.line_key = s.line_key
    LEFT JOIN (
        SELECT line_key, sum(quantity) AS quantity FROM inventory_stockmovement
        WHERE kind = 'bump' AND from_account = 21 GROUP BY line_key
    ) w ON w.line_key = s.line_key
    WHERE s.state = 'open' AND s.quantity > coalesce(w.quantity, 0) ORDER BY s.id
"""

# What was shipped came from the group to which its location belonged then.
MISPLACED_PROMISES = """
    SELECT r.id, r.line_key, r.location_id, r.level_id, r.pool_id
    FROM inventory_reservation r
    JOIN inventory_stockpool p ON p.id = r.pool_id
    LEFT JOIN inventory_stocklevel v ON v.id = r.level_id
    LEFT JOIN inventory_location l ON l.id = v.location_id
    WHERE r.state <> 'released' AND (
        p.sku_id <> r.sku_id OR v.sku_id <> r.sku_id OR v.location_id <> r.location_id OR v.grade <> 'good'
        OR l.group_id <> p.group_id AND r.state <> 'shipped')
    ORDER BY r.id
"""

# Goods move between outside and levels, promises between the grant and pools: never from one book to the other.
CROSSED_BOOKS = """
    SELECT id, kind, sku_id, from_account, to_account, quantity FROM inventory_stockmovement
    WHERE (from_account IN (1, 2, 3, 5, 10, 11)) <> (to_account IN (1, 2, 3, 5, 10, 11)) OR quantity <= 0 ORDER BY id
"""

ACKNOWLEDGED_TOO_MUCH = """
    SELECT id, listing_id, desired_version, sent_version, acked_version FROM inventory_publishedstock
    WHERE acked_version > sent_version OR sent_version > desired_version ORDER BY id
"""

ACKNOWLEDGED_OTHER_NUMBER = """
    SELECT id, listing_id, desired_quantity, acked_quantity FROM inventory_publishedstock
    WHERE desired_version = acked_version AND acked_version > 0
      AND acked_quantity IS DISTINCT FROM desired_quantity
    ORDER BY id
"""

# A shop to which nothing was ever sent takes no stock from us: nobody waits for its answer.
PUBLISHED_LATE = f"""
    SELECT p.id, p.shop_id, p.listing_id, p.desired_quantity, p.desired_at, p.attempts, p.last_error
    FROM inventory_publishedstock p JOIN products_listing l ON l.id = p.listing_id AND l.state = 'listed'
    WHERE p.desired_version > p.acked_version AND p.desired_at < now() - interval '{LAG_MAX}'
      AND EXISTS (SELECT FROM inventory_publishedstock o WHERE o.shop_id = p.shop_id AND o.sent_version > 0)
    ORDER BY p.id
"""  # noqa: S608 - put together from constants

CHANGES_LEFT_LYING = f"""
    SELECT sku_id, min(at), count(*) FROM inventory_stockchange
    WHERE at < now() - interval '{LAG_MAX}' GROUP BY sku_id ORDER BY sku_id
"""  # noqa: S608 - put together from constants

BUNDLES_IN_STOCK = """
    SELECT v.sku_id, v.location_id, v.on_hand FROM inventory_stocklevel v
    WHERE v.on_hand > 0 AND EXISTS (SELECT FROM products_bundlecomponent c WHERE c.bundle_id = v.sku_id)
    ORDER BY v.id
"""

# What listings of bundles should show, counted out from the plain SKUs' shares component by component. What a change is
# still noted for is left out, of the bundle or of what lies in it.
EVERY_SHARE = SELLABLE.replace("%(skus)s::bigint[]", "NULL::bigint[]").replace("%(at)s", "now()")
BUNDLES_AGAINST_COMPONENTS = f"""
    WITH shares AS ({EVERY_SHARE}), made AS (
        SELECT l.id AS listing_id, l.sku_id, min(coalesce(s.quantity, 0) / c.units) AS quantity
        FROM products_bundlecomponent c
        JOIN products_listing l ON l.sku_id = c.bundle_id AND l.state = 'listed'
        LEFT JOIN shares s ON s.shop_id = l.shop_id AND s.sku_id = c.component_id
        GROUP BY l.id
    )
    SELECT p.listing_id, p.desired_quantity, made.quantity
    FROM made JOIN inventory_publishedstock p ON p.listing_id = made.listing_id
    WHERE p.desired_quantity <> made.quantity AND NOT EXISTS (
        SELECT FROM inventory_stockchange n WHERE n.sku_id = made.sku_id OR n.sku_id IN (
            SELECT component_id FROM products_bundlecomponent WHERE bundle_id = made.sku_id))
    ORDER BY p.listing_id
"""  # noqa: S608 - put together from constants

CHECKS: Sequence[Check] = (
    sql_check(
        "stock.counters_are_in_bounds",
        "No pool has more reserved than granted, no level more committed than on hand, none is negative.",
        OUT_OF_BOUNDS,
        ("table", "id", "sku_id", "total", "taken"),
    ),
    sql_check(
        "stock.granted_equals_on_hand",
        "The pools of a group hold exactly the good units that lie in its locations.",
        GRANTED_AGAINST_ON_HAND,
        ("group_id", "sku_id", "granted", "on_hand"),
    ),
    sql_check(
        "stock.pool_equals_movements",
        "What is free and what is reserved in a pool is the sum of its movements.",
        POOLS_AGAINST_LEDGER,
        ("pool_id", "free", "free_moved", "reserved", "reserved_moved"),
    ),
    sql_check(
        "stock.level_equals_movements",
        "What is free and what is committed at a location is the sum of its movements.",
        LEVELS_AGAINST_LEDGER,
        ("level_id", "free", "free_moved", "committed", "committed_moved"),
    ),
    sql_check(
        "stock.reserved_equals_reservations",
        "What is reserved in a pool is the sum of the live promises from it.",
        RESERVED_AGAINST_PROMISES,
        ("pool_id", "group_id", "sku_id", "kind", "reserved", "promised"),
    ),
    sql_check(
        "stock.committed_equals_reservations",
        "What is committed at a location is the sum of the promises committed there.",
        COMMITTED_AGAINST_PROMISES,
        ("level_id", "location_id", "sku_id", "committed", "promised"),
    ),
    sql_check(
        "stock.promises_equal_movements",
        "What an order line holds is what the ledger says that it was promised, less what it gave back and got.",
        PROMISES_AGAINST_LEDGER,
        ("line_key", "held", "moved"),
    ),
    sql_check(
        "stock.shipped_equals_movements",
        "What was shipped to an order line left the house in the ledger.",
        SHIPPED_AGAINST_LEDGER,
        ("line_key", "shipped", "moved"),
    ),
    sql_check(
        "stock.no_line_is_promised_twice",
        "An order line holds one promise.",
        PROMISED_TWICE,
        ("line_key", "promises", "quantity"),
    ),
    sql_check(
        "stock.nothing_is_owed_and_promised",
        "An order line is not owed units that it holds.",
        OWED_AND_PROMISED,
        ("line_key", "owed", "reason", "promised", "withdrawn"),
    ),
    sql_check(
        "stock.promises_lie_where_they_say",
        "A committed promise names a level of its own SKU, location and group.",
        MISPLACED_PROMISES,
        ("reservation_id", "line_key", "location_id", "level_id", "pool_id"),
    ),
    sql_check(
        "stock.books_do_not_cross",
        "A movement stays in its book: goods or promises.",
        CROSSED_BOOKS,
        ("movement_id", "kind", "sku_id", "from_account", "to_account", "quantity"),
    ),
    sql_check(
        "stock.nothing_is_acknowledged_before_it_is_sent",
        "Acknowledged ≤ sent ≤ desired for every listing.",
        ACKNOWLEDGED_TOO_MUCH,
        ("published_id", "listing_id", "desired_version", "sent_version", "acked_version"),
    ),
    sql_check(
        "stock.acknowledged_is_desired",
        "A listing with nothing due shows the number that we want it to show.",
        ACKNOWLEDGED_OTHER_NUMBER,
        ("published_id", "listing_id", "desired", "acknowledged"),
    ),
    sql_check(
        "stock.published_in_time",
        f"Every number is acknowledged by its channel within {LAG_MAX}.",
        PUBLISHED_LATE,
        ("published_id", "shop_id", "listing_id", "desired", "desired_at", "attempts", "last_error"),
    ),
    sql_check(
        "stock.changes_are_planned",
        f"Every change of stock is looked at within {LAG_MAX}.",
        CHANGES_LEFT_LYING,
        ("sku_id", "since", "changes"),
    ),
    sql_check(
        "stock.bundles_have_none",
        "Nothing lies anywhere as a bundle: only what lies in bundles does.",
        BUNDLES_IN_STOCK,
        ("sku_id", "location_id", "on_hand"),
    ),
    sql_check(
        "stock.bundles_follow_components",
        "A shop shows of a bundle as many as its scarcest component makes.",
        BUNDLES_AGAINST_COMPONENTS,
        ("listing_id", "desired", "possible"),
    ),
    DEMAND_CHECK,
    *QUOTA_CHECKS,
    *network.CHECKS,
    *supply.CHECKS,
    *holds.CHECKS,
)

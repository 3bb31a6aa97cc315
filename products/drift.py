"""Every price of this room, asked again of a source that its writer did not use."""

from __future__ import annotations

from collections.abc import Sequence

from omni.kernel.checks import Check, sql_check

# How long a change that is due may wait for the planner, and a price for a channel's acknowledgement.
LAG_MAX = "10 minutes"

# The price in force for each told listing, counted out by rank instead of sorted; what a change is still noted for, and
# what lies below a floor in whole, is left out.
NOT_IN_FORCE = """
    SELECT p.listing_id, p.desired_amount, best.amount
    FROM products_publishedprice p
    JOIN products_listing l ON l.id = p.listing_id AND l.state = 'listed'
    JOIN products_shop s ON s.id = l.shop_id
    JOIN products_sku k ON k.id = l.sku_id
    CROSS JOIN LATERAL (
        SELECT coalesce((
            SELECT c.amount FROM products_price c
            WHERE c.sku_id = k.id AND c.state = 'approved' AND c.currency = s.currency
              AND tstzrange(c.starts_at, c.ends_at) @> now() AND c.amount >= floor.amount
              AND (c.shop_id = s.id OR (c.shop_id IS NULL AND c.channel IN ('', s.channel)))
            ORDER BY CASE WHEN c.shop_id IS NOT NULL THEN 4 WHEN c.channel <> '' THEN 2 ELSE 0 END
                     + CASE WHEN c.kind = 'special' THEN 1 ELSE 0 END DESC LIMIT 1
        ), CASE WHEN k.currency = s.currency AND k.list_price >= floor.amount THEN k.list_price END) AS amount
        FROM (SELECT coalesce(max(f.amount) FILTER (WHERE f.since = latest.since), 0) AS amount
              FROM products_floorprice f,
                   (SELECT max(since) AS since FROM products_floorprice
                    WHERE sku_id = k.id AND currency = s.currency AND since <= now()) latest
              WHERE f.sku_id = k.id AND f.currency = s.currency) floor
    ) best
    WHERE best.amount IS NOT NULL AND (p.desired_amount <> best.amount OR p.currency <> s.currency)
      AND NOT EXISTS (SELECT FROM products_pricechange c WHERE c.sku_id = k.id AND c.due_at <= now())
    ORDER BY p.listing_id
"""
LEFT_LYING = f"""
    SELECT id, sku_id, due_at FROM products_pricechange WHERE due_at < now() - interval '{LAG_MAX}' ORDER BY due_at, id
"""  # noqa: S608 - a constant
BROKEN_LINES = """
    SELECT p.id, p.succeeded_by_id, p.ends_at, n.starts_at
    FROM products_price p JOIN products_price n ON n.id = p.succeeded_by_id
    WHERE p.state = 'approved' AND (p.ends_at IS DISTINCT FROM n.starts_at OR n.state <> 'approved') ORDER BY p.id
"""
# Nobody approves what was never theirs to approve: who decided stands in the row, and in the audit.
UNSAID_APPROVALS = """
    SELECT p.id, p.decided_by, p.decided_at FROM products_price p
    WHERE p.state = 'approved' AND NOT EXISTS (
        SELECT FROM kernel_auditentry a
        WHERE a.object_kind = 'products.price' AND a.object_id = p.id::text AND a.action = 'price.approved'
          AND a.by = p.decided_by)
    ORDER BY p.id
"""

CHECKS: Sequence[Check] = (
    sql_check(
        "prices.desired_is_in_force",
        "What every channel should show is the price in force.",
        NOT_IN_FORCE,
        ("listing", "desired", "in_force"),
    ),
    sql_check(
        "prices.changes_are_planned",
        "While workers work, every price that begins or ends is planned within ten minutes.",
        LEFT_LYING,
        ("change", "sku", "due_at"),
    ),
    sql_check(
        "prices.lines_are_whole",
        "A price that was followed by another ends when that one starts.",
        BROKEN_LINES,
        ("price", "followed_by", "ends_at", "starts_at"),
    ),
    sql_check(
        "prices.approvals_were_said",
        "Every approved price stands on an entry of the audit that says who approved it.",
        UNSAID_APPROVALS,
        ("price", "decided_by", "decided_at"),
    ),
)

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
# Set against set: what a catalogue in force holds, and what is on sale in its shops. While news of changed products is
# on its way, or the shop has yet to be looked at, the list may be behind.
WRONGLY_OUTSIDE = """
    WITH held AS (
        SELECT c.id AS catalogue_id, k.id AS sku_id FROM products_catalogue c
        JOIN products_sku k ON k.is_active JOIN products_spu p ON p.id = k.spu_id
        WHERE (c.brand_id IS NOT NULL OR c.category_id IS NOT NULL OR c.price_from IS NOT NULL
               OR c.price_to IS NOT NULL OR cardinality(c.tags) > 0 OR cardinality(c.seasons) > 0)
          AND coalesce(c.brand_id, p.brand_id) = p.brand_id
          AND (c.category_id IS NULL OR p.category_id IN (
              SELECT below.id FROM products_category top JOIN products_category below ON below.path ^@ top.path
              WHERE top.id = c.category_id))
          AND (cardinality(c.tags) = 0 OR EXISTS (SELECT unnest(c.tags) INTERSECT SELECT unnest(p.tags)))
          AND (cardinality(c.seasons) = 0 OR array_position(c.seasons, p.season) IS NOT NULL)
          AND (c.price_from IS NULL AND c.price_to IS NULL OR c.currency = k.currency
               AND numrange(c.price_from, c.price_to, '[]') @> k.list_price)
        UNION
        SELECT x.catalogue_id, x.sku_id FROM products_cataloguepick x
        JOIN products_sku k ON k.id = x.sku_id AND k.is_active WHERE x.is_in
        EXCEPT
        SELECT catalogue_id, sku_id FROM products_cataloguepick WHERE NOT is_in
    )
    SELECT l.id, l.shop_id, l.sku_id, o.listing_id IS NOT NULL FROM products_listing l
    JOIN products_shopcatalogue s ON s.shop_id = l.shop_id AND s.is_checked
    JOIN products_catalogue c ON c.id = s.catalogue_id AND c.is_active
    LEFT JOIN held h ON h.catalogue_id = s.catalogue_id AND h.sku_id = l.sku_id
    LEFT JOIN products_outsidelisting o ON o.listing_id = l.id
    WHERE l.state = 'listed' AND (h.sku_id IS NULL) <> (o.listing_id IS NOT NULL)
      AND NOT EXISTS (SELECT FROM kernel_outboxevent WHERE state = 'ready' AND kind LIKE 'products.%%')
    ORDER BY l.id
"""
# A line that is done has left its trace: a draft or more of a listing, or a request that was asked for by the run.
UNDONE_LINES = """
    SELECT r.id, r.run_id, r.shop_id, r.sku_id, r.outcome FROM products_assortmentrow r
    WHERE r.state = 'done' AND NOT CASE r.outcome
        WHEN 'draft' THEN EXISTS (
            SELECT FROM kernel_auditentry a WHERE a.action = 'listing.drafted' AND a.object_kind = 'products.listing'
              AND a.object_id = r.listing_id::text AND a.by = 'assortment:' || r.run_id)
        ELSE EXISTS (
            SELECT FROM products_listingrequest q WHERE q.listing_id = r.listing_id AND q.act = r.outcome
              AND q.requested_by = 'assortment:' || r.run_id) END
    ORDER BY r.id
"""
# What a shop's numbers say is what its lines say.
WRONG_NUMBERS = """
    SELECT s.run_id, s.shop_id, s.done, s.skipped, c.done, c.skipped FROM products_assortmentshop s
    JOIN products_assortmentrun u ON u.id = s.run_id AND NOT u.is_forgotten
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE state = 'done') AS done,
               count(*) FILTER (WHERE state = 'skipped' AND outcome <> 'held_back') AS skipped,
               count(*) FILTER (WHERE state = 'planned') AS planned, count(*) AS lines
        FROM products_assortmentrow r WHERE r.run_id = s.run_id AND r.shop_id = s.shop_id) c
    WHERE s.done <> c.done OR s.skipped <> c.skipped OR s.state = 'applied' AND c.planned > 0
       OR s.state <> 'planning' AND c.lines <> s.drafts + s.publishes + s.withdraws + s.held_back
    ORDER BY s.id
"""
# Bundles hold plain SKUs of their own brand, and their price can be divided.
NESTED_BUNDLES = """
    SELECT c.bundle_id, c.component_id FROM products_bundlecomponent c
    WHERE EXISTS (SELECT FROM products_bundlecomponent i WHERE i.bundle_id = c.component_id)
    ORDER BY c.bundle_id, c.component_id
"""
BUNDLES_OF_TWO_BRANDS = """
    SELECT c.bundle_id, c.component_id FROM products_bundlecomponent c
    JOIN products_sku b ON b.id = c.bundle_id JOIN products_spu bp ON bp.id = b.spu_id
    JOIN products_sku k ON k.id = c.component_id JOIN products_spu kp ON kp.id = k.spu_id
    WHERE bp.brand_id <> kp.brand_id ORDER BY c.bundle_id, c.component_id
"""
HALF_WEIGHED_BUNDLES = """
    SELECT bundle_id, count(*), count(weight), sum(weight) FROM products_bundlecomponent
    GROUP BY bundle_id HAVING count(weight) NOT IN (0, count(*)) OR sum(weight) = 0 ORDER BY bundle_id
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
    sql_check(
        "catalogues.what_is_outside_is_told",
        "What is on sale outside the catalogue of its shop stands in the work queue, and nothing else does.",
        WRONGLY_OUTSIDE,
        ("listing", "shop", "sku", "is_told"),
    ),
    sql_check(
        "assortment.what_is_done_left_a_trace",
        "Every line of a run that is done has its draft, or its request to the channel.",
        UNDONE_LINES,
        ("line", "run", "shop", "sku", "outcome"),
    ),
    sql_check(
        "assortment.numbers_equal_lines",
        "The numbers of each shop of a run are those of its lines.",
        WRONG_NUMBERS,
        ("run", "shop", "done", "skipped", "lines_done", "lines_skipped"),
    ),
    sql_check(
        "bundles.hold_plain_skus",
        "No bundle lies in another bundle.",
        NESTED_BUNDLES,
        ("bundle", "component"),
    ),
    sql_check(
        "bundles.are_of_one_brand",
        "What lies in a bundle belongs to the brand of the bundle.",
        BUNDLES_OF_TWO_BRANDS,
        ("bundle", "component"),
    ),
    sql_check(
        "bundles.prices_can_be_divided",
        "The shares of a bundle's price are said for all of its components or for none, and are not all 0.",
        HALF_WEIGHED_BUNDLES,
        ("bundle", "components", "shares", "sum"),
    ),
)

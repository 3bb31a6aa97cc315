"""Keep what each shop draws on as its rules say: rows for every SKU, and whole sets where something special holds."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db import transaction

from inventory.quota.open import PoolName
from inventory.quota.safety import BUFFERS
from inventory.quota.scopes import DEFAULT_RULES, OWN_RULES
from inventory.record import mark_shares_changed
from omni.kernel.sql import as_array, as_text_array, execute, fetch_all

# Two that derive at once would each miss what the other has read. A crash gives it back.
ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('inventory.quota.derive_draws'))"

# What should be there, of the shops in question:
#
# * `homes`: the groups in which a shop sells, with the rule about every SKU where there is one, else with what was set
#   by hand. `is_own`: units are, or by its mode may be, granted to it alone.
# * `special`: pairs of shop and SKU for which something else holds than for every SKU: a rule of their own, a promotion
#   that keeps them to its lock, or a buffer. What was set for one SKU by hand is nobody else's business.
#
# Of promotions those that run by their state count: to the minute they are kept by the times of their pools.
#
# A group in which there was ever a rule about every SKU, or a row by hand, is open to the shop for all that nothing
# else is said of. A shop always draws on its own units, whatever its mode: what was granted before must not be
# stranded.
DESIRED = f"""
    WITH asked AS MATERIALIZED (
        SELECT id, code FROM products_shop WHERE %(shops)s::bigint[] IS NULL OR id = ANY(%(shops)s::bigint[])
    ), defaults AS MATERIALIZED ({DEFAULT_RULES}),
    homes AS MATERIALIZED (
        SELECT a.id AS shop_id, a.code, h.group_id, h.position, r.id AS rule_id, r.mode, r.maximum,
               coalesce(r.publish_ratio, h.ratio, 1) AS ratio, h.is_open, h.ratio IS NULL AND h.is_open AS is_bare,
               coalesce(r.mode <> 'shared', false) OR EXISTS (
                   SELECT FROM inventory_stockpool p
                   WHERE p.label = a.code AND p.group_id = h.group_id AND p.kind IN ('quota', 'revoking')) AS is_own
        FROM asked a
        JOIN (
            SELECT shop_id, group_id, min(position) AS position, 
                   coalesce(bool_or(is_open) FILTER (WHERE is_hand), bool_or(is_open)) AS is_open,
                   max(ratio) FILTER (WHERE kind = 'shared') AS ratio
            FROM (
                SELECT shop_id, group_id, position, true AS is_hand, kind = 'shared' AS is_open, kind,
                       publish_ratio AS ratio
                FROM inventory_shoppool WHERE sku_id IS NULL AND (origin = 'hand' OR kind = 'shared')
                UNION ALL
                SELECT shop_id, group_id, 0, false, sku_id IS NULL AND category_id IS NULL AND brand_id IS NULL,
                       NULL, NULL
                FROM inventory_quotarule
            ) named GROUP BY shop_id, group_id
        ) h ON h.shop_id = a.id
        LEFT JOIN defaults d ON d.shop_id = a.id AND d.group_id = h.group_id
        LEFT JOIN inventory_quotarule r ON r.id = d.id
    ), locks AS MATERIALIZED (
        SELECT s.shop_id, l.group_id, l.code, l.mode, n.sku_id
        FROM inventory_promotionlock l
        JOIN inventory_promotionlock_shops s ON s.promotionlock_id = l.id
        JOIN inventory_promotionlockline n ON n.lock_id = l.id
        WHERE l.state = 'active' AND s.shop_id IN (SELECT id FROM asked)
    ), own AS MATERIALIZED (
        SELECT o.* FROM ({OWN_RULES}) o WHERE o.shop_id IN (SELECT id FROM asked)
    ), buffers AS MATERIALIZED (
        SELECT * FROM ({BUFFERS}) b WHERE b.shop_id IN (SELECT id FROM asked)
    ), special AS MATERIALIZED (
        SELECT shop_id, sku_id FROM own
        UNION SELECT shop_id, sku_id FROM locks WHERE mode = 'exclusive'
        UNION SELECT shop_id, sku_id FROM buffers
        EXCEPT SELECT shop_id, sku_id FROM inventory_shoppool WHERE sku_id IS NOT NULL AND origin = 'hand'
    ), draws AS MATERIALIZED (
        SELECT h.shop_id, h.code, h.group_id, NULL::bigint AS sku_id, h.position, h.mode, h.ratio, h.maximum,
               0 AS buffer, h.is_own, false AS is_locked, h.rule_id IS NOT NULL OR h.is_bare AS is_by_rule
        FROM homes h
        UNION ALL
        SELECT h.shop_id, h.code, h.group_id, s.sku_id, h.position, coalesce(r.mode, h.mode),
               coalesce(r.publish_ratio, h.ratio), CASE WHEN r.id IS NULL THEN h.maximum ELSE r.maximum END,
               coalesce(b.units, 0),
               coalesce(r.mode, h.mode, 'shared') <> 'shared' OR h.is_own AND EXISTS (
                   SELECT FROM inventory_stockpool p
                   WHERE p.label = h.code AND p.group_id = h.group_id AND p.sku_id = s.sku_id
                     AND p.kind IN ('quota', 'revoking')),
               EXISTS (
                   SELECT FROM locks l WHERE l.shop_id = s.shop_id AND l.sku_id = s.sku_id
                     AND l.group_id = h.group_id AND l.mode = 'exclusive'),
               r.id IS NOT NULL OR h.is_open
        FROM special s
        JOIN homes h ON h.shop_id = s.shop_id
        LEFT JOIN own o ON o.shop_id = s.shop_id AND o.sku_id = s.sku_id AND o.group_id = h.group_id
        LEFT JOIN inventory_quotarule r ON r.id = o.id
        LEFT JOIN buffers b ON b.shop_id = s.shop_id AND b.sku_id = s.sku_id AND b.group_id = h.group_id
    )
    SELECT shop_id, group_id, 'quota' AS kind, code AS label, sku_id, position, 1.0 AS publish_ratio, buffer, maximum
    FROM draws WHERE is_own AND NOT is_locked
    UNION ALL
    SELECT shop_id, group_id, 'revoking', code, sku_id, position, 1.0, 0, maximum FROM draws WHERE is_own
    UNION ALL
    SELECT shop_id, group_id, 'shared', '', sku_id, position, ratio, buffer, maximum
    FROM draws WHERE is_by_rule AND NOT is_locked AND mode IS DISTINCT FROM 'exclusive'
    UNION ALL
    SELECT s.shop_id, h.group_id, h.kind, h.label, s.sku_id, h.position, h.publish_ratio, 0, NULL
    FROM special s
    JOIN inventory_shoppool h ON h.shop_id = s.shop_id AND h.sku_id IS NULL AND h.origin = 'hand'
      AND h.kind <> 'shared'
    UNION ALL
    SELECT DISTINCT d.shop_id, d.group_id, 'lock', l.code, d.sku_id, d.position, 1.0, d.buffer, d.maximum
    FROM draws d
    JOIN locks l ON l.shop_id = d.shop_id AND l.group_id = d.group_id AND (d.sku_id IS NULL OR l.sku_id = d.sku_id)
"""  # noqa: S608 - put together from constants

DERIVE = f"""
    WITH desired AS MATERIALIZED ({DESIRED}), dropped AS (
        DELETE FROM inventory_shoppool s
        WHERE s.origin = 'rule' AND (%(shops)s::bigint[] IS NULL OR s.shop_id = ANY(%(shops)s::bigint[]))
          AND NOT EXISTS (
            SELECT FROM desired d WHERE d.shop_id = s.shop_id AND d.group_id = s.group_id AND d.kind = s.kind
              AND d.label = s.label AND d.sku_id IS NOT DISTINCT FROM s.sku_id)
        RETURNING s.shop_id, s.group_id, s.kind, s.sku_id
    ), written AS (
        INSERT INTO inventory_shoppool AS s
            (shop_id, group_id, kind, label, sku_id, position, publish_ratio, buffer, maximum, origin)
        SELECT shop_id, group_id, kind, label, sku_id, position, publish_ratio, buffer, maximum, 'rule' FROM desired
        ON CONFLICT (shop_id, group_id, kind, label, sku_id) DO UPDATE
        SET position = EXCLUDED.position, publish_ratio = EXCLUDED.publish_ratio, buffer = EXCLUDED.buffer,
            maximum = EXCLUDED.maximum, origin = 'rule'
        WHERE (s.position, s.publish_ratio, s.buffer, s.maximum, s.origin) IS DISTINCT FROM
              (EXCLUDED.position, EXCLUDED.publish_ratio, EXCLUDED.buffer, EXCLUDED.maximum, 'rule')
        RETURNING s.shop_id, s.sku_id
    )
    SELECT shop_id, sku_id FROM written UNION SELECT shop_id, sku_id FROM dropped
"""  # noqa: S608 - put together from constants

# A rule about every SKU takes the place of what was set by hand.
TAKE_FROM_HAND = f"""
    UPDATE inventory_shoppool s SET origin = 'rule'
    WHERE s.origin = 'hand' AND s.sku_id IS NULL AND s.kind = 'shared'
      AND (%(shops)s::bigint[] IS NULL OR s.shop_id = ANY(%(shops)s::bigint[]))
      AND EXISTS (SELECT FROM ({DEFAULT_RULES}) d WHERE d.shop_id = s.shop_id AND d.group_id = s.group_id)
"""  # noqa: S608 - put together from constants
# A shop whose rule about every SKU is gone draws on the shared pool as it would have without it.
GIVE_BACK_TO_HAND = f"""
    UPDATE inventory_shoppool s SET origin = 'hand', maximum = NULL
    WHERE s.origin = 'rule' AND s.sku_id IS NULL AND s.kind = 'shared'
      AND (%(shops)s::bigint[] IS NULL OR s.shop_id = ANY(%(shops)s::bigint[]))
      AND NOT EXISTS (
        SELECT FROM ({DEFAULT_RULES}) d WHERE d.shop_id = s.shop_id AND d.group_id = s.group_id)
"""  # noqa: S608 - put together from constants


# Shops that have a pool of their own, of these, and no row for it: among those for every SKU, which they have as soon
# as they have one such pool, or among those for this SKU, if they have any.
UNDRAWN = """
    SELECT DISTINCT s.id
    FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[]) AS v(group_id, sku_id, kind, label)
    JOIN products_shop s ON s.code = v.label
    WHERE v.kind IN ('quota', 'revoking') AND (
        NOT EXISTS (
            SELECT FROM inventory_shoppool d
            WHERE d.shop_id = s.id AND d.group_id = v.group_id AND d.kind = v.kind AND d.label = v.label
              AND d.sku_id IS NULL)
        OR EXISTS (SELECT FROM inventory_shoppool own WHERE own.shop_id = s.id AND own.sku_id = v.sku_id)
           AND NOT EXISTS (
            SELECT FROM inventory_shoppool d
            WHERE d.shop_id = s.id AND d.group_id = v.group_id AND d.kind = v.kind AND d.label = v.label
              AND d.sku_id = v.sku_id))
"""


@transaction.atomic
def derive_draws(*, shop_ids: Collection[int] | None = None, at: datetime) -> int:
    """Make the derived rows of these shops (None: of all) say what rules, locks and buffers say at this moment.

    Rows that are right already are not touched. What the shops show is planned anew where something has changed.
    Returns how many pairs of shop and SKU, or shops, draw otherwise now.
    """
    fetch_all(ONE_AT_A_TIME)
    shops = None if shop_ids is None else sorted(shop_ids)
    execute(TAKE_FROM_HAND, {"shops": shops})
    execute(GIVE_BACK_TO_HAND, {"shops": shops})
    changed = fetch_all(DERIVE, {"shops": shops, "skus": None, "at": at})
    # A shop that sold its quota alone has its row of the shared pool only now.
    execute(GIVE_BACK_TO_HAND, {"shops": shops})
    whole = {shop_id for shop_id, sku_id in changed if sku_id is None}
    if whole:
        mark_shares_changed(shop_ids=whole)
    rest = {(shop_id, sku_id) for shop_id, sku_id in changed if sku_id is not None and shop_id not in whole}
    if rest:
        mark_shares_changed(
            shop_ids={shop_id for shop_id, _sku_id in rest}, sku_ids={sku_id for _shop_id, sku_id in rest}
        )
    return len(set(changed))


def draw_on_new_pools(names: Collection[PoolName], *, at: datetime) -> None:
    """Have the shops whose own pools these are draw on them: they were opened just now. After the pools were locked."""
    groups, skus, kinds, labels = zip(*names, strict=True)
    columns = [as_array(groups), as_array(skus), as_text_array(kinds), as_text_array(labels)]
    shops = [row[0] for row in fetch_all(UNDRAWN, columns)]
    if shops:
        derive_draws(shop_ids=shops, at=at)

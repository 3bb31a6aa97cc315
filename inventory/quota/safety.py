"""How much of each SKU the safety rules keep in a group, and what single shops leave beyond that."""

from __future__ import annotations

from omni.kernel.sql import fetch_all

# What is kept at each location where a SKU lies, or that a rule names: by its own rule, else by that of the SKU.
_PLACES = """
    WITH kept AS MATERIALIZED (
        SELECT * FROM inventory_safetyrule
        WHERE %(skus)s::bigint[] IS NULL OR sku_id = ANY(%(skus)s::bigint[])
    ), places AS MATERIALIZED (
        SELECT w.sku_id, w.location_id, l.group_id, coalesce(near.units, far.units, 0) AS units
        FROM (
            SELECT v.sku_id, v.location_id FROM inventory_stocklevel v
            WHERE v.grade = 'good' AND v.sku_id IN (SELECT sku_id FROM kept)
            UNION SELECT sku_id, location_id FROM kept WHERE location_id IS NOT NULL
        ) w
        JOIN inventory_location l ON l.id = w.location_id AND l.is_active
        LEFT JOIN kept near ON near.sku_id = w.sku_id AND near.location_id = w.location_id AND near.shop_id IS NULL
        LEFT JOIN kept far ON far.sku_id = w.sku_id AND far.location_id IS NULL
    ),
"""
# Only where a shop has a rule of its own is asked what each shop leaves. What all of a group's shops leave at least is
# kept by the safety pool, for every shop; what one of them leaves beyond that is its buffer.
_LEFT = """
    of_shops AS MATERIALIZED (
        SELECT p.sku_id, p.group_id, p.location_id, s.shop_id, coalesce(r.units, p.units) AS units
        FROM places p
        JOIN (
            SELECT DISTINCT shop_id, group_id FROM inventory_shoppool WHERE kind IN ('shared', 'quota', 'lock')
        ) s ON s.group_id = p.group_id
        LEFT JOIN kept r ON r.sku_id = p.sku_id AND r.location_id = p.location_id AND r.shop_id = s.shop_id
        WHERE (p.sku_id, p.group_id) IN (
            SELECT k.sku_id, l.group_id FROM kept k JOIN inventory_location l ON l.id = k.location_id
            WHERE k.shop_id IS NOT NULL)
    ), least AS MATERIALIZED (
        SELECT sku_id, group_id, location_id, min(units) AS units FROM of_shops GROUP BY 1, 2, 3
    )
"""
# (group_id, sku_id, units) that the safety pool should hold.
TARGETS = f"""{_PLACES}{_LEFT}
    SELECT p.group_id, p.sku_id, sum(coalesce(m.units, p.units))::int
    FROM places p LEFT JOIN least m USING (sku_id, group_id, location_id)
    GROUP BY p.group_id, p.sku_id ORDER BY p.group_id, p.sku_id
"""  # noqa: S608 - put together from constants
# (shop_id, group_id, sku_id, units) that a shop leaves beyond what the safety pool holds.
BUFFERS = f"""{_PLACES}{_LEFT}
    SELECT s.shop_id, s.group_id, s.sku_id, sum(s.units - m.units)::int AS units
    FROM of_shops s JOIN least m USING (sku_id, group_id, location_id)
    GROUP BY s.shop_id, s.group_id, s.sku_id HAVING sum(s.units - m.units) > 0
"""  # noqa: S608 - put together from constants


def safety_targets(sku_ids: list[int] | None = None) -> dict[int, dict[int, int]]:
    """Units that each group should keep of each SKU that a safety rule names: by group id, then by SKU id."""
    targets: dict[int, dict[int, int]] = {}
    for group_id, sku_id, units in fetch_all(TARGETS, {"skus": sku_ids}):
        targets.setdefault(group_id, {})[sku_id] = units
    return targets

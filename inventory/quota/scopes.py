"""Which rule holds for a SKU: the most specific of those whose scope it lies in."""

from __future__ import annotations

from omni.kernel.sql import fetch_all

# The rules of one table with the SKUs that each is about, by the columns of `SkuScope`; those about every SKU are left
# out. The most specific comes first: the SKU, then the deepest category, then the brand; of equals the older. `{table}`
# has `is_active`. Parameter `skus`: an array, or NULL for all.
SCOPED = """
    SELECT r.*, r.sku_id AS about_id, 3 AS specific, 0 AS depth FROM {table} r
    WHERE r.is_active AND r.sku_id IS NOT NULL
      AND (%(skus)s::bigint[] IS NULL OR r.sku_id = ANY(%(skus)s::bigint[]))
    UNION ALL
    SELECT r.*, k.id, 2, length(rc.path) FROM {table} r
    JOIN products_category rc ON rc.id = r.category_id
    JOIN products_category c ON starts_with(c.path, rc.path)
    JOIN products_spu p ON p.category_id = c.id
    JOIN products_sku k ON k.spu_id = p.id
    WHERE r.is_active AND (%(skus)s::bigint[] IS NULL OR k.id = ANY(%(skus)s::bigint[]))
    UNION ALL
    SELECT r.*, k.id, 1, 0 FROM {table} r
    JOIN products_spu p ON p.brand_id = r.brand_id
    JOIN products_sku k ON k.spu_id = p.id
    WHERE r.is_active AND (%(skus)s::bigint[] IS NULL OR k.id = ANY(%(skus)s::bigint[]))
"""
ABOUT_ALL = "r.is_active AND r.sku_id IS NULL AND r.category_id IS NULL AND r.brand_id IS NULL"

# One row per (group, shop, SKU) that a rule of its own is about: (id of the rule, group_id, shop_id, sku_id).
OWN_RULES = f"""
    SELECT DISTINCT ON (group_id, shop_id, about_id) id, group_id, shop_id, about_id AS sku_id
    FROM ({SCOPED.format(table="inventory_quotarule")}) scoped
    ORDER BY group_id, shop_id, about_id, specific DESC, depth DESC, id
"""  # noqa: S608 - put together from constants
# The rules about every SKU: one row per (group, shop).
DEFAULT_RULES = f"""
    SELECT r.id, r.group_id, r.shop_id FROM inventory_quotarule r WHERE {ABOUT_ALL}
"""  # noqa: S608 - put together from constants
# Both together, for the SKUs of the array `skus`, which may not be NULL here.
RULES_HELD = f"""
    WITH own AS MATERIALIZED ({OWN_RULES})
    SELECT id, group_id, shop_id, sku_id FROM own
    UNION ALL
    SELECT d.id, d.group_id, d.shop_id, k.sku_id
    FROM ({DEFAULT_RULES}) d CROSS JOIN unnest(%(skus)s::bigint[]) AS k(sku_id)
    WHERE NOT EXISTS (
        SELECT FROM own o WHERE o.group_id = d.group_id AND o.shop_id = d.shop_id AND o.sku_id = k.sku_id)
"""  # noqa: S608 - put together from constants


def rules_held(sku_ids: list[int]) -> dict[tuple[int, int, int], int]:
    """The quota rule that holds, by (group id, shop id, SKU id); where none does there is no entry."""
    rows = fetch_all(RULES_HELD, {"skus": sku_ids})
    return {(group_id, shop_id, sku_id): ident for ident, group_id, shop_id, sku_id in rows}

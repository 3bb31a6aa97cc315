"""Which rule holds for a SKU: the SQL that picks the most specific of those that fit."""

from __future__ import annotations

# A rule of the SKU itself comes before one of its deepest category, that before one of its brand, that before one for
# every SKU. Each branch is a join on a key, so that thousands of rules of single SKUs meet thousands of SKUs once; a
# category meets the few categories below it. `scoped` has one row per rule and SKU that it fits: id, sku_id, rank.
_SCOPED = """
    SELECT r.id, k.id AS sku_id, 0 AS rank FROM {table} r JOIN products_sku k ON k.id = r.sku_id
    WHERE r.is_active AND k.is_active AND {skus}
    UNION ALL
    SELECT r.id, k.id, 1000 - length(top.path) FROM {table} r
    JOIN products_category top ON top.id = r.category_id
    JOIN products_category c ON starts_with(c.path, top.path)
    JOIN products_spu u ON u.category_id = c.id
    JOIN products_sku k ON k.spu_id = u.id
    WHERE r.is_active AND k.is_active AND {skus}
    UNION ALL
    SELECT r.id, k.id, 2000 FROM {table} r
    JOIN products_spu u ON u.brand_id = r.brand_id
    JOIN products_sku k ON k.spu_id = u.id
    WHERE r.is_active AND k.is_active AND {skus}
    UNION ALL
    SELECT r.id, k.id, 3000 FROM {table} r CROSS JOIN products_sku k
    WHERE r.is_active AND k.is_active AND r.sku_id IS NULL AND r.category_id IS NULL AND r.brand_id IS NULL AND {skus}
"""


def scoped_rules(table: str) -> str:
    """SELECT id, sku_id, rank of every rule of the table with every active SKU that it fits, bundles left out.

    The lowest rank is the most specific. Takes the parameter `skus`, NULL for all.
    """
    skus = (
        "(%(skus)s::bigint[] IS NULL OR k.id = ANY(%(skus)s::bigint[]))"
        " AND NOT EXISTS (SELECT FROM products_bundlecomponent bundled WHERE bundled.bundle_id = k.id)"
    )
    return _SCOPED.format(table=table, skus=skus)

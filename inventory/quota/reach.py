"""How many SKUs a quota rule is about, and for how many of them a more specific one holds."""

from __future__ import annotations

from dataclasses import dataclass

from omni.kernel.sql import fetch_all

# `lying`: something of it lies in the group. What is more specific than the rule in question: the SKU, then a deeper
# category, then the brand. Parameters name its scope, at most one of them.
REACH = """
    WITH place AS (
        SELECT (SELECT path FROM products_category WHERE id = %(category)s) AS path
    ), about AS (
        SELECT k.id, p.brand_id, c.path,
               EXISTS (
                   SELECT FROM inventory_stockpool s
                   WHERE s.sku_id = k.id AND s.group_id = %(group)s AND s.granted > 0) AS is_lying
        FROM products_sku k
        JOIN products_spu p ON p.id = k.spu_id
        LEFT JOIN products_category c ON c.id = p.category_id
        CROSS JOIN place
        WHERE (%(sku)s::bigint IS NULL OR k.id = %(sku)s)
          AND (%(category)s::bigint IS NULL OR starts_with(c.path, place.path))
          AND (%(brand)s::bigint IS NULL OR p.brand_id = %(brand)s)
    ), others AS (
        SELECT r.sku_id, r.brand_id, rc.path FROM inventory_quotarule r
        LEFT JOIN products_category rc ON rc.id = r.category_id
        CROSS JOIN place
        WHERE r.is_active AND r.shop_id = %(shop)s AND r.group_id = %(group)s AND %(sku)s::bigint IS NULL AND (
            r.sku_id IS NOT NULL
            OR rc.path IS NOT NULL AND (%(category)s::bigint IS NULL OR length(rc.path) > length(place.path))
            OR r.brand_id IS NOT NULL AND %(category)s::bigint IS NULL AND %(brand)s::bigint IS NULL)
    )
    SELECT count(*), count(*) FILTER (WHERE a.is_lying),
           count(*) FILTER (WHERE EXISTS (
               SELECT FROM others o
               WHERE o.sku_id = a.id OR starts_with(a.path, o.path) OR o.brand_id = a.brand_id))
    FROM about a
"""


@dataclass(frozen=True, slots=True)
class Reach:
    """`skus` in the scope, of which some lie in the group now; for `overruled` of them another rule holds."""

    skus: int
    lying: int
    overruled: int


def reach_of(
    *,
    group_id: int,
    shop_id: int,
    sku_id: int | None = None,
    category_id: int | None = None,
    brand_id: int | None = None,
) -> Reach:
    """What a rule of this scope is about. It counts all SKUs of the scope: ask for one rule, not for a list."""
    scope = {"group": group_id, "shop": shop_id, "sku": sku_id, "category": category_id, "brand": brand_id}
    return Reach(*fetch_all(REACH, scope)[0])

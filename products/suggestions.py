"""Which SKU an unmapped item of a channel may be: by the seller's code, by barcode, by what it is called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from omni.kernel.sql import fetch_all
from products.models import OuterItem

BY_TITLE_MAX = 5
# Below this two titles have little more in common than the brand.
SIMILARITY_MIN = 0.3

# A shop with a brand sells that brand's SKUs; one without sells all. Codes are looked for in capitals and in small
# letters too, because some channels turn them. Every branch is an equality that a unique index answers.
EXACT = """
    WITH wanted AS (
        SELECT o.id, o.outer_code, o.barcode, s.brand_id FROM products_outeritem o
        JOIN products_shop s ON s.id = o.shop_id WHERE o.id = ANY(%(ids)s)
    )
    SELECT w.id, k.id, k.code, k.name, m.rank FROM wanted w
    CROSS JOIN LATERAL (
        SELECT c.id AS sku_id, 1 AS rank FROM products_sku c WHERE w.outer_code <> '' AND c.code = w.outer_code
        UNION ALL
        SELECT b.sku_id, 2 FROM products_barcode b WHERE w.barcode <> '' AND b.code = w.barcode
        UNION ALL
        SELECT b.sku_id, 2 FROM products_barcode b WHERE w.outer_code <> '' AND b.code = w.outer_code
        UNION ALL
        SELECT c.id, 3 FROM products_sku c
        WHERE c.code IN (upper(w.outer_code), lower(w.outer_code)) AND c.code <> w.outer_code
    ) m
    JOIN products_sku k ON k.id = m.sku_id
    JOIN products_spu p ON p.id = k.spu_id
    WHERE w.brand_id IS NULL OR p.brand_id = w.brand_id
    ORDER BY w.id, m.rank, k.code
"""
BY_TITLE = """
    SELECT k.id, k.code, k.name FROM products_sku k JOIN products_spu p ON p.id = k.spu_id
    WHERE k.is_active AND k.name %% %(title)s AND similarity(k.name, %(title)s) >= %(min)s
      AND (%(brand)s::bigint IS NULL OR p.brand_id = %(brand)s)
    ORDER BY similarity(k.name, %(title)s) DESC, k.code LIMIT %(limit)s
"""
Reason = Literal["code", "barcode", "code_case", "title"]
REASONS: dict[int, Reason] = {1: "code", 2: "barcode", 3: "code_case"}


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A SKU that it may be. `is_certain`: the code or the barcode is the very same, and no other SKU fits as well."""

    sku_id: int
    code: str
    name: str
    reason: Reason
    is_certain: bool


def suggest_skus(items: Sequence[OuterItem]) -> dict[int, list[Suggestion]]:
    """What each item may be by its code and barcode, the best first, in one statement; not in it: no idea.

    Where code and barcode name two different SKUs, neither is certain.
    """
    found: dict[int, dict[int, tuple[str, str, int]]] = {}
    for item_id, sku_id, code, name, rank in fetch_all(EXACT, {"ids": [item.pk for item in items]}):
        found.setdefault(item_id, {}).setdefault(sku_id, (code, name, rank))
    return {
        item_id: [
            Suggestion(sku_id, code, name, REASONS[rank], is_certain=len(skus) == 1)
            for sku_id, (code, name, rank) in skus.items()
        ]
        for item_id, skus in found.items()
    }


def suggest_by_title(item: OuterItem) -> list[Suggestion]:
    """The SKUs whose names are most like the title of one item; a guess, never certain."""
    if not item.title:
        return []
    rows = fetch_all(
        BY_TITLE,
        {
            "title": item.title,
            "brand": item.shop.brand_id,
            "min": SIMILARITY_MIN,
            "limit": BY_TITLE_MAX,
        },
    )
    return [Suggestion(sku_id, code, name, "title", is_certain=False) for sku_id, code, name in rows]

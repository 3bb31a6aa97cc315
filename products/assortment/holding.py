"""What the catalogues hold: asked of the master at the moment, never of a copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from omni.kernel.sql import as_array, fetch_all
from products.assortment.conditions import HOLDS

# A catalogue as the wish that FITTING reads, and a SKU with all that it reads of it.
CATALOGUES = """
    SELECT w.*, t.path FROM products_catalogue w LEFT JOIN products_category t ON t.id = w.category_id
"""
GOODS = """
    products_sku k JOIN products_spu p ON p.id = k.spu_id LEFT JOIN products_category c ON c.id = p.category_id
"""
PICK = "products_cataloguepick x ON x.catalogue_id = w.id AND x.sku_id = k.id"

# Plan: the pairs first, then keys only.
OUTSIDE = f"""
    SELECT v.shop_id, v.sku_id, w.code, w.name
    FROM unnest(%s::bigint[], %s::bigint[]) AS v(shop_id, sku_id)
    JOIN products_shopcatalogue s ON s.shop_id = v.shop_id
    JOIN ({CATALOGUES}) w ON w.id = s.catalogue_id AND w.is_active
    JOIN ({GOODS}) ON k.id = v.sku_id
    LEFT JOIN {PICK}
    WHERE NOT {HOLDS}
"""  # noqa: S608 - constants
# For the look-up `pk IN (…)`: the SKUs of one catalogue.
HELD_IDS = f"""
    (SELECT k.id FROM ({CATALOGUES}) w CROSS JOIN ({GOODS}) LEFT JOIN {PICK} WHERE w.id = %s AND {HOLDS})
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class CatalogueName:
    """The catalogue that does not hold something."""

    code: str
    name: str


def outside_pairs(pairs: Sequence[tuple[int, int]]) -> dict[tuple[int, int], CatalogueName]:
    """Of these (shop, SKU) pairs, those whose shop has a catalogue in force that does not hold the SKU.

    In one statement.
    """
    if not pairs:
        return {}
    shops, skus = as_array(shop for shop, _sku in pairs), as_array(sku for _shop, sku in pairs)
    return {
        (shop_id, sku_id): CatalogueName(code, name)
        for shop_id, sku_id, code, name in fetch_all(OUTSIDE, [shops, skus])
    }

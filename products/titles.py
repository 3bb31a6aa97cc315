"""What a channel's item is called: as the shop says, else as the master says."""

from __future__ import annotations

# Of listing `l`, its SKU `k` and that one's product `u`. An item of which a channel has SKUs is the whole product; an
# item without is the SKU.
TITLE = "CASE WHEN l.title <> '' THEN l.title WHEN l.outer_sku_id = '' THEN k.name ELSE u.name END"
# An item has one title, however many listings: that of its first listing. Plan: an_outer_sku_names_one_sku.
LEADS = """
    NOT EXISTS (SELECT FROM products_listing e WHERE e.shop_id = l.shop_id AND e.outer_item_id = l.outer_item_id
                AND e.id < l.id)
"""


def shown_title(*, own: str, has_skus: bool, sku_name: str, product_name: str) -> str:
    """The same for one listing: its shop's own title, else the name of the product or, without SKUs, of the SKU."""
    return own or (product_name if has_skus else sku_name)

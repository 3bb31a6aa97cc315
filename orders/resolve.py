"""Which of our SKUs an outer line means: by listing first, then by the seller's own code."""

from __future__ import annotations

from collections.abc import Iterable

from omni.kernel.sql import as_text_array, fetch_all
from orders.draft import LineDraft, OrderDraft
from products.bundles import Component, components_of

# Whether it is a bundle is asked along the way: one look into an index that is empty where nobody sells bundles.
BY_LISTING = """
    SELECT l.outer_item_id, l.outer_sku_id, l.sku_id,
           EXISTS (SELECT FROM products_bundlecomponent c WHERE c.bundle_id = l.sku_id)
    FROM products_listing l
    JOIN unnest(%s::text[], %s::text[]) AS w(item, sku) ON l.outer_item_id = w.item AND l.outer_sku_id = w.sku
    WHERE l.shop_id = %s
"""
BY_CODE = """
    SELECT k.code, k.id, EXISTS (SELECT FROM products_bundlecomponent c WHERE c.bundle_id = k.id)
    FROM products_sku k WHERE k.code = ANY(%s::text[])
"""


class SkuFinder:
    """The SKUs of a whole batch of drafts, found with at most two queries; one more if any of them is a bundle.

    `bundles`: what lies in those that are, by their ids.
    """

    def __init__(self, *, shop_id: int, drafts: Iterable[OrderDraft]) -> None:
        lines = [line for draft in drafts for line in draft.lines]
        outer = {(line.outer_item_id, line.outer_sku_id) for line in lines if line.outer_item_id}
        self._by_listing: dict[tuple[str, str], int] = {}
        bundles: set[int] = set()
        if outer:
            items, skus = zip(*outer, strict=True)
            rows = fetch_all(BY_LISTING, [as_text_array(items), as_text_array(skus), shop_id])
            self._by_listing = {(item, sku): ident for item, sku, ident, _is_bundle in rows}
            bundles |= {ident for _item, _sku, ident, is_bundle in rows if is_bundle}
        codes = {
            line.sku_code
            for line in lines
            if line.sku_code and (line.outer_item_id, line.outer_sku_id) not in self._by_listing
        }
        rows = fetch_all(BY_CODE, [as_text_array(codes)]) if codes else []
        self._by_code: dict[str, int] = {code: ident for code, ident, _is_bundle in rows}
        bundles |= {ident for _code, ident, is_bundle in rows if is_bundle}
        self.bundles: dict[int, list[Component]] = components_of(bundles) if bundles else {}

    def find(self, line: LineDraft) -> int | None:
        """The SKU's id, or None: nobody has said yet which SKU this is."""
        return self._by_listing.get((line.outer_item_id, line.outer_sku_id)) or self._by_code.get(
            line.sku_code
        )

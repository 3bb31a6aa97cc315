"""What is shown where: a listing's own pictures, or those of its SKU, or those of the product."""

from __future__ import annotations

from collections.abc import Sequence

from omni.kernel.sql import as_array, fetch_all

SHOWN = """
    SELECT l.id, COALESCE(own.images, of_sku.images, of_spu.images, '{}')
    FROM products_listing l JOIN products_sku s ON s.id = l.sku_id
    LEFT JOIN LATERAL (
        SELECT array_agg(u.image_id ORDER BY u.position) FROM products_imageuse u WHERE u.listing_id = l.id
    ) AS own(images) ON true
    LEFT JOIN LATERAL (
        SELECT array_agg(u.image_id ORDER BY u.position) FROM products_imageuse u WHERE u.sku_id = s.id
    ) AS of_sku(images) ON true
    LEFT JOIN LATERAL (
        SELECT array_agg(u.image_id ORDER BY u.position) FROM products_imageuse u WHERE u.spu_id = s.spu_id
    ) AS of_spu(images) ON true
    WHERE l.id = ANY(%s::bigint[])
"""


def images_of_listings(listing_ids: Sequence[int]) -> dict[int, list[int]]:
    """Which pictures each listing shows, in their order; nothing of its own: its SKU's, else its product's."""
    return {ident: list(images) for ident, images in fetch_all(SHOWN, [as_array(listing_ids)])}

"""Whoever decides on prices or floors of a SKU holds the SKU: SKUs by id, then prices by id."""

from __future__ import annotations

from collections.abc import Sequence

from omni.kernel.sql import fetch_all
from products.models import Price

# Not in the way of anybody who only refers to the SKU: orders, stock and listings take no stronger lock than KEY SHARE.
LOCK_SKUS = "SELECT id FROM products_sku WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"


def lock_skus(sku_ids: Sequence[int]) -> None:
    fetch_all(LOCK_SKUS, [list(sku_ids)])


def lock_prices(price_ids: Sequence[int]) -> dict[int, Price]:
    """The prices by id with their SKUs' codes, held until the transaction ends; ids that are none are left out."""
    wanted = set(price_ids)
    lock_skus(sorted(set(Price.objects.filter(pk__in=wanted).values_list("sku_id", flat=True))))
    rows = Price.objects.select_for_update(no_key=True, of=("self",)).filter(pk__in=wanted).order_by("pk")
    return {price.pk: price for price in rows}

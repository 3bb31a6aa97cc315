"""Whenever that happens below, mark whose published stock must be computed and told anew."""

from __future__ import annotations

from django.db import transaction

from inventory.record import mark_untold
from products.events import ListingsChanged


@transaction.atomic
def tell_stock_soon(event: ListingsChanged) -> None:
    mark_untold(shop_id=event.shop_id, sku_ids=event.sku_ids)

"""Whenever that happens, do this."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from products.events import ListingsChanged, ProductsChanged
from products.models import Sku
from products.prices.change import mark_price_changes
from products.update import update_changed_products


@transaction.atomic
def tell_prices_soon(event: ListingsChanged) -> None:
    """What a shop lists anew may show any price: it is told ours, if it has one."""
    at = timezone.now()
    moments = [(sku_id, at) for sku_id in event.sku_ids]
    mark_price_changes(moments=moments, at=at, shop_id=event.shop_id)


@transaction.atomic
def tell_list_prices_soon(event: ProductsChanged) -> None:
    """A list price stands behind every other one: where it is another now, shops that were told of it hear of it."""
    at = timezone.now()
    of_products = Sku.objects.filter(spu_id__in=event.spu_ids)
    sku_ids = {*event.sku_ids, *of_products.values_list("pk", flat=True)}
    mark_price_changes(moments=[(sku_id, at) for sku_id in sorted(sku_ids)], at=at)


def update_listings_soon(event: ProductsChanged) -> None:
    """Items that bear the names of the master bear the new ones."""
    update_changed_products(spu_ids=event.spu_ids, sku_ids=event.sku_ids, at=timezone.now())

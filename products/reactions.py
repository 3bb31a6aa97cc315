"""Whenever that happens, do this."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from products.assortment.notice import note_outside_listings
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
    mark_price_changes(moments=[(sku_id, at) for sku_id in sorted(_skus_of(event))], at=at)


def look_at_listed_skus(event: ListingsChanged) -> None:
    """What comes on sale by a way of its own (mapped, by hand, by a file) may not be in the catalogue of its shop."""
    note_outside_listings(shop_ids=[event.shop_id], sku_ids=event.sku_ids, at=timezone.now())


def look_at_changed_products(event: ProductsChanged) -> None:
    """What is said otherwise of a product may put it into a catalogue, or out of it."""
    note_outside_listings(sku_ids=_skus_of(event), at=timezone.now())


def _skus_of(event: ProductsChanged) -> set[int]:
    of_products = Sku.objects.filter(spu_id__in=event.spu_ids)
    return {*event.sku_ids, *of_products.values_list("pk", flat=True)}


def update_listings_soon(event: ProductsChanged) -> None:
    """Items that bear the names of the master bear the new ones."""
    update_changed_products(spu_ids=event.spu_ids, sku_ids=event.sku_ids, at=timezone.now())

"""Whenever that happens below or here, mark whose published stock must be computed anew, and what is to be granted."""

from __future__ import annotations

from django.db import transaction

from inventory.events import StockRaised
from inventory.quota.rebalance import mark_supply
from inventory.record import mark_changed, mark_untold
from products.events import BundlesChanged, ListingsChanged


@transaction.atomic
def tell_stock_soon(event: ListingsChanged) -> None:
    mark_untold(shop_id=event.shop_id, sku_ids=event.sku_ids)


@transaction.atomic
def plan_bundles_soon(event: BundlesChanged) -> None:
    """With other components, other numbers can be sold: of what is a bundle now, and of what is none any more."""
    mark_changed(event.sku_ids)


def grant_supply_soon(event: StockRaised) -> None:
    """Where a policy says so, what has come in is granted to the quotas."""
    mark_supply(event.sku_ids)

"""Make the real Medusa that runs on this machine the demo's web shop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from integrations.models import Connection
from inventory.publish import plan_all_published_stock
from omni.devstack.peers.medusa.api import Json, open_admin
from products.models import Listing, Shop, Sku

SHOP_CODE = "webshop"


class NoWebshop(Exception):
    """This copy has no demo data: `manage.py demo` makes it."""


@dataclass(frozen=True, slots=True)
class Connected:
    """`unknown`: codes that the shop sells and this copy does not have; nobody tells the shop their stock."""

    listings: int
    unknown: list[str]


def connect_webshop(*, about: Mapping[str, Any], at: datetime) -> Connected:
    """Point the demo's connection at the shop, link its variants to the SKUs of the same code, switch it on.

    `about`: what `python -m omni.devstack.peers.medusa status` prints. Done again, it changes only what is different;
    variants that the shop has no longer are delisted.
    """
    admin = open_admin(base_url=about["base_url"], email=about["email"], password=about["password"])
    variants = admin.get(
        "/admin/product-variants", limit=1000, fields="id,sku,title,product_id,product.title,prices.amount"
    )["variants"]
    return _connect(about=about, variants={row["sku"]: row for row in variants if row["sku"]}, at=at)


@transaction.atomic
def _connect(*, about: Mapping[str, Any], variants: Mapping[str, Json], at: datetime) -> Connected:
    shop = Shop.objects.filter(code=SHOP_CODE).first()
    if shop is None:
        raise NoWebshop("there is no demo shop to connect: run `manage.py demo` first")
    skus = {sku.code: sku for sku in Sku.objects.filter(code__in=variants).select_related("spu")}
    listings = [
        Listing(
            shop=shop,
            sku=sku,
            outer_item_id=variants[code]["product_id"],
            outer_sku_id=variants[code]["id"],
            title=_own_title(variants[code]["product"]["title"], sku),
            price=sku.list_price,
            state=Listing.State.LISTED,
        )
        for code, sku in skus.items()
    ]
    Listing.objects.bulk_create(
        listings,
        update_conflicts=True,
        unique_fields=["shop", "outer_item_id", "outer_sku_id"],
        update_fields=["sku", "title", "state"],
    )
    known = [listing.outer_sku_id for listing in listings]
    shop.listings.exclude(outer_sku_id__in=known).update(state=Listing.State.DELISTED)
    Connection.objects.update_or_create(
        code=SHOP_CODE,
        defaults={
            "kind": Connection.Kind.CHANNEL,
            "adapter": "medusa",
            "shop": shop,
            "base_url": about["base_url"],
            "credentials": {"email": about["email"], "password": about["password"]},
            "settings": {"location_id": about["location_id"], "sales_channel_id": about["sales_channel_id"]},
            "is_active": True,
        },
    )
    plan_all_published_stock(at=at)
    return Connected(listings=len(listings), unknown=sorted(set(variants) - set(skus)))


def _own_title(shown: str, sku: Sku) -> str:
    """What the shop calls the item by itself; called as the master calls the product, it follows the master."""
    return "" if shown == sku.spu.name else shown

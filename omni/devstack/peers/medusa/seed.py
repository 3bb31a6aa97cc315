"""Fills the shop: where it sells, what it sells, from where it ships. Run again, it adds only what is missing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, TypedDict

from omni.devstack.peers.medusa.api import Api, Json

SHOP_NAME = "Omni web shop"
LOCATION_NAME = "Main warehouse"


class CatalogueEntry(TypedDict, total=False):
    """One SKU on sale. Entries of the same title are the variants of one product."""

    sku_code: str
    title: str
    variant: str
    price: str | float
    quantity: int


def seed_shop(*, admin: Api, catalogue: Sequence[CatalogueEntry]) -> Json:
    """Region, sales channel, stock location, shipping, publishable key, products with stock.

    Returns the ids that a connection of Omni and a shopper need.
    """
    channel = _sales_channel(admin)
    _sell_in_yuan(admin, channel_id=channel)
    region = _region(admin)
    location = _stock_location(admin, channel_id=channel)
    profile = _shipping_profile(admin)
    _shipping_option(admin, location_id=location, profile_id=profile)
    key = _publishable_key(admin, channel_id=channel)
    _products(admin, catalogue=catalogue, channel_id=channel, location_id=location, profile_id=profile)
    return {
        "publishable_key": key,
        "sales_channel_id": channel,
        "location_id": location,
        "region_id": region,
    }


def _first(rows: Sequence[Json], *, name: str) -> Json | None:
    return next((row for row in rows if row.get("name") == name), None)


def _sales_channel(admin: Api) -> str:
    found = _first(admin.get("/admin/sales-channels", limit=100)["sales_channels"], name=SHOP_NAME)
    found = found or admin.post("/admin/sales-channels", {"name": SHOP_NAME})["sales_channel"]
    return str(found["id"])


def _sell_in_yuan(admin: Api, *, channel_id: str) -> None:
    store = admin.get("/admin/stores")["stores"][0]
    admin.post(
        f"/admin/stores/{store['id']}",
        {
            "supported_currencies": [{"currency_code": "cny", "is_default": True}, {"currency_code": "usd"}],
            "default_sales_channel_id": channel_id,
        },
    )


def _region(admin: Api) -> str:
    found = _first(admin.get("/admin/regions", limit=100)["regions"], name="China")
    found = (
        found
        or admin.post(
            "/admin/regions",
            {
                "name": "China",
                "currency_code": "cny",
                "countries": ["cn"],
                "payment_providers": ["pp_system_default"],
            },
        )["region"]
    )
    return str(found["id"])


def _stock_location(admin: Api, *, channel_id: str) -> str:
    found = _first(admin.get("/admin/stock-locations", limit=100)["stock_locations"], name=LOCATION_NAME)
    if found is None:
        found = admin.post(
            "/admin/stock-locations",
            {"name": LOCATION_NAME, "address": {"address_1": "1 Peer Road", "country_code": "cn"}},
        )["stock_location"]
        admin.post(f"/admin/stock-locations/{found['id']}/sales-channels", {"add": [channel_id]})
        admin.post(f"/admin/stock-locations/{found['id']}/fulfillment-providers", {"add": ["manual_manual"]})
    return str(found["id"])


def _shipping_profile(admin: Api) -> str:
    rows = admin.get("/admin/shipping-profiles", limit=100)["shipping_profiles"]
    found = next((row for row in rows if row["type"] == "default"), None)
    found = (
        found
        or admin.post("/admin/shipping-profiles", {"name": "Default", "type": "default"})["shipping_profile"]
    )
    return str(found["id"])


def _shipping_option(admin: Api, *, location_id: str, profile_id: str) -> None:
    path = f"/admin/stock-locations/{location_id}"
    fields = (
        "*fulfillment_sets,*fulfillment_sets.service_zones,*fulfillment_sets.service_zones.shipping_options"
    )

    def ships_from() -> list[Json]:
        rows: list[Json] = admin.get(path, fields=fields)["stock_location"].get("fulfillment_sets") or []
        return rows

    if not ships_from():
        admin.post(f"{path}/fulfillment-sets", {"name": "Parcels", "type": "shipping"})
    parcels = ships_from()[0]
    if not parcels.get("service_zones"):
        admin.post(
            f"/admin/fulfillment-sets/{parcels['id']}/service-zones",
            {"name": "China", "geo_zones": [{"type": "country", "country_code": "cn"}]},
        )
    zone = ships_from()[0]["service_zones"][0]
    if zone.get("shipping_options"):
        return
    admin.post(
        "/admin/shipping-options",
        {
            "name": "Courier",
            "service_zone_id": zone["id"],
            "shipping_profile_id": profile_id,
            "provider_id": "manual_manual",
            "price_type": "flat",
            "type": {"label": "Courier", "description": "Two to three days", "code": "courier"},
            "prices": [{"currency_code": "cny", "amount": 10}],
            "rules": [
                {"attribute": "enabled_in_store", "value": "true", "operator": "eq"},
                {"attribute": "is_return", "value": "false", "operator": "eq"},
            ],
        },
    )


def _publishable_key(admin: Api, *, channel_id: str) -> str:
    rows = admin.get("/admin/api-keys", type="publishable", limit=100)["api_keys"]
    found = next((row for row in rows if row["title"] == SHOP_NAME and not row.get("revoked_at")), None)
    if found is None:
        found = admin.post("/admin/api-keys", {"title": SHOP_NAME, "type": "publishable"})["api_key"]
        admin.post(f"/admin/api-keys/{found['id']}/sales-channels", {"add": [channel_id]})
    return str(found["token"])


def _products(
    admin: Api, *, catalogue: Sequence[CatalogueEntry], channel_id: str, location_id: str, profile_id: str
) -> None:
    by_title: dict[str, list[CatalogueEntry]] = defaultdict(list)
    for entry in catalogue:
        by_title[entry["title"]].append(entry)
    on_sale = {row["sku"] for row in _all(admin, "/admin/product-variants", key="variants", fields="sku")}
    for title, entries in by_title.items():
        missing = [entry for entry in entries if entry["sku_code"] not in on_sale]
        if not missing:
            continue
        # The option values are the SKU codes when the entry names no variant: they are unique, as Medusa asks.
        names = [str(entry.get("variant") or entry["sku_code"]) for entry in missing]
        admin.post(
            "/admin/products",
            {
                "title": title,
                # Its own would be made from the title, which a later entry of the same title would meet again.
                "handle": missing[0]["sku_code"].lower(),
                "status": "published",
                "shipping_profile_id": profile_id,
                "sales_channels": [{"id": channel_id}],
                "options": [{"title": "Variant", "values": names}],
                "variants": [
                    {
                        "title": name,
                        "sku": entry["sku_code"],
                        "manage_inventory": True,
                        "options": {"Variant": name},
                        "prices": [{"currency_code": "cny", "amount": float(Decimal(str(entry["price"])))}],
                    }
                    for name, entry in zip(names, missing, strict=True)
                ],
            },
        )
        for entry in missing:
            item = admin.get("/admin/inventory-items", sku=entry["sku_code"])["inventory_items"][0]
            admin.post(
                f"/admin/inventory-items/{item['id']}/location-levels",
                {"location_id": location_id, "stocked_quantity": int(entry["quantity"])},
            )


def _all(admin: Api, path: str, *, key: str, **query: Any) -> list[Json]:
    rows: list[Json] = []
    while True:
        page = admin.get(path, limit=200, offset=len(rows), order="id", **query)
        rows += page[key]
        if len(rows) >= page["count"] or not page[key]:
            return rows

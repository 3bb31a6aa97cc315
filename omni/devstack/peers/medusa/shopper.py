"""A person who buys in the shop: everything through Medusa's public store interface, as the shop's own pages do it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omni.devstack.peers.medusa.api import Api, Json

ADDRESS: Mapping[str, str] = {
    "first_name": "小明",
    "last_name": "王",
    "address_1": "中山路 1 号 2 单元 303",
    "address_2": "南京东路街道",
    "city": "上海市",
    "province": "上海",
    "postal_code": "200001",
    "country_code": "cn",
    "phone": "13800138000",
}


def read_shelf(*, store: Api, region_id: str) -> dict[str, Json]:
    """Every variant on sale by its SKU code, with price and the number of units that the shop shows."""
    found = store.get(
        "/store/products",
        region_id=region_id,
        limit=200,
        fields="id,title,*variants,*variants.calculated_price,+variants.inventory_quantity",
    )
    return {
        variant["sku"]: {**variant, "product_id": product["id"]}
        for product in found["products"]
        for variant in product["variants"]
    }


def place_order(
    *,
    store: Api,
    region_id: str,
    sales_channel_id: str,
    basket: Mapping[str, int],
    email: str = "shopper@peer.test",
    address: Mapping[str, str] = ADDRESS,
    metadata: Mapping[str, Any] | None = None,
    promo: str = "",
) -> Json:
    """Cart, address, courier, payment, order; returns the order as the shop shows it to its buyer.

    `basket`: variant id → quantity. Raises `Refused` where the shop refuses, for instance when it has not enough stock.
    """
    cart = store.post(
        "/store/carts",
        {
            "region_id": region_id,
            "sales_channel_id": sales_channel_id,
            "email": email,
            "shipping_address": dict(address),
            "metadata": dict(metadata or {}),
        },
    )["cart"]
    path = f"/store/carts/{cart['id']}"
    for variant_id, quantity in basket.items():
        store.post(f"{path}/line-items", {"variant_id": variant_id, "quantity": quantity})
    courier = store.get("/store/shipping-options", cart_id=cart["id"])["shipping_options"][0]
    store.post(f"{path}/shipping-methods", {"option_id": courier["id"]})
    if promo:
        store.post(f"{path}/promotions", {"promo_codes": [promo]})
    payment = store.post("/store/payment-collections", {"cart_id": cart["id"]})["payment_collection"]
    store.post(
        f"/store/payment-collections/{payment['id']}/payment-sessions", {"provider_id": "pp_system_default"}
    )
    done = store.post(f"{path}/complete")
    if done["type"] != "order":
        raise OrderRefused(str(done.get("error")))
    order: Json = done["order"]
    return order


class OrderRefused(Exception):
    """The shop answered the last step with the cart and an error instead of an order."""


def capture_payment(*, admin: Api, order_id: str) -> None:
    """What the payment provider does a moment later: the money has come in."""
    order = admin.get(f"/admin/orders/{order_id}", fields="id,*payment_collections.payments")["order"]
    for collection in order["payment_collections"]:
        for payment in collection["payments"]:
            admin.post(f"/admin/payments/{payment['id']}/capture")

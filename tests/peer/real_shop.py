"""The running Medusa as tests and the recorder use it: a shopper in front of the counter and the clerk behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from integrations.channels.medusa import MedusaAdapter
from integrations.contract import DispatchLine, PriceLine, StockLine
from omni.devstack.peers.medusa.api import Api, Json, open_admin, open_store
from omni.devstack.peers.medusa.seed import seed_shop
from omni.devstack.peers.medusa.server import find_home, read_description
from omni.devstack.peers.medusa.shopper import capture_payment, place_order, read_shelf
from omni.kernel.http import HttpClient

CATALOGUE = Path(__file__).parent / "catalogue.json"


class ShopNotRunning(Exception):
    """Start it: `make peer-medusa`."""


@dataclass(frozen=True)
class RealShop:
    """Everything here goes through Medusa's own interfaces, and none of it through the adapter."""

    about: Mapping[str, Any]
    admin: Api
    store: Api

    @classmethod
    def find(cls) -> RealShop:
        about = read_description(home=find_home())
        if about is None:
            raise ShopNotRunning("the real Medusa does not run: `make peer-medusa` starts it")
        admin = open_admin(base_url=about["base_url"], email=about["email"], password=about["password"])
        # Goods of the tests' own, beside those that the demo sells: added once.
        seed_shop(admin=admin, catalogue=json.loads(CATALOGUE.read_text(encoding="utf-8")))
        return cls(
            about=about,
            admin=admin,
            store=open_store(base_url=about["base_url"], publishable_key=about["publishable_key"]),
        )

    @property
    def location_id(self) -> str:
        return str(self.about["location_id"])

    @property
    def settings(self) -> dict[str, str]:
        """What a connection of Omni to this shop is set to."""
        return {"location_id": self.location_id, "sales_channel_id": str(self.about["sales_channel_id"])}

    def adapter(self, *, http: HttpClient, **credentials: str) -> MedusaAdapter:
        return MedusaAdapter(
            base_url=str(self.about["base_url"]),
            credentials=credentials or {"email": self.about["email"], "password": self.about["password"]},
            settings=self.settings,
            http=http,
        )

    def shelf(self) -> dict[str, Json]:
        return read_shelf(store=self.store, region_id=str(self.about["region_id"]))

    def buy(self, basket: Mapping[str, int], *, promo: str = "", note: str = "") -> str:
        """An order for SKU code → quantity, paid for as far as the shopper can: authorised."""
        shelf = self.shelf()
        order = place_order(
            store=self.store,
            region_id=str(self.about["region_id"]),
            sales_channel_id=str(self.about["sales_channel_id"]),
            basket={shelf[code]["id"]: quantity for code, quantity in basket.items()},
            promo=promo,
            metadata={"note": note} if note else {},
        )
        return str(order["id"])

    def buy_and_pay(self, basket: Mapping[str, int]) -> str:
        order_id = self.buy(basket)
        self.capture(order_id)
        return order_id

    def capture(self, order_id: str) -> None:
        capture_payment(admin=self.admin, order_id=order_id)

    def order(self, order_id: str) -> Json:
        parcels = "*fulfillments,*fulfillments.items,*fulfillments.labels"
        fields = f"*items,*items.detail,{parcels},*payment_collections.payments"
        found: Json = self.admin.get(f"/admin/orders/{order_id}", fields=fields)["order"]
        return found

    def item_ids(self, order_id: str) -> dict[str, str]:
        return {item["variant_sku"]: item["id"] for item in self.order(order_id)["items"]}

    def refund(self, order_id: str, *, amount: float) -> None:
        payment = self.order(order_id)["payment_collections"][0]["payments"][0]
        self.admin.post(f"/admin/payments/{payment['id']}/refund", {"amount": amount})

    def pack(self, order_id: str, units: Mapping[str, int], **metadata: str) -> str:
        """What a clerk does in the shop's own pages: a fulfilment, not shipped yet."""
        ids = self.item_ids(order_id)
        before = {one["id"] for one in self.order(order_id)["fulfillments"]}
        self.admin.post(
            f"/admin/orders/{order_id}/fulfillments",
            {
                "location_id": self.location_id,
                "items": [{"id": ids[code], "quantity": quantity} for code, quantity in units.items()],
                "metadata": dict(metadata),
            },
        )
        return next(str(one["id"]) for one in self.order(order_id)["fulfillments"] if one["id"] not in before)

    def parcels(self, order_id: str) -> list[tuple[str, dict[str, int]]]:
        """(tracking number, SKU code → units) of all that has left, as the shop shows it."""
        order = self.order(order_id)
        codes = {item["id"]: item["variant_sku"] for item in order["items"]}
        return sorted(
            (
                label["tracking_number"],
                {codes[one["line_item_id"]]: one["quantity"] for one in fulfilment["items"]},
            )
            for fulfilment in order["fulfillments"]
            if fulfilment["shipped_at"] and not fulfilment["canceled_at"]
            for label in fulfilment["labels"]
        )

    def level(self, sku_code: str) -> tuple[int, int, int]:
        """(stocked, reserved, available) at the location."""
        fields = "id,*location_levels"
        item = self.admin.get("/admin/inventory-items", sku=sku_code, fields=fields)["inventory_items"][0]
        level = next(one for one in item["location_levels"] if one["location_id"] == self.location_id)
        return level["stocked_quantity"], level["reserved_quantity"], level["available_quantity"]

    def inventory_item_id(self, sku_code: str) -> str:
        return str(self.admin.get("/admin/inventory-items", sku=sku_code)["inventory_items"][0]["id"])

    def prices(self, sku_code: str) -> list[tuple[str, float, int | None, dict[str, str]]]:
        """(currency, amount, from which quantity, rules) of every price of the variant."""
        variant = self.shelf()[sku_code]
        found = self.admin.get(
            f"/admin/products/{variant['product_id']}/variants/{variant['id']}",
            fields="id,prices.*,prices.price_rules.*",
        )["variant"]["prices"]
        return sorted(
            ((one["currency_code"], one["amount"], one["min_quantity"], one["rules"] or {}) for one in found),
            key=lambda price: (price[0], price[1]),
        )

    def stock_line(self, sku_code: str, quantity: int, *, key: int = 1) -> StockLine:
        variant = self.shelf()[sku_code]
        return StockLine(
            key=key,
            outer_item_id=variant["product_id"],
            outer_sku_id=variant["id"],
            sku_code=sku_code,
            quantity=quantity,
        )

    def price_line(self, sku_code: str, price: Any, *, key: int = 1, currency: str = "CNY") -> PriceLine:
        variant = self.shelf()[sku_code]
        return PriceLine(
            key=key,
            outer_item_id=variant["product_id"],
            outer_sku_id=variant["id"],
            sku_code=sku_code,
            price=price,
            currency=currency,
        )

    def parcel_line(
        self,
        order_id: str,
        tracking_no: str,
        units: Mapping[str, int],
        *,
        key: int = 1,
        is_whole: bool = False,
    ) -> DispatchLine:
        ids = self.item_ids(order_id)
        return DispatchLine(
            key=key,
            outer_id=order_id,
            outer_line_ids=[ids[code] for code in units],
            quantities=list(units.values()),
            is_whole_order=is_whole,
            carrier_code="SF",
            tracking_no=tracking_no,
        )

    def now(self) -> datetime:
        """The server's clock, by the last thing it wrote."""
        row = self.admin.get("/admin/orders", limit=1, order="-updated_at", fields="id,updated_at")["orders"][
            0
        ]
        return datetime.fromisoformat(row["updated_at"])

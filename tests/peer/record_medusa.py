"""Records what the real Medusa answers, for the tests that run without it.

Start from an empty shop (`python -m omni.devstack.peers.medusa reset`, then `start`), then
`python -m tests.peer.record_medusa [SCENE ...]`. Each scene writes files of
`integrations/channels/medusa/fixtures`: the exchanges in their order, and what the scene has to be asked with.
Tokens and passwords are replaced; the `raw_…` twins of numbers, which the adapter does not read, are left out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import integrations.channels.medusa
from integrations.contract import StockLine
from omni.devstack.peers.medusa.api import Refused
from omni.kernel.http import HttpAnswer, HttpClient, HttpFailed
from tests.peer.real_shop import RealShop

FOLDER = Path(integrations.channels.medusa.__file__).parent / "fixtures"
SECRETS = {"token": "recorded-token", "password": "recorded-password"}


class RecordingClient(HttpClient):
    """Sends for real and keeps what was said. `before` runs ahead of the first request that it fits."""

    def __init__(self, *, shop: RealShop) -> None:
        super().__init__(allow_loopback=True)
        self.base_url = str(shop.about["base_url"])
        self.settings = shop.settings
        self.exchanges: list[dict[str, Any]] = []
        self.before: list[tuple[str, Callable[[], object]]] = []
        self.drop: set[str] = set()  # path endings whose first answer is lost on the way

    def send(
        self,
        *,
        method: str,
        url: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> HttpAnswer:
        path = url.removeprefix(self.base_url)
        for place, (ending, act) in enumerate(self.before):
            if method == "POST" and path.endswith(ending):
                del self.before[place]
                act()
                break
        answer = super().send(method=method, url=url, params=params, headers=headers, content=content)
        is_dropped = method == "POST" and any(path.endswith(ending) for ending in self.drop)
        self.exchanges.append(
            {
                "method": method,
                "path": path,
                "params": dict(params or {}),
                "body": _without_secrets(json.loads(content)) if content else None,
                "status": answer.status,
                "answer": None if is_dropped else _without_secrets(answer.json()),
            }
        )
        if is_dropped:
            self.drop = {ending for ending in self.drop if not path.endswith(ending)}
            raise HttpFailed("the answer was lost", was_sent=True)
        return answer


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: SECRETS.get(key) if key in SECRETS else _without_secrets(inner)
            for key, inner in value.items()
            if not key.startswith("raw_")
        }
    return [_without_secrets(inner) for inner in value] if isinstance(value, list) else value


def _keep(name: str, http: RecordingClient, **asked: Any) -> None:
    exchanges = ",\n  ".join(json.dumps(one, ensure_ascii=False, default=str) for one in http.exchanges)
    about = json.dumps({"settings": http.settings, **asked}, ensure_ascii=False, default=str, indent=1)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(
        f'{{"asked": {about},\n "exchanges": [\n  {exchanges}\n]}}\n', encoding="utf-8"
    )
    sys.stderr.write(f"{name}: {len(http.exchanges)} exchanges\n")


def _lines(*lines: Any) -> list[dict[str, Any]]:
    return [asdict(line) for line in lines]


def record_orders(shop: RealShop) -> None:
    """One order of every kind, pulled in pages of four, then two of them read by id."""
    began = shop.now() if shop.admin.get("/admin/orders", limit=1, fields="id")["count"] else None
    orders = {"authorised": shop.buy({"BAG-CNV": 2, "MUG-350": 1}, note="请在周末送货 & 勿折叠")}
    began = began or shop.now()
    orders["captured"] = shop.buy_and_pay({"SOCK-3P": 3})
    half = orders["partly_shipped"] = shop.buy_and_pay({"CAP-RED": 3, "NTB-A5": 1})
    adapter = shop.adapter(http=HttpClient(allow_loopback=True))
    adapter.push_dispatch(lines=[shop.parcel_line(half, "SF100", {"CAP-RED": 1})])
    shop.pack(half, {"CAP-RED": 2})
    orders["shipped_and_partly_refunded"] = shop.buy_and_pay({"MUG-350": 1, "SOCK-3P": 1})
    adapter.push_dispatch(
        lines=[shop.parcel_line(orders["shipped_and_partly_refunded"], "SF101", {"MUG-350": 1, "SOCK-3P": 1})]
    )
    shop.refund(orders["shipped_and_partly_refunded"], amount=20.25)
    orders["cancelled_unpaid"] = shop.buy({"MUG-350": 2})
    shop.admin.post(f"/admin/orders/{orders['cancelled_unpaid']}/cancel")
    orders["cancelled_paid"] = shop.buy_and_pay({"MUG-350": 2})
    shop.admin.post(f"/admin/orders/{orders['cancelled_paid']}/cancel")
    orders["refunded_before_shipping"] = shop.buy_and_pay({"SOCK-3P": 1})
    shop.refund(orders["refunded_before_shipping"], amount=49.9)
    edited = orders["edited"] = shop.buy({"CAP-RED": 2, "SOCK-3P": 3})
    edit = f"/admin/order-edits/{edited}"
    shop.admin.post("/admin/order-edits", {"order_id": edited})
    shop.admin.post(f"{edit}/items/item/{shop.item_ids(edited)['CAP-RED']}", {"quantity": 0})
    shop.admin.post(f"{edit}/items", {"items": [{"variant_id": shop.shelf()["NTB-A5"]["id"], "quantity": 2}]})
    shop.admin.post(f"{edit}/request")
    shop.admin.post(f"{edit}/confirm")
    orders["third_off_with_tax"] = _buy_with_tax_and_promotion(shop)
    shop.admin.post(
        "/admin/draft-orders",
        {
            "region_id": shop.about["region_id"],
            "email": "clerk@peer.test",
            "items": [{"title": "Gift", "unit_price": 1, "quantity": 1}],
        },
    )

    http = RecordingClient(shop=shop)
    recorded = shop.adapter(http=http)
    until = shop.now() + timedelta(seconds=1)
    with patch("integrations.channels.medusa.adapter.PAGE", 4):
        list(recorded.pull_orders(since=began, until=until))
    _keep("orders", http, since=began, until=until, orders=orders)

    http = RecordingClient(shop=shop)
    recorded = shop.adapter(http=http)
    ids = [orders["authorised"], "order_that_never_was"]
    recorded.read_orders(outer_ids=ids)
    shop.capture(orders["authorised"])
    list(recorded.pull_orders(since=until, until=until + timedelta(minutes=1)))
    recorded.read_orders(outer_ids=ids)
    _keep("money_comes_in", http, ids=ids, since=until, until=until + timedelta(minutes=1))


def _buy_with_tax_and_promotion(shop: RealShop) -> str:
    shop.admin.post(
        "/admin/promotions",
        {
            "code": "THIRD",
            "type": "standard",
            "status": "active",
            "is_automatic": False,
            "application_method": {
                "type": "percentage",
                "target_type": "order",
                "allocation": "across",
                "value": 33.33,
                "currency_code": "cny",
            },
        },
    )
    tax = shop.admin.post(
        "/admin/tax-regions",
        {
            "country_code": "cn",
            "provider_id": "tp_system",
            "default_tax_rate": {"rate": 13, "name": "VAT", "code": "vat"},
        },
    )["tax_region"]["id"]
    try:
        return shop.buy({"CAP-RED": 1, "SOCK-3P": 3, "NTB-A5": 1}, promo="THIRD")
    finally:
        shop.admin.delete(f"/admin/tax-regions/{tax}")


def record_stock(shop: RealShop) -> None:
    """Every kind of line in one push, a level that vanishes while it is written, a parcel told in between."""
    shop.buy({"BTL-500": 2})
    odd = _odd_variants(shop)
    lines = [
        shop.stock_line("BTL-500", 17, key=1),
        shop.stock_line("UMB-BLK", -5, key=2),
        StockLine(key=3, outer_item_id="", outer_sku_id="variant_that_never_was", sku_code="X", quantity=9),
        StockLine(key=4, outer_item_id="", outer_sku_id="", sku_code="CDL-FIG", quantity=4),
        *(
            StockLine(key=5 + place, outer_item_id="", outer_sku_id=variant_id, sku_code="", quantity=6)
            for place, variant_id in enumerate(odd)
        ),
    ]
    http = RecordingClient(shop=shop)
    shop.adapter(http=http).push_stock(lines=lines)
    _keep("stock", http, lines=_lines(*lines))

    lines = [
        shop.stock_line(code, 7, key=key) for key, code in enumerate(("JKT-NVY-M", "JKT-NVY-L", "BAG-LEA"))
    ]
    item = shop.inventory_item_id("JKT-NVY-L")
    http = RecordingClient(shop=shop)
    level = f"/admin/inventory-items/{item}/location-levels/{shop.location_id}"

    def remove_level() -> None:
        shop.admin.post(level, {"stocked_quantity": 0})
        shop.admin.delete(level)

    http.before = [("/location-levels/batch", remove_level)]
    shop.adapter(http=http).push_stock(lines=lines)
    _keep("stock_level_vanishes", http, lines=_lines(*lines))
    shop.admin.post(
        f"/admin/inventory-items/{item}/location-levels",
        {"location_id": shop.location_id, "stocked_quantity": 12},
    )

    order = shop.buy_and_pay({"TEE-BLK-M": 3})
    lines = [shop.stock_line("TEE-BLK-M", 10)]
    http = RecordingClient(shop=shop)
    http.before = [("/location-levels/batch", lambda: shop.pack(order, {"TEE-BLK-M": 2}))]
    shop.adapter(http=http).push_stock(lines=lines)
    assert shop.level("TEE-BLK-M")[2] == 10, "the adapter must have mended it"
    _keep("stock_parcel_in_between", http, lines=_lines(*lines))


def _odd_variants(shop: RealShop) -> list[str]:
    """Variants without a level, without counting, and of two parts."""
    part = shop.inventory_item_id("SOCK-3P")
    other = shop.inventory_item_id("MUG-350")
    kinds: list[dict[str, Any]] = [
        {"manage_inventory": True},
        {"manage_inventory": False},
        {
            "manage_inventory": True,
            "inventory_items": [
                {"inventory_item_id": part, "required_quantity": 1},
                {"inventory_item_id": other, "required_quantity": 2},
            ],
        },
    ]
    made = shop.admin.post(
        "/admin/products",
        {
            "title": "Odd ones",
            "status": "draft",
            "options": [{"title": "Kind", "values": ["0", "1", "2"]}],
            "variants": [
                {"title": str(place), "options": {"Kind": str(place)}, "prices": [], **kind}
                for place, kind in enumerate(kinds)
            ],
        },
    )["product"]["variants"]
    return [variant["id"] for variant in sorted(made, key=lambda variant: variant["title"])]


def record_prices(shop: RealShop) -> None:
    """A variant with four prices of which one changes, and three lines that must not get through."""
    variant = shop.shelf()["UMB-BLK"]
    shop.admin.post(
        f"/admin/products/{variant['product_id']}/variants/{variant['id']}",
        {
            "prices": [
                {"currency_code": "cny", "amount": 99},
                {"currency_code": "usd", "amount": 20},
                {"currency_code": "cny", "amount": 90, "min_quantity": 10},
                {"currency_code": "cny", "amount": 95, "rules": {"region_id": shop.about["region_id"]}},
            ]
        },
    )
    lines = [
        shop.price_line("UMB-BLK", Decimal("101.35"), key=1),
        shop.price_line("CDL-FIG", Decimal("-1"), key=2),
        shop.price_line("CDL-FIG", Decimal("1"), key=3, currency="XXX"),
        shop.price_line("CDL-FIG", Decimal("11.5"), key=4, currency="USD"),
    ]
    http = RecordingClient(shop=shop)
    shop.adapter(http=http).push_prices(lines=lines)
    _keep("prices", http, lines=_lines(*lines))


def record_parcels(shop: RealShop) -> None:
    """Parcels in part, told twice, half told, told but not heard, packed by hand, and too much."""
    order = shop.buy_and_pay({"TEE-WHT-M": 2, "TEE-WHT-L": 1})
    first = shop.parcel_line(order, "SF1", {"TEE-WHT-M": 1}, key=1)
    rest = shop.parcel_line(order, "SF2", {"TEE-WHT-M": 1, "TEE-WHT-L": 1}, key=2)
    http = RecordingClient(shop=shop)
    adapter = shop.adapter(http=http)
    adapter.push_dispatch(lines=[first])
    adapter.push_dispatch(lines=[first, rest])
    adapter.push_dispatch(lines=[shop.parcel_line(order, "SF3", {"TEE-WHT-M": 1}, key=3)])
    _keep("parcels", http, first=asdict(first), rest=asdict(rest))

    for name, lost in (("fulfilment_not_heard", "/fulfillments"), ("shipment_not_heard", "/shipments")):
        order = shop.buy_and_pay({"TEE-WHT-M": 2})
        line = shop.parcel_line(order, "SF4", {"TEE-WHT-M": 2})
        http = RecordingClient(shop=shop)
        adapter = shop.adapter(http=http)
        http.drop = {lost}
        adapter.push_dispatch(lines=[line])
        adapter.push_dispatch(lines=[line])
        assert shop.parcels(order) == [("SF4", {"TEE-WHT-M": 2})], "one parcel, however often it is told"
        _keep(name, http, line=asdict(line))

    order = shop.buy_and_pay({"TEE-WHT-M": 2, "TEE-WHT-L": 1})
    shop.pack(order, {"TEE-WHT-M": 1})
    shop.pack(order, {"TEE-WHT-M": 1, "TEE-WHT-L": 1})
    line = shop.parcel_line(order, "SF5", {"TEE-WHT-M": 1, "TEE-WHT-L": 1})
    http = RecordingClient(shop=shop)
    shop.adapter(http=http).push_dispatch(lines=[line])
    assert shop.parcels(order) == [("SF5", {"TEE-WHT-M": 1, "TEE-WHT-L": 1})]
    _keep("parcel_packed_by_hand", http, line=asdict(line))


def record_login(shop: RealShop) -> None:
    """A token that is no longer taken, and a password that never was."""
    http = RecordingClient(shop=shop)
    adapter = shop.adapter(http=http)
    adapter.read_orders(outer_ids=["order_that_never_was"])
    adapter._session._token = "stale"
    adapter.read_orders(outer_ids=["order_that_never_was"])
    _keep("token_expired", http)
    http = RecordingClient(shop=shop)
    adapter = shop.adapter(http=http, email="admin@peer.test", password="wrong")
    try:
        adapter.read_orders(outer_ids=["order_1"])
    except Exception as refused:
        _keep("wrong_password", http, refused=str(refused))


SCENES = {
    "orders": record_orders,
    "stock": record_stock,
    "prices": record_prices,
    "parcels": record_parcels,
    "login": record_login,
}


def main() -> int:
    shop = RealShop.find()
    try:
        for scene in sys.argv[1:] or SCENES:
            SCENES[scene](shop)
    except Refused as refused:
        sys.stderr.write(f"the shop is not as fresh as it must be: {refused}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

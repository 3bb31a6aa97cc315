"""The Medusa adapter against the running Medusa: shoppers buy through its public shop, the adapter does the rest."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from integrations.channels.medusa import MedusaAdapter
from integrations.contract import (
    BadPayload,
    ChannelRejected,
    ChannelUnavailable,
    ListingLine,
    StockLine,
    TitleLine,
)
from omni.devstack.peers.medusa.api import Refused
from omni.devstack.peers.medusa.shopper import OrderRefused
from omni.kernel.http import HttpAnswer, HttpClient, HttpFailed
from orders.draft import ChannelState, OrderDraft
from products.observe import SeenItem
from tests.peer.real_shop import RealShop, ShopNotRunning

pytestmark = [pytest.mark.peer, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def shop() -> RealShop:
    try:
        return RealShop.find()
    except ShopNotRunning as missing:
        pytest.fail(str(missing))


@pytest.fixture
def http() -> Iterator[HttpClient]:
    with HttpClient(allow_loopback=True) as client:
        yield client


@pytest.fixture
def adapter(shop: RealShop, http: HttpClient) -> MedusaAdapter:
    return shop.adapter(http=http)


def restock(shop: RealShop, adapter: MedusaAdapter, *sku_codes: str, quantity: int = 50) -> None:
    lines = [shop.stock_line(code, quantity, key=key) for key, code in enumerate(sku_codes)]
    assert all(result.ok for result in adapter.push_stock(lines=lines))


def read(adapter: MedusaAdapter, order_id: str) -> OrderDraft:
    (found,) = adapter.read_orders(outer_ids=[order_id])
    assert isinstance(found, OrderDraft), found
    return found


def pull(adapter: MedusaAdapter, since: datetime) -> dict[str, OrderDraft | BadPayload]:
    pages = adapter.pull_orders(since=since, until=datetime.now(UTC) + timedelta(seconds=1))
    found = [order for page in pages for order in page]
    assert len(found) == len({order.outer_id for order in found}), "an order was told twice in one pull"
    return {order.outer_id: order for order in found}


def test_an_order_goes_from_the_shop_to_the_parcel(shop: RealShop, adapter: MedusaAdapter) -> None:
    restock(shop, adapter, "TEE-BLK-M", "SOCK-3P")
    since = datetime.now(UTC) - timedelta(seconds=1)

    order_id = shop.buy({"TEE-BLK-M": 2, "SOCK-3P": 1}, note="请尽快 🙏")
    placed = pull(adapter, since)[order_id]
    shop.capture(order_id)
    paid = read(adapter, order_id)

    assert isinstance(placed, OrderDraft)
    assert (placed.state, paid.state) == (ChannelState.ON_HOLD, ChannelState.TO_SHIP)
    assert placed.buyer_message == "请尽快 🙏"
    assert {(line.sku_code, line.quantity) for line in paid.lines} == {("TEE-BLK-M", 2), ("SOCK-3P", 1)}
    assert sum(line.amount for line in paid.lines) + paid.freight_amount == paid.total_amount
    assert paid.outer_modified_at > placed.outer_modified_at

    (told,) = adapter.push_dispatch(lines=[shop.parcel_line(order_id, "SF-A1", {"TEE-BLK-M": 1})])
    halfway = read(adapter, order_id)
    rest = shop.parcel_line(order_id, "SF-A2", {"TEE-BLK-M": 1, "SOCK-3P": 1})
    (told_rest,) = adapter.push_dispatch(lines=[rest])
    shipped = read(adapter, order_id)

    assert told.ok
    assert told_rest.ok
    assert halfway.state == ChannelState.PARTIALLY_SHIPPED
    assert shipped.state == ChannelState.SHIPPED
    assert all(line.is_shipped for line in shipped.lines)
    assert shop.parcels(order_id) == [("SF-A1", {"TEE-BLK-M": 1}), ("SF-A2", {"TEE-BLK-M": 1, "SOCK-3P": 1})]


def test_a_pull_by_pages_misses_nothing_and_tells_nothing_twice(
    shop: RealShop, adapter: MedusaAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    restock(shop, adapter, "NTB-A5", quantity=100)
    since = datetime.now(UTC) - timedelta(milliseconds=1)
    placed = {shop.buy({"NTB-A5": 1}) for _ in range(7)}
    monkeypatch.setattr("integrations.channels.medusa.adapter.PAGE", 3)

    found = pull(adapter, since)
    listed = [
        order_id
        for page in adapter.list_order_ids(since=since, until=datetime.now(UTC) + timedelta(seconds=1))
        for order_id in page
    ]

    assert set(found) == placed
    assert sorted(listed) == sorted(placed)


def test_an_order_that_changes_later_is_pulled_by_its_change(shop: RealShop, adapter: MedusaAdapter) -> None:
    restock(shop, adapter, "NTB-A5")
    order_id = shop.buy_and_pay({"NTB-A5": 1})
    since = shop.now() + timedelta(milliseconds=1)
    assert pull(adapter, since) == {}

    shop.admin.post(f"/admin/orders/{order_id}/cancel")

    found = pull(adapter, since)
    assert set(found) == {order_id}
    assert read(adapter, order_id).state == ChannelState.CLOSED


def test_the_same_order_read_twice_is_the_same_version(shop: RealShop, adapter: MedusaAdapter) -> None:
    restock(shop, adapter, "NTB-A5", "SOCK-3P", "MUG-350")
    order_id = shop.buy_and_pay({"NTB-A5": 1, "SOCK-3P": 1, "MUG-350": 1})
    adapter.push_dispatch(lines=[shop.parcel_line(order_id, "SF-V1", {"NTB-A5": 1, "MUG-350": 1})])

    first = read(adapter, order_id)

    assert all(read(adapter, order_id) == first for _ in range(5))


def test_the_shop_shows_exactly_what_was_pushed_although_it_has_reserved_some(
    shop: RealShop, adapter: MedusaAdapter
) -> None:
    restock(shop, adapter, "BTL-500", quantity=20)
    order_id = shop.buy({"BTL-500": 3})
    _, reserved, _ = shop.level("BTL-500")
    assert reserved >= 3

    (result,) = adapter.push_stock(lines=[shop.stock_line("BTL-500", 5)])

    assert result.ok
    assert shop.level("BTL-500") == (5 + reserved, reserved, 5)
    assert shop.shelf()["BTL-500"]["inventory_quantity"] == 5
    adapter.push_dispatch(lines=[shop.parcel_line(order_id, "SF-B1", {"BTL-500": 3})])
    assert shop.level("BTL-500") == (5 + reserved - 3, reserved - 3, 5), (
        "a parcel changes nothing of what is shown"
    )


def test_nothing_more_is_sold_than_was_pushed(shop: RealShop, adapter: MedusaAdapter) -> None:
    restock(shop, adapter, "UMB-BLK", quantity=2)
    before = shop.level("UMB-BLK")

    shop.buy({"UMB-BLK": 2})
    with pytest.raises((Refused, OrderRefused)):
        shop.buy({"UMB-BLK": 1})

    stocked, reserved, available = shop.level("UMB-BLK")
    assert (stocked, reserved, available) == (before[0], before[1] + 2, 0)


def test_a_negative_number_is_pushed_as_nothing(shop: RealShop, adapter: MedusaAdapter) -> None:
    restock(shop, adapter, "CDL-FIG", quantity=4)

    (result,) = adapter.push_stock(lines=[shop.stock_line("CDL-FIG", -3)])

    assert result.ok
    assert shop.level("CDL-FIG")[2] == 0


def test_one_unknown_article_leaves_the_numbers_of_the_others_right(
    shop: RealShop, adapter: MedusaAdapter
) -> None:
    restock(shop, adapter, "JKT-NVY-M", "JKT-NVY-L", quantity=3)
    unknown = StockLine(key=2, outer_item_id="", outer_sku_id="variant_gone", sku_code="GONE", quantity=1)

    results = adapter.push_stock(
        lines=[shop.stock_line("JKT-NVY-M", 8, key=1), unknown, shop.stock_line("JKT-NVY-L", 9, key=3)]
    )

    assert [(line.key, line.ok, line.is_final) for line in results] == [
        (1, True, False),
        (2, False, True),
        (3, True, False),
    ]
    assert (shop.level("JKT-NVY-M")[2], shop.level("JKT-NVY-L")[2]) == (8, 9)


def test_a_price_changes_alone(shop: RealShop, adapter: MedusaAdapter) -> None:
    variant = shop.shelf()["CAP-RED"]
    shop.admin.post(
        f"/admin/products/{variant['product_id']}/variants/{variant['id']}",
        {
            "prices": [
                {"currency_code": "cny", "amount": 59.9},
                {"currency_code": "usd", "amount": 9.5},
                {"currency_code": "cny", "amount": 50, "min_quantity": 10},
                {"currency_code": "cny", "amount": 55, "rules": {"region_id": shop.about["region_id"]}},
            ]
        },
    )

    (result,) = adapter.push_prices(lines=[shop.price_line("CAP-RED", Decimal("61.35"))])

    assert result.ok
    assert shop.prices("CAP-RED") == [
        ("cny", 50, 10, {}),
        ("cny", 55, None, {"region_id": shop.about["region_id"]}),
        ("cny", 61.35, None, {}),
        ("usd", 9.5, None, {}),
    ]


def seen(adapter: MedusaAdapter, sku_code: str) -> SeenItem:
    (found,) = [item for page in adapter.read_items() for item in page if item.outer_code == sku_code]
    return found


def listing_line(
    item: SeenItem, *, key: int = 1, quantity: int = 0, is_whole_item: bool = True
) -> ListingLine:
    return ListingLine(
        key, item.outer_item_id, item.outer_sku_id, item.outer_code, quantity, is_whole_item=is_whole_item
    )


def test_the_shelf_is_read_as_the_shop_shows_it(shop: RealShop, adapter: MedusaAdapter) -> None:
    restock(shop, adapter, "TEE-BLK-M", quantity=17)
    adapter.push_prices(lines=[shop.price_line("TEE-BLK-M", Decimal("81.20"))])
    variant = shop.shelf()["TEE-BLK-M"]

    found = seen(adapter, "TEE-BLK-M")

    assert (found.outer_item_id, found.outer_sku_id) == (variant["product_id"], variant["id"])
    assert (found.title, found.price, found.quantity, found.is_listed) == (
        "Cotton tee, black",
        Decimal("81.2"),
        17,
        True,
    )
    everything = [item.outer_sku_id for page in adapter.read_items() for item in page]
    assert len(everything) == len(set(everything)) > len(shop.shelf()) - 1


def test_an_item_leaves_the_shelf_and_comes_back(shop: RealShop, adapter: MedusaAdapter) -> None:
    item = seen(adapter, "BAG-LEA")

    for _twice in range(2):
        (off,) = adapter.delist_items(lines=[listing_line(item)])
        assert off.ok
        assert "BAG-LEA" not in shop.shelf()
    assert seen(adapter, "BAG-LEA").is_listed is False
    for _twice in range(2):
        (on,) = adapter.list_items(lines=[listing_line(item)])
        assert on.ok

    assert "BAG-LEA" in shop.shelf()
    assert seen(adapter, "BAG-LEA").is_listed is True


def test_one_variant_of_several_gets_nothing_to_sell(shop: RealShop, adapter: MedusaAdapter) -> None:
    restock(shop, adapter, "TEE-WHT-S", "TEE-WHT-M", quantity=9)
    item = seen(adapter, "TEE-WHT-S")

    (off,) = adapter.delist_items(lines=[listing_line(item, is_whole_item=False)])

    assert off.ok
    assert (shop.level("TEE-WHT-S")[2], shop.level("TEE-WHT-M")[2]) == (0, 9)
    assert seen(adapter, "TEE-WHT-M").is_listed is True


def test_a_title_changes_and_nothing_else_does(shop: RealShop, adapter: MedusaAdapter) -> None:
    before = seen(adapter, "CDL-FIG")
    unknown = TitleLine(2, "prod_gone", "No such thing")

    changed, refused = adapter.update_items(
        lines=[TitleLine(1, before.outer_item_id, "Candle 无花果, fig & <b>"), unknown]
    )

    assert (changed.ok, refused.ok, refused.is_final) == (True, False, True)
    assert seen(adapter, "CDL-FIG") == replace(before, title="Candle 无花果, fig & <b>")
    adapter.update_items(lines=[TitleLine(1, before.outer_item_id, before.title)])


class LosesAnswers(HttpClient):
    """A network that swallows the answer of the first request whose path ends so; the request itself arrives."""

    def __init__(self, ending: str) -> None:
        super().__init__(allow_loopback=True)
        self.ending = ending

    def send(self, *, method: str, url: str, **rest: Any) -> HttpAnswer:
        answer = super().send(method=method, url=url, **rest)
        if method == "POST" and self.ending and url.endswith(self.ending):
            self.ending = ""
            raise HttpFailed("the answer was lost", was_sent=True)
        return answer


@pytest.mark.parametrize("lost", ["/fulfillments", "/shipments"])
def test_a_parcel_whose_answer_was_lost_leaves_once(
    shop: RealShop, adapter: MedusaAdapter, lost: str
) -> None:
    restock(shop, adapter, "MUG-350")
    order_id = shop.buy_and_pay({"MUG-350": 2})
    line = shop.parcel_line(order_id, "SF-L1", {"MUG-350": 2})
    stocked, reserved, _ = shop.level("MUG-350")
    with LosesAnswers(lost) as network:
        unlucky = shop.adapter(http=network)

        (first,) = unlucky.push_dispatch(lines=[line])
        (second,) = unlucky.push_dispatch(lines=[line])

    assert (first.ok, first.code) == (False, "unknown_outcome")
    assert second.ok
    assert shop.parcels(order_id) == [("SF-L1", {"MUG-350": 2})]
    assert shop.level("MUG-350")[:2] == (stocked - 2, reserved - 2)


def test_more_than_was_bought_cannot_be_told(shop: RealShop, adapter: MedusaAdapter) -> None:
    restock(shop, adapter, "MUG-350")
    order_id = shop.buy_and_pay({"MUG-350": 1})

    (result,) = adapter.push_dispatch(lines=[shop.parcel_line(order_id, "SF-M1", {"MUG-350": 2})])

    assert (result.ok, result.is_final) == (False, True)
    assert shop.parcels(order_id) == []


def test_a_cancelled_order_takes_no_parcel(shop: RealShop, adapter: MedusaAdapter) -> None:
    restock(shop, adapter, "MUG-350")
    order_id = shop.buy({"MUG-350": 1})
    shop.admin.post(f"/admin/orders/{order_id}/cancel")

    (result,) = adapter.push_dispatch(lines=[shop.parcel_line(order_id, "SF-C1", {"MUG-350": 1})])

    assert (result.ok, result.is_final) == (False, True)
    assert shop.parcels(order_id) == []


def test_fifty_ids_and_unknown_ones_are_read_in_one_go(shop: RealShop, adapter: MedusaAdapter) -> None:
    restock(shop, adapter, "NTB-A5")
    order_id = shop.buy({"NTB-A5": 1})

    found = adapter.read_orders(outer_ids=[f"order_unknown_{n}" for n in range(50)] + [order_id])

    assert [order.outer_id for order in found] == [order_id]


def test_a_secret_api_key_will_do(shop: RealShop, http: HttpClient) -> None:
    made = shop.admin.post("/admin/api-keys", {"title": "Omni", "type": "secret"})["api_key"]
    adapter = shop.adapter(http=http, api_key=made["token"])

    assert adapter.read_orders(outer_ids=["order_unknown"]) == []

    shop.admin.post(f"/admin/api-keys/{made['id']}/revoke")
    with pytest.raises(ChannelRejected) as refused:
        adapter.read_orders(outer_ids=["order_unknown"])
    assert refused.value.is_auth


def test_a_forged_token_and_a_wrong_password_are_told_apart(shop: RealShop, http: HttpClient) -> None:
    adapter = shop.adapter(http=http)
    adapter._session._token = base64.b64encode(b"forged").decode()

    assert adapter.read_orders(outer_ids=["order_unknown"]) == [], "renewed without a word"

    with pytest.raises(ChannelRejected) as refused:
        shop.adapter(http=http, email="admin@peer.test", password="wrong").read_orders(outer_ids=["x"])
    assert refused.value.is_auth


def test_a_shop_that_is_switched_off_is_asked_again_later(shop: RealShop, http: HttpClient) -> None:
    adapter = MedusaAdapter(
        base_url="http://127.0.0.1:9", credentials={"api_key": "sk"}, settings=shop.settings, http=http
    )

    with pytest.raises(ChannelUnavailable) as problem:
        adapter.push_stock(lines=[shop.stock_line("MUG-350", 1)])

    assert not problem.value.is_unknown_outcome

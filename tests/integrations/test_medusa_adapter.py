"""The Medusa adapter against answers that the real Medusa 2.21.2 gave; only faults that it never shows are made up."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, get_type_hints
from unittest.mock import patch

import pytest

from integrations.channels.medusa import MedusaAdapter
from integrations.channels.medusa.translate import in_steady_order, translate_order
from integrations.contract import (
    BadPayload,
    ChannelAdapter,
    ChannelRejected,
    ChannelUnavailable,
    DispatchLine,
    ListingLine,
    PriceLine,
    StockLine,
    TitleLine,
)
from omni.kernel.http import HttpClient
from orders.draft import ChannelState, LineRefund, OrderDraft
from products.observe import SeenItem
from tests.integrations.medusa_replay import FIXTURES, Replay, playing

BATCH = "/admin/inventory-items/location-levels/batch"
LOGIN = "/auth/user/emailpass"
SINCE = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def http() -> Iterator[HttpClient]:
    with HttpClient(allow_loopback=True, timeout_seconds=5) as client:
        yield client


@pytest.fixture
def play(http: HttpClient) -> Iterator[Callable[[Replay], MedusaAdapter]]:
    """Plays a recording and hands out the adapter that talks to it; checks at the end that all of it was asked for."""
    with ExitStack() as stack:

        def start(replay: Replay, **credentials: str) -> MedusaAdapter:
            stack.enter_context(playing(replay))
            return MedusaAdapter(
                base_url=replay.base_url,
                credentials=credentials or {"email": "admin@peer.test", "password": "of no matter"},
                settings=replay.asked.get("settings") or {"location_id": "sloc_1"},
                http=http,
            )

        yield start


@pytest.fixture(scope="module")
def recorded_orders() -> dict[str, dict[str, Any]]:
    """Kind → the order as Medusa told it."""
    recorded = json.loads((FIXTURES / "orders.json").read_text(encoding="utf-8"))
    told = {
        order["id"]: order
        for exchange in recorded["exchanges"]
        for order in exchange["answer"].get("orders") or ()
    }
    return {kind: told[order_id] for kind, order_id in recorded["asked"]["orders"].items()}


def signed_in() -> Replay:
    """A recording that has only begun: the login went well."""
    replay = Replay()
    replay.expect("POST", LOGIN, answer={"token": "a-token"})
    return replay


def stock_lines(replay: Replay) -> list[StockLine]:
    return [StockLine(**line) for line in replay.asked["lines"]]


def a_parcel(**changes: Any) -> DispatchLine:
    line: dict[str, Any] = {
        "key": 1,
        "outer_id": "order_1",
        "outer_line_ids": ["ordli_1"],
        "quantities": [1],
        "is_whole_order": False,
        "carrier_code": "SF",
        "tracking_no": "SF1",
    }
    return DispatchLine(**(line | changes))


def draft(payload: dict[str, Any]) -> OrderDraft:
    found = translate_order(payload)
    assert isinstance(found, OrderDraft), found
    return found


# --- the contract ---


def test_the_adapter_is_a_channel_adapter() -> None:
    adapter: ChannelAdapter = MedusaAdapter(
        base_url="http://127.0.0.1:1", credentials={}, settings={}, http=HttpClient(allow_loopback=True)
    )

    assert adapter.capabilities.stock_basis == "on_hand"
    assert adapter.capabilities.reopens_open_orders
    assert adapter.capabilities.honesty == "A"
    assert get_type_hints(adapter.pull_orders) == get_type_hints(ChannelAdapter.pull_orders)


# --- orders: what is told ---


def test_every_order_of_the_period_is_pulled_once_whatever_the_page_size(
    play: Callable[[Replay], MedusaAdapter],
) -> None:
    replay = Replay.of("orders")
    adapter = play(replay)

    with patch("integrations.channels.medusa.adapter.PAGE", 4):
        pages = list(
            adapter.pull_orders(
                since=datetime.fromisoformat(replay.asked["since"]),
                until=datetime.fromisoformat(replay.asked["until"]),
            )
        )

    told = [order.outer_id for page in pages for order in page]
    assert sorted(told) == sorted(replay.asked["orders"].values())
    assert all(isinstance(order, OrderDraft) for page in pages for order in page)


@pytest.mark.parametrize(
    ("kind", "state", "raw_state"),
    [
        ("authorised", ChannelState.ON_HOLD, "pending/authorized/not_fulfilled"),
        ("captured", ChannelState.TO_SHIP, "pending/captured/not_fulfilled"),
        ("partly_shipped", ChannelState.PARTIALLY_SHIPPED, "pending/captured/partially_shipped"),
        ("shipped_and_partly_refunded", ChannelState.SHIPPED, "pending/partially_refunded/shipped"),
        ("cancelled_unpaid", ChannelState.CANCELLED, "canceled/canceled/not_fulfilled"),
        ("cancelled_paid", ChannelState.CLOSED, "canceled/refunded/not_fulfilled"),
        ("refunded_before_shipping", ChannelState.CLOSED, "pending/refunded/not_fulfilled"),
        ("edited", ChannelState.PENDING_PAYMENT, "pending/not_paid/not_fulfilled"),
    ],
)
def test_the_three_words_of_medusa_become_one_state(
    recorded_orders: dict[str, dict[str, Any]], kind: str, state: ChannelState, raw_state: str
) -> None:
    order = draft(recorded_orders[kind])

    assert (order.state, order.raw_state) == (state, raw_state)


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"status": "completed"}, ChannelState.COMPLETED),
        ({"payment_status": "partially_captured"}, ChannelState.ON_HOLD),
        ({"payment_status": "requires_action"}, ChannelState.PENDING_PAYMENT),
        ({"payment_status": "paid_in_shells"}, ChannelState.UNKNOWN),
        ({"fulfillment_status": "teleported"}, ChannelState.UNKNOWN),
        ({"status": "archived"}, ChannelState.UNKNOWN),
        ({"fulfillment_status": "fulfilled"}, ChannelState.TO_SHIP),
        ({"fulfillment_status": "partially_delivered"}, ChannelState.PARTIALLY_SHIPPED),
    ],
)
def test_a_word_that_is_not_known_is_never_taken_for_leave_to_ship(
    recorded_orders: dict[str, dict[str, Any]], changes: dict[str, str], state: ChannelState
) -> None:
    told = {**recorded_orders["captured"], **changes}

    assert draft(told).state == state


def test_lines_carry_codes_quantities_and_what_the_buyer_pays(
    recorded_orders: dict[str, dict[str, Any]],
) -> None:
    order = draft(recorded_orders["authorised"])

    assert {(line.sku_code, line.quantity, line.unit_price, line.amount) for line in order.lines} == {
        ("BAG-CNV", 2, Decimal("129.5"), Decimal("259.00")),
        ("MUG-350", 1, Decimal("45"), Decimal("45.00")),
    }
    assert (order.total_amount, order.freight_amount, order.currency) == (
        Decimal("314.00"),
        Decimal("10.00"),
        "CNY",
    )
    assert all(line.outer_line_id.startswith("ordli_") for line in order.lines)
    assert all(line.outer_sku_id.startswith("variant_") for line in order.lines)
    assert all(line.outer_item_id.startswith("prod_") for line in order.lines)
    assert order.buyer == "shopper@peer.test"
    assert order.buyer_message == "请在周末送货 & 勿折叠"
    assert order.paid_at is None


def test_the_receiver_is_told_as_a_parcel_label_wants_it(recorded_orders: dict[str, dict[str, Any]]) -> None:
    receiver = draft(recorded_orders["captured"]).receiver

    assert receiver.name == "王小明"
    assert receiver.mobile == "13800138000"
    assert (receiver.country, receiver.province, receiver.city) == ("CN", "上海", "上海市")
    assert receiver.address == "中山路 1 号 2 单元 303 南京东路街道"
    assert not receiver.is_masked


def test_a_name_in_latin_letters_keeps_its_order(recorded_orders: dict[str, dict[str, Any]]) -> None:
    told = copy.deepcopy(recorded_orders["captured"])
    told["shipping_address"] |= {"first_name": "Ada", "last_name": "Lovelace"}

    assert draft(told).receiver.name == "Ada Lovelace"


def test_amounts_that_medusa_never_rounds_become_cents_that_add_up(
    recorded_orders: dict[str, dict[str, Any]],
) -> None:
    told = recorded_orders["third_off_with_tax"]
    assert {item["total"] for item in told["items"]} == {45.1269229, 90.1785087, 19.4369718}

    order = draft(told)

    assert sum(line.amount for line in order.lines) + order.freight_amount == order.total_amount
    assert order.total_amount == Decimal("166.04")
    assert order.discount_amount == Decimal("77.36")
    assert {line.amount for line in order.lines} == {Decimal("45.12"), Decimal("90.18"), Decimal("19.44")}


def test_a_refund_does_not_shrink_what_was_sold(recorded_orders: dict[str, dict[str, Any]]) -> None:
    order = draft(recorded_orders["shipped_and_partly_refunded"])

    # 45.00 + 39.90 + 10.00 freight; Medusa's own total of this order is 74.65 after the refund of 20.25.
    assert order.total_amount == Decimal("94.90")
    assert {line.refund for line in order.lines} == {LineRefund.NONE}
    assert all(line.is_shipped for line in order.lines)


def test_a_refund_in_full_closes_every_line(recorded_orders: dict[str, dict[str, Any]]) -> None:
    order = draft(recorded_orders["refunded_before_shipping"])

    assert {line.refund for line in order.lines} == {LineRefund.DONE}
    assert order.total_amount == Decimal("49.90")


def test_only_the_line_whose_last_unit_left_is_shipped(recorded_orders: dict[str, dict[str, Any]]) -> None:
    told = recorded_orders["partly_shipped"]
    assert {item["variant_sku"]: item["detail"]["shipped_quantity"] for item in told["items"]} == {
        "CAP-RED": 1,
        "NTB-A5": 0,
    }

    assert [line.is_shipped for line in draft(told).lines] == [False, False]


def test_an_edited_order_has_the_lines_that_it_has_now(recorded_orders: dict[str, dict[str, Any]]) -> None:
    order = draft(recorded_orders["edited"])

    assert {(line.sku_code, line.quantity) for line in order.lines} == {("SOCK-3P", 3), ("NTB-A5", 2)}
    assert order.total_amount == Decimal("181.30")


def test_the_same_order_told_in_another_order_of_its_parts_is_the_same_version(
    recorded_orders: dict[str, dict[str, Any]],
) -> None:
    told = recorded_orders["partly_shipped"]
    shuffled = copy.deepcopy(told)
    for part in ("items", "fulfillments"):
        assert len(shuffled[part]) > 1
        shuffled[part].reverse()

    assert draft(shuffled) == draft(told)
    assert draft(told).payload == in_steady_order(told)


def test_a_payment_moves_the_order_forward_although_its_updated_at_stands_still(
    play: Callable[[Replay], MedusaAdapter],
) -> None:
    replay = Replay.of("money_comes_in")
    adapter = play(replay)
    since, until = (datetime.fromisoformat(replay.asked[name]) for name in ("since", "until"))

    (before,) = adapter.read_orders(outer_ids=replay.asked["ids"])
    pulled = list(adapter.pull_orders(since=since, until=until))
    (after,) = adapter.read_orders(outer_ids=replay.asked["ids"])

    assert isinstance(before, OrderDraft)
    assert isinstance(after, OrderDraft)
    assert (before.state, after.state) == (ChannelState.ON_HOLD, ChannelState.TO_SHIP)
    assert before.payload["updated_at"] == after.payload["updated_at"]
    assert pulled == [], "the reason for reopens_open_orders"
    assert after.outer_modified_at > before.outer_modified_at
    assert after.paid_at is not None


# --- orders: what cannot be read ---


@pytest.mark.parametrize(
    "damage",
    [
        {"items": None},
        {"items": [{"id": "ordli_1"}]},
        {"created_at": "yesterday"},
        {"created_at": "2026-01-01T00:00:00"},
        {"item_total": "NaN"},
        {"currency_code": None, "item_total": None},
    ],
)
def test_what_cannot_be_read_is_handed_on_with_its_reason(
    recorded_orders: dict[str, dict[str, Any]], damage: dict[str, Any]
) -> None:
    told = {**recorded_orders["captured"], **damage}

    found = translate_order(told)

    assert isinstance(found, BadPayload)
    assert found.outer_id == told["id"]
    assert found.reason
    assert found.payload == told


def test_half_a_unit_is_not_translated(recorded_orders: dict[str, dict[str, Any]]) -> None:
    told = copy.deepcopy(recorded_orders["captured"])
    told["items"][0]["quantity"] = 1.5

    found = translate_order(told)

    assert isinstance(found, BadPayload)
    assert found.reason == "broken_quantity"


def test_one_bad_order_does_not_hide_its_neighbours(
    play: Callable[[Replay], MedusaAdapter], recorded_orders: dict[str, dict[str, Any]]
) -> None:
    replay = signed_in()
    bad = {"id": "order_bad", "status": "pending", "created_at": "2026-01-01T00:00:00Z"}
    replay.expect("GET", "/admin/orders", answer={"orders": [bad, recorded_orders["captured"]]})
    replay.expect("GET", "/admin/orders", answer={"orders": [bad]})
    adapter = play(replay)

    pages = list(adapter.pull_orders(since=SINCE, until=SINCE + timedelta(days=1)))

    assert [type(order) for page in pages for order in page] == [BadPayload, OrderDraft]


def test_an_order_that_somebody_still_writes_is_not_an_order(
    play: Callable[[Replay], MedusaAdapter], recorded_orders: dict[str, dict[str, Any]]
) -> None:
    replay = signed_in()
    being_written = {**recorded_orders["captured"], "status": "draft", "is_draft_order": True}
    replay.expect("GET", "/admin/orders", answer={"orders": [being_written]})
    adapter = play(replay)

    assert adapter.read_orders(outer_ids=[being_written["id"]]) == []


def test_orders_of_one_millisecond_that_fill_a_page_are_all_found(
    play: Callable[[Replay], MedusaAdapter], recorded_orders: dict[str, dict[str, Any]]
) -> None:
    moment = "2026-01-01T08:00:00.000Z"
    twins = [{**recorded_orders["captured"], "id": f"order_{n}", "created_at": moment} for n in range(5)]
    replay = signed_in()
    for page in (twins[:2], twins[:2], twins[2:4], twins[4:]):
        replay.expect("GET", "/admin/orders", answer={"orders": page})
    adapter = play(replay)

    with patch("integrations.channels.medusa.adapter.PAGE", 2):
        ids = list(adapter.list_order_ids(since=SINCE, until=SINCE + timedelta(days=1)))

    assert [one for page in ids for one in page] == [order["id"] for order in twins]
    assert [(q["params"]["created_at[$gte]"], q["params"]["offset"]) for q in replay.heard[1:]] == [
        ("2026-01-01T00:00:00.000Z", "0"),
        (moment, "0"),
        (moment, "2"),
        (moment, "4"),
    ]


def test_moments_are_asked_for_in_utc(play: Callable[[Replay], MedusaAdapter]) -> None:
    replay = signed_in()
    replay.expect("GET", "/admin/orders", answer={"orders": []})
    adapter = play(replay)
    in_china = datetime.fromisoformat("2026-01-01T08:00:00+08:00")

    list(adapter.list_order_ids(since=in_china, until=in_china + timedelta(hours=1)))

    assert replay.heard[-1]["params"]["created_at[$gte]"] == "2026-01-01T00:00:00.000Z"


# --- stock ---


def test_what_the_shop_has_reserved_is_added_to_what_may_be_sold(
    play: Callable[[Replay], MedusaAdapter],
) -> None:
    replay = Replay.of("stock")
    adapter = play(replay)

    results = adapter.push_stock(lines=stock_lines(replay))

    assert [(line.key, line.ok, line.code, line.is_final) for line in results] == [
        (1, True, "", False),
        (2, True, "", False),
        (3, False, "unknown_listing", True),
        (4, True, "", False),
        (5, True, "", False),
        (6, False, "not_managed", True),
        (7, False, "is_kit", True),
    ]
    (written,) = [heard["body"] for heard in replay.heard if heard["path"] == BATCH]
    assert [level["stocked_quantity"] for level in written["update"]] == [17 + 2, 0, 4], "2 reserved; −5 is 0"
    assert [level["stocked_quantity"] for level in written["create"]] == [6], "no record at the location yet"


def test_one_article_that_vanished_does_not_freeze_the_others(
    play: Callable[[Replay], MedusaAdapter],
) -> None:
    replay = Replay.of("stock_level_vanishes")
    adapter = play(replay)

    results = adapter.push_stock(lines=stock_lines(replay))

    assert [(line.ok, line.code, line.is_final) for line in results] == [
        (True, "", False),
        (False, "not_found", True),
        (True, "", False),
    ]


def test_a_parcel_told_while_the_stock_is_written_is_mended(play: Callable[[Replay], MedusaAdapter]) -> None:
    replay = Replay.of("stock_parcel_in_between")
    adapter = play(replay)

    (result,) = adapter.push_stock(lines=stock_lines(replay))

    written = [
        heard["body"]["update"][0]["stocked_quantity"] for heard in replay.heard if heard["path"] == BATCH
    ]
    assert result.ok
    assert written == [10 + 3, 10 + 1], "two of the three reserved units left in between"


def test_reservations_that_never_rest_leave_the_line_to_be_repeated(
    play: Callable[[Replay], MedusaAdapter],
) -> None:
    def variants(reserved: int) -> dict[str, Any]:
        level = {"location_id": "sloc_1", "reserved_quantity": reserved}
        inventory = {"id": "iitem_1", "location_levels": [level]}
        item = {"required_quantity": 1, "inventory": inventory}
        return {"variants": [{"id": "variant_1", "manage_inventory": True, "inventory_items": [item]}]}

    replay = signed_in()
    for reserved in (9, 8, 7, 6):
        replay.expect("GET", "/admin/product-variants", answer=variants(reserved))
        replay.expect("POST", BATCH, answer={"updated": []})
    adapter = play(replay)
    line = StockLine(key=1, outer_item_id="", outer_sku_id="variant_1", sku_code="", quantity=5)

    (result,) = adapter.push_stock(lines=[line])

    assert (result.ok, result.is_final) == (False, False)


def test_a_connection_without_a_location_writes_no_stock(
    http: HttpClient, play: Callable[[Replay], MedusaAdapter]
) -> None:
    replay = signed_in()
    replay.expect(
        "GET", "/admin/product-variants", answer={"variants": [{"id": "variant_1", "manage_inventory": True}]}
    )
    play(replay)
    adapter = MedusaAdapter(base_url=replay.base_url, credentials={}, settings={}, http=http)
    line = StockLine(key=1, outer_item_id="", outer_sku_id="variant_1", sku_code="", quantity=5)

    (result,) = adapter.push_stock(lines=[line])

    assert (result.ok, result.code, result.is_final) == (False, "no_location", True)


def test_pushing_nothing_asks_nothing(play: Callable[[Replay], MedusaAdapter]) -> None:
    adapter = play(Replay())

    assert adapter.push_stock(lines=[]) == []
    assert adapter.push_dispatch(lines=[]) == []
    assert adapter.push_prices(lines=[]) == []


# --- prices ---


def test_a_new_price_leaves_the_other_prices_of_the_variant_alone(
    play: Callable[[Replay], MedusaAdapter],
) -> None:
    replay = Replay.of("prices")
    lines = [PriceLine(**{**line, "price": Decimal(line["price"])}) for line in replay.asked["lines"]]
    adapter = play(replay)

    results = adapter.push_prices(lines=lines)

    assert [(line.ok, line.code) for line in results] == [
        (True, ""),
        (False, "negative_price"),
        (False, "unknown_currency"),
        (True, ""),
    ]
    (umbrella,) = replay.heard[3]["body"]["update"]
    told = sorted(umbrella["prices"], key=lambda price: price["amount"])
    assert [(price["currency_code"], price["amount"]) for price in told] == [
        ("usd", 20),
        ("cny", 90),
        ("cny", 95),
        ("cny", 101.35),
    ]
    assert told[1]["min_quantity"] == 10
    assert list(told[2]["rules"]) == ["region_id"]
    assert all("id" in price for price in told)
    (candle,) = replay.heard[4]["body"]["update"]
    assert [(price["currency_code"], price["amount"]) for price in candle["prices"]] == [
        ("cny", 68),
        ("usd", 11.5),
    ]


# --- parcels ---


def test_a_parcel_is_told_once_however_often_it_is_pushed(play: Callable[[Replay], MedusaAdapter]) -> None:
    replay = Replay.of("parcels")
    first, rest = (DispatchLine(**replay.asked[name]) for name in ("first", "rest"))
    adapter = play(replay)

    assert [line.ok for line in adapter.push_dispatch(lines=[first])] == [True]
    assert [line.ok for line in adapter.push_dispatch(lines=[first, rest])] == [True, True]
    too_much = DispatchLine(
        key=3,
        outer_id=first.outer_id,
        outer_line_ids=first.outer_line_ids,
        quantities=[1],
        is_whole_order=False,
        carrier_code="SF",
        tracking_no="SF3",
    )
    (refused,) = adapter.push_dispatch(lines=[too_much])

    assert (refused.ok, refused.is_final, refused.code) == (False, True, "invalid_data")
    written = [heard["path"].rpartition("/")[2] for heard in replay.heard if heard["method"] == "POST"][1:]
    assert written == ["fulfillments", "shipments", "fulfillments", "shipments", "fulfillments"]


@pytest.mark.parametrize(
    ("scene", "written"),
    [
        ("fulfilment_not_heard", ["fulfillments", "shipments"]),
        ("shipment_not_heard", ["fulfillments", "shipments"]),
    ],
)
def test_a_parcel_whose_telling_was_not_heard_is_not_told_twice(
    play: Callable[[Replay], MedusaAdapter], scene: str, written: list[str]
) -> None:
    replay = Replay.of(scene)
    line = DispatchLine(**replay.asked["line"])
    adapter = play(replay)

    (first,) = adapter.push_dispatch(lines=[line])
    (second,) = adapter.push_dispatch(lines=[line])

    assert (first.ok, first.code, first.is_final) == (False, "unknown_outcome", False)
    assert second.ok
    paths = [heard["path"].rpartition("/")[2] for heard in replay.heard if heard["method"] == "POST"][1:]
    assert paths == written


def test_what_a_clerk_packed_in_the_shop_is_shipped_and_not_packed_again(
    play: Callable[[Replay], MedusaAdapter],
) -> None:
    replay = Replay.of("parcel_packed_by_hand")
    adapter = play(replay)

    (result,) = adapter.push_dispatch(lines=[DispatchLine(**replay.asked["line"])])

    assert result.ok
    assert [heard["path"].rpartition("/")[2] for heard in replay.heard[1:] if heard["method"] == "POST"] == [
        "shipments"
    ]


def told_order(*, shipped: int = 0, fulfilments: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    item = {"id": "ordli_1", "quantity": 3, "detail": {"shipped_quantity": shipped}}
    return {"order": {"id": "order_1", "items": [item], "fulfillments": fulfilments or []}}


def told_fulfilment(*, tracking_no: str, units: int, is_shipped: bool = False) -> dict[str, Any]:
    return {
        "id": "ful_1",
        "shipped_at": "2026-01-01T00:00:00Z" if is_shipped else None,
        "metadata": {"omni_tracking_no": tracking_no},
        "items": [{"line_item_id": "ordli_1", "quantity": units}],
        "labels": [{"tracking_number": tracking_no}] if is_shipped else [],
    }


def test_a_whole_order_without_lines_named_is_all_that_has_not_left(
    play: Callable[[Replay], MedusaAdapter],
) -> None:
    replay = signed_in()
    packed = told_fulfilment(tracking_no="SF1", units=2)
    replay.expect("GET", "/admin/orders/order_1", answer=told_order(shipped=1))
    replay.expect(
        "POST", "/admin/orders/order_1/fulfillments", answer=told_order(shipped=1, fulfilments=[packed])
    )
    replay.expect("POST", "/admin/orders/order_1/fulfillments/ful_1/shipments", answer={"order": {}})
    adapter = play(replay)

    (result,) = adapter.push_dispatch(lines=[a_parcel(outer_line_ids=[], quantities=[], is_whole_order=True)])

    assert result.ok
    assert replay.heard[2]["body"]["items"] == [{"id": "ordli_1", "quantity": 2}]


def test_more_units_under_a_known_number_are_told_as_the_difference(
    play: Callable[[Replay], MedusaAdapter],
) -> None:
    replay = signed_in()
    known = told_fulfilment(tracking_no="SF1", units=1, is_shipped=True)
    packed = {**told_fulfilment(tracking_no="SF1", units=2), "id": "ful_2"}
    replay.expect("GET", "/admin/orders/order_1", answer=told_order(shipped=1, fulfilments=[known]))
    replay.expect(
        "POST", "/admin/orders/order_1/fulfillments", answer=told_order(fulfilments=[known, packed])
    )
    replay.expect("POST", "/admin/orders/order_1/fulfillments/ful_2/shipments", answer={"order": {}})
    adapter = play(replay)

    (result,) = adapter.push_dispatch(lines=[a_parcel(quantities=[3])])

    assert result.ok
    assert replay.heard[2]["body"]["items"] == [{"id": "ordli_1", "quantity": 2}]


def test_an_empty_parcel_is_refused_before_anything_is_written(
    play: Callable[[Replay], MedusaAdapter],
) -> None:
    replay = signed_in()
    replay.expect("GET", "/admin/orders/order_1", answer=told_order())
    adapter = play(replay)

    (result,) = adapter.push_dispatch(lines=[a_parcel(quantities=[0])])

    assert (result.ok, result.code, result.is_final) == (False, "nothing_left", True)


def test_one_order_that_the_shop_chokes_on_does_not_stop_the_next(
    play: Callable[[Replay], MedusaAdapter],
) -> None:
    replay = signed_in()
    known = told_fulfilment(tracking_no="SF1", units=1, is_shipped=True)
    replay.expect(
        "GET", "/admin/orders/order_1", status=500, answer={"message": "An unknown error occurred."}
    )
    replay.expect("GET", "/admin/orders/order_2", answer=told_order(fulfilments=[known]))
    adapter = play(replay)

    first, second = adapter.push_dispatch(lines=[a_parcel(), a_parcel(key=2, outer_id="order_2")])

    assert (first.ok, first.code, first.is_final) == (False, "unavailable", False)
    assert second.ok


def test_a_shop_that_hangs_up_is_not_asked_for_every_parcel(play: Callable[[Replay], MedusaAdapter]) -> None:
    replay = signed_in()
    replay.expect("GET", "/admin/orders/order_1", answer=None)
    adapter = play(replay)

    results = adapter.push_dispatch(lines=[a_parcel(key=key) for key in (1, 2, 3)])

    assert [(line.key, line.ok, line.is_final) for line in results] == [
        (1, False, False),
        (2, False, False),
        (3, False, False),
    ]


def test_an_order_number_from_outside_cannot_leave_its_place_in_the_address(
    play: Callable[[Replay], MedusaAdapter],
) -> None:
    replay = signed_in()
    replay.expect("GET", "/admin/orders/..%2Fusers%3Fx", status=404, answer={"type": "not_found"})
    adapter = play(replay)

    (result,) = adapter.push_dispatch(lines=[a_parcel(outer_id="../users?x")])

    assert (result.ok, result.code) == (False, "not_found")


# --- signing in, and errors ---


def test_a_token_that_is_no_longer_taken_is_renewed_once(play: Callable[[Replay], MedusaAdapter]) -> None:
    replay = Replay.of("token_expired")
    adapter = play(replay)

    assert adapter.read_orders(outer_ids=["order_that_never_was"]) == []
    adapter._session._token = "stale"
    assert adapter.read_orders(outer_ids=["order_that_never_was"]) == []

    assert [heard["authorisation"] for heard in replay.heard] == [
        "",
        "Bearer recorded-token",
        "Bearer stale",
        "",
        "Bearer recorded-token",
    ]


def test_a_wrong_password_stops_the_connection(play: Callable[[Replay], MedusaAdapter]) -> None:
    adapter = play(Replay.of("wrong_password"))

    with pytest.raises(ChannelRejected) as refused:
        adapter.read_orders(outer_ids=["order_1"])

    assert refused.value.is_auth
    assert refused.value.detail == "Invalid email or password"


def test_a_user_that_was_locked_out_in_the_middle_of_a_sweep_stops_it(
    play: Callable[[Replay], MedusaAdapter],
) -> None:
    replay = signed_in()
    replay.expect("GET", "/admin/orders/order_1", status=401, answer={"message": "Unauthorized"})
    replay.expect(
        "POST", LOGIN, status=401, answer={"type": "unauthorized", "message": "Invalid email or password"}
    )
    adapter = play(replay)

    with pytest.raises(ChannelRejected) as refused:
        adapter.push_dispatch(lines=[a_parcel(), a_parcel(key=2)])

    assert refused.value.is_auth


def test_a_secret_api_key_needs_no_sign_in(http: HttpClient) -> None:
    replay = Replay()
    replay.expect("GET", "/admin/orders", answer={"orders": []})
    with playing(replay):
        adapter = MedusaAdapter(
            base_url=replay.base_url, credentials={"api_key": "sk_1"}, settings={}, http=http
        )

        assert adapter.read_orders(outer_ids=["order_1"]) == []

    assert replay.heard[0]["authorisation"] == "Basic c2tfMTo="


def test_being_asked_too_often_tells_how_long_to_wait(play: Callable[[Replay], MedusaAdapter]) -> None:
    replay = signed_in()
    replay.expect(
        "GET", "/admin/orders", status=429, answer={"message": "slow"}, headers={"Retry-After": "7"}
    )
    adapter = play(replay)

    with pytest.raises(ChannelUnavailable) as problem:
        adapter.read_orders(outer_ids=["order_1"])

    assert problem.value.is_throttled
    assert problem.value.retry_seconds == 7


@pytest.mark.parametrize(
    ("status", "answer", "is_unknown"),
    [
        (500, {"message": "x"}, True),
        (503, "<html>", True),
        (409, {"type": "conflict"}, False),
        (200, "<html>", True),
    ],
)
def test_a_write_that_may_have_taken_effect_says_so(
    play: Callable[[Replay], MedusaAdapter], status: int, answer: Any, is_unknown: bool
) -> None:
    replay = signed_in()
    level = {"location_id": "sloc_1", "reserved_quantity": 0}
    item = {"required_quantity": 1, "inventory": {"id": "iitem_1", "location_levels": [level]}}
    variant = {"id": "variant_1", "manage_inventory": True, "inventory_items": [item]}
    replay.expect("GET", "/admin/product-variants", answer={"variants": [variant]})
    replay.expect("POST", BATCH, status=status, answer=answer)
    adapter = play(replay)
    line = StockLine(key=1, outer_item_id="", outer_sku_id="variant_1", sku_code="", quantity=5)

    with pytest.raises(ChannelUnavailable) as problem:
        adapter.push_stock(lines=[line])

    assert problem.value.is_unknown_outcome is is_unknown


def test_a_read_that_fails_leaves_nothing_unknown(play: Callable[[Replay], MedusaAdapter]) -> None:
    replay = signed_in()
    replay.expect("GET", "/admin/orders", answer=None)
    adapter = play(replay)

    with pytest.raises(ChannelUnavailable) as problem:
        adapter.read_orders(outer_ids=["order_1"])

    assert not problem.value.is_unknown_outcome


@pytest.mark.parametrize("answer", [{"orders": None}, {"orders": ["order_1"]}, {}, "[]"])
def test_an_answer_of_another_shape_is_not_taken_for_an_empty_shop(
    play: Callable[[Replay], MedusaAdapter], answer: Any
) -> None:
    replay = signed_in()
    replay.expect("GET", "/admin/orders", answer=answer)
    adapter = play(replay)

    with pytest.raises(ChannelUnavailable):
        list(adapter.list_order_ids(since=SINCE, until=SINCE + timedelta(days=1)))


# --- greeting -----------------------------------------------------------------------------------------------


def test_a_greeting_reads_the_names_of_the_shop_and_of_its_stock_location(
    play: Callable[[Replay], MedusaAdapter],
) -> None:
    replay = Replay()
    replay.expect("GET", "/admin/stores", answer={"stores": [{"id": "store_1", "name": "Lumi"}]})
    replay.expect(
        "GET",
        "/admin/stock-locations/sloc_1",
        answer={"stock_location": {"id": "sloc_1", "name": "Shanghai"}},
    )

    assert play(replay, api_key="sk_1").greet() == "Lumi, Shanghai"  # type: ignore[call-arg]


def test_a_greeting_of_a_shop_without_that_stock_location_is_refused(
    play: Callable[[Replay], MedusaAdapter],
) -> None:
    replay = Replay()
    replay.expect("GET", "/admin/stores", answer={"stores": []})
    replay.expect(
        "GET",
        "/admin/stock-locations/sloc_1",
        status=404,
        answer={"type": "not_found", "message": "Stock location with id: sloc_1 was not found"},
    )

    with pytest.raises(ChannelRejected, match="sloc_1 was not found") as refused:
        play(replay, api_key="sk_1").greet()  # type: ignore[call-arg]
    assert not refused.value.is_auth


# --- listings ---


def a_listing(key: int, product: str = "prod_1", variant: str = "variant_1", **changes: Any) -> ListingLine:
    given: dict[str, Any] = {
        "outer_item_id": product,
        "outer_sku_id": variant,
        "sku_code": "A",
        "quantity": 3,
    }
    return ListingLine(**({"key": key} | given | changes))


def test_a_product_is_published_once_for_all_of_its_variants(play: Callable[[Replay], MedusaAdapter]) -> None:
    replay = signed_in()
    replay.expect(
        "POST", "/admin/products/prod_1", body={"status": "published"}, answer={"product": {"id": "prod_1"}}
    )
    replay.expect(
        "POST", "/admin/products/prod_2", body={"status": "published"}, answer={"product": {"id": "prod_2"}}
    )
    lines = [a_listing(1), a_listing(2, variant="variant_2"), a_listing(3, "prod_2")]

    results = play(replay).list_items(lines=lines)

    assert [(each.key, each.ok) for each in results] == [(1, True), (2, True), (3, True)]


def test_a_product_that_is_gone_is_refused_alone(play: Callable[[Replay], MedusaAdapter]) -> None:
    replay = signed_in()
    gone = {"type": "not_found", "message": "Product with id: prod_1 was not found"}
    replay.expect("POST", "/admin/products/prod_1", status=404, answer=gone)
    replay.expect(
        "POST", "/admin/products/prod_2", body={"status": "draft"}, answer={"product": {"id": "prod_2"}}
    )

    results = play(replay).delist_items(lines=[a_listing(1), a_listing(2, "prod_2")])

    assert [(each.key, each.ok, each.is_final) for each in results] == [(1, False, True), (2, True, False)]
    assert "not found" in results[0].detail


def test_a_product_is_called_otherwise_and_one_that_is_gone_is_refused_alone(
    play: Callable[[Replay], MedusaAdapter],
) -> None:
    replay = signed_in()
    gone = {"type": "not_found", "message": "Product with id: prod_2 was not found"}
    replay.expect(
        "POST", "/admin/products/prod_1", body={"title": "Bag"}, answer={"product": {"id": "prod_1"}}
    )
    replay.expect("POST", "/admin/products/prod_2", status=404, answer=gone)

    results = play(replay).update_items(lines=[TitleLine(1, "prod_1", "Bag"), TitleLine(2, "prod_2", "Box")])

    assert [(each.key, each.ok, each.is_final) for each in results] == [(1, True, False), (2, False, True)]


def test_a_variant_whose_siblings_stay_gets_nothing_to_sell(play: Callable[[Replay], MedusaAdapter]) -> None:
    replay = signed_in()
    variant = {
        "id": "variant_1",
        "sku": "A",
        "manage_inventory": True,
        "inventory_items": [
            {
                "required_quantity": 1,
                "inventory": {
                    "id": "iitem_1",
                    "location_levels": [{"location_id": "sloc_1", "reserved_quantity": 2}],
                },
            }
        ],
    }
    level = {"inventory_item_id": "iitem_1", "location_id": "sloc_1", "stocked_quantity": 2}
    replay.expect("GET", "/admin/product-variants", answer={"variants": [variant]})
    replay.expect("POST", BATCH, body={"create": [], "update": [level]}, answer={})
    replay.expect("GET", "/admin/product-variants", answer={"variants": [variant]})

    (result,) = play(replay).delist_items(lines=[a_listing(1, is_whole_item=False)])

    assert result.ok


def test_the_shelf_is_read_with_base_price_and_free_units(play: Callable[[Replay], MedusaAdapter]) -> None:
    replay = signed_in()
    currencies = [
        {"currency_code": "usd", "is_default": False},
        {"currency_code": "cny", "is_default": True},
    ]
    replay.expect("GET", "/admin/stores", answer={"stores": [{"supported_currencies": currencies}]})
    levels = [
        {"location_id": "sloc_1", "stocked_quantity": 9, "reserved_quantity": 2},
        {"location_id": "sloc_2", "stocked_quantity": 50, "reserved_quantity": 0},
    ]
    prices = [
        {"currency_code": "usd", "amount": 3},
        {"currency_code": "cny", "amount": 15, "min_quantity": 10},
        {"currency_code": "cny", "amount": 19.9},
    ]
    variant = {
        "id": "variant_1",
        "sku": "A",
        "ean": "6901234567892",
        "product_id": "prod_1",
        "product": {"title": "Bag", "status": "draft"},
        "manage_inventory": True,
        "prices": prices,
        "inventory_items": [{"required_quantity": 1, "inventory": {"location_levels": levels}}],
    }
    replay.expect("GET", "/admin/product-variants", answer={"variants": [variant]})

    (page,) = list(play(replay).read_items())

    assert page == [
        SeenItem(
            outer_item_id="prod_1",
            outer_sku_id="variant_1",
            title="Bag",
            outer_code="A",
            barcode="6901234567892",
            price=Decimal("19.9"),
            currency="CNY",
            quantity=7,
            is_listed=False,
        )
    ]

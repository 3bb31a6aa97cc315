"""The TOP adapter against a stub that follows TOP's public documents: nothing is missed, nothing is told twice."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

import integrations.channels.top
from integrations.channels.top import paging
from integrations.channels.top.adapter import TopAdapter
from integrations.channels.top.gateway import parse_json
from integrations.channels.top.signing import SignMethod, sign_parameters
from integrations.contract import (
    BadPayload,
    ChannelRejected,
    ChannelUnavailable,
    DispatchLine,
    PriceLine,
    StockLine,
)
from omni.kernel.http import HttpClient
from orders.draft import OrderDraft, RefundDraft

FIXTURES = Path(integrations.channels.top.__file__).parent / "fixtures"
SINCE = datetime(2026, 3, 1, 2, 0, 0, tzinfo=UTC)
UNTIL = SINCE + timedelta(minutes=20)

Call = Mapping[str, str]
Answer = dict[str, Any] | bytes | int
Handler = Callable[[Call], Answer]


# --- the stub ---


class Stub:
    """A TOP gateway of a page: one handler per method, md5 signatures checked, every call remembered."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}
        self.calls: list[Call] = []
        self.url = ""
        self._lock = threading.Lock()

    def called(self, method: str) -> list[Call]:
        return [call for call in self.calls if call["method"] == method]

    def answer(self, call: Call) -> tuple[int, bytes]:
        with self._lock:
            self.calls.append(call)
            if not is_signed(call):
                return 200, json.dumps(error(25, "invalid-signature")).encode()
            found = self.handlers[call["method"]](call)
        if isinstance(found, int):
            return found, b"<html>Bad gateway</html>"
        if isinstance(found, bytes):
            return 200, found
        if "error_response" not in found:
            found = {call["method"].removeprefix("taobao.").replace(".", "_") + "_response": found}
        return 200, json.dumps(found).encode()


def is_signed(call: Call) -> bool:
    """Written anew from the protocol page on purpose: a mistake of the adapter must not be shared."""
    text = "helloworld"
    for name in sorted(call):
        if name != "sign" and call[name] != "":
            text += name + call[name]
    return hashlib.md5((text + "helloworld").encode()).hexdigest().upper() == call.get("sign")  # noqa: S324


@pytest.fixture
def top() -> Iterator[Stub]:
    stub = Stub()

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["Content-Length"])).decode()
            status, body = stub.answer(dict(parse_qsl(form, keep_blank_values=True)))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    server.daemon_threads = True
    stub.url = f"http://127.0.0.1:{server.server_port}/router/rest"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield stub
    server.shutdown()
    server.server_close()


@pytest.fixture
def http() -> Iterator[HttpClient]:
    with HttpClient(allow_loopback=True, timeout_seconds=5) as client:
        yield client


@pytest.fixture
def adapter(top: Stub, http: HttpClient) -> TopAdapter:
    return build_adapter(top, http)


def build_adapter(top: Stub, http: HttpClient, **settings: Any) -> TopAdapter:
    return TopAdapter(
        base_url=top.url,
        credentials={"app_key": "12345678", "secret": "helloworld", "session": "test"},
        settings={"ban_wait_seconds_max": 0, "read_tries": 2, **settings},
        http=http,
    )


def error(code: int, sub_code: str, sub_msg: str = "") -> dict[str, Any]:
    return {"error_response": {"code": code, "msg": "refused", "sub_code": sub_code, "sub_msg": sub_msg}}


def fixture(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text())
    return loaded


class Shop:
    """Trades that answer like TOP: newest first, one page at a time, has_next or total, closed windows."""

    def __init__(self, stub: Stub, count: int) -> None:
        self.modified = {4_000_000_000_000_000_000 + n: SINCE + timedelta(seconds=n) for n in range(count)}
        self.after_page: Callable[[int], None] = lambda page_no: None
        self.is_total_told = True
        stub.handlers["taobao.trades.sold.increment.get"] = self.list_trades
        stub.handlers["taobao.trade.fullinfo.get"] = self.read_trade

    def newest_first(self, start: str, end: str) -> list[int]:
        found = [tid for tid, at in self.modified.items() if start <= china(at) <= end]
        return sorted(found, key=lambda tid: (self.modified[tid], tid), reverse=True)

    def list_trades(self, call: Call) -> dict[str, Any]:
        tids = self.newest_first(call["start_modified"], call["end_modified"])
        page_no, size = int(call["page_no"]), int(call["page_size"])
        page = tids[(page_no - 1) * size : page_no * size]
        answer: dict[str, Any] = {"request_id": "r"}
        if page:
            answer["trades"] = {
                "trade": [{"tid": tid, "modified": china(self.modified[tid])} for tid in page]
            }
        if call.get("use_has_next") == "true":
            answer["has_next"] = len(tids) > page_no * size
            self.after_page(page_no)
        elif self.is_total_told:
            answer["total_results"] = len(tids)
        else:
            answer["has_next"] = len(tids) > page_no * size
        return answer

    def read_trade(self, call: Call) -> dict[str, Any]:
        tid = int(call["tid"])
        if tid not in self.modified:
            return error(15, "isv.trade-not-exist")
        trade = fixture("trade_two_lines")["trade_fullinfo_get_response"]["trade"]
        return {"trade": trade | {"tid": tid, "modified": china(self.modified[tid])}}


def china(moment: datetime) -> str:
    return (moment + timedelta(hours=8)).strftime("%Y-%m-%d %H:%M:%S")


def pulled_ids(adapter: TopAdapter, until: datetime = UNTIL) -> list[str]:
    return [draft.outer_id for page in adapter.pull_orders(since=SINCE, until=until) for draft in page]


# --- signing ---


@pytest.mark.parametrize(
    ("sign_method", "expected"),
    [
        ("md5", "66987CB115214E59E6EC978214934FB8"),
        ("hmac", "D56D7858309C31B6251083A874D48273"),
        ("hmac-sha256", "04DB15AD0774D5CFCE2C837DE43E3FCEA9011ED74F3038FB6AB5F3C4CEA119E8"),
    ],
)
def test_the_three_signatures_equal_the_vectors(sign_method: SignMethod, expected: str) -> None:
    parameters = {
        "app_key": "12345678",
        "fields": "num_iid,title,nick,price,num",
        "format": "json",
        "method": "taobao.item.seller.get",
        "num_iid": "11223344",
        "session": "test",
        "timestamp": "2016-01-01 12:00:00",
        "v": "2.0",
        "empty": "",
        "sign": "left out",
        "sign_method": sign_method,
    }

    assert sign_parameters(parameters=parameters, secret="helloworld", sign_method=sign_method) == expected


def test_emoji_and_ampersands_are_signed_as_they_are_and_arrive_unharmed(
    top: Stub, adapter: TopAdapter
) -> None:
    top.handlers["taobao.logistics.offline.send"] = lambda _: {"shipping": {"is_success": True}}

    results = adapter.push_dispatch(lines=[parcel(tracking_no="SF&1=2 +🎁%")])

    assert results[0].ok
    assert top.calls[0]["out_sid"] == "SF&1=2 +🎁%"


def test_the_time_of_a_request_is_that_of_china(top: Stub, adapter: TopAdapter) -> None:
    Shop(top, 1)

    pulled_ids(adapter)

    sent = datetime.strptime(top.calls[0]["timestamp"] + " +0800", "%Y-%m-%d %H:%M:%S %z")
    assert abs(sent - datetime.now(UTC)) < timedelta(minutes=1)


# --- pulling ---


def test_every_order_of_the_window_comes_with_its_detail(top: Stub, adapter: TopAdapter) -> None:
    shop = Shop(top, 250)

    drafts = [draft for page in adapter.pull_orders(since=SINCE, until=UNTIL) for draft in page]

    assert sorted(draft.outer_id for draft in drafts) == sorted(map(str, shop.modified))
    assert all(isinstance(draft, OrderDraft) and len(draft.lines) == 2 for draft in drafts)


def test_details_of_orders_that_are_stored_as_listed_are_not_read_again(
    top: Stub, adapter: TopAdapter
) -> None:
    shop = Shop(top, 250)
    asked: dict[str, datetime] = {}
    known = {str(tid) for tid in list(shop.modified)[:240]}

    def find_known(listed: Mapping[str, datetime]) -> set[str]:
        asked.update(listed)
        return known & set(listed)

    pages = list(adapter.pull_orders(since=SINCE, until=UNTIL, find_known=find_known))

    assert {draft.outer_id for page in pages for draft in page} == set(map(str, shop.modified)) - known
    assert asked == {str(tid): moment.replace(microsecond=0) for tid, moment in shop.modified.items()}
    assert sum(call["method"] == "taobao.trade.fullinfo.get" for call in top.calls) == 10


def modify_after_first_page(shop: Shop) -> None:
    """One trade of the page that was just read leaves the window, as a payment or a refund does it."""
    told: list[int] = []

    def modify(page_no: int) -> None:
        if not told:
            told.append(page_no)
            tids = shop.newest_first(china(SINCE), china(UNTIL))
            shop.modified[tids[(page_no - 1) * 100]] = UNTIL + timedelta(minutes=1)

    shop.after_page = modify


def test_an_order_modified_between_two_pages_makes_no_other_order_slip_through(
    top: Stub, adapter: TopAdapter
) -> None:
    shop = Shop(top, 250)
    modify_after_first_page(shop)

    found = pulled_ids(adapter)

    assert set(found) >= {str(tid) for tid, at in shop.modified.items() if at <= UNTIL}


def test_the_same_list_read_forwards_would_lose_an_order(
    top: Stub, adapter: TopAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(top, 250)
    modify_after_first_page(shop)

    def read_forwards(read_page: paging.ReadPage, last: int) -> Iterator[paging.Page]:
        for page_no in range(1, last + 1):
            yield read_page(page_no=page_no, is_counting=False)

    monkeypatch.setattr(paging, "_read_once", read_forwards)

    found = pulled_ids(adapter)

    assert not set(found) >= {str(tid) for tid, at in shop.modified.items() if at <= UNTIL}


def test_orders_that_enter_the_window_late_are_read_in_a_second_pass(top: Stub, adapter: TopAdapter) -> None:
    shop = Shop(top, 250)
    late = [4_100_000_000_000_000_000 + n for n in range(3)]

    def arrive(page_no: int) -> None:
        if page_no == 3:
            shop.modified |= dict.fromkeys(late, SINCE + timedelta(seconds=240))

    shop.after_page = arrive

    found = pulled_ids(adapter)

    assert set(found) == set(map(str, shop.modified))


def test_without_any_total_the_last_page_is_found_by_has_next(top: Stub, adapter: TopAdapter) -> None:
    shop = Shop(top, 250)
    shop.is_total_told = False

    found = pulled_ids(adapter)

    assert sorted(found) == sorted(map(str, shop.modified))


def test_an_empty_window_has_no_list_key_and_no_orders(top: Stub, adapter: TopAdapter) -> None:
    Shop(top, 0)

    assert pulled_ids(adapter) == []


def test_a_long_period_is_asked_in_slices_that_share_their_border_second(
    top: Stub, adapter: TopAdapter
) -> None:
    shop = Shop(top, 0)
    shop.modified = {4_000_000_000_000_000_000 + n: SINCE + timedelta(minutes=30 * n) for n in range(4)}

    found = pulled_ids(adapter, until=SINCE + timedelta(minutes=90))

    assert sorted(found) == sorted(map(str, shop.modified))
    windows = [
        (call["start_modified"], call["end_modified"])
        for call in top.called("taobao.trades.sold.increment.get")
    ]
    assert [end for _, end in windows[:-1]] == [start for start, _ in windows[1:]]
    assert windows[0][0] == china(SINCE)
    assert windows[-1][1] == china(SINCE + timedelta(minutes=90))


def test_an_order_of_the_border_second_is_told_once(top: Stub, adapter: TopAdapter) -> None:
    shop = Shop(top, 0)
    shop.modified = {4_000_000_000_000_000_000: SINCE + timedelta(minutes=30)}

    assert pulled_ids(adapter, until=SINCE + timedelta(minutes=60)) == ["4000000000000000000"]


def test_one_order_that_cannot_be_translated_is_parked_and_the_others_arrive(
    top: Stub, adapter: TopAdapter
) -> None:
    shop = Shop(top, 3)
    sound = shop.read_trade

    def spoil_one(call: Call) -> dict[str, Any]:
        answer = sound(call)
        if call["tid"].endswith("1"):
            answer["trade"]["orders"]["order"][0]["num"] = 0
        return answer

    top.handlers["taobao.trade.fullinfo.get"] = spoil_one

    drafts = [draft for page in adapter.pull_orders(since=SINCE, until=UNTIL) for draft in page]

    parked = [draft for draft in drafts if isinstance(draft, BadPayload)]
    assert [(bad.outer_id, bad.reason) for bad in parked] == [("4000000000000000001", "bad_quantity")]
    assert len(drafts) == 3


def test_a_listed_order_without_detail_is_parked(top: Stub, adapter: TopAdapter) -> None:
    Shop(top, 1)
    top.handlers["taobao.trade.fullinfo.get"] = lambda _: error(15, "isv.trade-not-exist")

    [[parked]] = adapter.pull_orders(since=SINCE, until=UNTIL)

    assert isinstance(parked, BadPayload)
    assert parked.reason == "detail_missing"


def test_a_detail_that_fails_once_is_read_again(top: Stub, adapter: TopAdapter) -> None:
    shop = Shop(top, 5)
    failed: set[str] = set()

    def fail_once(call: Call) -> Answer:
        if call["tid"] not in failed:
            failed.add(call["tid"])
            return 502
        return shop.read_trade(call)

    top.handlers["taobao.trade.fullinfo.get"] = fail_once

    assert sorted(pulled_ids(adapter)) == sorted(map(str, shop.modified))


@pytest.mark.parametrize(
    "answer",
    [
        502,
        b"<html>maintenance</html>",
        b'{"trade_fullinfo_get_response": {"tra',
        b"",
        b"[]",
        b"{}",
        b"[" * 20_000,
    ],
)
def test_a_detail_that_goes_on_failing_stops_the_pull_for_later(
    top: Stub, adapter: TopAdapter, answer: Answer
) -> None:
    Shop(top, 5)
    top.handlers["taobao.trade.fullinfo.get"] = lambda _: answer

    with pytest.raises(ChannelUnavailable):
        pulled_ids(adapter)


def test_reading_named_orders_leaves_out_the_unknown(top: Stub, adapter: TopAdapter) -> None:
    shop = Shop(top, 2)
    known = sorted(map(str, shop.modified))

    drafts = adapter.read_orders(outer_ids=[*known, "4999999999999999999", "not-a-tid"])

    assert [draft.outer_id for draft in drafts] == known


def test_the_ids_of_placed_orders_come_by_created_time(top: Stub, adapter: TopAdapter) -> None:
    def list_created(call: Call) -> dict[str, Any]:
        is_first_day = call["start_created"] == china(SINCE)
        rows = [{"tid": 4_000_000_000_000_000_001}] if is_first_day else []
        return {"total_results": len(rows)} | ({"trades": {"trade": rows}} if rows else {})

    top.handlers["taobao.trades.sold.get"] = list_created

    pages = list(adapter.list_order_ids(since=SINCE, until=SINCE + timedelta(days=3)))

    assert pages == [["4000000000000000001"]]
    assert len(top.calls) == 3


def test_refunds_come_translated_and_the_unknown_one_parked(top: Stub, adapter: TopAdapter) -> None:
    top.handlers["taobao.refunds.receive.get"] = lambda _: fixture("refunds")["refunds_receive_get_response"]

    [page] = adapter.pull_refunds(since=SINCE, until=UNTIL)

    assert [type(refund) for refund in page] == [RefundDraft, RefundDraft, BadPayload]


# --- errors ---


def test_a_ban_of_seven_seconds_is_told_as_eight_and_not_asked_again(top: Stub, adapter: TopAdapter) -> None:
    top.handlers["taobao.trades.sold.increment.get"] = lambda _: fixture("errors")["api_ban"]

    with pytest.raises(ChannelUnavailable) as first:
        pulled_ids(adapter)

    assert first.value.is_throttled
    assert first.value.retry_seconds == 8
    assert len(top.calls) == 1


def test_a_short_ban_is_waited_out(top: Stub, http: HttpClient) -> None:
    shop = Shop(top, 1)
    bans = [error(7, "accesscontrol.limited-by-api-access-count", "This ban will last for 0 more seconds")]
    top.handlers["taobao.trade.fullinfo.get"] = lambda call: bans.pop() if bans else shop.read_trade(call)

    found = pulled_ids(build_adapter(top, http, ban_wait_seconds_max=2))

    assert found == ["4000000000000000000"]


def test_the_daily_quota_is_used_up_until_midnight(top: Stub, adapter: TopAdapter) -> None:
    top.handlers["taobao.trades.sold.increment.get"] = lambda _: fixture("errors")["daily_quota"]

    with pytest.raises(ChannelUnavailable) as raised:
        pulled_ids(adapter)

    assert raised.value.is_throttled
    assert 0 < (raised.value.retry_seconds or 0) <= 86_401


def test_an_expired_session_stops_the_connection(top: Stub, adapter: TopAdapter) -> None:
    Shop(top, 3)
    top.handlers["taobao.trade.fullinfo.get"] = lambda _: fixture("errors")["expired_session"]

    with pytest.raises(ChannelRejected) as raised:
        pulled_ids(adapter)

    assert raised.value.is_auth


@pytest.mark.parametrize(
    ("name", "kind"), [("platform_fault", ChannelUnavailable), ("our_fault", ChannelRejected)]
)
def test_the_fault_of_the_platform_is_for_later_and_ours_is_final(
    top: Stub, adapter: TopAdapter, name: str, kind: type[Exception]
) -> None:
    top.handlers["taobao.trades.sold.increment.get"] = lambda _: fixture("errors")[name]

    with pytest.raises(kind):
        pulled_ids(adapter)


def test_what_a_database_cannot_store_is_mended_and_amounts_never_become_floats() -> None:
    body = b'{"a": "x\\u0000y", "b": "\\ud800", "c": "\xff", "d": 0.1, "e": NaN, "f": "\\ud83c\\udf81"}'

    assert parse_json(body) == {"a": "x\ufffdy", "b": "?", "c": "\ufffd", "d": "0.1", "e": None, "f": "🎁"}


# --- stock and prices ---


def stock(key: int, *, item: str = "600", sku: str | None = None, quantity: int = 5) -> StockLine:
    return StockLine(key, item, f"50{key}" if sku is None else sku, f"SKU-{key}", quantity)


class Shelf:
    """Stock as TOP keeps it; a SKU that was deleted makes the whole call fail."""

    def __init__(self, stub: Stub, deleted: frozenset[str] = frozenset()) -> None:
        self.quantities: dict[str, int] = {}
        self.deleted = deleted
        stub.handlers["taobao.skus.quantity.update"] = self.set_quantities

    def set_quantities(self, call: Call) -> dict[str, Any]:
        pairs = [pair.split(":") for pair in call["skuid_quantities"].split(";")]
        if len(pairs) > 20 or any(sku in self.deleted or int(number) < 0 for sku, number in pairs):
            return error(15, "isv.invalid-parameter:skuid_quantities")
        self.quantities |= {sku: int(number) for sku, number in pairs}
        return {"item": {"num_iid": call["num_iid"]}}


def test_stock_goes_out_by_item_in_batches_of_twenty_and_comes_back_in_the_order_given(
    top: Stub, adapter: TopAdapter
) -> None:
    shelf = Shelf(top)
    lines = [stock(n, item=str(600 + n % 2), quantity=n) for n in range(45)]

    results = adapter.push_stock(lines=lines)

    assert [(result.key, result.ok) for result in results] == [(n, True) for n in range(45)]
    assert shelf.quantities == {f"50{n}": n for n in range(45)}
    assert len(top.calls) == 4
    assert {call["type"] for call in top.calls} == {"1"}


def test_one_deleted_sku_does_not_freeze_the_stock_of_the_others(top: Stub, adapter: TopAdapter) -> None:
    shelf = Shelf(top, deleted=frozenset({"507"}))

    results = adapter.push_stock(lines=[stock(n, quantity=n + 1) for n in range(20)])

    assert [result.key for result in results if not result.ok] == [7]
    assert results[7].is_final
    assert results[7].code == "isv.invalid-parameter:skuid_quantities"
    assert shelf.quantities == {f"50{n}": n + 1 for n in range(20) if n != 7}


def test_stock_below_zero_is_told_as_zero(top: Stub, adapter: TopAdapter) -> None:
    shelf = Shelf(top)

    [result] = adapter.push_stock(lines=[stock(1, quantity=-4)])

    assert result.ok
    assert shelf.quantities == {"501": 0}


def test_an_item_without_skus_has_its_own_call_and_a_listing_without_item_none(
    top: Stub, adapter: TopAdapter
) -> None:
    top.handlers["taobao.item.quantity.update"] = lambda call: {"item": {"num_iid": call["num_iid"]}}

    results = adapter.push_stock(lines=[stock(1, item="", sku=""), stock(2, sku="", quantity=9)])

    assert [(result.ok, result.code) for result in results] == [(False, "no_item"), (True, "")]
    assert results[0].is_final
    assert [(call["num_iid"], call["quantity"]) for call in top.calls] == [("600", "9")]


def test_a_throttled_push_tells_every_line_when_to_come_back_and_asks_no_more(
    top: Stub, adapter: TopAdapter
) -> None:
    top.handlers["taobao.skus.quantity.update"] = lambda _: fixture("errors")["api_ban"]

    results = adapter.push_stock(lines=[stock(n, item=str(n)) for n in range(5)])

    assert [(result.ok, result.is_final, result.retry_seconds) for result in results] == [
        (False, False, 8)
    ] * 5
    assert len(top.calls) == 1


def test_a_push_against_a_dead_server_gives_up_after_three_batches(top: Stub, adapter: TopAdapter) -> None:
    top.handlers["taobao.skus.quantity.update"] = lambda _: 500

    results = adapter.push_stock(lines=[stock(n, item=str(n)) for n in range(10)])

    assert not any(result.ok or result.is_final for result in results)
    assert len(top.calls) == 3


class PriceTags:
    """An item with two SKUs; TOP wants the item's own price inside the range of theirs."""

    def __init__(self, stub: Stub) -> None:
        self.prices = {"1:1": Decimal("50.00"), "1:2": Decimal("80.00")}
        stub.handlers["taobao.item.skus.get"] = self.read
        stub.handlers["taobao.item.sku.price.update"] = self.write

    def read(self, call: Call) -> dict[str, Any]:
        rows = [
            {"sku_id": 501 + n, "properties": name, "price": str(price)}
            for n, (name, price) in enumerate(self.prices.items())
        ]
        return {"skus": {"sku": rows}}

    def write(self, call: Call) -> dict[str, Any]:
        wanted = self.prices | {call["properties"]: Decimal(call["price"])}
        if not min(wanted.values()) <= Decimal(call["item_price"]) <= max(wanted.values()):
            return error(15, "isv.item-price-out-of-range")
        self.prices = wanted
        return {"sku": {"num_iid": call["num_iid"]}}


def test_prices_go_out_sku_by_sku_and_the_price_of_the_item_stays_in_their_range(
    top: Stub, adapter: TopAdapter
) -> None:
    tags = PriceTags(top)
    lines = [
        PriceLine(1, "600", "501", "A", Decimal("99.9"), "CNY"),
        PriceLine(2, "600", "502", "B", Decimal("12.345"), "CNY"),
    ]

    results = adapter.push_prices(lines=lines)

    assert [(result.key, result.ok) for result in results] == [(1, True), (2, True)]
    assert tags.prices == {"1:1": Decimal("99.90"), "1:2": Decimal("12.35")}
    assert len(top.called("taobao.item.skus.get")) == 1


def test_a_price_in_foreign_money_or_of_a_deleted_sku_is_refused_alone(
    top: Stub, adapter: TopAdapter
) -> None:
    tags = PriceTags(top)
    lines = [
        PriceLine(1, "600", "501", "A", Decimal("10"), "USD"),
        PriceLine(2, "600", "599", "B", Decimal("10"), "CNY"),
        PriceLine(3, "600", "502", "C", Decimal("70"), "CNY"),
    ]

    results = adapter.push_prices(lines=lines)

    assert [(result.ok, result.code) for result in results] == [
        (False, "bad_price"),
        (False, "no_sku"),
        (True, ""),
    ]
    assert results[0].is_final
    assert results[1].is_final
    assert tags.prices == {"1:1": Decimal("50.00"), "1:2": Decimal("70.00")}


def test_an_item_without_skus_has_one_price(top: Stub, adapter: TopAdapter) -> None:
    top.handlers["tmall.item.price.update"] = lambda _: {"price_update_result": "ok"}

    [result] = adapter.push_prices(lines=[PriceLine(1, "601", "", "C", Decimal("12.5"), "CNY")])

    assert result.ok
    assert (top.calls[0]["item_id"], top.calls[0]["item_price"]) == ("601", "12.50")


# --- parcels ---


def parcel(
    *,
    key: int = 1,
    tid: str = "4001",
    oids: tuple[str, ...] = ("4002",),
    is_whole: bool = False,
    tracking_no: str = "SF1",
) -> DispatchLine:
    return DispatchLine(key, tid, oids, (1,) * len(oids), is_whole, "SF", tracking_no)


class Parcels:
    """Trades with two lines each, shipped once: a second time is refused, as on TOP."""

    def __init__(self, stub: Stub) -> None:
        self.numbers: dict[str, dict[str, str]] = {}
        self.booked = 0
        stub.handlers["taobao.logistics.offline.send"] = self.send
        stub.handlers["taobao.trade.fullinfo.get"] = self.read

    def send(self, call: Call) -> dict[str, Any]:
        lines = self.numbers.setdefault(call["tid"], {"4002": "", "4003": ""})
        wanted = call["sub_tid"].split(",") if call.get("is_split") == "1" else list(lines)
        if any(lines[oid] for oid in wanted):
            return error(15, "isv.logistics-offline-service-error:B04", "already shipped")
        lines.update(dict.fromkeys(wanted, call["out_sid"]))
        self.booked += 1
        return {"shipping": {"is_success": True}}

    def read(self, call: Call) -> dict[str, Any]:
        lines = self.numbers.get(call["tid"], {})
        return {
            "trade": {
                "tid": call["tid"],
                "orders": {"order": [{"oid": int(k), "invoice_no": v} for k, v in lines.items()]},
            }
        }


def test_a_whole_order_and_a_part_of_one_are_told_with_carrier_and_number(
    top: Stub, http: HttpClient
) -> None:
    parcels = Parcels(top)
    adapter = build_adapter(top, http, carrier_codes={"SF": "SF-EXPRESS"}, detail_threads=1)

    results = adapter.push_dispatch(
        lines=[
            parcel(key=1, tid="4001"),
            parcel(key=2, tid="4009", is_whole=True),
            parcel(key=3, oids=("4003",), tracking_no="SF2"),
        ]
    )

    assert [(result.key, result.ok) for result in results] == [(1, True), (2, True), (3, True)]
    assert parcels.numbers == {"4001": {"4002": "SF1", "4003": "SF2"}, "4009": {"4002": "SF1", "4003": "SF1"}}
    assert top.calls[0]["company_code"] == "SF-EXPRESS"


def test_a_parcel_told_twice_is_booked_once_and_both_times_ok(top: Stub, adapter: TopAdapter) -> None:
    parcels = Parcels(top)

    first = adapter.push_dispatch(lines=[parcel(is_whole=True)])
    second = adapter.push_dispatch(lines=[parcel(is_whole=True)])

    assert first[0].ok
    assert second[0].ok
    assert parcels.booked == 1


def test_a_line_that_left_under_another_number_is_refused_for_good(top: Stub, adapter: TopAdapter) -> None:
    parcels = Parcels(top)
    adapter.push_dispatch(lines=[parcel()])

    [result] = adapter.push_dispatch(lines=[parcel(tracking_no="OTHER")])

    assert not result.ok
    assert result.is_final
    assert result.code.startswith("isv.")
    assert parcels.numbers["4001"]["4002"] == "SF1"
    # so the house must not ask for it
    assert adapter.capabilities.one_parcel_per_line


def test_a_500_after_the_parcel_was_booked_is_found_out_by_reading_back(
    top: Stub, adapter: TopAdapter
) -> None:
    parcels = Parcels(top)

    def book_and_fail(call: Call) -> Answer:
        parcels.send(call)
        return 500

    top.handlers["taobao.logistics.offline.send"] = book_and_fail

    [result] = adapter.push_dispatch(lines=[parcel()])

    assert result.ok
    assert parcels.booked == 1
    assert len(top.called("taobao.logistics.offline.send")) == 1


def test_a_500_before_the_parcel_was_booked_is_for_later(top: Stub, adapter: TopAdapter) -> None:
    parcels = Parcels(top)
    top.handlers["taobao.logistics.offline.send"] = lambda _: 500

    [result] = adapter.push_dispatch(lines=[parcel()])

    assert (result.ok, result.is_final) == (False, False)
    assert parcels.booked == 0


def test_a_refusal_that_cannot_be_checked_is_not_final(top: Stub, adapter: TopAdapter) -> None:
    Parcels(top)
    top.handlers["taobao.logistics.offline.send"] = lambda _: error(
        15, "isv.logistics-offline-service-error:B04"
    )
    top.handlers["taobao.trade.fullinfo.get"] = lambda _: 503

    [result] = adapter.push_dispatch(lines=[parcel()])

    assert (result.ok, result.is_final) == (False, False)


def test_a_parcel_without_a_number_is_refused_and_never_sent(top: Stub, adapter: TopAdapter) -> None:
    [result] = adapter.push_dispatch(lines=[parcel(tracking_no="")])

    assert result.code == "parcel_incomplete"
    assert result.is_final
    assert top.calls == []


@contextmanager
def nothing_listens() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    port = server.server_port
    server.server_close()
    yield f"http://127.0.0.1:{port}/router/rest"


def test_a_server_that_is_away_is_for_later_and_the_outcome_is_known(http: HttpClient) -> None:
    with nothing_listens() as url:
        adapter = TopAdapter(
            base_url=url,
            credentials={"app_key": "1", "secret": "s", "session": "t"},
            settings={"read_tries": 1},
            http=http,
        )

        with pytest.raises(ChannelUnavailable) as raised:
            pulled_ids(adapter)

    assert not raised.value.is_unknown_outcome


# --- greeting ---


def test_a_greeting_asks_once_for_one_trade(adapter: TopAdapter, top: Stub) -> None:
    top.handlers["taobao.trades.sold.get"] = lambda _: {"total_results": 0}

    adapter.greet()

    (call,) = top.calls
    assert (call["method"], call["page_size"], call["fields"]) == ("taobao.trades.sold.get", "1", "tid")


def test_a_greeting_with_an_expired_session_is_refused_at_once(adapter: TopAdapter, top: Stub) -> None:
    top.handlers["taobao.trades.sold.get"] = lambda _: error(27, "invalid-sessionkey")

    with pytest.raises(ChannelRejected) as refused:
        adapter.greet()

    assert refused.value.is_auth
    assert len(top.calls) == 1


def test_a_banned_greeting_does_not_keep_a_person_waiting(adapter: TopAdapter, top: Stub) -> None:
    top.handlers["taobao.trades.sold.get"] = lambda _: fixture("errors")["api_ban"]

    with pytest.raises(ChannelUnavailable) as banned:
        adapter.greet()

    assert banned.value.is_throttled
    assert len(top.calls) == 1

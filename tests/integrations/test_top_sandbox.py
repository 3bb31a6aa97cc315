"""The sandbox of TOP keeps its word: signatures, lists, stock, refunds, every trap, and its memory."""

from __future__ import annotations

import hashlib
import http.client
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen
from xml.etree import ElementTree

import pytest

from integrations.channels.top.sandbox import lives, signing
from integrations.channels.top.sandbox.__main__ import build, read_options
from integrations.channels.top.sandbox.buyers import compose_trade
from integrations.channels.top.sandbox.catalogue import built_in_catalogue
from integrations.channels.top.sandbox.faults import FAULTS, Dice, choose_faults
from integrations.channels.top.sandbox.market import Market
from integrations.channels.top.sandbox.server import SandboxServer
from integrations.channels.top.sandbox.store import Store

ALL_FIELDS = (
    "tid,status,created,modified,payment,post_fee,orders,buyer_message,seller_memo,receiver_name,"
    "receiver_address,receiver_mobile,receiver_phone,receiver_state"
)


class Platform:
    """The sandbox on a free port, and a caller who signs for himself, with code of his own."""

    def __init__(self, *arguments: str) -> None:
        options = read_options(["--port", "0", "--rate", "0", *arguments])
        self.server: SandboxServer
        self.server, self.market, self.pacemaker = build(options)
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.market.close()

    def raw(self, method: str, *, in_query: tuple[str, ...] = (), **given: Any) -> tuple[int, bytes]:
        parameters = {
            "method": method,
            "app_key": "12345678",
            "session": "test",
            "timestamp": self.china_time(),
            "v": "2.0",
            "sign_method": "md5",
            "format": "json",
        } | {name: str(value) for name, value in given.items()}
        parameters = {name: value for name, value in parameters.items() if value != "(left out)"}
        if "sign" not in parameters:
            text = (
                "helloworld"
                + "".join(k + parameters[k] for k in sorted(parameters) if parameters[k])
                + "helloworld"
            )
            parameters["sign"] = hashlib.md5(text.encode()).hexdigest().upper()  # noqa: S324
        query = urlencode({name: parameters.pop(name) for name in in_query})
        address = f"{self.address}/router/rest?{query}"
        request = Request(address, data=urlencode(parameters).encode(), method="POST")
        try:
            with urlopen(request, timeout=5) as answer:
                return answer.status, answer.read()
        except HTTPError as error:
            return error.code, error.read()

    def call(self, method: str, **given: Any) -> dict[str, Any]:
        """The inside of the answer, or of its error_response."""
        status, body = self.raw(method, **given)
        assert status == 200, body
        (told,) = json.loads(body).values()
        return dict(told)

    def control(self, name: str, **body: Any) -> dict[str, Any]:
        request = Request(f"{self.address}/_control/{name}", data=json.dumps(body).encode(), method="POST")
        try:
            with urlopen(request, timeout=30) as answer:
                return dict(json.loads(answer.read()))
        except HTTPError as error:
            return dict(json.loads(error.read())) | {"http": error.code}

    def truth(self) -> dict[str, Any]:
        with urlopen(f"{self.address}/_control/truth", timeout=10) as answer:
            return dict(json.loads(answer.read()))

    def place(self, *, num: int = 1, lines: int = 1, **more: Any) -> dict[str, Any]:
        """An order of the first SKUs of the shelf, paid."""
        wanted = [{"sku_id": listing.sku_id, "num": num} for listing in self.market.shelf[:lines]]
        (tid,) = self.control("orders", lines=wanted, **more)["tids"]
        return self.order(tid)

    def order(self, tid: str) -> dict[str, Any]:
        return next(order for order in self.truth()["orders"] if order["tid"] == tid)

    def sku(self, position: int = 0) -> dict[str, Any]:
        return dict(self.truth()["skus"][position])

    def window(self, **more: Any) -> dict[str, Any]:
        return {
            "start_modified": self.china_time(-3600),
            "end_modified": self.china_time(5),
            "fields": "tid,status,modified,orders",
        } | more

    @staticmethod
    def china_time(shift: float = 0) -> str:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() + 8 * 3600 + shift))


@pytest.fixture
def platform() -> Iterator[Platform]:
    started = Platform()
    yield started
    started.close()


def make_market(seed: int = 7, faults: str = "none", state: Path | None = None) -> Market:
    dice = Dice(seed=seed, probabilities=choose_faults(faults))
    return Market(
        seed=seed,
        dice=dice,
        store=Store(state),
        listings=built_in_catalogue(seed),
        clock=lambda: 1_767_200_000.0,
    )


# --- the protocol -----------------------------------------------------------------------------------------------------

VECTOR = {
    "app_key": "12345678",
    "fields": "num_iid,title,nick,price,num",
    "format": "json",
    "method": "taobao.item.seller.get",
    "num_iid": "11223344",
    "session": "test",
    "timestamp": "2016-01-01 12:00:00",
    "v": "2.0",
}


@pytest.mark.parametrize(
    ("sign_method", "expected"),
    [
        ("md5", "66987CB115214E59E6EC978214934FB8"),
        ("hmac", "D56D7858309C31B6251083A874D48273"),
        ("hmac-sha256", "04DB15AD0774D5CFCE2C837DE43E3FCEA9011ED74F3038FB6AB5F3C4CEA119E8"),
    ],
)
def test_the_signature_is_that_of_the_known_vectors(sign_method: str, expected: str) -> None:
    parameters = VECTOR | {"sign_method": sign_method, "sign": "ignored", "empty": ""}

    assert signing.sign(parameters=parameters, secret="helloworld", sign_method=sign_method) == expected


def test_query_and_form_are_signed_and_read_together(platform: Platform) -> None:
    told = json.loads(platform.raw("taobao.time.get", in_query=("method", "sign", "app_key"))[1])

    assert "time" in told["time_get_response"]


def test_without_a_format_the_answer_is_xml(platform: Platform) -> None:
    platform.place(lines=2)

    _, body = platform.raw("taobao.trades.sold.increment.get", format="(left out)", **platform.window())

    root = ElementTree.fromstring(body)  # noqa: S314
    assert root.tag == "trades_sold_increment_get_response"
    assert len(root.findall("trades/trade/orders/order")) == 2


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"sign": "0" * 32}, 25),
        ({"sign_method": "sha1"}, 25),
        ({"app_key": "other"}, 29),
        ({"session": "other"}, 27),
        ({"session": "(left out)"}, 26),
        ({"timestamp": "2016-01-01 12:00:00"}, 31),
        ({"timestamp": "yesterday"}, 31),
        ({"fields": "(left out)"}, 40),
        ({"page_size": "101"}, 41),
        ({"page_no": "0"}, 41),
        ({"start_modified": "2025-01-01 00:00:00"}, 41),
        ({"end_modified": "(left out)"}, 40),
    ],
)
def test_a_wrong_call_is_answered_with_the_code_of_its_fault(
    platform: Platform, given: dict[str, str], code: int
) -> None:
    told = platform.call("taobao.trades.sold.increment.get", **platform.window() | given)

    assert told["code"] == code
    assert "trades" not in told


def test_an_unknown_method_and_a_clock_that_is_eleven_minutes_off_are_refused(platform: Platform) -> None:
    assert platform.call("taobao.no.such.method")["code"] == 22
    assert platform.call("taobao.time.get", timestamp=platform.china_time(660))["code"] == 31
    assert "time" in platform.call("taobao.time.get", timestamp=platform.china_time(-540))


def test_the_milliseconds_of_tops_own_kit_are_a_time_too(platform: Platform) -> None:
    now = int(time.time() * 1000)

    assert "time" in platform.call("taobao.time.get", timestamp=now)
    assert platform.call("taobao.time.get", timestamp=now - 660_000)["code"] == 31


# --- lists ------------------------------------------------------------------------------------------------------------


def test_a_list_is_sorted_by_its_last_change_and_the_newest_comes_first(platform: Platform) -> None:
    first, second = platform.place()["tid"], platform.place()["tid"]
    time.sleep(1.1)
    platform.control("modify", tid=first, memo="changed")

    told = platform.call("taobao.trades.sold.increment.get", **platform.window())

    assert [str(trade["tid"]) for trade in told["trades"]["trade"]] == [first, second]


def test_has_next_comes_without_a_total_and_a_total_without_has_next(platform: Platform) -> None:
    platform.control("orders", count=3, plain=True)

    counted = platform.call("taobao.trades.sold.increment.get", **platform.window(page_size=2))
    cheap = platform.call(
        "taobao.trades.sold.increment.get", **platform.window(page_size=2, use_has_next="true")
    )
    last = platform.call(
        "taobao.trades.sold.increment.get", **platform.window(page_size=2, page_no=2, use_has_next="true")
    )

    assert (counted["total_results"], "has_next" in counted) == (3, False)
    assert (cheap["has_next"], "total_results" in cheap) == (True, False)
    assert (last["has_next"], len(last["trades"]["trade"])) == (False, 1)


def test_a_list_lacks_the_message_that_the_detail_has(platform: Platform) -> None:
    tid = platform.place()["tid"]
    platform.control("modify", tid=tid, memo="送小样 & ⚠️")

    (listed,) = platform.call("taobao.trades.sold.increment.get", **platform.window(fields=ALL_FIELDS))[
        "trades"
    ]["trade"]
    detail = platform.call("taobao.trade.fullinfo.get", tid=tid, fields=ALL_FIELDS)["trade"]

    assert "seller_memo" not in listed
    assert detail["seller_memo"] == "送小样 & ⚠️"


def test_the_oaid_is_told_only_to_who_asks_for_the_whole_receiver(platform: Platform) -> None:
    tid = platform.place()["tid"]

    whole = platform.call("taobao.trade.fullinfo.get", tid=tid, fields=ALL_FIELDS)["trade"]
    part = platform.call("taobao.trade.fullinfo.get", tid=tid, fields="tid,oaid,receiver_name")["trade"]

    assert whole["oaid"]
    assert "*" in whole["receiver_name"] + whole["receiver_mobile"]
    assert "oaid" not in part


def test_the_list_by_placing_knows_an_order_and_an_unknown_trade_is_an_isv_error(platform: Platform) -> None:
    tid = platform.place()["tid"]

    told = platform.call("taobao.trades.sold.get", fields="tid")

    assert [str(trade["tid"]) for trade in told["trades"]["trade"]] == [tid]
    assert (
        platform.call("taobao.trade.fullinfo.get", tid=1, fields="tid")["sub_code"] == "isv.trade-not-exist"
    )


# --- sending ----------------------------------------------------------------------------------------------------------


def send(platform: Platform, tid: str, **more: Any) -> dict[str, Any]:
    return platform.call(
        "taobao.logistics.offline.send", tid=tid, company_code="SF", out_sid="SF1234567890", **more
    )


def test_a_part_is_sent_and_then_the_rest(platform: Platform) -> None:
    order = platform.place(lines=3)

    first = send(platform, order["tid"], is_split=1, sub_tid=order["lines"][0]["oid"])
    half_way = platform.order(order["tid"])["status"]
    rest = send(platform, order["tid"])

    assert first["shipping"]["is_success"] is True
    assert half_way == "SELLER_CONSIGNED_PART"
    assert rest["shipping"]["is_success"] is True
    assert platform.order(order["tid"])["status"] == "WAIT_BUYER_CONFIRM_GOODS"
    assert [line["times_sent"] for line in platform.order(order["tid"])["lines"]] == [1, 1, 1]


def test_sending_again_is_refused_and_counted(platform: Platform) -> None:
    tid = platform.place()["tid"]
    send(platform, tid)

    again = send(platform, tid)

    assert again["sub_code"] == "isv.logistics-offline-service-error:B04"
    order = platform.order(tid)
    assert (order["lines"][0]["times_sent"], order["send_attempts"]) == (1, 2)


def test_a_line_that_was_sent_or_paid_back_is_not_sent_with_the_rest(platform: Platform) -> None:
    order = platform.place(lines=3)
    tid, (sent, closed, open_line) = order["tid"], [line["oid"] for line in order["lines"]]
    send(platform, tid, is_split=1, sub_tid=sent)
    platform.control("refund", tid=tid, oid=closed)
    platform.control("agree", tid=tid, oid=closed)

    again = [send(platform, tid, is_split=1, sub_tid=oid) for oid in (sent, closed, f"{open_line},{sent}")]
    send(platform, tid)

    assert {answer["code"] for answer in again} == {15}
    assert [line["times_sent"] for line in platform.order(tid)["lines"]] == [1, 0, 1]
    assert platform.order(tid)["status"] == "WAIT_BUYER_CONFIRM_GOODS"


def test_sending_settles_an_open_refund(platform: Platform) -> None:
    tid = platform.place()["tid"]
    platform.control("refund", tid=tid)

    send(platform, tid)

    assert platform.order(tid)["lines"][0]["refund_status"] == "CLOSED"
    assert [case["status"] for case in platform.truth()["refunds"]] == ["CLOSED"]


def test_an_unpaid_trade_a_strange_carrier_and_a_foreign_line_are_not_sent(platform: Platform) -> None:
    unpaid, paid = platform.place(paid=False)["tid"], platform.place()["tid"]

    assert "error" in send(platform, unpaid)["sub_code"]
    assert send(platform, paid, is_split=1, sub_tid=unpaid)["sub_code"] == "isv.invalid-parameter:sub_tid"
    strange = platform.call(
        "taobao.logistics.offline.send", tid=paid, company_code="NOBODY", out_sid="X1234567"
    )
    assert strange["sub_code"].endswith("P03")
    assert platform.truth()["lines_sent"] == 0


def test_the_carriers_are_listed_without_a_session(platform: Platform) -> None:
    told = platform.call("taobao.logistics.companies.get", fields="code,name", session="(left out)")

    assert {"SF", "YTO", "ZTO"} <= {each["code"] for each in told["logistics_companies"]["logistics_company"]}


# --- stock and prices -------------------------------------------------------------------------------------------------


def set_stock(platform: Platform, text: str, **more: Any) -> dict[str, Any]:
    num_iid = platform.market.shelf[0].num_iid
    return platform.call("taobao.skus.quantity.update", num_iid=num_iid, skuid_quantities=text, **more)


def test_selling_takes_from_the_shelf_and_the_shelf_is_never_oversold(platform: Platform) -> None:
    sku_id = platform.market.shelf[0].sku_id
    set_stock(platform, f"{sku_id}:3")
    platform.place(num=2)

    refused = platform.control("orders", lines=[{"sku_id": sku_id, "num": 2}])

    assert refused["http"] == 409
    assert platform.sku()["quantity"] == 1
    assert platform.sku()["sold"] == 2


def test_an_absolute_number_is_set_and_a_difference_stops_at_zero(platform: Platform) -> None:
    sku_id = platform.market.shelf[0].sku_id

    set_stock(platform, f"{sku_id}:40")
    told = set_stock(platform, f"{sku_id}:-5", type=2)
    assert told["item"]["skus"]["sku"][0]["quantity"] == 35

    set_stock(platform, f"{sku_id}:-500", type=2)
    assert platform.sku()["quantity"] == 0


def test_one_bad_sku_or_a_negative_number_leaves_the_whole_call_undone(platform: Platform) -> None:
    before = platform.sku()["quantity"]
    sku_id = platform.market.shelf[0].sku_id

    unknown = set_stock(platform, f"{sku_id}:1;999:1")
    negative = set_stock(platform, f"{sku_id}:-1")
    many = set_stock(platform, ";".join(f"{sku_id}:{number}" for number in range(21)))

    assert unknown["sub_code"] == "isv.sku-not-exist"
    assert negative["code"] == many["code"] == 15
    assert platform.sku()["quantity"] == before


def test_stock_can_be_set_by_the_sellers_own_codes(platform: Platform) -> None:
    listing = platform.market.shelf[1]

    platform.call(
        "taobao.skus.quantity.update",
        num_iid=listing.num_iid,
        outerid_quantities=f"{listing.outer_sku_id}:77",
    )

    assert platform.sku(1)["quantity"] == 77


def test_a_price_is_set_by_properties_and_the_items_price_stays_in_range(platform: Platform) -> None:
    listing = platform.market.shelf[0]
    given = {"num_iid": listing.num_iid, "properties": listing.properties, "price": "12.50"}

    outside = platform.call("taobao.item.sku.price.update", item_price="0.01", **given)
    before = platform.sku()["price"]
    told = platform.call("taobao.item.sku.price.update", item_price="12.50", **given)

    assert outside["sub_code"] == "isv.invalid-parameter:item_price"
    assert before != "12.50"
    assert told["sku"]["sku_id"] == listing.sku_id
    assert platform.sku()["price"] == "12.50"


def test_an_order_closed_unpaid_gives_its_units_back(platform: Platform) -> None:
    before = platform.sku()["quantity"]
    tid = platform.place(num=3, paid=False)["tid"]
    assert platform.sku()["quantity"] == before - 3

    platform.control("cancel", tid=tid)

    assert platform.sku()["quantity"] == before
    assert platform.order(tid)["status"] == "TRADE_CLOSED_BY_TAOBAO"


# --- refunds ----------------------------------------------------------------------------------------------------------


def test_an_open_refund_leaves_the_trade_as_it_is_and_the_last_agreed_one_closes_it(
    platform: Platform,
) -> None:
    order = platform.place(lines=2)
    tid, oids = order["tid"], [line["oid"] for line in order["lines"]]

    platform.control("refund", tid=tid, oid=oids[0])
    asked = platform.order(tid)
    platform.control("agree", tid=tid, oid=oids[0])
    half_way = platform.order(tid)
    platform.control("refund", tid=tid, oid=oids[1])
    platform.control("agree", tid=tid, oid=oids[1])

    assert (asked["status"], asked["lines"][0]["refund_status"]) == (
        "WAIT_SELLER_SEND_GOODS",
        "WAIT_SELLER_AGREE",
    )
    assert (half_way["status"], half_way["lines"][0]["status"]) == ("WAIT_SELLER_SEND_GOODS", "TRADE_CLOSED")
    assert platform.order(tid)["status"] == "TRADE_CLOSED"
    assert send(platform, tid)["code"] == 15


def test_refund_cases_are_listed_by_change_and_read_one_by_one(platform: Platform) -> None:
    tid = platform.place()["tid"]
    platform.control("refund", tid=tid)
    platform.control("withdraw", tid=tid)

    told = platform.call(
        "taobao.refunds.receive.get",
        fields="refund_id,tid,oid,status,refund_fee,modified",
        start_modified=platform.china_time(-60),
        end_modified=platform.china_time(5),
    )
    (case,) = told["refunds"]["refund"]
    alone = platform.call(
        "taobao.refund.get", refund_id=case["refund_id"], fields="refund_id,status,refund_version"
    )

    assert (str(case["tid"]), case["status"]) == (tid, "CLOSED")
    assert alone["refund"] == {"refund_id": case["refund_id"], "status": "CLOSED", "refund_version": 2}


# --- arithmetic, chance and memory ------------------------------------------------------------------------------------


def test_the_amounts_of_two_thousand_orders_add_up() -> None:
    market = make_market()
    for listing in market.shelf:
        listing.quantity = 10_000

    trades = [lives.place_random_order(market) for _ in range(2_000)]

    assert {len(trade.lines) for trade in trades if trade} == {1, 2, 3, 4}
    assert len({trade.receiver.state for trade in trades if trade}) == 31
    assert any(trade.discount_fee for trade in trades if trade)
    for trade in trades:
        assert trade is not None
        assert sum(line.divide_order_fee for line in trade.lines) + trade.post_fee == trade.payment
        assert sum(line.part_mjz for line in trade.lines) == trade.discount_fee
        for line in trade.lines:
            assert line.total_fee == line.price * line.num + line.adjust - line.discount
            assert line.divide_order_fee > 0


def test_the_payment_of_a_single_line_holds_the_postage(platform: Platform) -> None:
    while (order := platform.place())["post_fee"] == "0.00":
        pass

    told = platform.call("taobao.trade.fullinfo.get", tid=order["tid"], fields="payment,post_fee,orders")[
        "trade"
    ]

    (line,) = told["orders"]["order"]
    assert line["payment"] == told["payment"]
    assert float(line["divide_order_fee"]) + float(told["post_fee"]) == pytest.approx(float(told["payment"]))


def test_the_same_seed_places_the_same_orders_and_another_seed_others() -> None:
    def place(seed: int) -> list[dict[str, Any]]:
        market = make_market(seed)
        trades = [lives.place_random_order(market) for _ in range(50)]
        return [json.loads(json.dumps(trade, default=vars)) for trade in trades]

    assert place(7) == place(7)
    assert place(7) != place(8)


def test_ids_have_nineteen_digits_and_a_single_line_bears_its_trades_id() -> None:
    market = make_market()
    trade = compose_trade(
        rng=market.rng_for("x"), tid=3_007_000_000_000_000_010, basket=[(market.shelf[0], 1)], at=0
    )

    placed = lives.place_random_order(market)

    assert placed is not None
    assert len(str(placed.tid)) == 19
    assert trade.lines[0].oid == trade.tid


def test_the_state_outlives_a_kill_and_the_sequence_goes_on(tmp_path: Path) -> None:
    catalogue = tmp_path / "catalogue.json"
    entry = {
        "num_iid": "1",
        "sku_id": "11",
        "outer_iid": "A",
        "outer_sku_id": "A-1",
        "title": "甲",
        "price": "9.90",
    }
    catalogue.write_text(json.dumps([entry | {"quantity": 1000}]))
    arguments = [
        "--port",
        "0",
        "--rate",
        "0",
        "--state",
        str(tmp_path / "top.db"),
        "--catalogue",
        str(catalogue),
    ]
    process, address = start_process(arguments)
    before = post(address, "orders", {"count": 20, "plain": True})["tids"]
    process.kill()
    process.wait(timeout=5)

    catalogue.write_text(json.dumps([entry | {"quantity": 5}, entry | {"sku_id": "12", "quantity": 8}]))
    process, address = start_process(arguments)
    after = post(address, "orders", {"count": 1, "plain": True})["tids"]
    with urlopen(f"{address}/_control/truth", timeout=5) as answer:
        truth = json.loads(answer.read())
    asked_to_stop = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=5)

    assert [order["tid"] for order in truth["orders"]] == before + after
    assert len(set(before + after)) == 21
    assert {sku["sku_id"] for sku in truth["skus"]} == {"11", "12"}
    assert sum(sku["sold"] for sku in truth["skus"]) == 1000 + 8 - sum(
        sku["quantity"] for sku in truth["skus"]
    )
    assert process.returncode == 0
    assert time.monotonic() - asked_to_stop < 3


def start_process(arguments: list[str]) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "integrations.channels.top.sandbox", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().split()[-1].removesuffix("/router/rest")


def post(address: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
    request = Request(f"{address}/_control/{name}", data=json.dumps(body).encode(), method="POST")
    with urlopen(request, timeout=10) as answer:
        return dict(json.loads(answer.read()))


# --- traps ------------------------------------------------------------------------------------------------------------


def switch(platform: Platform, **faults: float) -> None:
    assert "error" not in platform.control("faults", **faults)


def test_every_trap_has_a_name_and_an_unknown_name_changes_nothing(platform: Platform) -> None:
    told = platform.control("faults", drop=0.5, nonsense=1)

    assert told["http"] == 400
    assert platform.market.dice.probabilities["drop"] == 0
    assert set(choose_faults("all")) == set(FAULTS)
    assert all(choose_faults("all").values())


@pytest.mark.parametrize("fault", ["http_500", "drop", "isp_error", "throttled", "session_expired"])
def test_a_trap_before_the_write_leaves_nothing_done(platform: Platform, fault: str) -> None:
    before = platform.sku()["quantity"]
    switch(platform, **{fault: 1})

    try:
        status, body = platform.raw(
            "taobao.skus.quantity.update",
            num_iid=platform.market.shelf[0].num_iid,
            skuid_quantities=f"{platform.market.shelf[0].sku_id}:1",
        )
        failed = status != 200 or b"error_response" in body
    except http.client.HTTPException:
        failed = True

    assert failed
    assert platform.sku()["quantity"] == before


@pytest.mark.parametrize("fault", ["http_500_after_write", "drop_after_write"])
def test_a_trap_after_the_write_hides_that_it_took_effect(platform: Platform, fault: str) -> None:
    tid = platform.place()["tid"]
    switch(platform, **{fault: 1})

    try:
        status, _ = platform.raw(
            "taobao.logistics.offline.send", tid=tid, company_code="SF", out_sid="SF1234567890"
        )
    except http.client.HTTPException:
        status = 0

    assert status != 200
    assert platform.order(tid)["lines"][0]["times_sent"] == 1


def test_a_hanging_call_gives_no_answer_within_the_callers_patience() -> None:
    platform = Platform("--hang-seconds", "0.3", "--faults", "hang=1")
    began = time.monotonic()

    with pytest.raises(http.client.HTTPException):
        platform.raw("taobao.time.get")

    assert time.monotonic() - began >= 0.3
    platform.close()


@pytest.mark.parametrize("fault", ["html_answer", "truncated_answer"])
def test_a_broken_answer_is_no_json(platform: Platform, fault: str) -> None:
    switch(platform, **{fault: 1})

    status, body = platform.raw("taobao.time.get")

    assert status == 200
    with pytest.raises(ValueError):
        json.loads(body)


def test_a_slow_answer_is_late_and_whole(platform: Platform) -> None:
    switch(platform, slow=1)
    began = time.monotonic()

    told = platform.call("taobao.time.get")

    assert "time" in told
    assert time.monotonic() - began >= 0.5


def test_a_ban_holds_for_its_seconds_and_for_its_method_only(platform: Platform) -> None:
    switch(platform, throttled=1)
    banned = platform.call("taobao.time.get")
    switch(platform, throttled=0)

    still = platform.call("taobao.time.get")
    other = platform.call("taobao.logistics.companies.get", fields="code")

    assert (banned["code"], still["code"]) == (7, 7)
    assert "This ban will last for" in still["sub_msg"]
    assert "logistics_companies" in other


def test_an_expired_session_is_invalid_until_it_is_renewed(platform: Platform) -> None:
    platform.control("expire")
    expired = platform.call("taobao.trades.sold.get", fields="tid")

    platform.control("renew", session="fresh")

    assert expired["code"] == 27
    assert platform.call("taobao.trades.sold.get", fields="tid")["code"] == 27
    assert "total_results" in platform.call("taobao.trades.sold.get", fields="tid", session="fresh")


def test_pages_shift_while_they_are_read(platform: Platform) -> None:
    platform.control("orders", count=6, plain=True)
    time.sleep(1.1)
    switch(platform, shifting_pages=1)

    pages = [
        platform.call("taobao.trades.sold.increment.get", **platform.window(page_size=2, page_no=number))
        for number in (1, 2, 3)
    ]

    tids = [trade["tid"] for page in pages for trade in page["trades"]["trade"]]
    assert len(tids) == 6
    assert len(set(tids)) < 6, "reading forwards missed none: the pages did not shift"


def test_a_change_arrives_late_with_the_last_second_of_a_window_that_was_read(platform: Platform) -> None:
    tid = platform.place()["tid"]
    time.sleep(1.1)
    end = platform.china_time()
    switch(platform, same_second=1)

    platform.call("taobao.trades.sold.increment.get", **platform.window(end_modified=end))

    assert platform.order(tid)["modified"] == end


def test_a_page_names_a_trade_twice_or_loses_its_order(platform: Platform) -> None:
    tids = [int(tid) for tid in platform.control("orders", count=3, plain=True)["tids"]]
    switch(platform, duplicate_rows=1)
    doubled = platform.call("taobao.trades.sold.increment.get", **platform.window())["trades"]["trade"]
    switch(platform, duplicate_rows=0, shuffled_rows=1)

    shuffled = platform.call("taobao.trades.sold.increment.get", **platform.window())["trades"]["trade"]

    assert len(doubled) == 4
    assert {trade["tid"] for trade in doubled} == set(tids)
    assert [trade["tid"] for trade in shuffled] == sorted(tids)


def test_a_lagging_replica_shows_the_trade_as_it_was(platform: Platform) -> None:
    switch(platform, stale_detail=1)
    tid = platform.place(paid=False)["tid"]
    platform.control("pay", tid=tid)

    stale = platform.call("taobao.trade.fullinfo.get", tid=tid, fields="status")["trade"]["status"]
    switch(platform, stale_detail=0)
    fresh = platform.call("taobao.trade.fullinfo.get", tid=tid, fields="status")["trade"]["status"]

    assert (stale, fresh) == ("WAIT_BUYER_PAY", "WAIT_SELLER_SEND_GOODS")


def test_a_lagging_list_does_not_name_a_trade_that_the_detail_knows() -> None:
    platform = Platform("--faults", "visibility_lag=1", "--lag-seconds", "0.5")
    tid = platform.place()["tid"]

    early = platform.call("taobao.trades.sold.increment.get", **platform.window())
    known = platform.call("taobao.trade.fullinfo.get", tid=tid, fields="tid")
    time.sleep(0.6)
    late = platform.call("taobao.trades.sold.increment.get", **platform.window())

    assert "trades" not in early
    assert str(known["trade"]["tid"]) == tid
    assert late["total_results"] == 1
    platform.close()


@pytest.mark.parametrize(
    ("fault", "status"),
    [("unknown_status", "WAIT_PLATFORM_RECHECK"), ("paid_forbid_consign", "PAID_FORBID_CONSIGN")],
)
def test_a_paid_trade_may_be_held_by_the_platform_and_is_not_sent(
    platform: Platform, fault: str, status: str
) -> None:
    switch(platform, **{fault: 1})

    order = platform.place()

    assert order["status"] == status
    assert send(platform, order["tid"])["code"] == 15
    assert platform.truth()["lines_sent"] == 0


def test_a_presale_waits_for_its_second_payment(platform: Platform) -> None:
    switch(platform, presale=1)
    (tid,) = platform.control("orders", count=1)["tids"]
    fields = "status,type,payment,step_trade_status,step_paid_fee"

    before = platform.call("taobao.trade.fullinfo.get", tid=tid, fields=fields)["trade"]
    platform.control("pay", tid=tid)
    after = platform.call("taobao.trade.fullinfo.get", tid=tid, fields=fields)["trade"]

    assert (before["type"], before["status"]) == ("step", "WAIT_BUYER_PAY")
    assert before["step_trade_status"] == "FRONT_PAID_FINAL_NOPAID"
    assert 0 < float(before["step_paid_fee"]) < float(before["payment"])
    assert after["step_paid_fee"] == after["payment"]
    assert (after["status"], after["step_trade_status"]) == (
        "WAIT_SELLER_SEND_GOODS",
        "FRONT_PAID_FINAL_PAID",
    )


def test_an_empty_list_is_missing_and_receivers_are_masked_unless_switched_off(platform: Platform) -> None:
    missing = platform.call("taobao.trades.sold.increment.get", **platform.window())
    switch(platform, missing_empty_list=0, masked_receivers=0)
    empty = platform.call("taobao.trades.sold.increment.get", **platform.window())
    tid = platform.place()["tid"]

    plain = platform.call("taobao.trade.fullinfo.get", tid=tid, fields=ALL_FIELDS)["trade"]

    assert "trades" not in missing
    assert empty["trades"] == {"trade": []}
    assert "*" not in plain["receiver_name"] + plain["receiver_mobile"] + plain["receiver_address"]


def test_the_page_for_people_has_no_script_and_the_control_plane_resets(platform: Platform) -> None:
    tid = platform.place()["tid"]
    with urlopen(platform.address, timeout=5) as answer:
        page = answer.read().decode()

    platform.control("reset")

    assert tid in page
    assert "<script" not in page
    assert platform.truth()["orders"] == []

"""The simulated warehouse keeps its own books, speaks Qimen, and each of its traps does what its name says."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from http.client import RemoteDisconnected
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode
from xml.etree import ElementTree

import pytest

from integrations.warehouses.qimen.sandbox.callbacks import Identity
from integrations.warehouses.qimen.sandbox.faults import MEANINGS, Faults, UnknownFault, parse_faults
from integrations.warehouses.qimen.sandbox.server import Options, Sandbox
from integrations.warehouses.qimen.sandbox.wire import sign_call

SECRET = "s3cret"
IDENTITY = Identity(app_key="app", secret=SECRET, customer_id="omni")
OPENING = 100


# --- the customer: calls the warehouse and hears its call-backs ---


def plain_sign(query: Mapping[str, str], body: bytes, secret: str) -> str:
    """Written anew, so that a mistake in the sandbox is not repeated here."""
    text = secret.encode()
    for name in sorted(query):
        if name != "sign" and query[name]:
            text += name.encode() + query[name].encode()
    return hashlib.md5(text + body + secret.encode()).hexdigest().upper()  # noqa: S324 the protocol's choice


class Heard:
    def __init__(self, query: Mapping[str, str], body: bytes) -> None:
        self.method = query["method"].removeprefix("taobao.qimen.")
        self.query = query
        self.body = body
        self.xml = ElementTree.fromstring(body)  # noqa: S314 our own sandbox
        self.is_genuine = query.get("sign") == plain_sign(query, body, SECRET)

    def text(self, path: str) -> str:
        return self.xml.findtext(path) or ""


class Customer:
    """A receiver that refuses forged call-backs, and remembers all of them."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.answer: Callable[[Heard], bool] = lambda heard: heard.is_genuine
        self.url = ""

    def of(self, method: str) -> list[Heard]:
        return [heard for heard in list(self.heard) if heard.method == method]

    def confirms(self) -> list[Heard]:
        return [heard for heard in self.of("deliveryorder.confirm") if heard.is_genuine]


@pytest.fixture
def customer() -> Iterator[Customer]:
    listener = Customer()

    class Ear(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard = Heard(dict(parse_qsl(self.path.partition("?")[2], keep_blank_values=True)), body)
            listener.heard.append(heard)
            flag = "success" if listener.answer(heard) else "failure"
            answer = f"<response><flag>{flag}</flag></response>".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Ear)
    server.daemon_threads = True
    listener.url = f"http://127.0.0.1:{server.server_port}/qimen?connection=3"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield listener
    server.shutdown()
    server.server_close()


Open = Callable[..., Sandbox]


@pytest.fixture
def open_warehouse(tmp_path: Path, customer: Customer) -> Iterator[Open]:
    opened: list[Sandbox] = []
    stock = tmp_path / "stock.json"
    stock.write_text(json.dumps([shelf("TEE"), shelf("CAP")]))

    def build(*, faults: str = "", pace: float = 0.0, seed: int = 7, callback: str | None = None) -> Sandbox:
        sandbox = Sandbox(
            Options(
                identity=IDENTITY,
                state=tmp_path / "state.sqlite3",
                seed=seed,
                stock=stock,
                callback=customer.url if callback is None else callback,
                pace=pace,
                faults=parse_faults(faults),
            )
        )
        sandbox.start()
        opened.append(sandbox)
        return sandbox

    yield build
    for sandbox in opened:
        sandbox.stop()


def shelf(item: str, quantity: int = OPENING) -> dict[str, Any]:
    return {"warehouseCode": "WH1", "ownerCode": "OWN", "itemCode": item, "quantity": quantity}


def call(
    sandbox: Sandbox | str, method: str, body: str | bytes, *, secret: str = SECRET, **query: str
) -> ElementTree.Element:
    """The `<response>`; raises what urllib raises when there is none."""
    raw = body.encode() if isinstance(body, str) else body
    parameters = {
        "method": method,
        "timestamp": "2026-03-01 10:00:00",
        "format": "xml",
        "app_key": "app",
        "v": "2.0",
        "sign_method": "md5",
        "customerId": "omni",
        **query,
    }
    parameters["sign"] = plain_sign(parameters, raw, secret)
    base = sandbox if isinstance(sandbox, str) else sandbox.url
    request = urllib.request.Request(f"{base}/router/qimen/service?{urlencode(parameters)}", raw)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return ElementTree.fromstring(answer.read())  # noqa: S314 our own sandbox


def control(sandbox: Sandbox | str, path: str, content: Mapping[str, Any] | None = None) -> Any:
    base = sandbox if isinstance(sandbox, str) else sandbox.url
    data = None if content is None else json.dumps(content).encode()
    with urllib.request.urlopen(f"{base}/_control/{path}", data, timeout=10) as answer:
        return json.load(answer)


def order(code: str, **units: int) -> str:
    lines = "".join(
        f"<orderLine><orderLineNo>{n}</orderLineNo><sourceOrderCode>T-{code}</sourceOrderCode>"
        f"<subSourceOrderCode>{n}</subSourceOrderCode><ownerCode>OWN</ownerCode><itemCode>{item}</itemCode>"
        f"<planQty>{quantity}</planQty><actualPrice>9.90</actualPrice></orderLine>"
        for n, (item, quantity) in enumerate(units.items(), start=1)
    )
    return (
        f"<request><deliveryOrder><deliveryOrderCode>{code}</deliveryOrderCode><orderType>JYCK</orderType>"
        "<warehouseCode>WH1</warehouseCode><createTime>2026-03-01 10:00:00</createTime>"
        "<placeOrderTime>2026-03-01 10:00:00</placeOrderTime><operateTime>2026-03-01 10:00:00</operateTime>"
        "<shopNick>旗舰店</shopNick><logisticsCode>SF</logisticsCode><receiverInfo><name>王**</name>"
        "<mobile>*******1234</mobile><province>浙江省</province><city>杭州市</city>"
        "<detailAddress>文**路 &amp; 🎁</detailAddress></receiverInfo></deliveryOrder>"
        f"<orderLines>{lines}</orderLines></request>"
    )


def create(sandbox: Sandbox | str, code: str, **units: int) -> ElementTree.Element:
    return call(sandbox, "taobao.qimen.deliveryorder.create", order(code, **(units or {"TEE": 2})))


def cancel(sandbox: Sandbox, code: str) -> ElementTree.Element:
    body = f"<request><warehouseCode>WH1</warehouseCode><orderCode>{code}</orderCode></request>"
    return call(sandbox, "order.cancel", body)


def flag(answer: ElementTree.Element) -> str:
    return answer.findtext("flag") or ""


def truth_of(sandbox: Sandbox | str, code: str) -> Any:
    return next(found for found in control(sandbox, "truth")["deliveries"] if found["code"] == code)


def wait_for(is_so: Callable[[], object], seconds: float = 8.0) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)


def assert_books_balance(sandbox: Sandbox | str) -> None:
    for row in control(sandbox, "truth")["stock"]:
        assert row["opening"] == row["quantity"] + row["shipped"] - row["changed"], row


# --- the protocol ---


def test_the_signature_equals_the_vector() -> None:
    query = {
        "app_key": "testerp_appkey",
        "customerId": "stub-cust-code",
        "format": "xml",
        "method": "taobao.qimen.entryorder.query",
        "sign_method": "md5",
        "timestamp": "2015-04-26 00:00:07",
        "v": "2.0",
    }

    assert (
        sign_call(query=query, body=b"<request></request>", secret="test")
        == "E9FBE5A3F4E0ED716C9AE628B3AF20B3"
    )


@pytest.mark.parametrize("method", ["deliveryorder.create", "taobao.qimen.deliveryorder.create"])
def test_a_method_is_known_by_its_long_and_its_short_name(open_warehouse: Open, method: str) -> None:
    sandbox = open_warehouse()

    answer = call(sandbox, method, order("D1", TEE=1))

    assert flag(answer) == "success"
    assert answer.findtext("deliveryOrderId") == "WMS-D1"


@pytest.mark.parametrize(
    ("secret", "query"), [("wrong", {}), (SECRET, {"app_key": "other"}), (SECRET, {"customerId": "other"})]
)
def test_a_stranger_is_refused_and_nothing_happens(
    open_warehouse: Open, secret: str, query: dict[str, str]
) -> None:
    sandbox = open_warehouse()

    answer = call(sandbox, "deliveryorder.create", order("D1", TEE=1), secret=secret, **query)

    assert flag(answer) == "failure"
    assert control(sandbox, "truth")["deliveries"] == []


@pytest.mark.parametrize(
    "body",
    [
        b"<request><deliveryOrder>",
        b"\xff\xfe",
        b"",
        b"<other/>",
        b"<request/>",
        b'<!DOCTYPE x [<!ENTITY a "b">]><request>&a;</request>',
        order("D1", TEE=0).encode(),
        order("D1").encode(),
        order("D1", TEE=1).replace("<name>王**</name>", "").encode(),
        order("D1", GHOST=1).encode(),
        order("D1", TEE=OPENING + 1).encode(),
    ],
)
def test_a_bad_order_is_a_failure_with_a_reason_and_nothing_happens(
    open_warehouse: Open, body: bytes
) -> None:
    sandbox = open_warehouse()

    answer = call(sandbox, "deliveryorder.create", body)

    assert flag(answer) == "failure"
    assert answer.findtext("message")
    assert control(sandbox, "truth")["deliveries"] == []
    assert all(row["locked"] == 0 for row in control(sandbox, "truth")["stock"])


def test_an_order_is_picked_packed_shipped_and_told(open_warehouse: Open, customer: Customer) -> None:
    sandbox = open_warehouse(pace=0.15)

    create(sandbox, "D1", TEE=2, CAP=1)
    wait_for(lambda: control(sandbox, "truth?brief=1")["callbacks_pending"] == 0 and customer.confirms())

    [confirm] = customer.confirms()
    assert confirm.query["connection"] == "3"
    assert confirm.text("deliveryOrder/deliveryOrderCode") == "D1"
    assert (confirm.text("deliveryOrder/status"), confirm.text("deliveryOrder/confirmType")) == (
        "DELIVERED",
        "0",
    )
    assert confirm.text("deliveryOrder/outBizCode")
    [package] = confirm.xml.findall("packages/package")
    assert package.findtext("logisticsCode") == "SF"
    assert package.findtext("expressCode") == truth_of(sandbox, "D1")["parcels"][0]["waybill"]
    packed = {item.findtext("itemCode"): item.findtext("quantity") for item in package.findall("items/item")}
    assert packed == {"TEE": "2", "CAP": "1"}
    steps = [heard.text("process/processStatus") for heard in customer.of("orderprocess.report")]
    assert sorted(steps) == ["PACKAGE", "PICK"]
    assert_books_balance(sandbox)


def test_queries_tell_the_delivery_its_steps_and_the_stock(open_warehouse: Open, customer: Customer) -> None:
    sandbox = open_warehouse()
    create(sandbox, "D1", TEE=2)
    control(sandbox, "hold", {"code": "D2"})
    create(sandbox, "D2", TEE=3)
    wait_for(customer.confirms)

    delivery = call(
        sandbox,
        "deliveryorder.query",
        "<request><orderCode>D1</orderCode><page>1</page><pageSize>50</pageSize></request>",
    )
    steps = call(sandbox, "orderprocess.query", "<request><orderCode>D1</orderCode></request>")
    stock = call(
        sandbox,
        "inventory.query",
        "<request><criteriaList><criteria><warehouseCode>WH1</warehouseCode><ownerCode>OWN</ownerCode>"
        "<itemCode>TEE</itemCode></criteria></criteriaList></request>",
    )
    listed = call(sandbox, "stock.query", "<request><page>1</page><pageSize>1</pageSize></request>")

    assert delivery.findtext("deliveryOrder/status") == "DELIVERED"
    assert delivery.findtext("orderLines/orderLine/actualQty") == "2"
    assert len(delivery.findall("packages/package")) == 1
    words = {step.findtext("processStatus") for step in steps.findall("orderProcess/processes/process")}
    assert words == {"ACCEPT", "PICK", "PACKAGE", "DELIVERED"}
    assert (stock.findtext("items/item/quantity"), stock.findtext("items/item/lockQuantity")) == ("95", "3")
    assert (listed.findtext("totalCount"), len(listed.findall("items/item"))) == ("2", 1)


def test_an_unknown_delivery_is_a_failure(open_warehouse: Open) -> None:
    sandbox = open_warehouse()
    paging = "<page>1</page><pageSize>50</pageSize>"

    answer = call(sandbox, "deliveryorder.query", f"<request><orderCode>NO</orderCode>{paging}</request>")

    assert flag(answer) == "failure"
    assert flag(cancel(sandbox, "NO")) == "failure"


def test_the_same_code_again_is_the_same_delivery(open_warehouse: Open) -> None:
    sandbox = open_warehouse(pace=60)

    first, second = create(sandbox, "D1", TEE=2), create(sandbox, "D1", TEE=2)

    assert first.findtext("deliveryOrderId") == second.findtext("deliveryOrderId")
    assert truth_of(sandbox, "D1")["times_created"] == 2
    assert next(row["locked"] for row in control(sandbox, "truth")["stock"] if row["item"] == "TEE") == 2


def test_a_cancel_before_picking_frees_the_units_and_nothing_leaves(
    open_warehouse: Open, customer: Customer
) -> None:
    sandbox = open_warehouse()
    control(sandbox, "hold", {"code": "D1"})
    create(sandbox, "D1", TEE=2)

    answers = [flag(cancel(sandbox, "D1")), flag(cancel(sandbox, "D1"))]
    control(sandbox, "hold", {"code": "D1", "is_held": False})
    time.sleep(0.2)

    assert answers == ["success", "success"]
    assert truth_of(sandbox, "D1")["state"] == "CANCELED"
    assert truth_of(sandbox, "D1")["times_shipped"] == 0
    assert all(
        row["locked"] == 0 and row["quantity"] == OPENING for row in control(sandbox, "truth")["stock"]
    )
    assert customer.confirms() == []


def test_a_cancel_after_picking_is_refused(open_warehouse: Open, customer: Customer) -> None:
    sandbox = open_warehouse()
    create(sandbox, "D1", TEE=2)
    wait_for(customer.confirms)

    answer = cancel(sandbox, "D1")

    assert (flag(answer), answer.findtext("code")) == ("failure", "isv.order-picked")


def test_an_item_may_be_made_known_before_its_stock_arrives(open_warehouse: Open, tmp_path: Path) -> None:
    sandbox = open_warehouse()
    body = (
        "<request><actionType>add</actionType><warehouseCode>WH1</warehouseCode><ownerCode>OWN</ownerCode><item>"
        "<itemCode>NEW</itemCode><itemName>n</itemName><barCode>69</barCode><itemType>ZC</itemType></item></request>"
    )

    answer = call(sandbox, "singleitem.synchronize", body)
    (tmp_path / "stock.json").write_text(json.dumps([shelf("TEE", 5), shelf("NEW", 9)]))
    os.utime(tmp_path / "stock.json", (1, 1))
    sandbox.read_stock_file()

    assert flag(answer) == "success"
    found = {row["item"]: row["quantity"] for row in control(sandbox, "truth")["stock"]}
    assert found == {"TEE": OPENING, "CAP": OPENING, "NEW": 9}


def test_a_miscount_is_told_by_every_query_and_stands_beside_what_lies_there(open_warehouse: Open) -> None:
    sandbox = open_warehouse()
    control(sandbox, "faults", {"stock_differs": 1})
    one = "<request><page>1</page><pageSize>9</pageSize><itemCode>TEE</itemCode></request>"
    by_item = (
        "<request><criteriaList><criteria><warehouseCode>WH1</warehouseCode><ownerCode>OWN</ownerCode>"
        "<itemCode>TEE</itemCode></criteria></criteriaList></request>"
    )

    told = [
        call(sandbox, "stock.query", one).findtext("items/item/quantity"),
        call(sandbox, "stock.query", one).findtext("items/item/quantity"),
        call(sandbox, "inventory.query", by_item).findtext("items/item/quantity"),
    ]

    assert told == [str(OPENING + 1)] * 3
    found = {row["item"]: row["quantity"] for row in control(sandbox, "truth")["stock"]}
    assert found["TEE"] == OPENING
    assert_books_balance(sandbox)


def test_found_and_broken_units_are_reported_and_more_than_there_is_cannot_break(
    open_warehouse: Open, customer: Customer
) -> None:
    sandbox = open_warehouse()
    where = {"warehouseCode": "WH1", "ownerCode": "OWN", "itemCode": "TEE"}

    control(sandbox, "stock_change", {**where, "quantity": -3})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        control(sandbox, "stock_change", {**where, "quantity": -OPENING})
    wait_for(lambda: customer.of("stockchange.report"))

    [report] = customer.of("stockchange.report")
    assert (report.text("items/item/itemCode"), report.text("items/item/quantity")) == ("TEE", "-3")
    assert_books_balance(sandbox)


def test_a_callback_is_repeated_until_it_is_answered_with_success(
    open_warehouse: Open, customer: Customer
) -> None:
    refusals = Counter[str]()

    def refuse_twice(heard: Heard) -> bool:
        refusals[heard.method] += 1
        return refusals[heard.method] > 2

    customer.answer = refuse_twice
    sandbox = open_warehouse()

    create(sandbox, "D1", TEE=1)
    wait_for(lambda: len(customer.confirms()) >= 3)
    wait_for(lambda: control(sandbox, "truth?brief=1")["callbacks_pending"] == 0)

    assert len({heard.text("deliveryOrder/outBizCode") for heard in customer.confirms()}) == 1
    assert truth_of(sandbox, "D1")["times_shipped"] == 1


def test_what_was_not_told_before_a_restart_is_told_after_it(
    open_warehouse: Open, customer: Customer
) -> None:
    first = open_warehouse(callback="")
    create(first, "D1", TEE=1)
    wait_for(lambda: truth_of(first, "D1")["state"] == "DELIVERED")
    first.stop()
    assert customer.heard == []

    second = open_warehouse()
    wait_for(customer.confirms)

    assert truth_of(second, "D1")["times_shipped"] == 1
    assert len(truth_of(second, "D1")["parcels"]) == 1


def test_a_lack_that_nobody_wants_to_hear_of_is_given_up(open_warehouse: Open, customer: Customer) -> None:
    customer.answer = lambda heard: heard.method != "itemlack.report"
    sandbox = open_warehouse(faults="short_pick")

    create(sandbox, "D1", TEE=3)
    wait_for(lambda: len(customer.of("itemlack.report")) == 3)

    wait_for(lambda: control(sandbox, "truth?brief=1")["callbacks_pending"] == 0)


# --- the traps ---


def test_every_trap_has_a_meaning_and_an_unknown_one_is_refused(open_warehouse: Open) -> None:
    sandbox = open_warehouse()

    shown = control(sandbox, "faults")
    with pytest.raises(urllib.error.HTTPError, match="400"):
        control(sandbox, "faults", {"no_such_fault": 1})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        control(sandbox, "faults", {"create_500": 2})
    switched = control(sandbox, "faults", {"*": 0.5, "create_500": 0})

    assert set(shown) == set(MEANINGS)
    assert switched["create_500"] == 0
    assert switched["confirm_twice"] == 0.5


def test_the_same_seed_throws_the_same_dice() -> None:
    hits = [
        [
            Faults(seed=seed, probabilities={"create_500": 0.3}).is_hit("create_500", str(n))
            for n in range(300)
        ]
        for seed in (7, 7, 8)
    ]

    assert hits[0] == hits[1] != hits[2]
    assert 50 < sum(hits[0]) < 130
    with pytest.raises(UnknownFault):
        parse_faults("create_500=often")


def test_create_500_and_create_timeout_take_effect_and_hide_it(open_warehouse: Open) -> None:
    sandbox = open_warehouse(faults="create_500", pace=60)

    with pytest.raises(urllib.error.HTTPError, match="500"):
        create(sandbox, "D1")
    control(sandbox, "faults", {"create_500": 0, "create_timeout": 1})
    with pytest.raises((RemoteDisconnected, ConnectionError)):
        create(sandbox, "D2")

    assert truth_of(sandbox, "D1")["state"] == "ACCEPT"
    assert truth_of(sandbox, "D2")["state"] == "ACCEPT"


def test_create_500_before_and_create_refused_leave_nothing(open_warehouse: Open) -> None:
    sandbox = open_warehouse(faults="create_500_before")

    with pytest.raises(urllib.error.HTTPError, match="500"):
        create(sandbox, "D1")
    control(sandbox, "faults", {"create_500_before": 0, "create_refused": 1})
    refusal = create(sandbox, "D1")

    assert (flag(refusal), refusal.findtext("code")) == ("failure", "isv.address-not-served")
    assert control(sandbox, "truth")["deliveries"] == []


def test_create_exists_takes_effect_and_claims_that_it_was_there(open_warehouse: Open) -> None:
    sandbox = open_warehouse(faults="create_exists", pace=60)

    answer = create(sandbox, "D1")

    assert flag(answer) == "failure"
    assert "已存在" in (answer.findtext("message") or "")
    assert truth_of(sandbox, "D1")["times_created"] == 1


def test_confirm_early_comes_before_the_answer_to_the_create(
    open_warehouse: Open, customer: Customer
) -> None:
    sandbox = open_warehouse(faults="confirm_early", pace=60)

    create(sandbox, "D1")

    assert [heard.text("deliveryOrder/deliveryOrderCode") for heard in customer.confirms()] == ["D1"]


def test_confirm_twice_has_one_out_biz_code_and_one_parcel(open_warehouse: Open, customer: Customer) -> None:
    sandbox = open_warehouse(faults="confirm_twice")

    create(sandbox, "D1")
    wait_for(lambda: len(customer.confirms()) == 2)

    assert len({heard.text("deliveryOrder/outBizCode") for heard in customer.confirms()}) == 1
    assert len(truth_of(sandbox, "D1")["parcels"]) == 1


def test_confirm_unknown_tells_of_an_order_that_nobody_knows(
    open_warehouse: Open, customer: Customer
) -> None:
    sandbox = open_warehouse(faults="confirm_unknown")

    create(sandbox, "D1")
    wait_for(lambda: len(customer.confirms()) == 2)

    assert {heard.text("deliveryOrder/deliveryOrderCode") for heard in customer.confirms()} == {
        "D1",
        "GHOST-D1",
    }
    assert [found["code"] for found in control(sandbox, "truth")["deliveries"]] == ["D1"]


def test_confirm_forged_has_a_wrong_signature_and_whoever_accepts_it_is_counted(
    open_warehouse: Open, customer: Customer
) -> None:
    sandbox = open_warehouse(faults="confirm_forged")

    create(sandbox, "D1")
    wait_for(lambda: customer.confirms() and control(sandbox, "truth?brief=1")["callbacks_pending"] == 0)
    customer.answer = lambda _: True
    create(sandbox, "D2")
    wait_for(lambda: len(customer.confirms()) == 2)
    wait_for(lambda: control(sandbox, "truth?brief=1")["callbacks_pending"] == 0)

    assert any(not heard.is_genuine for heard in customer.of("deliveryorder.confirm"))
    forged = [row for row in control(sandbox, "truth?brief=1")["callbacks"] if row["kind"] == "forged"]
    assert [(row["queued"], row["accepted"]) for row in forged] == [(2, 1)]


def test_partial_confirms_come_one_after_the_other_and_only_the_second_is_final(
    open_warehouse: Open, customer: Customer
) -> None:
    sandbox = open_warehouse(faults="partial_confirms")

    create(sandbox, "D1", TEE=3)
    wait_for(lambda: len(customer.confirms()) == 2)

    told = [
        (heard.text("deliveryOrder/status"), heard.text("deliveryOrder/confirmType"))
        for heard in customer.confirms()
    ]
    assert told == [("PARTDELIVERED", "1"), ("DELIVERED", "0")]
    assert len({heard.text("deliveryOrder/outBizCode") for heard in customer.confirms()}) == 2
    assert sum(int(heard.text("orderLines/orderLine/actualQty")) for heard in customer.confirms()) == 3
    assert len({heard.text("packages/package/expressCode") for heard in customer.confirms()}) == 2
    assert_books_balance(sandbox)


def test_two_packages_leave_with_one_confirm(open_warehouse: Open, customer: Customer) -> None:
    sandbox = open_warehouse(faults="two_packages")

    create(sandbox, "D1", TEE=1, CAP=1)
    wait_for(customer.confirms)

    [confirm] = customer.confirms()
    packages = confirm.xml.findall("packages/package")
    assert [package.findtext("items/item/itemCode") for package in packages] == ["TEE", "CAP"]
    assert packages[0].findtext("expressCode") != packages[1].findtext("expressCode")


def test_short_pick_ships_less_and_tells_the_loss(open_warehouse: Open, customer: Customer) -> None:
    sandbox = open_warehouse(faults="short_pick")

    create(sandbox, "D1", TEE=3)
    wait_for(
        lambda: customer.confirms() and customer.of("stockchange.report") and customer.of("itemlack.report")
    )

    assert customer.confirms()[0].text("orderLines/orderLine/actualQty") == "2"
    assert customer.of("stockchange.report")[0].text("items/item/quantity") == "-1"
    assert customer.of("itemlack.report")[0].text("items/item/lackQty") == "1"
    assert_books_balance(sandbox)


def test_cancel_500_takes_effect_and_hides_it(open_warehouse: Open) -> None:
    sandbox = open_warehouse(faults="cancel_500", pace=60)
    create(sandbox, "D1")

    with pytest.raises(urllib.error.HTTPError, match="500"):
        cancel(sandbox, "D1")

    assert truth_of(sandbox, "D1")["state"] == "CANCELED"


def test_cancel_too_late_promises_and_ships_all_the_same(open_warehouse: Open, customer: Customer) -> None:
    sandbox = open_warehouse(faults="cancel_too_late")
    control(sandbox, "hold", {"code": "D1"})
    create(sandbox, "D1")

    answer = cancel(sandbox, "D1")
    control(sandbox, "hold", {"code": "D1", "is_held": False})
    wait_for(customer.confirms)

    assert flag(answer) == "success"
    assert truth_of(sandbox, "D1")["state"] == "DELIVERED"
    assert truth_of(sandbox, "D1")["is_cancel_promised"]
    wait_for(
        lambda: (
            "TMSCANCELFAILED"
            in [heard.text("process/processStatus") for heard in customer.of("orderprocess.report")]
        )
    )


def test_progress_shuffled_tells_the_steps_out_of_order(open_warehouse: Open, customer: Customer) -> None:
    sandbox = open_warehouse(faults="progress_shuffled", pace=0.1)

    create(sandbox, "D1")
    wait_for(lambda: len(customer.of("orderprocess.report")) == 2)

    told = [heard.text("process/processStatus") for heard in customer.heard]
    assert told == ["", "PACKAGE", "PICK"]  # the confirm first, then the steps backwards


def test_callback_delayed_holds_a_callback_back(open_warehouse: Open, customer: Customer) -> None:
    sandbox = open_warehouse(faults="callback_delayed", seed=1)

    create(sandbox, "D1")
    time.sleep(0.15)

    assert customer.confirms() == []
    wait_for(customer.confirms)


def test_callback_replayed_comes_again_byte_for_byte(open_warehouse: Open, customer: Customer) -> None:
    sandbox = open_warehouse(faults="callback_replayed")

    create(sandbox, "D1")
    wait_for(lambda: len(customer.confirms()) == 2)

    first, again = customer.confirms()
    assert (first.query, first.body) == (again.query, again.body)
    assert truth_of(sandbox, "D1")["times_shipped"] == 1


def test_query_500_and_truncated_answer_spoil_answers_only(open_warehouse: Open) -> None:
    sandbox = open_warehouse(faults="query_500", pace=60)

    with pytest.raises(urllib.error.HTTPError, match="500"):
        call(sandbox, "orderprocess.query", "<request><orderCode>D1</orderCode></request>")
    control(sandbox, "faults", {"query_500": 0, "truncated_answer": 1})
    with pytest.raises(ElementTree.ParseError):
        create(sandbox, "D1")

    assert truth_of(sandbox, "D1")["state"] == "ACCEPT"


# --- the books ---


def test_with_every_trap_at_once_each_unit_is_shipped_once_or_lies_on_its_shelf(
    open_warehouse: Open, customer: Customer
) -> None:
    sandbox = open_warehouse(faults="*=0.3,callback_delayed=0,callback_replayed=0")
    codes = [f"D{n}" for n in range(40)]

    for code in codes * 2:
        try:
            create(sandbox, code, TEE=2, CAP=1)
        except (OSError, ElementTree.ParseError):
            continue
    wait_for(lambda: control(sandbox, "truth?brief=1")["callbacks_pending"] == 0, seconds=30)

    truth = control(sandbox, "truth")
    assert all(delivery["times_shipped"] == 1 for delivery in truth["deliveries"])
    assert truth["source_lines_in_several_deliveries"] == 0
    assert truth["units"]["shipped"] == sum(
        line["actual"] for delivery in truth["deliveries"] for line in delivery["lines"]
    )
    assert_books_balance(sandbox)


def test_reset_puts_everything_back_on_the_shelf(open_warehouse: Open, customer: Customer) -> None:
    sandbox = open_warehouse()
    create(sandbox, "D1", TEE=2)
    wait_for(customer.confirms)

    control(sandbox, "reset", {})

    truth = control(sandbox, "truth")
    assert truth["deliveries"] == []
    assert all(row["quantity"] == OPENING and row["shipped"] == 0 for row in truth["stock"])


def test_the_page_shows_the_deliveries_and_escapes_them(open_warehouse: Open) -> None:
    sandbox = open_warehouse(pace=60)
    create(sandbox, "D&amp;1")

    with urllib.request.urlopen(f"{sandbox.url}/", timeout=5) as answer:
        page = answer.read().decode()

    assert "D&amp;1" in page


# --- the process ---


@pytest.fixture
def start_process(tmp_path: Path) -> Iterator[Callable[[], tuple[subprocess.Popen[str], str]]]:
    started: list[subprocess.Popen[str]] = []
    stock = tmp_path / "shelves.json"
    stock.write_text(json.dumps([shelf("TEE")]))

    def start() -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "integrations.warehouses.qimen.sandbox"),
                *("--state", str(tmp_path / "own.sqlite3"), "--stock", str(stock), "--pace", "60"),
                *("--app-key", "app", "--secret", SECRET, "--customer-id", "omni"),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        return process, address.removesuffix("/router/qimen/service")

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_after_a_kill_9_the_warehouse_knows_all_that_it_said(
    start_process: Callable[[], tuple[subprocess.Popen[str], str]],
) -> None:
    process, url = start_process()
    for n in range(20):
        assert flag(create(url, f"D{n}", TEE=1)) == "success"

    process.send_signal(signal.SIGKILL)
    process.wait()
    _, url = start_process()

    truth = control(url, "truth")
    assert len(truth["deliveries"]) == 20
    assert [(row["quantity"], row["locked"]) for row in truth["stock"]] == [(OPENING, 20)]
    create(url, "D0", TEE=1)
    assert truth_of(url, "D0")["times_created"] == 2


def test_a_term_signal_ends_the_process_at_once_and_cleanly(
    start_process: Callable[[], tuple[subprocess.Popen[str], str]],
) -> None:
    process, url = start_process()
    create(url, "D1", TEE=1)

    began = time.monotonic()
    process.terminate()

    assert process.wait(timeout=5) == 0
    assert time.monotonic() - began < 2

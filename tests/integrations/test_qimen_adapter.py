"""Qimen as the adapter speaks it, against a stub server and documents written from the specification."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from xml.etree import ElementTree

import pytest

from integrations.contract import (
    ChannelRejected,
    ChannelUnavailable,
    DeliveryLine,
    DeliveryNotice,
    DeliveryOrder,
    ParcelNotice,
    ProgressNotice,
    StockChangeNotice,
    WarehouseNotices,
)
from integrations.warehouses.qimen.adapter import QimenAdapter
from integrations.warehouses.qimen.callbacks import (
    BadCallback,
    BadSignature,
    answer_failure,
    answer_success,
    read_callback,
)
from integrations.warehouses.qimen.signing import sign_call
from omni.kernel.http import HttpClient
from orders.draft import Receiver

SECRET = "wms-secret"
SUCCESS = b"<response><flag>success</flag><code>0</code><message>ok</message></response>"
ORDER_FOUND = (
    b"<response><flag>success</flag><totalLines>1</totalLines><deliveryOrder>"
    b"<deliveryOrderCode>FO-1</deliveryOrderCode><deliveryOrderId>W-77</deliveryOrderId><status>%s</status>"
    b"</deliveryOrder></response>"
)


def failure(message: str, code: str = "0", extra: str = "") -> bytes:
    return f"<response><flag>failure</flag><code>{code}</code><message>{message}</message>{extra}</response>".encode()


class Warehouse:
    """A stub that answers what each test lays out, by short method name, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, list[bytes | int | None]] = {}
        self.asked: list[tuple[Mapping[str, str], bytes]] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                query = dict(parse_qsl(urlsplit(self.path).query))
                body = self.rfile.read(int(self.headers["Content-Length"]))
                stub.asked.append((query, body))
                answer = stub.answers[query["method"].removeprefix("taobao.qimen.")].pop(0)
                if answer is None:
                    return  # hangs up without a word
                self.send_response(answer if isinstance(answer, int) else 200)
                content = b"" if isinstance(answer, int) else answer
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    @property
    def methods(self) -> list[str]:
        return [query["method"].removeprefix("taobao.qimen.") for query, _ in self.asked]

    def document(self) -> ElementTree.Element:
        return ElementTree.fromstring(self.asked[-1][1])  # noqa: S314


@pytest.fixture
def warehouse() -> Iterator[Warehouse]:
    stub = Warehouse()
    yield stub
    stub.server.shutdown()
    stub.server.server_close()


@pytest.fixture
def make_adapter(warehouse: Warehouse) -> Iterator[Callable[..., QimenAdapter]]:
    with HttpClient(allow_loopback=True, timeout_seconds=2) as http:

        def make(**settings: Any) -> QimenAdapter:
            return QimenAdapter(
                base_url=f"http://127.0.0.1:{warehouse.server.server_port}/router/qimen/service",
                credentials={"app_key": "erp-app", "secret": SECRET, "customer_id": "cust-1"},
                settings=settings,
                http=http,
            )

        yield make


def make_order(**more: Any) -> DeliveryOrder:
    at = datetime(2026, 1, 31, 16, 0, 5, tzinfo=UTC)
    line = DeliveryLine(
        "1", "SKU-1", "T恤 & 短裤", 2, Decimal("19.905"), "3007000000000000010", "3007000000000000011"
    )
    given: dict[str, Any] = {
        "number": "FO-1",
        "warehouse_code": "WH1",
        "owner_code": "OWNER",
        "shop_name": "旗舰店",
        "platform_code": "TB",
        "carrier_code": "SF",
        "created_at": at,
        "placed_at": at,
        "paid_at": None,
        "receiver": Receiver(
            "张*", "138****0000", province="浙江省", city="杭州市", address="文*", token="OAID1"
        ),
        "buyer_message": "包装好🎁 <谢谢> & \x00再见",
        "seller_memo": "",
        "lines": [line],
    }
    return DeliveryOrder(**given | more)


# --- out --------------------------------------------------------------------------------------------------------------


def test_the_signature_is_that_of_the_known_vector() -> None:
    query = {
        "app_key": "testerp_appkey",
        "customerId": "stub-cust-code",
        "format": "xml",
        "method": "taobao.qimen.entryorder.query",
        "sign_method": "md5",
        "timestamp": "2015-04-26 00:00:07",
        "v": "2.0",
        "empty": "",
        "sign": "ignored",
    }

    assert (
        sign_call(query=query, body=b"<request></request>", secret="test")
        == "E9FBE5A3F4E0ED716C9AE628B3AF20B3"
    )


def test_a_delivery_order_goes_out_signed_with_wrapped_lines_and_comes_back_with_an_id(
    warehouse: Warehouse, make_adapter: Callable[..., QimenAdapter]
) -> None:
    warehouse.answers["deliveryorder.create"] = [
        SUCCESS.replace(b"</response>", b"<deliveryOrderId>W-9</deliveryOrderId></response>")
    ]

    answer = make_adapter(carrier_codes={"SF": "SF-EXPRESS"}).create_delivery(order=make_order())

    query, body = warehouse.asked[0]
    text = "".join(name + query[name] for name in sorted(query) if name != "sign")
    document = warehouse.document()
    assert (answer.ok, answer.outer_id, answer.key) == (True, "W-9", "FO-1")
    expected = hashlib.md5(f"{SECRET}{text}".encode() + body + SECRET.encode())  # noqa: S324
    assert query["sign"] == expected.hexdigest().upper()
    assert query["customerId"] == "cust-1"
    assert document.tag == "request"
    assert document.findtext("deliveryOrder/createTime") == "2026-02-01 00:00:05"
    assert document.find("deliveryOrder/payTime") is None
    assert document.findtext("deliveryOrder/logisticsCode") == "SF-EXPRESS"
    assert document.findtext("deliveryOrder/receiverInfo/oaid") == "OAID1"
    assert document.findtext("deliveryOrder/buyerMessage") == "包装好🎁 <谢谢> & 再见"
    assert document.findtext("orderLines/orderLine/itemCode") == "SKU-1"
    assert document.findtext("orderLines/orderLine/actualPrice") == "19.91"
    assert document.findtext("orderLines/orderLine/subSourceOrderCode") == "3007000000000000011"


@pytest.mark.parametrize(
    ("is_short", "method"), [(False, "taobao.qimen.order.cancel"), (True, "order.cancel")]
)
def test_the_method_is_named_long_or_short(
    warehouse: Warehouse, make_adapter: Callable[..., QimenAdapter], is_short: bool, method: str
) -> None:
    warehouse.answers["order.cancel"] = [SUCCESS]

    make_adapter(short_method_names=is_short).cancel_delivery(
        number="FO-1", warehouse_code="WH1", owner_code="OWNER", reason="买家取消"
    )

    assert warehouse.asked[0][0]["method"] == method
    assert warehouse.document().findtext("cancelReason") == "买家取消"


def test_a_refusal_is_handed_back_with_its_reason_and_asked_no_further(
    warehouse: Warehouse, make_adapter: Callable[..., QimenAdapter]
) -> None:
    warehouse.answers["deliveryorder.create"] = [failure("货品 SKU-1 没有同步", "S003")]

    answer = make_adapter().create_delivery(order=make_order())

    assert (answer.ok, answer.code, answer.detail) == (False, "S003", "货品 SKU-1 没有同步")
    assert warehouse.methods == ["deliveryorder.create"]


@pytest.mark.parametrize("text", ["单据已存在", "重复下单", "order Already Exists"])
def test_already_exists_is_success_only_when_the_warehouse_has_the_order(
    warehouse: Warehouse, make_adapter: Callable[..., QimenAdapter], text: str
) -> None:
    warehouse.answers["deliveryorder.create"] = [failure(text), failure(text), failure(text)]
    warehouse.answers["deliveryorder.query"] = [
        ORDER_FOUND % b"ACCEPT",
        failure("单据不存在"),
        ORDER_FOUND % b"CANCELED",
    ]
    adapter = make_adapter()

    there, not_there, cancelled = [adapter.create_delivery(order=make_order()) for _ in range(3)]

    assert (there.ok, there.outer_id) == (True, "W-77")
    assert (not_there.ok, not_there.detail) == (False, text)
    assert (cancelled.ok, cancelled.code) == (False, "CANCELED")


def test_a_query_that_fails_for_another_reason_is_not_taken_for_not_found(
    warehouse: Warehouse, make_adapter: Callable[..., QimenAdapter]
) -> None:
    warehouse.answers["deliveryorder.query"] = [failure("货主无权限", "S9"), failure("order not found")]
    adapter = make_adapter(owner_code="OWNER")

    with pytest.raises(ChannelRejected, match="货主无权限"):
        adapter.find_delivery(number="FO-1")

    assert adapter.find_delivery(number="FO-1") is None
    assert warehouse.document().findtext("ownerCode") == "OWNER"


def test_a_query_that_answers_with_another_order_has_not_found_ours(
    warehouse: Warehouse, make_adapter: Callable[..., QimenAdapter]
) -> None:
    warehouse.answers["deliveryorder.query"] = [ORDER_FOUND % b"ACCEPT", SUCCESS]

    assert make_adapter().find_delivery(number="FO-2") is None
    assert make_adapter().find_delivery(number="FO-1") is None


def test_the_answer_to_a_cancellation_decides_and_already_cancelled_is_read_back(
    warehouse: Warehouse, make_adapter: Callable[..., QimenAdapter]
) -> None:
    warehouse.answers["order.cancel"] = [
        failure("已拣货，不能取消"),
        failure("单据已取消"),
        failure("单据已取消"),
    ]
    warehouse.answers["deliveryorder.query"] = [ORDER_FOUND % b"CANCELED", ORDER_FOUND % b"DELIVERED"]
    given = {"number": "FO-1", "warehouse_code": "WH1", "owner_code": "OWNER", "reason": "x"}
    adapter = make_adapter()

    picked, cancelled, contradicted = [adapter.cancel_delivery(**given) for _ in range(3)]

    assert (picked.ok, picked.detail) == (False, "已拣货，不能取消")
    assert cancelled.ok
    assert not contradicted.ok


@pytest.mark.parametrize(
    "answer",
    [
        None,
        500,
        502,
        b"<html>please wait</html>",
        b"<response><flag>succ",
        b"\xff\xfe",
        failure("x", "15", "<sub_code>isp.http-read-timeout</sub_code>"),
    ],
)
def test_a_write_without_a_clear_answer_has_an_unknown_outcome(
    warehouse: Warehouse, make_adapter: Callable[..., QimenAdapter], answer: bytes | int | None
) -> None:
    warehouse.answers["deliveryorder.create"] = [answer]
    warehouse.answers["deliveryorder.query"] = [answer]

    with pytest.raises(ChannelUnavailable) as written:
        make_adapter().create_delivery(order=make_order())
    with pytest.raises(ChannelUnavailable) as read:
        make_adapter().find_delivery(number="FO-1")

    assert written.value.is_unknown_outcome
    assert not read.value.is_unknown_outcome


def test_a_write_that_was_never_sent_is_not_unknown() -> None:
    with HttpClient(allow_loopback=True) as http:
        adapter = QimenAdapter(
            base_url="http://127.0.0.1:9/nobody",
            credentials={"app_key": "a", "secret": "s", "customer_id": "c"},
            settings={},
            http=http,
        )
        with pytest.raises(ChannelUnavailable) as refused:
            adapter.create_delivery(order=make_order())

    assert not refused.value.is_unknown_outcome


def test_a_ban_says_how_long_and_a_wrong_secret_stops_the_connection(
    warehouse: Warehouse, make_adapter: Callable[..., QimenAdapter]
) -> None:
    banned = failure(
        "This ban will last for 7 more seconds", "7", "<sub_code>accesscontrol.limited-by-api</sub_code>"
    )
    wrong = failure("Illegal request", "0", "<sub_code>sign-check-failure</sub_code>")
    warehouse.answers["order.cancel"] = [banned, wrong, 429, 403]
    given = {"number": "FO-1", "warehouse_code": "WH1", "owner_code": "OWNER", "reason": "x"}
    adapter = make_adapter()

    with pytest.raises(ChannelUnavailable) as throttled:
        adapter.cancel_delivery(**given)
    with pytest.raises(ChannelRejected) as unsigned:
        adapter.cancel_delivery(**given)
    with pytest.raises(ChannelUnavailable) as busy:
        adapter.cancel_delivery(**given)
    with pytest.raises(ChannelRejected) as forbidden:
        adapter.cancel_delivery(**given)

    assert (throttled.value.is_throttled, throttled.value.retry_seconds) == (True, 8)
    assert not throttled.value.is_unknown_outcome
    assert unsigned.value.is_auth
    assert busy.value.is_throttled
    assert forbidden.value.is_auth


def test_stock_is_what_is_free_and_what_is_locked_with_batches_added_up(
    warehouse: Warehouse, make_adapter: Callable[..., QimenAdapter]
) -> None:
    def item(code: str, kind: str, free: str, locked: str) -> str:
        return (
            f"<item><itemCode>{code}</itemCode><inventoryType>{kind}</inventoryType>"
            f"<quantity>{free}</quantity><lockQuantity>{locked}</lockQuantity></item>"
        )

    rows = item("A", "ZP", "5", "2") + item("A", "ZP", "3.0", "0") + item("A", "CC", "1", "")
    found = SUCCESS.decode().replace("</response>", f"<items>{rows}</items></response>").encode()
    warehouse.answers["inventory.query"] = [found, SUCCESS]
    codes = ["A", *(f"B-{number}" for number in range(50))]

    stock = make_adapter().read_stock(warehouse_code="WH1", owner_code="OWNER", sku_codes=codes)

    assert [(each.sku_code, each.inventory_type, each.quantity, each.locked) for each in stock] == [
        ("A", "ZP", 10, 2),
        ("A", "CC", 1, 0),
    ]
    assert len(warehouse.asked) == 2
    assert len(warehouse.document().findall("criteriaList/criteria")) == 1


def test_a_stock_figure_that_is_no_whole_number_is_refused(
    warehouse: Warehouse, make_adapter: Callable[..., QimenAdapter]
) -> None:
    row = b"<items><item><itemCode>A</itemCode><quantity>many</quantity></item></items></response>"
    warehouse.answers["inventory.query"] = [SUCCESS.replace(b"</response>", row), failure("货主不存在", "S1")]

    with pytest.raises(ChannelRejected, match="many"):
        make_adapter().read_stock(warehouse_code="W", owner_code="O", sku_codes=["A"])
    with pytest.raises(ChannelRejected, match="货主不存在"):
        make_adapter().read_stock(warehouse_code="W", owner_code="O", sku_codes=["A"])


# --- in ---------------------------------------------------------------------------------------------------------------

CONFIRM = """<request><deliveryOrder><deliveryOrderCode>FO-1</deliveryOrderCode><warehouseCode>WH1</warehouseCode>
<orderType>JYCK</orderType><status>PARTDELIVERED</status><outBizCode>BIZ-1</outBizCode><confirmType>1</confirmType>
<orderConfirmTime>2026-02-01 00:00:05</orderConfirmTime></deliveryOrder>
<packages><package><logisticsCode>SF-EXPRESS</logisticsCode><expressCode>SF100</expressCode><weight>1.25</weight>
<items><item><itemCode>A</itemCode><quantity>1</quantity></item></items></package>
<package><logisticsCode>ZTO</logisticsCode><expressCode>ZT200</expressCode><weight>heavy</weight>
<items><item><itemCode>B</itemCode><quantity>2.0</quantity></item></items></package></packages>
<orderLines><orderLine><orderLineNo>1</orderLineNo><itemCode>A</itemCode><actualQty>1</actualQty></orderLine>
<orderLine><orderLineNo>2</orderLineNo><itemCode>B</itemCode><actualQty>2</actualQty></orderLine></orderLines></request>"""


def receive(method: str, body: str | bytes, *, secret: str = SECRET, **settings: Any) -> WarehouseNotices:
    content = body.encode() if isinstance(body, str) else body
    query = {
        "method": method,
        "app_key": "wms",
        "timestamp": "2026-02-01 00:00:06",
        "v": "2.0",
        "sign_method": "md5",
    }
    text = "".join(name + query[name] for name in sorted(query))
    signed = hashlib.md5(f"{SECRET}{text}".encode() + content + SECRET.encode()).hexdigest().upper()  # noqa: S324
    return read_callback(query=query | {"sign": signed}, body=content, secret=secret, settings=settings)


@pytest.mark.parametrize("method", ["taobao.qimen.deliveryorder.confirm", "deliveryorder.confirm"])
def test_a_confirmation_becomes_a_notice_with_its_parcels(method: str) -> None:
    (notice,) = receive(method, CONFIRM, carrier_codes={"SF": "SF-EXPRESS"})

    assert notice == DeliveryNotice(
        event_key="deliveryorder.confirm:FO-1:BIZ-1",
        number="FO-1",
        warehouse_code="WH1",
        state="part_shipped",
        raw_state="PARTDELIVERED",
        is_final=False,
        happened_at=notice.happened_at if isinstance(notice, DeliveryNotice) else None,
        parcels=[
            ParcelNotice("SF", "SF100", [("A", 1)], 1250),
            ParcelNotice("ZTO", "ZT200", [("B", 2)], None),
        ],
        lines=[("1", "A", 1), ("2", "B", 2)],
    )
    assert notice.happened_at == datetime(2026, 1, 31, 16, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "state", "is_final"),
    [
        ("<status>DELIVERED</status>", "shipped", True),
        ("", "shipped", True),
        ("<status>PARTDELIVERED</status>", "part_shipped", False),
        ("<status>CANCELED</status>", "cancelled", True),
        ("<status>CLOSED</status>", "cancelled", True),
        ("<status>REJECT</status>", "rejected", True),
        ("<status>EXCEPTION</status>", "exception", False),
        ("<status>ACCEPT</status>", "accepted", False),
        ("<status>CANCELEDFAIL</status>", "accepted", False),
        ("<status>TELEPORTED</status>", "exception", False),
    ],
)
def test_every_status_has_a_meaning_and_an_unknown_one_is_an_exception(
    status: str, state: str, is_final: bool
) -> None:
    body = CONFIRM.replace("<status>PARTDELIVERED</status>", status).replace(
        "<confirmType>1</confirmType>", ""
    )

    (notice,) = receive("deliveryorder.confirm", body)

    assert isinstance(notice, DeliveryNotice)
    assert (notice.state, notice.is_final) == (state, is_final)
    assert ("TELEPORTED" in notice.detail) == ("TELEPORTED" in status)


def test_the_same_event_has_the_same_key_and_another_event_another() -> None:
    again = receive("taobao.qimen.deliveryorder.confirm", CONFIRM.replace("1.25", "1.30"))
    other = receive("deliveryorder.confirm", CONFIRM.replace("BIZ-1", "BIZ-2"))
    without = CONFIRM.replace("<outBizCode>BIZ-1</outBizCode>", "")

    first = receive("deliveryorder.confirm", CONFIRM)

    assert first[0].event_key == again[0].event_key
    assert first[0].event_key != other[0].event_key
    unnamed = receive("deliveryorder.confirm", without)[0].event_key
    assert unnamed == receive("deliveryorder.confirm", without.replace("\n", "\n  "))[0].event_key
    assert unnamed != receive("deliveryorder.confirm", without.replace("SF100", "SF101"))[0].event_key


def test_a_batch_of_confirmations_becomes_one_notice_each() -> None:
    order = CONFIRM.removeprefix("<request>").removesuffix("</request>")
    body = f"<request><orders><order>{order}</order><order>{order.replace('FO-1', 'FO-2')}</order></orders></request>"

    notices = receive("deliveryorder.batchconfirm", body)

    assert [notice.number for notice in notices if isinstance(notice, DeliveryNotice)] == ["FO-1", "FO-2"]
    assert notices[0].event_key == receive("deliveryorder.confirm", CONFIRM)[0].event_key


def test_progress_is_a_step_of_the_timeline() -> None:
    body = (
        "<request><order><orderCode>FO-1</orderCode></order><process><processStatus>PICK</processStatus>"
        "<operatorName>小李</operatorName><operateTime>2026-02-01 08:00:00</operateTime>"
        "<operateInfo>已拣货</operateInfo></process></request>"
    )

    (notice,) = receive("orderprocess.report", body)

    assert isinstance(notice, ProgressNotice)
    assert (notice.number, notice.step, notice.operator, notice.detail) == ("FO-1", "PICK", "小李", "已拣货")
    assert notice.event_key == receive("orderprocess.report", body)[0].event_key


def change(code: str, sku: str, quantity: str, more: str = "") -> str:
    return (
        f"<item><ownerCode>O</ownerCode><warehouseCode>WH1</warehouseCode><orderCode>C-1</orderCode>"
        f"<orderType>PDCK</orderType><outBizCode>{code}</outBizCode><itemCode>{sku}</itemCode>"
        f"<quantity>{quantity}</quantity>{more}</item>"
    )


def test_stock_changes_are_signed_and_each_has_a_key_of_its_own() -> None:
    items = [
        change("X", "A", "-3", "<changeTime>2026-02-01 08:00:00</changeTime>"),
        change("X", "A", "-3"),
        change("X", "B", "4", "<inventoryType>CC</inventoryType>"),
        change("X", "C", "0"),
    ]
    body = f"<request><items>{''.join(items)}</items></request>"

    notices = [each for each in receive("stockchange.report", body) if isinstance(each, StockChangeNotice)]
    again = receive("stockchange.report", body.replace("PDCK", "DBCK"))

    assert [(each.sku_code, each.quantity, each.inventory_type) for each in notices] == [
        ("A", -3, "ZP"),
        ("A", -3, "ZP"),
        ("B", 4, "CC"),
    ]
    assert len({each.event_key for each in notices}) == 3
    assert [each.event_key for each in again] == [each.event_key for each in notices]
    assert notices[0].reason == "PDCK C-1"


def test_the_pages_of_a_stock_taking_are_different_events() -> None:
    def page(number: int) -> str:
        return (
            f"<request><totalPage>2</totalPage><currentPage>{number}</currentPage><pageSize>1</pageSize>"
            "<warehouseCode>WH1</warehouseCode><ownerCode>O</ownerCode><checkOrderCode>PD1</checkOrderCode>"
            "<outBizCode>CHECK-1</outBizCode><adjustType>CHECK</adjustType>"
            "<items><item><itemCode>A</itemCode><quantity>-2</quantity></item></items></request>"
        )

    (first,) = receive("inventory.report", page(1))
    (second,) = receive("inventory.report", page(2))

    assert isinstance(first, StockChangeNotice)
    assert (first.sku_code, first.quantity, first.reason) == ("A", -2, "CHECK PD1")
    assert first.event_key != second.event_key


def test_a_key_is_short_whatever_the_other_side_sends() -> None:
    (notice,) = receive("deliveryorder.confirm", CONFIRM.replace("BIZ-1", "B" * 5000))

    assert len(notice.event_key) <= 160


# --- what is not believed ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "forge",
    [
        lambda query, body: (query | {"sign": "0" * 32}, body),
        lambda query, body: (query | {"sign": "假"}, body),
        lambda query, body: (query | {"customerId": "\udcff"}, body),
        lambda query, body: ({name: value for name, value in query.items() if name != "sign"}, body),
        lambda query, body: (query | {"customerId": "other"}, body),
        lambda query, body: (query | {"sign_method": "none"}, body),
        lambda query, body: (query, body + b" "),
    ],
)
def test_a_call_that_is_not_signed_with_our_secret_is_refused(forge: Callable[..., Any]) -> None:
    body = CONFIRM.encode()
    query = {"method": "deliveryorder.confirm", "app_key": "wms", "sign_method": "md5"}
    query["sign"] = sign_call(query=query, body=body, secret=SECRET)
    assert read_callback(query=query, body=body, secret=SECRET)

    forged_query, forged_body = forge(query, body)

    with pytest.raises(BadSignature):
        read_callback(query=forged_query, body=forged_body, secret=SECRET)


def test_a_document_of_any_depth_is_read() -> None:
    remark = "<remark>" * 100_000 + "</remark>" * 100_000
    body = CONFIRM.replace("<outBizCode>BIZ-1</outBizCode>", remark)

    (notice,) = receive("deliveryorder.confirm", body)

    assert notice.event_key.startswith("deliveryorder.confirm:FO-1:")


def test_an_empty_secret_signs_nothing() -> None:
    query = {"method": "deliveryorder.confirm", "sign_method": "md5"}
    query["sign"] = sign_call(query=query, body=CONFIRM.encode(), secret="")

    with pytest.raises(BadSignature):
        read_callback(query=query, body=CONFIRM.encode(), secret="")


BOMB = (
    "<!DOCTYPE r ["
    + "".join(f'<!ENTITY l{level} "{f"&l{level - 1};" * 10 if level else "lol"}">' for level in range(10))
    + "]><request>&l9;</request>"
)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<request>\xff</request>", "not UTF-8: byte 9 is 0xff"),
        (b"", "not XML"),
        (b"{}", "not XML"),
        (b"<request><deliveryOrder></request>", "not XML"),
        (b"<request>\x00</request>", "not XML"),
        (b"<response/>", "root element is response"),
        (BOMB.encode(), "declares a document type"),
        (b"<!DOCTYPE request><request/>", "declares a document type"),
        (
            b'<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><request>&x;</request>',
            "declares a document type",
        ),
        (b"<request/>", "deliveryOrder is missing"),
        (
            CONFIRM.replace("<deliveryOrderCode>FO-1</deliveryOrderCode>", "").encode(),
            "deliveryOrderCode is missing",
        ),
        (CONFIRM.replace("<expressCode>SF100</expressCode>", "").encode(), "package/expressCode is missing"),
        (
            CONFIRM.replace("<actualQty>2</actualQty>", "<actualQty>-2</actualQty>").encode(),
            "actualQty is negative",
        ),
        (
            CONFIRM.replace("<actualQty>2</actualQty>", "<actualQty>1.5</actualQty>").encode(),
            "not a whole number: 1.5",
        ),
        (
            CONFIRM.replace("<actualQty>2</actualQty>", "<actualQty>1e99</actualQty>").encode(),
            "not a whole number",
        ),
        (CONFIRM.replace("2026-02-01 00:00:05", "yesterday").encode(), "not a time"),
        (CONFIRM.replace("<confirmType>1<", "<confirmType>7<").encode(), "confirmType is 7"),
    ],
)
def test_a_signed_call_that_cannot_be_read_says_why(body: bytes, reason: str) -> None:
    with pytest.raises(BadCallback, match=reason):
        receive("deliveryorder.confirm", body)


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("deliveryorder.batchconfirm", "orders/order is missing"),
        ("orderprocess.report", "order or process is missing"),
        ("stockchange.report", "items/item is missing"),
        ("inventory.report", "items/item is missing"),
        ("taobao.qimen.nobody.listens", "nothing here listens to the method nobody.listens"),
    ],
)
def test_an_empty_report_and_an_unknown_method_are_refused(method: str, reason: str) -> None:
    with pytest.raises(BadCallback, match=reason):
        receive(method, "<request></request>")


def test_answers_are_documents_that_the_other_side_can_read() -> None:
    good = ElementTree.fromstring(answer_success())  # noqa: S314
    bad = ElementTree.fromstring(answer_failure("sign-check-failure", "<Illegal> & request"))  # noqa: S314

    assert (good.tag, good.findtext("flag")) == ("response", "success")
    assert (bad.findtext("flag"), bad.findtext("code"), bad.findtext("message")) == (
        "failure",
        "sign-check-failure",
        "<Illegal> & request",
    )


# --- greeting -----------------------------------------------------------------------------------------------


def test_a_greeting_asks_for_an_order_that_nobody_has(
    warehouse: Warehouse, make_adapter: Callable[..., QimenAdapter]
) -> None:
    warehouse.answers["deliveryorder.query"] = [failure("单据不存在")]

    assert make_adapter(warehouse_code="SHA", owner_code="OMNI").greet() == "SHA"

    assert warehouse.methods == ["deliveryorder.query"]
    assert str(warehouse.document().findtext("orderCode")).startswith("OMNI-HELLO-")


def test_a_greeting_with_a_wrong_signature_is_refused(
    warehouse: Warehouse, make_adapter: Callable[..., QimenAdapter]
) -> None:
    warehouse.answers["deliveryorder.query"] = [failure("Invalid signature", code="25")]

    with pytest.raises(ChannelRejected) as refused:
        make_adapter().greet()

    assert refused.value.is_auth


def test_what_has_left_is_counted_over_all_lines_and_pages(
    warehouse: Warehouse, make_adapter: Callable[..., QimenAdapter]
) -> None:
    page = (
        "<response><flag>success</flag><totalLines>3</totalLines><deliveryOrder>"
        "<deliveryOrderCode>FO-1</deliveryOrderCode><status>DELIVERED</status></deliveryOrder>"
        "<orderLines>{}</orderLines></response>"
    )
    line = "<orderLine><itemCode>SKU-1</itemCode><planQty>5</planQty><actualQty>{}</actualQty></orderLine>"
    warehouse.answers["deliveryorder.query"] = [
        page.format(line.format(2) + line.format(0)).encode(),
        page.format(line.format("3.0")).encode(),
    ]

    assert make_adapter().count_sent(number="FO-1") == 5
    assert warehouse.methods == ["deliveryorder.query"] * 2


def test_a_warehouse_that_does_not_have_the_order_cannot_say_what_has_left(
    warehouse: Warehouse, make_adapter: Callable[..., QimenAdapter]
) -> None:
    warehouse.answers["deliveryorder.query"] = [failure("单据不存在")]

    assert make_adapter().count_sent(number="FO-1") is None


# --- what lies there --------------------------------------------------------------------------------------------------


def stock_page(total: int, *codes: str) -> bytes:
    items = "".join(
        f"<item><itemCode>{code}</itemCode><quantity>3</quantity><lockQuantity>2</lockQuantity></item>"
        for code in codes
    )
    return SUCCESS.replace(
        b"</response>", f"<totalCount>{total}</totalCount><items>{items}</items></response>".encode()
    )


def test_all_stock_is_read_page_by_page(
    warehouse: Warehouse, make_adapter: Callable[..., QimenAdapter]
) -> None:
    warehouse.answers["stock.query"] = [stock_page(3, "A", "B"), stock_page(3, "C")]

    pages = list(make_adapter().list_stock(warehouse_code="WH1", owner_code="OWNER"))

    assert [[(row.sku_code, row.quantity, row.locked) for row in page.rows] for page in pages] == [
        [("A", 5, 2), ("B", 5, 2)],
        [("C", 5, 2)],
    ]
    assert {page.total for page in pages} == {3}
    document = warehouse.document()
    assert (document.findtext("warehouseCode"), document.findtext("page")) == ("WH1", "2")


@pytest.mark.parametrize("second", [stock_page(2, "C"), stock_page(3)])
def test_a_list_that_changes_while_it_is_read_may_lack_something(
    second: bytes, warehouse: Warehouse, make_adapter: Callable[..., QimenAdapter]
) -> None:
    warehouse.answers["stock.query"] = [stock_page(3, "A", "B"), second]

    with pytest.raises(ChannelUnavailable, match="changed while it was read"):
        list(make_adapter().list_stock(warehouse_code="WH1", owner_code="OWNER"))


def test_a_warehouse_without_stock_query_says_so(
    warehouse: Warehouse, make_adapter: Callable[..., QimenAdapter]
) -> None:
    warehouse.answers["stock.query"] = [failure("no such method", "isv.invalid-method")]

    with pytest.raises(ChannelRejected, match=r"stock\.query"):
        list(make_adapter().list_stock(warehouse_code="WH1", owner_code="OWNER"))

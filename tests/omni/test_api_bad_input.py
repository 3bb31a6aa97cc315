"""The catalogue of bad input: each a 4xx problem that says what is wrong, nothing written, nothing echoed."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from inventory.models import Reservation, Shortage, StockMovement, StockOperation
from omni.kernel.models import IdempotencyKey
from orders.models import ChannelOrder, ParkedOrder, SalesOrder
from tests.factories.api import Caller, order_body
from tests.factories.orders import House, make_house

pytestmark = [pytest.mark.django_db, pytest.mark.capability("I3")]

Change = Callable[[dict[str, Any]], Any]
WRITTEN = (ChannelOrder, SalesOrder, ParkedOrder, Reservation, Shortage, IdempotencyKey)


@pytest.fixture
def house() -> House:
    return make_house(stock=10)


@pytest.fixture
def caller() -> Caller:
    return Caller()


def assert_problem(answer: Any, *statuses: int) -> dict[str, Any]:
    assert answer.status_code in statuses, (answer.status_code, answer.content[:300])
    assert answer["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = json.loads(answer.content)
    assert problem["status"] == answer.status_code
    assert problem["detail"]
    return problem


def assert_nothing_written() -> None:
    assert not any(model.objects.exists() for model in WRITTEN)
    assert set(StockMovement.objects.values_list("kind", flat=True)) <= {"receive"}


def put(*path: Any, value: Any) -> Change:
    """Set what lies under the path."""

    def change(body: dict[str, Any]) -> dict[str, Any]:
        target: Any = body
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = value
        return body

    return change


def drop(name: str) -> Change:
    def change(body: dict[str, Any]) -> dict[str, Any]:
        del body[name]
        return body

    return change


LINE = ("lines", 0)
FIELDS: dict[str, tuple[Change, str]] = {
    "quantity 0": (put(*LINE, "quantity", value=0), "lines[0].quantity"),
    "quantity -1": (put(*LINE, "quantity", value=-1), "lines[0].quantity"),
    "quantity 1.5": (put(*LINE, "quantity", value=1.5), "lines[0].quantity"),
    "quantity 1.0": (put(*LINE, "quantity", value=1.0), "lines[0].quantity"),
    "quantity 10^12": (put(*LINE, "quantity", value=10**12), "lines[0].quantity"),
    "quantity 10^400": (put(*LINE, "quantity", value=10**400), "lines[0].quantity"),
    "quantity as text": (put(*LINE, "quantity", value="1 "), "lines[0].quantity"),
    "quantity in full width": (put(*LINE, "quantity", value="１"), "lines[0].quantity"),
    "quantity true": (put(*LINE, "quantity", value=True), "lines[0].quantity"),
    "quantity null": (put(*LINE, "quantity", value=None), "lines[0].quantity"),
    "price -0.01": (put(*LINE, "unit_price", value="-0.01"), "lines[0].unit_price"),
    "price 1e-9": (put(*LINE, "unit_price", value=1e-9), "lines[0].unit_price"),
    "price 10^18": (put(*LINE, "unit_price", value=10**18), "lines[0].unit_price"),
    "price in full width": (put(*LINE, "unit_price", value="１.00"), "lines[0].unit_price"),
    "price with commas": (put(*LINE, "unit_price", value="1,000.00"), "lines[0].unit_price"),
    "price true": (put(*LINE, "unit_price", value=True), "lines[0].unit_price"),
    "price NaN": (put(*LINE, "unit_price", value="NaN"), "lines[0].unit_price"),
    "five decimals": (put(*LINE, "unit_price", value="0.00001"), "lines[0].unit_price"),
    "currency XXX": (put("currency", value="XXX"), "currency"),
    "currency cny": (put("currency", value="cny"), "currency"),
    "no lines": (put("lines", value=[]), "lines"),
    "lines null": (put("lines", value=None), "lines"),
    "lines an object": (put("lines", value={}), "lines"),
    "a line is a list": (put(*LINE, value=[]), "lines[0]"),
    "501 lines": (lambda body: {**body, "lines": body["lines"] * 501}, "lines"),
    "line without SKU": (put(*LINE, "sku", value=""), "lines[0].sku"),
    "unknown field": (put("price", value=1), "price"),
    "unknown field of a line": (put(*LINE, "tenant", value=1), "lines[0].tenant"),
    "unknown field of the receiver": (put("receiver", "is_staff", value=True), "receiver.is_staff"),
    "receiver a list": (put("receiver", value=[]), "receiver"),
    "receiver null": (put("receiver", value=None), "receiver"),
    "number missing": (drop("outer_id"), "outer_id"),
    "number empty": (put("outer_id", value=""), "outer_id"),
    "number an integer": (put("outer_id", value=7), "outer_id"),
    "number of 65": (put("outer_id", value="x" * 65), "outer_id"),
    "number with a line break": (put("outer_id", value="a\nb"), "outer_id"),
    "number with a hidden direction": (put("outer_id", value="a\u202eb"), "outer_id"),
    "number with spaces around": (put("outer_id", value=" a "), "outer_id"),
    "a text of 1 MB": (put("seller_memo", value="x" * 1_000_000), "seller_memo"),
    "state unknown": (put("state", value="unknown"), "state"),
    "state a list": (put("state", value=["to_ship"]), "state"),
    "time without zone": (put("placed_at", value="2026-05-04T12:00:00"), "placed_at"),
    "time with a bent zone": (put("placed_at", value="2026-05-04T12:00:00+14:61"), "placed_at"),
    "time 1970": (put("placed_at", value="1970-01-01T00:00:00Z"), "placed_at"),
    "year 1": (put("placed_at", value="0001-01-01T00:00:00+14:00"), "placed_at"),
    "year 9999": (put("placed_at", value="9999-12-31T23:59:59-14:00"), "placed_at"),
    "time a number": (put("placed_at", value=1777896000), "placed_at"),
    "only a day": (put("placed_at", value="2026-05-04"), "placed_at"),
    "shop missing": (drop("shop"), "shop"),
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_faulty_order_is_refused_by_field(house: House, caller: Caller, name: str) -> None:
    change, field = FIELDS[name]

    answer = caller.post("orders", change({"shop": house.shop.code, **order_body(house.sku)}))

    problem = assert_problem(answer, 400)
    assert problem["code"] == "bad_input"
    assert any(found.startswith(field) for found in problem["fields"]), problem["fields"]
    assert_nothing_written()


def bodies(house: House) -> dict[str, tuple[bytes, int]]:
    good = json.dumps({"shop": house.shop.code, **order_body(house.sku)})
    return {
        "NUL": (good.replace("web-", "web\\u0000-").encode(), 400),
        "raw NUL": (good.replace("web-", "web\x00-").encode(), 400),
        "lone surrogate": (good.replace("web-", "web\\ud800-").encode(), 400),
        "invalid UTF-8": (good.replace("web-", "web\xff-").encode("latin-1"), 400),
        "UTF-16": (good.encode("utf-16"), 400),
        "depth 100000": (b"[" * 100_000 + b"]" * 100_000, 400),
        "depth in a field": (b'{"shop":' + b"[" * 900 + b"]" * 900 + b"}", 400),
        "key twice": (good.replace('{"shop"', '{"shop": "x", "shop"', 1).encode(), 400),
        "NaN": (good.replace('"10.00"', "NaN", 1).encode(), 400),
        "Infinity": (good.replace('"10.00"', "-Infinity", 1).encode(), 400),
        "a number that does not end": (good.replace('"10.00"', "1e999999999", 1).encode(), 400),
        "a number of 5000 digits": (good.replace('"10.00"', "1" * 5000, 1).encode(), 400),
        "a list": (b"[]", 400),
        "a text": (b'"order"', 400),
        "null": (b"null", 400),
        "nothing": (b"", 400),
        "half": (good[:40].encode(), 400),
        "gzip": (base64.b64decode("H4sIAAAAAAAAA6uuBQBDv6ajAgAAAA=="), 400),
        "more than 2 MB": (b'{"shop": "' + b"x" * 2_100_000 + b'"}', 413),
    }


@pytest.mark.parametrize("name", list(bodies(House(*[type("_", (), {"code": ""})] * 3))))  # type: ignore[arg-type]
def test_a_body_that_is_not_proper_json_is_refused(house: House, caller: Caller, name: str) -> None:
    body, status = bodies(house)[name]

    answer = caller.post("orders", body)

    assert_problem(answer, status)
    assert_nothing_written()


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_only_json_is_read(caller: Caller, kind: str) -> None:
    answer = caller.client.generic(
        "POST", "/api/v1/orders", b"{}", content_type=kind, headers={"Idempotency-Key": "k"}
    )

    assert_problem(answer, 415)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE"])
def test_no_other_method_is_known_and_none_is_overridden(house: House, caller: Caller, method: str) -> None:
    for path in ("orders", "skus", f"skus/{house.sku.code}", "stock/receipts", "availability"):
        answer = caller.client.generic(method, f"/api/v1/{path}", b"{}", content_type="application/json")
        assert_problem(answer, 405)
        overridden = caller.client.get(f"/api/v1/{path}", headers={"X-HTTP-Method-Override": method})
        assert overridden.status_code in (200, 405)


GETS = [
    ("orders?page_size=1000000000", 400),
    ("orders?page_size=-1", 400),
    ("orders?page_size=0", 400),
    ("orders?page_size=１", 400),
    ("orders?page=1000000000000", 400),
    ("orders?cursor=x", 404),
    ("orders?cursor=" + base64.b64encode(b"p=abc").decode(), 404),
    ("orders?cursor=" + base64.b64encode(b"p=9" + b"9" * 30).decode(), 404),
    ("orders?cursor=" + base64.b64encode(b"p=%00").decode(), 404),
    ("orders?cursor=" + base64.b64encode(b"o=-1&p=1").decode(), 404),
    ("orders?order_by=user__password", 400),
    ("orders?shop__brand__name=x", 400),
    ("orders?stage=captured&stage=cancelled", 400),
    ("orders?stage=nowhere", 400),
    ("orders?outer_id=%00", 400),
    ("orders?outer_id=" + "x" * 65, 400),
    ("orders?is_held=perhaps", 200),
    ("orders?captured_since=2026-05-04T12:00:00", 400),
    ("orders?captured_since=2026-05-04T12:00:00%2B14:61", 400),
    ("orders?captured_since=0001-01-01T00:00:00%2B14:00", 400),
    ("orders?captured_since=yesterday", 400),
    ("skus?changed_since=9999-12-31T23:59:59-14:00", 400),
    ("skus?code=" + "x" * 200, 400),
    ("categories?path=%25%25%25%25%5C", 200),
    ("stock/sellable", 400),
    ("stock/sellable?sku=a&sku=b", 400),
    ("stock/sellable?sku=nobody", 400),
    ("stock/sellable?sku=%00", 400),
    ("stock/sellable?sku=" + ",".join("x" * 5000), 400),
    ("stock/sellable?sku=a&limit=1", 400),
    ("orders/SO1e3", 404),
    ("orders/-1", 404),
    ("orders/%00", 404),
    ("orders/%2e%2e%2fskus", 404),
    ("orders;x", 404),
    ("/orders", 404),
    ("listings/9223372036854775808", 404),
    ("listings/999999999999999999", 404),
    ("listings/-1", 404),
    ("listings/1e3", 404),
    ("shipments/true", 404),
    ("nowhere", 404),
]


@pytest.mark.parametrize(("path", "status"), GETS)
def test_a_faulty_question_is_answered_with_a_problem(caller: Caller, path: str, status: int) -> None:
    answer = caller.get(path)

    if status == 200:
        assert answer.status_code == 200
    else:
        assert_problem(answer, status)


def test_an_order_from_the_future_is_parked_or_refused(house: House, caller: Caller) -> None:
    body = order_body(house.sku, placed_at="2099-01-01T00:00:00Z")

    answer = caller.post("orders", {"shop": house.shop.code, **body})

    assert (answer.status_code, answer.json()["reason"]) == (202, "future_time")
    assert not SalesOrder.objects.exists()


STOCK: dict[str, Change] = {
    "no lines": put("lines", value=[]),
    "quantity 0": put(*LINE, "quantity", value=0),
    "quantity -1": put(*LINE, "quantity", value=-1),
    "quantity beyond": put(*LINE, "quantity", value=2**31),
    "grade unknown": put(*LINE, "grade", value="shiny"),
    "location unknown": put(*LINE, "location", value="nowhere"),
    "SKU unknown": put(*LINE, "sku", value="nobody"),
    "number missing": drop("number"),
    "number of 101": put("number", value="x" * 101),
    "1001 lines": lambda body: {**body, "lines": body["lines"] * 1001},
}


@pytest.mark.parametrize("name", STOCK)
def test_a_faulty_receipt_is_refused(house: House, caller: Caller, name: str) -> None:
    line = {"location": house.location.code, "sku": house.sku.code, "quantity": 5}
    before = StockOperation.objects.count()

    answer = caller.post("stock/receipts", STOCK[name]({"number": "R-1", "lines": [line]}))

    assert_problem(answer, 400)
    assert StockOperation.objects.count() == before
    assert not IdempotencyKey.objects.exists()


@pytest.mark.parametrize("where", ["wrong", "elsewhere", "in the address"])
def test_a_key_that_is_not_right_is_refused_and_not_echoed(caller: Caller, where: str) -> None:
    secret = caller.key.rsplit("_", 1)[1]
    client, path = caller.client, "/api/v1/orders"
    if where == "wrong":
        headers = {"Authorization": f"Bearer {caller.key[:-1]}"}
    elif where == "elsewhere":
        headers = {"Authorization": f"Token {caller.key}"}
    else:
        headers, path = {"Authorization": ""}, f"{path}?key={caller.key}"

    answer = client.get(path, headers=headers)

    assert_problem(answer, 401)
    assert secret not in answer.content.decode()


def test_a_forged_host_is_refused(caller: Caller) -> None:
    answer = caller.client.get("/api/v1/orders", headers={"Host": "evil.example"})

    assert answer.status_code == 400

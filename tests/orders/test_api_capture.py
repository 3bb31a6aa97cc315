"""Orders that are sent over HTTP: taken once, refused without a trace, answered the same when asked again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from inventory.models import Reservation, Shortage, StockPool
from omni.kernel.models import IdempotencyKey, OutboxEvent
from orders.models import ChannelOrder, ChannelOrderVersion, OrderHold, ParkedOrder, SalesOrder
from orders.states import Stage
from tests.factories.api import Caller, order_body
from tests.factories.bundles import make_bundle
from tests.factories.orders import NOON, House, make_house
from tests.factories.products import ListingFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("O1", "I3")]


@pytest.fixture
def house() -> House:
    """A shop whose orders are requests, with ten units."""
    return make_house(stock=10, order_policy="request")


@pytest.fixture
def facts() -> House:
    """A shop whose orders are facts, with ten units."""
    return make_house(stock=10)


@pytest.fixture
def caller(house: House) -> Caller:
    return Caller(house.shop)


def sent(house: House, *args: Any, **changes: Any) -> dict[str, Any]:
    return {"shop": house.shop.code, **order_body(house.sku, *args, **changes)}


def nothing_was_written() -> bool:
    rows = (ChannelOrder, SalesOrder, ParkedOrder, Reservation, Shortage, IdempotencyKey)
    return not any(model.objects.exists() for model in rows)


def test_an_order_is_taken_and_its_stock_promised(house: House, caller: Caller) -> None:
    answer = caller.post("orders", sent(house, 3, outer_id="web-7"))

    order = SalesOrder.objects.get()
    assert answer.status_code == 201
    assert answer.json() == {
        "outer_id": "web-7",
        "result": "new",
        "number": order.number,
        "reason": "",
        "detail": "",
        "field": "",
    }
    assert answer["Location"] == f"/api/v1/orders/{order.number}"
    assert (order.stage, order.receiver["mobile"]) == (Stage.CAPTURED, "13800138000")
    assert StockPool.objects.get().reserved == 3


@pytest.mark.capability("V12")
def test_a_request_that_cannot_be_met_is_refused_without_a_trace(house: House, caller: Caller) -> None:
    events = OutboxEvent.objects.count()

    answer = caller.post("orders", sent(house, 11, outer_id="web-8"))

    problem = answer.json()
    assert (answer.status_code, answer["Content-Type"]) == (409, "application/problem+json")
    assert (problem["code"], problem["outer_id"]) == ("not_enough_stock", "web-8")
    assert "lines" in problem["fields"]
    assert nothing_was_written()
    assert OutboxEvent.objects.count() == events
    assert StockPool.objects.get().reserved == 0


def test_a_refused_request_is_looked_at_again_with_the_same_key(house: House, caller: Caller) -> None:
    body = sent(house, 10)
    blocking = caller.post("orders", sent(house, 1)).json()["number"]
    refused = caller.post("orders", body, key="mine")
    caller.post(f"orders/{blocking}/cancel", {"reason": "test"})

    taken = caller.post("orders", body, key="mine")

    assert (refused.status_code, taken.status_code) == (409, 201)


def test_a_request_that_contradicts_itself_is_refused_with_the_field(house: House, caller: Caller) -> None:
    answer = caller.post("orders", sent(house, total_amount="10.01"))

    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["reason"]) == (
        400,
        "faulty_order",
        "amount_mismatch",
    )
    assert "total_amount" in problem["fields"]
    assert nothing_was_written()


def test_a_fact_that_contradicts_itself_is_taken_and_held(facts: House) -> None:
    answer = Caller().post("orders", sent(facts, total_amount="10.01"))

    assert answer.status_code == 201
    assert OrderHold.objects.get().kind == "amount"


def test_a_fact_without_stock_is_taken_and_short(facts: House) -> None:
    answer = Caller().post("orders", sent(facts, 11))

    assert answer.status_code == 201
    assert SalesOrder.objects.get().short_lines == 1
    assert Shortage.objects.get().quantity == 11


def test_a_fact_that_nobody_can_place_is_parked_with_its_reason(facts: House) -> None:
    body = sent(facts)
    body["lines"][0]["sku"] = "nobody-knows"

    answer = Caller().post("orders", body)

    parked = ParkedOrder.objects.get()
    assert (answer.status_code, answer.json()["result"], answer.json()["reason"]) == (
        202,
        "parked",
        "unknown_sku",
    )
    assert answer.json()["field"] == "lines[0].sku_code"
    assert parked.outer_id == body["outer_id"]
    assert not SalesOrder.objects.exists()


def test_the_same_order_again_is_the_same_order(house: House, caller: Caller) -> None:
    body = sent(house, 2)
    first = caller.post("orders", body)

    second = caller.post("orders", body)

    assert (second.status_code, second.json()["result"]) == (200, "unchanged")
    assert second.json()["number"] == first.json()["number"]
    assert SalesOrder.objects.count() == ChannelOrderVersion.objects.count() == 1
    assert StockPool.objects.get().reserved == 2


def test_an_order_written_differently_is_still_the_same(house: House, caller: Caller) -> None:
    body = sent(house, 2)
    caller.post("orders", body)
    moment = NOON.replace(tzinfo=None).isoformat() + ".000Z"
    again = {**body, "total_amount": 20, "freight_amount": "0.0", "placed_at": moment}

    answer = caller.post("orders", again)

    assert (answer.status_code, answer.json()["result"]) == (200, "unchanged")


def test_other_content_under_the_same_number_is_a_change_or_stale(house: House, caller: Caller) -> None:
    body = sent(house, 2, modified_at=NOON.isoformat())
    caller.post("orders", body)
    later = (NOON + timedelta(minutes=5)).isoformat()
    before = (NOON - timedelta(minutes=5)).isoformat()

    changed = caller.post("orders", {**body, "seller_memo": "gift", "modified_at": later})
    stale = caller.post("orders", {**body, "seller_memo": "old", "modified_at": before})

    assert (changed.status_code, changed.json()["result"]) == (200, "changed")
    assert (stale.status_code, stale.json()["result"]) == (200, "stale")
    assert SalesOrder.objects.get().seller_memo == "gift"


def test_a_line_may_be_named_by_its_listing(house: House, caller: Caller) -> None:
    listing = ListingFactory.create(shop=house.shop, sku=house.sku)
    body = sent(house)
    del body["lines"][0]["sku"]
    body["lines"][0] |= {"outer_item_id": listing.outer_item_id, "outer_sku_id": listing.outer_sku_id}

    answer = caller.post("orders", body)

    assert answer.status_code == 201
    assert SalesOrder.objects.get().lines.get().sku == house.sku


def test_each_order_of_a_batch_is_answered_for_itself(house: House, caller: Caller) -> None:
    good, known = order_body(house.sku, 4), order_body(house.sku)
    caller.post("orders", {"shop": house.shop.code, **known})
    too_much, unreadable = order_body(house.sku, 7), order_body(house.sku, "2")
    foreign = order_body(house.sku, currency="USD")

    answer = caller.post(
        "orders/batch",
        {"shop": house.shop.code, "orders": [good, too_much, unreadable, known, foreign, "order"]},
    )

    results = answer.json()["results"]
    assert answer.status_code == 200
    assert [result["status"] for result in results] == [201, 409, 400, 200, 400, 400]
    assert [result["outer_id"] for result in results[:5]] == [
        body["outer_id"] for body in (good, too_much, unreadable, known, foreign)
    ]
    assert results[1]["reason"] == "not_enough_stock"
    assert list(results[2]["fields"]) == ["lines[0].quantity"]
    assert list(results[4]["fields"]) == ["currency"]
    assert SalesOrder.objects.count() == 2
    assert StockPool.objects.get().reserved == 5


def test_a_batch_holds_at_most_fifty_orders(house: House, caller: Caller) -> None:
    orders = [order_body(house.sku) for _ in range(51)]

    answer = caller.post("orders/batch", {"shop": house.shop.code, "orders": orders})

    assert (answer.status_code, list(answer.json()["fields"])) == (400, ["orders"])
    assert nothing_was_written()


def test_a_batch_costs_the_same_statements_whatever_its_size(house: House, caller: Caller) -> None:
    counts = []
    # A handful of rows goes in one statement, more go by COPY: from there on the number stays the same.
    for size in (4, 6):
        orders = [order_body(house.sku) for _ in range(size)]
        with CaptureQueriesContext(connection) as queries:
            caller.post("orders/batch", {"shop": house.shop.code, "orders": orders})
        counts.append(len(queries))

    # The first call also notes the use of the key.
    assert counts[1] == counts[0] - 1


def test_a_new_order_costs_few_statements_and_one_commit(house: House, caller: Caller) -> None:
    caller.post("orders", sent(house))  # the key's first use in a minute is noted

    with CaptureQueriesContext(connection) as queries:
        answer = caller.post("orders", sent(house))

    # The test's own transaction is open: the savepoint stands for BEGIN, its release for the one COMMIT.
    begins = [query for query in queries if "SAVEPOINT" in query["sql"] and "RELEASE" not in query["sql"]]
    assert answer.status_code == 201
    assert len(begins) == 1
    assert len(queries) <= 20


def test_an_order_is_cancelled_and_its_stock_is_free_again(house: House, caller: Caller) -> None:
    number = caller.post("orders", sent(house, 3)).json()["number"]

    first = caller.post(f"orders/{number}/cancel", {"reason": "buyer regrets"})
    second = caller.post(f"orders/{number}/cancel", {"reason": "buyer regrets"})

    assert (first.status_code, first.json()["outcome"]) == (200, "cancelled")
    assert (second.status_code, second.json()["outcome"]) == (200, "cancelled")
    assert SalesOrder.objects.get().stage == Stage.CANCELLED
    assert StockPool.objects.get().reserved == 0


def test_a_shipped_order_is_not_cancelled(facts: House) -> None:
    number = Caller().post("orders", sent(facts, state="shipped")).json()["number"]

    answer = Caller().post(f"orders/{number}/cancel", {"reason": "too late"})

    assert (answer.status_code, answer.json()["code"]) == (409, "cannot_cancel")
    assert SalesOrder.objects.get().stage == Stage.SHIPPED


def test_a_parked_order_is_retried_after_its_cause_is_mended(facts: House) -> None:
    caller, body = Caller(), sent(facts)
    body["lines"][0]["outer_item_id"] = "item-1"
    body["lines"][0]["sku"] = ""
    caller.post("orders", body)
    (row,) = caller.get("parked-orders?state=open").json()["results"]
    still = caller.post(f"parked-orders/{row['id']}/retry", None)
    ListingFactory.create(shop=facts.shop, sku=facts.sku, outer_item_id="item-1", outer_sku_id="")

    answer = caller.post(f"parked-orders/{row['id']}/retry", None)
    again = caller.post(f"parked-orders/{row['id']}/retry", None)

    assert (row["reason"], still.status_code) == ("unknown_sku", 202)
    assert (answer.status_code, answer.json()["result"]) == (200, "new")
    assert (again.status_code, again.json()["code"]) == (409, "not_parked")
    assert SalesOrder.objects.get().outer_id == body["outer_id"]


@pytest.mark.capability("P20")
def test_an_order_shows_the_bundle_that_was_sold_and_whole_ones_are_cancelled(
    house: House, caller: Caller
) -> None:
    bundle = make_bundle({house.sku: 2})
    body = order_body(bundle, 3, shop=house.shop.code)
    number = caller.post("orders", body).json()["number"]
    line_id = body["lines"][0]["outer_line_id"]
    some = {"reason": "one too many", "lines": [{"outer_line_id": line_id, "quantity": 1}]}

    cancelled = caller.post(f"orders/{number}/cancel", some, key="k1")
    again = caller.post(f"orders/{number}/cancel", some, key="k1")
    too_many = caller.post(
        f"orders/{number}/cancel",
        {"reason": "all", "lines": [{"outer_line_id": line_id, "quantity": 3}]},
    )
    shown = caller.get(f"orders/{number}").json()

    assert (cancelled.status_code, cancelled.json()["outcome"]) == (200, "cancelled")
    assert again.json() == cancelled.json()
    assert (too_many.status_code, too_many.json()["code"]) == (409, "not_cancellable")
    [line] = shown["lines"]
    assert (line["sku"], line["bundle"], line["bundle_units"]) == (house.sku.code, bundle.code, 2)
    assert (line["quantity"], line["cancelled_quantity"]) == (6, 2)
    [sold] = shown["bundles"]
    assert (sold["sku"], sold["quantity"], sold["outer_line_id"]) == (bundle.code, 3, line_id)


@pytest.mark.capability("P20")
def test_a_sku_says_what_lies_in_it(house: House, caller: Caller) -> None:
    bundle = make_bundle({house.sku: 2}, weights={house.sku: 3})
    ListingFactory.create(shop=house.shop, sku=bundle)

    shown = caller.get(f"skus/{bundle.code}").json()

    assert shown["components"] == [{"sku": house.sku.code, "units": 2, "weight": "3.0000"}]

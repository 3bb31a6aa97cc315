"""Carts hold stock over HTTP, look at it, give it back, and orders take it over."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from inventory.models import StockPool
from inventory.models.holds import StockHold
from orders.models import SalesOrder
from tests.factories.api import Caller, order_body
from tests.factories.orders import House, make_house

pytestmark = [pytest.mark.django_db, pytest.mark.capability("V10")]


@pytest.fixture
def house() -> House:
    return make_house(stock=10, order_policy="request")


@pytest.fixture
def caller(house: House) -> Caller:
    return Caller(house.shop)


def body(house: House, units: int = 4, **values: Any) -> dict[str, Any]:
    told = {"shop": house.shop.code, "key": "cart-7", "buyer": "ann", "minutes": 5}
    return {**told, "lines": [{"sku": house.sku.code, "quantity": units}], **values}


def reserved() -> int:
    return StockPool.objects.get().reserved


def test_a_cart_holds_its_goods_and_asks_again_for_the_same(house: House, caller: Caller) -> None:
    first = caller.post("stock/holds", body(house))
    again = caller.post("stock/holds", body(house))
    shown = caller.get("stock/holds/cart-7")

    assert (first.status_code, again.status_code, shown.status_code) == (201, 200, 200)
    assert first.json() == again.json() == shown.json()
    assert (first.json()["state"], first.json()["lines"]) == (
        "held",
        [{"sku": house.sku.code, "quantity": 4}],
    )
    assert reserved() == 4


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"units": 11}, 409, "hold_limit_reached"),
        ({"minutes": 16}, 400, "hold_too_long"),
        ({"lines": []}, 400, "bad_input"),
        ({"lines": [{"sku": "nothing", "quantity": 1}]}, 400, "bad_input"),
        ({"shop": "nowhere"}, 404, "unknown_shop"),
    ],
)
def test_what_cannot_be_held_is_refused_with_its_reason(
    house: House, caller: Caller, changes: dict[str, Any], status: int, code: str
) -> None:
    answer = caller.post("stock/holds", body(house, **changes))

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer["Content-Type"] == "application/problem+json"
    assert (StockHold.objects.exists(), reserved()) == (False, 0)


def test_what_is_short_and_a_key_that_holds_something_else_are_conflicts(
    house: House, caller: Caller
) -> None:
    caller.post("stock/holds", body(house, 8))

    short = caller.post("stock/holds", body(house, 3, key="cart-8", buyer="bob"))
    other = caller.post("stock/holds", body(house, 7))

    assert (short.status_code, short.json()["code"], short.json()["skus"]) == (
        409,
        "not_enough_stock",
        [house.sku.code],
    )
    assert (other.status_code, other.json()["code"]) == (409, "hold_conflict")
    assert reserved() == 8


def test_a_hold_is_given_back_once_and_not_after_an_order_has_it(house: House, caller: Caller) -> None:
    caller.post("stock/holds", body(house))
    given = caller.post("stock/holds/cart-7/release", {"reason": "the buyer left"})
    again = caller.post("stock/holds/cart-7/release", {})
    caller.post("stock/holds", body(house, key="cart-8"))
    caller.post("orders", {"shop": house.shop.code, **order_body(house.sku, 4, hold="cart-8")})
    late = caller.post("stock/holds/cart-8/release", {})

    assert (given.status_code, given.json()["state"], again.json()["state"]) == (200, "released", "released")
    assert (late.status_code, late.json()["code"], reserved()) == (409, "hold_was_taken", 4)


def test_an_order_takes_over_what_its_cart_held_and_the_answer_says_so(house: House, caller: Caller) -> None:
    caller.post("stock/holds", body(house, 10))
    without = caller.post("orders", {"shop": house.shop.code, **order_body(house.sku, 1)})

    sent = {"shop": house.shop.code, **order_body(house.sku, 10, outer_id="web-1")}
    taken = caller.post("orders", {**sent, "hold": "cart-7"})
    again = caller.post("orders", sent)

    assert (without.status_code, without.json()["code"]) == (409, "not_enough_stock")
    assert (taken.status_code, taken.json()["result"], taken.json()["hold"]) == (201, "new", "taken")
    assert (again.status_code, again.json()["result"]) == (200, "unchanged")
    assert (SalesOrder.objects.count(), reserved()) == (1, 10)


def test_orders_with_a_hold_that_is_over_or_unknown_are_served_as_if_there_were_none(
    house: House, caller: Caller
) -> None:
    caller.post("stock/holds", body(house, 4))
    StockHold.objects.update(
        expires_at=F("expires_at") - timedelta(minutes=6), created_at=F("created_at") - timedelta(minutes=6)
    )

    answers = caller.post(
        "orders/batch",
        {
            "shop": house.shop.code,
            "orders": [
                order_body(house.sku, 3, hold="cart-7"),
                order_body(house.sku, 3, hold="cart-9"),
                order_body(house.sku, 1, hold="cart-7"),
            ],
        },
    )

    rows = answers.json()["results"]
    assert [(row["status"], row["hold"]) for row in rows] == [
        (201, "expired"),
        (201, "unknown"),
        (409, "expired"),
    ]


def test_a_key_for_carts_alone_holds_stock_and_books_none(house: House) -> None:
    caller = Caller(house.shop, scopes=frozenset({"holds:write"}))
    reader = Caller(house.shop, scopes=frozenset({"stock:read", "stock:write"}))

    assert caller.post("stock/holds", body(house)).status_code == 201
    assert caller.post("stock/receipts", {}).status_code == 403
    assert reader.post("stock/holds", body(house, key="cart-8")).status_code == 403
    assert reader.get("stock/holds?state=held").json()["results"][0]["key"] == "cart-7"


def test_another_shops_hold_is_not_there_and_a_key_of_two_shops_needs_the_shop(house: House) -> None:
    other = make_house(stock=10)
    both, stranger = Caller(), Caller(other.shop)
    both.post("stock/holds", body(house))
    assert stranger.get("stock/holds/cart-7").status_code == 404
    assert stranger.post("stock/holds/cart-7/release", {}).status_code == 404

    both.post("stock/holds", body(other))
    unclear = both.get("stock/holds/cart-7")
    clear = both.get(f"stock/holds/cart-7?shop={other.shop.code}")

    assert (unclear.status_code, list(unclear.json()["fields"])) == (400, ["shop"])
    assert clear.json()["shop"] == other.shop.code
    assert StockHold.objects.filter(state="held").count() == 2


def test_the_list_of_holds_takes_the_same_statements_however_many_there_are(
    house: House, caller: Caller, django_assert_num_queries: Any
) -> None:
    caller.post("stock/holds", body(house, 1))
    with django_assert_num_queries(4):
        assert len(caller.get("stock/holds").json()["results"]) == 1
    for number in range(4):
        caller.post("stock/holds", body(house, 1, key=f"cart-1{number}"))

    with django_assert_num_queries(4):
        assert len(caller.get("stock/holds").json()["results"]) == 5

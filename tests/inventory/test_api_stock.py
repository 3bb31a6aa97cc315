"""Stock over HTTP: what lies where, what can be sold, and documents that book once."""

from __future__ import annotations

from decimal import Decimal

import pytest

from inventory.models import ShopPool, StockLevel, StockOperation, StockPool
from tests.factories.api import Caller
from tests.factories.orders import House, make_house

pytestmark = [pytest.mark.django_db, pytest.mark.capability("I3")]


@pytest.fixture
def house() -> House:
    return make_house(stock=10)


@pytest.fixture
def caller() -> Caller:
    return Caller()


def level(house: House) -> StockLevel:
    return StockLevel.objects.get(sku=house.sku, location=house.location, grade="good")


def line(house: House, **values: object) -> dict[str, object]:
    return {"location": house.location.code, "sku": house.sku.code, **values}


def test_what_lies_where_is_told(house: House, caller: Caller) -> None:
    rows = caller.get(f"stock/levels?sku={house.sku.code}").json()["results"]

    assert rows == [
        {
            "sku": house.sku.code,
            "location": house.location.code,
            "owner": "own",
            "grade": "good",
            "on_hand": 10,
            "committed": 0,
            "free": 10,
        }
    ]


def test_each_shop_is_told_its_share(house: House, caller: Caller) -> None:
    ShopPool.objects.filter(shop=house.shop).update(publish_ratio=Decimal("0.5"))
    house.order()

    answer = caller.get(f"stock/sellable?sku={house.sku.code}&shop={house.shop.code}")

    assert answer.json()["results"] == [{"sku": house.sku.code, "shop": house.shop.code, "sellable": 4}]


def test_many_questions_are_answered_in_their_order(house: House, caller: Caller) -> None:
    question = {"sku": house.sku.code, "shop": house.shop.code}

    answer = caller.post(
        "availability", {"items": [{**question, "quantity": 11}, {**question, "quantity": 10}]}
    )

    rows = answer.json()["results"]
    assert answer.status_code == 200
    assert [(row["quantity"], row["sellable"], row["can_be_met"]) for row in rows] == [
        (11, 10, False),
        (10, 10, True),
    ]
    assert rows[0]["locations"] == [{"location": house.location.code, "free": 10}]
    assert StockPool.objects.get(sku=house.sku).reserved == 0


def test_a_receipt_is_booked_once_by_its_number(house: House, caller: Caller) -> None:
    body = {"number": "PO-7", "reason": "delivery", "lines": [line(house, quantity=5)]}

    first = caller.post("stock/receipts", body)
    second = caller.post("stock/receipts", body)
    other = caller.post("stock/receipts", {**body, "lines": [line(house, quantity=6)]})

    assert (first.status_code, first.json()) == (201, {"number": "PO-7", "result": "booked"})
    assert (second.status_code, second.json()) == (200, {"number": "PO-7", "result": "unchanged"})
    assert (other.status_code, other.json()["code"]) == (409, "operation_conflict")
    assert level(house).on_hand == 15


def test_a_count_sets_what_lies_there(house: House, caller: Caller) -> None:
    answer = caller.post("stock/counts", {"number": "C-1", "lines": [line(house, counted=7)]})

    assert answer.status_code == 201
    assert level(house).on_hand == 7


def test_a_count_of_one_place_twice_is_refused(house: House, caller: Caller) -> None:
    lines = [line(house, counted=7), line(house, counted=8)]

    answer = caller.post("stock/counts", {"number": "C-1", "lines": lines})

    assert (answer.status_code, answer.json()["code"]) == (400, "nothing_counted")
    assert level(house).on_hand == 10


def test_an_adjustment_changes_by_the_difference_or_not_at_all(house: House, caller: Caller) -> None:
    lines = [line(house, quantity=-2), line(house, quantity=2, grade="defective")]
    done = caller.post("stock/adjustments", {"number": "A-1", "reason": "broken", "lines": lines})
    before = StockOperation.objects.count()

    too_much = caller.post("stock/adjustments", {"number": "A-2", "lines": [line(house, quantity=-9)]})

    assert done.status_code == 201
    assert (too_much.status_code, too_much.json()["code"]) == (409, "not_on_hand")
    assert level(house).on_hand == 8
    assert StockOperation.objects.count() == before


def test_a_receipt_says_who_booked_it(house: House, caller: Caller) -> None:
    caller.post("stock/receipts", {"number": "PO-8", "lines": [line(house, quantity=1)]})

    operation = StockOperation.objects.get(key="receipt:PO-8")
    assert operation.by.startswith("key:")

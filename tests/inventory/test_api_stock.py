"""Stock over HTTP: what lies where, what can be sold, and documents that book once."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from inventory.models import ShopPool, StockLevel, StockOperation, StockPool
from inventory.receive import StockReceipt, receive_stock
from tests.factories.api import Caller
from tests.factories.inventory import shop_drawing_on
from tests.factories.orders import House, make_house
from tests.factories.products import SkuFactory

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


# --- thousands of SKUs at once ------------------------------------------------------------------------------


def many_skus(house: House, count: int) -> list[str]:
    skus = [SkuFactory.create(spu=house.sku.spu) for _ in range(count)]
    receipts = [StockReceipt(house.location.pk, sku.pk, 3) for sku in skus]
    receive_stock(key=f"many-{count}", receipts=receipts, reason="x", at=timezone.now(), by="test")
    return [sku.code for sku in skus]


@pytest.mark.capability("V11")
def test_what_can_be_sold_of_many_skus_is_told_for_every_shop_of_the_caller(house: House) -> None:
    other = shop_drawing_on(house.location.group)
    make_house(stock=5)  # a shop that draws on nothing of it
    caller, own = Caller(), Caller(other)
    skus = [house.sku.code]

    everywhere = caller.post("availability", {"skus": skus}).json()
    at_own = own.post("availability", {"skus": skus, "by_location": True}).json()
    named = caller.post("availability", {"skus": skus, "shops": [house.shop.code]}).json()

    assert sorted(row["shop"] for row in everywhere["results"]) == sorted([house.shop.code, other.code])
    assert all("locations" not in row for row in everywhere["results"])
    assert at_own["results"] == [
        {
            "sku": house.sku.code,
            "shop": other.code,
            "sellable": 10,
            "locations": [{"location": house.location.code, "free": 10}],
        }
    ]
    assert [row["shop"] for row in named["results"]] == [house.shop.code]
    assert own.post("availability", {"skus": skus, "shops": [house.shop.code]}).status_code == 400


@pytest.mark.capability("V11")
def test_a_question_is_answered_with_what_is_missing_and_a_day_to_come_with_what_is_known(
    house: House, caller: Caller
) -> None:
    question = {"sku": house.sku.code, "shop": house.shop.code, "quantity": 12}
    today = timezone.localdate()
    ask = {
        "items": [
            question,
            {**question, "quantity": 3, "date": str(today)},
            {**question, "date": str(today + timedelta(days=7))},
        ]
    }

    answer = caller.post("availability", ask).json()

    assert [(row["can_be_met"], row["missing"]) for row in answer["results"]] == [
        (False, 2),
        (True, 0),
        (None, None),
    ]
    assert "Only what is there now is known" in answer["note"]
    assert answer["results"][2]["sellable"] == 10
    assert answer["as_of"]
    assert caller.post("availability", {"items": [question]}).json()["note"] == ""


@pytest.mark.capability("V11")
def test_the_statements_do_not_grow_with_the_skus(house: House, caller: Caller) -> None:
    few, lots = many_skus(house, 2), many_skus(house, 60)

    def statements(body: dict[str, object], rows: int) -> int:
        with CaptureQueriesContext(connection) as seen:
            answer = caller.post("availability", body)
        assert len(answer.json()["results"]) == rows
        return len(seen)

    def items(codes: list[str]) -> list[dict[str, object]]:
        return [{"sku": code, "shop": house.shop.code, "quantity": 2} for code in codes]

    statements({"skus": few}, 2)  # the key's use is noted once a minute
    assert statements({"skus": few}, 2) == statements({"skus": lots}, 60)
    assert statements({"items": items(few)}, 2) == statements({"items": items(lots)}, 60)
    where = {"by_location": True}
    assert statements({"skus": few, **where}, 2) == statements({"skus": lots, **where}, 60)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"items": [{"sku": "a", "shop": "b"}], "skus": ["a"]},
        {"items": [{"sku": "a", "shop": "b"}], "shops": ["b"]},
        {"skus": []},
        {"skus": ["nothing"]},
        {"skus": ["a"] * 5001},
    ],
)
def test_a_question_that_asks_nothing_or_too_much_is_refused(
    house: House, caller: Caller, body: dict[str, object]
) -> None:
    assert caller.post("availability", body).status_code == 400

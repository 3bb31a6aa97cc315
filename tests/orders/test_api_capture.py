"""Orders that are sent over HTTP: taken once, refused without a trace, answered the same when asked again."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from inventory.models import Reservation, StockPool
from omni.kernel.models import IdempotencyKey
from orders.models import ChannelOrder, ParkedOrder, SalesOrder
from orders.states import Stage
from tests.factories.api import Caller, order_body
from tests.factories.orders import House, make_house

pytestmark = [pytest.mark.django_db, pytest.mark.capability("O1", "I3")]


@pytest.fixture
def house() -> House:
    """A shop whose orders are requests, with ten units."""
    return make_house(stock=10, order_policy="request")


@pytest.fixture
def caller(house: House) -> Caller:
    return Caller(house.shop)


def sent(house: House, *args: Any, **changes: Any) -> dict[str, Any]:
    return {"shop": house.shop.code, **order_body(house.sku, *args, **changes)}


def nothing_was_written() -> bool:
    rows = (ChannelOrder, SalesOrder, ParkedOrder, Reservation, IdempotencyKey)
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


def test_a_new_order_costs_few_statements_and_one_commit(house: House, caller: Caller) -> None:
    caller.post("orders", sent(house))  # the key's first use in a minute is noted

    with CaptureQueriesContext(connection) as queries:
        answer = caller.post("orders", sent(house))

    assert answer.status_code == 201
    assert len(queries) <= 20

"""The same POST twice has one effect and one answer."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection

from omni.kernel.models import IdempotencyKey
from orders.capture import capture_orders
from orders.models import SalesOrder
from tests.factories.api import Caller, order_body
from tests.factories.orders import House, make_house

pytestmark = [pytest.mark.django_db, pytest.mark.capability("I3")]


@pytest.fixture
def house() -> House:
    return make_house(stock=10, order_policy="request")


def sent(house: House, **changes: Any) -> dict[str, Any]:
    return {"shop": house.shop.code, **order_body(house.sku, **changes)}


def test_the_same_key_and_body_get_the_answer_that_was_given(house: House) -> None:
    caller, body = Caller(), sent(house)
    first = caller.post("orders", body, key="k1")

    second = caller.post("orders", body, key="k1")

    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json() == first.json()
    assert second["Location"] == first["Location"]
    assert (second["Idempotent-Replayed"], "Idempotent-Replayed" in first) == ("true", False)
    assert SalesOrder.objects.count() == 1


def test_a_key_used_for_another_body_is_refused(house: House) -> None:
    caller = Caller()
    caller.post("orders", sent(house), key="k1")

    answer = caller.post("orders", sent(house), key="k1")

    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert SalesOrder.objects.count() == 1


def test_a_key_used_for_another_address_is_refused(house: House) -> None:
    caller, body = Caller(), order_body(house.sku)
    caller.post("orders", {"shop": house.shop.code, **body}, key="k1")

    answer = caller.post("orders/batch", {"shop": house.shop.code, "orders": [body]}, key="k1")

    assert answer.status_code == 422


def test_keys_of_different_callers_do_not_meet(house: House) -> None:
    Caller().post("orders", sent(house), key="k1")

    answer = Caller().post("orders", sent(house), key="k1")

    assert answer.status_code == 201
    assert SalesOrder.objects.count() == 2


@pytest.mark.parametrize("key", [None, "", "a b", "k" * 201, "schlüssel"])
def test_without_a_usable_key_nothing_happens(house: House, key: str | None) -> None:
    caller = Caller()
    headers = {} if key is None else {"Idempotency-Key": key}

    answer = caller.client.post(
        "/api/v1/orders", sent(house), content_type="application/json", headers=headers
    )

    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_missing")
    assert not SalesOrder.objects.exists()


def test_a_key_of_200_characters_is_fine(house: House) -> None:
    assert Caller().post("orders", sent(house), key="k" * 200).status_code == 201


@pytest.mark.django_db(transaction=True)
def test_the_same_post_at_the_same_moment_happens_once(house: House) -> None:
    caller, body = Caller(), sent(house)
    answers: list[Any] = []
    barrier = threading.Barrier(6)

    def post() -> None:
        barrier.wait()
        try:
            answers.append(caller.post("orders", body, key="k1"))
        finally:
            connection.close()

    threads = [threading.Thread(target=post) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [answer.status_code for answer in answers] == [201] * 6
    assert all(answer.json() == answers[0].json() for answer in answers)
    assert sum("Idempotent-Replayed" not in answer for answer in answers) == 1
    assert SalesOrder.objects.count() == IdempotencyKey.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_key_that_is_being_worked_on_is_a_conflict(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    caller, body = Caller(), sent(house)
    began, may_end = threading.Event(), threading.Event()

    def slow(**how: Any) -> Any:
        began.set()
        may_end.wait(20)
        return capture_orders(**how)

    monkeypatch.setattr("orders.api.views.capture_orders", slow)
    answers: list[Any] = []

    def post() -> None:
        try:
            answers.append(caller.post("orders", body, key="k1"))
        finally:
            connection.close()

    thread = threading.Thread(target=post)
    thread.start()
    began.wait(20)
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '100ms'")
    try:
        conflict = caller.post("orders", body, key="k1")
    finally:
        may_end.set()
        thread.join()
        with connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")

    assert (conflict.status_code, conflict.json()["code"]) == (409, "in_progress")
    assert [answer.status_code for answer in answers] == [201]
    assert SalesOrder.objects.count() == 1

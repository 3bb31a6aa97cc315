"""Parked orders are tried again while their channel is pulled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, connections, transaction

from orders import retry
from orders.capture import capture_orders
from orders.draft import OrderDraft
from orders.draft_json import draft_from_json
from orders.models import ParkedOrder, SalesOrder
from orders.park import dismiss_parked
from orders.retry import retry_parked
from tests.factories.orders import NOON, House, line_draft, make_house, order_draft
from tests.factories.products import SkuFactory

pytestmark = pytest.mark.django_db(transaction=True)
BY: dict[str, Any] = {"at": NOON, "by": "user:7"}


@pytest.fixture
def house() -> House:
    return make_house(stock=10)


@pytest.fixture
def drafts(house: House) -> list[OrderDraft]:
    """Two orders that were parked for a SKU which has a code by now."""
    drafts = [order_draft(line_draft(house.sku, sku_code="late-sku")) for _ in range(2)]
    house.take(*drafts)
    SkuFactory.create(code="late-sku")
    return drafts


def beside(act: Callable[[], object]) -> tuple[threading.Thread, list[BaseException]]:
    """Run the act in a thread with a connection of its own; the thread, and what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except Exception as error:
            raised.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, raised


def wait_until_somebody_waits() -> None:
    """Until a connection of this database waits for a lock, or has had time enough to."""
    for _ in range(40):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if cursor.fetchone()[0]:
                return
        time.sleep(0.02)


def test_a_retry_and_a_pull_of_the_same_order_do_not_deadlock(
    house: House, drafts: list[OrderDraft], monkeypatch: pytest.MonkeyPatch
) -> None:
    read_draft = draft_from_json
    has_begun = threading.Event()

    def read_slowly(raw: dict[str, Any]) -> OrderDraft:
        """As slow as a pull needs to store the order and to come to what is parked of it."""
        has_begun.set()
        wait_until_somebody_waits()
        return read_draft(raw)

    monkeypatch.setattr(retry, "draft_from_json", read_slowly)
    parked = ParkedOrder.objects.get(outer_id=drafts[0].outer_id)
    retrying, raised = beside(lambda: retry_parked(parked_ids=[parked.pk], **BY))
    has_begun.wait(5)

    house.take(drafts[0])
    retrying.join(20)

    parked.refresh_from_db()
    assert raised == []
    assert parked.state == ParkedOrder.State.TAKEN
    assert SalesOrder.objects.get().outer_id == drafts[0].outer_id


def test_a_retry_of_many_takes_each_for_itself_and_does_not_deadlock_with_a_pull_of_them(
    house: House, drafts: list[OrderDraft], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One transaction for all of them would hold the stock of the first while it waits for the second order."""
    parked = list(ParkedOrder.objects.order_by("pk"))
    capture = capture_orders
    has_captured_one, is_held = threading.Event(), threading.Event()

    def capture_and_wait(**wanted: Any) -> Any:
        captured = capture(**wanted)
        if not has_captured_one.is_set():
            has_captured_one.set()
            is_held.wait(5)
        return captured

    monkeypatch.setattr(retry, "capture_orders", capture_and_wait)
    retrying, raised = beside(lambda: retry_parked(parked_ids=[row.pk for row in parked], **BY))
    has_captured_one.wait(5)

    def pull() -> None:
        with transaction.atomic():
            house.take(drafts[1])

    pulling, refused = beside(pull)
    wait_until_somebody_waits()
    is_held.set()
    retrying.join(20)
    pulling.join(20)

    assert (raised, refused) == ([], [])
    assert set(ParkedOrder.objects.values_list("state", flat=True)) == {ParkedOrder.State.TAKEN}
    assert SalesOrder.objects.count() == 2


def test_what_is_dismissed_while_it_is_captured_stays_dismissed_and_becomes_no_order(
    house: House, drafts: list[OrderDraft], monkeypatch: pytest.MonkeyPatch
) -> None:
    parked = ParkedOrder.objects.get(outer_id=drafts[0].outer_id)
    read_draft = draft_from_json

    def read_late(raw: dict[str, Any]) -> OrderDraft:
        dismissing, _raised = beside(
            lambda: dismiss_parked(parked_ids=[parked.pk], note="a test order", **BY)
        )
        dismissing.join(5)
        return read_draft(raw)

    monkeypatch.setattr(retry, "draft_from_json", read_late)

    results = retry_parked(parked_ids=[parked.pk], **BY)

    parked.refresh_from_db()
    assert (results, parked.state) == ({}, ParkedOrder.State.DISMISSED)
    assert not SalesOrder.objects.exists()

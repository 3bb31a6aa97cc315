"""The doctor finds what is broken, in one snapshot, and says so to people and to machines."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError
from django.utils import timezone

from inventory.models import StockPool
from omni.kernel.checks import Check
from omni.kernel.models import IdempotencyKey, OutboxEvent
from omni.management.commands import doctor
from tests.factories.orders import make_house

pytestmark = pytest.mark.django_db(transaction=True)


def ask(*arguments: str) -> tuple[int, str]:
    """The exit code and what was printed."""
    out = StringIO()
    try:
        call_command("doctor", *arguments, stdout=out)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


def test_a_house_in_order_is_healthy() -> None:
    house = make_house(stock=5)
    house.order()

    code, text = ask("--json")

    report = json.loads(text)
    assert (code, report["ok"], report["broken"]) == (0, True, 0)
    assert {check["code"] for check in report["checks"]} == {check.code for check in doctor.CHECKS}
    assert len({check.code for check in doctor.CHECKS}) == len(doctor.CHECKS)


def test_a_total_that_disagrees_is_shown_with_its_row() -> None:
    house = make_house(stock=5)
    StockPool.objects.filter(sku=house.sku).update(reserved=2)

    code, text = ask()

    assert code == 1
    assert "broken  stock.reserved_equals_reservations" in text
    assert "reserved=2" in text
    assert "ok  orders.one_order_per_channel_order" in text


def test_events_left_lying_and_dead_letters_are_found() -> None:
    long_ago = timezone.now() - timedelta(minutes=6)
    late = OutboxEvent.objects.create(kind="orders.OrdersCaptured", payload={}, not_before=long_ago)
    dead = OutboxEvent.objects.create(kind="orders.OrdersCaptured", payload={}, state="dead", attempts=12)

    code, text = ask("--json", "--only", "outbox")

    found = {check["code"]: [row["event"] for row in check["rows"]] for check in json.loads(text)["checks"]}
    assert code == 1
    assert found == {"outbox.handed_on_in_time": [late.pk], "outbox.no_dead_letters": [dead.pk]}


def test_an_idempotency_key_without_its_answer_is_found() -> None:
    IdempotencyKey.objects.create(principal="key:1", key="a", fingerprint="f", status=0, body="")
    IdempotencyKey.objects.create(principal="key:1", key="b", fingerprint="f", status=200, body={})
    IdempotencyKey.objects.filter(key="b").update(created_at=timezone.now() - timedelta(days=10))

    code, text = ask("--json", "--only", "idempotency")

    found = {check["code"]: len(check["rows"]) for check in json.loads(text)["checks"]}
    assert code == 1
    assert found == {
        "idempotency.every_key_has_its_answer": 1,
        "idempotency.answers_are_forgotten": 1,
    }


def test_the_checks_see_one_moment_and_can_write_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(limit: int) -> list[dict[str, Any]]:
        OutboxEvent.objects.create(kind="x", payload={})
        return []

    monkeypatch.setattr(doctor, "CHECKS", (Check("a.writes", "It writes.", write),))

    with pytest.raises(DatabaseError, match="read-only transaction"):
        ask()

    assert not OutboxEvent.objects.exists()


def test_a_check_that_does_not_exist_is_refused() -> None:
    with pytest.raises(CommandError, match="no such check"):
        ask("--only", "weather")

"""Two that add up the same day at once."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from inventory.models.allocation import DailyDemand
from inventory.quota import roll_up
from inventory.quota.roll_up import roll_up_demand
from inventory.reserve import reserve_stock
from tests.factories.inventory import Scene
from tests.inventory.races import THREADS, must_break, run_together

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.capability("V6")]

NOON = datetime(2026, 3, 10, 4, tzinfo=UTC)


def eight_ask_and_add_up() -> None:
    scene = Scene(units=THREADS)

    def ask_and_add_up() -> None:
        reserve_stock(wanted=[scene.demand(1)], at=NOON, by="test")
        roll_up_demand(at=NOON)

    run_together([ask_and_add_up] * THREADS)

    # Whoever added up last came after everybody had asked.
    assert DailyDemand.objects.get(sku=scene.sku).units == THREADS


@pytest.fixture(autouse=True)
def writing_takes_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between what a statement reads and what it writes there is time, on a large table more than on this one."""
    slow = roll_up.ROLL_UP.replace(
        "FROM wanted ORDER BY", "FROM wanted CROSS JOIN (SELECT pg_sleep(random() * 0.1)) slow ORDER BY"
    )
    assert slow != roll_up.ROLL_UP
    monkeypatch.setattr(roll_up, "ROLL_UP", slow)


def test_whoever_adds_up_last_has_seen_all_that_was_asked() -> None:
    eight_ask_and_add_up()


@pytest.mark.usefixtures("broken_on_purpose")
def test_without_the_lock_an_older_sum_replaces_a_newer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roll_up, "ONE_AT_A_TIME", "SELECT %s")

    must_break(eight_ask_and_add_up)

"""What must hold of differences and alerts is broken by hand, and its check must name it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from inventory.drift import CHECKS
from inventory.models import AlertRule, StockAlert, StockChange, StockComparison, StockDifference, StockWatch
from inventory.network.compare import compare_stock
from inventory.network.decide import book_theirs
from inventory.supply.watch import watch_stock
from tests.factories.inventory import Scene, put_stock

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("broken_on_purpose")]


def broken() -> set[str]:
    return {check.code for check in CHECKS if check.find(5)}


@pytest.fixture
def difference() -> StockDifference:
    scene = Scene(20)
    at = timezone.now()
    compare_stock(
        location_id=scene.location.pk,
        figures={(scene.sku.pk, "good"): 17},
        basis="gross",
        cut_off_at=at,
        source="ERP",
        is_complete=False,
        at=at,
        by="test",
    )
    assert broken() == set()
    return StockDifference.objects.get()


@pytest.mark.capability("V19")
def test_a_difference_whose_compare_said_something_else(difference: StockDifference) -> None:
    StockDifference.objects.update(cut_off_at=timezone.now() + timedelta(hours=1))

    assert broken() == {"compares.differences_are_founded"}


@pytest.mark.capability("V19")
def test_a_difference_that_is_none_and_stays_open(difference: StockDifference) -> None:
    StockDifference.objects.update(theirs=20)

    assert broken() == {"compares.open_differences_differ"}


@pytest.mark.capability("V19")
def test_a_difference_that_was_called_booked_and_moved_nothing(difference: StockDifference) -> None:
    StockDifference.objects.update(state="booked")

    assert broken() == {"compares.booked_is_what_moved"}


@pytest.mark.capability("V19")
def test_a_booked_difference_is_what_the_ledger_says(difference: StockDifference) -> None:
    book_theirs(difference_ids=[difference.pk], reason="counted", at=timezone.now(), by="test")
    assert broken() == set()

    StockDifference.objects.update(theirs=16)

    assert broken() == {"compares.booked_is_what_moved"}


@pytest.mark.capability("V19")
def test_compares_that_overtook_one_another(difference: StockDifference) -> None:
    StockComparison.objects.create(
        location=difference.location,
        source="ERP",
        basis="gross",
        cut_off_at=timezone.now() - timedelta(days=1),
        by="test",
    )

    assert broken() == {"compares.in_order"}


@pytest.fixture
def alert() -> StockAlert:
    scene = Scene(5)
    AlertRule.objects.create(group=scene.location.group, units=10)
    watch_stock(sku_ids=None, at=timezone.now())
    put_stock(scene.location, scene.sku, 10)
    assert broken() == set()
    return StockAlert.objects.get()


@pytest.mark.capability("V14")
def test_an_alert_that_nobody_closed_although_nothing_is_left_to_be_looked_at(alert: StockAlert) -> None:
    StockWatch.objects.create(sku=alert.sku)
    StockChange.objects.all().delete()
    assert broken() == set()

    StockWatch.objects.all().delete()

    assert broken() == {"alerts.open_means_too_little"}


@pytest.mark.capability("V14")
def test_an_alert_whose_lowest_number_is_not_the_lowest(alert: StockAlert) -> None:
    StockAlert.objects.update(lowest=9)

    assert broken() == {"alerts.numbers_fit_together"}


@pytest.mark.capability("V14")
def test_a_change_that_nobody_looks_at(alert: StockAlert) -> None:
    StockWatch.objects.create(sku=alert.sku, at=timezone.now() - timedelta(minutes=11))

    assert broken() == {"alerts.changes_are_watched"}

"""Two compares of one location at once: one after the other, and never the older over the newer."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from django.conf import LazySettings
from django.utils import timezone

from inventory.models import StockComparison, StockDifference
from inventory.network import compare
from inventory.network.compare import OlderThanTheNewest, compare_stock
from tests.factories.inventory import Scene
from tests.inventory.races import drift, must_break, run_together

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.capability("V19")]


@pytest.fixture(autouse=True)
def quiet_doorbell(settings: LazySettings) -> None:
    settings.OMNI_DOORBELL = False


def compares_race() -> None:
    """Sixteen at once, each as of another moment: those that came in order count, and the difference is one row."""
    scene = Scene(100)
    now = timezone.now()

    def one(minutes: int) -> bool:
        try:
            compare_stock(
                location_id=scene.location.pk,
                figures={(scene.sku.pk, "good"): 100 - minutes},
                basis="gross",
                cut_off_at=now + timedelta(minutes=minutes),
                source="a race",
                is_complete=False,
                at=now + timedelta(hours=1),
                by="test",
            )
        except OlderThanTheNewest:
            return False
        return True

    made = run_together([partial(one, minutes) for minutes in range(1, 17)])

    cut_offs = list(
        StockComparison.objects.filter(location=scene.location)
        .order_by("pk")
        .values_list("cut_off_at", flat=True)
    )
    difference = StockDifference.objects.get(location=scene.location)
    assert cut_offs == sorted(cut_offs)
    assert len(cut_offs) == sum(made) == difference.times
    assert difference.cut_off_at == max(cut_offs)
    assert drift() == []


def numbers_race() -> None:
    """The same number eight times at once is compared once."""
    scene = Scene(100)
    now = timezone.now()

    def one() -> int:
        return compare_stock(
            location_id=scene.location.pk,
            figures={(scene.sku.pk, "good"): 97},
            basis="gross",
            cut_off_at=now,
            source="a race",
            is_complete=False,
            external_number=f"ERP-{scene.sku.pk}",
            at=now,
            by="test",
        ).pk

    made = run_together([one] * 8)

    assert len(set(made)) == 1
    assert StockDifference.objects.get(location=scene.location).times == 1


def test_compares_of_one_location_follow_one_another() -> None:
    compares_race()


def test_the_same_number_at_once_is_one_compare() -> None:
    numbers_race()


@pytest.mark.usefixtures("broken_on_purpose")
def test_mutant_without_the_lock_of_the_location_the_order_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "ONE_COMPARE", "SELECT %s::int")

    must_break(compares_race)
    must_break(numbers_race)

"""New supply goes to the lines that are owed some of it."""

from __future__ import annotations

import pytest
from django.utils import timezone

from inventory.fill import fill_shortages
from inventory.models import Shortage
from inventory.tasks import fill_open_shortages
from omni.kernel.models import OutboxEvent
from tests.factories.inventory import Scene, parts_of, put_stock

pytestmark = pytest.mark.django_db


@pytest.mark.capability("V10")
def test_the_oldest_line_is_served_first_and_only_whole() -> None:
    scene = Scene()
    first, second, third = scene.demand(2), scene.demand(5), scene.demand(2)
    for demand in (first, second, third):
        scene.reserve(demand)
    put_stock(scene.location, scene.sku, 4)

    filled = fill_shortages(sku_ids=[scene.sku.pk], at=timezone.now(), by="test")

    assert filled == [first.line_key, third.line_key]
    assert parts_of(first.line_key) == [(0, 2, "held")]
    assert parts_of(second.line_key) == []
    assert list(Shortage.objects.filter(state="open").values_list("line_key", flat=True)) == [second.line_key]
    event = OutboxEvent.objects.get(kind="inventory.ShortagesFilled")
    assert event.payload["line_keys"] == [str(first.line_key), str(third.line_key)]


def test_filling_again_changes_nothing() -> None:
    scene = Scene()
    demand = scene.demand(2)
    scene.reserve(demand)
    put_stock(scene.location, scene.sku, 10)
    fill_shortages(sku_ids=[scene.sku.pk], at=timezone.now(), by="test")

    filled = fill_shortages(sku_ids=[scene.sku.pk], at=timezone.now(), by="test")

    assert filled == []
    assert parts_of(demand.line_key) == [(0, 2, "held")]


def test_a_line_that_was_cancelled_is_not_filled() -> None:
    scene = Scene()
    demand = scene.demand(2)
    scene.reserve(demand)
    scene.release(demand.line_key)
    put_stock(scene.location, scene.sku, 10)

    filled = fill_shortages(sku_ids=[scene.sku.pk], at=timezone.now(), by="test")

    assert filled == []
    assert scene.pool().reserved == 0


def test_the_sweep_finds_by_itself_what_can_be_filled() -> None:
    scene, other = Scene(), Scene()
    demand, hopeless = scene.demand(2), other.demand(2)
    scene.reserve(demand)
    other.reserve(hopeless)
    put_stock(scene.location, scene.sku, 2)
    put_stock(other.location, other.sku, 1)

    fill_open_shortages()

    assert parts_of(demand.line_key) == [(0, 2, "held")]
    assert parts_of(hopeless.line_key) == []

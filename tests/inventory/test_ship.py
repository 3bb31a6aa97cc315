"""Units that leave: the whole path of a promise, and what may not leave."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.utils import timezone

from inventory.models import StockMovement
from inventory.ship import NotCommitted, ShippedPart, ship_stock
from tests.factories.inventory import Scene, parts_of

pytestmark = pytest.mark.django_db


@pytest.mark.capability("V10", "V11")
def test_a_promise_is_committed_shipped_and_gone() -> None:
    scene = Scene(10)
    key = scene.promise(3)

    is_committed = scene.commit(key, 3)
    scene.ship(key, 3)

    assert is_committed
    assert parts_of(key) == [(0, 3, "shipped")]
    assert (scene.level.on_hand, scene.level.committed) == (7, 0)
    assert (scene.pool().granted, scene.pool().reserved) == (7, 0)
    assert StockMovement.objects.filter(kind="ship", document="SH1").count() == 2


def test_what_left_becomes_a_part_of_its_own_and_the_rest_keeps_its_number() -> None:
    scene = Scene(10)
    key = scene.promise(5)
    scene.commit(key, 5)

    scene.ship(key, 2)

    assert parts_of(key) == [(0, 3, "committed"), (1, 2, "shipped")]
    assert (scene.level.on_hand, scene.level.committed) == (8, 3)


def test_more_cannot_leave_than_was_committed() -> None:
    scene = Scene(10)
    committed, held = scene.promise(2), scene.promise(2)
    scene.commit(committed, 2)
    good = ShippedPart(committed, 0, 1)

    for wrong in (ShippedPart(committed, 0, 3), ShippedPart(held, 0, 1), ShippedPart(uuid4(), 0, 1)):
        with pytest.raises(NotCommitted):
            ship_stock(shipped=[good, wrong], document="SH1", at=timezone.now(), by="test")

    assert (scene.level.on_hand, scene.level.committed) == (10, 2)
    assert not StockMovement.objects.filter(kind="ship").exists()


def test_a_part_leaves_once_and_is_not_freed_afterwards() -> None:
    scene = Scene(10)
    key = scene.promise(2)
    scene.commit(key, 2)
    scene.ship(key, 2)

    with pytest.raises(NotCommitted):
        scene.ship(key, 2)
    freed = scene.release(key)

    assert freed == 0
    assert scene.level.on_hand == 8

"""How a group's free units are spread over its pools."""

from __future__ import annotations

import pytest
from django.utils import timezone

from inventory.book import OperationConflict, UnknownPlace
from inventory.models import StockMovement, StockPool
from inventory.pools import (
    NegativeTarget,
    NotFree,
    NothingMoved,
    PoolMove,
    PoolsDiffer,
    move_between_pools,
    set_safety_stock,
)
from omni.kernel.models import AuditEntry
from tests.factories.inventory import Scene

pytestmark = [pytest.mark.django_db, pytest.mark.capability("V9")]


def keep_safe(scene: Scene, target: int) -> None:
    set_safety_stock(
        group_id=scene.location.group_id,
        targets={scene.sku.pk: target},
        at=timezone.now(),
        by="user:7",
        reason="festival",
    )


def move(key: str, *moves: PoolMove) -> bool:
    return move_between_pools(key=key, moves=moves, at=timezone.now(), by="test", reason="")


def test_safety_stock_is_taken_from_what_is_free_and_no_promise_is_broken() -> None:
    scene = Scene(10)
    scene.promise(7)

    keep_safe(scene, 5)

    assert (scene.pool("safety").granted, scene.pool().granted, scene.pool().reserved) == (3, 7, 7)
    [outcome] = scene.reserve(scene.demand(1))
    assert outcome.reserved == 0


def test_a_lower_target_gives_units_back_and_the_act_is_written_down() -> None:
    scene = Scene(10)
    keep_safe(scene, 5)

    keep_safe(scene, 1)
    keep_safe(scene, 1)

    assert (scene.pool("safety").granted, scene.pool().granted) == (1, 9)
    assert StockMovement.objects.filter(kind="regrant").count() == 2
    assert AuditEntry.objects.filter(action="set_safety_stock", by="user:7", reason="festival").count() == 3


def test_a_safety_stock_is_not_negative_and_of_something_that_exists() -> None:
    scene = Scene(10)

    with pytest.raises(NegativeTarget):
        keep_safe(scene, -1)
    with pytest.raises(UnknownPlace):
        set_safety_stock(
            group_id=scene.location.group_id, targets={0: 5}, at=timezone.now(), by="test", reason=""
        )
    with pytest.raises(UnknownPlace):
        set_safety_stock(group_id=0, targets={scene.sku.pk: 5}, at=timezone.now(), by="test", reason="")

    assert not StockPool.objects.filter(kind="safety").exists()


def test_a_move_is_made_once_and_not_beyond_what_is_free() -> None:
    scene = Scene(10)
    quota = StockPool.objects.create(group=scene.location.group, sku=scene.sku, kind="quota", label="A")
    scene.promise(4)
    shared = scene.pool().pk

    move("m1", PoolMove(shared, quota.pk, 5))
    again = move("m1", PoolMove(shared, quota.pk, 5))
    with pytest.raises(NotFree):
        move("m2", PoolMove(shared, quota.pk, 1), PoolMove(shared, quota.pk, 1))
    with pytest.raises(OperationConflict):
        move("m1", PoolMove(shared, quota.pk, 4))

    assert again is False
    assert (scene.pool().granted, scene.pool("quota").granted) == (5, 5)


def test_units_do_not_change_their_sku_or_group_by_a_move() -> None:
    scene, other = Scene(10), Scene(10)

    with pytest.raises(PoolsDiffer):
        move("m1", PoolMove(scene.pool().pk, other.pool().pk, 1))
    with pytest.raises(PoolsDiffer):
        move("m1", PoolMove(scene.pool().pk, 0, 1))
    with pytest.raises(NothingMoved):
        move("m1", PoolMove(scene.pool().pk, scene.pool().pk, 1))

    assert (scene.pool().granted, other.pool().granted) == (10, 10)

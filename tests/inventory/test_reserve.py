"""Promising stock, and taking promises back."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from inventory.models import Reservation, ShopPool, Shortage, StockChange, StockMovement, StockPool
from inventory.models.stock import PoolKind
from inventory.pools import PoolMove, move_between_pools
from inventory.reserve import Demand, NothingDemanded, Outcome, Release, release_stock, reserve_stock
from tests.factories.inventory import (
    LocationFactory,
    Scene,
    ShopPoolFactory,
    parts_of,
    put_stock,
    shop_drawing_on,
)
from tests.factories.products import ShopFactory, SkuFactory

pytestmark = pytest.mark.django_db


@pytest.mark.capability("V10")
def test_each_demand_gets_all_or_nothing_and_outcomes_come_in_the_order_asked() -> None:
    scene = Scene(5)
    small, large, rest = scene.demand(3), scene.demand(4), scene.demand(2)

    outcomes = scene.reserve(small, large, rest)

    assert outcomes == [
        Outcome(small.line_key, 3, 0, is_repeat=False),
        Outcome(large.line_key, 0, 4, is_repeat=False),
        Outcome(rest.line_key, 2, 0, is_repeat=False),
    ]
    assert scene.pool().reserved == 5
    assert Shortage.objects.values_list("line_key", "quantity", "reason", "state").get() == (
        large.line_key,
        4,
        "no_stock",
        "open",
    )


def test_two_lines_of_one_sku_in_a_batch_share_what_is_left() -> None:
    """Medusa #16502: each line of a batch was checked alone against the same last unit."""
    scene = Scene(1)

    outcomes = scene.reserve(scene.demand(1), scene.demand(1))

    assert [outcome.reserved for outcome in outcomes] == [1, 0]
    assert scene.pool().reserved == 1


@pytest.mark.capability("V10")
def test_asking_twice_promises_once() -> None:
    scene = Scene(10)
    demand = scene.demand(4)
    scene.reserve(demand)

    again = scene.reserve(demand, demand)

    assert again == [Outcome(demand.line_key, 4, 0, is_repeat=True)] * 2
    assert parts_of(demand.line_key) == [(0, 4, "held")]
    assert StockMovement.objects.filter(kind="reserve").count() == 1


def test_a_line_named_twice_in_one_batch_is_promised_once() -> None:
    scene = Scene(10)
    demand = scene.demand(4)

    outcomes = scene.reserve(demand, demand)

    assert [outcome.is_repeat for outcome in outcomes] == [False, True]
    assert scene.pool().reserved == 4


def test_a_shipped_line_is_not_promised_again() -> None:
    scene = Scene(10)
    demand = scene.demand(4)
    scene.reserve(demand)
    scene.commit(demand.line_key, 4)
    scene.ship(demand.line_key, 4)

    [outcome] = scene.reserve(demand)

    assert outcome == Outcome(demand.line_key, 4, 0, is_repeat=True)
    assert scene.pool().reserved == 0


def test_asking_for_more_than_the_line_holds_says_what_is_missing() -> None:
    scene = Scene(10)
    demand = scene.demand(2)
    scene.reserve(demand)

    [outcome] = scene.reserve(scene.demand(5, key=demand.line_key))

    assert outcome == Outcome(demand.line_key, 2, 3, is_repeat=True)
    assert parts_of(demand.line_key) == [(0, 2, "held")]


@pytest.mark.capability("V9")
def test_a_shop_draws_on_its_pools_in_their_order_and_one_line_on_several() -> None:
    near, far, sku = LocationFactory.create(), LocationFactory.create(), SkuFactory.create()
    shop = shop_drawing_on(near.group, far.group)
    put_stock(near, sku, 2)
    put_stock(far, sku, 5)
    key = uuid4()

    [outcome] = reserve_stock(wanted=[Demand(key, shop.pk, sku.pk, 3)], at=timezone.now(), by="test")

    assert outcome.reserved == 3
    pools = {pool.group_id: pool.reserved for pool in StockPool.objects.all()}
    assert pools == {near.group_id: 2, far.group_id: 1}
    assert parts_of(key) == [(0, 2, "held"), (1, 1, "held")]


@pytest.mark.capability("V9")
def test_a_skus_own_rows_replace_the_shops_general_ones() -> None:
    """A shop can be kept to its quota: the shared pool is closed to it for this SKU."""
    scene = Scene(10)
    quota = StockPool.objects.create(group=scene.location.group, sku=scene.sku, kind="quota", label="A")
    ShopPoolFactory.create(
        shop=scene.shop, group=scene.location.group, kind="quota", label="A", sku=scene.sku
    )
    moves = [PoolMove(scene.pool().pk, quota.pk, 3)]
    move_between_pools(key="m1", moves=moves, at=timezone.now(), by="test", reason="")

    outcomes = scene.reserve(scene.demand(3), scene.demand(1))

    assert [outcome.reserved for outcome in outcomes] == [3, 0]
    assert (scene.pool("quota").reserved, scene.pool().reserved) == (3, 0)


@pytest.mark.parametrize(("starts_in", "ends_in", "is_open"), [(-1, 1, True), (1, 2, False), (-2, 0, False)])
def test_a_pool_is_drawn_on_only_while_it_is_open(starts_in: int, ends_in: int, *, is_open: bool) -> None:
    scene = Scene(10)
    now = timezone.now()
    StockPool.objects.update(starts_at=now + timedelta(days=starts_in), ends_at=now + timedelta(days=ends_in))

    demand = scene.demand(1)
    [outcome] = reserve_stock(wanted=[demand], at=now, by="test")

    assert bool(outcome.reserved) is is_open


def test_a_shop_without_pools_and_a_sku_never_received_fall_short_for_different_reasons() -> None:
    scene = Scene(10)
    stranger, unknown = ShopFactory.create(), SkuFactory.create()
    demands = [
        Demand(uuid4(), stranger.pk, scene.sku.pk, 1),
        Demand(uuid4(), scene.shop.pk, unknown.pk, 1),
    ]

    reserve_stock(wanted=demands, at=timezone.now(), by="test")

    reasons = dict(Shortage.objects.values_list("line_key", "reason"))
    assert [reasons[demand.line_key] for demand in demands] == ["no_pool", "no_stock"]


@pytest.mark.usefixtures("broken_on_purpose")
def test_nobody_sells_from_safety_stock() -> None:
    """Even if a row got past its constraint: the statement itself leaves this kind out."""
    scene = Scene(10)
    target = StockPool.objects.create(group=scene.location.group, sku=scene.sku, kind=PoolKind.SAFETY)
    moves = [PoolMove(scene.pool().pk, target.pk, 10)]
    move_between_pools(key="m1", moves=moves, at=timezone.now(), by="test", reason="")
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE inventory_shoppool DROP CONSTRAINT nobody_sells_safety_stock")
    ShopPool.objects.update(kind=PoolKind.SAFETY)

    [outcome] = scene.reserve(scene.demand(1))

    assert outcome.reserved == 0


@pytest.mark.capability("V10")
def test_an_order_that_may_be_refused_stands_or_falls_as_one_and_leaves_no_trace() -> None:
    scene = Scene(5)
    first = [scene.demand(3, together=1), scene.demand(3, together=1)]
    second = scene.demand(5, together=2)

    outcomes = scene.reserve(*first, second, refuse_short=True)

    assert [(outcome.reserved, outcome.missing) for outcome in outcomes] == [(0, 0), (0, 3), (5, 0)]
    assert not Shortage.objects.exists()
    assert Reservation.objects.count() == StockMovement.objects.filter(kind="reserve").count() == 1


def test_a_line_that_was_short_and_is_asked_for_again_is_promised_and_owed_no_more() -> None:
    scene = Scene()
    demand = scene.demand(2)
    scene.reserve(demand)
    put_stock(scene.location, scene.sku, 2)

    [outcome] = scene.reserve(demand)

    assert outcome == Outcome(demand.line_key, 2, 0, is_repeat=False)
    assert Shortage.objects.get().state == Shortage.State.FILLED


def test_a_line_that_stays_short_is_owed_once() -> None:
    scene = Scene()
    demand = scene.demand(2)
    scene.reserve(demand)

    scene.reserve(scene.demand(3, key=demand.line_key))

    assert Shortage.objects.values_list("quantity", "state").get() == (3, "open")


@pytest.mark.parametrize("quantity", [0, -1])
def test_nothing_cannot_be_demanded(quantity: int) -> None:
    scene = Scene(5)

    with pytest.raises(NothingDemanded):
        scene.reserve(scene.demand(1), scene.demand(quantity))

    assert not Reservation.objects.exists()
    assert scene.pool().reserved == 0


def test_a_batch_of_none_asks_nothing_of_the_database() -> None:
    with CaptureQueriesContext(connection) as queries:
        assert reserve_stock(wanted=[], at=timezone.now(), by="test") == []

    assert not [query for query in queries if "inventory_" in query["sql"]]


@pytest.mark.parametrize("lines", [1, 50])
def test_the_number_of_statements_does_not_depend_on_the_number_of_lines(lines: int) -> None:
    scenes = [Scene(2) for _ in range(3)]
    short = scenes[0].demand(5)
    scenes[0].reserve(short)
    put_stock(scenes[0].location, scenes[0].sku, 3)
    demands = [short] + [scene.demand(1) for scene in scenes for _ in range(lines)]

    with CaptureQueriesContext(connection) as queries:
        reserve_stock(wanted=demands, at=timezone.now(), by="test")

    statements = [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]
    assert len(statements) <= 8


@pytest.mark.capability("V10")
def test_the_pools_are_locked_in_id_order_before_anything_is_written() -> None:
    """Saleor #19615: a lock that was built but never taken. So look at the statements themselves."""
    scene = Scene(2)

    with CaptureQueriesContext(connection) as queries:
        scene.reserve(scene.demand(1))

    statements = [query["sql"] for query in queries]
    lock = next(i for i, sql in enumerate(statements) if "FOR NO KEY UPDATE" in sql)
    write = next(i for i, sql in enumerate(statements) if "UPDATE inventory_stockpool" in sql)
    assert "ORDER BY p.id" in statements[lock]
    assert lock < write


def test_it_works_as_the_last_step_of_a_larger_transaction_and_goes_with_it() -> None:
    scene = Scene(2)

    with transaction.atomic():
        scene.reserve(scene.demand(1))
        transaction.set_rollback(True)

    assert scene.pool().reserved == 0
    assert not Reservation.objects.exists()


def test_a_promise_marks_its_skus_as_changed_once() -> None:
    scene = Scene(10)
    StockChange.objects.all().delete()

    scene.reserve(scene.demand(1), scene.demand(2), scene.demand(3))

    assert StockChange.objects.values_list("sku_id", flat=True).get() == scene.sku.pk


@pytest.mark.capability("V11")
def test_a_released_promise_is_free_again_and_a_second_release_frees_nothing() -> None:
    """Magento MSI #1849 and others: a release keyed to the reservation cannot be compensated twice."""
    scene = Scene(10)
    key = scene.promise(4)

    first = scene.release(key)
    second = scene.release(key)

    assert (first, second) == (4, 0)
    assert (scene.pool().granted, scene.pool().reserved) == (10, 0)
    assert parts_of(key) == [(0, 4, "released")]


def test_a_committed_promise_is_freed_at_its_location_too() -> None:
    scene = Scene(10)
    key = scene.promise(4)
    scene.commit(key, 4)

    freed = scene.release(key)

    assert freed == 4
    assert (scene.level.on_hand, scene.level.committed) == (10, 0)


def test_releasing_some_units_takes_what_is_held_before_what_is_committed() -> None:
    scene = Scene(10)
    key = scene.promise(5)
    scene.commit(key, 2)

    freed = [scene.release(key, quantity=2), scene.release(key, quantity=2)]

    # part 0 held 3, part 1 committed 2 → 2 of part 0 → the last of part 0, and 1 of part 1
    assert freed == [2, 2]
    assert parts_of(key) == [(0, 1, "released"), (1, 1, "committed"), (2, 2, "released"), (3, 1, "released")]
    assert (scene.pool().reserved, scene.level.committed) == (1, 1)


def test_what_a_line_is_owed_is_cancelled_with_it() -> None:
    scene = Scene()
    whole, some = scene.demand(3), scene.demand(3)
    scene.reserve(whole, some)

    scene.release(whole.line_key)
    freed = scene.release(some.line_key, quantity=2)

    assert freed == 0
    owed = {row.line_key: (row.quantity, row.state) for row in Shortage.objects.all()}
    assert owed == {whole.line_key: (3, "cancelled"), some.line_key: (1, "open")}


def test_the_released_units_of_each_line_are_told_also_of_unknown_ones() -> None:
    scene = Scene(10)
    known, unknown = scene.promise(4), uuid4()

    freed = release_stock(
        releases=[Release(known, 1), Release(known, 2), Release(unknown)], at=timezone.now(), by="test"
    )

    assert freed == {known: 3, unknown: 0}
    assert parts_of(known) == [(0, 1, "held"), (1, 3, "released")]


def test_nothing_cannot_be_released() -> None:
    scene = Scene(5)
    key = scene.promise(2)

    with pytest.raises(NothingDemanded):
        scene.release(key, quantity=0)

    assert parts_of(key) == [(0, 2, "held")]


def test_a_released_line_can_be_promised_again_under_new_part_numbers() -> None:
    scene = Scene(5)
    demand = scene.demand(2)
    scene.reserve(demand)
    scene.release(demand.line_key)

    [outcome] = scene.reserve(demand)

    assert outcome == Outcome(demand.line_key, 2, 0, is_repeat=False)
    assert parts_of(demand.line_key) == [(0, 2, "released"), (1, 2, "held")]

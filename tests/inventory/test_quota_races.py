"""Runs, promotions and sweeps all at once, against buyers and against each other; each net is taken away in turn."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.db import DatabaseError, connection
from django.utils import timezone

from inventory import lock
from inventory.lock import LockDidNotHold
from inventory.models import (
    AllocationLine,
    AllocationRun,
    PromotionLock,
    PromotionLockLine,
    RebalancePolicy,
    Reservation,
    Revocation,
)
from inventory.quota import apply, promote, rebalance, revoke
from inventory.quota.apply import apply_run, start_apply
from inventory.quota.open import PoolName, open_pools
from inventory.quota.promote import LockWish, open_and_close_locks, plan_lock
from inventory.quota.rebalance import rebalance_stock
from inventory.quota.revoke import TakeBack, force_revocation, take_back
from inventory.reserve import Demand, reserve_stock
from omni.kernel.models import Job
from products.models import Sku
from tests.factories.inventory import put_stock
from tests.factories.products import SkuFactory
from tests.factories.quota import Market, job_of
from tests.inventory.races import drift, must_break, run_together

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.capability("V12")]


@pytest.fixture(autouse=True)
def quiet_doorbell(settings: LazySettings) -> None:
    settings.OMNI_DOORBELL = False


def without(monkeypatch: pytest.MonkeyPatch, module: object, name: str, old: str, new: str = "") -> None:
    """The module with a piece of one of its statements taken away."""
    statement = getattr(module, name)
    assert old in statement
    monkeypatch.setattr(module, name, statement.replace(old, new))


@pytest.fixture
def no_pool_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, lock, "LOCK_POOLS", "FOR NO KEY UPDATE")


def started(market: Market, run: AllocationRun) -> Job:
    """The job that applies a run, ready for a worker."""
    start_apply(run_id=run.pk, at=timezone.now(), by="user:7")
    Job.objects.filter(pk=job_of(run).pk).update(state="running")
    return job_of(run)


def work(job: Job) -> int:
    return len(list(apply_run(Job.objects.get(pk=job.pk))))


def more_skus(market: Market, count: int, units: int) -> list[Sku]:
    skus = SkuFactory.create_batch(count, spu=market.sku.spu)
    for sku in skus:
        put_stock(market.location, sku, units)
    return skus


# two runs of the same SKUs ------------------------------------------------------------------------------------


def same_skus_race() -> None:
    """Two people have worked out the same, and both press the button: what A gives up is granted to B once."""
    market = Market(0, ratios={"A": "0.5", "B": "0.5"})
    skus = more_skus(market, 12, 100)
    market.apply(
        market.plan(
            "hand", settings={"targets": [[sku.pk, market.shops["A"].pk, 100] for sku in skus]}, scope={}
        )
    )
    market.list_everywhere()
    scope = {"skus": [sku.pk for sku in skus]}
    jobs = [started(market, market.plan("ratio", scope=scope)) for _ in range(3)]
    # Who makes a pool is waited for anyway: here they are all there.
    a, b = market.shops["A"].code, market.shops["B"].code
    open_pools(PoolName(market.group_id, sku.pk, "revoking", a) for sku in skus)
    open_pools(PoolName(market.group_id, sku.pk, "quota", b) for sku in skus)

    run_together([partial(work, job) for job in jobs])

    assert drift() == []
    for sku in skus:
        assert market.quotas(sku=sku) == {"A": 50, "B": 0}
        assert market.pool("revoking", "A", sku=sku) == (50, 0)


def test_two_runs_of_the_same_skus_at_once_take_and_grant_once() -> None:
    same_skus_race()


@pytest.mark.usefixtures("no_pool_lock", "broken_on_purpose")
def test_mutant_without_the_lock_of_the_pools_two_runs_take_the_same_units() -> None:
    must_break(same_skus_race)


def second_run_finds_new_stock() -> None:
    """A second run of the same numbers is applied while units are on their way, and finds some free: B has enough."""
    market = Market(100, ratios={"A": "0.5", "B": "0.5"})
    market.grant({"A": 100})
    market.list_everywhere()
    first, second = market.plan("ratio"), market.plan("ratio")
    market.apply(first)
    put_stock(market.location, market.sku, 50)

    market.apply(second)

    assert market.quotas() == {"A": 50, "B": 0}
    market.settle()
    assert market.quotas() == {"A": 50, "B": 50}
    assert drift() == []


def test_units_on_their_way_are_not_granted_once_more() -> None:
    second_run_finds_new_stock()


@pytest.mark.usefixtures("broken_on_purpose")
def test_mutant_without_a_look_at_what_is_on_its_way_it_is_granted_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without(monkeypatch, apply, "COMING", "to_kind = 'quota'", "false")

    must_break(second_run_finds_new_stock)


# two workers of one run ---------------------------------------------------------------------------------------


def two_workers_race() -> None:
    """A worker that was taken for dead goes on while another has taken its job."""
    market = Market(0, ratios={"A": "0.5"})
    skus = more_skus(market, 12, 10)
    run = market.plan("ratio", scope={"skus": [sku.pk for sku in skus]})
    job = started(market, run)

    run_together([partial(work, job)] * 4)

    assert drift() == []
    assert set(AllocationLine.objects.filter(run=run).values_list("state", flat=True)) == {"done"}
    assert [market.quotas(sku=sku)["A"] for sku in skus] == [5] * 12
    run.refresh_from_db()
    assert (run.state, run.units_moved) == ("applied", 60)


def test_a_run_that_two_workers_do_at_once_is_done_once() -> None:
    two_workers_race()


@pytest.mark.usefixtures("broken_on_purpose")
def test_mutant_without_the_lock_of_the_lines_the_second_worker_closes_them_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without(monkeypatch, apply, "LOCK_LINES", "FOR NO KEY UPDATE")

    must_break(two_workers_race)


# applying against buyers --------------------------------------------------------------------------------------


def apply_against_buyers() -> None:
    """While units go from the shared pool to the quotas, and from quota to quota, buyers buy them."""
    market = Market(100, ratios={"A": "0.5", "B": "0.5"}, mode="lock_share")
    jobs = [started(market, market.plan("ratio")) for _ in range(2)]
    buys: list[Callable[[], object]] = []
    for letter in "AB" * 60:
        demand = market.demand(letter)
        buys.append(partial(reserve_stock, wanted=[demand], at=timezone.now(), by="test"))
    todo: list[Callable[[], object]] = [*buys, *(partial(work, job) for job in jobs)]
    random.Random(3).shuffle(todo)

    run_together(todo)

    promised = Reservation.objects.filter(sku=market.sku, state="held").count()
    assert promised <= 100
    assert drift() == []
    pools = [market.pool("shared"), market.pool("quota", "A"), market.pool("quota", "B")]
    assert sum(granted for granted, _reserved in pools) == 100
    assert sum(reserved for _granted, reserved in pools) == promised
    assert all(granted <= 50 for granted, _reserved in pools[1:])


def test_units_that_are_bought_while_they_are_granted_are_sold_once() -> None:
    apply_against_buyers()


@pytest.mark.usefixtures("no_pool_lock", "broken_on_purpose")
def test_mutant_without_the_lock_of_the_pools_a_buyer_and_a_run_get_the_same_unit() -> None:
    must_break(apply_against_buyers)


# sweeps -------------------------------------------------------------------------------------------------------


def sweeps_race() -> None:
    """Several sweeps and a person let the same units go on; those of a second revocation stay where they are."""
    market = Market(100, ratios={"A": None, "B": None})
    market.grant({"A": 100})
    market.list_everywhere()
    to_b = partial(
        TakeBack, market.sku.pk, market.shops["A"].pk, to_kind="quota", to_label=market.shops["B"].code
    )
    how = {"group_id": market.group_id, "reason": "", "by": "user:7"}
    take_back(wanted=[to_b(20)], at=timezone.now(), **how)  # type: ignore[arg-type]
    market.tell()
    market.sweep()
    market.read_orders(at=timezone.now())
    take_back(wanted=[to_b(20)], at=timezone.now(), **how)  # type: ignore[arg-type]
    market.tell()

    run_together([market.sweep] * 8)

    assert market.revocations() == [("done", 20, 20), ("pulling", 20, 0)]
    assert market.quotas() == {"A": 60, "B": 20}
    assert drift() == []


def test_units_that_several_sweeps_let_go_on_arrive_once() -> None:
    sweeps_race()


@pytest.mark.usefixtures("broken_on_purpose")
def test_mutant_without_the_lock_of_the_revocation_its_units_arrive_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without(monkeypatch, revoke, "LOCK_REVOCATIONS", "FOR NO KEY UPDATE OF r")

    must_break(sweeps_race)


def promotions_race() -> None:
    """Several sweeps begin the same promotion: its units are set aside once."""
    market = Market(100, ratios={"A": None}, mode="shared")
    now = timezone.now() - timedelta(hours=1, minutes=1)
    wish = LockWish(
        code=f"nine-{uuid4().hex[:8]}",
        name="Nine",
        group_id=market.group_id,
        shop_ids=[market.shops["A"].pk],
        starts_at=now + timedelta(hours=1),
        ends_at=now + timedelta(hours=2),
        units={market.sku.pk: 30},
    )
    plan_lock(wish=wish, reason="", at=now, by="user:7")

    turned = run_together([partial(open_and_close_locks, at=now + timedelta(hours=1), by="system")] * 6)

    assert sum(turned) == 1
    assert market.pool("lock", wish.code) == (30, 0)
    assert PromotionLockLine.objects.get(lock__code=wish.code).granted == 30
    assert drift() == []


def test_a_promotion_that_several_sweeps_begin_begins_once() -> None:
    promotions_race()


@pytest.mark.usefixtures("broken_on_purpose")
def test_mutant_without_the_lock_of_the_promotion_it_begins_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promote, "_lock", lambda lock_id: PromotionLock.objects.get(pk=lock_id))

    must_break(promotions_race)


def rebalancing_race() -> None:
    """Several sweeps see the same quota below its minimum: one run is started."""
    market = Market(100, ratios={"A": None}, rules={"A": {"minimum": 10}})
    market.grant({"A": 5})
    RebalancePolicy.objects.all().delete()
    RebalancePolicy.objects.create(group_id=market.group_id)

    runs = run_together([partial(rebalance_stock, at=timezone.now(), by="system")] * 6)

    assert sum(len(found) for found in runs) == 1


def test_several_sweeps_start_one_run() -> None:
    rebalancing_race()


@pytest.mark.usefixtures("broken_on_purpose")
def test_mutant_without_one_sweep_at_a_time_several_runs_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebalance, "ONE_AT_A_TIME", "SELECT true")

    must_break(rebalancing_race)


# all of it ----------------------------------------------------------------------------------------------------


def everything_race() -> None:
    """Runs, buyers of many SKUs at once, receipts and sweeps: nobody waits for one who waits for them."""
    market = Market(0, ratios={"A": "0.4", "B": "0.4"}, mode="lock_share")
    skus = more_skus(market, 15, 40)
    scope = {"skus": [sku.pk for sku in skus]}
    market.apply(market.plan("ratio", scope=scope))
    hand = [[sku.pk, market.shops["A"].pk, place] for place, sku in enumerate(skus)]
    runs = [
        market.plan("hand", settings={"targets": hand}, scope={}),
        market.plan("ratio", scope=scope),
        market.plan("hand", settings={"targets": [[sku, shop, 9] for sku, shop, _n in hand]}, scope={}),
    ]
    jobs: list[Callable[[], object]] = [partial(work, started(market, run)) for run in runs]
    chance = random.Random(5)
    before = deadlocks()

    def buy(letter: str) -> None:
        shop_id = market.shops[letter].pk
        wanted = [Demand(uuid4(), shop_id, sku.pk, chance.randint(1, 3)) for sku in chance.sample(skus, 6)]
        reserve_stock(wanted=wanted, at=timezone.now(), by="test")

    jobs += [partial(buy, letter) for letter in "AB" * 15]
    jobs += [partial(put_stock, market.location, sku, 3) for sku in skus]
    jobs += [market.sweep] * 8
    chance.shuffle(jobs)

    run_together(jobs)

    assert deadlocks() == before
    assert drift() == []


def deadlocks() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


def test_runs_buyers_receipts_and_sweeps_at_once_never_deadlock() -> None:
    everything_race()


@pytest.mark.usefixtures("broken_on_purpose")
def test_mutant_without_the_order_of_locks_they_deadlock(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, lock, "LOCK_POOLS", "ORDER BY id", "ORDER BY random()")

    must_break(everything_race)


def forced_race() -> None:
    """A person and the sweeps let the same units go on."""
    market = Market(100, ratios={"A": None, "B": None})
    market.grant({"A": 100})
    wanted = TakeBack(market.sku.pk, market.shops["A"].pk, 20, "quota", market.shops["B"].code)
    take_back(group_id=market.group_id, wanted=[wanted], reason="", at=timezone.now(), by="user:7")
    [revocation] = Revocation.objects.filter(sku=market.sku)

    def force() -> int:
        try:
            force_revocation(revocation_id=revocation.pk, reason="now", at=timezone.now(), by="user:7")
        except (revoke.RevocationIsOver, LockDidNotHold, DatabaseError):
            return 0
        return 1

    ended = run_together([market.sweep, force] * 4)

    assert sum(ended) == 1
    assert market.quotas() == {"A": 80, "B": 20}
    assert drift() == []


def test_a_person_and_the_sweeps_let_units_go_on_once() -> None:
    forced_race()

"""Everything at once: each lock and guard is raced for by real connections, and taken away to see that it counts.

A scenario builds its own stock, races, and asserts what must hold. A test runs it as it is; its mutants run it with
one net removed and must see it fail.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import LazySettings
from django.db import DatabaseError, connection
from django.utils import timezone

from inventory import advance, book, commit, fill, lock, receive, reserve
from inventory.commit import Commitment, commit_stock
from inventory.count import StockCount, count_stock
from inventory.fill import fill_shortages
from inventory.lock import LineIsBusy, LockDidNotHold
from inventory.models import PublishedStock, Reservation, Shortage, StockPool
from inventory.pools import PoolMove, move_between_pools
from inventory.publish import (
    claim_due_stock,
    plan_published_stock,
    record_stock_answers,
)
from inventory.receive import StockReceipt, receive_stock
from inventory.reserve import Demand, reserve_stock
from omni.kernel import answers
from omni.kernel.answers import Answer
from products.models import Sku
from tests.factories.inventory import LocationFactory, Scene, ShopPoolFactory, parts_of, put_stock
from tests.factories.products import ListingFactory, SkuFactory
from tests.inventory.races import drift, must_break, run_together, without_constraint

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.capability("V10")]

POOL, POOL_CHECK = "inventory_stockpool", "no_more_reserved_than_granted"
LEVEL, LEVEL_CHECK = "inventory_stocklevel", "no_more_committed_than_on_hand"


@pytest.fixture(autouse=True)
def quiet_doorbell(settings: LazySettings) -> None:
    """The bells would only slow the race down."""
    settings.OMNI_DOORBELL = False


@pytest.fixture
def no_pool_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pools are read without being locked, as by a queryset that nobody evaluated."""
    monkeypatch.setattr(lock, "LOCK_POOLS", lock.LOCK_POOLS.replace("FOR NO KEY UPDATE", ""))
    unlocked = reserve.LOCK_SOURCES.replace("FOR NO KEY UPDATE OF p", "")
    assert unlocked != reserve.LOCK_SOURCES
    monkeypatch.setattr(reserve, "LOCK_SOURCES", unlocked)


@pytest.fixture
def no_pool_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """The write believes what was read, and looks neither at the pool nor at how many rows it changed."""
    unguarded = reserve.WRITE_PROMISES.replace("AND p.granted - p.reserved >= v.quantity", "")
    assert unguarded != reserve.WRITE_PROMISES
    monkeypatch.setattr(reserve, "WRITE_PROMISES", unguarded)


# 300 buyers for 100 units ------------------------------------------------------------------------------------


def buy_at_once(scene: Scene, *, refuse_short: bool) -> Counter[int]:
    jobs = [partial(scene.reserve, scene.demand(1), refuse_short=refuse_short) for _ in range(300)]
    return Counter(outcomes[0].reserved for outcomes in run_together(jobs))


def facts_race() -> None:
    """By capture: all 300 are taken, exactly 100 reserved and 200 short."""
    scene = Scene(100)

    reserved = buy_at_once(scene, refuse_short=False)

    assert reserved == {1: 100, 0: 200}
    assert (scene.pool().granted, scene.pool().reserved) == (100, 100)
    assert Shortage.objects.filter(sku=scene.sku, state="open").count() == 200
    assert drift() == []


def refusals_race() -> None:
    """By API: exactly 100 are accepted, and the 200 others leave no trace."""
    scene = Scene(100)

    reserved = buy_at_once(scene, refuse_short=True)

    assert reserved == {1: 100, 0: 200}
    assert scene.pool().reserved == 100
    assert not Shortage.objects.filter(sku=scene.sku).exists()
    assert drift() == []


def nobody_is_oversold() -> None:
    """Whatever else goes wrong in it, 300 buyers do not get more than 100 units."""
    scene = Scene(100)

    def buy() -> None:
        try:
            scene.reserve(scene.demand(1))
        except (LockDidNotHold, DatabaseError):
            connection.close()

    run_together([buy] * 300)

    promised = Reservation.objects.filter(sku=scene.sku).exclude(state="released").count()
    assert promised == scene.pool().reserved <= 100
    assert drift() == []


def test_of_300_facts_for_100_units_exactly_100_are_reserved_and_200_are_short() -> None:
    facts_race()


def test_of_300_requests_for_100_units_exactly_100_are_accepted() -> None:
    refusals_race()


@pytest.mark.usefixtures("no_pool_lock", "broken_on_purpose")
@pytest.mark.parametrize("scenario", [facts_race, refusals_race])
def test_mutant_without_the_lock_the_numbers_are_wrong(scenario: Callable[[], None]) -> None:
    must_break(scenario)


@pytest.mark.usefixtures("no_pool_lock")
def test_without_the_lock_the_guard_still_lets_nobody_oversell() -> None:
    nobody_is_oversold()


@pytest.mark.usefixtures("no_pool_lock", "no_pool_guard")
def test_without_lock_and_guard_the_check_still_lets_nobody_oversell() -> None:
    nobody_is_oversold()


@pytest.mark.usefixtures("no_pool_lock", "no_pool_guard", "broken_on_purpose")
def test_mutant_without_lock_guard_and_check_too_much_is_sold() -> None:
    with without_constraint(POOL, POOL_CHECK):
        must_break(nobody_is_oversold)


@pytest.mark.usefixtures("broken_on_purpose")
def test_mutant_without_the_running_remainder_a_batch_takes_the_last_unit_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def batches_race() -> None:
        scene = Scene(100)
        batches = [partial(scene.reserve, *(scene.demand(1) for _ in range(30))) for _ in range(10)]
        outcomes = [outcome for batch in run_together(batches) for outcome in batch]
        assert Counter(outcome.reserved for outcome in outcomes) == {1: 100, 0: 200}
        assert drift() == []

    def draw_without_remembering(demand: Demand, pool_ids: list[int], left: dict[int, int]) -> Any:
        return real_draw(demand, pool_ids, dict(left))

    real_draw = reserve._draw
    batches_race()
    monkeypatch.setattr(reserve, "_draw", draw_without_remembering)
    must_break(batches_race)


# one line, asked for or given back by many at once -----------------------------------------------------------


def same_line_race() -> None:
    """A pull, a push and a retry bring the same order line at the same moment."""
    scene = Scene(100)
    demand = scene.demand(3)

    outcomes = run_together([partial(scene.reserve, demand)] * 24)

    assert [outcome[0].reserved for outcome in outcomes] == [3] * 24
    assert sorted(outcome[0].is_repeat for outcome in outcomes) == [False] + [True] * 23
    assert (parts_of(demand.line_key), scene.pool().reserved) == ([(0, 3, "held")], 3)
    assert drift() == []


def test_a_line_that_is_asked_for_by_many_at_once_is_promised_once() -> None:
    same_line_race()


@pytest.mark.usefixtures("broken_on_purpose")
def test_mutant_without_the_look_at_what_the_line_holds_it_is_not_a_repeat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forgetful = reserve.FIND_STANDINGS.replace("state <> 'released'", "false")
    monkeypatch.setattr(reserve, "FIND_STANDINGS", forgetful)

    must_break(same_line_race)


@pytest.mark.usefixtures("no_pool_lock", "broken_on_purpose")
def test_mutant_without_the_lock_a_line_is_not_promised_to_all_who_ask() -> None:
    must_break(same_line_race)


def release_race() -> None:
    """Cancelled by the buyer, the channel and a clerk at once: the units are freed once."""
    scene = Scene(100)
    other = scene.promise(50)
    key = scene.promise(5)
    scene.commit(key, 5)

    freed = run_together([partial(scene.release, key)] * 16)

    assert sorted(freed) == [0] * 15 + [5]
    assert (scene.pool().reserved, scene.level.committed) == (50, 0)
    assert parts_of(other) == [(0, 50, "held")]
    assert drift() == []


def test_a_promise_that_is_released_by_many_at_once_is_freed_once() -> None:
    release_race()


@pytest.mark.usefixtures("no_pool_lock", "broken_on_purpose")
def test_mutant_without_the_lock_two_release_the_same_promise() -> None:
    must_break(release_race)


@pytest.mark.usefixtures("no_pool_lock")
def test_without_the_lock_the_guard_on_the_state_still_frees_once() -> None:
    """The loser meets LockDidNotHold and its transaction is gone: no number drifts."""
    frees_once_race()


@pytest.mark.usefixtures("no_pool_lock", "broken_on_purpose")
def test_mutant_without_lock_and_state_guard_a_promise_is_freed_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unguarded = advance.CHANGE_PARTS.replace("AND r.state = v.old_state AND r.quantity = v.old_quantity", "")
    assert unguarded != advance.CHANGE_PARTS
    monkeypatch.setattr(advance, "CHANGE_PARTS", unguarded)

    must_break(frees_once_race)


def frees_once_race() -> None:
    scene = Scene(100)
    scene.promise(50)
    key = scene.promise(5)

    def release() -> int:
        try:
            return scene.release(key)
        except LockDidNotHold:
            return 0

    assert sum(run_together([release] * 16)) == 5
    assert scene.pool().reserved == 50
    assert drift() == []


# many SKUs in any order ---------------------------------------------------------------------------------------


def overlapping_batches_race() -> None:
    """8 threads, each transaction takes and gives back 10 of 40 SKUs in random order."""
    base = Scene()
    scenes = [Scene(1000, base.location, SkuFactory.create(spu=base.sku.spu)) for _ in range(40)]
    shop = base.shop
    chance = random.Random(42)
    before = deadlocks()

    def job(picked: list[Scene]) -> None:
        demands = [Demand(uuid4(), shop.pk, scene.sku.pk, 1) for scene in picked]
        reserve_stock(wanted=demands, at=timezone.now(), by="test")
        base.release(*(demand.line_key for demand in reversed(demands)))

    run_together([partial(job, chance.sample(scenes, 10)) for _ in range(120)])

    assert deadlocks() == before
    assert not StockPool.objects.filter(reserved__gt=0).exists()
    assert drift() == []


def deadlocks() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


def test_batches_over_the_same_skus_in_any_order_never_deadlock() -> None:
    overlapping_batches_race()


@pytest.mark.usefixtures("broken_on_purpose")
def test_mutant_without_the_order_of_locks_they_deadlock(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ORDER BY that is merely missing leaves the order to the plan: here it is nobody's."""
    unordered = reserve.LOCK_SOURCES.replace("ORDER BY p.id", "ORDER BY random()")
    assert unordered != reserve.LOCK_SOURCES
    monkeypatch.setattr(reserve, "LOCK_SOURCES", unordered)

    must_break(overlapping_batches_race)


# reality against promises -------------------------------------------------------------------------------------


def ask_until_free(act: Callable[[], object]) -> None:
    """Who holds no lock of the order may meet another who promises to the same line, and asks again."""
    while True:
        try:
            act()
        except LineIsBusy:
            continue
        return


def count_race() -> None:
    """Clerks count less and less while buyers buy, sourcing commits and others cancel."""
    scene = Scene(200)
    keys = [uuid4() for _ in range(60)]

    def buy(key: UUID) -> None:
        scene.reserve(scene.demand(2, key=key))

    def cancel(key: UUID) -> None:
        ask_until_free(lambda: scene.release(key))

    def count(counted: int) -> None:
        counts = [StockCount(scene.location.pk, scene.sku.pk, counted)]
        count_stock(key=str(uuid4()), counts=counts, reason="", at=timezone.now(), by="test")

    def source(key: UUID) -> None:
        ask_until_free(lambda: scene.commit(key, 2))

    jobs: list[Callable[[], None]] = [partial(buy, key) for key in keys]
    jobs += [partial(cancel, key) for key in keys[::3]]
    jobs += [partial(source, key) for key in keys[1:10:3]]
    jobs += [partial(count, counted) for counted in range(100, 20, -5)]
    random.Random(7).shuffle(jobs)
    run_together(jobs)

    # The counts come in any order, so on-hand is one of the numbers counted: never one that nobody wrote.
    assert scene.level.on_hand in range(25, 105, 5)
    assert scene.pool().granted == scene.level.on_hand
    assert drift() == []


def test_counting_less_while_others_buy_and_cancel_leaves_every_number_right() -> None:
    count_race()


@pytest.mark.usefixtures("no_pool_lock", "broken_on_purpose")
def test_mutant_without_the_lock_a_count_and_a_buyer_overwrite_each_other() -> None:
    must_break(count_race)


def receipt_race() -> None:
    """The warehouse repeats its message until somebody answers."""
    scene = Scene()
    receipts = [StockReceipt(scene.location.pk, scene.sku.pk, 7)]
    job = partial(receive_stock, key=str(uuid4()), receipts=receipts, reason="", at=timezone.now(), by="test")

    taken = run_together([job] * 12)

    assert sorted(taken) == [False] * 11 + [True]
    assert scene.level.on_hand == 7
    assert drift() == []


def test_a_receipt_that_arrives_many_times_at_once_is_taken_once() -> None:
    receipt_race()


@pytest.mark.usefixtures("broken_on_purpose")
def test_mutant_without_the_number_of_the_receipt_it_is_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receive, "take_operation", lambda **_: True)

    must_break(receipt_race)


def first_receipts_race() -> None:
    """Receipts of SKUs that were never here, all of them in each, create each row once and add up."""
    base = Scene()
    skus = [Sku(code=str(uuid4()), name="new", spu=base.sku.spu) for _ in range(40)]
    Sku.objects.bulk_create(skus)

    def receive_all() -> None:
        receipts = [StockReceipt(base.location.pk, sku.pk, 1) for sku in skus]
        random.shuffle(receipts)
        receive_stock(key=str(uuid4()), receipts=receipts, reason="", at=timezone.now(), by="test")

    run_together([receive_all] * 8)

    granted = StockPool.objects.filter(sku__in=skus).values_list("granted", flat=True)
    assert list(granted) == [8] * 40
    assert drift() == []


@pytest.fixture
def slow_new_rows() -> Iterator[None]:
    """Pools are created so slowly that all receipts do it at the same time."""
    with connection.cursor() as cursor:
        cursor.execute("""
            CREATE FUNCTION take_your_time() RETURNS trigger LANGUAGE plpgsql
                AS 'BEGIN PERFORM pg_sleep(0.002); RETURN NEW; END';
            CREATE TRIGGER slow BEFORE INSERT ON inventory_stockpool
                FOR EACH ROW EXECUTE FUNCTION take_your_time();
        """)
        yield
        cursor.execute("DROP FUNCTION take_your_time CASCADE")


@pytest.mark.usefixtures("slow_new_rows")
def test_first_receipts_of_the_same_skus_do_not_wait_for_each_other_in_a_circle() -> None:
    first_receipts_race()


@pytest.mark.usefixtures("slow_new_rows", "broken_on_purpose")
def test_mutant_without_the_order_of_new_rows_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, order in (("CREATE_POOLS", "ORDER BY 1, 2, 3"), ("CREATE_LEVELS", "ORDER BY 1, 2, 3, 4")):
        ordered = getattr(book, name)
        assert order in ordered
        unordered = ordered.replace("SELECT DISTINCT", "SELECT").replace(order, "ORDER BY random()")
        monkeypatch.setattr(book, name, unordered)

    must_break(first_receipts_race)


# two lines for the last unit of a location --------------------------------------------------------------------


def last_unit_of_a_location_race() -> None:
    """Two pools of one group promise units of the same shelf: the pools' locks are two, the shelf is one."""
    scene = Scene(20)
    second = LocationFactory.create(group=scene.location.group)
    put_stock(second, scene.sku, 4)
    quota = StockPool.objects.create(group=scene.location.group, sku=scene.sku, kind="quota", label="A")
    moves = [PoolMove(scene.pool().pk, quota.pk, 12)]
    move_between_pools(key=str(uuid4()), moves=moves, at=timezone.now(), by="test", reason="")
    rival = Scene(0, scene.location, scene.sku)
    ShopPoolFactory.create(shop=rival.shop, group=second.group, kind="quota", label="A", sku=scene.sku)
    keys = [buyer.promise(1) for _ in range(12) for buyer in (scene, rival)]

    def source(key: UUID) -> bool:
        wanted = [Commitment(key, 0, second.pk, 1)]
        return commit_stock(commitments=wanted, at=timezone.now(), by="test")[0].ok

    committed = run_together([partial(source, key) for key in keys])

    assert Counter(committed) == {True: 4, False: 20}
    assert drift() == []


def test_the_last_units_of_a_location_are_committed_once() -> None:
    last_unit_of_a_location_race()


@pytest.mark.usefixtures("broken_on_purpose")
def test_mutant_without_the_lock_of_the_level_they_are_committed_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lock, "LOCK_LEVELS", lock.LOCK_LEVELS.replace("FOR NO KEY UPDATE OF v", ""))

    must_break(last_unit_of_a_location_race)


@pytest.mark.usefixtures("broken_on_purpose")
def test_mutant_without_lock_guard_and_check_of_the_level_more_is_committed_than_lies_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lock, "LOCK_LEVELS", lock.LOCK_LEVELS.replace("FOR NO KEY UPDATE OF v", ""))
    unguarded = commit.TAKE_FROM_LEVELS.replace("AND l.on_hand - l.committed >= v.quantity", "")
    assert unguarded != commit.TAKE_FROM_LEVELS
    monkeypatch.setattr(commit, "TAKE_FROM_LEVELS", unguarded)

    with without_constraint(LEVEL, LEVEL_CHECK):
        must_break(last_unit_of_a_location_race)


# planned and answered at once ---------------------------------------------------------------------------------


def publishing_race() -> None:
    """Numbers are planned, told and answered, all for the same listings, while stock changes."""
    base = Scene()
    scenes = [Scene(1000, base.location, SkuFactory.create(spu=base.sku.spu)) for _ in range(30)]
    for scene in scenes:
        ListingFactory.create(shop=base.shop, sku=scene.sku)
    plan_published_stock(limit=1000, at=timezone.now())
    chance = random.Random(3)

    def change_and_plan() -> None:
        demands = [Demand(uuid4(), base.shop.pk, scene.sku.pk, 1) for scene in scenes]
        reserve_stock(wanted=demands, at=timezone.now(), by="test")
        plan_published_stock(limit=1000, at=timezone.now())

    def tell() -> None:
        at = timezone.now() + timedelta(hours=1)  # nothing has to wait
        due = claim_due_stock(shop_id=base.shop.pk, limit=100, at=at)
        given = [Answer(number.published_id, chance.random() < 0.8, version=number.version) for number in due]
        chance.shuffle(given)
        record_stock_answers(answers=given, at=at)

    before = deadlocks()
    run_together([change_and_plan, tell, tell] * 25)
    tell()
    PublishedStock.objects.update(not_before=timezone.now())
    while due := claim_due_stock(shop_id=base.shop.pk, limit=100, at=timezone.now() + timedelta(hours=1)):
        given = [Answer(number.published_id, ok=True, version=number.version) for number in due]
        record_stock_answers(answers=given, at=timezone.now())

    assert deadlocks() == before
    assert set(PublishedStock.objects.values_list("acked_quantity", flat=True)) == {1000 - 25}
    assert drift() == []


@pytest.fixture
def slow_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of an answer are locked so slowly that planning always falls into it."""
    slow = answers.LOCK_TOLD.replace("SELECT id, attempts", "SELECT id, attempts, pg_sleep(0.002)")
    monkeypatch.setattr(answers, "LOCK_TOLD", f"SELECT id, attempts FROM ({slow}) AS slow")  # noqa: S608


@pytest.mark.usefixtures("slow_answers")
def test_planning_and_answering_at_once_never_deadlock_and_end_at_the_right_number() -> None:
    publishing_race()


@pytest.mark.usefixtures("slow_answers", "broken_on_purpose")
def test_mutant_without_the_order_of_answers_they_deadlock(monkeypatch: pytest.MonkeyPatch) -> None:
    unordered = answers.LOCK_TOLD.replace("ORDER BY id", "ORDER BY random()")
    assert unordered != answers.LOCK_TOLD
    monkeypatch.setattr(answers, "LOCK_TOLD", unordered)

    must_break(publishing_race)


@pytest.mark.usefixtures("broken_on_purpose")
def test_mutant_that_believes_any_answer_ends_at_a_wrong_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ack` without its version: what was answered to an older call counts for the newest."""
    believing = answers.ACKNOWLEDGE.replace("acked_version = v.version", "acked_version = p.desired_version")
    assert believing != answers.ACKNOWLEDGE
    monkeypatch.setattr(answers, "ACKNOWLEDGE", believing)

    must_break(publishing_race)


# filled and cancelled at once ---------------------------------------------------------------------------------


def fill_and_cancel_race(monkeypatch: pytest.MonkeyPatch) -> None:
    """The buyer cancels while new supply is being promised to the line: it must not keep what it does not want."""
    scene = Scene()
    demand = scene.demand(2)
    scene.reserve(demand)
    put_stock(scene.location, scene.sku, 2)
    real_write = reserve.write_promises

    def write_slowly(*args: Any, **kwargs: Any) -> None:
        real_write(*args, **kwargs)
        time.sleep(0.4)

    def fill_now() -> None:
        fill_shortages(sku_ids=[scene.sku.pk], at=timezone.now(), by="test")

    def cancel_in_the_middle() -> None:
        time.sleep(0.2)
        scene.release(demand.line_key)

    monkeypatch.setattr(fill, "write_promises", write_slowly)
    run_together([fill_now, cancel_in_the_middle])

    assert scene.pool().reserved == 0
    assert [state for _part, _quantity, state in parts_of(demand.line_key)] in ([], ["released"])
    assert not Shortage.objects.filter(line_key=demand.line_key, state="open").exists()
    assert drift() == []


def test_a_line_that_is_filled_and_cancelled_at_once_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    fill_and_cancel_race(monkeypatch)


@pytest.mark.usefixtures("broken_on_purpose")
def test_mutant_without_the_pools_of_what_is_owed_the_cancelled_line_keeps_its_units(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held_only = lock.POOLS_OF_LINES[: lock.POOLS_OF_LINES.index("UNION")]
    monkeypatch.setattr(lock, "POOLS_OF_LINES", held_only)
    monkeypatch.setattr(lock, "LOCK_SHORTAGES", lock.LOCK_SHORTAGES.replace("FOR NO KEY UPDATE", ""))

    def scenario() -> None:
        fill_and_cancel_race(monkeypatch)

    must_break(scenario)

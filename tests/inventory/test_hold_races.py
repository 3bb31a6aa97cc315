"""Many buyers hold at once, and orders, sweeps and crashes meet: each lock and guard is taken away to see it counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.db import DatabaseError, connection
from django.db.models import F, Sum
from django.utils import timezone

from inventory import lock, reserve
from inventory.holds import end, hold, take_over
from inventory.holds.end import give_back_hold, lapse_holds
from inventory.holds.hold import HoldLimitReached, NotEnoughToHold, hold_stock
from inventory.holds.take_over import Fate, reserve_from_holds
from inventory.models import Reservation, StockMovement
from inventory.models.holds import HoldLimit, StockHold
from inventory.reserve import Demand
from omni.kernel.retry import repeat_on_conflict
from tests.factories.inventory import Scene, put_stock
from tests.factories.products import SkuFactory
from tests.inventory.races import drift, must_break, run_together

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.capability("V10")]


@pytest.fixture(autouse=True)
def quiet_doorbell(settings: LazySettings) -> None:
    """The bells would only slow the race down."""
    settings.OMNI_DOORBELL = False


@pytest.fixture
def no_pool_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pools are read without being locked."""
    monkeypatch.setattr(lock, "LOCK_POOLS", lock.LOCK_POOLS.replace("FOR NO KEY UPDATE", ""))
    monkeypatch.setattr(reserve, "LOCK_SOURCES", reserve.LOCK_SOURCES.replace("FOR NO KEY UPDATE OF p", ""))


@pytest.fixture
def no_buyer_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two holds of one buyer are counted at the same moment."""
    monkeypatch.setattr(hold, "ONE_OF_A_BUYER", "SELECT %s::text, %s::text")


@pytest.fixture
def no_hold_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who ends a hold neither locks it nor looks whether it stands."""
    for module, name in ((end, "LOCK_HOLDS"), (end, "LOCK_DUE"), (take_over, "LOCK_NAMED")):
        statement = getattr(module, name)
        unlocked = statement.partition("FOR NO KEY UPDATE")[0]
        assert unlocked != statement
        monkeypatch.setattr(module, name, unlocked)
    guarded = end.END_HOLDS
    monkeypatch.setattr(end, "END_HOLDS", guarded.replace("AND state = 'held'", ""))


def try_to_hold(scene: Scene, *, buyer: str, units: int = 1, key: str = "", sku_id: int | None = None) -> str:
    try:
        made = repeat_on_conflict(
            partial(
                hold_stock,
                shop_id=scene.shop.pk,
                key=key or str(uuid4()),
                buyer=buyer,
                lines=[(sku_id or scene.sku.pk, units)],
                minutes=5,
                at=timezone.now(),
                by="key:1",
            )
        )
    except NotEnoughToHold:
        return "short"
    except HoldLimitReached as refusal:
        return str(refusal.extra["limit"])
    return str(made.state)


# 300 buyers for 100 units ------------------------------------------------------------------------------------


def holds_race() -> None:
    scene = Scene(100)

    results = run_together([partial(try_to_hold, scene, buyer=f"buyer {n}") for n in range(300)])

    assert Counter(results) == {"held": 100, "short": 200}
    assert (scene.pool().reserved, StockHold.objects.filter(shop=scene.shop).count()) == (100, 100)
    assert drift() == []


def test_of_300_holds_for_100_units_exactly_100_are_held() -> None:
    holds_race()


@pytest.mark.usefixtures("no_pool_lock", "broken_on_purpose")
def test_mutant_without_the_pools_lock_the_wrong_number_is_held() -> None:
    must_break(holds_race)


# limits under 16 threads -------------------------------------------------------------------------------------


def one_buyer_races() -> None:
    """Of goods that have nothing to do with each other: only the buyer's own lock can count the holds."""
    scene = Scene(100)
    skus = [SkuFactory.create() for _ in range(16)]
    for sku in skus:
        put_stock(scene.location, sku, 10)

    results = run_together([partial(try_to_hold, scene, buyer="ann", sku_id=s.pk) for s in skus], threads=16)

    assert Counter(results) == {"held": 5, "holds_per_buyer": 11}
    assert drift() == []


def one_sku_races() -> None:
    """Sixteen calls of one buyer for four units each, of which ten are allowed."""
    scene = Scene(100)

    results = run_together([partial(try_to_hold, scene, buyer="ann", units=4)] * 16, threads=16)

    assert Counter(results) == {"held": 2, "units_per_buyer": 14}
    assert scene.pool().reserved == 8
    assert drift() == []


def one_shop_races() -> None:
    """Sixteen buyers, each within his own limit, of a shop that lets ten units be held in all."""
    scene = Scene(100)
    HoldLimit.objects.create(shop=scene.shop, units_per_shop=10)

    jobs = [partial(try_to_hold, scene, buyer=f"buyer {n}", units=2) for n in range(16)]
    results = run_together(jobs, threads=16)

    assert Counter(results) == {"held": 5, "units_per_shop": 11}
    assert scene.pool().reserved == 10
    assert drift() == []


@pytest.mark.parametrize("scenario", [one_buyer_races, one_sku_races, one_shop_races])
def test_no_limit_is_passed_by_sixteen_at_once(scenario: Callable[[], None]) -> None:
    scenario()


@pytest.mark.usefixtures("no_buyer_lock", "broken_on_purpose")
def test_mutant_without_the_buyers_lock_a_buyer_has_too_many_holds() -> None:
    must_break(one_buyer_races)


@pytest.mark.usefixtures("no_pool_lock", "broken_on_purpose")
def test_mutant_without_the_pools_lock_the_shops_buyers_hold_too_much() -> None:
    must_break(one_shop_races)


def same_hold_race() -> None:
    """A shop's cart asks again and again before it has an answer."""
    scene = Scene(100)

    results = run_together([partial(try_to_hold, scene, buyer="ann", units=3, key="cart-1")] * 16, threads=16)

    assert results == ["held"] * 16
    assert (StockHold.objects.filter(shop=scene.shop).count(), scene.pool().reserved) == (1, 3)
    assert drift() == []


def test_a_hold_that_is_asked_for_by_many_at_once_is_made_once() -> None:
    same_hold_race()


# an order, a sweep and a person ------------------------------------------------------------------------------


def make_late(scene: Scene) -> None:
    StockHold.objects.filter(shop=scene.shop, state="held").update(
        expires_at=F("expires_at") - timedelta(minutes=6), created_at=F("created_at") - timedelta(minutes=6)
    )


def ends_race(is_late: bool = False) -> None:
    """Orders, sweeps and people who give back end one hold at the same moment: exactly one of them does."""
    scene = Scene(4)
    assert try_to_hold(scene, buyer="ann", units=4, key="cart-1") == "held"
    if is_late:
        make_late(scene)

    def order() -> str:
        demand = Demand(uuid4(), scene.shop.pk, scene.sku.pk, 4)
        _outcomes, fates = reserve_from_holds(
            shop_id=scene.shop.pk,
            wanted=[demand],
            holds={0: "cart-1"},
            at=timezone.now(),
            by="test",
            refuse_short=True,
        )
        return "order" if fates[0] is Fate.TAKEN else ""

    def sweep() -> str:
        return "sweep" if lapse_holds(limit=5, at=timezone.now(), by="system") else ""

    def give_back() -> str:
        try:
            give_back_hold(shop_id=scene.shop.pk, key="cart-1", at=timezone.now(), by="user:7")
        except end.HoldWasTaken:
            return ""
        return ""

    acts = [order, sweep, give_back, order, sweep, give_back, order, sweep]
    winners = [who for who in run_together([partial(repeat_on_conflict, act) for act in acts]) if who]

    held = StockHold.objects.get(shop=scene.shop)
    let_go = StockMovement.objects.filter(
        sku=scene.sku, kind__in=["release", "hand_over"], line_key=held.lines.get().line_key
    ).aggregate(units=Sum("quantity"))["units"]
    assert let_go == 4
    assert winners.count("order") == (held.state == "taken")
    assert winners.count("sweep") == (held.state == "expired")
    assert Reservation.objects.filter(sku=scene.sku, state="held").count() <= 1
    assert drift() == []


def sweeps_race() -> None:
    """Several sweeps at once give everything back once, and each hold is counted by one of them."""
    scene = Scene(100)
    for number in range(12):
        assert try_to_hold(scene, buyer=f"buyer {number}", units=2) == "held"
    make_late(scene)

    def sweep() -> int:
        return sum(lapse_holds(limit=4, at=timezone.now(), by="system") for _ in range(6))

    swept = run_together([partial(repeat_on_conflict, sweep)] * 8)

    lines = StockHold.objects.filter(shop=scene.shop).values_list("lines__line_key", flat=True)
    back = StockMovement.objects.filter(kind="release", line_key__in=lines).aggregate(units=Sum("quantity"))
    assert (sum(swept), back["units"], scene.pool().reserved) == (12, 24, 0)
    assert drift() == []


@pytest.mark.parametrize("is_late", [False, True])
def test_of_an_order_a_sweep_and_a_person_exactly_one_ends_a_hold(is_late: bool) -> None:
    for _round in range(5):
        ends_race(is_late)


def test_an_order_that_meets_the_end_of_its_hold_has_the_units_or_has_not() -> None:
    """The hold expires while the order waits for it: by the row's lock one of the two is first."""
    for _round in range(5):
        scene = Scene(4)
        try_to_hold(scene, buyer="ann", units=4, key="cart-1")

        def order(scene: Scene = scene) -> str:
            demand = Demand(uuid4(), scene.shop.pk, scene.sku.pk, 4)
            how: dict[str, Any] = {"holds": {0: "cart-1"}, "at": timezone.now(), "by": "test"}
            outcomes, fates = reserve_from_holds(
                shop_id=scene.shop.pk, wanted=[demand], refuse_short=True, **how
            )
            return f"{fates[0]} {outcomes[0].reserved}"

        def expire(scene: Scene = scene) -> str:
            make_late(scene)
            return f"swept {lapse_holds(limit=5, at=timezone.now(), by='system')}"

        told, swept = sorted(run_together([order, expire]), key=lambda word: word.startswith("swept"))
        # A hold that the order had under its hands at the moment of the sweep waits for the next one.
        late = lapse_holds(limit=5, at=timezone.now(), by="system")

        if told == "taken 4":
            assert (swept, late) == ("swept 0", 0)
        else:
            assert told in ("expired 0", "expired 4")
            assert {swept, f"swept {late}"} == {"swept 0", "swept 1"}
        assert drift() == []


@pytest.mark.usefixtures("no_hold_guard", "broken_on_purpose")
def test_mutant_without_lock_and_guard_of_the_hold_two_end_it() -> None:
    must_break(ends_race)


def test_what_expires_is_given_back_exactly_once() -> None:
    sweeps_race()


@pytest.mark.usefixtures("no_hold_guard", "broken_on_purpose")
def test_mutant_without_lock_and_guard_of_the_hold_it_is_swept_by_two() -> None:
    must_break(sweeps_race)


# a crash in between ------------------------------------------------------------------------------------------


def kill_connection(*_args: Any, **_how: Any) -> None:
    """The server ends the session in the middle of the transaction, as when the worker's machine is gone."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def test_a_crash_between_letting_go_and_promising_leaves_the_hold_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene(4)
    try_to_hold(scene, buyer="ann", units=4, key="cart-1")
    demand = Demand(uuid4(), scene.shop.pk, scene.sku.pk, 4)

    def order() -> Fate:
        how: dict[str, Any] = {"holds": {0: "cart-1"}, "at": timezone.now(), "by": "test"}
        return reserve_from_holds(shop_id=scene.shop.pk, wanted=[demand], **how)[1][0]

    with monkeypatch.context() as broken:
        broken.setattr(reserve, "write_promises", kill_connection)
        with pytest.raises(DatabaseError):
            order()
    connection.close()

    assert (StockHold.objects.get().state, scene.pool().reserved) == ("held", 4)
    assert drift() == []
    assert order() is Fate.TAKEN
    assert scene.pool().reserved == 4


def test_a_crash_between_the_hold_and_the_order_loses_nothing() -> None:
    """Nobody comes with an order: the units are held until the time is over, and free after the sweep."""
    scene = Scene(4)
    try_to_hold(scene, buyer="ann", units=4, key="cart-1")
    with pytest.raises(DatabaseError):
        kill_connection()
    connection.close()

    assert scene.pool().reserved == 4
    make_late(scene)
    assert lapse_holds(limit=5, at=timezone.now(), by="system") == 1
    assert scene.pool().reserved == 0


def test_a_crash_in_the_middle_of_a_sweep_gives_nothing_back_and_the_next_one_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene(4)
    try_to_hold(scene, buyer="ann", units=4, key="cart-1")
    make_late(scene)

    with monkeypatch.context() as broken:
        broken.setattr(end, "release_stock", kill_connection)
        with pytest.raises(DatabaseError):
            lapse_holds(limit=5, at=timezone.now(), by="system")
    connection.close()

    assert (StockHold.objects.get().state, scene.pool().reserved) == ("held", 4)
    assert lapse_holds(limit=5, at=timezone.now(), by="system") == 1
    assert scene.pool().reserved == 0

"""Random histories of shops that share one stock by rules, runs and promotions, against what each may ever get.

The model knows little: what lies there, what each line must account for, which rule and which promotion hold for a
shop. From these follow the pools that a promise may come from. Every invariant of the room is asked after every step.
For a long run: `MODEL_EXAMPLES=500 pytest tests/inventory/test_model_quota.py --timeout=0`.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import hypothesis.strategies as st
import pytest
from django.db import transaction
from django.db.models import F, Sum
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from inventory import availability, lock
from inventory.adjust import StockAdjustment, adjust_stock
from inventory.fill import fill_shortages
from inventory.models import (
    AllocationRun,
    QuotaRule,
    Reservation,
    Revocation,
    Shortage,
    StockPool,
)
from inventory.publish import claim_due_stock, plan_published_stock, record_stock_answers
from inventory.quota import derive, expose, revoke
from inventory.quota.apply import NotToApply, NotToUndo, drop_run, start_apply, undo_run
from inventory.quota.define import QuotaWish, end_quota_rule, set_quota_rule
from inventory.quota.keep import SafetyWish, keep_safety
from inventory.quota.plan import start_allocation
from inventory.quota.promote import LockIsOver, LockWish, cancel_lock, open_and_close_locks, plan_lock
from inventory.quota.revoke import (
    RevocationIsOver,
    TakeBack,
    advance_revocations,
    force_revocation,
    take_back,
)
from inventory.reserve import Demand, Release, release_stock, reserve_stock
from omni.kernel.answers import Answer
from omni.kernel.sql import fetch_all
from products.models import Shop, Sku
from tests.factories.inventory import LocationFactory, put_stock
from tests.factories.products import ListingFactory, ShopFactory, SkuFactory
from tests.factories.quota import sell_much, work
from tests.inventory.races import drift

# A quarter of a minute on an idle machine.
pytestmark = [
    pytest.mark.django_db,
    pytest.mark.capability("V3", "V4", "V8", "V12", "V13", "V15"),
    pytest.mark.timeout(900),
]

LIVE = (Reservation.State.HELD, Reservation.State.COMMITTED)
SHOPS, SKUS = st.integers(0, 2), st.integers(0, 1)
UNITS = st.integers(1, 4)
RATIO = Decimal("0.3")  # of three shops: never more than there is


@dataclass
class Line:
    """What an order line must account for: `wanted` = live + owed + `cancelled`."""

    shop: Shop
    sku: Sku
    wanted: int
    cancelled: int = 0


@dataclass
class Promotion:
    """A promotion lock that runs: of which shop and SKU it keeps units, and whether the shop sells nothing else."""

    lock_id: int
    code: str
    shop_id: int
    sku_id: int
    is_alone: bool
    is_running: bool = True


class Shares(RuleBasedStateMachine):
    """Three shops and two SKUs in one place, channels that answer or do not, and rules that change."""

    keys = Bundle[UUID]("keys")
    runs = Bundle[int]("runs")

    def __init__(self) -> None:
        super().__init__()
        self.savepoint = transaction.savepoint()
        self.lines: dict[UUID, Line] = {}
        self.on_hand = Counter[int]()
        self.said: dict[tuple[int, int | None], tuple[int, str]] = {}  # by shop and SKU: id, mode
        self.promotions: list[Promotion] = []
        self.told: set[int] = set()  # revocations of which the channel has taken a number that is no older
        self.seen_told: set[int] = set()  # those that a sweep saw told
        self.read: set[int] = set()  # those of which the orders were read after that
        self.numbers = 0

    def teardown(self) -> None:
        transaction.savepoint_rollback(self.savepoint)

    @initialize()
    def open_the_house(self) -> None:
        # Inside the transaction of a test the database's clock stands still: promotions begin when it began.
        ((self.opened_at,),) = fetch_all("SELECT now()")
        self.clock: datetime = timezone.now() + timedelta(hours=1)
        self.location = LocationFactory.create()
        self.skus: list[Sku] = [SkuFactory.create() for _ in range(2)]
        self.shops: list[Shop] = [ShopFactory.create() for _ in range(3)]
        for shop, mode in zip(self.shops, QuotaRule.Mode.values, strict=True):
            self._set_rule(shop, None, mode)
        for sku in self.skus:
            self._put(sku, 12)
            for shop in self.shops:
                ListingFactory.create(shop=shop, sku=sku)
                sell_much(shop, sku, 4000)  # a low-water mark of eight units
        self._run("hand", {self.shops[0]: 4, self.shops[1]: 3}, self.skus[0])
        self._settle()
        expose.compute_exposures(at=timezone.now())

    # goods and orders

    @rule(sku=SKUS, units=st.integers(1, 9))
    def receive(self, sku: int, units: int) -> None:
        self._put(self.skus[sku], units)

    @rule(sku=SKUS, units=UNITS)
    def write_off(self, sku: int, units: int) -> None:
        item = self.skus[sku]
        units = min(units, self.on_hand[item.pk])
        if units:
            adjust_stock(
                key=self._number(),
                adjustments=[StockAdjustment(self.location.pk, item.pk, -units)],
                reason="",
                at=timezone.now(),
                by="test",
            )
            self.on_hand[item.pk] -= units

    @rule(target=keys, wanted=st.lists(st.tuples(SHOPS, SKUS, UNITS), min_size=1, max_size=4))
    def order(self, wanted: list[tuple[int, int, int]]) -> MultipleResults[UUID]:
        return multiple(
            *[self._order(self.shops[shop], self.skus[sku], units) for shop, sku, units in wanted]
        )

    @rule(key=keys, units=UNITS)
    def cancel_some(self, key: UUID, units: int) -> None:
        live, owed = self._live(key), self._owed(key)
        release_stock(releases=[Release(key, units)], at=timezone.now(), by="test")
        self.lines[key].cancelled += min(units, live + owed)

    @rule(key=consumes(keys))
    def cancel(self, key: UUID) -> None:
        self.lines[key].cancelled += self._live(key) + self._owed(key)
        release_stock(releases=[Release(key)], at=timezone.now(), by="test")

    @rule(sku=SKUS)
    def fill(self, sku: int) -> None:
        before = {key for key in self.lines if self._live(key)}
        filled = fill_shortages(sku_ids=[self.skus[sku].pk], at=timezone.now(), by="test")
        self._look_where_it_came_from([key for key in filled if key not in before])

    # rules

    @rule(shop=SHOPS, sku=st.none() | SKUS, mode=st.sampled_from(QuotaRule.Mode.values))
    def set_rule(self, shop: int, sku: int | None, mode: str) -> None:
        self._set_rule(self.shops[shop], None if sku is None else self.skus[sku], mode)

    @precondition(lambda self: self.said)
    @rule(which=st.integers(0, 20))
    def end_rule(self, which: int) -> None:
        scope = list(self.said)[which % len(self.said)]
        rule_id, _mode = self.said.pop(scope)
        for _ in range(2):
            end_quota_rule(rule_id=rule_id, at=timezone.now(), by="test", reason="")

    @rule(sku=SKUS, units=st.none() | st.integers(0, 3), shop=st.none() | SHOPS)
    def keep(self, sku: int, units: int | None, shop: int | None) -> None:
        wish = SafetyWish(
            self.skus[sku].pk,
            units,
            location_id=None if shop is None else self.location.pk,
            shop_id=None if shop is None else self.shops[shop].pk,
        )
        keep_safety(wishes=[wish], at=timezone.now(), by="test", reason="")

    # runs

    @rule(
        target=runs,
        method=st.sampled_from(["hand", "hand", "ratio", "refill", "demand"]),
        sku=SKUS,
        units=st.tuples(*[st.integers(0, 6)] * 3),
    )
    def allocate(self, method: str, sku: int, units: tuple[int, int, int]) -> int:
        return self._run(method, dict(zip(self.shops, units, strict=True)), self.skus[sku])

    @rule(method=st.sampled_from(["ratio", "refill"]))
    def look_and_drop(self, method: str) -> None:
        pools = self._pools()
        run = self._plan(method, {}, None)

        drop_run(run_id=run.pk, reason="", at=timezone.now(), by="test")

        with pytest.raises(NotToApply):
            start_apply(run_id=run.pk, at=timezone.now(), by="test")
        assert self._pools() == pools

    @rule(run_id=consumes(runs))
    def undo(self, run_id: int) -> None:
        undo_run(run_id=run_id, reason="", at=timezone.now(), by="test")
        with pytest.raises(NotToUndo):
            undo_run(run_id=run_id, reason="", at=timezone.now(), by="test")
        assert [job.state for job in work()] == ["done"]
        assert AllocationRun.objects.get(pk=run_id).state == "undone"

    @rule(to=SHOPS, units=UNITS)
    def take_units_back(self, to: int, units: int) -> None:
        """From the quota that has most free, for another shop or for all."""
        quota = (
            StockPool.objects.filter(sku__in=self.skus, kind="quota", granted__gt=0)
            .order_by(F("granted") - F("reserved"), "pk")
            .last()
        )
        if quota is None:
            return
        giver = next(shop for shop in self.shops if shop.code == quota.label)
        taker = self.shops[to]
        goal = ("shared", "") if taker == giver else ("quota", taker.code)

        taken = take_back(
            group_id=self.location.group_id,
            wanted=[TakeBack(quota.sku_id, giver.pk, units, *goal)],
            reason="",
            at=timezone.now(),
            by="test",
        )

        assert taken == [min(units, quota.granted - quota.reserved)]

    # promotions

    @rule(shop=SHOPS, sku=SKUS, units=UNITS, is_alone=st.booleans())
    def promote(self, shop: int, sku: int, units: int, *, is_alone: bool) -> None:
        seller, item, code = self.shops[shop], self.skus[sku], self._number()
        wish = LockWish(
            code=code,
            name=code,
            group_id=self.location.group_id,
            shop_ids=[seller.pk],
            starts_at=self.opened_at,
            ends_at=self.opened_at + timedelta(days=30),
            units={item.pk: units},
            mode="exclusive" if is_alone else "lock_share",
        )
        free = sum(
            pool.granted - pool.reserved
            for pool in StockPool.objects.filter(sku=item, kind__in=["base", "shared"])
        )

        planned = plan_lock(wish=wish, reason="", at=self.opened_at, by="test")

        pool = self._named(item, "lock", code)
        assert pool is not None
        assert pool.granted == min(units, free)
        self.promotions.append(Promotion(planned.pk, code, seller.pk, item.pk, is_alone))

    @precondition(lambda self: self.promotions)
    @rule(which=st.integers(0, 20))
    def cancel_promotion(self, which: int) -> None:
        promotion = self.promotions[which % len(self.promotions)]
        how = {"lock_id": promotion.lock_id, "reason": "", "at": timezone.now(), "by": "test"}
        if promotion.is_running:
            cancel_lock(**how)  # type: ignore[arg-type]
            promotion.is_running = False
            self._has_given_back(promotion)
        with pytest.raises(LockIsOver):
            cancel_lock(**how)  # type: ignore[arg-type]

    @rule(is_over=st.booleans())
    def let_the_clock_look_at_promotions(self, *, is_over: bool) -> None:
        """What a promotion still lacks is set aside for it; at its end what is unsold goes back."""
        running = [promotion for promotion in self.promotions if promotion.is_running]
        at = self.opened_at + timedelta(days=30) if is_over else timezone.now()

        turned = open_and_close_locks(at=at, by="test")

        assert turned == (len(running) if is_over else 0)
        for promotion in running if is_over else ():
            promotion.is_running = False
            self._has_given_back(promotion)

    # channels

    @rule(shop=SHOPS, is_answered=st.booleans())
    def tell(self, shop: int, *, is_answered: bool) -> None:
        self._tell(self.shops[shop], is_answered=is_answered)

    @rule(shop=SHOPS)
    def read_orders(self, shop: int) -> None:
        self._read(self.shops[shop])

    @rule()
    def let_go_on(self) -> None:
        self._sweep()

    @rule()
    def read_all_and_let_go_on(self) -> None:
        """Nobody is told anything."""
        self._sweep()
        for shop in self.shops:
            self._read(shop)
        self._sweep()

    @rule()
    def settle(self) -> None:
        """Channels that answer and are read do not keep anybody waiting."""
        self._settle()
        assert not Revocation.objects.filter(state__in=Revocation.OPEN).exists()

    @rule(which=st.integers(0, 20))
    def force(self, which: int) -> None:
        revocations = list(Revocation.objects.order_by("pk"))
        if not revocations:
            return
        revocation = revocations[which % len(revocations)]
        how = {"revocation_id": revocation.pk, "reason": "now", "at": timezone.now(), "by": "user:1"}
        if revocation.state in Revocation.OPEN:
            force_revocation(**how)  # type: ignore[arg-type]
        with pytest.raises(RevocationIsOver):
            force_revocation(**how)  # type: ignore[arg-type]

    @rule()
    def work_out_exposures(self) -> None:
        expose.compute_exposures(at=timezone.now())

    # what must hold

    @invariant()
    def no_number_has_drifted(self) -> None:
        assert drift() == []

    @invariant()
    def what_is_granted_is_what_lies_there_and_nobody_is_promised_more(self) -> None:
        for sku in self.skus:
            pools = StockPool.objects.filter(sku=sku).aggregate(
                granted=Sum("granted"), reserved=Sum("reserved")
            )
            promised = sum(self._live(key) for key, line in self.lines.items() if line.sku == sku)
            assert pools["granted"] == self.on_hand[sku.pk] >= promised == pools["reserved"]

    @invariant()
    def every_line_accounts_for_all_its_units(self) -> None:
        for key, line in self.lines.items():
            assert self._live(key) + self._owed(key) + line.cancelled == line.wanted

    @invariant()
    def what_shops_show_of_a_pool_is_there(self) -> None:
        """Of a pool that is one shop's own; and of a shared one that is low: together."""
        shown, room = Counter[int](), {}
        rows = fetch_all(
            f"SELECT s.pool_id, p.kind, s.sellable, s.free, s.owed, s.low_water FROM ({availability.SHARES}) s"  # noqa: S608
            " JOIN inventory_stockpool p ON p.id = s.pool_id",
            {"skus": [sku.pk for sku in self.skus], "at": timezone.now()},
        )
        for pool_id, kind, sellable, free, owed, low_water in rows:
            available = max(free - owed, 0)
            assert 0 <= sellable <= available
            if kind != "shared" or (low_water and available < low_water):
                shown[pool_id] += sellable
                room[pool_id] = available
        assert all(shown[pool_id] <= room[pool_id] for pool_id in shown)

    # the hands of the model

    def _number(self) -> str:
        self.numbers += 1
        return f"n{self.numbers}"

    def _put(self, sku: Sku, units: int) -> None:
        put_stock(self.location, sku, units)
        self.on_hand[sku.pk] += units

    def _order(self, buyer: Shop, item: Sku, units: int) -> UUID:
        """It is promised if the pools that the model allows have enough free."""
        key = uuid4()
        free = sum(pool.granted - pool.reserved for pool in self._pools_of(buyer, item))

        [outcome] = reserve_stock(
            wanted=[Demand(key, buyer.pk, item.pk, units)], at=timezone.now(), by="test"
        )

        assert outcome.reserved == (units if free >= units else 0)
        self.lines[key] = Line(buyer, item, units)
        self._look_where_it_came_from([key])
        return key

    def _set_rule(self, shop: Shop, sku: Sku | None, mode: str) -> None:
        wish = QuotaWish(
            group_id=self.location.group_id,
            shop_id=shop.pk,
            mode=mode,
            sku_id=sku.pk if sku else None,
            quota_ratio=None if mode == "shared" else RATIO,
            minimum=1 if mode == "exclusive" else 0,
        )
        made = set_quota_rule(wish=wish, at=timezone.now(), by="test", reason="")
        self.said[shop.pk, sku.pk if sku else None] = (made.pk, mode)

    def _plan(self, method: str, targets: dict[Shop, int], sku: Sku | None) -> AllocationRun:
        is_hand = method == "hand"
        rows = [[sku.pk, shop.pk, units] for shop, units in targets.items()] if is_hand and sku else []
        run = start_allocation(
            group_id=self.location.group_id,
            method=method,
            scope={} if is_hand or not sku else {"skus": [sku.pk]},
            settings={"targets": rows} if is_hand else {},
            trigger="person",
            reason="",
            at=timezone.now(),
            by="test",
        )
        assert [job.state for job in work()] == ["done"]
        run.refresh_from_db()
        assert run.state == "planned"
        return run

    def _run(self, method: str, targets: dict[Shop, int], sku: Sku) -> int:
        run = self._plan(method, targets, sku)
        start_apply(run_id=run.pk, at=timezone.now(), by="test")
        with pytest.raises(NotToApply):
            start_apply(run_id=run.pk, at=timezone.now(), by="test")
        assert [job.state for job in work()] == ["done"]
        run.refresh_from_db()
        assert run.state == "applied"
        return run.pk

    def _tell(self, shop: Shop, *, is_answered: bool) -> None:
        """The planner looks, and the channel is called; its answer may be lost."""
        self.clock += timedelta(minutes=2)
        plan_published_stock(limit=1000, at=self.clock)
        due = claim_due_stock(shop_id=shop.pk, limit=100, at=self.clock)
        if is_answered:
            answers = [Answer(number.published_id, True, version=number.version) for number in due]
            record_stock_answers(answers=answers, at=self.clock)
            self.told |= set(self._open_of(shop))

    def _read(self, shop: Shop) -> None:
        self.clock += timedelta(minutes=2)
        self.pulled = {**getattr(self, "pulled", {}), shop.pk: self.clock}
        self.read |= self.seen_told & set(self._open_of(shop))

    def _sweep(self) -> None:
        self.clock += timedelta(minutes=2)
        before = set(Revocation.objects.filter(state__in=Revocation.OPEN).values_list("pk", flat=True))
        advance_revocations(pulled=getattr(self, "pulled", {}), at=self.clock, by="test")
        after = set(Revocation.objects.filter(state__in=Revocation.OPEN).values_list("pk", flat=True))
        # Nothing goes on before its channel knows, and its orders were read after that.
        assert before - after <= self.read
        self.seen_told |= self.told & after

    def _settle(self) -> None:
        for _ in range(2):
            for shop in self.shops:
                self._tell(shop, is_answered=True)
            self._sweep()
            for shop in self.shops:
                self._read(shop)
            self._sweep()

    @staticmethod
    def _open_of(shop: Shop) -> list[int]:
        return list(
            Revocation.objects.filter(shop=shop, state__in=Revocation.OPEN).values_list("pk", flat=True)
        )

    def _has_given_back(self, promotion: Promotion) -> None:
        """Nothing is free in the lock of a promotion that is over."""
        pool = StockPool.objects.get(sku=promotion.sku_id, kind="lock", label=promotion.code)
        assert pool.granted == pool.reserved

    def _pools_of(self, shop: Shop, sku: Sku) -> list[StockPool]:
        """The pools from which a shop may be promised a SKU, by its rule and its promotions."""
        _id, mode = self.said.get((shop.pk, sku.pk)) or self.said.get((shop.pk, None)) or (0, "")
        mine = [
            promotion
            for promotion in self.promotions
            if promotion.is_running and (promotion.shop_id, promotion.sku_id) == (shop.pk, sku.pk)
        ]
        names = {("lock", promotion.code) for promotion in mine} | {("revoking", shop.code)}
        if not any(promotion.is_alone for promotion in mine):
            names.add(("quota", shop.code))
            if mode != "exclusive":
                names.add(("shared", ""))
        return [pool for pool in StockPool.objects.filter(sku=sku) if (pool.kind, pool.label) in names]

    def _look_where_it_came_from(self, keys: list[UUID]) -> None:
        """A shop that sells its own units alone has none of the shared pool; nobody has any of another's."""
        for key in keys:
            line = self.lines[key]
            allowed = {pool.pk for pool in self._pools_of(line.shop, line.sku)}
            parts = Reservation.objects.filter(line_key=key, state="held")
            assert set(parts.values_list("pool_id", flat=True)) <= allowed

    @staticmethod
    def _named(sku: Sku, kind: str, label: str) -> StockPool | None:
        return StockPool.objects.filter(sku=sku, kind=kind, label=label).first()

    @staticmethod
    def _pools() -> list[tuple[int, int, int]]:
        return list(StockPool.objects.order_by("pk").values_list("pk", "granted", "reserved"))

    @staticmethod
    def _live(key: UUID) -> int:
        parts = Reservation.objects.filter(line_key=key, state__in=LIVE)
        return parts.aggregate(units=Sum("quantity"))["units"] or 0

    @staticmethod
    def _owed(key: UUID) -> int:
        return sum(Shortage.objects.filter(line_key=key, state="open").values_list("quantity", flat=True))


LIMITS = settings(
    max_examples=int(os.environ.get("MODEL_EXAMPLES", "15")),
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def test_no_history_of_rules_runs_and_promotions_gives_a_unit_to_two() -> None:
    run_state_machine_as_test(Shares, settings=LIMITS)


def rewrite(monkeypatch: pytest.MonkeyPatch, module: object, name: str, old: str, new: str) -> None:
    statement = getattr(module, name)
    assert old in statement
    monkeypatch.setattr(module, name, statement.replace(old, new))


def let_exclusive_shops_share(monkeypatch: pytest.MonkeyPatch) -> None:
    rewrite(monkeypatch, derive, "DERIVE", "mode IS DISTINCT FROM 'exclusive'", "true")


def let_go_before_the_acknowledgement(monkeypatch: pytest.MonkeyPatch) -> None:
    rewrite(monkeypatch, revoke, "TELL", f"AND NOT EXISTS ({revoke._UNTOLD})", "")
    rewrite(monkeypatch, revoke, "READY", f"AND NOT EXISTS ({revoke._SHOWS_MORE})", "")


def let_go_before_the_orders_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    rewrite(monkeypatch, revoke, "READY", "u.until IS NULL OR u.until <= r.acked_at", "false")


def grant_what_is_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock.LockedPool, "free", property(lambda pool: pool.granted))


def show_low_pools_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rewrite(monkeypatch, availability, "SHARES", "available < low_water", "available < -1")


def divide_low_pools_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    rewrite(monkeypatch, expose, "COMPUTE", "weight_so_far - weight)", "0 * weight)")


MUTANTS = [
    let_exclusive_shops_share,
    let_go_before_the_acknowledgement,
    let_go_before_the_orders_are_read,
    grant_what_is_promised,
    show_low_pools_whole,
    divide_low_pools_by_chance,
]


@pytest.mark.parametrize("mutate", MUTANTS, ids=lambda mutate: mutate.__name__)
def test_mutant_some_history_gives_a_unit_to_two(mutate: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(mutate)
    mutate(monkeypatch)

    with pytest.raises(Exception):  # noqa: B017 - an assertion, a refusal or the database: whichever notices first
        run_state_machine_as_test(
            Shares, settings=settings(LIMITS, phases=(Phase.generate,), max_examples=200)
        )

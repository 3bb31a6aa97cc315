"""Six connections do whatever the room can do, at once and on few SKUs; then everything must add up.

Each connection draws its operations from a seed of its own, so that a failure names it; how they meet is the machine's.
`CONCURRENT_ROUNDS=50 pytest tests/inventory/test_concurrent_model.py --timeout=0` looks for longer.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import LazySettings
from django.db import connection
from django.db.models import F, Sum
from django.utils import timezone

from inventory import lock, reserve
from inventory.adjust import StockAdjustment, adjust_stock
from inventory.commit import Commitment, commit_stock, uncommit_stock
from inventory.count import StockCount, count_stock
from inventory.fill import fill_shortages
from inventory.holds.end import give_back_hold, lapse_holds
from inventory.holds.hold import hold_stock
from inventory.holds.take_over import reserve_from_holds
from inventory.lock import LineIsBusy
from inventory.models import (
    AllocationRun,
    Location,
    PromotionLock,
    QuotaRule,
    Reservation,
    Revocation,
    Shortage,
    StockHold,
    StockLevel,
    StockPool,
    TransferLine,
)
from inventory.network.group import join_group
from inventory.network.switch import switch_location
from inventory.network.tally import CountedLine, confirm_count_sheet, open_count_sheet, submit_count_sheet
from inventory.network.transfer import Arrival, TransferItem, plan_transfer, receive_transfer, ship_transfer
from inventory.pools import PoolMove, move_between_pools, set_safety_stock
from inventory.publish import claim_due_stock, plan_published_stock, record_stock_answers
from inventory.quota.apply import apply_run, start_apply, unapply_run, undo_run
from inventory.quota.define import QuotaWish, set_quota_rule
from inventory.quota.derive import derive_draws
from inventory.quota.expose import compute_exposures
from inventory.quota.keep import SafetyWish, keep_safety
from inventory.quota.plan import plan_allocation, start_allocation
from inventory.quota.promote import LockWish, cancel_lock, open_and_close_locks, plan_lock
from inventory.quota.revoke import TakeBack, advance_revocations, force_revocation, take_back
from inventory.receive import StockReceipt, receive_stock
from inventory.regrade import Regrade, regrade_stock
from inventory.reserve import Demand, Release, release_stock, reserve_stock
from inventory.ship import ShippedPart, ship_stock
from omni.kernel.answers import Answer
from omni.kernel.errors import DomainError
from omni.kernel.models import Job
from products.models import Sku
from tests.factories.inventory import LocationFactory, put_stock
from tests.factories.products import ListingFactory, SkuFactory
from tests.factories.quota import Market, job_of, sell_much
from tests.inventory.races import drift, must_break, run_together

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.capability("V1", "V8", "V10", "V11", "V12", "V13", "V17", "V18"),
    pytest.mark.timeout(900),
]
CONNECTIONS = 6
ROUNDS = int(os.environ.get("CONCURRENT_ROUNDS", "3"))
ACTS_PER_ROUND = 80


@pytest.fixture(autouse=True)
def quiet_doorbell(settings: LazySettings) -> None:
    settings.OMNI_DOORBELL = False


def deadlocks() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


def now(by: str = "test") -> dict[str, Any]:
    return {"at": timezone.now(), "by": by}


@dataclass
class Town:
    """Two groups of locations; A sells its quota alone, B its quota and what is shared, C what is shared."""

    market: Market = field(default_factory=lambda: Market(0, ratios={"A": "0.3", "B": "0.3", "C": None}))

    def __post_init__(self) -> None:
        market = self.market
        for letter, mode in (("B", "lock_share"), ("C", "shared")):
            QuotaRule.objects.filter(shop=market.shops[letter]).update(mode=mode)
        derive_draws(at=timezone.now())
        self.skus: list[Sku] = SkuFactory.create_batch(3)
        self.near: Location = LocationFactory.create(group=market.location.group)
        self.far: Location = LocationFactory.create()
        self.places = [market.location, self.near, self.far]
        self.shop_ids = {letter: shop.pk for letter, shop in market.shops.items()}
        self.codes = {letter: shop.code for letter, shop in market.shops.items()}
        for sku in self.skus:
            for place in self.places:
                put_stock(place, sku, 12)
            for letter, shop in market.shops.items():
                ListingFactory.create(shop=shop, sku=sku)
                sell_much(shop, sku, 2000 if letter == "C" else 100)
            market.grant({"A": 6, "B": 4}, sku=sku)


@dataclass
class Hand:
    """One connection, and what it has in hand: lines, holds, lorries and runs that nobody else touches."""

    town: Town
    chance: random.Random
    lines: dict[UUID, int] = field(default_factory=dict)  # units that each must still account for
    holds: list[tuple[int, str]] = field(default_factory=list)
    lorries: list[int] = field(default_factory=list)
    runs: list[int] = field(default_factory=list)

    # chances

    def sku(self) -> int:
        return self.chance.choice(self.town.skus).pk

    def skus(self) -> list[int]:
        return [sku.pk for sku in self.chance.sample(self.town.skus, self.chance.randint(1, 3))]

    def place(self) -> int:
        return self.chance.choice(self.town.places).pk

    def letter(self) -> str:
        return self.chance.choice("ABC")

    def units(self, most: int = 4) -> int:
        return self.chance.randint(1, most)

    @staticmethod
    def number() -> str:
        return uuid4().hex

    # promises

    def order(self) -> None:
        shop = self.town.shop_ids[self.letter()]
        wanted = [Demand(uuid4(), shop, sku, self.units()) for sku in self.skus()]
        reserve_stock(wanted=wanted, **now())
        self.lines |= {demand.line_key: demand.quantity for demand in wanted}

    def cancel(self) -> None:
        if self.lines:
            key = self.chance.choice(list(self.lines))
            release_stock(releases=[Release(key)], **now())
            shipped = Reservation.objects.filter(line_key=key, state="shipped").aggregate(n=Sum("quantity"))[
                "n"
            ]
            self.lines[key] = shipped or 0

    def source(self) -> None:
        for key in self.chance.sample(list(self.lines), min(2, len(self.lines))):
            for part, units in Reservation.objects.filter(line_key=key, state="held").values_list(
                "part", "quantity"
            ):
                commit_stock(commitments=[Commitment(key, part, self.place(), units)], **now())

    def take_from_warehouse(self) -> None:
        if self.lines:
            uncommit_stock(parts=[(self.chance.choice(list(self.lines)), 0)], **now())

    def ship(self) -> None:
        parts = Reservation.objects.filter(line_key__in=list(self.lines), state="committed")[:2]
        leaving = [ShippedPart(part.line_key, part.part, part.quantity) for part in parts]
        if leaving:
            ship_stock(shipped=leaving, document="SH", **now())

    def fill(self) -> None:
        fill_shortages(sku_ids=self.skus(), **now())

    def hold(self) -> None:
        shop, key = self.town.shop_ids[self.letter()], self.number()
        hold_stock(shop_id=shop, key=key, buyer=key, lines=[(s, self.units(2)) for s in self.skus()], **now())
        self.holds.append((shop, key))

    def end_hold(self) -> None:
        if self.holds:
            shop, key = self.holds.pop()
            give_back_hold(shop_id=shop, key=key, **now())

    def lapse(self) -> None:
        if self.holds:
            due = StockHold.objects.filter(key=self.holds[0][1], state="held")
            due.update(
                expires_at=F("expires_at") - timedelta(minutes=16),
                created_at=F("created_at") - timedelta(minutes=16),
            )
        lapse_holds(limit=10, **now())

    def order_held(self) -> None:
        if self.holds:
            shop, key = self.holds.pop()
            wanted = [Demand(uuid4(), shop, sku, self.units(2), 1) for sku in self.skus()]
            reserve_from_holds(shop_id=shop, wanted=wanted, holds={1: key}, **now())
            self.lines |= {demand.line_key: demand.quantity for demand in wanted}

    # goods

    def receive(self) -> None:
        place = self.place()
        receipts = [StockReceipt(place, sku, self.units(6)) for sku in self.skus()]
        receive_stock(key=self.number(), receipts=receipts, reason="", **now())

    def count(self) -> None:
        counts = [StockCount(self.place(), self.sku(), self.chance.randint(6, 14))]
        count_stock(key=self.number(), counts=counts, reason="", **now())

    def adjust(self) -> None:
        lines = [StockAdjustment(self.place(), sku, -self.units(2)) for sku in self.skus()]
        adjust_stock(key=self.number(), adjustments=lines, reason="", **now())

    def regrade(self) -> None:
        grades = self.chance.sample(["good", "defective"], 2)
        lines = [Regrade(self.place(), self.sku(), 1, *grades)]
        regrade_stock(key=self.number(), lines=lines, reason="", **now())

    def send(self) -> None:
        here, there = (place.pk for place in self.chance.sample(self.town.places, 2))
        items = [TransferItem(sku, self.units(3)) for sku in self.skus()]
        made = plan_transfer(source_id=here, destination_id=there, items=items, **now())
        ship_transfer(transfer_id=made.pk, **now())
        self.lorries.append(made.pk)

    def unload(self) -> None:
        if self.lorries:
            pk = self.lorries[0]
            for line in TransferLine.objects.filter(transfer=pk):
                if line.shipped > line.received + line.lost:
                    arrivals = [Arrival(line.pk, 1)]
                    receive_transfer(key=self.number(), transfer_id=pk, arrivals=arrivals, **now())
                    return
            self.lorries.pop(0)

    def count_by_sheet(self) -> None:
        lines = [CountedLine(sku, self.chance.randint(6, 14)) for sku in self.skus()]
        at = timezone.now()
        sheet = open_count_sheet(location_id=self.place(), lines=lines, counted_at=at, at=at, by="user:1")
        submit_count_sheet(sheet_id=sheet.pk, **now("user:1"))
        confirm_count_sheet(sheet_id=sheet.pk, reason="", **now("user:1"))

    def join(self) -> None:
        group = self.chance.choice([self.town.market.location.group_id, self.town.far.group_id])
        join_group(location_id=self.town.near.pk, group_id=group, reason="", **now())

    def switch(self) -> None:
        use, is_on = "ships_online", self.chance.random() < 0.7
        switch_location(location_id=self.town.far.pk, use=use, is_on=is_on, reason="", **now())

    # quotas

    def set_rule(self) -> None:
        letter = self.chance.choice("BC")  # A sells its own alone, for ever
        wish = QuotaWish(
            self.town.market.group_id,
            self.town.shop_ids[letter],
            self.chance.choice(QuotaRule.Mode.values),
            sku_id=self.chance.choice([None, self.sku()]),
        )
        set_quota_rule(wish=wish, reason="", **now())

    def keep(self) -> None:
        wishes = [SafetyWish(sku, self.chance.randint(0, 2)) for sku in self.skus()]
        if self.chance.random() < 0.3:
            shop = self.town.shop_ids[self.letter()]
            wishes = [SafetyWish(self.sku(), 2, self.town.market.location.pk, shop)]
        keep_safety(wishes=wishes, reason="", **now())

    def plan(self) -> AllocationRun:
        method = self.chance.choice(["hand", "ratio", "refill"])
        rows = [
            [sku, self.town.shop_ids[letter], self.chance.randint(0, 8)]
            for sku in self.skus()
            for letter in "AB"
        ]
        run = start_allocation(
            group_id=self.town.market.group_id,
            method=method,
            scope={} if method == "hand" else {"skus": self.skus()},
            settings={"targets": rows} if method == "hand" else {},
            trigger="person",
            reason="",
            **now(),
        )
        return self.worked(run, plan_allocation)

    @staticmethod
    def worked(run: AllocationRun, work: Callable[[Job], Any]) -> AllocationRun:
        job = job_of(run)
        Job.objects.filter(pk=job.pk).update(state="running")
        list(work(Job.objects.get(pk=job.pk)))
        run.refresh_from_db()
        return run

    def allocate(self) -> None:
        run = self.plan()
        start_apply(run_id=run.pk, **now())
        self.runs.append(self.worked(run, apply_run).pk)

    def undo(self) -> None:
        if self.runs:
            run = undo_run(run_id=self.runs.pop(), reason="", **now())
            self.worked(run, unapply_run)

    def take_back(self) -> None:
        giver, taker = self.chance.sample("AB", 2)
        wanted = [
            TakeBack(sku, self.town.shop_ids[giver], self.units(2), "quota", self.town.codes[taker])
            for sku in self.skus()
        ]
        take_back(group_id=self.town.market.group_id, wanted=wanted, reason="", **now())

    def go_on(self) -> None:
        pulled = {shop: timezone.now() for shop in self.town.shop_ids.values() if self.chance.random() < 0.7}
        advance_revocations(pulled=pulled, **now())

    def force(self) -> None:
        found = Revocation.objects.filter(state__in=Revocation.OPEN).order_by("?").first()
        if found:
            force_revocation(revocation_id=found.pk, reason="now", **now())

    def promote(self) -> None:
        at = timezone.now()
        wish = LockWish(
            code=self.number(),
            name="Eleven",
            group_id=self.town.market.group_id,
            shop_ids=[self.town.shop_ids[letter] for letter in self.chance.sample("BC", self.units(2))],
            starts_at=at - timedelta(minutes=1),
            ends_at=at + timedelta(days=1),
            units={sku: self.units() for sku in self.skus()},
            mode=self.chance.choice(PromotionLock.Mode.values),
        )
        plan_lock(wish=wish, reason="", **now())

    def end_promotion(self) -> None:
        live = list(PromotionLock.objects.filter(state="active").values_list("pk", flat=True))
        if live:
            cancel_lock(lock_id=self.chance.choice(live), reason="", **now())

    def look_at_promotions(self) -> None:
        open_and_close_locks(**now())

    # channels

    def plan_numbers(self) -> None:
        plan_published_stock(limit=100, at=timezone.now())

    def tell(self) -> None:
        at, shop = timezone.now() + timedelta(minutes=self.units(9)), self.town.shop_ids[self.letter()]
        due = claim_due_stock(shop_id=shop, limit=10, at=at)
        answers = [Answer(number.published_id, True, version=number.version) for number in due]
        if self.chance.random() < 0.7:
            record_stock_answers(answers=answers, at=at)

    def expose(self) -> None:
        compute_exposures(at=timezone.now())


# As often as they happen; what changes everything happens seldom.
ACTS: Sequence[Callable[[Hand], None]] = [
    *[Hand.order] * 8,
    *[Hand.cancel, Hand.source, Hand.ship, Hand.fill, Hand.receive, Hand.hold, Hand.order_held] * 3,
    *[Hand.count, Hand.adjust, Hand.regrade, Hand.send, Hand.unload, Hand.count_by_sheet] * 2,
    *[Hand.allocate, Hand.undo, Hand.take_back, Hand.go_on, Hand.tell, Hand.plan_numbers] * 2,
    *[Hand.end_hold, Hand.lapse, Hand.take_from_warehouse, Hand.join, Hand.switch, Hand.set_rule, Hand.keep],
    *[Hand.force, Hand.promote, Hand.end_promotion, Hand.look_at_promotions, Hand.expose],
]


def act_at_random(hand: Hand, count: int) -> int:
    """How many of so many operations were done; the others were refused, in one sentence and as a whole."""
    done = 0
    for _ in range(count):
        with contextlib.suppress(DomainError):
            hand.chance.choice(ACTS)(hand)
            done += 1
    return done


def everything_at_once(seed: int, acts: int = ACTS_PER_ROUND) -> None:
    town = Town()
    hands = [Hand(town, random.Random(seed * 100 + number)) for number in range(CONNECTIONS)]
    before = deadlocks()

    done = run_together([partial(act_at_random, hand, acts) for hand in hands], threads=CONNECTIONS)

    assert deadlocks() == before
    assert drift() == []
    assert sum(done) > acts * CONNECTIONS / 2
    for sku in town.skus:
        lying = StockLevel.objects.filter(sku=sku, grade="good").aggregate(n=Sum("on_hand"))["n"]
        promised = Reservation.objects.filter(sku=sku, state__in=["held", "committed"])
        assert (promised.aggregate(n=Sum("quantity"))["n"] or 0) <= lying
    for hand in hands:
        for key, wanted in hand.lines.items():
            assert units_of(key) == wanted
    # A has its own rule all along, and sells from no promotion: nothing shared was ever promised to it.
    of_others = Reservation.objects.filter(shop=town.shop_ids["A"], pool__kind__in=["shared", "base", "lock"])
    assert not of_others.exclude(state__in=["committed", "shipped"]).exists()


def units_of(key: UUID) -> int:
    """What a line holds, has got, and is owed."""
    parts = (
        Reservation.objects.filter(line_key=key).exclude(state="released").aggregate(n=Sum("quantity"))["n"]
    )
    owed = Shortage.objects.filter(line_key=key, state="open").aggregate(n=Sum("quantity"))["n"]
    return (parts or 0) + (owed or 0)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_whatever_six_connections_do_at_once_everything_adds_up_and_nobody_deadlocks(seed: int) -> None:
    everything_at_once(seed)


@pytest.mark.usefixtures("broken_on_purpose")
def test_mutant_without_the_locks_of_pools_something_does_not_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "LOCK_POOLS", lock.LOCK_POOLS.replace("FOR NO KEY UPDATE", ""))
    monkeypatch.setattr(reserve, "LOCK_SOURCES", reserve.LOCK_SOURCES.replace("FOR NO KEY UPDATE OF p", ""))

    def scenario() -> None:
        everything_at_once(1, acts=30)

    must_break(scenario, seconds_max=120)


# the same, in opposite orders ---------------------------------------------------------------------------------


def opposite_orders() -> None:
    """Every operation that takes several SKUs is given them in both orders, by six connections at once."""
    town = Town()
    forward = [sku.pk for sku in SkuFactory.create_batch(8)]
    here, shop, group = town.market.location.pk, town.shop_ids["C"], town.market.group_id
    how: dict[str, Any] = {"reason": ""}
    both = [forward, forward[::-1]]
    for sku in forward:
        receive_stock(key=uuid4().hex, receipts=[StockReceipt(here, sku, 500)], reason="", **now())
    hand = Hand(town, random.Random(1))
    targets = [[sku, town.shop_ids[letter], 60] for sku in forward for letter in "AB"]
    start = {"group_id": group, "method": "hand", "scope": {}, "trigger": "person", "reason": ""}
    for _ in range(1):
        run = start_allocation(**start, settings={"targets": targets}, **now())  # type: ignore[arg-type]
        start_apply(run_id=hand.worked(run, plan_allocation).pk, **now())
        hand.worked(run, apply_run)
    pool = {
        (found.sku_id, found.label): found.pk
        for found in StockPool.objects.filter(sku__in=forward, kind__in=["quota", "shared"])
    }

    def promises(skus: list[int]) -> None:
        wanted = [Demand(uuid4(), shop, sku, 2) for sku in skus]
        reserve_stock(wanted=wanted, **now())
        keys = [demand.line_key for demand in wanted]
        commit_stock(commitments=[Commitment(key, 0, here, 1) for key in keys[::-1]], **now())
        parts = Reservation.objects.filter(line_key__in=keys, state="committed")
        ship_stock(shipped=[ShippedPart(p.line_key, p.part, 1) for p in parts], document="SH", **now())
        while True:
            with contextlib.suppress(LineIsBusy):
                release_stock(releases=[Release(key) for key in keys], **now())
                return

    def goods(skus: list[int]) -> None:
        key = uuid4().hex
        receive_stock(key=key, receipts=[StockReceipt(here, sku, 2) for sku in skus], **how, **now())
        lines = [StockAdjustment(here, sku, -1) for sku in skus[::-1]]
        adjust_stock(key=f"a{key}", adjustments=lines, **how, **now())
        grades = [Regrade(here, sku, 1, "good", "defective") for sku in skus]
        regrade_stock(key=f"g{key}", lines=grades, **how, **now())
        made = plan_transfer(
            source_id=here, destination_id=town.far.pk, items=[TransferItem(sku, 1) for sku in skus], **now()
        )
        ship_transfer(transfer_id=made.pk, **now())
        found = TransferLine.objects.filter(transfer=made).order_by("-pk")
        arrivals = [Arrival(line.pk, 1) for line in found]
        receive_transfer(key=f"t{key}", transfer_id=made.pk, arrivals=arrivals, **now())

    def pools(skus: list[int]) -> None:
        code = town.codes["A"]
        moves = [PoolMove(pool[sku, ""], pool[sku, code], 1) for sku in skus]
        move_between_pools(key=uuid4().hex, moves=moves, **how, **now())
        set_safety_stock(group_id=group, targets=dict.fromkeys(skus, len(moves) % 5), **how, **now())
        wanted = [TakeBack(sku, town.shop_ids["A"], 1, "quota", town.codes["B"]) for sku in skus]
        take_back(group_id=group, wanted=wanted, **how, **now())
        advance_revocations(pulled={}, **now())

    def holds(skus: list[int]) -> None:
        key = uuid4().hex
        hold_stock(shop_id=shop, key=key, buyer=key, lines=[(sku, 1) for sku in skus], **now())
        wanted = [Demand(uuid4(), shop, sku, 2, 1) for sku in skus[::-1]]
        reserve_from_holds(shop_id=shop, wanted=wanted, holds={1: key}, **now())
        fill_shortages(sku_ids=skus, **now())

    def sheets(skus: list[int]) -> None:
        at = timezone.now()
        lines = [CountedLine(sku, 490) for sku in skus]
        sheet = open_count_sheet(location_id=here, lines=lines, counted_at=at, at=at, by="user:1")
        submit_count_sheet(sheet_id=sheet.pk, **now("user:1"))
        confirm_count_sheet(sheet_id=sheet.pk, reason="", **now("user:1"))

    def refused_at_worst(act: Callable[[list[int]], None], skus: list[int]) -> None:
        with contextlib.suppress(DomainError):
            act(skus)

    acts = (promises, goods, pools, holds, sheets)
    jobs = [partial(refused_at_worst, act, skus) for _ in range(4) for act in acts for skus in both]
    random.Random(7).shuffle(jobs)
    before = deadlocks()

    run_together(jobs, threads=CONNECTIONS)

    assert deadlocks() == before
    assert drift() == []


def test_the_same_operations_in_opposite_orders_never_deadlock() -> None:
    opposite_orders()


@pytest.mark.usefixtures("broken_on_purpose")
def test_mutant_without_the_order_of_pools_the_operations_deadlock(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ORDER BY that is merely missing leaves the order to the plan: here it is nobody's."""
    for module, name, order in (
        (lock, "LOCK_POOLS", "ORDER BY id"),
        (reserve, "LOCK_SOURCES", "ORDER BY p.id"),
    ):
        statement = getattr(module, name)
        assert order in statement
        monkeypatch.setattr(module, name, statement.replace(order, "ORDER BY random()"))

    must_break(opposite_orders, seconds_max=120)

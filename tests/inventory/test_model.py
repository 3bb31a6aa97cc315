"""Random histories of a small warehouse against a model of what each line and each shelf must hold.

After every step all invariants of the room are asked, and every order line must account for all its units. For a long
run: `MODEL_EXAMPLES=2000 pytest tests/inventory/test_model.py --timeout=0`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from uuid import UUID, uuid4

import hypothesis.strategies as st
import pytest
from django.db import transaction
from django.db.models import Sum
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from inventory import commit, lock, reserve
from inventory.adjust import StockAdjustment, adjust_stock
from inventory.availability import sellable_stock
from inventory.book import CommittedStock, NotOnHand
from inventory.commit import uncommit_stock
from inventory.count import StockCount, count_stock
from inventory.fill import fill_shortages
from inventory.models import Location, Reservation, Shortage, StockLevel, StockPool
from inventory.pools import NotFree, PoolMove, move_between_pools, set_safety_stock
from inventory.reserve import Demand, Outcome, Release, release_stock, reserve_stock
from inventory.ship import NotCommitted, ShippedPart, ship_stock
from products.models import Shop, Sku
from tests.factories.inventory import LocationFactory, ShopPoolFactory, put_stock, shop_drawing_on
from tests.factories.products import SkuFactory
from tests.inventory.races import drift

# Eight seconds on an idle machine, a minute on one that is very busy.
pytestmark = [pytest.mark.django_db, pytest.mark.capability("V1", "V10", "V11"), pytest.mark.timeout(400)]

LIVE = (Reservation.State.HELD, Reservation.State.COMMITTED)
PLACES, SKUS, SHOPS = range(3), range(2), range(3)
UNITS = st.integers(1, 4)


@dataclass
class Line:
    """What an order line must account for: `wanted` = live + shipped + owed + `cancelled`."""

    shop: Shop
    sku: Sku
    wanted: int
    cancelled: int = 0


class Warehouse(RuleBasedStateMachine):
    """Two locations that sell as one and one on its own; shops on shared pools, on both groups, on a quota."""

    keys = Bundle[UUID]("keys")

    def __init__(self) -> None:
        super().__init__()
        self.savepoint = transaction.savepoint()
        self.lines: dict[UUID, Line] = {}
        self.on_hand: dict[tuple[int, int], int] = {}
        self.numbers = 0

    def teardown(self) -> None:
        transaction.savepoint_rollback(self.savepoint)

    def number(self) -> str:
        self.numbers += 1
        return f"n{self.numbers}"

    @initialize()
    def open_the_house(self) -> None:
        first = LocationFactory.create()
        self.places: list[Location] = [
            first,
            LocationFactory.create(group=first.group),
            LocationFactory.create(),
        ]
        self.skus: list[Sku] = [SkuFactory.create() for _ in SKUS]
        far = self.places[2].group
        limited = shop_drawing_on()
        self.shops: list[Shop] = [shop_drawing_on(first.group), shop_drawing_on(first.group, far), limited]
        self.quotas: dict[int, StockPool] = {}
        for sku in self.skus:
            quota = StockPool.objects.create(group=first.group, sku=sku, kind="quota", label="Q")
            self.quotas[sku.pk] = quota
            put_stock(first, sku, 12)
            self.on_hand[first.pk, sku.pk] = 12
            shared = StockPool.objects.get(group=first.group, sku=sku, kind="shared")
            moves = [PoolMove(shared.pk, quota.pk, 4)]
            move_between_pools(key=self.number(), moves=moves, at=timezone.now(), by="test", reason="")
        ShopPoolFactory.create(shop=limited, group=first.group, kind="quota", label="Q")

    @rule(place=st.sampled_from(PLACES), sku=st.sampled_from(SKUS), units=st.integers(1, 9))
    def receive(self, place: int, sku: int, units: int) -> None:
        location, item = self.places[place], self.skus[sku]
        put_stock(location, item, units)
        key = (location.pk, item.pk)
        self.on_hand[key] = self.on_hand.get(key, 0) + units

    @rule(
        target=keys,
        shop=st.sampled_from(SHOPS),
        sku=st.sampled_from(SKUS),
        units=UNITS,
        is_twice=st.booleans(),
    )
    def order(self, shop: int, sku: int, units: int, *, is_twice: bool) -> UUID:
        buyer, item, key = self.shops[shop], self.skus[sku], uuid4()
        demand = Demand(key, buyer.pk, item.pk, units)
        free = self._free_for(buyer, item)

        outcomes = reserve_stock(wanted=[demand] * (1 + is_twice), at=timezone.now(), by="test")

        held = units if free >= units else 0
        assert outcomes[0] == Outcome(key, held, units - held, is_repeat=False)
        self.lines[key] = Line(buyer, item, units)
        return key

    @rule(target=keys, shop=st.sampled_from(SHOPS), sku=st.sampled_from(SKUS), units=st.tuples(UNITS, UNITS))
    def order_two_lines_in_one_batch(self, shop: int, sku: int, units: tuple[int, int]) -> UUID:
        buyer, item = self.shops[shop], self.skus[sku]
        demands = [Demand(uuid4(), buyer.pk, item.pk, quantity) for quantity in units]
        free = self._free_for(buyer, item)

        outcomes = reserve_stock(wanted=demands, at=timezone.now(), by="test")

        for demand, outcome in zip(demands, outcomes, strict=True):
            assert outcome.reserved == (demand.quantity if free >= demand.quantity else 0)
            free -= outcome.reserved
            self.lines[demand.line_key] = Line(buyer, item, demand.quantity)
        return demands[0].line_key

    @rule(shop=st.sampled_from(SHOPS), sku=st.sampled_from(SKUS), units=st.tuples(UNITS, UNITS))
    def request_that_may_be_refused(self, shop: int, sku: int, units: tuple[int, int]) -> None:
        buyer, item = self.shops[shop], self.skus[sku]
        demands = [Demand(uuid4(), buyer.pk, item.pk, quantity, 1) for quantity in units]
        is_enough = self._free_for(buyer, item) >= sum(units)

        outcomes = reserve_stock(wanted=demands, at=timezone.now(), by="test", refuse_short=True)

        assert [outcome.reserved for outcome in outcomes] == (list(units) if is_enough else [0, 0])
        if is_enough:
            for demand in demands:
                self.lines[demand.line_key] = Line(buyer, item, demand.quantity)

    @rule(key=keys)
    def capture_again(self, key: UUID) -> None:
        line = self.lines[key]
        held = self._sum(key, (*LIVE, Reservation.State.SHIPPED))
        if not held:
            return  # it would be promised anew, which `order` covers

        [outcome] = reserve_stock(
            wanted=[Demand(key, line.shop.pk, line.sku.pk, line.wanted)], at=timezone.now(), by="test"
        )

        assert outcome == Outcome(key, held, line.wanted - held, is_repeat=True)

    @rule(key=keys, units=UNITS)
    def cancel_some(self, key: UUID, units: int) -> None:
        live, owed = self._sum(key, LIVE), self._owed(key)

        freed = release_stock(releases=[Release(key, units)], at=timezone.now(), by="test")[key]

        assert freed == min(live, max(0, units - owed))
        self.lines[key].cancelled += min(units, live + owed)

    @rule(key=consumes(keys))
    def cancel_twice(self, key: UUID) -> None:
        live, owed = self._sum(key, LIVE), self._owed(key)

        freed = [release_stock(releases=[Release(key)], at=timezone.now(), by="test")[key] for _ in range(2)]

        assert freed == [live, 0]
        self.lines[key].cancelled += live + owed

    @rule(key=keys, place=st.sampled_from(PLACES), units=UNITS, is_sensible=st.booleans())
    def source(self, key: UUID, place: int, units: int, *, is_sensible: bool) -> None:
        line = self.lines[key]
        part = Reservation.objects.filter(line_key=key, state=Reservation.State.HELD).order_by("part").first()
        if part is None:
            return
        levels = {level.location_id: level for level in StockLevel.objects.filter(sku=line.sku)}
        if is_sensible:  # the fullest location of the group, and no more than the part holds
            mine = [location for location in self.places if location.group_id == part.pool.group_id]
            location = max(mine, key=lambda location: self._uncommitted(levels.get(location.pk)))
            units = min(units, part.quantity)
        else:
            location = self.places[place]
        is_possible = (
            self._uncommitted(levels.get(location.pk)) >= units
            and part.quantity >= units
            and part.pool.group_id == location.group_id
        )

        wanted = commit.Commitment(key, part.part, location.pk, units)
        [result] = commit.commit_stock(commitments=[wanted], at=timezone.now(), by="test")

        assert result.ok is is_possible

    @rule(key=keys)
    def warehouse_refuses(self, key: UUID) -> None:
        parts = Reservation.objects.filter(line_key=key).values_list("part", flat=True)
        committed = self._sum(key, [Reservation.State.COMMITTED])

        back = uncommit_stock(parts=[(key, part) for part in parts], at=timezone.now(), by="test")

        assert back == committed

    @rule(key=keys)
    def deliver(self, key: UUID) -> None:
        """Source what is held from wherever it lies, and ship all that is committed."""
        for part in Reservation.objects.filter(line_key=key, state=Reservation.State.HELD):
            for location in self.places:
                wanted = commit.Commitment(key, part.part, location.pk, part.quantity)
                commit.commit_stock(commitments=[wanted], at=timezone.now(), by="test")
        parts = Reservation.objects.filter(line_key=key, state=Reservation.State.COMMITTED)
        leaving = [ShippedPart(key, part.part, part.quantity) for part in parts]
        for part in parts:
            assert part.location_id is not None
            self.on_hand[part.location_id, part.sku_id] -= part.quantity

        ship_stock(shipped=leaving, document="SH2", at=timezone.now(), by="test")

    @rule(key=keys, units=UNITS)
    def ship(self, key: UUID, units: int) -> None:
        part = Reservation.objects.filter(line_key=key, state__in=LIVE).order_by("state", "part").first()
        if part is None:
            return
        units = min(units, part.quantity + 1)
        leaving = [ShippedPart(key, part.part, units)]
        if part.state == Reservation.State.COMMITTED and part.quantity >= units:
            ship_stock(shipped=leaving, document="SH1", at=timezone.now(), by="test")
            assert part.location_id is not None
            self.on_hand[part.location_id, part.sku_id] -= units
        else:
            with pytest.raises(NotCommitted):
                ship_stock(shipped=leaving, document="SH1", at=timezone.now(), by="test")

    @rule(place=st.sampled_from(PLACES), sku=st.sampled_from(SKUS), difference=st.integers(-3, 3))
    def count(self, place: int, sku: int, difference: int) -> None:
        location, item = self.places[place], self.skus[sku]
        counted = max(0, self.on_hand.get((location.pk, item.pk), 0) + difference)
        counts = [StockCount(location.pk, item.pk, counted)]
        if counted < self._committed(location, item):
            with pytest.raises(CommittedStock):
                count_stock(key=self.number(), counts=counts, reason="", at=timezone.now(), by="test")
        else:
            count_stock(key=self.number(), counts=counts, reason="", at=timezone.now(), by="test")
            self.on_hand[location.pk, item.pk] = counted

    @rule(places=st.permutations(PLACES), sku=st.sampled_from(SKUS), units=UNITS, is_kept=st.booleans())
    def write_off_or_carry_over(self, places: list[int], sku: int, units: int, *, is_kept: bool) -> None:
        here, there, item = self.places[places[0]], self.places[places[1]], self.skus[sku]
        adjustments = [StockAdjustment(here.pk, item.pk, -units)]
        if is_kept:
            adjustments.append(StockAdjustment(there.pk, item.pk, units))
        left = self.on_hand.get((here.pk, item.pk), 0) - units
        refusal = NotOnHand if left < 0 else CommittedStock if left < self._committed(here, item) else None
        key = self.number()
        if refusal:
            with pytest.raises(refusal):
                adjust_stock(key=key, adjustments=adjustments, reason="", at=timezone.now(), by="test")
            return

        adjust_stock(key=key, adjustments=adjustments, reason="", at=timezone.now(), by="test")

        self.on_hand[here.pk, item.pk] = left
        if is_kept:
            self.on_hand[there.pk, item.pk] = self.on_hand.get((there.pk, item.pk), 0) + units

    @rule(sku=st.sampled_from(SKUS), kept=st.integers(0, 3))
    def keep_safe(self, sku: int, kept: int) -> None:
        group, targets = self.places[0].group, {self.skus[sku].pk: kept}
        set_safety_stock(group_id=group.pk, targets=targets, at=timezone.now(), by="test", reason="")

    @rule(sku=st.sampled_from(SKUS), units=UNITS, is_back=st.booleans())
    def move(self, sku: int, units: int, *, is_back: bool) -> None:
        quota = self.quotas[self.skus[sku].pk]
        shared = StockPool.objects.get(group=quota.group, sku=quota.sku, kind="shared")
        giver, taker = (quota, shared) if is_back else (shared, quota)
        giver.refresh_from_db()
        moves = [PoolMove(giver.pk, taker.pk, units)]
        if units > giver.granted - giver.reserved:
            with pytest.raises(NotFree):
                move_between_pools(key=self.number(), moves=moves, at=timezone.now(), by="test", reason="")
        else:
            move_between_pools(key=self.number(), moves=moves, at=timezone.now(), by="test", reason="")

    @rule(sku=st.sampled_from(SKUS))
    def fill(self, sku: int) -> None:
        filled = fill_shortages(sku_ids=[self.skus[sku].pk], at=timezone.now(), by="test")

        assert not Shortage.objects.filter(line_key__in=filled, state="open").exists()
        for key in Shortage.objects.filter(sku=self.skus[sku], state="open").values_list(
            "line_key", flat=True
        ):
            assert self._free_for(self.lines[key].shop, self.skus[sku]) < self._owed(key)

    @precondition(lambda self: self.lines)
    @rule(sku=st.sampled_from(SKUS), shop=st.sampled_from(SHOPS))
    def ask_what_is_sellable(self, sku: int, shop: int) -> None:
        buyer, item = self.shops[shop], self.skus[sku]

        sellable = sellable_stock(sku_ids=[item.pk], shop_ids=[buyer.pk])[buyer.pk, item.pk]

        assert 0 <= sellable <= self._free_for(buyer, item)

    @invariant()
    def no_number_has_drifted(self) -> None:
        assert drift() == []

    @invariant()
    def what_lies_there_is_what_was_put_and_taken(self) -> None:
        rows = StockLevel.objects.values_list("location_id", "sku_id", "on_hand")
        assert {(place, sku): units for place, sku, units in rows if units} == {
            place: units for place, units in self.on_hand.items() if units
        }

    @invariant()
    def every_line_accounts_for_all_its_units(self) -> None:
        for key, line in self.lines.items():
            held = self._sum(key, (*LIVE, Reservation.State.SHIPPED))
            assert held + self._owed(key) + line.cancelled == line.wanted

    def _free_for(self, shop: Shop, sku: Sku) -> int:
        """Free units of the pools from which the shop draws, added up row by row."""
        mine = {
            self.shops[0].pk: [("shared", self.places[0].group_id)],
            self.shops[1].pk: [("shared", self.places[0].group_id), ("shared", self.places[2].group_id)],
            self.shops[2].pk: [("quota", self.places[0].group_id)],
        }[shop.pk]
        pools = StockPool.objects.filter(sku=sku)
        return sum(pool.granted - pool.reserved for pool in pools if (pool.kind, pool.group_id) in mine)

    @staticmethod
    def _sum(key: UUID, states: tuple[str, ...] | list[str]) -> int:
        parts = Reservation.objects.filter(line_key=key, state__in=states)
        return parts.aggregate(units=Sum("quantity"))["units"] or 0

    @staticmethod
    def _uncommitted(level: StockLevel | None) -> int:
        return level.on_hand - level.committed if level else 0

    @staticmethod
    def _owed(key: UUID) -> int:
        return sum(Shortage.objects.filter(line_key=key, state="open").values_list("quantity", flat=True))

    @staticmethod
    def _committed(location: Location, sku: Sku) -> int:
        return sum(StockLevel.objects.filter(location=location, sku=sku).values_list("committed", flat=True))


LIMITS = settings(
    max_examples=int(os.environ.get("MODEL_EXAMPLES", "25")),
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def test_no_history_breaks_the_books() -> None:
    run_state_machine_as_test(Warehouse, settings=LIMITS)


def forget_what_lines_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    forgetful = reserve.FIND_STANDINGS.replace("state <> 'released'", "false")
    monkeypatch.setattr(reserve, "FIND_STANDINGS", forgetful)


def sell_what_is_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock.LockedPool, "free", property(lambda pool: pool.granted))


def forget_the_running_remainder(monkeypatch: pytest.MonkeyPatch) -> None:
    real = reserve._draw
    monkeypatch.setattr(reserve, "_draw", lambda demand, pools, left: real(demand, pools, dict(left)))


def free_less_than_was_released(monkeypatch: pytest.MonkeyPatch) -> None:
    less = reserve.GIVE_BACK_TO_POOLS.replace("p.reserved - v.quantity", "p.reserved - 1")
    monkeypatch.setattr(reserve, "GIVE_BACK_TO_POOLS", less)


def ship_what_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "_choose_level", _any_level)


def _any_level(
    wanted: object, part: object, lines: object, levels: dict[object, list[object]], *_: object
) -> object:
    return next((level for owners in levels.values() for level in owners), None)


MUTANTS = [
    forget_what_lines_hold,
    sell_what_is_reserved,
    forget_the_running_remainder,
    free_less_than_was_released,
    ship_what_is_not_there,
]


@pytest.mark.parametrize("mutate", MUTANTS, ids=lambda mutate: mutate.__name__)
def test_mutant_some_history_breaks_the_books(mutate: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(mutate)
    mutate(monkeypatch)

    with pytest.raises(Exception):  # noqa: B017 - an assertion, a refusal or the database: whichever notices first
        run_state_machine_as_test(Warehouse, settings=settings(LIMITS, phases=(Phase.generate,)))

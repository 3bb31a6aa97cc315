"""Random histories of a small warehouse against a model of what each line and each shelf must hold.

After every step all invariants of the room are asked, and every order line must account for all its units. For a long
run: `MODEL_EXAMPLES=2000 pytest tests/inventory/test_model.py --timeout=0`.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import hypothesis.strategies as st
import pytest
from django.db import transaction
from django.db.models import F, Sum
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
from inventory.holds.end import HoldWasTaken, give_back_hold, lapse_holds
from inventory.holds.hold import NotEnoughToHold, hold_stock
from inventory.holds.take_over import Fate, reserve_from_holds
from inventory.models import (
    Location,
    LocationGroup,
    Reservation,
    Shortage,
    StockHold,
    StockLevel,
    StockPool,
    TransferLine,
)
from inventory.network.group import SwitchedOff, join_group
from inventory.network.switch import switch_location
from inventory.network.tally import (
    CountedLine,
    confirm_count_sheet,
    open_count_sheet,
    reject_count_sheet,
    submit_count_sheet,
)
from inventory.network.transfer import (
    Arrival,
    MoreThanShipped,
    TransferItem,
    cancel_transfer,
    close_transfer,
    plan_transfer,
    receive_transfer,
    ship_transfer,
)
from inventory.pools import NotFree, PoolMove, move_between_pools, set_safety_stock
from inventory.regrade import Regrade, regrade_stock
from inventory.reserve import Demand, Outcome, Release, release_stock, reserve_stock
from inventory.ship import NotCommitted, ShippedPart, ship_stock
from products.models import Shop, Sku
from tests.factories.inventory import LocationFactory, ShopPoolFactory, put_stock, shop_drawing_on
from tests.factories.products import SkuFactory
from tests.inventory.races import drift

# Half a minute on an idle machine, some minutes on one that is very busy.
pytestmark = [
    pytest.mark.django_db,
    pytest.mark.capability("V1", "V2", "V10", "V11", "V17", "V18", "V20"),
    pytest.mark.timeout(900),
]

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


@dataclass
class Lorry:
    """Units of a SKU on their way; what left = what came + what was lost + `left`."""

    transfer_id: int
    line_id: int
    there: Location
    sku: Sku
    left: int


@dataclass
class Sheet:
    """A count of one SKU at one location, of which nothing is booked yet."""

    sheet_id: int
    location: Location
    sku: Sku
    variance: int


class Warehouse(RuleBasedStateMachine):
    """Two locations that sell as one and one on its own; shops on shared pools, on both groups, on a quota.

    Goods are sent between them, counted by sheets, found broken, and held for buyers; locations change groups.
    """

    keys = Bundle[UUID]("keys")
    holds = Bundle[str]("holds")
    lorries = Bundle[Lorry]("lorries")
    sheets = Bundle[Sheet]("sheets")

    def __init__(self) -> None:
        super().__init__()
        self.savepoint = transaction.savepoint()
        self.lines: dict[UUID, Line] = {}
        self.on_hand: dict[tuple[int, int], int] = {}
        self.broken: dict[tuple[int, int], int] = {}
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
        self.groups: list[LocationGroup] = [first.group, far]
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
        levels = {level.location_id: level for level in StockLevel.objects.filter(sku=line.sku, grade="good")}
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
        group, targets = self.groups[0], {self.skus[sku].pk: kept}
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
        for shortage in Shortage.objects.filter(sku=self.skus[sku], state="open").select_related("shop"):
            assert shortage.shop is not None
            assert self._free_for(shortage.shop, self.skus[sku]) < shortage.quantity

    @precondition(lambda self: self.lines)
    @rule(sku=st.sampled_from(SKUS), shop=st.sampled_from(SHOPS))
    def ask_what_is_sellable(self, sku: int, shop: int) -> None:
        buyer, item = self.shops[shop], self.skus[sku]

        sellable = sellable_stock(sku_ids=[item.pk], shop_ids=[buyer.pk])[buyer.pk, item.pk]

        assert 0 <= sellable <= self._free_for(buyer, item)

    # held for buyers

    @rule(target=holds, shop=st.sampled_from(SHOPS), sku=st.sampled_from(SKUS), units=UNITS)
    def hold(self, shop: int, sku: int, units: int) -> str:
        buyer, item, key = self.shops[shop], self.skus[sku], self.number()
        is_enough = self._free_for(buyer, item) >= units

        def ask() -> StockHold:
            return hold_stock(
                shop_id=buyer.pk, key=key, buyer=key, lines=[(item.pk, units)], at=timezone.now(), by="test"
            )

        if is_enough:
            assert ask().pk == ask().pk
        else:
            with pytest.raises(NotEnoughToHold):
                ask()
        return key

    @rule(key=holds)
    def give_back(self, key: str) -> None:
        hold = StockHold.objects.filter(key=key).first()
        if hold is None:
            return
        if hold.state == StockHold.State.TAKEN:
            with pytest.raises(HoldWasTaken):
                give_back_hold(shop_id=hold.shop_id, key=key, at=timezone.now(), by="test")
            return

        again = give_back_hold(shop_id=hold.shop_id, key=key, at=timezone.now(), by="test")

        is_live = hold.state == StockHold.State.HELD
        assert again.state == (StockHold.State.RELEASED if is_live else hold.state)

    @rule(key=holds)
    def let_lapse(self, key: str) -> None:
        due = StockHold.objects.filter(key=key, state="held")
        late = due.update(
            expires_at=F("expires_at") - timedelta(minutes=16),
            created_at=F("created_at") - timedelta(minutes=16),
        )

        assert lapse_holds(limit=10, at=timezone.now(), by="test") == late
        assert lapse_holds(limit=10, at=timezone.now(), by="test") == 0

    @rule(target=keys, key=holds, sku=st.sampled_from(SKUS), shop=st.sampled_from(SHOPS), units=UNITS)
    def order_what_was_held(self, key: str, sku: int, shop: int, units: int) -> UUID:
        """By whatever shop, of whatever SKU: only its own hold of the same goods counts."""
        hold = StockHold.objects.filter(key=key).select_related("shop").first()
        buyer = hold.shop if hold else self.shops[shop]
        held_line = hold.lines.first() if hold else None
        item = self.skus[sku]
        is_live = hold is not None and hold.state == StockHold.State.HELD
        is_same = held_line is not None and held_line.sku_id == item.pk
        kept = self._sum(held_line.line_key, LIVE) if held_line and is_live and is_same else 0
        is_served = units - min(kept, units) <= self._free_for(buyer, item)
        line_key = uuid4()

        outcomes, fates = reserve_from_holds(
            shop_id=buyer.pk,
            wanted=[Demand(line_key, buyer.pk, item.pk, units, together=1)],
            holds={1: key},
            at=timezone.now(),
            by="test",
        )

        assert outcomes[0].reserved == (units if is_served else 0)
        assert (fates[1] is Fate.TAKEN) is (is_live and is_same and is_served)
        self.lines[line_key] = Line(buyer, item, units)
        return line_key

    # sent, found broken, counted

    @rule(target=lorries, places=st.permutations(PLACES), sku=st.sampled_from(SKUS), units=UNITS)
    def send(self, places: list[int], sku: int, units: int) -> Lorry:
        here, there, item = self.places[places[0]], self.places[places[1]], self.skus[sku]
        transfer = plan_transfer(
            source_id=here.pk,
            destination_id=there.pk,
            items=[TransferItem(item.pk, units)],
            at=timezone.now(),
            by="test",
        )
        line = TransferLine.objects.get(transfer=transfer)
        refusal = self._refusal_to_leave(here, item, units)
        if refusal:
            with pytest.raises(refusal):
                ship_transfer(transfer_id=transfer.pk, at=timezone.now(), by="test")
            cancel_transfer(transfer_id=transfer.pk, reason="", at=timezone.now(), by="test")
            return Lorry(transfer.pk, line.pk, there, item, 0)

        sent = [ship_transfer(transfer_id=transfer.pk, at=timezone.now(), by="test") for _ in range(2)]

        assert sent == [True, False]
        self.on_hand[here.pk, item.pk] -= units
        return Lorry(transfer.pk, line.pk, there, item, units)

    @rule(lorry=lorries, good=st.integers(0, 3), damaged=st.integers(0, 1), lost=st.integers(0, 1))
    def unload(self, lorry: Lorry, good: int, damaged: int, lost: int) -> None:
        if not lorry.left or not good + damaged + lost:
            return
        key = self.number()
        arrival = Arrival(lorry.line_id, good + damaged, damaged, lost, "lost" if lost else "")

        def receive() -> bool:
            return receive_transfer(
                key=key, transfer_id=lorry.transfer_id, arrivals=[arrival], at=timezone.now(), by="test"
            )

        if good + damaged + lost > lorry.left:
            with pytest.raises(MoreThanShipped):
                receive()
            return

        assert [receive(), receive()] == [True, False]
        place = (lorry.there.pk, lorry.sku.pk)
        self.on_hand[place] = self.on_hand.get(place, 0) + good
        self.broken[place] = self.broken.get(place, 0) + damaged
        lorry.left -= good + damaged + lost

    @rule(lorry=lorries)
    def give_up_the_rest(self, lorry: Lorry) -> None:
        if lorry.left:
            lost = close_transfer(transfer_id=lorry.transfer_id, reason="lost", at=timezone.now(), by="test")
            assert lost == lorry.left
            lorry.left = 0

    @rule(place=st.sampled_from(PLACES), sku=st.sampled_from(SKUS), units=UNITS, is_mended=st.booleans())
    def grade(self, place: int, sku: int, units: int, *, is_mended: bool) -> None:
        location, item = self.places[place], self.skus[sku]
        spot = (location.pk, item.pk)
        grades = ("defective", "good") if is_mended else ("good", "defective")
        lines, key = [Regrade(location.pk, item.pk, units, *grades)], self.number()
        refusal = None if is_mended else self._refusal_to_leave(location, item, units)
        if is_mended and self.broken.get(spot, 0) < units:
            refusal = NotOnHand

        def change() -> bool:
            return regrade_stock(key=key, lines=lines, reason="", at=timezone.now(), by="test")

        if refusal:
            with pytest.raises(refusal):
                change()
            return

        assert [change(), change()] == [True, False]
        gained = units if is_mended else -units
        self.on_hand[spot] = self.on_hand.get(spot, 0) + gained
        self.broken[spot] = self.broken.get(spot, 0) - gained

    @rule(
        target=sheets, place=st.sampled_from(PLACES), sku=st.sampled_from(SKUS), difference=st.integers(-3, 3)
    )
    def count_by_sheet(self, place: int, sku: int, difference: int) -> Sheet:
        location, item = self.places[place], self.skus[sku]
        there = self.on_hand.get((location.pk, item.pk), 0)
        counted = max(0, there + difference)
        now = timezone.now()
        sheet = open_count_sheet(
            location_id=location.pk,
            lines=[CountedLine(item.pk, counted)],
            counted_at=now,
            at=now,
            by="user:1",
        )
        submit_count_sheet(sheet_id=sheet.pk, at=now, by="user:1")
        return Sheet(sheet.pk, location, item, counted - there)

    @rule(sheet=consumes(sheets), is_right=st.booleans())
    def decide_on_sheet(self, sheet: Sheet, *, is_right: bool) -> None:
        """Whatever has moved since it was counted stays moved: the variance is booked, not the number."""
        place = (sheet.location.pk, sheet.sku.pk)
        left = self.on_hand.get(place, 0) + sheet.variance
        is_bookable = not sheet.variance or left >= self._committed(sheet.location, sheet.sku)
        if is_right:
            confirmed = confirm_count_sheet(
                sheet_id=sheet.sheet_id, reason="", at=timezone.now(), by="user:1"
            )
            assert (confirmed.posted, len(confirmed.left)) == ((1, 0) if is_bookable else (0, 1))
            if is_bookable:
                self.on_hand[place] = left
        if not is_right or not is_bookable:
            reject_count_sheet(sheet_id=sheet.sheet_id, reason="", at=timezone.now(), by="user:1")

    # locations change groups

    @rule(place=st.sampled_from(PLACES), group=st.integers(0, 1))
    def join(self, place: int, group: int) -> None:
        location, wanted = self.places[place], self.groups[group]
        how = {"location_id": location.pk, "group_id": wanted.pk, "reason": "", "by": "test"}
        if not location.ships_online:
            with pytest.raises(SwitchedOff):
                join_group(at=timezone.now(), **how)  # type: ignore[arg-type]
            return

        moved = join_group(at=timezone.now(), **how)  # type: ignore[arg-type]

        assert (moved is None) is (location.group_id == wanted.pk)
        location.refresh_from_db()
        assert location.group_id == wanted.pk

    @rule(place=st.sampled_from(PLACES), is_on=st.booleans())
    def switch(self, place: int, *, is_on: bool) -> None:
        """Switched off it is sold by nobody; switched on it is where it was."""
        location = self.places[place]
        before = location.group_id

        switch_location(
            location_id=location.pk, use="ships_online", is_on=is_on, reason="", at=timezone.now(), by="test"
        )

        location.refresh_from_db()
        group = LocationGroup.objects.get(pk=location.group_id)
        assert (group.code == "off") is not is_on
        if not is_on and before != location.group_id:
            assert location.group_before_off_id == before

    @invariant()
    def no_number_has_drifted(self) -> None:
        assert drift() == []

    @invariant()
    def what_lies_there_is_what_was_put_and_taken(self) -> None:
        for grade, known in (("good", self.on_hand), ("defective", self.broken)):
            rows = StockLevel.objects.filter(grade=grade).values_list("location_id", "sku_id", "on_hand")
            assert {(place, sku): units for place, sku, units in rows if units} == {
                place: units for place, units in known.items() if units
            }

    @invariant()
    def every_line_accounts_for_all_its_units(self) -> None:
        for key, line in self.lines.items():
            held = self._sum(key, (*LIVE, Reservation.State.SHIPPED))
            assert held + self._owed(key) + line.cancelled == line.wanted

    @invariant()
    def what_is_granted_of_a_group_is_what_lies_in_it(self) -> None:
        lying = Counter[tuple[int, int]]()
        for location in self.places:
            for sku in self.skus:
                lying[location.group_id, sku.pk] += self.on_hand.get((location.pk, sku.pk), 0)
        granted = StockPool.objects.values_list("group_id", "sku_id").annotate(units=Sum("granted"))
        assert {(group, sku): units for group, sku, units in granted if units} == {
            place: units for place, units in lying.items() if units
        }

    def _refusal_to_leave(self, location: Location, sku: Sku, units: int) -> type[Exception] | None:
        """Why free units cannot leave a location: they do not lie there, or they are promised."""
        left = self.on_hand.get((location.pk, sku.pk), 0) - units
        if left < 0:
            return NotOnHand
        pools = StockPool.objects.filter(group=location.group_id, sku=sku)
        free = sum(pool.granted - pool.reserved for pool in pools)
        return NotFree if left < self._committed(location, sku) or free < units else None

    def _free_for(self, shop: Shop, sku: Sku) -> int:
        """Free units of the pools from which the shop draws, added up row by row."""
        mine = {
            self.shops[0].pk: [("shared", self.groups[0].pk)],
            self.shops[1].pk: [("shared", self.groups[0].pk), ("shared", self.groups[1].pk)],
            self.shops[2].pk: [("quota", self.groups[0].pk)],
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
        levels = StockLevel.objects.filter(location=location, sku=sku, grade="good")
        return sum(levels.values_list("committed", flat=True))


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
        run_state_machine_as_test(
            Warehouse, settings=settings(LIMITS, phases=(Phase.generate,), max_examples=200)
        )

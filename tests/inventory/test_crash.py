"""Every operation is cut off after each of its statements in turn, and then done again: it is done once, or not yet.

The server ends the session of the operation from another connection, as when a worker's machine is gone. What is looked
at afterwards is every number and state of the room. For operations of one transaction nothing may have changed; those
of several may have come as far as their last commit.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.conf import LazySettings
from django.db import Error, connection
from django.db.models import F
from django.utils import timezone

from inventory.adjust import StockAdjustment, adjust_stock
from inventory.commit import Commitment, commit_stock, uncommit_stock
from inventory.count import StockCount, count_stock
from inventory.fill import fill_shortages
from inventory.holds.end import give_back_hold, lapse_holds
from inventory.holds.hold import hold_stock
from inventory.holds.take_over import reserve_from_holds
from inventory.models import (
    AllocationRun,
    CountSheet,
    Location,
    PromotionLock,
    QuotaRule,
    Revocation,
    StockHold,
    StockPool,
    TransferLine,
)
from inventory.network.group import join_group
from inventory.network.switch import switch_location
from inventory.network.tally import (
    CountedLine,
    confirm_count_sheet,
    open_count_sheet,
    submit_count_sheet,
)
from inventory.network.transfer import (
    Arrival,
    TransferItem,
    close_transfer,
    plan_transfer,
    receive_transfer,
    ship_transfer,
)
from inventory.pools import PoolMove, move_between_pools
from inventory.publish import claim_due_stock, plan_published_stock, record_stock_answers
from inventory.quota.apply import (
    NotToApply,
    NotToUndo,
    apply_run,
    drop_run,
    start_apply,
    unapply_run,
    undo_run,
)
from inventory.quota.define import QuotaWish, end_quota_rule, set_quota_rule
from inventory.quota.expose import compute_exposures
from inventory.quota.keep import SafetyWish, keep_safety
from inventory.quota.plan import plan_allocation, start_allocation
from inventory.quota.promote import LockWish, cancel_lock, open_and_close_locks, plan_lock
from inventory.quota.revoke import TakeBack, force_revocation, take_back
from inventory.receive import StockReceipt, receive_stock
from inventory.regrade import Regrade, regrade_stock
from inventory.reserve import Demand, Release, release_stock, reserve_stock
from inventory.ship import ShippedPart, ship_stock
from omni.kernel.answers import Answer
from omni.kernel.errors import DomainError
from omni.kernel.models import Job
from omni.kernel.sql import fetch_all
from tests.factories.inventory import LocationFactory, put_stock
from tests.factories.quota import Market, job_of, sell_much
from tests.inventory.races import drift

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.capability("V10", "V11", "V12"),
    pytest.mark.timeout(900),
]


@pytest.fixture(autouse=True)
def quiet_doorbell(settings: LazySettings) -> None:
    settings.OMNI_DOORBELL = False


Act = Callable[[], object]
CASES: dict[str, Callable[[House], Act]] = {}


def case(prepare: Callable[[House], Act]) -> Callable[[House], Act]:
    """Set the scene for one operation, and return it, ready to be done: the same each time that it is called."""
    CASES[prepare.__name__] = prepare
    return prepare


@dataclass
class House:
    """40 units, of which A has a quota of 10; A and B are listed, and another location sells on its own."""

    market: Market = field(
        default_factory=lambda: Market(40, ratios={"A": "0.5", "B": "0.25"}, mode="lock_share")
    )

    def __post_init__(self) -> None:
        self.market.grant({"A": 10})
        self.market.list_everywhere()
        self.other: Location = LocationFactory.create()
        self.sku_id, self.here = self.market.sku.pk, self.market.location.pk
        self.key = uuid4().hex

    def demand(self, units: int = 3, letter: str = "A") -> Demand:
        return self.market.demand(letter, units)

    def promised(self, units: int = 3) -> UUID:
        demand = self.demand(units)
        reserve_stock(wanted=[demand], **now())
        return demand.line_key

    def committed(self, units: int = 3) -> UUID:
        key = self.promised(units)
        commit_stock(commitments=[Commitment(key, 0, self.here, units)], **now())
        return key

    def pool(self, kind: str, label: str = "") -> int:
        return StockPool.objects.get(sku=self.sku_id, kind=kind, label=label).pk

    def code(self, letter: str) -> str:
        return self.market.shops[letter].code

    def held(self, units: int = 3) -> str:
        self.ask_to_hold(units)
        return self.key

    def ask_to_hold(self, units: int = 3) -> None:
        shop = self.market.shops["A"].pk
        hold_stock(shop_id=shop, key=self.key, buyer="ann", lines=[(self.sku_id, units)], **now())

    def transfer(self) -> TransferLine:
        made = plan_transfer(
            source_id=self.here,
            destination_id=self.other.pk,
            items=[TransferItem(self.sku_id, 5)],
            external_number=self.key,
            **now(),
        )
        return TransferLine.objects.get(transfer=made)

    def sent(self) -> TransferLine:
        line = self.transfer()
        ship_transfer(transfer_id=line.transfer_id, **now())
        return line

    def sheet(self, counted: int = 37) -> CountSheet:
        return open_count_sheet(
            location_id=self.here,
            lines=[CountedLine(self.sku_id, counted)],
            counted_at=timezone.now(),
            **now("user:1"),
        )

    def submitted(self) -> CountSheet:
        sheet = self.sheet()
        submit_count_sheet(sheet_id=sheet.pk, **now("user:1"))
        return sheet

    def taken(self, units: int = 4) -> Revocation:
        self.take_back(units)
        return Revocation.objects.get(sku=self.sku_id)

    def take_back(self, units: int = 4) -> None:
        wanted = TakeBack(self.sku_id, self.market.shops["A"].pk, units, "quota", self.code("B"))
        take_back(group_id=self.market.group_id, wanted=[wanted], reason="", **now())

    def lock(self) -> PromotionLock:
        at = timezone.now()
        wish = LockWish(
            code=self.key[:32],
            name="Eleven",
            group_id=self.market.group_id,
            shop_ids=[self.market.shops["B"].pk],
            starts_at=at - timedelta(minutes=1),
            ends_at=at + timedelta(days=1),
            units={self.sku_id: 6},
        )
        return plan_lock(wish=wish, reason="", **now())


def now(by: str = "test") -> dict[str, Any]:
    return {"at": timezone.now(), "by": by}


# promises


@case
def reserve(house: House) -> Act:
    demands = [house.demand(12), house.demand(100)]  # one from two pools, one that is owed all
    return lambda: reserve_stock(wanted=demands, **now())


@case
def release(house: House) -> Act:
    keys = [house.promised(), house.committed()]
    return lambda: release_stock(releases=[Release(key) for key in keys], **now())


@case
def commit(house: House) -> Act:
    wanted = Commitment(house.promised(), 0, house.here, 2)
    return lambda: commit_stock(commitments=[wanted], **now())


@case
def uncommit(house: House) -> Act:
    key = house.committed()
    return lambda: uncommit_stock(parts=[(key, 0)], **now())


@case
def ship(house: House) -> Act:
    part = ShippedPart(house.committed(), 0, 3)
    return lambda: ship_stock(shipped=[part], document=house.key[:20], **now())


@case
def fill(house: House) -> Act:
    reserve_stock(wanted=[house.demand(44)], **now())
    put_stock(house.market.location, house.market.sku, 10)
    return lambda: fill_shortages(sku_ids=[house.sku_id], **now())


@case
def hold(house: House) -> Act:
    return house.ask_to_hold


@case
def give_back(house: House) -> Act:
    key, shop = house.held(), house.market.shops["A"].pk
    return lambda: give_back_hold(shop_id=shop, key=key, **now())


@case
def lapse(house: House) -> Act:
    StockHold.objects.filter(key=house.held()).update(
        expires_at=F("expires_at") - timedelta(minutes=16), created_at=F("created_at") - timedelta(minutes=16)
    )
    return lambda: lapse_holds(limit=5, **now())


@case
def take_hold_over(house: House) -> Act:
    house.held(5)
    demand, shop = house.demand(3), house.market.shops["A"].pk
    return lambda: reserve_from_holds(shop_id=shop, wanted=[demand], holds={0: house.key}, **now())


# goods


@case
def receive(house: House) -> Act:
    receipts = [StockReceipt(house.other.pk, house.sku_id, 5)]
    return lambda: receive_stock(key=house.key, receipts=receipts, reason="", **now())


@case
def count_with_promises_withdrawn(house: House) -> Act:
    house.promised(30)
    counts = [StockCount(house.here, house.sku_id, 20)]
    return lambda: count_stock(key=house.key, counts=counts, reason="", **now())


@case
def adjust(house: House) -> Act:
    lines = [
        StockAdjustment(house.here, house.sku_id, -7),
        StockAdjustment(house.other.pk, house.sku_id, 7),
    ]
    return lambda: adjust_stock(key=house.key, adjustments=lines, reason="", **now())


@case
def regrade(house: House) -> Act:
    lines = [Regrade(house.here, house.sku_id, 4, "good", "defective")]
    return lambda: regrade_stock(key=house.key, lines=lines, reason="", **now())


@case
def send_transfer(house: House) -> Act:
    line = house.transfer()
    return lambda: ship_transfer(transfer_id=line.transfer_id, **now())


@case
def write_transfer(house: House) -> Act:
    return house.transfer


@case
def receive_part_of_transfer(house: House) -> Act:
    line = house.sent()
    arrivals = [Arrival(line.pk, 3, 1, 1, "lost")]
    how = {"key": house.key, "transfer_id": line.transfer_id, "arrivals": arrivals}
    return lambda: receive_transfer(**how, **now())  # type: ignore[arg-type]


@case
def give_up_transfer(house: House) -> Act:
    line = house.sent()
    return lambda: close_transfer(transfer_id=line.transfer_id, reason="lost", **now())


@case
def submit_sheet(house: House) -> Act:
    sheet = house.sheet()
    return lambda: submit_count_sheet(sheet_id=sheet.pk, **now("user:1"))


@case
def confirm_sheet(house: House) -> Act:
    sheet = house.submitted()
    return lambda: confirm_count_sheet(sheet_id=sheet.pk, reason="", **now("user:1"))


@case
def join(house: House) -> Act:
    house.committed()
    house.promised(30)
    group = house.other.group_id
    return lambda: join_group(location_id=house.here, group_id=group, reason="", **now())


@case
def switch_off(house: House) -> Act:
    how: dict[str, Any] = {"location_id": house.here, "use": "ships_online", "is_on": False, "reason": ""}
    return lambda: switch_location(**how, **now())


# quotas


@case
def move_pools(house: House) -> Act:
    moves = [PoolMove(house.pool("shared"), house.pool("quota", house.code("A")), 3)]
    return lambda: move_between_pools(key=house.key, moves=moves, reason="", **now())


@case
def keep(house: House) -> Act:
    wishes = [SafetyWish(house.sku_id, 5, house.here, house.market.shops["A"].pk)]
    return lambda: keep_safety(wishes=[*wishes, SafetyWish(house.sku_id, 3)], reason="", **now())


@case
def set_rule(house: House) -> Act:
    shop = house.market.shops["A"].pk
    wish = QuotaWish(house.market.group_id, shop, "exclusive", sku_id=house.sku_id)
    return lambda: set_quota_rule(wish=wish, reason="", **now())


@case
def end_rule(house: House) -> Act:
    rule = QuotaRule.objects.get(shop=house.market.shops["A"])
    return lambda: end_quota_rule(rule_id=rule.pk, reason="", **now())


@case
def plan_run(house: House) -> Act:
    run = start_allocation(
        group_id=house.market.group_id,
        method="ratio",
        scope={"skus": [house.sku_id]},
        settings={},
        trigger="person",
        reason="",
        **now(),
    )
    job = job_of(run)
    Job.objects.filter(pk=job.pk).update(state="running")
    return lambda: list(plan_allocation(Job.objects.get(pk=job.pk)))


def planned(house: House) -> AllocationRun:
    """From the shared pool to A at once, and from A to B in two phases."""
    return house.market.by_hand({"A": 4, "B": 30})


def do(run: AllocationRun, start: Callable[..., object], work: Callable[[Job], Iterator[object]]) -> None:
    with contextlib.suppress(NotToApply, NotToUndo):  # it was begun before the crash
        start(run_id=run.pk, **now())
    job = job_of(run)
    Job.objects.filter(pk=job.pk).update(state="running")
    list(work(Job.objects.get(pk=job.pk)))


@case
def apply_a_run(house: House) -> Act:
    return partial(do, planned(house), start_apply, apply_run)


@case
def undo_a_run(house: House) -> Act:
    run = planned(house)
    do(run, start_apply, apply_run)
    return partial(do, run, partial(undo_run, reason=""), unapply_run)


@case
def drop_a_run(house: House) -> Act:
    run = planned(house)
    return lambda: drop_run(run_id=run.pk, reason="", **now())


@case
def take_units_back(house: House) -> Act:
    def take() -> None:
        # Who takes units back knows by its own document whether it has: here by the rows.
        if not Revocation.objects.filter(sku=house.sku_id).exists():
            house.take_back()

    return take


@case
def note_what_was_acknowledged(house: House) -> Act:
    house.taken()
    house.market.tell()
    return house.market.sweep


@case
def let_go_on(house: House) -> Act:
    house.taken()
    house.market.tell()
    house.market.sweep()
    house.market.read_orders()
    return house.market.sweep


@case
def force(house: House) -> Act:
    revocation = house.taken()
    return lambda: force_revocation(revocation_id=revocation.pk, reason="now", **now())


@case
def begin_promotion(house: House) -> Act:
    return house.lock


@case
def end_promotion(house: House) -> Act:
    house.lock()
    at = timezone.now() + timedelta(days=1)
    return lambda: open_and_close_locks(at=at, by="test")


@case
def cancel_promotion(house: House) -> Act:
    lock = house.lock()
    return lambda: cancel_lock(lock_id=lock.pk, reason="", **now())


# what channels are told


@case
def work_out_exposures(house: House) -> Act:
    for shop in house.market.shops.values():
        sell_much(shop, house.market.sku, 5000)
    return lambda: compute_exposures(at=timezone.now())


@case
def plan_numbers(house: House) -> Act:
    house.promised(12)
    return lambda: plan_published_stock(limit=100, at=timezone.now())


@case
def claim_numbers(house: House) -> Act:
    house.promised(12)
    house.market.compute()
    at, shop = timezone.now() + timedelta(hours=2), house.market.shops["A"].pk
    return lambda: claim_due_stock(shop_id=shop, limit=10, at=at)


@case
def hear_answers(house: House) -> Act:
    house.promised(12)
    house.market.compute()
    at, shop = timezone.now() + timedelta(hours=2), house.market.shops["A"].pk
    due = claim_due_stock(shop_id=shop, limit=10, at=at)
    answers = [Answer(number.published_id, True, version=number.version) for number in due]
    return lambda: record_stock_answers(answers=answers, at=at)


# cutting ------------------------------------------------------------------------------------------------------

# What must be the same, without ids and moments. Of a label only whether there is one: codes differ.
BOOKS = """
    SELECT 'pool', row(kind, label <> '', granted, reserved, target, ends_at IS NULL)::text FROM inventory_stockpool
    UNION ALL SELECT 'level', row(grade, on_hand, committed)::text FROM inventory_stocklevel
    UNION ALL SELECT 'promise', row(part, quantity, state)::text FROM inventory_reservation
    UNION ALL SELECT 'shortage', row(quantity, state, reason)::text FROM inventory_shortage
    UNION ALL SELECT 'movement', row(kind, from_account, to_account, quantity)::text FROM inventory_stockmovement
    UNION ALL SELECT 'operation', kind FROM inventory_stockoperation
    UNION ALL SELECT 'hold', state FROM inventory_stockhold
    UNION ALL SELECT 'hold line', quantity::text FROM inventory_stockholdline
    UNION ALL SELECT 'transfer', state FROM inventory_transfer
    UNION ALL SELECT 'transfer line', row(shipped, received, damaged, lost)::text FROM inventory_transferline
    UNION ALL SELECT 'sheet', state FROM inventory_countsheet
    UNION ALL SELECT 'sheet line', row(counted, booked, posted)::text FROM inventory_countline
    UNION ALL SELECT 'location', row(ships_online, group_before_off_id IS NULL)::text FROM inventory_location
    UNION ALL SELECT 'rule', row(mode, is_active, sku_id IS NULL)::text FROM inventory_quotarule
    UNION ALL SELECT 'safety', units::text FROM inventory_safetyrule
    UNION ALL SELECT 'draw', row(kind, sku_id IS NULL, origin, buffer, maximum)::text FROM inventory_shoppool
    UNION ALL SELECT 'run', row(state, lines_planned, units_planned, units_moved)::text FROM inventory_allocationrun
    UNION ALL SELECT 'run line', row(kind, before, after, moved, state)::text FROM inventory_allocationline
    UNION ALL SELECT 'revocation', row(state, quantity, arrived)::text FROM inventory_revocation
    UNION ALL SELECT 'lock', state FROM inventory_promotionlock
    UNION ALL SELECT 'lock line', row(quantity, granted, returned)::text FROM inventory_promotionlockline
    UNION ALL SELECT 'exposure', row(low_water, part_from, part_to)::text FROM inventory_shopexposure
    UNION ALL SELECT 'published', row(desired_quantity, desired_version, sent_version, acked_version)::text
        FROM inventory_publishedstock
    UNION ALL SELECT 'job', kind FROM kernel_job
    UNION ALL SELECT 'event', kind FROM kernel_outboxevent
"""


def books() -> Counter[tuple[Any, ...]]:
    return Counter(fetch_all(BOOKS))


def change(
    before: Counter[tuple[Any, ...]], after: Counter[tuple[Any, ...]]
) -> tuple[Counter[Any], Counter[Any]]:
    return after - before, before - after


@dataclass
class Cut:
    statements: int = 0
    happened: bool = False


@contextmanager
def cut_off_after(statements: int) -> Iterator[Cut]:
    """End this session when it has run so many statements; the next one, or the commit, finds nobody there."""
    cut = Cut()
    connection.ensure_connection()
    pid = connection.connection.info.backend_pid
    killer = connection.copy()

    def run(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        result = execute(sql, params, many, context)
        cut.statements += 1
        if cut.statements == statements and not cut.happened:
            cut.happened = True
            with killer.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        return result

    try:
        with connection.execute_wrapper(run):
            yield cut
    finally:
        killer.close()
        if cut.happened:
            connection.close()


def cut_off_everywhere(act: Act) -> int:
    """Do it again and again, cut off one statement later each time, until it comes through. How often it was cut."""
    before, statements = books(), 0
    while True:
        statements += 1
        with cut_off_after(statements) as cut:
            try:
                act()
            except (Error, psycopg.Error):
                assert cut.happened
            except DomainError:
                return statements  # it was done but for its last words
            else:
                return statements
        after = books()
        if after != before:
            assert drift() == []
            before = after


def cut_off_and_done_again(name: str) -> None:
    prepare = CASES[name]
    act = prepare(House())
    before = books()
    act()
    wanted = change(before, books())
    assert wanted != (Counter(), Counter())

    act = prepare(House())
    before = books()
    cuts = cut_off_everywhere(act)

    assert cuts > 1
    assert change(before, books()) == wanted
    # The last answer was lost, and it is done once more.
    with contextlib.suppress(DomainError):
        act()
    assert change(before, books()) == wanted


@pytest.mark.parametrize("name", CASES)
def test_an_operation_that_is_cut_off_anywhere_is_done_once_when_it_is_done_again(name: str) -> None:
    cut_off_and_done_again(name)


@pytest.mark.usefixtures("broken_on_purpose")
@pytest.mark.parametrize("name", ["receive", "receive_part_of_transfer", "take_hold_over", "let_go_on"])
def test_mutant_without_its_transaction_what_is_cut_off_stays_half_done(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each statement is committed by itself."""
    monkeypatch.setattr("django.db.transaction.Atomic.__enter__", lambda self: None)
    monkeypatch.setattr("django.db.transaction.Atomic.__exit__", lambda self, *_error: None)

    with pytest.raises(Exception):  # noqa: B017 - a number that has drifted, or one that the room refuses to go on with
        cut_off_and_done_again(name)

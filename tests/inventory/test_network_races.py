"""Transfers, counts and moves of locations at once with everything else; each lock is taken away once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.db import connection
from django.utils import timezone

from inventory import lock, reserve
from inventory.book import NotFree
from inventory.models import CountSheet, Location, Reservation, StockPool, TransferLine
from inventory.network import tally, transfer
from inventory.network.group import join_group
from inventory.network.tally import (
    CountedLine,
    WrongSheetState,
    confirm_count_sheet,
    open_count_sheet,
    submit_count_sheet,
)
from inventory.network.transfer import (
    Arrival,
    MoreThanShipped,
    TransferItem,
    WrongTransferState,
    plan_transfer,
    receive_transfer,
    ship_transfer,
)
from products.models import Sku
from tests.factories.inventory import LocationFactory, LocationGroupFactory, Scene, put_stock
from tests.inventory.races import drift, must_break, run_together

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def quiet_doorbell(settings: LazySettings) -> None:
    """The bells would only slow the race down."""
    settings.OMNI_DOORBELL = False


@pytest.fixture
def no_pool_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pools are read without being locked."""
    monkeypatch.setattr(lock, "LOCK_POOLS", lock.LOCK_POOLS.replace("FOR NO KEY UPDATE", ""))
    unlocked = reserve.LOCK_SOURCES.replace("FOR NO KEY UPDATE OF p", "")
    assert unlocked != reserve.LOCK_SOURCES
    monkeypatch.setattr(reserve, "LOCK_SOURCES", unlocked)


def planned(scene: Scene, units: int) -> int:
    return plan_transfer(
        source_id=scene.location.pk,
        destination_id=LocationFactory.create().pk,
        items=[TransferItem(scene.sku.pk, units)],
        at=timezone.now(),
        by="test",
    ).pk


# one transfer, received by many ---------------------------------------------------------------------------------


def receipts_race() -> None:
    """Twelve doors report one unit each of a transfer of six."""
    scene = Scene(10)
    pk = planned(scene, 6)
    ship_transfer(transfer_id=pk, at=timezone.now(), by="test")
    line = TransferLine.objects.get(transfer=pk)

    def receive() -> bool:
        try:
            return receive_transfer(
                key=str(uuid4()),
                transfer_id=pk,
                arrivals=[Arrival(line.pk, 1)],
                at=timezone.now(),
                by="test",
            )
        except (MoreThanShipped, WrongTransferState):
            return False

    taken = Counter(run_together([receive] * 12))

    assert taken == {True: 6, False: 6}
    line.refresh_from_db()
    assert (line.received, line.transfer.state) == (6, "closed")
    assert drift() == []


@pytest.mark.capability("V17")
def test_a_transfer_that_is_received_at_many_doors_is_received_once() -> None:
    receipts_race()


@pytest.mark.usefixtures("broken_on_purpose")
def test_mutant_without_the_lock_of_the_transfer_two_receipts_see_the_same_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unlocked = transfer.LOCK_TRANSFER.replace("FOR NO KEY UPDATE", "")
    assert unlocked != transfer.LOCK_TRANSFER
    monkeypatch.setattr(transfer, "LOCK_TRANSFER", unlocked)

    must_break(receipts_race)


# sent away and sold at once -------------------------------------------------------------------------------------


def ship_against_reserve() -> None:
    """Ten units, twenty buyers and ten lorries: each unit goes one way."""
    scene = Scene(10)
    transfers = [planned(scene, 1) for _ in range(10)]

    def send(pk: int) -> str:
        try:
            ship_transfer(transfer_id=pk, at=timezone.now(), by="test")
        except NotFree:
            return "stayed"
        return "sent"

    def buy() -> str:
        return "sold" if scene.reserve(scene.demand(1))[0].reserved else "short"

    jobs: list[Callable[[], str]] = [partial(send, pk) for pk in transfers]
    came = Counter(run_together([job for pair in zip(jobs, [buy] * 10, strict=True) for job in (*pair, buy)]))

    assert came["sent"] + came["sold"] == 10
    assert scene.level.on_hand == 10 - came["sent"]
    assert (scene.pool().granted, scene.pool().reserved) == (10 - came["sent"], came["sold"])
    assert drift() == []


@pytest.mark.capability("V17")
def test_what_is_sent_away_and_what_is_sold_are_never_the_same_units() -> None:
    ship_against_reserve()


@pytest.mark.usefixtures("no_pool_lock", "broken_on_purpose")
def test_mutant_without_the_lock_of_the_pools_they_are() -> None:
    must_break(ship_against_reserve)


# one sheet, confirmed by many -----------------------------------------------------------------------------------


def confirmations_race() -> None:
    """Everybody in the office confirms the sheet that the mail named."""
    scene = Scene(10)
    sheet = open_count_sheet(
        location_id=scene.location.pk,
        lines=[CountedLine(scene.sku.pk, 8)],
        counted_at=timezone.now(),
        at=timezone.now(),
        by="user:1",
    )
    submit_count_sheet(sheet_id=sheet.pk, at=timezone.now(), by="user:1")

    def confirm() -> bool:
        try:
            confirm_count_sheet(sheet_id=sheet.pk, reason="", at=timezone.now(), by="user:1")
        except WrongSheetState:
            return False
        return True

    confirmed = Counter(run_together([confirm] * 8))

    assert confirmed == {True: 1, False: 7}
    assert scene.level.on_hand == 8
    assert CountSheet.objects.get(pk=sheet.pk).state == "confirmed"
    assert drift() == []


@pytest.mark.capability("V18")
def test_a_sheet_that_many_confirm_is_booked_once() -> None:
    confirmations_race()


@pytest.mark.usefixtures("broken_on_purpose")
def test_mutant_without_the_lock_of_the_sheet_it_is_booked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    unlocked = tally.LOCK_SHEET.replace("FOR NO KEY UPDATE", "")
    assert unlocked != tally.LOCK_SHEET
    monkeypatch.setattr(tally, "LOCK_SHEET", unlocked)

    must_break(confirmations_race)


# a location changes its group while its goods are sold and received ---------------------------------------------


def join(location: Location, group_id: int) -> str:
    join_group(location_id=location.pk, group_id=group_id, reason="", at=timezone.now(), by="test")
    return "joined"


def join_against_reserve() -> None:
    """A location goes to and fro between two groups while buyers take, source and give back."""
    scene = Scene(40)
    home, other = scene.location.group, LocationGroupFactory.create()
    put_stock(LocationFactory.create(group=home), scene.sku, 20)

    def buy() -> str:
        demand = scene.demand(1)
        if not scene.reserve(demand)[0].reserved:
            return "short"
        if scene.commit(demand.line_key, 1):
            return "committed"
        scene.release(demand.line_key)
        return "released"

    moves = [partial(join, scene.location, group.pk) for _ in range(6) for group in (other, home)]
    jobs = [job for move in moves for job in (move, buy, buy, buy)]
    came = Counter(run_together(jobs))

    committed = Reservation.objects.filter(sku=scene.sku, state="committed").count()
    assert came["joined"] == 12
    assert committed == came["committed"] == scene.level.committed
    assert sum(StockPool.objects.filter(sku=scene.sku).values_list("granted", flat=True)) == 60
    assert drift() == []


@pytest.mark.capability("V16")
def test_a_location_changes_its_group_while_its_goods_are_sold() -> None:
    join_against_reserve()


@pytest.mark.usefixtures("no_pool_lock", "broken_on_purpose")
def test_mutant_without_the_lock_of_the_pools_a_buyer_and_a_move_overwrite_each_other() -> None:
    must_break(join_against_reserve)


@pytest.fixture
def slow_new_rows() -> Iterator[None]:
    """Levels are created so slowly that a move falls between the look at the group and the booking."""
    with connection.cursor() as cursor:
        cursor.execute("""
            CREATE FUNCTION take_your_time() RETURNS trigger LANGUAGE plpgsql
                AS 'BEGIN PERFORM pg_sleep(0.01); RETURN NEW; END';
            CREATE TRIGGER slow BEFORE INSERT ON inventory_stocklevel
                FOR EACH ROW EXECUTE FUNCTION take_your_time();
        """)
        yield
        cursor.execute("DROP FUNCTION take_your_time CASCADE")


def join_against_receipts() -> None:
    """Goods that never lay there arrive while the location changes its group."""
    scene = Scene(5)
    home, other = scene.location.group, LocationGroupFactory.create()
    skus = [Sku(code=str(uuid4()), name="new", spu=scene.sku.spu) for _ in range(24)]
    Sku.objects.bulk_create(skus)

    def receive(sku: Sku) -> str:
        put_stock(scene.location, sku, 2)
        return "received"

    moves = [partial(join, scene.location, group.pk) for _ in range(6) for group in (other, home)]
    receipts = [partial(receive, sku) for sku in skus]
    came = Counter(
        run_together(
            [job for n, move in enumerate(moves) for job in (receipts[2 * n], move, receipts[2 * n + 1])]
        )
    )

    assert came == {"joined": 12, "received": 24}
    assert drift() == []


@pytest.mark.capability("V16")
@pytest.mark.usefixtures("slow_new_rows")
def test_goods_that_arrive_while_a_location_moves_are_granted_where_they_lie() -> None:
    join_against_receipts()


@pytest.mark.usefixtures("slow_new_rows", "broken_on_purpose")
def test_mutant_without_the_share_in_the_location_they_are_granted_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unlocked = lock.SHARE_LOCATIONS.replace("FOR SHARE", "")
    assert unlocked != lock.SHARE_LOCATIONS
    monkeypatch.setattr(lock, "SHARE_LOCATIONS", unlocked)

    must_break(join_against_receipts)

"""Goods between two locations: nobody's to sell on the way, and every unit accounted for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
from django.utils import timezone

from inventory.book import BundleHasNoStock, NotFree, NotOnHand, OperationConflict, UnknownPlace
from inventory.models import (
    Location,
    Reservation,
    StockLevel,
    StockMovement,
    StockPool,
    Transfer,
    TransferLine,
)
from inventory.models.ledger import Account
from inventory.network.drift import CHECKS
from inventory.network.transfer import (
    Arrival,
    MoreThanPlanned,
    MoreThanShipped,
    NothingTransferred,
    ReasonMissing,
    TransferItem,
    UnknownTransfer,
    WrongTransferState,
    cancel_transfer,
    close_transfer,
    plan_transfer,
    receive_transfer,
    ship_transfer,
)
from inventory.network.transit import in_transit
from inventory.pools import PoolMove, move_between_pools
from inventory.quota.derive import derive_draws
from inventory.quota.revoke import TakeBack, take_back
from products.models import BundleComponent
from tests.factories.inventory import LocationFactory, Scene, put_stock
from tests.factories.products import SkuFactory
from tests.inventory.races import drift

pytestmark = [pytest.mark.django_db, pytest.mark.capability("V17")]


@dataclass
class Route:
    """10 good units at a warehouse, 6 of which are to go to a store in a group of its own."""

    scene: Scene = field(default_factory=lambda: Scene(10))
    store: Location = field(default_factory=LocationFactory.create)
    transfer: Transfer = field(init=False)

    def __post_init__(self) -> None:
        self.transfer = self.plan(6)

    def plan(self, units: int, external_number: str = "") -> Transfer:
        return plan_transfer(
            source_id=self.scene.location.pk,
            destination_id=self.store.pk,
            items=[TransferItem(self.scene.sku.pk, units)],
            at=timezone.now(),
            by="test",
            external_number=external_number,
        )

    @property
    def line(self) -> TransferLine:
        return self.transfer.lines.get()

    def ship(self, quantities: Mapping[int, int] | None = None) -> bool:
        return ship_transfer(
            transfer_id=self.transfer.pk, quantities=quantities, at=timezone.now(), by="test"
        )

    def receive(self, received: int, *, key: str = "", **more: object) -> bool:
        arrival = Arrival(self.line.pk, received, **more)  # type: ignore[arg-type]
        return receive_transfer(
            key=key or str(uuid4()),
            transfer_id=self.transfer.pk,
            arrivals=[arrival],
            at=timezone.now(),
            by="test",
        )

    def state(self) -> str:
        self.transfer.refresh_from_db()
        return self.transfer.state

    def there(self, grade: str = "good") -> int:
        rows = StockLevel.objects.filter(location=self.store, sku=self.scene.sku, grade=grade)
        return sum(rows.values_list("on_hand", flat=True))


@pytest.fixture
def route() -> Route:
    return Route()


def test_a_draft_moves_nothing(route: Route) -> None:
    assert (route.scene.level.on_hand, route.scene.pool().granted, route.state()) == (10, 10, "draft")
    assert in_transit([route.scene.sku.pk]) == {}


def test_what_is_on_its_way_lies_nowhere_and_is_sold_by_nobody(route: Route) -> None:
    route.ship()

    (under_way,) = in_transit([route.scene.sku.pk])[route.scene.sku.pk]
    assert (route.scene.level.on_hand, route.scene.pool().granted, route.there()) == (4, 4, 0)
    assert (under_way.units, under_way.number) == (6, route.transfer.number)
    assert (under_way.source, under_way.destination) == (route.scene.location.name, route.store.name)
    moved = StockMovement.objects.get(to_account=Account.IN_TRANSIT)
    assert (moved.to_id, moved.quantity, moved.document) == (route.transfer.pk, 6, route.transfer.number)


def test_what_arrives_is_sold_by_the_group_where_it_arrived(route: Route) -> None:
    route.ship()

    route.receive(6)

    there = Scene(0, route.store, route.scene.sku)
    assert (route.there(), there.pool().granted, route.state()) == (6, 6, "closed")
    assert in_transit([route.scene.sku.pk]) == {}
    assert there.reserve(there.demand(6))[0].reserved == 6


def test_a_transfer_is_received_in_parts_and_closes_when_all_is_accounted_for(route: Route) -> None:
    route.ship()

    route.receive(2)
    assert (route.there(), route.state()) == (2, "shipped")
    route.receive(3, damaged=1)
    assert (route.there(), route.there("defective"), route.state()) == (4, 1, "shipped")
    route.receive(0, lost=1, reason="lost")

    line = route.line
    assert (line.shipped, line.received, line.damaged, line.lost, line.reason) == (6, 5, 1, 1, "lost")
    assert (route.there(), route.there("defective"), route.state()) == (4, 1, "closed")
    gone = StockMovement.objects.get(from_account=Account.IN_TRANSIT, to_account=Account.ADJUSTMENT)
    assert (gone.quantity, gone.from_id) == (1, route.transfer.pk)


def test_the_rest_of_a_transfer_is_given_up_with_a_reason(route: Route) -> None:
    route.ship()
    route.receive(4)

    lost = close_transfer(transfer_id=route.transfer.pk, reason="miscounted", at=timezone.now(), by="test")

    assert (lost, route.line.lost, route.line.reason, route.state()) == (2, 2, "miscounted", "closed")


def test_no_more_arrives_than_is_under_way(route: Route) -> None:
    route.ship()
    route.receive(4)

    with pytest.raises(MoreThanShipped) as refusal:
        route.receive(3)

    assert refusal.value.extra["in_transit"] == 2
    assert "only 2 are under way" in refusal.value.detail
    assert (route.there(), route.line.received, route.state()) == (4, 4, "shipped")


def test_the_same_receipt_counts_once_and_its_number_is_not_used_for_another(route: Route) -> None:
    route.ship()

    assert route.receive(2, key="ASN-1") is True
    assert route.receive(2, key="ASN-1") is False
    with pytest.raises(OperationConflict):
        route.receive(3, key="ASN-1")

    assert (route.there(), route.line.received) == (2, 2)


def test_whoever_loses_units_says_why(route: Route) -> None:
    route.ship()

    with pytest.raises(ReasonMissing):
        route.receive(5, lost=1)
    with pytest.raises(ReasonMissing):
        route.receive(5, lost=1, reason="the dog ate it")

    assert (route.there(), route.line.lost) == (0, 0)


def test_nothing_leaves_that_is_promised(route: Route) -> None:
    key = route.scene.promise(5)

    with pytest.raises(NotFree) as refusal:
        route.ship()

    assert "Only 5 units are free of promises, 6 would leave" in refusal.value.detail
    assert Reservation.objects.get(line_key=key).state == "held"
    assert (route.scene.level.on_hand, route.state()) == (10, "draft")


def test_nothing_leaves_that_is_committed_at_the_location(route: Route) -> None:
    """A second location of the group has free units, but they do not lie here."""
    put_stock(LocationFactory.create(group=route.scene.location.group), route.scene.sku, 20)
    route.scene.commit(route.scene.promise(5), 5)

    with pytest.raises(NotFree) as refusal:
        route.ship()

    assert "10 units lie there, 5 of them free" in refusal.value.detail


def test_nothing_leaves_that_does_not_lie_there(route: Route) -> None:
    route.transfer = route.plan(11)

    with pytest.raises(NotOnHand) as refusal:
        route.ship()

    assert refusal.value.extra["on_hand"] == 10
    assert route.scene.level.on_hand == 10


def test_units_that_a_channel_may_still_show_do_not_leave(route: Route) -> None:
    group, sku, shop = route.scene.location.group, route.scene.sku, route.scene.shop
    quota = StockPool.objects.create(group=group, sku=sku, kind="quota", label=shop.code)
    moves = [PoolMove(route.scene.pool().pk, quota.pk, 5)]
    move_between_pools(key="m", moves=moves, at=timezone.now(), by="test", reason="")
    wanted = [TakeBack(sku.pk, shop.pk, 5, "shared")]
    take_back(group_id=group.pk, wanted=wanted, reason="", at=timezone.now(), by="test")
    derive_draws(at=timezone.now())

    with pytest.raises(NotFree):
        route.ship()


def test_less_may_leave_than_was_planned_but_not_more(route: Route) -> None:
    with pytest.raises(MoreThanPlanned):
        route.ship({route.line.pk: 7})

    route.ship({route.line.pk: 5})

    assert (route.line.quantity, route.line.shipped, route.scene.level.on_hand) == (6, 5, 5)


def test_shipping_twice_ships_once(route: Route) -> None:
    assert route.ship() is True
    assert route.ship() is False
    with pytest.raises(WrongTransferState):
        route.ship({route.line.pk: 1})

    assert route.scene.level.on_hand == 4


def test_only_a_draft_is_cancelled(route: Route) -> None:
    other = route.plan(1)
    cancel_transfer(transfer_id=other.pk, reason="not needed", at=timezone.now(), by="test")
    route.ship()

    with pytest.raises(WrongTransferState):
        cancel_transfer(transfer_id=route.transfer.pk, reason="", at=timezone.now(), by="test")
    with pytest.raises(WrongTransferState):
        ship_transfer(transfer_id=other.pk, at=timezone.now(), by="test")

    other.refresh_from_db()
    assert (other.state, route.state()) == ("cancelled", "shipped")


def test_a_transfer_of_another_system_is_made_once(route: Route) -> None:
    first = route.plan(2, external_number="ERP-9")
    again = route.plan(2, external_number="ERP-9")

    with pytest.raises(OperationConflict):
        route.plan(3, external_number="ERP-9")

    assert first.pk == again.pk
    assert Transfer.objects.filter(external_number="ERP-9").count() == 1


def test_other_grades_and_owners_travel_as_they_are(route: Route) -> None:
    sku, source = route.scene.sku, route.scene.location
    put_stock(source, sku, 3, grade="seconds", owner="partner")
    items = [TransferItem(sku.pk, 3, "seconds", "partner"), TransferItem(sku.pk, 1)]
    transfer = plan_transfer(
        source_id=source.pk, destination_id=route.store.pk, items=items, at=timezone.now(), by="test"
    )
    ship_transfer(transfer_id=transfer.pk, at=timezone.now(), by="test")
    arrivals = [Arrival(line.pk, line.shipped) for line in transfer.lines.all()]

    receive_transfer(key="r", transfer_id=transfer.pk, arrivals=arrivals, at=timezone.now(), by="test")

    level = StockLevel.objects.get(location=route.store, sku=sku, grade="seconds")
    assert (level.owner, level.on_hand, route.there()) == ("partner", 3, 1)


def test_what_makes_no_sense_is_refused(route: Route) -> None:
    sku, place = route.scene.sku.pk, route.scene.location.pk
    bundle = SkuFactory.create()
    BundleComponent.objects.create(bundle=bundle, component=route.scene.sku, units=2, weight=1)
    closed = LocationFactory.create(is_active=False)
    for faults, destination, items in (
        (NothingTransferred, route.store.pk, []),
        (NothingTransferred, route.store.pk, [TransferItem(sku, 0)]),
        (NothingTransferred, route.store.pk, [TransferItem(sku, 1), TransferItem(sku, 2)]),
        (NothingTransferred, place, [TransferItem(sku, 1)]),
        (UnknownPlace, closed.pk, [TransferItem(sku, 1)]),
        (UnknownPlace, 0, [TransferItem(sku, 1)]),
        (UnknownPlace, route.store.pk, [TransferItem(0, 1)]),
        (BundleHasNoStock, route.store.pk, [TransferItem(bundle.pk, 1)]),
    ):
        with pytest.raises(faults):
            plan_transfer(
                source_id=place, destination_id=destination, items=items, at=timezone.now(), by="test"
            )
    with pytest.raises(UnknownTransfer):
        ship_transfer(transfer_id=0, at=timezone.now(), by="test")
    with pytest.raises(UnknownTransfer):
        ship_transfer(transfer_id=route.transfer.pk, quantities={0: 1}, at=timezone.now(), by="test")
    with pytest.raises(WrongTransferState):
        route.receive(1)
    route.ship()
    for arrival in (
        Arrival(route.line.pk, 0),
        Arrival(route.line.pk, -1),
        Arrival(route.line.pk, 1, damaged=2),
        Arrival(route.line.pk, 1, damaged=1, damaged_grade="good"),
    ):
        with pytest.raises(NothingTransferred):
            receive_transfer(
                key=str(uuid4()), transfer_id=route.transfer.pk, arrivals=[arrival], at=timezone.now(), by="t"
            )
    assert Transfer.objects.count() == 1


@pytest.mark.usefixtures("broken_on_purpose")
def test_the_doctor_finds_units_that_are_lost_without_a_trace(route: Route) -> None:
    route.ship()
    assert drift() == []

    TransferLine.objects.filter(pk=route.line.pk).update(received=6)

    broken = {check.code for check in CHECKS if check.find(5)}
    assert broken == {
        "network.in_transit_equals_movements",
        "network.transfers_close_when_all_is_accounted_for",
    }

# mypy: disallow-untyped-calls=False
"""Locations, shops that draw on them, and stock that enters by the door by which it really comes."""

from __future__ import annotations

from collections.abc import Sequence as Rows
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.utils import timezone
from factory.declarations import Sequence, SubFactory
from factory.django import DjangoModelFactory

from inventory.commit import Commitment, commit_stock
from inventory.models import Location, LocationGroup, Reservation, ShopPool, StockLevel, StockPool
from inventory.models.stock import PoolKind
from inventory.network.tally import CountedLine, open_count_sheet
from inventory.network.transfer import TransferItem, plan_transfer, ship_transfer
from inventory.receive import StockReceipt, receive_stock
from inventory.reserve import Demand, Outcome, Release, release_stock, reserve_stock
from inventory.ship import ShippedPart, ship_stock
from products.models import Shop, Sku
from tests.factories.products import ShopFactory, SkuFactory


class LocationGroupFactory(DjangoModelFactory[LocationGroup]):
    class Meta:
        model = LocationGroup

    code = Sequence(lambda n: f"group-{n}")
    name = Sequence(lambda n: f"Group {n}")


class LocationFactory(DjangoModelFactory[Location]):
    class Meta:
        model = Location

    code = Sequence(lambda n: f"location-{n}")
    name = Sequence(lambda n: f"Location {n}")
    group = SubFactory(LocationGroupFactory)


class ShopPoolFactory(DjangoModelFactory[ShopPool]):
    class Meta:
        model = ShopPool

    shop = SubFactory(ShopFactory)
    group = SubFactory(LocationGroupFactory)
    kind = PoolKind.SHARED


def shop_drawing_on(*groups: LocationGroup, **attributes: object) -> Shop:
    """A shop that draws on the shared pools of these groups, in this order."""
    shop = ShopFactory.create(**attributes)
    for position, group in enumerate(groups):
        ShopPoolFactory.create(shop=shop, group=group, position=position)
    return shop


def put_stock(
    location: Location,
    sku: Sku,
    quantity: int,
    *,
    grade: str = "good",
    owner: str = "own",
    at: datetime | None = None,
) -> None:
    """Receive `quantity` units."""
    receive_stock(
        key=f"test-receipt-{uuid4()}",
        receipts=[StockReceipt(location.pk, sku.pk, quantity, grade, owner)],
        reason="stock for a test",
        at=at or timezone.now(),
        by="test",
    )


@dataclass
class Scene:
    """One location with `units` of one SKU, and one shop that draws on its group's shared pool."""

    units: int = 0
    location: Location = field(default_factory=LocationFactory.create)
    sku: Sku = field(default_factory=SkuFactory.create)
    shop: Shop = field(init=False)

    def __post_init__(self) -> None:
        self.shop = shop_drawing_on(self.location.group)
        if self.units:
            put_stock(self.location, self.sku, self.units)

    @property
    def level(self) -> StockLevel:
        """The level as it is now."""
        return StockLevel.objects.get(location=self.location, sku=self.sku, grade="good", owner="own")

    def pool(self, kind: str = PoolKind.SHARED) -> StockPool:
        """The pool of this kind as it is now."""
        return StockPool.objects.get(group=self.location.group, sku=self.sku, kind=kind)

    def demand(self, quantity: int = 1, *, key: UUID | None = None, together: int = 0) -> Demand:
        return Demand(key or uuid4(), self.shop.pk, self.sku.pk, quantity, together)

    def reserve(self, *demands: Demand, refuse_short: bool = False) -> list[Outcome]:
        return reserve_stock(wanted=demands, at=timezone.now(), by="test", refuse_short=refuse_short)

    def promise(self, quantity: int = 1) -> UUID:
        """A line that holds so many units."""
        demand = self.demand(quantity)
        assert self.reserve(demand)[0].reserved == quantity
        return demand.line_key

    def commit(self, key: UUID, quantity: int, *, part: int = 0, location: Location | None = None) -> bool:
        wanted = Commitment(key, part, (location or self.location).pk, quantity)
        return commit_stock(commitments=[wanted], at=timezone.now(), by="test")[0].ok

    def ship(self, key: UUID, quantity: int, *, part: int = 0) -> None:
        ship_stock(shipped=[ShippedPart(key, part, quantity)], document="SH1", at=timezone.now(), by="test")

    def release(self, *keys: UUID, quantity: int | None = None) -> int:
        releases = [Release(key, quantity) for key in keys]
        return sum(release_stock(releases=releases, at=timezone.now(), by="test").values())


def parts_of(key: UUID) -> Rows[tuple[int, int, str]]:
    """Number, quantity and state of each part of a line."""
    rows = Reservation.objects.filter(line_key=key).order_by("part")
    return list(rows.values_list("part", "quantity", "state"))


def make_documents(house: Any) -> None:
    """A transfer that is under way and a count sheet, of the SKU of a house of orders."""
    transfer = plan_transfer(
        source_id=house.location.pk,
        destination_id=LocationFactory.create(group=house.location.group).pk,
        items=[TransferItem(house.sku.pk, 1)],
        at=timezone.now(),
        by="user:1",
    )
    ship_transfer(transfer_id=transfer.pk, at=timezone.now(), by="user:1")
    now = timezone.now()
    lines = [CountedLine(house.sku.pk, 9)]
    open_count_sheet(location_id=house.location.pk, lines=lines, counted_at=now, at=now, by="user:1")

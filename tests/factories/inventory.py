# mypy: disallow-untyped-calls=False
"""Locations, shops that draw on them, and stock that enters by the door by which it really comes."""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

from django.utils import timezone
from factory.declarations import Sequence, SubFactory
from factory.django import DjangoModelFactory

from inventory.models import Location, LocationGroup, ShopPool
from inventory.models.stock import PoolKind
from inventory.receive import StockReceipt, receive_stock
from products.models import Shop, Sku
from tests.factories.products import ShopFactory


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

"""Units that leave: the whole path of a promise, and what may not leave."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.utils import timezone

from inventory.commit import Commitment, commit_stock
from inventory.models import Reservation, StockLevel, StockMovement, StockPool
from inventory.reserve import Demand, Release, release_stock, reserve_stock
from inventory.ship import NotCommitted, ShippedPart, ship_stock
from tests.factories.inventory import LocationFactory, put_stock, shop_drawing_on
from tests.factories.products import SkuFactory

pytestmark = pytest.mark.django_db


@pytest.mark.capability("V10", "V11")
def test_a_promise_is_committed_shipped_and_gone() -> None:
    location, sku = LocationFactory.create(), SkuFactory.create()
    shop = shop_drawing_on(location.group)
    put_stock(location, sku, 10)
    key = uuid4()

    reserve_stock(wanted=[Demand(key, shop.pk, sku.pk, 3)], at=timezone.now(), by="test")
    committed = commit_stock(commitments=[Commitment(key, 0, location.pk, 3)], at=timezone.now(), by="test")
    ship_stock(shipped=[ShippedPart(key, 0, 3)], document="SH1", at=timezone.now(), by="test")

    assert [(result.ok, result.part) for result in committed] == [(True, 0)]
    level, pool = StockLevel.objects.get(), StockPool.objects.get()
    assert (level.on_hand, level.committed, pool.granted, pool.reserved) == (7, 0, 7, 0)
    assert Reservation.objects.get().state == Reservation.State.SHIPPED
    assert StockMovement.objects.filter(kind="ship", document="SH1").count() == 2


def test_what_left_becomes_a_part_of_its_own_and_the_rest_keeps_its_number() -> None:
    location, sku = LocationFactory.create(), SkuFactory.create()
    shop = shop_drawing_on(location.group)
    put_stock(location, sku, 10)
    key = uuid4()
    reserve_stock(wanted=[Demand(key, shop.pk, sku.pk, 5)], at=timezone.now(), by="test")
    commit_stock(commitments=[Commitment(key, 0, location.pk, 5)], at=timezone.now(), by="test")

    ship_stock(shipped=[ShippedPart(key, 0, 2)], document="SH1", at=timezone.now(), by="test")

    parts = Reservation.objects.order_by("part").values_list("part", "quantity", "state")
    assert list(parts) == [(0, 3, "committed"), (1, 2, "shipped")]
    level = StockLevel.objects.get()
    assert (level.on_hand, level.committed) == (8, 3)


def test_more_cannot_leave_than_was_committed() -> None:
    location, sku = LocationFactory.create(), SkuFactory.create()
    shop = shop_drawing_on(location.group)
    put_stock(location, sku, 10)
    key, other = uuid4(), uuid4()
    wanted = [Demand(key, shop.pk, sku.pk, 2), Demand(other, shop.pk, sku.pk, 2)]
    reserve_stock(wanted=wanted, at=timezone.now(), by="test")
    commit_stock(commitments=[Commitment(key, 0, location.pk, 2)], at=timezone.now(), by="test")
    good = ShippedPart(key, 0, 1)

    for wrong in (ShippedPart(key, 0, 3), ShippedPart(other, 0, 1), ShippedPart(uuid4(), 0, 1)):
        with pytest.raises(NotCommitted):
            ship_stock(shipped=[good, wrong], document="SH1", at=timezone.now(), by="test")

    level = StockLevel.objects.get()
    assert (level.on_hand, level.committed) == (10, 2)
    assert not StockMovement.objects.filter(kind="ship").exists()


def test_a_part_leaves_once() -> None:
    location, sku = LocationFactory.create(), SkuFactory.create()
    shop = shop_drawing_on(location.group)
    put_stock(location, sku, 10)
    key = uuid4()
    reserve_stock(wanted=[Demand(key, shop.pk, sku.pk, 2)], at=timezone.now(), by="test")
    commit_stock(commitments=[Commitment(key, 0, location.pk, 2)], at=timezone.now(), by="test")
    ship_stock(shipped=[ShippedPart(key, 0, 2)], document="SH1", at=timezone.now(), by="test")

    with pytest.raises(NotCommitted):
        ship_stock(shipped=[ShippedPart(key, 0, 2)], document="SH1", at=timezone.now(), by="test")
    freed = release_stock(releases=[Release(key)], at=timezone.now(), by="test")

    assert freed == {key: 0}
    assert StockLevel.objects.get().on_hand == 8

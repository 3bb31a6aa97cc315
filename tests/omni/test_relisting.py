"""What a shop lists anew has its number within seconds: the change is marked where it is made, and swept at once."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from inventory.models import PublishedStock, ShopPool, StockChange
from inventory.publish import claim_due_stock, record_stock_answers
from inventory.tasks import plan_published
from omni.kernel.answers import Answer
from omni.kernel.models import OutboxEvent
from omni.tasks import relay_outbox
from products.map import map_listing
from products.models import Listing, Sku
from tests.factories.inventory import put_stock
from tests.factories.orders import House, make_house
from tests.factories.products import ListingFactory, SkuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("V12")]


@pytest.fixture
def house() -> House:
    return make_house(stock=10)


@pytest.fixture
def boss(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("boss", "boss@example.com", "x"))
    return client


@pytest.fixture
def listing(house: House) -> Listing:
    """A listing whose channel shows our number."""
    listing = ListingFactory.create(shop=house.shop, sku=house.sku, outer_item_id="I1", outer_sku_id="S1")
    change_nothing_and_sweep(house)
    acknowledge(house)
    return listing


def change_nothing_and_sweep(house: House) -> None:
    StockChange.objects.create(sku=house.sku)
    sweep()


def acknowledge(house: House) -> None:
    due = claim_due_stock(shop_id=house.shop.pk, limit=100, at=timezone.now())
    answers = [Answer(row.published_id, ok=True, version=row.version) for row in due]
    record_stock_answers(answers=answers, at=timezone.now())
    assert not is_due()


def sweep() -> None:
    """What the workers do within a second of the commit: the relay hands on, the planner plans."""
    relay_outbox()
    plan_published()


def is_due() -> bool:
    return any(row.desired_version > row.acked_version for row in PublishedStock.objects.all())


def save(client: Client, listing: Listing | None, **changes: Any) -> None:
    form = {"outer_item_id": "I1", "outer_sku_id": "S1", "title": "", "price": "", "state": "listed"}
    if listing:
        form |= {"sku": str(listing.sku_id), "state": listing.state}
    url = (
        reverse("admin:products_listing_change", args=[listing.pk])
        if listing
        else reverse("admin:products_listing_add")
    )
    answer = client.post(url, form | {name: str(value) for name, value in changes.items()})
    assert answer.status_code == 302, answer.content.decode()


def another_sku(house: House, units: int) -> Sku:
    sku = SkuFactory.create()
    put_stock(house.location, sku, units)
    sweep()
    return sku


def test_a_new_listing_has_a_number(house: House, boss: Client) -> None:
    sweep()

    save(boss, None, shop=house.shop.pk, sku=house.sku.pk)
    sweep()

    assert PublishedStock.objects.get().desired_quantity == 10


def test_an_item_that_somebody_maps_to_a_sku_has_a_number(house: House) -> None:
    sweep()

    map_listing(
        shop_id=house.shop.pk,
        outer_item_id="I9",
        outer_sku_id="",
        sku_code=house.sku.code,
        title="",
        at=timezone.now(),
        by="user:1",
    )
    sweep()

    assert PublishedStock.objects.get().desired_quantity == 10


def test_a_listing_that_is_listed_again_is_told_its_number_even_if_it_is_the_same(
    house: House, boss: Client, listing: Listing
) -> None:
    save(boss, listing, state="delisted")
    sweep()
    listing.refresh_from_db()
    assert not is_due()

    save(boss, listing, state="listed")
    sweep()

    assert is_due()
    assert PublishedStock.objects.get().desired_quantity == 10


def test_a_listing_that_becomes_another_sku_shows_that_ones_number(
    house: House, boss: Client, listing: Listing
) -> None:
    other = another_sku(house, 4)

    save(boss, listing, sku=other.pk)
    sweep()

    assert PublishedStock.objects.get().desired_quantity == 4


def test_a_listing_under_another_item_of_the_channel_is_told_there(
    house: House, boss: Client, listing: Listing
) -> None:
    save(boss, listing, outer_sku_id="S2")
    sweep()

    (due,) = claim_due_stock(shop_id=house.shop.pk, limit=100, at=timezone.now() + timedelta(seconds=2))
    assert (due.outer_sku_id, due.quantity) == ("S2", 10)


def test_another_title_tells_nobody_anything(house: House, boss: Client, listing: Listing) -> None:
    save(boss, listing, title="Serum")
    sweep()

    assert not is_due()
    assert not OutboxEvent.objects.filter(kind="products.ListingsChanged").exists()


def test_a_listing_stays_in_its_shop(house: House, boss: Client, listing: Listing) -> None:
    save(boss, listing, shop=make_house().shop.pk)

    listing.refresh_from_db()
    assert listing.shop == house.shop


def share(client: Client, row: ShopPool | None, **changes: Any) -> None:
    form: dict[str, Any] = {"kind": "shared", "label": "", "sku": "", "position": 0, "publish_ratio": "1"}
    if row:
        form |= {"shop": row.shop_id, "group": row.group_id}
    url = (
        reverse("admin:inventory_shoppool_change", args=[row.pk])
        if row
        else reverse("admin:inventory_shoppool_add")
    )
    answer = client.post(url, form | changes)
    assert answer.status_code == 302, answer.content.decode()


def test_another_ratio_of_a_shop_changes_its_numbers(house: House, boss: Client, listing: Listing) -> None:
    share(boss, ShopPool.objects.get(shop=house.shop), publish_ratio="0.5")
    sweep()

    assert is_due()
    assert PublishedStock.objects.get().desired_quantity == 5


def test_a_row_for_one_sku_changes_that_ones_number_only(
    house: House, boss: Client, listing: Listing
) -> None:
    other = another_sku(house, 8)
    ListingFactory.create(shop=house.shop, sku=other, outer_item_id="I2")
    own = ShopPool.objects.get(shop=house.shop)

    share(boss, None, shop=house.shop.pk, group=own.group_id, sku=house.sku.pk, publish_ratio=Decimal("0.2"))

    assert set(StockChange.objects.values_list("sku_id", flat=True)) == {house.sku.pk}
    sweep()
    assert PublishedStock.objects.get(listing=listing).desired_quantity == 2


def test_a_row_that_moves_to_another_shop_changes_the_numbers_of_both(
    house: House, boss: Client, listing: Listing
) -> None:
    theirs = make_house(stock=0)
    ShopPool.objects.filter(shop=theirs.shop).delete()
    ListingFactory.create(shop=theirs.shop, sku=house.sku, outer_item_id="I3")

    share(boss, ShopPool.objects.get(shop=house.shop), shop=theirs.shop.pk)
    sweep()

    numbers = dict(PublishedStock.objects.values_list("listing__outer_item_id", "desired_quantity"))
    assert numbers == {"I1": 0, "I3": 10}

"""What a channel shows is written down, suggested a SKU by code, barcode and name, and mapped in bulk."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from omni.kernel.models import AuditEntry, OutboxEvent
from products.map import ignore_items, map_items, map_listing
from products.models import Barcode, Listing, OuterItem, Shop, Sku
from products.observe import SeenItem, note_gone, observe_items
from products.suggestions import suggest_by_title, suggest_skus
from tests.factories.orders import NOON
from tests.factories.products import BrandFactory, ListingFactory, ShopFactory, SkuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("P15")]
BY: dict[str, Any] = {"at": NOON, "by": "user:7"}


@pytest.fixture
def shop() -> Shop:
    return ShopFactory.create()


def see(shop: Shop, item: str, sku: str = "1", **told: Any) -> OuterItem:
    observe_items(shop_id=shop.pk, items=[SeenItem(item, sku, **told)], source="channel", at=NOON)
    return OuterItem.objects.get(shop=shop, outer_item_id=item, outer_sku_id=sku)


# --- what is seen ---


def test_an_item_that_nobody_lists_waits_and_a_listed_one_does_not(shop: Shop) -> None:
    ListingFactory.create(shop=shop, outer_item_id="known", outer_sku_id="1")

    assert see(shop, "known").state == "mapped"
    assert see(shop, "new").state == "unmapped"


def test_the_same_item_seen_again_is_the_same_row_with_what_the_channel_says_now(shop: Shop) -> None:
    see(shop, "A", title="Old", price=Decimal(10), quantity=3, is_listed=True)

    item = see(shop, "A", title="New", price=Decimal(12), quantity=0, is_listed=False)

    assert (item.title, item.price, item.quantity, item.is_listed) == ("New", Decimal(12), 0, False)
    assert OuterItem.objects.count() == 1


def test_an_order_that_sells_it_does_not_bring_an_item_back_onto_the_shelf(shop: Shop) -> None:
    see(shop, "A", is_listed=True)
    sold = SeenItem("A", "1")
    observe_items(shop_id=shop.pk, items=[sold], source="order", at=NOON + timedelta(minutes=2))

    note_gone(shop_id=shop.pk, before=NOON + timedelta(minutes=1))

    item = OuterItem.objects.get()
    assert (item.is_listed, item.seen_at) == (False, NOON + timedelta(minutes=2))


def test_what_an_order_tells_fills_gaps_and_overwrites_nothing(shop: Shop) -> None:
    see(shop, "A", title="The channel's title", price=Decimal(10), is_listed=True)

    sold = SeenItem("A", "1", "A line's title", outer_code="C-1")
    observe_items(shop_id=shop.pk, items=[sold], source="order", at=NOON)

    item = OuterItem.objects.get()
    assert (item.title, item.outer_code, item.price, item.source) == (
        "The channel's title",
        "C-1",
        Decimal(10),
        "channel",
    )


def test_an_id_longer_than_a_listing_can_hold_is_left_out(shop: Shop) -> None:
    assert observe_items(shop_id=shop.pk, items=[SeenItem("x" * 65, "")], source="channel", at=NOON) == 0


# --- suggestions ---


def test_the_same_code_is_certain(shop: Shop) -> None:
    sku = SkuFactory.create(code="LUMI-30")

    (found,) = suggest_skus([item := see(shop, "A", outer_code="LUMI-30")])[item.pk]

    assert (found.sku_id, found.reason, found.is_certain) == (sku.pk, "code", True)


def test_a_barcode_is_found_where_the_shop_keeps_it(shop: Shop) -> None:
    sku = SkuFactory.create()
    Barcode.objects.create(code="6901234567892", sku=sku)
    as_barcode = see(shop, "A", barcode="6901234567892")
    as_code = see(shop, "B", outer_code="6901234567892")

    found = suggest_skus([as_barcode, as_code])

    assert [found[item.pk][0].sku_id for item in (as_barcode, as_code)] == [sku.pk, sku.pk]
    assert found[as_code.pk][0].reason == "barcode"


def test_a_code_in_other_letters_is_found(shop: Shop) -> None:
    sku = SkuFactory.create(code="LUMI-30")

    (found,) = suggest_skus([item := see(shop, "A", outer_code="lumi-30")])[item.pk]

    assert (found.sku_id, found.reason) == (sku.pk, "code_case")


def test_a_code_and_a_barcode_of_two_skus_are_both_shown_and_neither_is_certain(shop: Shop) -> None:
    one, other = SkuFactory.create(code="ONE"), SkuFactory.create()
    Barcode.objects.create(code="690", sku=other)

    found = suggest_skus([item := see(shop, "A", outer_code="ONE", barcode="690")])[item.pk]

    assert [each.sku_id for each in found] == [one.pk, other.pk]
    assert not any(each.is_certain for each in found)


def test_a_shop_with_a_brand_is_offered_that_brands_skus_only() -> None:
    shop = ShopFactory.create(brand=BrandFactory.create())
    SkuFactory.create(code="THEIRS", name="Radiance serum 30 ml")
    item = see(shop, "A", outer_code="THEIRS", title="Radiance serum 30 ml")

    assert suggest_skus([item]) == {}
    assert suggest_by_title(item) == []


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Lumi radiance serum 30ml official", "Radiance serum 30 ml"),
        ("【官方】露米焕亮精华液30ml 保湿", "露米焕亮精华液 30ml"),
    ],
)
def test_a_similar_name_is_a_guess(shop: Shop, title: str, name: str) -> None:
    sku = SkuFactory.create(name=name)
    SkuFactory.create(name="Canvas bag 帆布袋")

    found = suggest_by_title(see(shop, "A", title=title))

    assert [(each.sku_id, each.is_certain) for each in found] == [(sku.pk, False)]


def test_a_page_of_suggestions_costs_one_statement(shop: Shop, django_assert_num_queries: Any) -> None:
    items = [see(shop, f"I{n}", outer_code=SkuFactory.create().code) for n in range(20)]

    with django_assert_num_queries(1):
        found = suggest_skus(items)

    assert len(found) == 20


# --- mapping ---


def test_items_are_mapped_in_bulk_and_whoever_waits_hears_of_it(shop: Shop) -> None:
    skus = [SkuFactory.create() for _ in range(3)]
    items = [see(shop, f"I{n}", title=f"Title {n}") for n in range(3)]

    results = map_items(sku_ids={item.pk: sku.pk for item, sku in zip(items, skus, strict=True)}, **BY)

    assert all(result.ok for result in results.values())
    made = Listing.objects.order_by("pk").values_list("outer_item_id", "sku_id", "title", "state")
    assert list(made) == [(f"I{n}", skus[n].pk, f"Title {n}", "listed") for n in range(3)]
    assert set(OuterItem.objects.values_list("state", flat=True)) == {"mapped"}
    event = OutboxEvent.objects.get(kind="products.ListingsChanged")
    assert event.payload == {"shop_id": shop.pk, "sku_ids": [sku.pk for sku in skus]}
    assert AuditEntry.objects.filter(action="listing.mapped", by="user:7").count() == 3


def test_an_item_that_its_channel_does_not_offer_is_mapped_as_delisted(shop: Shop) -> None:
    item = see(shop, "A", is_listed=False)

    map_items(sku_ids={item.pk: SkuFactory.create().pk}, **BY)

    assert Listing.objects.get().state == "delisted"


def test_one_item_that_is_mapped_otherwise_leaves_the_others_alone(shop: Shop) -> None:
    item, taken = see(shop, "A"), see(shop, "B")
    ListingFactory.create(shop=shop, outer_item_id="B", outer_sku_id="1", sku=SkuFactory.create(code="B-SKU"))
    sku = SkuFactory.create()

    results = map_items(sku_ids={item.pk: sku.pk, taken.pk: sku.pk, 999_999: sku.pk}, **BY)

    assert results[item.pk].ok
    assert not results[taken.pk].ok
    assert "B-SKU" in results[taken.pk].detail
    assert not results[999_999].ok
    assert Listing.objects.get(outer_item_id="B").sku.code == "B-SKU"


def test_the_same_mapping_said_twice_is_no_fault_and_tells_nobody_again(shop: Shop) -> None:
    item, sku = see(shop, "A"), SkuFactory.create()
    map_items(sku_ids={item.pk: sku.pk}, **BY)

    again = map_items(sku_ids={item.pk: sku.pk}, **BY)

    assert again[item.pk].ok
    assert OutboxEvent.objects.filter(kind="products.ListingsChanged").count() == 1


def test_what_is_mapped_from_a_parked_order_waits_no_more(shop: Shop) -> None:
    item, sku = see(shop, "A"), SkuFactory.create()

    map_listing(shop_id=shop.pk, outer_item_id="A", outer_sku_id="1", sku_code=sku.code, title="", **BY)

    item.refresh_from_db()
    assert item.state == "mapped"


def test_an_ignored_item_stays_ignored_when_it_is_seen_again_and_can_still_be_mapped(shop: Shop) -> None:
    item = see(shop, "A")

    assert ignore_items(item_ids=[item.pk], note="a gift card", **BY) == [item.pk]

    assert see(shop, "A", title="Again").state == "ignored"
    assert AuditEntry.objects.get(action="outer_item.ignored").reason == "a gift card"
    assert map_items(sku_ids={item.pk: SkuFactory.create().pk}, **BY)[item.pk].ok
    item.refresh_from_db()
    assert item.state == "mapped"
    assert Sku.objects.count() == 1

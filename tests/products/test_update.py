"""One record feeds every channel: an item that bears the master's name bears the new one, one with its own keeps it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from omni.kernel.answers import Answer
from omni.kernel.models import AuditEntry
from omni.tasks import relay_outbox
from products.map import map_items, map_listing
from products.models import Listing, ListingRequest, OuterItem, Shop, Sku
from products.observe import SeenItem, observe_items
from products.request import DueRequest, claim_due_requests, record_request_answers
from products.update import TitleTooLong, retitle_listings, update_changed_products, update_listings
from tests.factories.orders import NOON
from tests.factories.products import ListingFactory, ShopFactory, SkuFactory, SpuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("P1")]
BY: dict[str, Any] = {"at": NOON, "by": "user:7"}


@pytest.fixture
def shop() -> Shop:
    return ShopFactory.create()


def on_shelf(shop: Shop, sku: Sku, title: str = "", shown: str = "", **outer: str) -> Listing:
    """A listing whose channel shows `shown`; without one the name of the product."""
    listing = ListingFactory.create(shop=shop, sku=sku, title=title, **outer)
    seen = SeenItem(
        str(listing.outer_item_id), listing.outer_sku_id, shown or title or sku.spu.name, is_listed=True
    )
    observe_items(shop_id=shop.pk, items=[seen], source="channel", at=NOON)
    return listing


def rename(sku: Sku, name: str) -> int:
    sku.spu.name = name
    sku.spu.save()
    return update_changed_products(spu_ids=[sku.spu_id], sku_ids=[], at=NOON)


def claim(shop: Shop, at: Any = NOON) -> list[DueRequest]:
    return claim_due_requests(shop_id=shop.pk, limit=100, at=at)


def answer(due: list[DueRequest], at: Any = NOON, **values: Any) -> None:
    answers = [Answer(row.request_id, **({"ok": True} | values)) for row in due]
    record_request_answers(answers=answers, at=at)


# --- the master is changed ----------------------------------------------------------------------------------


def test_every_shop_hears_the_new_name_of_a_product(shop: Shop) -> None:
    sku, other = SkuFactory.create(), ShopFactory.create()
    on_shelf(shop, sku)
    on_shelf(other, sku)

    assert rename(sku, "Serum No. 2") == 2

    assert [(row.act, row.title) for each in (shop, other) for row in claim(each)] == [
        ("update", "Serum No. 2"),
        ("update", "Serum No. 2"),
    ]


def test_an_item_without_skus_bears_the_name_of_its_sku(shop: Shop) -> None:
    sku = SkuFactory.create(name="Serum, 30 ml")
    on_shelf(shop, sku, shown="Serum", outer_sku_id="")

    update_changed_products(spu_ids=[], sku_ids=[sku.pk], at=NOON)

    assert [row.title for row in claim(shop)] == ["Serum, 30 ml"]


def test_a_title_of_the_shops_own_stays(shop: Shop) -> None:
    sku = SkuFactory.create()
    on_shelf(shop, sku, title="Our best serum")

    assert rename(sku, "Serum No. 2") == 0

    assert claim(shop) == []


def test_a_change_that_no_channel_shows_asks_nobody(shop: Shop) -> None:
    sku = SkuFactory.create()
    on_shelf(shop, sku)

    assert update_changed_products(spu_ids=[sku.spu_id], sku_ids=[sku.pk], at=NOON) == 0

    assert not ListingRequest.objects.exists()


def test_what_was_told_or_refused_is_not_told_again_when_something_else_changes(shop: Shop) -> None:
    told, refused = SkuFactory.create(), SkuFactory.create()
    on_shelf(shop, told, outer_item_id="I1")
    on_shelf(shop, refused, outer_item_id="I2")
    rename(told, "Good")
    rename(refused, "Bad")
    due = claim(shop)
    answer([row for row in due if row.title == "Good"])
    answer([row for row in due if row.title == "Bad"], ok=False, is_final=True, detail="a forbidden word")

    again = update_changed_products(spu_ids=[told.spu_id, refused.spu_id], sku_ids=[], at=NOON)

    assert again == 0
    assert ListingRequest.objects.get(state="refused").answer == "a forbidden word"
    assert rename(refused, "Better") == 1


def test_what_no_channel_ever_showed_is_not_told_behind_its_back(shop: Shop) -> None:
    sku = SkuFactory.create()
    ListingFactory.create(shop=shop, sku=sku)

    assert rename(sku, "New") == 0


def test_of_one_item_one_title_is_told_however_many_skus_it_has(shop: Shop) -> None:
    spu = SpuFactory.create()
    first = on_shelf(shop, SkuFactory.create(spu=spu), outer_item_id="I1", outer_sku_id="S1")
    last = on_shelf(shop, SkuFactory.create(spu=spu), outer_item_id="I1", outer_sku_id="S2")

    assert rename(last.sku, "New") == 1

    assert [row.listing_id for row in claim(shop)] == [first.pk]


def test_ten_changes_before_the_call_are_one_call_with_the_last_name(shop: Shop) -> None:
    sku = SkuFactory.create()
    on_shelf(shop, sku)

    for number in range(10):
        rename(sku, f"Name {number}")

    assert [row.title for row in claim(shop)] == ["Name 9"]
    assert ListingRequest.objects.count() == 1


def test_a_name_that_changes_while_the_call_is_under_way_is_told_after_it(shop: Shop) -> None:
    sku = SkuFactory.create()
    on_shelf(shop, sku)
    rename(sku, "First")
    under_way = claim(shop)
    rename(sku, "Second")

    answer(under_way)

    request = ListingRequest.objects.get()
    assert (request.state, request.content) == ("due", "First")
    due = claim(shop)
    assert [row.title for row in due] == ["Second"]
    answer(due)
    assert ListingRequest.objects.get().state == "done"


def test_a_large_edit_is_a_handful_of_statements(shop: Shop, django_assert_max_num_queries: Any) -> None:
    spus = [SpuFactory.create() for _ in range(200)]
    for spu in spus:
        on_shelf(shop, SkuFactory.create(spu=spu))
        spu.name = f"{spu.name}!"
        spu.save()

    with django_assert_max_num_queries(4):  # with its savepoint
        count = update_changed_products(spu_ids=[spu.pk for spu in spus], sku_ids=[], at=NOON)

    assert count == 200


def test_an_edit_on_the_page_of_a_product_reaches_its_listings(shop: Shop, client: Client) -> None:
    client.force_login(User.objects.create_superuser("boss", "boss@example.com", "x"))
    sku = SkuFactory.create()
    on_shelf(shop, sku)
    page = reverse("admin:products_spu_change", args=[sku.spu_id])
    form = {"name": "Serum No. 2", "brand": str(sku.spu.brand_id), "category": "", "season": "", "tags": ""}

    answered = client.post(page, {**form, "description": "", "attributes": ""})
    assert answered.status_code == 302, answered.content.decode()
    relay_outbox()

    request = ListingRequest.objects.get()
    assert (request.act, request.state, request.requested_by) == ("update", "due", "system")
    assert [row.title for row in claim_due_requests(shop_id=shop.pk, limit=9, at=request.not_before)] == [
        "Serum No. 2"
    ]


# --- a shop calls it otherwise ------------------------------------------------------------------------------


@pytest.mark.capability("P14")
def test_a_shops_title_is_that_of_all_listings_of_the_item_and_is_told_once(shop: Shop) -> None:
    first = on_shelf(shop, SkuFactory.create(), outer_item_id="I1", outer_sku_id="S1")
    last = on_shelf(shop, SkuFactory.create(), outer_item_id="I1", outer_sku_id="S2")
    other = on_shelf(ShopFactory.create(), last.sku)

    said = retitle_listings(titles={last.pk: "  Our \n serum "}, reason="spring", **BY)

    assert said[last.pk].ok
    assert dict(Listing.objects.values_list("pk", "title")) == {
        first.pk: "Our serum",
        last.pk: "Our serum",
        other.pk: "",
    }
    assert [(row.listing_id, row.title) for row in claim(shop)] == [(first.pk, "Our serum")]
    acts = AuditEntry.objects.filter(action="listing.retitled").values_list("object_id", "by", "reason")
    assert set(acts) == {(str(first.pk), "user:7", "spring"), (str(last.pk), "user:7", "spring")}


def test_saying_the_same_again_tells_nobody(shop: Shop) -> None:
    listing = on_shelf(shop, SkuFactory.create(), title="Ours")

    assert retitle_listings(titles={listing.pk: "Ours", 999_999: "x"}, **BY)[999_999].ok is False

    assert not ListingRequest.objects.exists()
    assert not AuditEntry.objects.exists()


def test_a_draft_is_called_otherwise_and_no_channel_hears_of_it(shop: Shop) -> None:
    draft = ListingFactory.create(shop=shop, outer_item_id=None, outer_sku_id="", state="draft")
    also = ListingFactory.create(shop=shop, outer_item_id=None, outer_sku_id="", state="draft")

    retitle_listings(titles={draft.pk: "Ours"}, **BY)

    assert Listing.objects.get(pk=draft.pk).title == "Ours"
    assert Listing.objects.get(pk=also.pk).title == ""
    assert not ListingRequest.objects.exists()


def test_an_empty_title_follows_the_master_again(shop: Shop) -> None:
    listing = on_shelf(shop, SkuFactory.create(), title="Ours")

    retitle_listings(titles={listing.pk: ""}, **BY)

    assert [row.title for row in claim(shop)] == [listing.sku.spu.name]


def test_a_title_that_is_too_long_for_every_channel_is_refused(shop: Shop) -> None:
    listing = on_shelf(shop, SkuFactory.create(), title="Ours")

    with pytest.raises(TitleTooLong):
        retitle_listings(titles={listing.pk: "x" * 241}, **BY)

    assert Listing.objects.get().title == "Ours"


def test_the_page_of_a_listing_tells_a_new_title(shop: Shop, client: Client) -> None:
    client.force_login(User.objects.create_superuser("boss", "boss@example.com", "x"))
    listing = on_shelf(shop, SkuFactory.create(), outer_item_id="I1", outer_sku_id="S1")
    form = {"sku": listing.sku_id, "outer_item_id": "I1", "outer_sku_id": "S1", "state": "listed"}

    answered = client.post(
        reverse("admin:products_listing_change", args=[listing.pk]), {**form, "title": "Ours", "price": ""}
    )

    assert answered.status_code == 302
    assert Listing.objects.get().title == "Ours"
    assert ListingRequest.objects.get().act == "update"


# --- asked for by a person ----------------------------------------------------------------------------------


def test_a_title_is_told_again_on_demand_and_what_has_no_item_says_so(shop: Shop) -> None:
    listing = on_shelf(shop, SkuFactory.create())
    draft = ListingFactory.create(shop=shop, outer_item_id=None, outer_sku_id="", state="draft")

    batch, asked = update_listings(listing_ids=[listing.pk, draft.pk, 999_999], reason="again", **BY)

    assert [row.ok for row in asked] == [True, False, False]
    assert "map" in asked[1].detail
    request = ListingRequest.objects.get(batch=batch)
    assert (request.listing_id, request.reason, request.requested_by) == (listing.pk, "again", "user:7")


def test_an_answer_to_a_title_moves_no_listing(shop: Shop) -> None:
    listing = on_shelf(shop, SkuFactory.create())
    Listing.objects.update(state="delisted")
    update_listings(listing_ids=[listing.pk], **BY)

    answer(claim(shop))

    assert Listing.objects.get().state == "delisted"
    assert ListingRequest.objects.get().state == "done"


def test_a_listing_that_lost_its_item_meanwhile_is_given_up(shop: Shop) -> None:
    listing = on_shelf(shop, SkuFactory.create())
    update_listings(listing_ids=[listing.pk], **BY)
    Listing.objects.update(outer_item_id=None, outer_sku_id="", state="approved")

    assert claim(shop, NOON + timedelta(minutes=1)) == []

    assert ListingRequest.objects.get().state == "refused"


# --- what is mapped -----------------------------------------------------------------------------------------


def test_an_item_that_is_called_as_the_master_says_follows_it_from_then_on(shop: Shop) -> None:
    sku = SkuFactory.create()
    seen = [SeenItem("I1", "S1", sku.spu.name), SeenItem("I2", "S1", "Channel's own words")]
    observe_items(shop_id=shop.pk, items=seen, source="channel", at=NOON)
    ids = OuterItem.objects.order_by("outer_item_id").values_list("pk", flat=True)

    map_items(sku_ids=dict.fromkeys(ids, sku.pk), **BY)

    titles = Listing.objects.order_by("outer_item_id").values_list("title", flat=True)
    assert list(titles) == ["", "Channel's own words"]


@pytest.mark.parametrize(
    ("said", "shown", "title"),
    [
        ("", None, ""),
        ("", "Channel's own words", "Channel's own words"),
        ("Ours", "Channel's own words", "Ours"),
        ("", "Serum", ""),
        ("Serum", None, ""),
    ],
)
def test_an_item_that_is_named_by_its_ids_is_called_as_it_is_said_or_shown(
    shop: Shop, said: str, shown: str | None, title: str
) -> None:
    sku = SkuFactory.create(spu__name="Serum")
    if shown is not None:
        observe_items(shop_id=shop.pk, items=[SeenItem("I1", "S1", shown)], source="channel", at=NOON)

    listing = map_listing(
        shop_id=shop.pk, outer_item_id="I1", outer_sku_id="S1", sku_code=sku.code, title=said, **BY
    )

    assert listing.title == title

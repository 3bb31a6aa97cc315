"""A listing is drafted, submitted, and approved or rejected with a reason; no other way leads on."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from omni.kernel.models import AuditEntry
from products.draft import (
    ReasonMissing,
    approve_listings,
    draft_listings,
    reject_listings,
    submit_listings,
    take_back_listings,
)
from products.map import map_items
from products.models import Listing, OuterItem, StaffScope
from products.observe import SeenItem, observe_items
from products.states import NEXT
from tests.factories.orders import NOON
from tests.factories.products import ListingFactory, ShopFactory, SkuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("P10")]
BY: dict[str, Any] = {"at": NOON, "by": "user:7"}
State = Listing.State


def a_draft(state: str = State.DRAFT, **values: Any) -> Listing:
    listing = ListingFactory.create(outer_item_id=None, outer_sku_id="", state=State.DRAFT, **values)
    Listing.objects.filter(pk=listing.pk).update(state=state)
    return Listing.objects.get(pk=listing.pk)


def test_skus_are_drafted_in_every_shop_where_they_are_not_yet() -> None:
    shops, skus = [ShopFactory.create() for _ in range(2)], [SkuFactory.create() for _ in range(3)]
    ListingFactory.create(shop=shops[0], sku=skus[0])
    off = SkuFactory.create(is_active=False)

    made = draft_listings(
        shop_ids=[shop.pk for shop in shops], sku_ids=[sku.pk for sku in [*skus, off]], **BY
    )

    assert len(made) == 5
    drafted = Listing.objects.filter(pk__in=made)
    assert {(row.state, row.outer_item_id, row.state_by) for row in drafted} == {("draft", None, "user:7")}
    assert {row.title for row in drafted} == {""}  # as the master calls it, today's name and every later one
    assert AuditEntry.objects.filter(action="listing.drafted").count() == 5
    assert draft_listings(shop_ids=[shops[0].pk], sku_ids=[skus[0].pk], **BY) == []


def test_nothing_is_on_a_channel_without_an_item_there() -> None:
    with pytest.raises(IntegrityError, match="what_is_on_a_channel"), transaction.atomic():
        ListingFactory.create(outer_item_id=None, state="listed")


@pytest.mark.parametrize(
    ("to", "move"),
    [
        (State.SUBMITTED, submit_listings),
        (State.APPROVED, approve_listings),
        (State.REJECTED, reject_listings),
        (State.DRAFT, take_back_listings),
    ],
)
@pytest.mark.parametrize("state", [State.DRAFT, State.SUBMITTED, State.REJECTED, State.APPROVED])
def test_a_step_that_the_table_does_not_know_is_not_taken(state: State, to: State, move: Any) -> None:
    listing = a_draft(state)
    more = {"reason": "because"} if move is reject_listings else {}

    (moved,) = move(listing_ids=[listing.pk], **more, **BY)

    listing.refresh_from_db()
    is_allowed = to in NEXT[state]
    assert moved.ok == is_allowed
    assert bool(moved.detail) != is_allowed
    assert listing.state == (to if is_allowed else state)


def test_what_is_on_a_channel_goes_no_way_back_into_review() -> None:
    for state, move in product(("listed", "delisted"), (submit_listings, take_back_listings)):
        listing = ListingFactory.create(state=state)

        (moved,) = move(listing_ids=[listing.pk], **BY)

        assert not moved.ok


def test_a_rejected_listing_keeps_its_reason_until_it_is_submitted_again() -> None:
    listing = a_draft(State.SUBMITTED)

    reject_listings(listing_ids=[listing.pk], reason="The picture is wrong", **BY)

    listing.refresh_from_db()
    assert (listing.state, listing.state_reason, listing.state_by) == (
        "rejected",
        "The picture is wrong",
        "user:7",
    )
    submit_listings(listing_ids=[listing.pk], **BY)
    listing.refresh_from_db()
    assert (listing.state, listing.state_reason) == ("submitted", "")
    assert list(AuditEntry.objects.values_list("action", "reason").order_by("pk")) == [
        ("listing.moved", "The picture is wrong"),
        ("listing.moved", ""),
    ]


def test_nobody_rejects_without_a_reason() -> None:
    listing = a_draft(State.SUBMITTED)

    with pytest.raises(ReasonMissing):
        reject_listings(listing_ids=[listing.pk], reason="  ", **BY)

    listing.refresh_from_db()
    assert listing.state == "submitted"


def test_one_listing_that_cannot_go_on_leaves_the_others_alone() -> None:
    good, bad = a_draft(), ListingFactory.create()

    moved = submit_listings(listing_ids=[bad.pk, good.pk, 999_999], **BY)

    assert [row.ok for row in moved] == [False, True, False]
    good.refresh_from_db()
    assert good.state == "submitted"


@pytest.mark.capability("P15")
def test_an_item_of_the_channel_becomes_the_item_of_the_draft() -> None:
    listing = a_draft(State.APPROVED)
    ids = []
    for item in ("I1", "I2"):
        seen = SeenItem(item, "", is_listed=True)
        observe_items(shop_id=listing.shop_id, items=[seen], source="channel", at=NOON)
        ids.append(OuterItem.objects.get(outer_item_id=item).pk)

    results = map_items(sku_ids=dict.fromkeys(ids, listing.sku_id), **BY)

    assert all(row.ok for row in results.values())
    listing.refresh_from_db()
    assert (listing.outer_item_id, listing.state) == ("I1", "listed")
    assert Listing.objects.get(outer_item_id="I2").sku == listing.sku


def test_what_is_not_approved_yet_gets_its_item_and_stays_where_it_is() -> None:
    listing = a_draft(State.SUBMITTED)
    observe_items(
        shop_id=listing.shop_id, items=[SeenItem("I1", "", is_listed=True)], source="channel", at=NOON
    )

    map_items(sku_ids={OuterItem.objects.get().pk: listing.sku_id}, **BY)

    listing.refresh_from_db()
    assert (listing.outer_item_id, listing.state) == ("I1", "submitted")


def test_only_whoever_may_approve_sees_the_button(client: Client) -> None:
    listing = a_draft(State.SUBMITTED)
    user = User.objects.create_user("staff", "s@example.com", "x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_listing", "change_listing"]))
    StaffScope.objects.create(user=user, shop=listing.shop)
    client.force_login(user)
    page = reverse("admin:products_listing_changelist")
    chosen = {"action": "approve", "_selected_action": [str(listing.pk)]}

    client.post(page, chosen)
    listing.refresh_from_db()
    assert listing.state == "submitted"

    user.user_permissions.add(Permission.objects.get(codename="approve_listing"))
    client.post(page, chosen)
    listing.refresh_from_db()
    assert listing.state == "approved"
    assert listing.state_by == f"user:{user.pk}"


def test_the_page_of_a_listing_offers_the_next_step_to_whoever_may_take_it(client: Client) -> None:
    listing = a_draft(State.SUBMITTED)
    user = User.objects.create_user("staff", "s@example.com", "x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_listing", "change_listing"]))
    StaffScope.objects.create(user=user, shop=listing.shop)
    client.force_login(user)
    page = reverse("admin:products_listing_change", args=[listing.pk])
    assert 'name="action"' not in client.get(page).content.decode()

    user.user_permissions.add(Permission.objects.get(codename="approve_listing"))

    shown = client.get(page).content.decode()
    assert 'name="action" value="approve"' in shown
    assert 'name="action" value="reject"' in shown
    assert 'name="price"' not in shown  # what it costs is asked for and approved elsewhere


def test_the_list_of_skus_drafts_them_in_the_chosen_shops(client: Client) -> None:
    client.force_login(User.objects.create_superuser("boss", "boss@example.com", "x"))
    shops, skus = [ShopFactory.create() for _ in range(3)], [SkuFactory.create() for _ in range(4)]
    page = reverse("admin:products_sku_changelist")
    chosen = {"action": "draft_listings", "_selected_action": [str(sku.pk) for sku in skus]}
    assert shops[0].name in client.post(page, chosen).content.decode()

    client.post(page, {**chosen, "asked": "1", "shops": [str(shop.pk) for shop in shops[:2]]})

    assert Listing.objects.filter(state="draft").count() == 8


def test_every_step_of_the_table_has_a_writer() -> None:
    people = {State.SUBMITTED, State.APPROVED, State.REJECTED, State.DRAFT}
    channel = {State.LISTED, State.DELISTED}

    assert set(State) == set(NEXT) == people | channel

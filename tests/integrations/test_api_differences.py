"""Machines read where channels differ, push ours again, and take the channel's word."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from integrations.models import ListingDrift
from products.models import Listing, ListingRequest, Shop, StaffScope
from tests.factories.api import Caller
from tests.factories.orders import NOON
from tests.factories.products import ListingFactory, ShopFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("I3")]


@pytest.fixture
def shop() -> Shop:
    return ShopFactory.create(code="tmall")


def differs(shop: Shop, what: str = "title", **values: Any) -> ListingDrift:
    listing = ListingFactory.create(shop=shop, title="Serum")
    told: dict[str, Any] = {"ours": "Serum", "theirs": "Sale!", "version": 1, "cause": "changed"}
    moments = dict.fromkeys(("since", "held_since", "seen_at", "confirmed_at"), NOON)
    return ListingDrift.objects.create(listing=listing, shop=shop, what=what, **(told | moments | values))


def test_differences_are_found_by_what_differs_and_why(shop: Shop) -> None:
    title = differs(shop)
    price = differs(shop, "price", ours="10", theirs="12", cause="refused", detail="below cost")
    watched = differs(shop, confirmed_at=None)
    over = differs(shop, closed_at=NOON, ending="equal")
    caller = Caller(shop)

    def ids(query: str) -> list[int]:
        return [row["id"] for row in caller.get(f"drifts?{query}").json()["results"]]

    assert ids("what=price") == [price.pk]
    assert ids("cause=changed&is_open=true") == [watched.pk, title.pk]
    assert ids("is_open=false") == [over.pk]
    assert ids("is_open=true&is_confirmed=true") == [price.pk, title.pk]
    row = caller.get(f"drifts/{price.pk}").json()
    assert (row["ours"], row["theirs"], row["currency"], row["detail"]) == ("10", "12", "CNY", "below cost")


def test_ours_is_pushed_again_row_by_row(shop: Shop) -> None:
    title = differs(shop)
    gone = differs(shop, "state", ours="listed", theirs="gone", cause="gone")

    answer = Caller(shop).post("drifts/push", {"ids": [title.pk, gone.pk], "reason": "ours is right"})

    assert [row["ok"] for row in answer.json()["results"]] == [True, False]
    request = ListingRequest.objects.get()
    assert (request.act, request.reason) == ("update", "ours is right")
    assert request.requested_by.startswith("key:")


def test_the_channels_word_is_taken(shop: Shop) -> None:
    title = differs(shop)

    answer = Caller(shop).post("drifts/accept", {"ids": [title.pk]})

    assert answer.json()["results"] == [{"id": title.pk, "ok": True, "detail": ""}]
    assert Listing.objects.get().title == "Sale!"


def test_people_need_the_permission_for_what_they_do(shop: Shop) -> None:
    title = differs(shop)
    user = User.objects.create_user("clerk", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_listingdrift"))
    StaffScope.objects.create(user=user, shop=shop)
    client = Client(headers={"Idempotency-Key": "k1"})
    client.force_login(user)

    assert client.get("/api/v1/drifts").status_code == 200
    answer = client.post("/api/v1/drifts/push", {"ids": [title.pk]}, content_type="application/json")

    assert answer.status_code == 403
    assert not ListingRequest.objects.exists()

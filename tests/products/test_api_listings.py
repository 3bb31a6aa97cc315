"""Machines draft listings, lead them through review, have channels asked, and map what the channels show."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps

from omni.kernel.models import AuditEntry
from products.models import Listing, ListingRequest, OuterItem, Shop
from products.observe import SeenItem, observe_items
from tests.factories.api import Caller
from tests.factories.orders import NOON
from tests.factories.products import ListingFactory, ShopFactory, SkuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("I3")]


@pytest.fixture
def shop() -> Shop:
    return ShopFactory.create(code="tmall")


@pytest.fixture
def caller(shop: Shop) -> Caller:
    return Caller(shop)


def said(answer: Any) -> list[tuple[bool, str]]:
    assert answer.status_code == 200, answer.content
    return [(row["ok"], row["detail"]) for row in answer.json()["results"]]


@pytest.mark.capability("P10")
def test_who_submits_a_listing_needs_a_scope_of_its_own_to_decide_on_it(shop: Shop) -> None:
    writer = Caller(shop, scopes=frozenset({"products:read", "products:write"}))
    decider = Caller(shop, scopes=frozenset({"products:read", "listings:approve"}))
    listing = ListingFactory.create(shop=shop, state="submitted", outer_item_id=None)
    rows = {"ids": [listing.pk]}

    assert writer.post("listings/approve", rows).status_code == 403
    assert writer.post("listings/reject", rows | {"reason": "no"}).status_code == 403
    assert decider.post("listings/submit", rows).status_code == 403
    listing.refresh_from_db()
    assert listing.state == "submitted"
    assert said(decider.post("listings/approve", rows)) == [(True, "")]


@pytest.mark.capability("P10")
def test_a_listing_goes_from_a_draft_to_its_channel(shop: Shop, caller: Caller) -> None:
    sku = SkuFactory.create(code="A-1")

    drafted = caller.post("listings", {"shops": ["tmall"], "skus": ["A-1"], "reason": "spring"})
    (ident,) = drafted.json()["ids"]
    assert caller.get(f"listings/{ident}").json()["shown_title"] == sku.name
    assert said(caller.post("listings/submit", {"ids": [ident]})) == [(True, "")]
    assert said(caller.post("listings/approve", {"ids": [ident]})) == [(True, "")]
    observe_items(shop_id=shop.pk, items=[SeenItem("I1", "S1", "x")], source="channel", at=NOON)
    item = OuterItem.objects.get()
    assert said(caller.post("outer-items/map", {"items": [{"id": item.pk, "sku": "A-1"}]})) == [(True, "")]
    published = caller.post("listings/publish", {"ids": [ident], "reason": "go"})

    assert said(published) == [(True, "")]
    (request,) = caller.get(f"listing-requests?batch={published.json()['batch']}").json()["results"]
    assert (request["listing"], request["act"], request["state"], request["reason"]) == (
        ident,
        "publish",
        "due",
        "go",
    )
    assert request["requested_by"].startswith("key:")


@pytest.mark.capability("P10")
def test_what_is_rejected_needs_a_reason_and_says_it(shop: Shop, caller: Caller) -> None:
    listing = ListingFactory.create(shop=shop, outer_item_id=None, outer_sku_id="", state="submitted")

    silent = caller.post("listings/reject", {"ids": [listing.pk]})
    blank = caller.post("listings/reject", {"ids": [listing.pk], "reason": "  "})
    assert (silent.status_code, blank.status_code) == (400, 400)
    caller.post("listings/reject", {"ids": [listing.pk], "reason": "the picture is wrong"})

    row = caller.get(f"listings/{listing.pk}").json()
    assert (row["state"], row["state_reason"]) == ("rejected", "the picture is wrong")


@pytest.mark.capability("P9")
def test_each_row_of_an_act_has_its_own_result_in_the_order_given(shop: Shop, caller: Caller) -> None:
    good = ListingFactory.create(shop=shop, state="approved")
    draft = ListingFactory.create(shop=shop, outer_item_id=None, outer_sku_id="", state="draft")

    answer = caller.post("listings/publish", {"ids": [draft.pk, good.pk, 999_999]})

    assert [row["id"] for row in answer.json()["results"]] == [draft.pk, good.pk, 999_999]
    assert [ok for ok, _detail in said(answer)] == [False, True, False]
    assert ListingRequest.objects.count() == 1


@pytest.mark.parametrize(
    "body",
    [
        {"ids": []},
        {"ids": list(range(1, 502))},
        {"ids": ["1"]},
        {"ids": [0]},
        {"ids": [2**63]},
        {"ids": [1], "why": "?"},
        {},
    ],
)
def test_what_is_not_exactly_a_list_of_ids_is_refused(caller: Caller, body: dict[str, Any]) -> None:
    answer = caller.post("listings/submit", body)

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_input")


def test_a_window_that_ends_before_it_starts_is_refused(shop: Shop, caller: Caller) -> None:
    listing = ListingFactory.create(shop=shop, state="approved")
    window = {"starts_at": "2099-01-02T00:00:00Z", "ends_at": "2099-01-01T00:00:00Z"}

    answer = caller.post("listings/publish", {"ids": [listing.pk], **window})

    assert (answer.status_code, answer.json()["code"]) == (400, "ends_before_it_starts")
    assert not ListingRequest.objects.exists()


@pytest.mark.capability("P14")
def test_a_shop_calls_it_otherwise_and_the_history_says_who(shop: Shop, caller: Caller) -> None:
    listing = ListingFactory.create(shop=shop)

    answer = caller.post(
        "listings/retitle", {"titles": [{"id": listing.pk, "title": "Ours"}], "reason": "spring"}
    )

    assert said(answer) == [(True, "")]
    assert Listing.objects.get().title == "Ours"
    by = AuditEntry.objects.get(action="listing.retitled").by
    assert by.startswith("key:")
    change: Any = apps.get_model("products", "ListingHistory").objects.select_related("pgh_context").get()
    assert (change.title, change.pgh_context.metadata["by"]) == ("", by)
    assert ListingRequest.objects.get().act == "update"


def test_a_title_is_told_again(shop: Shop, caller: Caller) -> None:
    listing = ListingFactory.create(shop=shop)

    answer = caller.post("listings/update", {"ids": [listing.pk]})

    assert str(ListingRequest.objects.get().batch) == answer.json()["batch"]


def test_the_same_act_sent_twice_happens_once(shop: Shop, caller: Caller) -> None:
    listing = ListingFactory.create(shop=shop)
    body = {"titles": [{"id": listing.pk, "title": "Ours"}]}

    first = caller.post("listings/retitle", body, key="act-1")
    again = caller.post("listings/retitle", body, key="act-1")

    assert again.json() == first.json()
    assert again["Idempotent-Replayed"] == "true"
    assert AuditEntry.objects.filter(action="listing.retitled").count() == 1


# --- what the channels show ---------------------------------------------------------------------------------


@pytest.mark.capability("P15")
def test_unmapped_items_come_with_the_skus_that_they_may_be(shop: Shop, caller: Caller) -> None:
    SkuFactory.create(code="A-1", name="Serum")
    seen = [SeenItem("I1", "", "Serum", outer_code="A-1"), SeenItem("I2", "", "Bag", outer_code="nobody")]
    observe_items(shop_id=shop.pk, items=seen, source="channel", at=NOON)

    rows = caller.get("outer-items?state=unmapped&shop=tmall").json()["results"]

    suggested = {row["outer_item_id"]: row["suggestions"] for row in rows}
    assert suggested == {
        "I1": [{"sku": "A-1", "name": "Serum", "reason": "code", "is_certain": True}],
        "I2": [],
    }
    assert rows[0]["currency"] == shop.currency


@pytest.mark.capability("P15")
def test_items_are_mapped_and_ignored_each_for_itself(shop: Shop, caller: Caller) -> None:
    sku = SkuFactory.create(code="A-1")
    seen = [SeenItem(f"I{number}", "") for number in (1, 2, 3)]
    observe_items(shop_id=shop.pk, items=seen, source="channel", at=NOON)
    first, second, third = OuterItem.objects.order_by("outer_item_id").values_list("pk", flat=True)

    lines = [{"id": first, "sku": "A-1"}, {"id": second, "sku": "no such"}]
    mapped = said(caller.post("outer-items/map", {"items": lines}))
    ignored = said(caller.post("outer-items/ignore", {"ids": [third, first], "reason": "a gift"}))

    assert [ok for ok, _detail in mapped] == [True, False]
    assert "no such" in mapped[1][1]
    assert [ok for ok, _detail in ignored] == [True, False]
    assert Listing.objects.get().sku == sku
    states = OuterItem.objects.order_by("outer_item_id").values_list("state", "note")
    assert list(states) == [("mapped", ""), ("unmapped", ""), ("ignored", "a gift")]

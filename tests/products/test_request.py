"""Channels are asked to put on sale and take off, line by line: at once, in batches, or for a window."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from omni.kernel.answers import Answer
from omni.kernel.models import OutboxEvent
from products.models import Listing, ListingRequest, Shop
from products.observe import SeenItem, observe_items
from products.request import (
    DueRequest,
    EndsBeforeItStarts,
    cancel_requests,
    claim_due_requests,
    publish_listings,
    record_request_answers,
    repeat_requests,
    withdraw_listings,
)
from tests.factories.orders import NOON
from tests.factories.products import ListingFactory, ShopFactory, SkuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("P9")]
BY: dict[str, Any] = {"at": NOON, "by": "user:7"}
HOUR = timedelta(hours=1)


@pytest.fixture
def shop() -> Shop:
    return ShopFactory.create()


def approved(shop: Shop, item: str = "I1", sku: str = "S1") -> Listing:
    return ListingFactory.create(shop=shop, outer_item_id=item, outer_sku_id=sku, state="approved")


def listed(shop: Shop, item: str = "I1", sku: str = "S1") -> Listing:
    return ListingFactory.create(shop=shop, outer_item_id=item, outer_sku_id=sku, state="listed")


def claim(shop: Shop, at: Any = NOON) -> list[DueRequest]:
    return claim_due_requests(shop_id=shop.pk, limit=100, at=at)


def answer(due: list[DueRequest], at: Any = NOON, **values: Any) -> None:
    answers = [Answer(row.request_id, **({"ok": True} | values)) for row in due]
    record_request_answers(answers=answers, at=at)


def state(listing: Listing) -> str:
    listing.refresh_from_db()
    return listing.state


def test_what_is_approved_is_on_sale_once_the_channel_has_said_yes(shop: Shop) -> None:
    listing = approved(shop)

    _batch, asked = publish_listings(listing_ids=[listing.pk], reason="spring", **BY)
    assert asked[0].ok
    assert state(listing) == "approved"
    due = claim(shop)
    assert [(row.act, row.outer_item_id, row.sku_code) for row in due] == [
        ("publish", "I1", listing.sku.code)
    ]
    answer(due)

    assert state(listing) == "listed"
    assert (listing.state_by, listing.state_reason) == ("user:7", "spring")
    event = OutboxEvent.objects.get(kind="products.ListingsChanged")
    assert event.payload == {"shop_id": shop.pk, "sku_ids": [listing.sku_id]}
    request = ListingRequest.objects.get()
    assert (request.state, request.answered_at, request.attempts) == ("done", NOON, 1)


def test_five_hundred_skus_in_three_shops_are_asked_for_in_a_handful_of_statements(
    django_assert_max_num_queries: Any,
) -> None:
    skus = [SkuFactory.create() for _ in range(500)]
    ids = []
    for shop in (ShopFactory.create() for _ in range(3)):
        rows = [
            Listing(shop=shop, sku=sku, outer_item_id=f"I{number}", state="approved")
            for number, sku in enumerate(skus)
        ]
        ids += [row.pk for row in Listing.objects.bulk_create(rows)]

    with django_assert_max_num_queries(8):
        batch, asked = publish_listings(listing_ids=ids, **BY)

    assert len(asked) == 1500
    assert all(row.ok for row in asked)
    assert ListingRequest.objects.filter(batch=batch, state="due").count() == 1500


def test_each_line_that_cannot_go_says_why_and_the_others_go(shop: Shop) -> None:
    good, on_sale = approved(shop), listed(shop, "I2")
    draft = ListingFactory.create(shop=shop, outer_item_id=None, outer_sku_id="", state="draft")
    bare = ListingFactory.create(shop=shop, outer_item_id=None, outer_sku_id="", state="approved")

    _batch, asked = publish_listings(listing_ids=[draft.pk, good.pk, bare.pk, on_sale.pk, 999_999], **BY)

    assert [row.ok for row in asked] == [False, True, False, False, False]
    details = [row.detail for row in asked]
    assert len(set(details)) == 5
    assert "map" in details[2]
    assert ListingRequest.objects.count() == 1


def test_what_is_not_on_sale_cannot_be_taken_off(shop: Shop) -> None:
    _batch, asked = withdraw_listings(listing_ids=[approved(shop).pk], **BY)

    assert not asked[0].ok
    assert ListingRequest.objects.count() == 0


def test_asking_twice_asks_once(shop: Shop) -> None:
    listing = approved(shop)
    publish_listings(listing_ids=[listing.pk], **BY)

    _batch, again = publish_listings(listing_ids=[listing.pk], **BY)

    assert not again[0].ok
    assert ListingRequest.objects.count() == 1


def test_a_window_opens_and_closes_at_its_moments(shop: Shop) -> None:
    listing = approved(shop)
    publish_listings(listing_ids=[listing.pk], starts_at=NOON + HOUR, ends_at=NOON + 2 * HOUR, **BY)

    assert claim(shop) == []
    opened = claim(shop, NOON + HOUR)
    assert [row.act for row in opened] == ["publish"]
    answer(opened, NOON + HOUR)
    assert state(listing) == "listed"
    closed = claim(shop, NOON + 2 * HOUR)
    assert [row.act for row in closed] == ["withdraw"]
    answer(closed, NOON + 2 * HOUR)

    assert state(listing) == "delisted"


def test_a_window_that_was_slept_through_opens_and_closes_in_its_order(shop: Shop) -> None:
    listing = approved(shop)
    publish_listings(listing_ids=[listing.pk], starts_at=NOON + HOUR, ends_at=NOON + 2 * HOUR, **BY)

    late = NOON + 5 * HOUR
    first = claim(shop, late)
    assert [row.act for row in first] == ["publish"]
    assert claim(shop, late) == []
    answer(first, late)
    second = claim(shop, late)
    answer(second, late)

    assert [row.act for row in second] == ["withdraw"]
    assert state(listing) == "delisted"


@pytest.mark.parametrize(("start", "end"), [(HOUR, HOUR), (2 * HOUR, HOUR), (-HOUR, None), (None, -HOUR)])
def test_a_window_that_ends_before_it_starts_is_refused(
    shop: Shop, start: timedelta | None, end: timedelta | None
) -> None:
    listing = approved(shop)

    with pytest.raises(EndsBeforeItStarts):
        publish_listings(
            listing_ids=[listing.pk],
            starts_at=None if start is None else NOON + start,
            ends_at=None if end is None else NOON + end,
            **BY,
        )

    assert ListingRequest.objects.count() == 0


def test_what_went_another_way_before_its_moment_is_not_put_on_sale(shop: Shop) -> None:
    listing = approved(shop)
    publish_listings(listing_ids=[listing.pk], starts_at=NOON + HOUR, **BY)
    Listing.objects.update(state="draft")

    assert claim(shop, NOON + HOUR) == []

    assert ListingRequest.objects.get().state == "refused"
    assert state(listing) == "draft"


def test_a_refused_line_keeps_the_channels_word_and_can_be_asked_again(shop: Shop) -> None:
    listing = approved(shop)
    publish_listings(listing_ids=[listing.pk], **BY)
    answer(claim(shop), ok=False, is_final=True, detail="the item has no picture")

    request = ListingRequest.objects.get()
    assert (request.state, request.answer) == ("refused", "the item has no picture")
    assert state(listing) == "approved"
    assert claim(shop) == []
    assert repeat_requests(request_ids=[request.pk], **BY) == [request.pk]
    answer(claim(shop))
    assert state(listing) == "listed"


def test_a_line_without_an_answer_comes_round_again_ever_later(shop: Shop) -> None:
    publish_listings(listing_ids=[approved(shop).pk], **BY)

    answer(claim(shop), ok=False, detail="502")
    assert claim(shop) == []
    due = claim(shop, NOON + timedelta(seconds=2))
    assert len(due) == 1
    answer(due, NOON + timedelta(seconds=2), ok=False, retry_seconds=30)

    assert claim(shop, NOON + timedelta(seconds=31)) == []
    assert len(claim(shop, NOON + timedelta(seconds=32))) == 1


def test_a_worker_that_dies_gives_its_lines_back(shop: Shop) -> None:
    publish_listings(listing_ids=[approved(shop).pk], **BY)
    assert len(claim(shop)) == 1

    assert claim(shop, NOON + timedelta(seconds=119)) == []
    assert len(claim(shop, NOON + timedelta(seconds=120))) == 1


def test_an_answer_that_comes_twice_counts_once(shop: Shop) -> None:
    listing = approved(shop)
    publish_listings(listing_ids=[listing.pk], **BY)
    due = claim(shop)
    answer(due)

    answer(due, ok=False, is_final=True, detail="late")

    assert ListingRequest.objects.get().state == "done"
    assert OutboxEvent.objects.count() == 1


def test_what_waits_for_its_moment_can_be_called_off_and_what_was_tried_cannot(shop: Shop) -> None:
    planned, tried = approved(shop), approved(shop, "I2")
    publish_listings(listing_ids=[planned.pk], starts_at=NOON + HOUR, **BY)
    publish_listings(listing_ids=[tried.pk], **BY)
    claim(shop)
    ids = list(ListingRequest.objects.order_by("pk").values_list("pk", flat=True))

    assert cancel_requests(request_ids=ids, reason="too early", **BY) == ids[:1]

    assert claim(shop, NOON + HOUR) != []
    assert ListingRequest.objects.get(pk=ids[0]).state == "cancelled"


@pytest.mark.parametrize("sibling", ["none", "leaves too", "stays", "is not mapped"])
def test_an_item_is_taken_off_whole_only_if_nothing_of_it_stays(shop: Shop, sibling: str) -> None:
    ids = [listed(shop).pk]
    if sibling == "leaves too":
        ids.append(listed(shop, "I1", "S2").pk)
    if sibling == "stays":
        listed(shop, "I1", "S2")
    if sibling == "is not mapped":
        observe_items(
            shop_id=shop.pk, items=[SeenItem("I1", "S2", is_listed=True)], source="channel", at=NOON
        )

    withdraw_listings(listing_ids=ids, **BY)

    expected = sibling in ("none", "leaves too")
    assert [row.is_whole_item for row in claim(shop)] == [expected] * len(ids)


def test_the_list_asks_for_a_window_and_shows_what_comes_of_each_line(shop: Shop, client: Client) -> None:
    client.force_login(User.objects.create_superuser("boss", "boss@example.com", "x"))
    good, draft = approved(shop), ListingFactory.create(shop=shop, outer_item_id=None, state="draft")
    page = reverse("admin:products_listing_changelist")
    chosen = {"action": "publish", "_selected_action": [str(good.pk), str(draft.pk)]}
    assert "starts_at" in client.post(page, chosen).content.decode()

    answered = client.post(page, {**chosen, "asked": "1", "starts_at": "", "ends_at": "2999-01-01T10:00"})

    body = answered.content.decode()
    assert draft.sku.code in body
    assert list(ListingRequest.objects.values_list("act", flat=True).order_by("act")) == [
        "publish",
        "withdraw",
    ]
    batch = ListingRequest.objects.values_list("batch", flat=True)[0]
    requests = reverse("admin:products_listingrequest_changelist")
    shown = client.get(requests, {"batch": str(batch)}).content.decode()
    assert good.sku.code in shown

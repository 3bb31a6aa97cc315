"""What a channel shows is compared with what we say: differences with their causes, their ends, and what mends them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from integrations import registry
from integrations.channels.top.sandbox import shelf as sandbox_shelf
from integrations.channels.top.sandbox.__main__ import build, read_options
from integrations.contract import Capabilities, LineResult
from integrations.detect import Detected, detect_drifts
from integrations.models import Connection, Cursor, ListingDrift
from integrations.open import open_missing_streams
from integrations.push import push_listings, push_prices, push_stock
from integrations.push_again import Settled, accept_drifts, push_drifts_again
from integrations.survey import EVERY, ITEMS, LOOK_AGAIN_IN, survey_items
from inventory.models import PublishedStock, StockChange
from inventory.publish import claim_due_stock
from inventory.tasks import plan_published
from omni.kernel.models import AuditEntry, OutboxEvent
from products.models import Listing, ListingRequest, PublishedPrice, Shop
from products.observe import SeenItem, note_gone, observe_items
from products.prices.publish import plan_published_prices
from products.request import withdraw_listings
from products.update import update_listings
from tests.factories.integrations import make_channel
from tests.factories.orders import NOON, make_house
from tests.factories.outside import AWAY, Market
from tests.factories.prices import approved
from tests.factories.products import ListingFactory, ShopFactory
from tests.integrations.medusa_replay import Replay, playing

pytestmark = [pytest.mark.django_db]
BY: dict[str, Any] = {"at": NOON, "by": "user:7"}
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
LONG_AGO = NOON - 3 * HOUR
CAN = replace(Market().capabilities, prices=True)
What, Cause = ListingDrift.What, ListingDrift.Cause


@pytest.fixture
def shop() -> Shop:
    return ShopFactory.create()


@pytest.fixture
def listing(shop: Shop) -> Listing:
    return ListingFactory.create(shop=shop, title="Serum")


def shows(listing: Listing, at: datetime = NOON, **told: Any) -> None:
    """What the channel told of the item when it was asked at that moment."""
    seen: dict[str, Any] = {"title": "Serum", "is_listed": True} | told
    item = SeenItem(str(listing.outer_item_id), listing.outer_sku_id, **seen)
    observe_items(shop_id=listing.shop_id, items=[item], source="channel", asked_at=at, at=at)


def detect(shop: Shop, at: datetime = NOON, can: Capabilities = CAN) -> Detected:
    return detect_drifts(shop_id=shop.pk, began=at - MINUTE, can=can, at=at)


def survey(listing: Listing, at: datetime = NOON, **told: Any) -> ListingDrift | None:
    """One survey that finds this. Returns the open difference, if there is one."""
    shows(listing, at, **told)
    detect(listing.shop, at)
    return ListingDrift.objects.filter(closed_at=None).first()


def priced(listing: Listing, amount: int | str, *, at: datetime = LONG_AGO, **values: Any) -> PublishedPrice:
    """What the channel was told to show, and said that it does; `at`: since when."""
    told = {
        "desired_amount": Decimal(amount),
        "currency": "CNY",
        "sent_amount": Decimal(amount),
        "acked_amount": Decimal(amount),
        **{f"{step}_version": 3 for step in ("desired", "sent", "acked")},
        **{f"{step}_at": at for step in ("desired", "sent", "acked")},
    }
    return PublishedPrice.objects.create(listing=listing, shop=listing.shop, **(told | values))


def stocked(listing: Listing, units: int, *, at: datetime = LONG_AGO, **values: Any) -> PublishedStock:
    told = {
        **{f"{step}_quantity": units for step in ("desired", "sent", "acked")},
        **{f"{step}_version": 3 for step in ("desired", "sent", "acked")},
        **{f"{step}_at": at for step in ("desired", "sent", "acked")},
    }
    return PublishedStock.objects.create(listing=listing, shop=listing.shop, **(told | values))


def told_title(listing: Listing, state: str, at: datetime, **values: Any) -> ListingRequest:
    update_listings(listing_ids=[listing.pk], at=at, by="user:7")
    ListingRequest.objects.update(state=state, answered_at=None if state == "due" else at, **values)
    return ListingRequest.objects.get()


# --- titles -------------------------------------------------------------------------------------------------


@pytest.mark.capability("P14")
def test_a_title_that_the_channel_was_never_told_differs(listing: Listing) -> None:
    drift = survey(listing, title="Something else")

    assert drift is not None
    assert (drift.what, drift.ours, drift.theirs, drift.cause) == (
        "title",
        "Serum",
        "Something else",
        "unsaid",
    )


@pytest.mark.parametrize(
    ("state", "values", "cause"),
    [
        ("done", {"content": "Serum"}, Cause.CHANGED),
        ("refused", {"content": "Serum", "answer": "a forbidden word"}, Cause.REFUSED),
        ("done", {"content": "An older title"}, Cause.UNSAID),
        ("due", {"attempts": 3, "answer": "502"}, Cause.UNANSWERED),
    ],
)
def test_the_cause_of_a_title_is_what_came_of_telling_it(
    listing: Listing, state: str, values: dict[str, Any], cause: str
) -> None:
    told_title(listing, state, LONG_AGO, **values)

    drift = survey(listing, title="Something else")

    assert drift is not None
    assert (drift.cause, drift.detail) == (cause, values.get("answer", ""))


@pytest.mark.parametrize(("state", "at"), [("due", NOON - MINUTE), ("done", NOON + MINUTE)])
def test_a_title_that_is_on_its_way_is_no_difference(listing: Listing, state: str, at: datetime) -> None:
    told_title(listing, state, at, content="Serum")

    assert survey(listing, title="Something else") is None


def test_of_one_item_the_title_differs_once(shop: Shop, listing: Listing) -> None:
    other = ListingFactory.create(shop=shop, title="Serum", outer_item_id=listing.outer_item_id)
    shows(listing, title="x")
    shows(other, title="x")

    assert detect(shop).fresh == 1


def test_what_a_channel_takes_from_nobody_is_not_compared(shop: Shop, listing: Listing) -> None:
    priced(listing, 10)
    shows(listing, title="x", price=Decimal(12), is_listed=False)

    found = detect(shop, can=replace(CAN, titles=False, prices=False, listings=False))

    assert found == Detected(0, 0, 0)


# --- prices -------------------------------------------------------------------------------------------------


@pytest.mark.capability("P12")
@pytest.mark.parametrize(
    ("ours", "shown", "is_drift"),
    [
        ("19.90", "19.90", False),
        ("19.90", "19.91", True),
        ("19.994", "19.99", False),
        ("19.995", "20", False),
    ],
)
def test_a_price_differs_by_a_cent_but_not_by_less(
    listing: Listing, ours: str, shown: str, is_drift: bool
) -> None:
    priced(listing, ours)

    drift = survey(listing, price=Decimal(shown))

    assert (drift is not None) == is_drift
    if drift:
        assert (drift.what, drift.ours, drift.theirs, drift.cause) == ("price", "19.9", "19.91", "changed")


@pytest.mark.capability("P12")
@pytest.mark.parametrize(
    ("values", "cause"),
    [
        ({"acked_version": 2}, Cause.UNANSWERED),
        ({"acked_version": 0, "sent_version": 0, "sent_at": None, "acked_at": None}, Cause.UNSAID),
        (
            {"acked_version": 2, "last_error": "below cost", "not_before": NOON + 20 * HOUR},
            Cause.REFUSED,
        ),
        ({"acked_version": 2, "desired_at": NOON - MINUTE}, None),
        ({"acked_at": NOON + MINUTE}, None),
        (
            {
                "acked_version": 2,
                "desired_at": NOON - MINUTE,
                "last_error": "below cost",
                "not_before": NOON + 20 * HOUR,
            },
            Cause.REFUSED,
        ),
    ],
)
def test_the_cause_of_a_price_is_how_far_it_came(
    listing: Listing, values: dict[str, Any], cause: str | None
) -> None:
    priced(listing, 10, **values)

    drift = survey(listing, price=Decimal(12))

    assert (drift.cause if drift else None) == cause
    if drift:
        assert drift.detail == values.get("last_error", "")


def test_a_price_in_other_money_and_one_that_is_not_ours_are_not_compared(
    shop: Shop, listing: Listing
) -> None:
    other = ListingFactory.create(shop=shop, title="Serum")
    priced(listing, 10)
    shows(listing, price=Decimal(12), currency="USD")
    shows(other, price=Decimal(12))

    assert detect(shop).fresh == 0


# --- stock --------------------------------------------------------------------------------------------------


@pytest.mark.capability("P13")
def test_a_number_that_somebody_changed_there_is_confirmed_by_a_second_survey(listing: Listing) -> None:
    stocked(listing, 10)

    first = survey(listing, quantity=99)
    assert first is not None
    assert (first.what, first.ours, first.theirs, first.cause) == ("stock", "10", "99", "changed")
    assert first.confirmed_at is None
    soon = survey(listing, NOON + MINUTE, quantity=98)
    assert soon is not None
    assert soon.confirmed_at is None
    later = survey(listing, NOON + HOUR, quantity=97)

    assert later is not None
    assert (later.pk, later.since, later.theirs, later.confirmed_at) == (first.pk, NOON, "97", NOON + HOUR)


@pytest.mark.capability("P13")
def test_units_that_were_sold_there_and_are_not_known_here_yet_never_ask_for_a_person(
    listing: Listing,
) -> None:
    published = stocked(listing, 10)
    assert survey(listing, quantity=9) is not None
    # The order is pulled: the number is told anew. By the next survey the channel has sold another one.
    PublishedStock.objects.filter(pk=published.pk).update(
        desired_version=4, sent_version=4, acked_version=4, desired_quantity=9, acked_at=NOON + MINUTE
    )

    drift = survey(listing, NOON + HOUR, quantity=8)

    assert drift is not None
    assert drift.confirmed_at is None
    assert (drift.since, drift.held_since) == (NOON, NOON + HOUR)


def test_a_number_that_is_about_to_change_is_not_compared(listing: Listing) -> None:
    stocked(listing, 10)
    StockChange.objects.create(sku=listing.sku)

    assert survey(listing, quantity=9) is None


def test_stock_that_never_arrives_and_stock_that_is_refused_differ(shop: Shop, listing: Listing) -> None:
    refused = ListingFactory.create(shop=shop, title="Serum")
    stocked(listing, 10, acked_version=2)
    stocked(refused, 10, acked_version=2, last_error="no such SKU", not_before=NOON + 20 * HOUR)
    shows(listing, quantity=9)
    shows(refused, quantity=9)

    detect(shop)

    causes = ListingDrift.objects.order_by("listing").values_list("cause", "detail")
    assert list(causes) == [("unanswered", ""), ("refused", "no such SKU")]


# --- state --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "told", "theirs"),
    [
        ("listed", {"is_listed": True}, None),
        ("listed", {"is_listed": False}, "delisted"),
        ("delisted", {"is_listed": True, "quantity": 4}, "listed"),
        ("delisted", {"is_listed": True, "quantity": 0}, None),
        ("delisted", {"is_listed": False}, None),
    ],
)
def test_what_is_on_sale_on_one_side_only_differs(
    listing: Listing, ours: str, told: dict[str, Any], theirs: str | None
) -> None:
    Listing.objects.update(state=ours)

    drift = survey(listing, **told)

    assert ((drift.what, drift.theirs, drift.cause) if drift else None) == (
        ("state", theirs, "changed") if theirs else None
    )


def test_what_the_channel_does_not_show_any_more_is_gone(shop: Shop, listing: Listing) -> None:
    priced(listing, 10)
    shows(listing, LONG_AGO, title="x", price=Decimal(12))
    note_gone(shop_id=shop.pk, before=NOON - MINUTE)

    detect(shop)

    assert list(ListingDrift.objects.values_list("what", "theirs", "cause")) == [("state", "gone", "gone")]


def test_what_we_ask_for_at_this_moment_is_no_difference(listing: Listing) -> None:
    withdraw_listings(listing_ids=[listing.pk], at=NOON - MINUTE, by="user:7")

    assert survey(listing, is_listed=False) is None


# --- how it ends --------------------------------------------------------------------------------------------


def test_a_difference_is_over_when_both_sides_agree_and_a_new_one_is_another(listing: Listing) -> None:
    first = survey(listing, title="x")

    assert survey(listing, NOON + HOUR) is None
    again = survey(listing, NOON + 2 * HOUR, title="y")

    assert first is not None
    first.refresh_from_db()
    assert (first.closed_at, first.ending, first.theirs) == (NOON + HOUR, "equal", "Serum")
    assert again is not None
    assert (again.pk == first.pk, again.since) == (False, NOON + 2 * HOUR)


def test_what_nobody_compares_any_more_is_over(shop: Shop, listing: Listing) -> None:
    survey(listing, title="x")
    Listing.objects.update(state="approved")

    assert detect(shop, NOON + HOUR) == Detected(0, 0, 1)

    assert ListingDrift.objects.get().ending == "moot"


def test_an_unclear_survey_changes_nothing(listing: Listing) -> None:
    stocked(listing, 10)
    survey(listing, quantity=9)
    StockChange.objects.create(sku=listing.sku)

    drift = survey(listing, NOON + HOUR, quantity=9)

    assert drift is not None
    assert drift.seen_at == NOON


def test_a_large_shelf_is_compared_in_one_statement(shop: Shop, django_assert_max_num_queries: Any) -> None:
    for number in range(60):
        listing = ListingFactory.create(shop=shop, title="Serum")
        stocked(listing, number)
        shows(listing, quantity=number + number % 2)

    with django_assert_max_num_queries(3):  # with its savepoint
        found = detect(shop)

    assert found.fresh == 30


# --- pushed again -------------------------------------------------------------------------------------------


def push_again(*drifts: ListingDrift | None, **how: Any) -> list[Settled]:
    return push_drifts_again(drift_ids=[drift.pk for drift in drifts if drift], **(BY | how))


def test_each_kind_is_told_again_by_the_room_that_tells_it(shop: Shop, listing: Listing) -> None:
    off = ListingFactory.create(shop=shop, title="Serum", state="delisted")
    priced(listing, 10)
    stocked(listing, 7)
    shows(listing, title="x", price=Decimal(12), quantity=9, is_listed=False)
    shows(off, is_listed=True, quantity=3)
    assert detect(shop).fresh == 5

    results = push_again(*ListingDrift.objects.order_by("pk"), reason="ours is right")

    assert all(row.ok for row in results), results
    asked = ListingRequest.objects.order_by("act").values_list("act", "listing", "reason", "requested_by")
    assert list(asked) == [
        ("publish", listing.pk, "ours is right", "user:7"),
        ("update", listing.pk, "ours is right", "user:7"),
        ("withdraw", off.pk, "ours is right", "user:7"),
    ]
    price, stock = PublishedPrice.objects.get(), PublishedStock.objects.get()
    assert (price.desired_version, price.acked_version) == (4, 3)
    assert (stock.desired_version, stock.acked_version) == (4, 3)
    assert set(ListingDrift.objects.values_list("pushed_at", "pushed_by", "closed_at")) == {
        (NOON, "user:7", None)
    }
    acts = AuditEntry.objects.filter(action="drift.pushed_again").values_list("by", "reason")
    assert list(acts) == [("user:7", "ours is right")] * 5


@pytest.mark.parametrize(("shown", "is_increase"), [(4, True), (99, False)])
def test_more_than_the_channel_shows_is_told_only_after_its_orders_were_pulled(
    listing: Listing, shown: int, is_increase: bool
) -> None:
    stocked(listing, 10)

    push_again(survey(listing, quantity=shown))

    (due,) = claim_due_stock(shop_id=listing.shop_id, limit=9, at=NOON + MINUTE)
    assert (due.quantity, due.is_increase) == (10, is_increase)


def test_a_push_that_did_not_help_asks_again_and_one_under_way_does_not(listing: Listing) -> None:
    survey(listing, title="x")
    drift = survey(listing, NOON + HOUR, title="x")
    push_again(drift, at=NOON + HOUR + MINUTE)

    under_way = survey(listing, NOON + HOUR + 2 * MINUTE, title="x")
    assert under_way is not None
    assert under_way.pushed_at == NOON + HOUR + MINUTE
    ListingRequest.objects.update(state="done", answered_at=NOON + HOUR + 3 * MINUTE, content="Serum")
    still = survey(listing, NOON + 2 * HOUR, title="x")

    assert still is not None
    assert (still.pushed_at, still.cause) == (None, "changed")
    assert still.confirmed_at is not None


def test_what_was_refused_says_the_channels_words_when_it_is_pushed_again(listing: Listing) -> None:
    told_title(listing, "refused", LONG_AGO, content="Serum", answer="a forbidden word")

    (result,) = push_again(survey(listing, title="x"))

    assert result.ok
    assert "a forbidden word" in result.detail
    assert ListingRequest.objects.filter(state="due").count() == 1


def test_what_is_gone_over_or_unknown_is_not_pushed_and_says_why(shop: Shop, listing: Listing) -> None:
    gone = ListingFactory.create(shop=shop)
    over = survey(listing, title="x")
    survey(listing, NOON + HOUR)
    lost = ListingDrift.objects.get(listing=gone)
    assert over is not None

    results = push_drifts_again(drift_ids=[over.pk, lost.pk, 999_999], **BY)

    assert [row.ok for row in results] == [False, False, False]
    assert len({row.detail for row in results}) == 3
    assert not ListingRequest.objects.exists()


# --- the channel's word -------------------------------------------------------------------------------------


def test_their_title_becomes_the_shops_own_and_nobody_is_told(listing: Listing) -> None:
    drift = survey(listing, title="Serum, limited edition")
    assert drift is not None

    (result,) = accept_drifts(drift_ids=[drift.pk], reason="nicer", **BY)

    assert result.ok
    assert Listing.objects.get().title == "Serum, limited edition"
    assert not ListingRequest.objects.exists()
    drift.refresh_from_db()
    assert (drift.ending, drift.closed_at) == ("accepted", NOON)
    assert survey(listing, NOON + HOUR, title="Serum, limited edition") is None


@pytest.mark.parametrize(("ours", "on_sale"), [("listed", False), ("delisted", True)])
def test_their_state_becomes_ours_and_what_is_on_sale_gets_its_stock(
    listing: Listing, ours: str, on_sale: bool
) -> None:
    Listing.objects.update(state=ours)
    drift = survey(listing, is_listed=on_sale, quantity=1)
    assert drift is not None

    accept_drifts(drift_ids=[drift.pk], reason="let it be", **BY)

    listing.refresh_from_db()
    assert listing.state == ("listed" if on_sale else "delisted")
    assert (listing.state_by, listing.state_reason) == ("user:7", "let it be")
    assert OutboxEvent.objects.filter(kind="products.ListingsChanged").exists() == on_sale


def test_no_channel_decides_on_prices_and_stock(shop: Shop, listing: Listing) -> None:
    priced(listing, 10)
    stocked(listing, 7)
    shows(listing, price=Decimal(12), quantity=9)
    detect(shop)
    idents = list(ListingDrift.objects.values_list("pk", flat=True))

    results = accept_drifts(drift_ids=idents, **BY)

    assert [row.ok for row in results] == [False, False]
    assert ListingDrift.objects.filter(closed_at=None).count() == 2


# --- by the survey ------------------------------------------------------------------------------------------


@pytest.fixture
def market(monkeypatch: pytest.MonkeyPatch) -> Market:
    market = Market()
    monkeypatch.setattr(registry, "CHANNELS", {"top": market})
    return market


@pytest.fixture
def channel(market: Market) -> Connection:
    connection = make_channel()
    open_missing_streams()
    return connection


def due_in(connection: Connection) -> timedelta:
    """Until the next survey, from now on."""
    cursor = connection.cursors.get(stream=ITEMS)
    return cursor.due_at - timezone.now()


def look(connection: Connection) -> None:
    Cursor.objects.filter(connection=connection, stream=ITEMS).update(due_at=timezone.now())
    assert survey_items(connection_id=connection.pk, at=timezone.now()) is not None


def test_what_a_survey_finds_for_the_first_time_is_looked_at_again_soon_but_once(
    market: Market, channel: Connection
) -> None:
    listing = ListingFactory.create(shop=channel.shop, title="Serum")
    market.items = [SeenItem(str(listing.outer_item_id), listing.outer_sku_id, "x", is_listed=True)]

    look(channel)
    assert due_in(channel) <= LOOK_AGAIN_IN
    look(channel)

    assert LOOK_AGAIN_IN < due_in(channel) <= EVERY
    assert ListingDrift.objects.get().confirmed_at is None


def test_a_survey_that_breaks_off_draws_no_conclusion(market: Market, channel: Connection) -> None:
    ListingFactory.create(shop=channel.shop)
    market.fails["read_items"] = AWAY

    assert survey_items(connection_id=channel.pk, at=timezone.now()) is None

    assert not ListingDrift.objects.exists()


def test_what_the_adapter_refuses_stays_with_the_channels_words(market: Market, channel: Connection) -> None:
    listing = ListingFactory.create(shop=channel.shop, title="Best serum")
    market.items = [SeenItem(str(listing.outer_item_id), listing.outer_sku_id, "x", is_listed=True)]
    market.refused[str(listing.outer_item_id)] = LineResult(0, False, "no", "“best” is forbidden", True)
    look(channel)

    push_drifts_again(drift_ids=[ListingDrift.objects.get().pk], at=timezone.now(), by="user:7")
    push_listings(connection_id=channel.pk, at=timezone.now())
    look(channel)

    drift = ListingDrift.objects.get()
    assert (drift.cause, drift.detail) == ("refused", "“best” is forbidden")


# --- against the sandbox of TOP -----------------------------------------------------------------------------


@pytest.fixture
def platform() -> Iterator[Any]:
    server, market, _pacemaker = build(read_options(["--port", "0", "--rate", "0", "--faults", "none"]))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    market.address = f"http://127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]
    yield market
    server.shutdown()
    server.server_close()
    market.close()


@pytest.mark.capability("P12")
@pytest.mark.capability("P13")
def test_a_shelf_that_was_changed_by_hand_is_found_and_mended(platform: Any) -> None:
    house = make_house(stock=25)
    channel = make_channel(adapter="top", shop=house.shop, base_url=f"{platform.address}/router/rest")
    open_missing_streams()
    item = platform.shelf[0]
    listing = ListingFactory.create(
        shop=house.shop,
        sku=house.sku,
        title="真丝围巾 春款",
        outer_item_id=str(item.num_iid),
        outer_sku_id=str(item.sku_id),
    )
    before = timezone.now() - 5 * MINUTE
    approved(house.sku, 299, at=before, starts_at=before)

    def settle() -> None:
        """The planners and the pushers, until nothing is due."""
        plan_published()
        plan_published_prices(limit=1000, at=timezone.now())
        for push in (push_listings, push_prices, push_stock):
            assert push(connection_id=channel.pk, at=timezone.now()) is not None

    update_listings(listing_ids=[listing.pk], at=before, by="user:7")
    StockChange.objects.create(sku=house.sku)
    settle()
    assert (item.title, item.price, item.quantity) == ("真丝围巾 春款", 29900, 25)
    look(channel)
    assert not ListingDrift.objects.filter(listing=listing).exists()

    sandbox_shelf.edit(platform, num_iid=item.num_iid, title="清仓", price=100, is_on_sale=False)
    sandbox_shelf.set_quantity(platform, item, 3)
    look(channel)
    found = {drift.what: (drift.ours, drift.theirs, drift.cause) for drift in ListingDrift.objects.all()}
    assert found == {
        "title": ("真丝围巾 春款", "清仓", "changed"),
        "price": ("299", "1", "changed"),
        "stock": ("25", "3", "changed"),
        "state": ("listed", "delisted", "changed"),
    }
    # Six minutes later it looks again, and they are confirmed.
    ListingDrift.objects.update(held_since=timezone.now() - 6 * MINUTE)
    look(channel)
    assert ListingDrift.objects.filter(confirmed_at__isnull=False).count() == 4

    idents = list(ListingDrift.objects.values_list("pk", flat=True))
    results = push_drifts_again(drift_ids=idents, at=timezone.now() - timedelta(seconds=5), by="user:7")
    assert all(row.ok for row in results)
    PublishedStock.objects.update(not_before=before)
    settle()
    look(channel)

    assert (item.title, item.price, item.quantity, item.is_on_sale) == ("真丝围巾 春款", 29900, 25, True)
    assert list(ListingDrift.objects.values_list("ending", flat=True)) == ["equal"] * 4


@pytest.mark.capability("P12")
def test_a_price_that_was_answered_with_yes_and_refused_by_the_platforms_review_is_found_and_told_again(
    platform: Any,
) -> None:
    house = make_house(stock=25)
    channel = make_channel(adapter="top", shop=house.shop, base_url=f"{platform.address}/router/rest")
    open_missing_streams()
    item = platform.shelf[0]
    outer = {"outer_item_id": str(item.num_iid), "outer_sku_id": str(item.sku_id)}
    listing = ListingFactory.create(shop=house.shop, sku=house.sku, **outer)
    before, old = timezone.now() - 5 * MINUTE, item.price
    approved(house.sku, 299, at=before, starts_at=before)
    plan_published_prices(limit=10, at=before)

    platform.dice.change({"price_review": 1})
    push_prices(connection_id=channel.pk, at=timezone.now())
    told, shown = PublishedPrice.objects.get(listing=listing), item.price
    look(channel)
    found = ListingDrift.objects.get(listing=listing, what="price")

    platform.dice.change({"price_review": 0})
    ListingDrift.objects.update(held_since=timezone.now() - 6 * MINUTE)
    look(channel)
    [row] = push_drifts_again(drift_ids=[found.pk], at=timezone.now() - timedelta(seconds=5), by="user:7")
    push_prices(connection_id=channel.pk, at=timezone.now())

    assert (told.acked_version, told.acked_amount) == (told.desired_version, Decimal(299))
    assert shown == old
    assert (found.ours, found.theirs) == ("299", f"{old // 100}")
    assert row.ok
    assert item.price == 29900


# --- against answers of Medusa ------------------------------------------------------------------------------


VARIANT = "/admin/product-variants"
STORE = {"stores": [{"supported_currencies": [{"currency_code": "cny", "is_default": True}]}]}


def variant(title: str, price: float, units: int, status: str) -> dict[str, Any]:
    level = {"location_id": "sloc_1", "stocked_quantity": units + 2, "reserved_quantity": 2}
    inventory = {"id": "iitem_1", "location_levels": [level]}
    return {
        "id": "variant_1",
        "sku": "A",
        "product_id": "prod_1",
        "product": {"title": title, "status": status},
        "manage_inventory": True,
        "prices": [{"id": "price_1", "currency_code": "cny", "amount": price}],
        "inventory_items": [{"required_quantity": 1, "inventory": inventory}],
    }


def test_what_medusa_shows_is_found_and_mended_too() -> None:
    replay = Replay()

    def shows_shelf(*given: Any) -> None:
        replay.expect("GET", "/admin/stores", answer=STORE)
        replay.expect("GET", VARIANT, answer={"variants": [variant(*given)]})

    with playing(replay) as medusa:
        house = make_house(stock=25, channel="medusa")
        channel = make_channel(
            adapter="medusa",
            shop=house.shop,
            base_url=medusa.base_url,
            credentials={"api_key": "sk_1"},
            settings={"location_id": "sloc_1"},
        )
        open_missing_streams()
        listing = ListingFactory.create(
            shop=house.shop, sku=house.sku, title="Bag", outer_item_id="prod_1", outer_sku_id="variant_1"
        )
        before = timezone.now() - HOUR
        priced(listing, 299, at=before)
        stocked(listing, 25, at=before)
        plan_published()
        shows_shelf("Sale!", 1, 3, "draft")

        look(channel)

        found = {drift.what: (drift.ours, drift.theirs) for drift in ListingDrift.objects.all()}
        assert found == {
            "title": ("Bag", "Sale!"),
            "price": ("299", "1"),
            "stock": ("25", "3"),
            "state": ("listed", "delisted"),
        }
        # An increase is told only when the shop's newest orders are known: they were pulled just now.
        Cursor.objects.filter(connection=channel, stream="orders").update(
            last_run_at=timezone.now(),
            due_at=timezone.now() + HOUR,
            holder="x",
            lease_until=timezone.now() + HOUR,
        )
        idents = list(ListingDrift.objects.values_list("pk", flat=True))
        results = push_drifts_again(drift_ids=idents, at=timezone.now() - timedelta(seconds=5), by="user:7")
        assert all(row.ok for row in results)
        replay.expect("POST", "/admin/products/prod_1", body={"title": "Bag"}, answer={"product": {}})
        replay.expect("POST", "/admin/products/prod_1", body={"status": "published"}, answer={"product": {}})
        push_listings(connection_id=channel.pk, at=timezone.now())
        replay.expect("GET", "/admin/stores", answer=STORE)
        replay.expect("GET", VARIANT, answer={"variants": [variant("Bag", 1, 3, "published")]})
        told_price = {"id": "price_1", "amount": 299.0, "currency_code": "cny"}
        update = {"update": [{"id": "variant_1", "prices": [told_price]}]}
        replay.expect("POST", "/admin/products/prod_1/variants/batch", body=update, answer={})
        push_prices(connection_id=channel.pk, at=timezone.now())
        replay.expect("GET", VARIANT, answer={"variants": [variant("Bag", 299, 3, "published")]})
        level = {"inventory_item_id": "iitem_1", "location_id": "sloc_1", "stocked_quantity": 27}
        batch = {"create": [], "update": [level]}
        replay.expect("POST", "/admin/inventory-items/location-levels/batch", body=batch, answer={})
        replay.expect("GET", VARIANT, answer={"variants": [variant("Bag", 299, 25, "published")]})
        push_stock(connection_id=channel.pk, at=timezone.now())
        shows_shelf("Bag", 299, 25, "published")
        look(channel)

    assert list(ListingDrift.objects.values_list("ending", flat=True)) == ["equal"] * 4

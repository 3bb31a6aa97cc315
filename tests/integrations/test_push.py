"""What a channel shows becomes what Omni says, whatever happens on the way; so does what it knows of parcels."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone, translation

from integrations import registry
from integrations.contract import ChannelUnavailable, LineResult
from integrations.lease import open_streams
from integrations.models import Connection, Cursor, MessageLog
from integrations.push import push_dispatches, push_stock
from inventory.models import PublishedStock
from inventory.publish import TOLD, plan_published_stock
from orders.capture import capture_orders
from orders.dispatch import retry_notices
from orders.models import DispatchNotice, FulfilmentOrder, Parcel, SalesOrder, Shipment
from orders.timeline import order_timeline
from products.models import Listing, Sku
from tests.factories.integrations import make_channel
from tests.factories.inventory import put_stock
from tests.factories.orders import House, line_draft, make_house, order_draft
from tests.factories.outside import AWAY, EXPIRED, LOST, Market
from tests.factories.path import release, ship_parcel
from tests.factories.products import ListingFactory, SkuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("V9")]


@pytest.fixture
def market(monkeypatch: pytest.MonkeyPatch) -> Market:
    market = Market()
    monkeypatch.setitem(registry.CHANNELS, "fake", market)
    # coalescing waits a second between two calls of a listing; here every change is due at once
    monkeypatch.setattr("inventory.publish.TOLD", TOLD._replace(pause=timedelta(0)))
    return market


@pytest.fixture
def house() -> House:
    return make_house(stock=10, channel="fake")


@pytest.fixture
def channel(house: House, market: Market) -> Connection:
    channel = make_channel(adapter="fake", shop=house.shop, pulls_since=timezone.now() - timedelta(hours=1))
    open_streams(connection_id=channel.pk, streams=["orders", "stock", "dispatch"])
    list_sku(house, house.sku)
    return channel


def list_sku(house: House, sku: Sku) -> Listing:
    return ListingFactory.create(
        shop=house.shop, sku=sku, outer_item_id=f"I{sku.pk}", outer_sku_id=f"S{sku.pk}"
    )


def another_sku(house: House, units: int) -> Sku:
    sku = SkuFactory.create()
    list_sku(house, sku)
    if units:
        put_stock(house.location, sku, units)
    return sku


def sell(house: House, units: int, sku: Sku | None = None) -> None:
    draft = order_draft(line_draft(sku or house.sku, units))
    capture_orders(shop=house.shop, drafts=[draft], at=timezone.now(), by="test", source="test")


def push(channel: Connection) -> Any:
    """What the planner's sweep and the pusher's do, one after the other."""
    plan_published_stock(limit=1000, at=timezone.now())
    return push_stock(connection_id=channel.pk, at=timezone.now())


def published(sku: Sku) -> PublishedStock:
    return PublishedStock.objects.get(listing__sku=sku)


def test_the_channel_shows_what_may_be_sold(channel: Connection, market: Market, house: House) -> None:
    push(channel)

    row = published(house.sku)
    assert market.shelf == {house.sku.code: 10}
    assert (row.acked_quantity, row.acked_version) == (10, row.desired_version)
    assert MessageLog.objects.get(operation="push_stock").is_ok


def test_nothing_to_say_asks_nobody_and_proves_no_health(channel: Connection, market: Market) -> None:
    push(channel)
    market.calls.clear()
    Connection.objects.update(failures=2)

    run = push(channel)

    channel.refresh_from_db()
    assert (run.count, market.calls, channel.failures) == (0, [], 2)


def test_less_is_told_before_more(channel: Connection, market: Market, house: House) -> None:
    other = another_sku(house, 5)
    push(channel)
    market.told.clear()
    sell(house, 4)
    put_stock(house.location, other, 3)

    push(channel)

    assert market.told == [(house.sku.code, 6), (other.code, 8)]


def test_a_sale_that_was_not_known_yet_is_pulled_before_more_is_shown(
    channel: Connection, market: Market, house: House
) -> None:
    push(channel)
    moment = timezone.now() - timedelta(seconds=65)
    unseen = order_draft(line_draft(house.sku, 4), placed_at=moment, paid_at=moment, outer_modified_at=moment)
    market.orders = [unseen]
    put_stock(house.location, house.sku, 2)
    market.told.clear()

    push(channel)

    # 10 + 2 would have put the four sold units back on sale
    assert market.told == [(house.sku.code, 8)]
    assert SalesOrder.objects.filter(outer_id=unseen.outer_id).exists()
    assert published(house.sku).acked_quantity == 8


def test_more_is_not_shown_while_the_orders_cannot_be_pulled_but_less_is(
    channel: Connection, market: Market, house: House
) -> None:
    other = another_sku(house, 5)
    push(channel)
    Cursor.objects.filter(stream="orders").update(last_run_at=timezone.now() - timedelta(minutes=5))
    market.told.clear()
    market.fails["pull_orders"] = AWAY
    sell(house, 1)
    put_stock(house.location, other, 3)

    push(channel)

    assert market.told == [(house.sku.code, 9)]
    assert published(other).acked_quantity == 5
    market.fails.clear()
    PublishedStock.objects.update(not_before=timezone.now())
    Connection.objects.update(not_before=timezone.now())
    push(channel)
    assert market.shelf[other.code] == 8


def test_a_number_whose_answer_got_lost_is_told_again_as_it_is(
    channel: Connection, market: Market, house: House
) -> None:
    market.fails["push_stock"] = LOST
    push(channel)
    assert published(house.sku).acked_version == 0
    market.fails.clear()
    PublishedStock.objects.update(not_before=timezone.now())

    push(channel)

    assert market.told == [(house.sku.code, 10), (house.sku.code, 10)]
    assert published(house.sku).acked_quantity == 10
    channel.refresh_from_db()
    assert channel.failures == 0


def test_one_listing_that_is_refused_for_good_is_seen_and_holds_up_no_other(
    channel: Connection, market: Market, house: House
) -> None:
    other = another_sku(house, 5)
    market.refused[house.sku.code] = LineResult(0, False, "isv.item-not-exist", "item deleted", is_final=True)

    push(channel)
    push(channel)

    assert market.shelf == {other.code: 5}
    assert published(house.sku).last_error == "item deleted"
    assert len(market.named("push_stock")) == 1
    failed = MessageLog.objects.get(is_ok=False)
    assert failed.subject == f"I{house.sku.pk}/S{house.sku.pk}"


def test_a_number_that_changes_while_it_is_told_is_told_again(
    channel: Connection, market: Market, house: House
) -> None:
    def sell_meanwhile() -> None:
        sell(house, 3)
        plan_published_stock(limit=1000, at=timezone.now())

    market.during["push_stock"] = sell_meanwhile

    push(channel)
    push(channel)

    assert market.told == [(house.sku.code, 10), (house.sku.code, 7)]
    row = published(house.sku)
    assert (row.acked_quantity, row.acked_version) == (7, row.desired_version)


def test_a_line_that_the_answer_left_out_is_no_yes(
    channel: Connection, market: Market, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = another_sku(house, 5)
    answered = market.push_stock

    def leave_one_out(**lines: Any) -> list[LineResult]:
        return answered(**lines)[1:]

    monkeypatch.setattr(market, "push_stock", leave_one_out)

    push(channel)

    acked = {
        row.listing.sku_id: row.acked_version for row in PublishedStock.objects.select_related("listing")
    }
    assert sorted(acked.values()) == [0, 1]
    assert {house.sku.pk, other.pk} == set(acked)


def test_when_no_line_is_taken_it_is_the_channels_trouble_and_the_run_stops(
    channel: Connection, market: Market, house: House
) -> None:
    market.refused[house.sku.code] = LineResult(0, False, "502", "bad gateway")

    run = push(channel)

    channel.refresh_from_db()
    assert run is None
    assert channel.failures == 1
    assert len(market.named("push_stock")) == 1


def test_a_ban_is_waited_out_and_is_no_ill_health(channel: Connection, market: Market, house: House) -> None:
    market.refused[house.sku.code] = LineResult(0, False, "throttled", "banned", retry_seconds=19)

    push(channel)

    channel.refresh_from_db()
    wait = Cursor.objects.get(stream="stock").due_at - timezone.now()
    assert channel.failures == 0
    assert timedelta(seconds=15) < wait <= timedelta(seconds=19)


def test_expired_credentials_pause_and_every_number_stays_due(
    channel: Connection, market: Market, house: House
) -> None:
    market.fails["push_stock"] = EXPIRED

    push(channel)

    channel.refresh_from_db()
    assert channel.health == Connection.Health.PAUSED
    assert published(house.sku).acked_version == 0


# --- parcels ------------------------------------------------------------------------------------------------


@pytest.fixture
def notice(channel: Connection, house: House) -> DispatchNotice:
    """A parcel of a whole order that the channel has not heard of."""
    order = house.order()
    fulfilment = FulfilmentOrder.objects.create(number="FO1", location=house.location)
    shipment = Shipment.objects.create(
        fulfilment=fulfilment, event_key="e", shipped_at=timezone.now(), by="test"
    )
    parcel = Parcel.objects.create(shipment=shipment, carrier_code="SF", tracking_no="SF123")
    line = order.lines.get()
    return DispatchNotice.objects.create(
        order=order,
        parcel=parcel,
        shop=house.shop,
        lines=[[line.outer_line_id, line.quantity]],
        is_whole_order=True,
    )


def report(channel: Connection) -> Any:
    return push_dispatches(connection_id=channel.pk, at=timezone.now())


def test_a_parcel_is_reported_with_its_lines_carrier_and_number(
    channel: Connection, market: Market, notice: DispatchNotice
) -> None:
    report(channel)

    (told,) = market.parcels
    notice.refresh_from_db()
    assert (told.outer_id, told.carrier_code, told.tracking_no) == (notice.order.outer_id, "SF", "SF123")
    assert (list(told.outer_line_ids), list(told.quantities)) == ([notice.lines[0][0]], [1])
    assert told.is_whole_order
    assert notice.state == DispatchNotice.State.SENT


def test_a_parcel_that_the_channel_refuses_for_good_waits_for_a_person(
    channel: Connection, market: Market, notice: DispatchNotice
) -> None:
    market.refused[notice.order.outer_id] = LineResult(0, False, "B150", "order closed", is_final=True)

    report(channel)
    report(channel)

    notice.refresh_from_db()
    assert (notice.state, notice.last_error) == (DispatchNotice.State.FAILED, "order closed")
    assert len(market.named("push_dispatch")) == 1


def test_a_report_whose_answer_got_lost_is_made_again(
    channel: Connection, market: Market, notice: DispatchNotice
) -> None:
    market.fails["push_dispatch"] = ChannelUnavailable("time-out", is_unknown_outcome=True)
    report(channel)
    notice.refresh_from_db()
    assert notice.state == DispatchNotice.State.DUE
    market.fails.clear()
    DispatchNotice.objects.update(not_before=timezone.now() - timedelta(seconds=1))

    report(channel)

    notice.refresh_from_db()
    assert notice.state == DispatchNotice.State.SENT


# --- parcels of a channel that keeps one number per line ----------------------------------------------------

State = DispatchNotice.State


@pytest.fixture
def one_number(market: Market) -> None:
    market.capabilities = replace(market.capabilities, one_parcel_per_line=True)


@pytest.fixture
def split(channel: Connection, house: House) -> FulfilmentOrder:
    """Two units of one SKU and two of another, which the warehouse sends in several parcels."""
    other = another_sku(house, 10)
    return release(house.order(line_draft(house.sku, 2), line_draft(other, 2)))


def leave(split: FulfilmentOrder, *places: int, key: str) -> DispatchNotice:
    """A parcel with one unit of each of these lines leaves. Returns its notice."""
    lines = list(split.lines.select_related("sku").order_by("order_line_id"))
    ship_parcel(split, [(lines[place].sku.code, 1) for place in places], key=key, is_final=False)
    return DispatchNotice.objects.get(parcel__tracking_no=f"SF{key}")


def outer_lines(split: FulfilmentOrder) -> list[str]:
    lines = split.lines.select_related("order_line").order_by("order_line_id")
    return [line.order_line.outer_line_id for line in lines]


def told(market: Market) -> list[tuple[str, list[str]]]:
    """(tracking number, lines) of every parcel that the channel took."""
    return [(parcel.tracking_no, list(parcel.outer_line_ids)) for parcel in market.parcels]


def make_due() -> None:
    DispatchNotice.objects.update(not_before=timezone.now() - timedelta(seconds=1))


def test_a_second_parcel_of_a_line_is_not_needed_where_the_channel_keeps_one_number_per_line(
    channel: Connection, market: Market, split: FulfilmentOrder, one_number: None
) -> None:
    first, second = leave(split, 0, key="K1"), leave(split, 0, key="K2")

    report(channel)
    make_due()
    report(channel)

    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.state, second.state) == (State.SENT, State.NOT_NEEDED)
    assert told(market) == [("SFK1", outer_lines(split)[:1])]
    with translation.override("en"):
        reason = second.reason_said
        (moment,) = [each for each in order_timeline(second.order) if each.kind == "dispatch.not_needed"]
    assert "one parcel number per line" in reason
    assert "SFK1" in reason
    assert second.last_error == ""
    assert "SFK2" in moment.text
    assert reason in moment.text


def test_of_a_parcel_the_channel_hears_the_lines_that_have_no_number_yet(
    channel: Connection, market: Market, split: FulfilmentOrder, one_number: None
) -> None:
    leave(split, 0, key="K1")
    report(channel)
    second = leave(split, 0, 1, key="K2")
    report(channel)
    third = leave(split, 1, key="K3")
    report(channel)

    second.refresh_from_db()
    third.refresh_from_db()
    assert (second.state, third.state) == (State.SENT, State.NOT_NEEDED)
    line, other = outer_lines(split)
    assert told(market) == [("SFK1", [line]), ("SFK2", [other])]


def test_a_later_parcel_waits_until_it_is_known_whether_the_line_has_a_number(
    channel: Connection, market: Market, split: FulfilmentOrder, one_number: None
) -> None:
    first = leave(split, 0, key="K1")
    market.fails["push_dispatch"] = LOST
    report(channel)
    market.parcels.clear()
    market.fails.clear()
    second = leave(split, 0, key="K2")
    Connection.objects.update(not_before=timezone.now() - timedelta(seconds=1))

    report(channel)

    second.refresh_from_db()
    assert (second.state, second.attempts, told(market)) == (State.DUE, 0, [])
    make_due()
    report(channel)
    make_due()
    report(channel)
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.state, second.state) == (State.SENT, State.NOT_NEEDED)
    assert told(market) == [("SFK1", outer_lines(split)[:1])]


def test_when_the_first_parcel_was_refused_the_next_one_gives_the_line_its_number(
    channel: Connection, market: Market, split: FulfilmentOrder, one_number: None
) -> None:
    first = leave(split, 0, key="K1")
    market.refused[first.order.outer_id] = LineResult(0, False, "P03", "unknown carrier", is_final=True)
    report(channel)
    market.refused.clear()
    second = leave(split, 0, key="K2")

    report(channel)
    retry_notices(notice_ids=[first.pk], at=timezone.now() - timedelta(seconds=1), by="user:1")
    report(channel)

    first.refresh_from_db()
    second.refresh_from_db()
    assert (second.state, told(market)) == (State.SENT, [("SFK2", outer_lines(split)[:1])])
    assert (first.state, first.last_error) == (State.NOT_NEEDED, "")
    assert "SFK2" in first.reason_said


def test_a_channel_that_takes_several_numbers_hears_of_every_parcel(
    channel: Connection, market: Market, split: FulfilmentOrder
) -> None:
    leave(split, 0, key="K1")
    leave(split, 0, key="K2")

    report(channel)

    assert [tracking_no for tracking_no, _lines in told(market)] == ["SFK1", "SFK2"]
    assert set(DispatchNotice.objects.values_list("state", flat=True)) == {State.SENT}

"""Every order of a channel is here exactly once, however reading it goes wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from django.utils import timezone

from integrations import registry
from integrations.contract import BadPayload, ChannelRejected, ChannelUnavailable
from integrations.health import resume_connection
from integrations.lease import open_streams
from integrations.models import Connection, Cursor, MessageLog
from integrations.pull import compare_orders, pull_orders, pull_refunds
from orders.draft import ChannelState, OrderDraft, RefundDraft
from orders.models import ChannelOrder, ChannelOrderVersion, ParkedOrder, SalesOrder
from tests.factories.integrations import make_channel
from tests.factories.orders import House, line_draft, make_house, order_draft
from tests.factories.outside import AWAY, EXPIRED, Market

pytestmark = [pytest.mark.django_db, pytest.mark.capability("O1")]

NOW = timezone.now().replace(microsecond=0)
BEGAN = NOW - timedelta(hours=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def market(monkeypatch: pytest.MonkeyPatch) -> Market:
    market = Market()
    monkeypatch.setitem(registry.CHANNELS, "fake", market)
    return market


@pytest.fixture
def house() -> House:
    return make_house(stock=100, channel="fake")


@pytest.fixture
def channel(house: House, market: Market) -> Connection:
    channel = make_channel(adapter="fake", shop=house.shop, pulls_since=BEGAN)
    open_streams(connection_id=channel.pk, streams=["orders", "refunds", "compare"])
    return channel


def order(house: House, *, modified: datetime | None = None, **changes: Any) -> OrderDraft:
    """A paid order that changed half an hour ago."""
    moment = modified or NOW - timedelta(minutes=30)
    line = line_draft(house.sku)
    return order_draft(line, placed_at=moment, paid_at=moment, outer_modified_at=moment, **changes)


def pull(channel: Connection, at: datetime = NOW) -> Any:
    return pull_orders(connection_id=channel.pk, at=at)


def cursor(stream: str = "orders") -> Cursor:
    return Cursor.objects.get(stream=stream)


def ids() -> list[str]:
    return sorted(ChannelOrder.objects.values_list("outer_id", flat=True))


def test_every_page_is_stored_and_the_cursor_moves_as_far_as_the_channel_may_be_asked(
    channel: Connection, market: Market, house: House
) -> None:
    market.orders = [order(house) for _ in range(5)]

    run = pull(channel)

    assert ids() == sorted(each.outer_id for each in market.orders)
    assert SalesOrder.objects.count() == 5
    assert cursor().upto == NOW - market.capabilities.pull_lag
    assert run.count == 5
    assert cursor().holder == ""


def test_a_page_that_fails_keeps_the_cursor_and_the_next_run_misses_nothing(
    channel: Connection, market: Market, house: House
) -> None:
    market.orders = [order(house) for _ in range(5)]
    market.fails["page 2"] = AWAY

    failed = pull(channel)

    assert failed is None
    assert (cursor().upto, len(ids()), cursor().failures) == (None, 2, 1)
    market.fails.clear()
    pull(channel)
    assert len(ids()) == SalesOrder.objects.count() == 5


def test_a_worker_that_dies_between_the_pages_and_the_cursor_leaves_nothing_doubled(
    channel: Connection, market: Market, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    market.orders = [order(house) for _ in range(3)]

    def die(**_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr("integrations.pull.move_cursor", die)
        with pytest.raises(SystemExit):
            pull(channel)

    assert (cursor().upto, len(ids())) == (None, 3)
    pull(channel)
    assert len(ids()) == SalesOrder.objects.count() == ChannelOrderVersion.objects.count() == 3
    assert cursor().upto is not None


def test_an_order_that_became_visible_behind_the_cursor_is_found_within_a_minute(
    channel: Connection, market: Market, house: House
) -> None:
    pull(channel)
    late = order(house, modified=NOW - 5 * MINUTE)
    market.orders = [late]

    pull(channel, at=NOW + MINUTE)

    assert ids() == [late.outer_id]


def test_most_pulls_go_back_only_a_little(channel: Connection, market: Market) -> None:
    at = NOW.replace(second=0)
    pull(channel, at=at)
    pull(channel, at=at + timedelta(seconds=15))
    pull(channel, at=at + timedelta(seconds=30))

    (_first, second, third) = market.named("pull_orders")

    assert second[0] == at - market.capabilities.pull_lag - timedelta(seconds=15)
    assert third[0] == second[1] - timedelta(seconds=15)


def test_overlapping_pulls_promise_stock_once(channel: Connection, market: Market, house: House) -> None:
    market.orders = [order(house, modified=NOW - 2 * MINUTE)]

    for minutes in range(4):
        pull(channel, at=NOW + minutes * MINUTE)

    assert SalesOrder.objects.count() == ChannelOrderVersion.objects.count() == 1
    assert len(market.named("pull_orders")) == 4


def test_a_second_worker_leaves_a_stream_that_is_being_read(
    channel: Connection, market: Market, house: House
) -> None:
    market.orders = [order(house)]
    rival: list[Any] = []
    market.during["page 1"] = lambda: rival.append(pull(channel))

    run = pull(channel)

    assert rival == [None]
    assert run.count == 1
    assert len(market.named("pull_orders")) == 1


def test_what_cannot_be_translated_is_parked_and_the_others_arrive(
    channel: Connection, market: Market, house: House
) -> None:
    market.orders = [order(house), BadPayload("77", "no_lines", "trade 77 has no lines", {"tid": "77"})]

    pull(channel)
    pull(channel)

    parked = ParkedOrder.objects.get()
    assert (parked.outer_id, parked.reason, parked.draft) == ("77", "no_lines", {"tid": "77"})
    assert len(ids()) == 1


def test_an_order_that_nobody_foresaw_holds_up_no_other(
    channel: Connection, market: Market, house: House
) -> None:
    impossible = order(house, currency="FOUR")  # longer than its column
    market.orders = [order(house), impossible, order(house)]
    market.page_size = 3

    pull(channel)

    assert ids() == sorted([market.orders[0].outer_id, market.orders[2].outer_id])
    parked = ParkedOrder.objects.get()
    assert parked.outer_id == impossible.outer_id
    assert cursor().upto is not None


def test_expired_credentials_pause_the_connection_and_nobody_asks_again(
    channel: Connection, market: Market
) -> None:
    market.fails["pull_orders"] = EXPIRED
    pull(channel)

    pull(channel)

    channel.refresh_from_db()
    assert (channel.health, channel.paused_reason) == (Connection.Health.PAUSED, "session expired")
    assert len(market.named("pull_orders")) == 1
    assert cursor().upto is None


def test_a_mended_connection_goes_on_where_it_stood(
    channel: Connection, market: Market, house: House
) -> None:
    market.orders = [order(house, modified=NOW - 55 * MINUTE)]
    market.fails["pull_orders"] = EXPIRED
    pull(channel)
    market.fails.clear()

    resume_connection(connection_id=channel.pk, at=timezone.now(), by="user:1")

    pull(channel)
    assert len(ids()) == 1


def test_a_throttled_pull_waits_as_told_and_the_connection_stays_healthy(
    channel: Connection, market: Market
) -> None:
    market.fails["pull_orders"] = ChannelUnavailable("limited", retry_seconds=33, is_throttled=True)

    pull(channel)

    channel.refresh_from_db()
    wait = cursor().due_at - timezone.now()
    assert timedelta(seconds=30) < wait <= timedelta(seconds=33)
    assert (channel.failures, cursor().window_seconds) == (0, None)


def test_a_channel_that_cannot_bear_the_window_is_asked_for_less_and_then_for_more_again(
    channel: Connection, market: Market
) -> None:
    market.fails["pull_orders"] = AWAY
    pull(channel)
    narrow = cursor().window_seconds
    pull(channel)
    narrower = cursor().window_seconds
    market.fails.clear()

    pull(channel)

    assert narrow is not None
    assert narrower == narrow // 2
    assert cursor().window_seconds is None
    assert cursor().upto == NOW - market.capabilities.pull_lag


def test_a_long_gap_is_read_window_by_window_and_never_more_than_is_allowed(
    channel: Connection, market: Market, house: House
) -> None:
    market.capabilities = replace(market.capabilities, pull_window_max=timedelta(minutes=20))
    market.orders = [order(house, modified=BEGAN + minutes * MINUTE) for minutes in range(1, 59)]

    run = pull(channel)

    windows = market.named("pull_orders")
    assert len(windows) > 3
    assert all(until - since <= timedelta(minutes=20) for since, until in windows)
    assert all(later[0] <= earlier[1] for earlier, later in pairwise(windows))
    assert max(until for _since, until in windows) == NOW - market.capabilities.pull_lag
    assert len(ids()) == 58
    assert run.due_in > timedelta(0)


def test_a_clock_that_was_set_back_does_not_move_the_cursor_back(channel: Connection, market: Market) -> None:
    pull(channel)
    stood_at = cursor().upto

    pull(channel, at=NOW - timedelta(hours=2))

    assert cursor().upto == stood_at


def test_the_settings_of_a_connection_may_shorten_the_lag(channel: Connection, market: Market) -> None:
    channel.settings = {"pull_lag_seconds": 5, "pull_every_seconds": 3}
    channel.save()

    run = pull(channel)

    assert cursor().upto == NOW - timedelta(seconds=5)
    assert run.due_in == timedelta(seconds=3)


def test_a_channel_whose_feed_misses_changes_is_asked_for_its_open_orders(
    channel: Connection, market: Market, house: House
) -> None:
    market.capabilities = replace(market.capabilities, reopens_open_orders=True)
    unpaid = order(house, state=ChannelState.PENDING_PAYMENT)
    market.orders = [unpaid]
    pull(channel)
    paid = replace(unpaid, state=ChannelState.TO_SHIP, payload={"paid": True})
    market.orders, market.hidden = [], [paid]

    pull(channel, at=NOW + MINUTE)

    assert market.named("read_orders")[-1] == [unpaid.outer_id]
    assert ChannelOrder.objects.get().state == ChannelState.TO_SHIP


# --- refunds ------------------------------------------------------------------------------------------------


def refund(draft: OrderDraft, **changes: Any) -> RefundDraft:
    values: dict[str, Any] = {
        "outer_refund_id": f"R{draft.outer_id}",
        "outer_id": draft.outer_id,
        "outer_line_id": draft.lines[0].outer_line_id,
        "state": "open",
        "raw_state": "WAIT_SELLER_AGREE",
        "amount": Decimal("10.00"),
        "currency": "CNY",
        "outer_modified_at": NOW - 10 * MINUTE,
    }
    return RefundDraft(**(values | changes))


def test_a_refund_that_is_asked_for_holds_its_order(
    channel: Connection, market: Market, house: House
) -> None:
    market.orders = [order(house)]
    pull(channel)
    market.refunds = [
        refund(market.orders[0]),  # type: ignore[arg-type]
        BadPayload("R9", "bad_amount", "refund R9 has no amount", {"refund_id": "R9"}),
    ]

    run = pull_refunds(connection_id=channel.pk, at=NOW)

    assert run is not None
    assert run.count == 2
    assert SalesOrder.objects.get().open_holds == 1
    assert ParkedOrder.objects.get().reason == "refund_bad_amount"
    assert cursor("refunds").upto == NOW - market.capabilities.pull_lag


def test_refunds_that_cannot_be_read_keep_their_cursor(channel: Connection, market: Market) -> None:
    market.fails["pull_refunds"] = AWAY

    pull_refunds(connection_id=channel.pk, at=NOW)

    assert (cursor("refunds").upto, cursor("refunds").failures) == (None, 1)
    assert cursor("orders").failures == 0


# --- the nightly comparison ---------------------------------------------------------------------------------


def test_an_order_that_the_pull_missed_is_fetched_at_night(
    channel: Connection, market: Market, house: House
) -> None:
    missed = order(house, modified=NOW - timedelta(hours=30))
    market.hidden = [missed]

    run = compare_orders(connection_id=channel.pk, at=NOW)

    assert run is not None
    assert run.count == 1
    assert ids() == [missed.outer_id]
    logged = MessageLog.objects.get()
    assert (logged.operation, logged.subject, logged.is_ok) == ("compare.missing", missed.outer_id, False)


def test_an_order_that_the_channel_does_not_list_is_reported_and_stays(
    channel: Connection, market: Market, house: House
) -> None:
    market.orders = [order(house, modified=NOW - timedelta(hours=2))]
    channel.pulls_since = NOW - timedelta(hours=3)
    channel.save()
    pull(channel)
    gone, market.orders = market.orders[0], []

    compare_orders(connection_id=channel.pk, at=NOW)

    channel.refresh_from_db()
    logged = MessageLog.objects.get()
    assert (logged.operation, logged.subject) == ("compare.extra", gone.outer_id)
    assert gone.outer_id in channel.last_error
    assert ids() == [gone.outer_id]


def test_parked_orders_do_not_count_as_missing(channel: Connection, market: Market, house: House) -> None:
    unknown = order_draft(
        line_draft(house.sku, sku_code="nobody knows it"),
        placed_at=NOW - timedelta(hours=2),
        outer_modified_at=NOW - 30 * MINUTE,
    )
    market.orders = [unknown]
    pull(channel)
    assert ParkedOrder.objects.get().reason == "unknown_sku"

    run = compare_orders(connection_id=channel.pk, at=NOW)

    assert run is not None
    assert run.count == 0
    assert market.named("read_orders") == []


def test_a_refusal_that_is_not_about_credentials_stops_nothing_for_good(
    channel: Connection, market: Market
) -> None:
    market.fails["pull_orders"] = ChannelRejected("isv.invalid-parameter", code="40")

    pull(channel)

    channel.refresh_from_db()
    assert channel.health != Connection.Health.PAUSED
    assert channel.last_error == "isv.invalid-parameter"
    assert MessageLog.objects.get().is_ok is False


def test_the_window_begins_where_the_connection_was_told_to(channel: Connection, market: Market) -> None:
    pull(channel)

    (since, _until), *_ = market.named("pull_orders")

    assert since == BEGAN - market.capabilities.pull_overlap


def test_a_run_that_was_cut_short_is_told_what_it_need_not_read_again(
    channel: Connection, market: Market, house: House
) -> None:
    market.orders = [order(house) for _ in range(4)]
    market.fails["page 2"] = AWAY
    pull(channel)
    stored = ids()
    market.fails.clear()

    pull(channel, NOW + timedelta(minutes=1))

    assert market.known == [[], stored]
    assert len(stored) == 2
    assert len(ids()) == 4

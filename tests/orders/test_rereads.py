"""A shop whose feed misses changes is asked again for its open orders, the quieter the rarer, and evenly."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

import pytest

from orders.draft import ChannelState, OrderDraft
from orders.rereads import due_outer_ids
from tests.factories.orders import NOON, House, line_draft, make_house, order_draft

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture
def house() -> House:
    return make_house(stock=1000)


def draft(house: House, *, quiet: timedelta, **changes: Any) -> OrderDraft:
    """An order that has not changed for so long."""
    moment = NOON - quiet
    values = {"placed_at": moment, "paid_at": moment, "outer_modified_at": moment} | changes
    return order_draft(line_draft(house.sku), **values)


def orders(house: House, count: int, **draft_values: Any) -> list[str]:
    drafts = [draft(house, **draft_values) for _ in range(count)]
    house.take(*drafts, at=drafts[0].placed_at)
    return sorted(each.outer_id for each in drafts)


def due(house: House, *, at: datetime = NOON, last_read_at: datetime | None = None) -> list[str]:
    return sorted(
        due_outer_ids(
            shop_id=house.shop.pk, since=at - 30 * DAY, last_read_at=last_read_at or at - MINUTE, at=at
        )
    )


def times_due(house: House, *, minutes: int, start: datetime = NOON, every: int = 1) -> Counter[str]:
    """How often each order is read while so many minutes pass, with a run every so many of them."""
    read: Counter[str] = Counter()
    for minute in range(every, minutes + 1, every):
        at = start + minute * MINUTE
        read.update(due(house, at=at, last_read_at=at - every * MINUTE))
    return read


def test_what_changed_within_the_hour_is_read_every_minute(house: House) -> None:
    fresh = orders(house, 5, quiet=timedelta(minutes=20))

    assert times_due(house, minutes=3) == dict.fromkeys(fresh, 3)


def test_what_has_not_shipped_for_hours_is_read_every_ten_minutes_in_turn(house: House) -> None:
    waiting = orders(house, 20, quiet=5 * HOUR)

    per_minute = [due(house, at=NOON + minute * MINUTE) for minute in range(10)]

    assert sorted(chain.from_iterable(per_minute)) == waiting
    assert {len(read) for read in per_minute} == {2}


def test_what_has_not_shipped_for_days_is_read_every_hour(house: House) -> None:
    unpaid = orders(house, 30, quiet=3 * DAY, state=ChannelState.PENDING_PAYMENT)

    assert times_due(house, minutes=60, every=5) == dict.fromkeys(unpaid, 1)


def test_what_has_shipped_is_read_every_hour_and_after_a_day_every_day(house: House) -> None:
    recent = orders(house, 30, quiet=2 * HOUR, state=ChannelState.SHIPPED)
    old = orders(house, 30, quiet=5 * DAY, state=ChannelState.SHIPPED)

    hour = times_due(house, minutes=60, every=5)
    rest = times_due(house, minutes=23 * 60, start=NOON + HOUR, every=10)

    assert {hour[outer_id] for outer_id in recent} == {1}
    assert {hour[outer_id] + rest[outer_id] for outer_id in old} == {1}


def test_what_is_over_or_too_old_or_of_another_shop_is_not_read(house: House) -> None:
    orders(house, 2, quiet=MINUTE, state=ChannelState.COMPLETED)
    orders(house, 2, quiet=MINUTE, state=ChannelState.CANCELLED)
    orders(make_house(), 2, quiet=MINUTE)
    orders(house, 1, quiet=MINUTE, placed_at=NOON - 31 * DAY)

    assert due(house) == []


def test_a_change_makes_a_quiet_order_worth_a_look_every_minute_again(house: House) -> None:
    quiet = draft(house, quiet=5 * DAY, state=ChannelState.PENDING_PAYMENT)
    house.take(quiet)
    before = times_due(house, minutes=10)[quiet.outer_id]

    house.take(replace(quiet, state=ChannelState.TO_SHIP, outer_modified_at=NOON, payload={"paid": True}))

    assert before <= 1
    assert times_due(house, minutes=10)[quiet.outer_id] == 10


def test_minutes_without_a_run_are_made_up_for_but_no_outage_is_paid_back_at_once(house: House) -> None:
    waiting = orders(house, 60, quiet=3 * DAY)

    after_three = due(house, last_read_at=NOON - 3 * MINUTE)
    one_by_one = [due(house, at=NOON - minutes * MINUTE) for minutes in range(3)]
    after_a_day = due(house, last_read_at=NOON - DAY)

    assert after_three == sorted(chain.from_iterable(one_by_one))
    assert len(after_a_day) == 10
    assert set(after_a_day) < set(waiting)


def test_a_clock_that_was_set_back_asks_for_one_minute(house: House) -> None:
    fresh = orders(house, 2, quiet=timedelta(minutes=20))

    assert due(house, last_read_at=NOON + HOUR) == fresh

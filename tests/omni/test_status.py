"""The status says what waits and what needs a person, and its exit code says so to monitors."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from integrations.models import Cursor, ListingDrift
from omni.kernel.models import OutboxEvent
from products.prices.publish import plan_published_prices
from tests.factories.integrations import make_channel
from tests.factories.orders import line_draft, make_house, order_draft
from tests.factories.prices import approved
from tests.factories.products import ListingFactory, ShopFactory

pytestmark = pytest.mark.django_db


def ask(*arguments: str) -> tuple[int, str]:
    """The exit code and what was printed."""
    out = StringIO()
    try:
        call_command("status", *arguments, stdout=out)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


def status() -> tuple[int, dict[str, Any]]:
    code, text = ask("--json")
    return code, json.loads(text)


def test_orders_are_counted_by_queue_and_waiting_is_no_problem() -> None:
    house = make_house(stock=1)
    house.take(
        order_draft(line_draft(house.sku)),
        order_draft(line_draft(house.sku)),
        order_draft(line_draft(house.sku, sku_code="nobody-knows")),
    )

    code, found = status()

    assert (code, found["ok"], found["problems"]) == (0, True, [])
    assert (found["orders"]["captured"], found["short"], found["parked"]) == (2, 1, 1)
    assert found["outbox"]["waiting"] >= 1
    assert found["unplanned"]["waiting"] >= 1


def test_a_paused_connection_and_its_lag_are_told() -> None:
    now = timezone.now()
    channel = make_channel(health="paused", paused_reason="token expired", last_ok_at=now)
    Cursor.objects.create(connection=channel, stream="orders", upto=now - timedelta(minutes=10))

    code, found = status()

    (row,) = found["connections"]
    assert code == 1
    assert found["problems"] == [f"connection {channel.code}: paused: token expired"]
    assert row["lag_seconds"]["orders"] == pytest.approx(600, abs=30)
    assert row["last_ok_seconds"] == pytest.approx(0, abs=30)
    assert "credentials" not in row


def test_an_outbox_that_lags_is_a_problem() -> None:
    OutboxEvent.objects.create(kind="x.Y", payload={}, not_before=timezone.now() - timedelta(minutes=10))
    OutboxEvent.objects.create(kind="x.Y", payload={}, state="dead")

    code, found = status()

    assert code == 1
    assert found["outbox"]["oldest_seconds"] == pytest.approx(600, abs=30)
    assert found["problems"] == [
        f"outbox: the oldest event waits {found['outbox']['oldest_seconds']:.0f} s",
        "outbox: 1 dead letters",
    ]


def test_differences_to_a_channel_are_told_by_shop_with_the_age_of_the_oldest() -> None:
    now = timezone.now()
    shop = ShopFactory.create(code="S-1")
    for hours, more in ((1, {}), (3, {}), (5, {"pushed_at": now}), (7, {"confirmed_at": None})):
        since = now - timedelta(hours=hours)
        told: dict[str, Any] = {"since": since, "held_since": since, "seen_at": now, "confirmed_at": now}
        listing = ListingFactory.create(shop=shop)
        words = {"what": "title", "ours": "a", "theirs": "b", "version": 1, "cause": "changed"}
        ListingDrift.objects.create(listing=listing, shop=shop, **(words | told | more))

    code, found = status()

    assert code == 1
    assert found["drifts"] == {"S-1": {"waiting": 2, "oldest_seconds": pytest.approx(3 * 3600, abs=30)}}
    assert found["problems"][0].startswith("shop S-1: 2 differences to its channel")
    assert "differences to the channel: S-1" in ask()[1]


@pytest.mark.capability("P12")
def test_prices_that_their_channel_has_not_acknowledged_are_told_with_the_age_of_the_oldest() -> None:
    now = timezone.now()
    listing = ListingFactory.create()
    approved(
        listing.sku,
        99,
        shop=listing.shop,
        at=now - timedelta(minutes=20),
        starts_at=now - timedelta(minutes=20),
    )
    approved(listing.sku, 90, at=now - timedelta(hours=1), starts_at=now + timedelta(days=1))

    unplanned = status()[1]["prices_unplanned"]
    plan_published_prices(limit=10, at=now - timedelta(minutes=20))
    code, found = status()

    assert unplanned == {"waiting": 1, "oldest_seconds": pytest.approx(1200, abs=30)}
    assert found["prices_unplanned"]["waiting"] == 0
    assert found["prices_published"] == {"waiting": 1, "oldest_seconds": pytest.approx(1200, abs=30)}
    assert code == 1
    assert found["problems"][0].startswith("prices: the oldest waits 12")
    assert "prices: to acknowledge" in ask()[1]


def test_people_read_it_as_a_table() -> None:
    channel = make_channel()

    code, text = ask()

    assert code == 0
    assert "orders: captured" in text
    assert channel.code in text
    assert "nothing needs a person" in text

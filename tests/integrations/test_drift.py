"""Each invariant of this room is broken on purpose, and its check must name the row."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations.drift import CHECKS
from integrations.lease import claim_lease, give_back, open_streams
from integrations.models import Connection, Cursor, InboundMessage, ListingDrift, MessageLog
from integrations.record import Message, record_messages
from inventory.models import PublishedStock
from orders.models import FulfilmentOrder, Shipment
from products.observe import SeenItem, observe_items
from tests.factories.integrations import make_channel, make_warehouse
from tests.factories.products import ListingFactory

pytestmark = pytest.mark.django_db

LONG_AGO = timedelta(hours=1)


def broken() -> dict[str, list[dict[str, Any]]]:
    return {check.code: rows for check in CHECKS if (rows := check.find(5))}


@pytest.fixture
def channel() -> Connection:
    """A channel that has just been read."""
    channel = make_channel(pulls_since=timezone.now())
    open_streams(connection_id=channel.pk, streams=["orders", "settle"])
    for stream in ("orders", "settle"):
        lease = claim_lease(connection_id=channel.pk, stream=stream)
        assert lease is not None
        give_back(lease=lease, due_in=timedelta(0), at=timezone.now())
    Cursor.objects.update(upto=timezone.now())
    assert broken() == {}
    return channel


def deliver(warehouse: Connection, *, state: str, is_done: bool = True) -> InboundMessage:
    return InboundMessage.objects.create(
        connection=warehouse,
        event_key="E1",
        kind="delivery",
        subject="FO1",
        payload={"state": state},
        state="done" if is_done else "new",
    )


def ship(warehouse: Connection, *, by: str) -> Shipment:
    assert warehouse.location is not None
    fulfilment = FulfilmentOrder.objects.create(number="FO1", location=warehouse.location)
    return Shipment.objects.create(fulfilment=fulfilment, event_key="E1", shipped_at=timezone.now(), by=by)


def test_a_stream_that_stands_still_while_others_work(channel: Connection) -> None:
    Cursor.objects.filter(stream="orders").update(upto=timezone.now() - LONG_AGO)

    assert broken()["connections.cursors_advance"][0]["stream"] == "orders"


@pytest.mark.parametrize("excuse", [{"health": "paused"}, {"is_active": False}])
def test_a_connection_that_must_not_run_may_stand(channel: Connection, excuse: dict[str, Any]) -> None:
    Cursor.objects.update(upto=timezone.now() - LONG_AGO)
    Connection.objects.update(**excuse)

    assert broken() == {}


def test_a_copy_that_was_switched_off_for_the_night_has_lost_nothing(channel: Connection) -> None:
    Cursor.objects.update(upto=timezone.now() - LONG_AGO, last_run_at=timezone.now() - LONG_AGO)

    assert broken() == {}


def test_a_shelf_that_nobody_read_for_hours(channel: Connection) -> None:
    Cursor.objects.create(connection=channel, stream="items", last_run_at=timezone.now() - 4 * LONG_AGO)

    assert broken()["connections.shelves_are_read"][0]["connection"] == channel.code


@pytest.mark.parametrize(
    ("ours", "theirs", "is_seen", "is_founded"),
    [
        ("9", "8", True, True),
        ("9", "9", True, False),
        ("9", "8", False, False),
        ("listed", "gone", False, True),
    ],
)
def test_a_difference_that_is_none(
    channel: Connection, ours: str, theirs: str, is_seen: bool, is_founded: bool
) -> None:
    now = timezone.now()
    listing = ListingFactory.create(shop=channel.shop)
    if is_seen:
        seen = SeenItem(str(listing.outer_item_id), listing.outer_sku_id)
        observe_items(shop_id=listing.shop_id, items=[seen], source="channel", at=now)
    ListingDrift.objects.create(
        listing=listing,
        shop=listing.shop,
        what="stock",
        ours=ours,
        theirs=theirs,
        version=1,
        cause="changed",
        since=now,
        held_since=now,
        seen_at=now,
        confirmed_at=now,
    )

    assert ("drifts.are_founded" not in broken()) == is_founded


def test_a_lease_that_nobody_took_over(channel: Connection) -> None:
    Cursor.objects.filter(stream="settle").update(holder="dead", lease_until=timezone.now() - LONG_AGO)

    assert broken()["connections.leases_lapse"][0]["holder"] == "dead"


def test_a_call_back_that_nobody_works_on(channel: Connection) -> None:
    message = deliver(make_warehouse(), state="shipped", is_done=False)
    assert broken() == {}

    InboundMessage.objects.update(received_at=timezone.now() - LONG_AGO, not_before=timezone.now() - LONG_AGO)

    assert broken()["inbound.none_stuck"][0]["message"] == message.pk


def test_a_delivery_that_was_taken_without_a_shipment(channel: Connection) -> None:
    warehouse = make_warehouse()
    deliver(warehouse, state="shipped")

    assert broken()["inbound.taken_deliveries_have_shipments"][0]["number"] == "FO1"
    ship(warehouse, by=f"connection:{warehouse.pk}")
    assert broken() == {}


def test_news_that_are_no_shipment_need_none(channel: Connection) -> None:
    deliver(make_warehouse(), state="exception")

    assert broken() == {}


def test_a_shipment_that_nobody_told_of(channel: Connection) -> None:
    warehouse = make_warehouse()

    shipment = ship(warehouse, by=f"connection:{warehouse.pk}")

    assert broken()["inbound.shipments_were_told"][0]["shipment"] == shipment.pk
    Shipment.objects.update(by="user:1")
    assert broken() == {}


def test_a_number_that_counts_as_acknowledged_without_a_call(channel: Connection) -> None:
    assert channel.shop is not None
    listing = ListingFactory.create(shop=channel.shop)
    PublishedStock.objects.create(
        listing=listing, shop=channel.shop, desired_version=1, sent_version=1, acked_version=1,
        acked_quantity=5, acked_at=timezone.now(),
    )  # fmt: skip
    assert broken()["published.acknowledged_was_said"][0]["listing"] == listing.pk
    said = Message("push_stock", is_ok=True, subject=f"{listing.outer_item_id}/{listing.outer_sku_id}")

    record_messages(connection=channel, messages=[said], at=timezone.now())

    assert MessageLog.objects.exists()
    assert broken() == {}


def test_every_check_says_in_a_sentence_what_should_be_true() -> None:
    assert all(check.sentence.endswith(".") for check in CHECKS)
    assert len({check.code for check in CHECKS}) == len(CHECKS)

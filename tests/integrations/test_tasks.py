"""Sweeps hand each due stream to one worker; a run's failures go on the books of its connection only."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations import registry, tasks
from integrations.lease import claim_lease, open_streams
from integrations.models import Connection, Cursor
from integrations.open import open_missing_streams
from integrations.run import Run, run_stream
from tests.factories.integrations import make_channel, make_warehouse
from tests.factories.orders import make_house
from tests.factories.outside import Market

pytestmark = [pytest.mark.django_db, pytest.mark.capability("O1")]


@pytest.fixture
def market(monkeypatch: pytest.MonkeyPatch) -> Market:
    market = Market()
    monkeypatch.setitem(registry.CHANNELS, "fake", market)
    return market


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """The messages that would go to other workers."""
    found: list[tuple[str, dict[str, Any]]] = []

    def note(name: str) -> Callable[..., None]:
        return lambda **values: found.append((name, values))

    for task in (tasks.pull_stream, tasks.push_stock_of, tasks.push_releases_of):
        monkeypatch.setattr(task, "delay", note(task.name.rsplit(".", 1)[1]))
    return found


def test_a_new_connection_gets_the_streams_of_its_kind(market: Market) -> None:
    channel = make_channel(adapter="fake")
    warehouse = make_warehouse()
    asleep = make_channel(adapter="fake", is_active=False)

    opened, again = open_missing_streams(), open_missing_streams()

    streams: dict[int, set[str]] = {}
    for connection_id, stream in Cursor.objects.values_list("connection_id", "stream"):
        streams.setdefault(connection_id, set()).add(stream)
    assert streams == {
        channel.pk: {"orders", "refunds", "compare", "stock", "dispatch", "listings", "items"},
        warehouse.pk: {"release", "cancel", "settle", "compare_stock"},
    }
    assert asleep.pk not in streams
    assert (opened, again) == (11, 0)


def test_each_due_stream_goes_to_one_worker(market: Market, sent: list[Any]) -> None:
    channel = make_channel(adapter="fake")

    tasks.pull_due_streams()
    tasks.pull_due_streams()

    assert sorted(values["stream"] for _name, values in sent) == ["compare", "items", "orders", "refunds"]
    assert {values["connection_id"] for _name, values in sent} == {channel.pk}


def test_a_message_from_a_newer_version_is_understood(market: Market) -> None:
    house = make_house(channel="fake")
    channel = make_channel(adapter="fake", shop=house.shop)
    open_missing_streams()

    tasks.pull_stream(connection_id=channel.pk, stream="orders", something_newer=1)

    assert len(market.named("pull_orders")) == 1


def test_nothing_due_hands_out_nothing(market: Market, sent: list[Any]) -> None:
    make_channel(adapter="fake")
    make_warehouse()
    open_missing_streams()

    tasks.push_due_stock()
    tasks.push_due_prices()
    tasks.push_releases()
    tasks.push_due_dispatches()
    tasks.push_cancel_requests()

    assert sent == []


def test_a_connection_with_an_adapter_that_is_not_here_is_paused_with_the_reason_and_stops_no_other(
    market: Market, sent: list[Any]
) -> None:
    stranger = make_channel(adapter="from the future")
    house = make_house(channel="fake")
    channel = make_channel(adapter="fake", shop=house.shop)

    tasks.pull_due_streams()
    for _name, values in sent:
        tasks.pull_stream(**values)

    stranger.refresh_from_db()
    assert stranger.health == Connection.Health.PAUSED
    assert "from the future" in stranger.paused_reason
    assert len(market.named("pull_orders")) == 1
    assert channel.cursors.get(stream="orders").upto is not None


def test_an_error_of_ours_gives_the_lease_back_and_is_heard(market: Market) -> None:
    channel = make_channel(adapter="fake")
    open_streams(connection_id=channel.pk, streams=["orders"])

    def stumble(*_: object) -> Run:
        raise KeyError("slip")

    with pytest.raises(KeyError):
        run_stream(connection_id=channel.pk, stream="orders", work=stumble, at=timezone.now())

    cursor = Cursor.objects.get()
    assert (cursor.holder, cursor.failures) == ("", 1)
    assert cursor.due_at > timezone.now()
    channel.refresh_from_db()
    assert channel.failures == 0


def test_a_worker_whose_lease_was_taken_over_stops_without_noise(market: Market) -> None:
    house = make_house(channel="fake")
    channel = make_channel(adapter="fake", shop=house.shop)
    open_streams(connection_id=channel.pk, streams=["orders"])

    def lapse() -> None:
        Cursor.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        assert claim_lease(connection_id=channel.pk, stream="orders") is not None

    market.during["pull_orders"] = lapse

    tasks.pull_stream(connection_id=channel.pk, stream="orders")

    cursor = Cursor.objects.get()
    assert cursor.upto is None
    assert cursor.holder != ""

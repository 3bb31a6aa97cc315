"""One worker at a time works on a stream, and what a dead worker held comes back by itself."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.db.models import F
from django.utils import timezone

from integrations.lease import (
    Lease,
    LeaseLost,
    claim_lease,
    give_back,
    hand_out_streams,
    keep_lease,
    move_cursor,
    open_streams,
    renew_lease,
)
from integrations.models import Connection, Cursor
from tests.factories.integrations import make_channel

pytestmark = pytest.mark.capability("O1")


def opened(**values: Any) -> Connection:
    channel = make_channel(**values)
    open_streams(connection_id=channel.pk, streams=["orders"])
    return channel


def claimed(channel: Connection) -> Lease:
    lease = claim_lease(connection_id=channel.pk, stream="orders")
    assert lease is not None
    return lease


@pytest.mark.django_db(transaction=True)
def test_of_twenty_workers_at_once_one_gets_the_stream() -> None:
    channel, won, start = opened(), [], threading.Barrier(20)

    def work() -> None:
        start.wait()
        if lease := claim_lease(connection_id=channel.pk, stream="orders"):
            won.append(lease)
        database.close()

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(won) == 1
    assert Cursor.objects.get().holder == won[0].holder


@pytest.mark.django_db
def test_a_dead_workers_lease_lapses_and_its_late_word_is_refused() -> None:
    channel = opened()
    dead = claimed(channel)
    Cursor.objects.update(lease_until=F("lease_until") - timedelta(minutes=1))

    heir = claimed(channel)

    with pytest.raises(LeaseLost):
        move_cursor(lease=dead, upto=timezone.now(), window_seconds=None)
    with pytest.raises(LeaseLost):
        renew_lease(lease=dead)
    give_back(lease=dead, due_in=timedelta(days=9), at=timezone.now())
    cursor = Cursor.objects.get()
    assert (cursor.upto, cursor.holder) == (None, heir.holder)
    assert cursor.due_at < timezone.now() + timedelta(days=1)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "trouble",
    [
        {"is_active": False},
        {"health": Connection.Health.PAUSED},
        {"not_before": timezone.now() + timedelta(hours=1)},
    ],
)
def test_a_connection_that_must_not_run_is_neither_claimed_nor_handed_out(trouble: dict[str, Any]) -> None:
    channel = opened(**trouble)

    lease = claim_lease(connection_id=channel.pk, stream="orders")

    assert lease is None
    assert hand_out_streams(streams=["orders"]) == []
    assert Cursor.objects.get().holder == ""


@pytest.mark.django_db
def test_a_due_stream_is_handed_out_once() -> None:
    channel = opened()

    first, second = hand_out_streams(streams=["orders"]), hand_out_streams(streams=["orders"])

    assert first == [(channel.pk, "orders")]
    assert second == []


@pytest.mark.django_db
def test_a_stream_under_work_is_not_handed_out() -> None:
    channel = opened()
    lease = claimed(channel)

    handed = hand_out_streams(streams=["orders"])

    assert handed == []
    give_back(lease=lease, due_in=timedelta(0), at=timezone.now(), count=7)
    assert hand_out_streams(streams=["orders"], connection_ids=[channel.pk]) == [(channel.pk, "orders")]
    assert Cursor.objects.get().last_count == 7


@pytest.mark.django_db
def test_a_failed_run_counts_and_does_not_look_like_a_run() -> None:
    channel = opened()

    give_back(lease=claimed(channel), due_in=timedelta(0), at=timezone.now(), is_failed=True)

    cursor = Cursor.objects.get()
    assert (cursor.failures, cursor.last_run_at, cursor.holder) == (1, None, "")
    assert claimed(channel).failures == 1


@pytest.mark.django_db(transaction=True)
def test_a_long_call_keeps_its_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integrations.lease.RENEW_SECONDS", 0.05)
    channel = opened()
    lease = claimed(channel)
    nearly_over = timezone.now() + timedelta(seconds=1)
    Cursor.objects.update(lease_until=nearly_over)
    renewed = threading.Event()

    with keep_lease(lease):
        for _ in range(100):
            if Cursor.objects.filter(lease_until__gt=nearly_over + timedelta(seconds=20)).exists():
                renewed.set()
                break
            threading.Event().wait(0.05)

    assert renewed.is_set()


@pytest.mark.django_db
def test_opening_streams_again_leaves_their_cursors_alone() -> None:
    channel, upto = opened(), timezone.now()
    Cursor.objects.update(upto=upto)

    open_streams(connection_id=channel.pk, streams=["orders", "refunds"])

    assert dict(Cursor.objects.values_list("stream", "upto")) == {"orders": upto, "refunds": None}

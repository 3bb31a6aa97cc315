"""Troubles are counted and waited for; wrong credentials stop a connection until a person mends them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from integrations.contract import ChannelRejected, ChannelUnavailable
from integrations.health import (
    BREAK_AFTER,
    NotPaused,
    backoff_seconds,
    note_failure,
    note_success,
    pause_connection,
    resume_connection,
)
from integrations.lease import open_streams
from integrations.models import Connection
from omni.kernel.models import AuditEntry
from tests.factories.integrations import make_channel

pytestmark = [pytest.mark.django_db, pytest.mark.capability("O1")]

AWAY = ChannelUnavailable("the gateway answered 502")


def test_wrong_credentials_pause_the_connection_with_their_reason() -> None:
    channel = make_channel()

    note_failure(
        connection=channel, error=ChannelRejected("session expired", is_auth=True), at=timezone.now()
    )

    channel.refresh_from_db()
    assert channel.health == Connection.Health.PAUSED
    assert channel.paused_reason == "session expired"
    assert AuditEntry.objects.get().action == "connection.paused"


def test_the_reason_for_a_pause_never_holds_the_credentials() -> None:
    channel = make_channel()
    said = "invalid session=test1 secret helloworld for buyer 13812345678"

    note_failure(connection=channel, error=ChannelRejected(said, is_auth=True), at=timezone.now())

    channel.refresh_from_db()
    for secret in ("helloworld", "test1", "13812345678"):
        assert secret not in channel.paused_reason
        assert secret not in channel.last_error


def test_success_does_not_end_a_pause() -> None:
    channel = make_channel()
    pause_connection(connection_id=channel.pk, reason="expired", at=timezone.now(), by="system")

    note_success(connection=channel, at=timezone.now())

    channel.refresh_from_db()
    assert channel.health == Connection.Health.PAUSED


def test_a_resumed_connection_runs_at_once() -> None:
    channel, at = make_channel(), timezone.now()
    open_streams(connection_id=channel.pk, streams=["orders"])
    channel.cursors.update(due_at=at + timedelta(hours=1), failures=9)
    pause_connection(connection_id=channel.pk, reason="expired", at=at, by="system")

    resume_connection(connection_id=channel.pk, at=at, by="user:1")

    channel.refresh_from_db()
    cursor = channel.cursors.get()
    assert (channel.health, channel.paused_reason, channel.failures) == (Connection.Health.NEW, "", 0)
    assert (cursor.due_at, cursor.failures) == (at, 0)


def test_what_is_not_paused_cannot_be_resumed() -> None:
    channel = make_channel()

    with pytest.raises(NotPaused):
        resume_connection(connection_id=channel.pk, at=timezone.now(), by="user:1")

    assert not AuditEntry.objects.exists()


def test_throttling_is_no_ill_health_and_its_seconds_are_obeyed() -> None:
    channel = make_channel()
    throttled = ChannelUnavailable("App Call Limited", retry_seconds=17, is_throttled=True)

    delay = note_failure(connection=channel, error=throttled, at=timezone.now())

    channel.refresh_from_db()
    assert delay == timedelta(seconds=17)
    assert (channel.health, channel.failures) == (Connection.Health.NEW, 0)


def test_failures_in_a_row_trouble_the_connection_then_break_it_and_a_success_mends_it() -> None:
    channel, at = make_channel(), timezone.now()

    for _ in range(BREAK_AFTER):
        note_failure(connection=channel, error=AWAY, at=at)

    channel.refresh_from_db()
    assert (channel.health, channel.failures) == (Connection.Health.DEGRADED, BREAK_AFTER)
    assert channel.not_before > at
    note_success(connection=channel, at=at)
    channel.refresh_from_db()
    assert (channel.health, channel.failures) == (Connection.Health.OK, 0)


def test_one_failure_does_not_trouble_anybody() -> None:
    channel = make_channel(health=Connection.Health.OK)

    note_failure(connection=channel, error=AWAY, at=timezone.now())

    channel.refresh_from_db()
    assert channel.health == Connection.Health.OK
    assert channel.last_error == "the gateway answered 502"


def test_waits_grow_with_the_failures_up_to_a_minute() -> None:
    assert all(1 <= backoff_seconds(0) <= 2 for _ in range(20))
    assert all(1 <= backoff_seconds(500) <= 60 for _ in range(20))

"""Keep book on how well a connection works, pause it when a person is needed, and let it run again."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q
from django.utils.translation import gettext as _

from integrations.contract import ChannelRejected, ChannelUnavailable
from integrations.models import Connection
from integrations.record import redact
from omni.kernel.audit import record_act
from omni.kernel.errors import BadInput

DEGRADED_AFTER = 3
# So many failures in a row, whatever the stream, open the breaker: nothing is asked for BREAK, then all may probe.
BREAK_AFTER = 6
BREAK = timedelta(seconds=30)
DELAY_SECONDS_MAX = 60
NOTED_EVERY = timedelta(seconds=10)


class NotPaused(BadInput):
    """A connection that runs cannot be resumed."""

    code = "not_paused"


def note_success(*, connection: Connection, at: datetime) -> None:
    """The other side answered. Written at most every ten seconds, unless it ends a trouble."""
    worth_noting = (
        Q(failures__gt=0)
        | Q(health__in=[Connection.Health.NEW, Connection.Health.DEGRADED])
        | Q(last_ok_at__isnull=True)
        | Q(last_ok_at__lt=at - NOTED_EVERY)
    )
    usable = ~Q(health=Connection.Health.PAUSED)
    Connection.objects.filter(worth_noting & usable, pk=connection.pk).update(
        health=Connection.Health.OK, failures=0, last_ok_at=at
    )


@transaction.atomic
def note_failure(
    *, connection: Connection, error: ChannelUnavailable | ChannelRejected, at: datetime, failures: int = 0
) -> timedelta:
    """The other side did not answer, or refused. Returns how long the stream should wait.

    `failures`: of this stream in a row, before this one. Wrong credentials pause the connection: asking on would
    only burn the quota or lock the account. Being throttled is no ill health.
    """
    if isinstance(error, ChannelUnavailable) and error.is_throttled:
        return timedelta(seconds=error.retry_seconds or 2)
    if isinstance(error, ChannelRejected) and error.is_auth:
        pause_connection(connection_id=connection.pk, reason=error.detail, at=at, by="system")
        return timedelta(seconds=DELAY_SECONDS_MAX)
    current = Connection.objects.select_for_update().get(pk=connection.pk)
    current.failures = F("failures") + 1
    current.last_error_at = at
    current.last_error = redact(error.detail, connection=connection)
    current.save(update_fields=["failures", "last_error_at", "last_error"])
    current.refresh_from_db(fields=["failures", "health"])
    if current.health != Connection.Health.PAUSED and current.failures >= DEGRADED_AFTER:
        current.health = Connection.Health.DEGRADED
        current.save(update_fields=["health"])
    if current.failures % BREAK_AFTER == 0:
        current.not_before = at + BREAK
        current.save(update_fields=["not_before"])
    retry_seconds = error.retry_seconds if isinstance(error, ChannelUnavailable) else None
    return timedelta(seconds=retry_seconds or backoff_seconds(failures))


def backoff_seconds(failures: int) -> float:
    """Full jitter over a range that doubles, so that a crowd of workers does not knock all at once."""
    return random.uniform(1, min(DELAY_SECONDS_MAX, 2.0 ** min(failures + 1, 10)))


@transaction.atomic
def pause_connection(*, connection_id: int, reason: str, at: datetime, by: str) -> bool:
    """Stop every stream until a person resumes it. False: it was paused before; the first reason stays."""
    connection = Connection.objects.select_for_update().get(pk=connection_id)
    if connection.health == Connection.Health.PAUSED:
        return False
    connection.health = Connection.Health.PAUSED
    connection.paused_reason = connection.last_error = redact(reason, connection=connection)
    connection.last_error_at = at
    connection.save(update_fields=["health", "paused_reason", "last_error", "last_error_at"])
    record_act(by=by, action="connection.paused", subject=connection, reason=connection.paused_reason)
    return True


@transaction.atomic
def resume_connection(*, connection_id: int, at: datetime, by: str, reason: str = "") -> None:
    """Let a paused connection run again, at once. `reason`: what was mended. Raises NotPaused."""
    connection = Connection.objects.select_for_update().get(pk=connection_id)
    if connection.health != Connection.Health.PAUSED:
        raise NotPaused(_("The connection %(code)s is not paused.") % {"code": connection.code})
    connection.health = Connection.Health.NEW
    connection.paused_reason = ""
    connection.failures = 0
    connection.not_before = at
    connection.save(update_fields=["health", "paused_reason", "failures", "not_before"])
    connection.cursors.update(due_at=at, failures=0)
    record_act(by=by, action="connection.resumed", subject=connection, reason=reason)

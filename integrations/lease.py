"""Let one worker at a time work on one stream of a connection, and give its work back when it dies."""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection as database
from django.db import transaction

from integrations.models import Cursor
from omni.kernel.errors import Busy
from omni.kernel.sql import execute, fetch_all

log = logging.getLogger(__name__)

# Longer than one call to a channel, so that a request of a dead worker has ended before the next worker asks.
LEASE = timedelta(seconds=45)
RENEW_SECONDS = 10
# A stream that was handed to a worker is not handed out again for so long: a lost message costs this delay.
HANDED_OUT = timedelta(seconds=30)

# Leases are told by the database's clock: workers whose clocks differ must agree on who holds what. SKIP LOCKED:
# who comes second leaves at once instead of waiting for a lease that it will not get.
CLAIM = """
    UPDATE integrations_cursor SET holder = %s, lease_until = clock_timestamp() + %s
    WHERE id = (
        SELECT c.id FROM integrations_cursor c JOIN integrations_connection n ON n.id = c.connection_id
        WHERE c.connection_id = %s AND c.stream = %s AND (c.lease_until IS NULL OR c.lease_until < clock_timestamp())
          AND n.is_active AND n.health <> 'paused' AND n.not_before <= clock_timestamp()
        FOR NO KEY UPDATE OF c SKIP LOCKED
    )
    RETURNING id, upto, last_run_at, window_seconds, failures
"""
RENEW = "UPDATE integrations_cursor SET lease_until = clock_timestamp() + %s WHERE id = %s AND holder = %s"
MOVE = "UPDATE integrations_cursor SET upto = %s, window_seconds = %s WHERE id = %s AND holder = %s"
GIVE_BACK = """
    UPDATE integrations_cursor SET holder = '', lease_until = NULL, due_at = clock_timestamp() + %s,
        failures = CASE WHEN %s THEN failures + 1 ELSE 0 END,
        last_run_at = CASE WHEN %s THEN last_run_at ELSE %s END,
        last_count = CASE WHEN %s THEN last_count ELSE %s END,
        window_seconds = CASE WHEN %s THEN %s ELSE window_seconds END
    WHERE id = %s AND holder = %s
"""
HAND_OUT = """
    UPDATE integrations_cursor SET due_at = clock_timestamp() + %s
    WHERE id IN (
        SELECT c.id FROM integrations_cursor c JOIN integrations_connection n ON n.id = c.connection_id
        WHERE c.stream = ANY(%s) AND c.due_at <= clock_timestamp()
          AND (c.lease_until IS NULL OR c.lease_until < clock_timestamp())
          AND n.is_active AND n.health <> 'paused' AND n.not_before <= clock_timestamp()
          AND (%s::bigint[] IS NULL OR n.id = ANY(%s::bigint[]))
        ORDER BY c.id FOR NO KEY UPDATE OF c SKIP LOCKED
    )
    RETURNING connection_id, stream
"""


class LeaseLost(Busy):
    """The lease lapsed and another worker has taken the stream over: whoever had it must stop."""

    code = "lease_lost"


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one stream. The values are those of the cursor when it was claimed."""

    cursor_id: int
    connection_id: int
    stream: str
    holder: str
    upto: datetime | None
    last_run_at: datetime | None
    window_seconds: int | None
    failures: int


def open_streams(*, connection_id: int, streams: Sequence[str]) -> None:
    """Make the cursors that a connection still lacks. Those it has stay as they are."""
    cursors = [Cursor(connection_id=connection_id, stream=stream) for stream in streams]
    Cursor.objects.bulk_create(cursors, ignore_conflicts=True)


@transaction.atomic
def hand_out_streams(
    *, streams: Sequence[str], connection_ids: Sequence[int] | None = None
) -> list[tuple[int, str]]:
    """Take the due streams of usable connections (connection id, stream), each for one worker.

    They are not handed out again before HANDED_OUT has passed or the work was given back.
    """
    ids = None if connection_ids is None else list(connection_ids)
    rows = fetch_all(HAND_OUT, [HANDED_OUT, list(streams), ids, ids])
    return sorted((connection_id, stream) for connection_id, stream in rows)


@transaction.atomic
def claim_lease(*, connection_id: int, stream: str) -> Lease | None:
    """The right to work on a stream; None: somebody has it, or the connection is paused or must wait."""
    holder = f"{socket.gethostname()[:40]}:{os.getpid()}:{uuid.uuid4().hex[:12]}"
    for cursor_id, *values in fetch_all(CLAIM, [holder, LEASE, connection_id, stream]):
        return Lease(cursor_id, connection_id, stream, holder, *values)
    return None


def renew_lease(*, lease: Lease) -> None:
    """Go on holding it. Raises LeaseLost."""
    if not execute(RENEW, [LEASE, lease.cursor_id, lease.holder]):
        raise LeaseLost(f"{lease.stream} of connection {lease.connection_id} was taken over")


def move_cursor(*, lease: Lease, upto: datetime, window_seconds: int | None) -> None:
    """Everything before `upto` is stored or parked. Raises LeaseLost, and then nothing has moved."""
    if not execute(MOVE, [upto, window_seconds, lease.cursor_id, lease.holder]):
        raise LeaseLost(f"{lease.stream} of connection {lease.connection_id} was taken over")


def give_back(
    *,
    lease: Lease,
    due_in: timedelta,
    at: datetime,
    is_failed: bool = False,
    count: int = 0,
    narrow_to_seconds: int | None = None,
) -> None:
    """End the work; the stream is due again after `due_in`. Harmless when the lease was lost meanwhile."""
    is_narrowed = narrow_to_seconds is not None
    execute(
        GIVE_BACK,
        [
            due_in, is_failed, is_failed, at, is_failed, count, is_narrowed, narrow_to_seconds,
            lease.cursor_id, lease.holder,
        ],
    )  # fmt: skip


@contextmanager
def keep_lease(lease: Lease) -> Iterator[None]:
    """Renew the lease from a thread of its own, because the work may be one long call to a slow channel."""
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(RENEW_SECONDS):
            try:
                renew_lease(lease=lease)
            except LeaseLost:
                return  # the work will find out when it moves the cursor
            except Exception as error:
                log.warning("lease of %s not renewed: %s", lease, error)
            finally:
                database.close()

    thread = threading.Thread(target=renew, name=f"lease-{lease.cursor_id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=2)

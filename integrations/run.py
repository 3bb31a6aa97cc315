"""Run one piece of work on one stream of a connection: alone, with its failures put on the books."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from integrations.contract import ChannelRejected, ChannelUnavailable
from integrations.health import backoff_seconds, note_failure, note_success, pause_connection
from integrations.lease import Lease, LeaseLost, claim_lease, give_back, keep_lease
from integrations.models import Connection
from integrations.record import Message, record_messages
from integrations.registry import UnknownAdapter

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """What came of it: rows handled, and when the stream is due again.

    `has_talked`: the other side was asked and answered. A run that found nothing to say proves no health.
    `is_caught_up`: nothing is left that could be asked for now.
    """

    count: int
    due_in: timedelta = timedelta(0)
    has_talked: bool = True
    is_caught_up: bool = True


Work = Callable[[Connection, Lease], Run]
Narrow = Callable[[Lease, ChannelUnavailable], int | None]


def run_stream(
    *, connection_id: int, stream: str, work: Work, at: datetime, narrow: Narrow | None = None
) -> Run | None:
    """Work on a stream under its lease. None: somebody else does, it must not run now, or it failed.

    ChannelUnavailable and ChannelRejected are the outside's weather: they are logged, counted and waited for. Any
    other error is ours: the lease is given back and the error goes on. `narrow` may answer an unavailable channel
    with a smaller window for the next time.
    """
    lease = claim_lease(connection_id=connection_id, stream=stream)
    if lease is None:
        return None
    connection = Connection.objects.select_related("shop", "location").get(pk=connection_id)
    started = time.monotonic()
    try:
        with keep_lease(lease):
            run = work(connection, lease)
    except (ChannelUnavailable, ChannelRejected) as error:
        duration_ms = int((time.monotonic() - started) * 1000)
        message = Message(stream, is_ok=False, detail=error.detail, duration_ms=duration_ms)
        record_messages(connection=connection, messages=[message], at=at)
        delay = note_failure(connection=connection, error=error, at=at, failures=lease.failures)
        window = narrow(lease, error) if narrow and isinstance(error, ChannelUnavailable) else None
        give_back(lease=lease, due_in=delay, at=at, is_failed=True, narrow_to_seconds=window)
        return None
    except UnknownAdapter as unknown:
        pause_connection(connection_id=connection.pk, reason=unknown.detail, at=at, by="system")
        give_back(lease=lease, due_in=timedelta(0), at=at, is_failed=True)
        return None
    except LeaseLost as lost:
        log.warning("%s: its work will be done again", lost)
        return None
    except BaseException:
        delay = timedelta(seconds=backoff_seconds(lease.failures))
        give_back(lease=lease, due_in=delay, at=at, is_failed=True)
        raise
    if run.has_talked:
        note_success(connection=connection, at=at)
    give_back(lease=lease, due_in=run.due_in, at=at, count=run.count)
    return run

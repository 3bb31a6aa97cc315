"""Make a connection's streams due now instead of at their next turn."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from integrations.models import Connection
from omni.kernel import doorbell
from omni.kernel.audit import record_act
from omni.kernel.errors import DomainError

PULL = "integrations.tasks.pull_due_streams"


class IsPaused(DomainError):
    """A paused connection must be resumed first: whatever paused it would only happen again."""

    code = "connection_paused"


@transaction.atomic
def hasten_streams(*, connection_id: int, streams: Sequence[str] | None = None, at: datetime, by: str) -> int:
    """Make every stream, or only these, due and wake the sweep. Who holds a lease keeps it.

    Returns the number of streams. Raises IsPaused.
    """
    connection = Connection.objects.select_for_update().get(pk=connection_id)
    if connection.health == Connection.Health.PAUSED or not connection.is_active:
        raise IsPaused(_("The connection %s is paused: resume it first.") % connection.code)
    Connection.objects.filter(pk=connection_id, not_before__gt=at).update(not_before=at)
    cursors = connection.cursors.all() if streams is None else connection.cursors.filter(stream__in=streams)
    count = cursors.update(due_at=at)
    detail = {} if streams is None else {"streams": list(streams)}
    record_act(by=by, action="connection.hastened", subject=connection, detail=detail)
    doorbell.ring_after_commit(PULL)
    return count

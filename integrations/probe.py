"""Ask the other side of a connection who it is, while a person waits for the answer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.utils.translation import gettext as _

from integrations.contract import ChannelRejected, ChannelUnavailable
from integrations.health import note_success
from integrations.models import Connection
from integrations.record import Message, record_messages, redact
from integrations.registry import open_channel, open_warehouse
from integrations.set_up import BadConnection, missing_credentials
from omni.kernel.audit import record_act

PROBE = "probe"
WAIT_SECONDS_MAX = 10.0


class Outcome(StrEnum):
    """What became of the question."""

    ANSWERED = "answered"
    SIGNED_OUT = "signed_out"  # the credentials are wrong, expired or withdrawn
    REFUSED = "refused"  # it answered, and did not want to
    THROTTLED = "throttled"
    AWAY = "away"


@dataclass(frozen=True, slots=True)
class Probe:
    """`said`: its name, or its reason; without secrets."""

    outcome: Outcome
    said: str
    duration_ms: int


def probe_connection(*, connection_id: int, at: datetime, by: str) -> Probe:
    """Greet the other side, also of a connection that is paused or switched off; nothing changes there.

    No lock is held meanwhile. Raises UnknownAdapter, and BadConnection when credentials are missing.
    """
    connection = Connection.objects.select_related("shop", "location").get(pk=connection_id)
    if missing := missing_credentials(connection):
        raise BadConnection(
            _("It cannot be asked: there are no credentials yet."),
            fields={f"credentials.{name}": [_("The adapter needs it.")] for name in missing},
        )
    waits = float(connection.settings.get("timeout_seconds", WAIT_SECONDS_MAX))
    connection.settings = {**connection.settings, "timeout_seconds": min(waits, WAIT_SECONDS_MAX)}
    began = time.monotonic()
    outcome, said = _greet(connection)
    probe = Probe(outcome, redact(said, connection=connection), int((time.monotonic() - began) * 1000))
    is_ok = outcome is Outcome.ANSWERED
    record_messages(
        connection=connection, messages=[Message(PROBE, is_ok, "", said, probe.duration_ms)], at=at
    )
    record_act(by=by, action="connection.probed", subject=connection, detail={"outcome": outcome.value})
    if is_ok:
        note_success(connection=connection, at=at)
    return probe


def _greet(connection: Connection) -> tuple[Outcome, str]:
    opened = open_channel if connection.kind == Connection.Kind.CHANNEL else open_warehouse
    try:
        with opened(connection) as adapter:
            return Outcome.ANSWERED, adapter.greet()
    except ChannelRejected as refused:
        return (Outcome.SIGNED_OUT if refused.is_auth else Outcome.REFUSED), refused.detail
    except ChannelUnavailable as away:
        return (Outcome.THROTTLED if away.is_throttled else Outcome.AWAY), away.detail

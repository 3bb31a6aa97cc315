"""News that travels up, afterwards.

An event is written with the change that it tells of, and handed on later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import transaction

from omni.kernel import doorbell
from omni.kernel.canonical import dump_json
from omni.kernel.sql import execute

RELAY = "omni.tasks.relay_outbox"

INSERT = """
    INSERT INTO kernel_outboxevent (kind, payload)
    SELECT * FROM unnest(%s::text[], %s::jsonb[])
"""


@dataclass(frozen=True)
class Event:
    """Something that happened. Subclasses are frozen dataclasses in a room's `events.py`.

    Past tense, ids only.
    """

    @classmethod
    def kind(cls) -> str:
        """The name under which it is stored: `orders.OrdersCaptured`."""
        return f"{cls.__module__.split('.')[0]}.{cls.__name__}"

    @classmethod
    def from_payload(cls, payload: dict[str, Any]) -> Event:
        """Read a stored event; fields that this version does not know are ignored, so that old and new code
        may overlap.
        """
        known = cls.__dataclass_fields__
        return cls(
            **{name: tuple(v) if isinstance(v, list) else v for name, v in payload.items() if name in known}
        )


def record_events(*events: Event) -> None:
    """Write events to the outbox, in the caller's transaction.

    They are handed on after it commits, at least once.
    """
    if not events:
        return
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("an event is recorded in the transaction of the change that it tells of")
    execute(
        INSERT, [[event.kind() for event in events], [dump_json(vars(event)).decode() for event in events]]
    )
    doorbell.ring_after_commit(RELAY)

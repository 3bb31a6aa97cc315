"""Hand recorded events on to those who react, at least once each, and park what keeps failing."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from django.db import transaction

from omni.kernel.events import Event
from omni.kernel.models import OutboxEvent
from omni.kernel.sql import fetch_all

log = logging.getLogger(__name__)

Reaction = Callable[..., None]
Reactions = Mapping[type[Event], Sequence[Reaction]]

ATTEMPTS_MAX = 12
LEASE = timedelta(seconds=60)

# The lease is `not_before` pushed into the future: a relay that dies gives its rows back by itself. Attempts
# are counted before the work, so that an event which kills its worker cannot loop for ever.
CLAIM = """
    UPDATE kernel_outboxevent SET attempts = attempts + 1, not_before = statement_timestamp() + %s
    WHERE id IN (
        SELECT id FROM kernel_outboxevent WHERE state = 'ready' AND not_before <= statement_timestamp()
        ORDER BY not_before, id FOR UPDATE SKIP LOCKED LIMIT %s
    )
    RETURNING id, kind, payload, attempts, done_reactions
"""


def relay_events(*, reactions: Reactions, limit: int, at: datetime) -> int:
    """Claim up to `limit` ready events and run their reactions; return how many were claimed.

    A reaction that raises is tried again with back-off; those of the same event that succeeded are not
    repeated. After ATTEMPTS_MAX the event becomes a dead letter for a person to see.
    """
    by_kind = {event.kind(): (event, todo) for event, todo in reactions.items()}
    with transaction.atomic():
        rows = fetch_all(CLAIM, [LEASE, limit])
    done: list[int] = []
    for ident, kind, payload, attempts, done_reactions in sorted(rows):
        event_class, todo = by_kind.get(kind, (None, ()))
        if event_class is None:
            log.warning("nobody knows the event %s", kind)
        error = _react(event_class, todo, json.loads(payload), done_reactions)
        if error is None:
            done.append(ident)
        else:
            _postpone(ident, attempts, done_reactions, error, at)
    if done:
        OutboxEvent.objects.filter(pk__in=done).update(
            state=OutboxEvent.State.DONE, done_at=at, last_error=""
        )
    return len(rows)


def _react(
    event_class: type[Event] | None, todo: Sequence[Reaction], payload: dict[str, object], done: list[str]
) -> str | None:
    """Run what is still to do; record in `done` what succeeded. Returns the first error's text."""
    if event_class is None:
        return None
    event, first_error = event_class.from_payload(payload), None
    for reaction in todo:
        name = f"{reaction.__module__}.{reaction.__name__}"
        if name in done:
            continue
        try:
            reaction(event)
            done.append(name)
        except Exception as error:
            log.exception("reaction %s to %s failed", name, event)
            first_error = first_error or f"{name}: {type(error).__name__}: {error}"
    return first_error


def _postpone(ident: int, attempts: int, done: list[str], error: str, at: datetime) -> None:
    is_dead = attempts >= ATTEMPTS_MAX
    OutboxEvent.objects.filter(pk=ident).update(
        state=OutboxEvent.State.DEAD if is_dead else OutboxEvent.State.READY,
        done_reactions=done,
        last_error=error[:4000],
        not_before=at + timedelta(seconds=min(600, 2**attempts)),
    )


def revive_events(*, event_ids: Sequence[int], at: datetime) -> int:
    """Put dead letters back into the queue, with a fresh count of attempts."""
    return OutboxEvent.objects.filter(pk__in=event_ids, state=OutboxEvent.State.DEAD).update(
        state=OutboxEvent.State.READY, attempts=0, not_before=at
    )

"""The roof's sweeps: hand on what the rooms have recorded."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery import shared_task
from django.utils import timezone

from omni.kernel import doorbell
from omni.kernel.events import RELAY
from omni.kernel.relay import forget_done_events, relay_events
from omni.wiring import REACTIONS

BATCH = 100


@shared_task(name=RELAY)
def relay_outbox(**_newer: Any) -> None:
    doorbell.answer(RELAY)
    while relay_events(reactions=REACTIONS, limit=BATCH, at=timezone.now()) == BATCH:
        pass


@shared_task
def forget_old_events(**_newer: Any) -> None:
    forget_done_events(before=timezone.now() - timedelta(days=7))

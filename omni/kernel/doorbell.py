"""Wake a sweep now instead of at its next tick: best effort, coalesced, and never needed for correctness."""

from __future__ import annotations

import logging
from functools import partial

from celery import current_app
from django.conf import settings
from django.core.cache import cache
from django.db import transaction

log = logging.getLogger(__name__)

# A bell that rang and was not answered for so long is taken as lost with its message.
UNANSWERED_SECONDS = 10


def ring_after_commit(task: str) -> None:
    """Ask for a run of the named sweep once the current transaction has committed."""
    transaction.on_commit(partial(ring, task), robust=True)


def ring(task: str) -> None:
    """Ask for a run of the named sweep. A bell that already rings is not rung twice.

    When Valkey is away the sweep comes with the next beat: the error is swallowed.
    """
    if not settings.OMNI_DOORBELL:
        return
    try:
        if cache.add(f"bell:{task}", 1, timeout=UNANSWERED_SECONDS):
            current_app.send_task(task, ignore_result=True)
    except Exception as error:
        log.warning("doorbell of %s failed: %s", task, error)


def answer(task: str) -> None:
    """Called by a sweep before it looks.

    From here on the bell may ring again, and that run will see later rows.
    """
    try:
        cache.delete(f"bell:{task}")
    except Exception as error:
        log.warning("doorbell of %s not answered: %s", task, error)

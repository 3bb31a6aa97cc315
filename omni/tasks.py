"""The roof's sweeps: hand on what the rooms have recorded."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from omni.kernel import doorbell
from omni.kernel.actors import SYSTEM
from omni.kernel.events import RELAY
from omni.kernel.forget import forget_answers, forget_done_events
from omni.kernel.imports.forget import forget_imports
from omni.kernel.jobs import RUN_JOBS, claim_job, run_job
from omni.kernel.relay import relay_events
from omni.wiring import JOBS, REACTIONS

BATCH = 100
# Well below the broker's patience (visibility_timeout) and the task's own limit; the rest comes with the next bell.
JOB_SLICE_SECONDS = 100


@shared_task(name=RELAY)
def relay_outbox(**_newer: Any) -> None:
    doorbell.answer(RELAY)
    while relay_events(reactions=REACTIONS, limit=BATCH, at=timezone.now()) == BATCH:
        pass


@shared_task
def forget_old_events(**_newer: Any) -> None:
    forget_done_events(before=timezone.now() - timedelta(days=settings.OMNI_KEEP_EVENTS_DAYS))
    forget_answers(before=timezone.now() - timedelta(days=settings.OMNI_KEEP_ANSWERS_DAYS))


@shared_task
def forget_old_imports(**_newer: Any) -> None:
    at = timezone.now()
    forget_imports(before=at - timedelta(days=settings.OMNI_KEEP_IMPORTS_DAYS), at=at, by=SYSTEM)


@shared_task(name=RUN_JOBS)
def run_jobs(**_newer: Any) -> None:
    """Work on the oldest job that waits, or whose worker is lost, for one slice of time."""
    doorbell.answer(RUN_JOBS)
    job = claim_job(at=timezone.now())
    if job is not None:
        run_job(job=job, works=JOBS, seconds_max=JOB_SLICE_SECONDS)
        doorbell.ring(RUN_JOBS)  # there may be another one

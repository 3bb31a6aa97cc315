"""Long work that a person waits for: started, reported on, stopped on request, and taken up again after a crash.

The work of a job is a generator. Each `yield` stands after a committed chunk; where it was is written in the rows
that it works on, so that starting the generator again goes on from there. A worker that dies leaves a job without a
sign of life, and the next one takes it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import get_language, override
from django.utils.translation import gettext as _

from omni.kernel import doorbell
from omni.kernel.errors import DomainError
from omni.kernel.models import Job
from omni.kernel.sql import fetch_all

log = logging.getLogger(__name__)

RUN_JOBS = "omni.tasks.run_jobs"

# Longer than any chunk; shorter than the patience of whoever waits for the job of a worker that was killed.
LOST_AFTER = timedelta(seconds=60)
ATTEMPTS_MAX = 5
LANGUAGE = "language"  # among the parameters of every job

CLAIM = """
    UPDATE kernel_job SET state = 'running', attempts = attempts + 1, heartbeat_at = %(at)s,
        started_at = COALESCE(started_at, %(at)s)
    WHERE id = (
        SELECT id FROM kernel_job
        WHERE (state = 'queued' OR state = 'running' AND heartbeat_at < %(lost)s)
            AND (%(only)s::bigint IS NULL OR id = %(only)s)
        ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1
    )
    RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the work is after a chunk. `total` None: not known yet."""

    done: int
    failed: int = 0
    total: int | None = None
    message: str = ""


# Yields after each committed chunk; what it returns is kept as the job's result.
Work = Callable[[Job], Generator[Progress, None, dict[str, Any]]]


@transaction.atomic
def start_job(*, kind: str, title: str, params: Mapping[str, Any], at: datetime, by: str) -> Job:
    """Queue a job and wake a worker once the current transaction has committed.

    `kind` names the work in `omni.wiring.JOBS`. What the work writes down is in the language of whoever
    started it.
    """
    job = Job.objects.create(
        kind=kind,
        title=title[:200],
        params={**params, LANGUAGE: get_language() or settings.LANGUAGE_CODE},
        created_by=by,
        created_at=at,
        state=Job.State.QUEUED,
    )
    doorbell.ring_after_commit(RUN_JOBS)
    return job


def claim_job(*, at: datetime, job_id: int | None = None) -> Job | None:
    """Take the oldest job that waits or whose worker is lost (or only the one named); None: there is none.

    It is ours until it goes without a sign of life for LOST_AFTER.
    """
    with transaction.atomic():
        found = fetch_all(CLAIM, {"at": at, "lost": at - LOST_AFTER, "only": job_id})
    return Job.objects.get(pk=found[0][0]) if found else None


def run_job(*, job: Job, works: Mapping[str, Work], seconds_max: float | None = None) -> Job:
    """Work on a claimed job until it is finished, asked to stop, or its time slice is over (then it queues again).

    Returns the job as it stands. A DomainError fails it with its sentence; any other error queues it again, at most
    ATTEMPTS_MAX times without progress.
    """
    with override(job.params.get(LANGUAGE, settings.LANGUAGE_CODE)):
        return _run(job, works, seconds_max)


def _run(job: Job, works: Mapping[str, Work], seconds_max: float | None) -> Job:
    if job.attempts > ATTEMPTS_MAX:
        return fail_job(job=job, message=_("Given up: it ended its worker several times."), at=timezone.now())
    work = works.get(job.kind)
    if work is None:
        return fail_job(job=job, message=f"Nobody knows the work “{job.kind}”.", at=timezone.now())
    deadline = None if seconds_max is None else time.monotonic() + seconds_max
    steps = work(job)
    try:
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                return finish_job(job=job, result=end.value or {}, at=timezone.now())
            at = timezone.now()
            if not report_progress(job=job, progress=progress, at=at):
                return _stop(job, at)
            if deadline is not None and time.monotonic() > deadline:
                return _queue_again(job)
    except DomainError as refusal:
        return fail_job(job=job, message=refusal.detail, at=timezone.now())
    except Exception as error:
        log.exception("job %s (%s) broke", job.pk, job.kind)
        connection.close_if_unusable_or_obsolete()
        job.refresh_from_db()
        if job.attempts >= ATTEMPTS_MAX:
            return fail_job(job=job, message=f"{type(error).__name__}: {error}"[:2000], at=timezone.now())
        return _queue_again(job)
    finally:
        steps.close()


def report_progress(*, job: Job, progress: Progress, at: datetime) -> bool:
    """Write down how far a running job is; this is also its sign of life. False: it is asked to stop, or is over."""
    return bool(
        Job.objects.filter(pk=job.pk, state=Job.State.RUNNING, is_cancel_requested=False).update(
            done=progress.done,
            failed=progress.failed,
            total=progress.total,
            message=progress.message,
            attempts=1,
            heartbeat_at=at,
        )
    )


def finish_job(*, job: Job, result: Mapping[str, Any], at: datetime, result_file: str = "") -> Job:
    """The job is done, with this result."""
    return _end(
        job, Job.State.DONE, at, result=dict(result), **({"result_file": result_file} if result_file else {})
    )


def fail_job(*, job: Job, message: str, at: datetime) -> Job:
    """The job cannot be done; the message says why and what to do."""
    return _end(job, Job.State.FAILED, at, message=message)


@transaction.atomic
def cancel_job(*, job_id: int, at: datetime, by: str) -> bool:
    """Ask a job to stop: at once if it still waits, else after its current chunk. False: it was over already."""
    job = Job.objects.select_for_update().get(pk=job_id)
    if job.state == Job.State.QUEUED:
        _end(job, Job.State.CANCELLED, at, message=_("Cancelled by %s.") % by)
    elif job.state == Job.State.RUNNING:
        Job.objects.filter(pk=job_id).update(is_cancel_requested=True)
    else:
        return False
    return True


def _stop(job: Job, at: datetime) -> Job:
    job.refresh_from_db()
    if job.state == Job.State.RUNNING:
        return _end(job, Job.State.CANCELLED, at, message=_("Stopped on request. What was done stays."))
    return job


def _queue_again(job: Job) -> Job:
    Job.objects.filter(pk=job.pk, state=Job.State.RUNNING).update(state=Job.State.QUEUED)
    doorbell.ring(RUN_JOBS)
    job.refresh_from_db()
    return job


def _end(job: Job, state: Job.State, at: datetime, **values: Any) -> Job:
    live = [Job.State.QUEUED, Job.State.RUNNING]
    Job.objects.filter(pk=job.pk, state__in=live).update(state=state, finished_at=at, **values)
    job.refresh_from_db()
    return job

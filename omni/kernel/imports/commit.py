"""Take the good rows of a previewed import in the background, chunk by chunk, and try again those that were refused."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import DataError, IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from omni.kernel.errors import DomainError
from omni.kernel.imports.map_columns import ImportIsOver
from omni.kernel.imports.preview import diff_rows, open_errors
from omni.kernel.imports.rows import DO_NOT_WAIT_FOR_DISK, RowQueue, count_rows, write_taken
from omni.kernel.imports.target import Context, Row, Taken, Target
from omni.kernel.jobs import Progress, start_job
from omni.kernel.models import Import, ImportRow, Job
from omni.kernel.sql import execute


class NothingToRetry(DomainError):
    """None of the named rows waits with an error that another attempt could mend."""

    code = "nothing_to_retry"


@transaction.atomic
def start_commit(*, run_id: int, at: datetime, by: str) -> Job:
    """Take the good rows of a previewed import in the background, or the rest of one that was stopped.

    Raises ImportIsOver.
    """
    run = Import.objects.select_for_update().get(pk=run_id)
    if run.state != Import.State.PREVIEWED and not was_stopped(run):
        raise ImportIsOver(_("Only an import that has been previewed and not taken yet can be taken."))
    return _start(run, at=at, by=by)


@transaction.atomic
def start_retry(*, run_id: int, at: datetime, by: str, row_ids: Sequence[int] | None = None) -> Job:
    """Try the refused rows of an import again (all, or those named): the cause may have been mended.

    Rows that could not be read stay as they are. Raises ImportIsOver, NothingToRetry.
    """
    run = Import.objects.select_for_update().get(pk=run_id)
    if run.state not in (Import.State.DONE, Import.State.FAILED):
        raise ImportIsOver(_("Only an import that has been taken can be tried again."))
    rows = ImportRow.objects.filter(run=run, status=ImportRow.Status.ERROR, values__isnull=False)
    if row_ids is not None:
        rows = rows.filter(pk__in=row_ids)
    if not rows.update(status=ImportRow.Status.STAGED, phase=0):
        raise NothingToRetry(_("None of these rows can be tried again: mend the file and upload it."))
    return _start(run, at=at, by=by)


def was_stopped(run: Import) -> bool:
    """Somebody has stopped the taking, or it broke: the rest waits."""
    live = (Job.State.QUEUED, Job.State.RUNNING)
    return run.state == Import.State.COMMITTING and (run.job is None or run.job.state not in live)


def _start(run: Import, *, at: datetime, by: str) -> Job:
    title = _("Take %s") % run.file_name
    job = start_job(kind="imports.commit", title=title, params={"run": run.pk}, at=at, by=by)
    Import.objects.filter(pk=run.pk).update(job=job, state=Import.State.COMMITTING, message="")
    return job


def commit_import(*, run_id: int, target: Target, by: str) -> Generator[Progress, None, dict[str, Any]]:
    """Take the rows that are new or changed, lowest phase first. Goes on where it was when started again.

    A chunk and the states of its rows are one transaction. What one group does wrong parks that group alone.
    Returns the counts by status and what was made.
    """
    run = Import.objects.get(pk=run_id)
    if run.state == Import.State.COMMITTING:
        yield from diff_rows(run, target)  # rows that are tried again
        context = Context(run)
        counts = count_rows(run_id)
        to_do, done = counts["new"] + counts["changed"], 0
        if to_do:
            with transaction.atomic():
                _add_to_summary(run_id, target.prepare_commit(context, at=timezone.now(), by=by))
            queue = RowQueue(run_id, target, statuses=("new", "changed"))
            while rows := _commit_chunk(run_id, queue, target, context, by=by):
                done += len(rows)
                yield Progress(done=done, total=to_do, message=_("taking"))
        counts = _finish(run_id)
    else:
        counts = count_rows(run_id)
    return {**counts, "made": Import.objects.values_list("summary", flat=True).get(pk=run_id)}


@transaction.atomic
def _commit_chunk(run_id: int, queue: RowQueue, target: Target, context: Context, *, by: str) -> list[Row]:
    # The lock on the import keeps a second worker from taking the same chunk.
    Import.objects.select_for_update().get(pk=run_id)
    rows = queue.take()
    if rows:
        taken, made = _commit_bisecting(rows, target, context, at=timezone.now(), by=by)
        write_taken(run_id, rows, taken, _known_errors(run_id, rows, taken))
        _add_to_summary(run_id, made)
        execute(DO_NOT_WAIT_FOR_DISK)
    return rows


def _known_errors(run_id: int, rows: Sequence[Row], taken: Sequence[Taken]) -> dict[UUID, int]:
    """Refused contents that wait elsewhere already: they are not shown a second time."""
    refused = [row.row_key for row, t in zip(rows, taken, strict=True) if t.status == "error" and row.row_key]
    return open_errors(run_id, refused)


def _commit_bisecting(
    rows: list[Row], target: Target, context: Context, *, at: datetime, by: str
) -> tuple[list[Taken], dict[str, int]]:
    """Commit rows; when that breaks, halve them by groups until the group that breaks it stands alone."""
    try:
        with transaction.atomic():
            taken, made = target.commit(rows, context, at=at, by=by)
            return list(taken), dict(made)
    except (DomainError, IntegrityError, DataError) as error:
        context.memory.clear()
        groups = list(dict.fromkeys(row.group_key or str(row.ident) for row in rows))
        if len(groups) == 1:
            return [_refusal(error, target)] * len(rows), {}
    first = set(groups[: len(groups) // 2])
    parts = (
        [row for row in rows if (row.group_key or str(row.ident)) in first],
        [row for row in rows if (row.group_key or str(row.ident)) not in first],
    )
    by_row: dict[int, Taken] = {}
    total: dict[str, int] = {}
    for part in parts:
        taken_part, made_part = _commit_bisecting(part, target, context, at=at, by=by)
        by_row |= {row.ident: result for row, result in zip(part, taken_part, strict=True)}
        for kind, count in made_part.items():
            total[kind] = total.get(kind, 0) + count
    return [by_row[row.ident] for row in rows], total


def _refusal(error: Exception, target: Target) -> Taken:
    if isinstance(error, DomainError):
        return Taken("error", target.error_outcome, reason=error.code, detail=error.detail)
    return Taken(
        "error", target.error_outcome, reason="refused_by_database", detail=str(error).partition("\n")[0]
    )


def _add_to_summary(run_id: int, made: Mapping[str, int]) -> None:
    if any(made.values()):
        run = Import.objects.select_for_update().only("summary").get(pk=run_id)
        for kind, count in made.items():
            if not count:
                continue
            run.summary[kind] = run.summary.get(kind, 0) + count
        run.save(update_fields=["summary"])


@transaction.atomic
def _finish(run_id: int) -> dict[str, int]:
    counts = count_rows(run_id)
    Import.objects.filter(pk=run_id, state=Import.State.COMMITTING).update(
        state=Import.State.DONE, finished_at=timezone.now(), **counts
    )
    return counts


@transaction.atomic
def dismiss_rows(*, run_id: int, row_ids: Sequence[int], note: str, at: datetime, by: str) -> int:
    """A person has looked at refused rows and wants to see them no more. Returns how many."""
    from omni.kernel.audit import record_act

    run = Import.objects.select_for_update().get(pk=run_id)
    count = ImportRow.objects.filter(run=run, pk__in=row_ids, status=ImportRow.Status.ERROR).update(
        status=ImportRow.Status.DISMISSED
    )
    if count:
        record_act(
            by=by, action="dismiss_rows", subject=run, reason=note, detail={"rows": list(row_ids)[:1000]}
        )
        Import.objects.filter(pk=run_id).update(error=count_rows(run_id)["error"])
    return count

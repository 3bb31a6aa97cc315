"""Take back everything that an import did, or nothing of it."""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from omni.kernel.audit import record_act
from omni.kernel.errors import DomainError
from omni.kernel.imports.map_columns import ImportIsOver
from omni.kernel.imports.rows import DoneRows, count_rows
from omni.kernel.imports.target import Context, Obstacle, Target
from omni.kernel.jobs import Progress, start_job
from omni.kernel.models import Import, ImportRow, Job

SHOWN_MAX = 100


class CannotUndo(DomainError):
    """Something that the import made has been used since; `extra["obstacles"]` names the lines and why."""

    code = "cannot_undo"


@transaction.atomic
def start_undo(*, run_id: int, target: Target, at: datetime, by: str) -> Job:
    """Take a whole import back in the background. Raises ImportIsOver, CannotUndo."""
    run = Import.objects.select_for_update().get(pk=run_id)
    _check(run, target)
    job = start_job(
        kind="imports.undo", title=_("Take back %s") % run.file_name, params={"run": run_id}, at=at, by=by
    )
    Import.objects.filter(pk=run_id).update(job=job, message="")
    return job


def _check(run: Import, target: Target) -> None:
    if run.state != Import.State.DONE:
        raise ImportIsOver(_("Only an import that has been taken can be taken back."))
    if not target.can_undo:
        raise CannotUndo(_("What this import brings cannot be taken back."))


def undo_import(*, run_id: int, target: Target, by: str) -> Generator[Progress, None, dict[str, Any]]:
    """Look for obstacles first; with any, refuse with all of them named. Else take back all rows, the last first.

    One transaction. Raises CannotUndo.
    """
    yield Progress(done=0, message=_("looking for obstacles"))
    if Import.objects.get(pk=run_id).state == Import.State.UNDONE:
        return count_rows(run_id)
    with transaction.atomic():
        run = Import.objects.select_for_update().get(pk=run_id)
        _check(run, target)
        context = Context(run)
        _refuse_with(_obstacles(run_id, target, context))
        count = _take_back(run_id, target, context, by=by)
        ImportRow.objects.filter(run=run, status__in=[ImportRow.Status.DONE, ImportRow.Status.ERROR]).update(
            status=ImportRow.Status.UNDONE
        )
        Import.objects.filter(pk=run_id).update(
            state=Import.State.UNDONE, finished_at=timezone.now(), message="", **count_rows(run_id)
        )
        record_act(by=by, action="undo_import", subject=run, detail={"rows": count})
    return {**count_rows(run_id), "undone": count}


def _obstacles(run_id: int, target: Target, context: Context) -> list[Obstacle]:
    found: list[Obstacle] = []
    queue = DoneRows(run_id, target)
    while rows := queue.take():
        found += [
            Obstacle(row.line_no, "cannot_undo", _("What this row did cannot be taken back."))
            for row in rows
            if row.undo is None
        ]
        found += target.find_obstacles([row for row in rows if row.undo is not None], context)
    return sorted(found, key=lambda obstacle: obstacle.line_no)


def _refuse_with(obstacles: list[Obstacle]) -> None:
    if obstacles:
        raise CannotUndo(
            _("%(count)d rows cannot be taken back, so nothing was. The first, line %(line)d: %(detail)s")
            % {"count": len(obstacles), "line": obstacles[0].line_no, "detail": obstacles[0].detail},
            extra={
                "obstacles": [
                    {"line": o.line_no, "reason": o.reason, "detail": o.detail} for o in obstacles[:SHOWN_MAX]
                ],
                "count": len(obstacles),
            },
        )


def _take_back(run_id: int, target: Target, context: Context, *, by: str) -> int:
    queue, count = DoneRows(run_id, target), 0
    while rows := queue.take():
        target.undo(rows, context, at=timezone.now(), by=by)
        count += len(rows)
    return count

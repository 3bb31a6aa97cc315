"""Forget the files that came in and their rows, once nobody can want to take them back any more."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db import transaction

from omni.kernel.audit import record_act
from omni.kernel.forget import SECONDS_MAX
from omni.kernel.models import Import, Job
from omni.kernel.sql import execute, fetch_all

ROWS_AT_ONCE = 5_000

# With a file still to their name, so that one whose forgetting was broken off is found again. Refused rows of a taken
# file wait for a person, however long it takes.
OLD = """
    SELECT i.id FROM kernel_import i LEFT JOIN kernel_job j ON j.id = i.job_id
    WHERE i.file <> '' AND coalesce(i.finished_at, i.created_at) < %(before)s
      AND coalesce(j.state, '') NOT IN ('queued', 'running')
      AND NOT (i.state IN ('done', 'committing') AND EXISTS (
          SELECT FROM kernel_importrow r WHERE r.run_id = i.id AND r.status IN ('error', 'staged', 'new', 'changed')))
    ORDER BY i.id
"""
DELETE_ROWS = """
    DELETE FROM kernel_importrow WHERE id IN (
        SELECT id FROM kernel_importrow WHERE run_id = %s ORDER BY line_no LIMIT %s)
"""


def forget_imports(*, before: datetime, at: datetime, by: str) -> int:
    """Remove the file and the rows of every import that was over, or left lying, before the moment.

    What it brought stays, with the counts; it can no longer be taken back, tried again or looked through. Returns how
    many imports.
    """
    count, stop_at = 0, time.monotonic() + SECONDS_MAX
    for (run_id,) in fetch_all(OLD, {"before": before}):
        if time.monotonic() > stop_at:
            break
        if _close(run_id, by=by):
            while execute(DELETE_ROWS, [run_id, ROWS_AT_ONCE]):
                pass
            _remove_file(run_id)
            count += 1
    return count


@transaction.atomic
def _close(run_id: int, *, by: str) -> bool:
    """First nobody may work with the rows any more; then they go. False: somebody has just begun to."""
    run = Import.objects.select_for_update().get(pk=run_id)
    live = (Job.State.QUEUED, Job.State.RUNNING)
    if run.job is not None and run.job.state in live:
        return False
    if run.state not in (Import.State.FORGOTTEN, Import.State.UNDONE):
        record_act(
            by=by, action="import.forgotten", subject=run, detail={"was": run.state, "rows": run.lines}
        )
        Import.objects.filter(pk=run_id).update(state=Import.State.FORGOTTEN, message="")
    return True


def _remove_file(run_id: int) -> None:
    name = Import.objects.values_list("file", flat=True).get(pk=run_id)
    (Path(settings.MEDIA_ROOT) / name).unlink(missing_ok=True)
    Import.objects.filter(pk=run_id).update(file="")

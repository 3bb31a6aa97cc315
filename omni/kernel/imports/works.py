"""The long work of imports, by the names under which jobs are queued."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Generator, Mapping
from typing import Any

from omni.kernel.errors import DomainError
from omni.kernel.imports.commit import commit_import
from omni.kernel.imports.preview import preview_import
from omni.kernel.imports.target import Target
from omni.kernel.imports.undo import undo_import
from omni.kernel.jobs import Progress, Work
from omni.kernel.models import Import, Job

Steps = Generator[Progress, None, dict[str, Any]]


def import_works(targets: Mapping[str, Target]) -> dict[str, Work]:
    """`targets`: what can be imported in this house, by name."""

    def target_of(job: Job) -> tuple[int, Target]:
        run_id = int(job.params["run"])
        return run_id, targets[Import.objects.values_list("target", flat=True).get(pk=run_id)]

    def preview(job: Job) -> Steps:
        run_id, target = target_of(job)
        return _marking_failure(run_id, _uncollected(preview_import(run_id=run_id, target=target)))

    def commit(job: Job) -> Steps:
        run_id, target = target_of(job)
        return _uncollected(commit_import(run_id=run_id, target=target, by=job.created_by))

    def undo(job: Job) -> Steps:
        run_id, target = target_of(job)
        return _telling(run_id, _uncollected(undo_import(run_id=run_id, target=target, by=job.created_by)))

    return {"imports.preview": preview, "imports.commit": commit, "imports.undo": undo}


def _marking_failure(run_id: int, steps: Steps) -> Steps:
    """A file that turns out to be unreadable fails its import, not only the job."""
    try:
        return (yield from steps)
    except DomainError as refusal:
        Import.objects.filter(pk=run_id).update(state=Import.State.FAILED, message=refusal.detail)
        raise


def _telling(run_id: int, steps: Steps) -> Steps:
    """A refusal to undo is shown with the import, which stays as it was."""
    try:
        return (yield from steps)
    except DomainError as refusal:
        Import.objects.filter(pk=run_id).update(message=refusal.detail)
        raise


def _uncollected(steps: Steps) -> Steps:
    """The rows of a chunk live and go together, and none refers back to another: looking for circles among them again
    and again while they grow in number cost a third of the work."""
    was_enabled = gc.isenabled()
    with contextlib.closing(steps):
        while True:
            gc.disable()
            try:
                progress = next(steps)
            except StopIteration as end:
                result: dict[str, Any] = end.value
                return result
            finally:
                if was_enabled:
                    gc.enable()
            yield progress

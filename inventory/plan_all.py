"""Compute anew what every listing should show, because a person wants to be sure, and say how many numbers changed."""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from inventory.models import PublishedStock
from inventory.publish import plan_all_published_stock
from omni.kernel import doorbell
from omni.kernel.jobs import Progress, start_job
from omni.kernel.models import Job

PLAN_ALL = "inventory.plan_all_published"
PUSH = "integrations.tasks.push_due_stock"


@transaction.atomic
def start_plan_all(*, at: datetime, by: str) -> Job:
    """Have all numbers computed anew in the background. One at a time: the one under way, if there is one."""
    # A person presses twice; two people at once get two, and the second finds nothing to change.
    live = Job.objects.filter(kind=PLAN_ALL, state__in=[Job.State.QUEUED, Job.State.RUNNING])
    title = _("Compute all published numbers anew")
    return live.order_by("pk").first() or start_job(kind=PLAN_ALL, title=title, params={}, at=at, by=by)


def plan_all(job: Job) -> Generator[Progress, None, dict[str, Any]]:
    """The work of the job: one statement, since numbers of different moments must not be mixed."""
    changed = plan_all_published_stock(at=timezone.now())
    doorbell.ring(PUSH)
    numbers = PublishedStock.objects.count()
    yield Progress(numbers, total=numbers)
    return {"changed": changed, "numbers": numbers}

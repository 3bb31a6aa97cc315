"""Set the quotas of shops by hand, now: a run that is worked out and applied while the person waits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from inventory.models import AllocationMethod, AllocationRun
from inventory.quota.apply import APPLY, apply_run, start_apply
from inventory.quota.plan import PLAN, plan_allocation, start_allocation
from omni.kernel.jobs import claim_job, run_job

WORKS = {PLAN: plan_allocation, APPLY: apply_run}
# Longer than a page of cells takes; what takes longer goes on in the background.
WAIT_SECONDS_MAX = 20


def set_quotas_by_hand(
    *, group_id: int, targets: Mapping[tuple[int, int], int], reason: str, at: datetime, by: str
) -> AllocationRun:
    """Bring quotas to these numbers of units, by (SKU id, shop id), as far as there is enough.

    Not one transaction: the run is written, worked out and applied one after another, each as it would be in the
    background, so that whatever is interrupted is taken up again there. The run says what came of each line; it is
    still planning or applying if that takes longer. Raises BadAllocation, UnknownPlace, BundleHasNoStock, and then
    nothing has happened.
    """
    with transaction.atomic():
        run = start_allocation(
            group_id=group_id,
            method=AllocationMethod.HAND.value,
            scope={},
            settings={"targets": [[sku, shop, units] for (sku, shop), units in sorted(targets.items())]},
            trigger=AllocationRun.Trigger.PERSON.value,
            reason=reason,
            at=at,
            by=by,
        )
        # Ours before a worker can see it.
        job = claim_job(at=at, job_id=run.job_id)
    if job is not None:
        run_job(job=job, works=WORKS, seconds_max=WAIT_SECONDS_MAX)
    run.refresh_from_db()
    if run.state != AllocationRun.State.PLANNED:
        return run
    with transaction.atomic():
        run = start_apply(run_id=run.pk, at=timezone.now(), by=by)
        job = claim_job(at=timezone.now(), job_id=run.job_id)
    if job is not None:
        run_job(job=job, works=WORKS, seconds_max=WAIT_SECONDS_MAX)
    run.refresh_from_db()
    return run

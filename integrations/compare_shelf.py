"""Compare a shop with its channel at once, because a person wants to know: the whole shelf, with the numbers on it."""

from __future__ import annotations

import time
from collections.abc import Generator
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from integrations.hasten import IsPaused
from integrations.models import Connection, Cursor, ListingDrift
from integrations.open import open_missing_streams
from integrations.registry import UnknownAdapter, capabilities
from integrations.survey import ITEMS, survey_items
from omni.kernel.audit import record_act
from omni.kernel.errors import DomainError
from omni.kernel.jobs import Progress, report_progress, start_job
from omni.kernel.models import Job

COMPARE_SHELF = "integrations.compare_shelf"
# The hourly survey may be reading the same shelf: it is waited for, since its answer is older than the question.
WAIT_SECONDS = 300
LIVE = (Job.State.QUEUED, Job.State.RUNNING)


class NothingToCompare(DomainError):
    """The shop has no channel, or one that does not show its shelf."""

    code = "nothing_to_compare"


@transaction.atomic
def start_comparison(*, shop_id: int, at: datetime, by: str) -> Job:
    """Have the shop's whole shelf read and compared with what we say, now. One at a time: the one under way, if any.

    Raises NothingToCompare, IsPaused.
    """
    connection = (
        Connection.objects.select_for_update(no_key=True, of=("self",))
        .select_related("shop")
        .filter(shop_id=shop_id, kind=Connection.Kind.CHANNEL, is_active=True)
        .order_by("pk")
        .first()
    )
    if connection is None or connection.shop is None or not _shows_its_shelf(connection):
        raise NothingToCompare(_("The shop has no channel that shows what is on its shelf."))
    if connection.health == Connection.Health.PAUSED:
        raise IsPaused(_("The connection %s is paused: resume it first.") % connection.code)
    under_way = comparisons().filter(params__shop=shop_id, state__in=LIVE).order_by("pk").first()
    if under_way is not None:
        return under_way
    # A person who asks does not wait for the end of a pause after failures.
    Connection.objects.filter(pk=connection.pk, not_before__gt=at).update(not_before=at)
    job = start_job(
        kind=COMPARE_SHELF,
        title=_("Compare %s with its channel") % connection.shop.name,
        params={"shop": shop_id, "connection": connection.pk},
        at=at,
        by=by,
    )
    record_act(by=by, action="connection.compared", subject=connection, detail={"job": job.pk})
    return job


def comparisons() -> QuerySet[Job]:
    """The jobs that are comparisons; `params.shop` says of which shop."""
    return Job.objects.filter(kind=COMPARE_SHELF)


def _shows_its_shelf(connection: Connection) -> bool:
    try:
        return capabilities(connection).listings
    except UnknownAdapter:
        return False


def compare_shelf(job: Job) -> Generator[Progress, None, dict[str, Any]]:
    """The work of the job: one survey, with a word after each page."""
    connection_id, shop_id = job.params["connection"], job.params["shop"]
    open_missing_streams()
    deadline = time.monotonic() + WAIT_SECONDS
    failures = _failures(connection_id)
    while True:
        began = timezone.now()

        def tell(items: int) -> None:
            report_progress(
                job=job, progress=Progress(items, message=_("Reading the shelf…")), at=timezone.now()
            )

        run = survey_items(connection_id=connection_id, at=began, tell=tell)
        if run is not None:
            break
        if _failures(connection_id) != failures:
            row = Connection.objects.get(pk=connection_id)
            said = row.paused_reason or row.last_error
            raise NothingToCompare(_("The channel could not be read: %s") % said)
        if time.monotonic() > deadline:
            raise NothingToCompare(_("The shelf is still being read by somebody else: try again later."))
        yield Progress(0, message=_("Waiting for the survey that is under way."))
        time.sleep(1)
    yield Progress(run.count, total=run.count)
    return {"items": run.count, **_found(shop_id, began)}


def _failures(connection_id: int) -> tuple[int, str]:
    failures = Cursor.objects.filter(connection=connection_id, stream=ITEMS).values_list(
        "failures", flat=True
    )
    return sum(failures), Connection.objects.get(pk=connection_id).health


def _found(shop_id: int, began: datetime) -> dict[str, int]:
    """Differences that are open now, those of them in numbers of stock, and what this comparison added and ended."""
    return ListingDrift.objects.filter(shop=shop_id).aggregate(
        differences=Count("pk", Q(closed_at=None)),
        stock_differences=Count("pk", Q(closed_at=None, what=ListingDrift.What.STOCK)),
        new=Count("pk", Q(closed_at=None, since__gte=began)),
        over=Count("pk", Q(closed_at__gte=began)),
    )

"""What waits for a person, and how well the machinery runs: the numbers of the sidebar and of the first page."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.core.cache import cache
from django.db.models import Count, Min
from django.db.models.functions import TruncHour
from django.urls import reverse
from redis.exceptions import RedisError

from integrations.models import Connection, InboundMessage, ListingDrift
from inventory.models import (
    AllocationRun,
    CountSheet,
    PromotionLock,
    Revocation,
    StockAlert,
    StockDifference,
    Transfer,
)
from omni.kernel.admin_base import BaseAdmin, Queue
from omni.kernel.models import ImportRow, Job, OutboxEvent
from orders.models import DispatchNotice, FulfilmentOrder, ParkedOrder, SalesOrder
from products.models import AssortmentShop, Listing, ListingRequest, OuterItem, Price
from products.scope import scope_of

log = logging.getLogger(__name__)

COUNT_UPTO = 100
KEEP_SECONDS = 5
KEEP_CHART_SECONDS = 60

# The order in which an operator works: (model, queue, whether something is wrong as soon as one row waits).
WORK: Sequence[tuple[type[Any], str, bool]] = (
    (SalesOrder, "captured", False),
    (SalesOrder, "in_review", False),
    (SalesOrder, "held", False),
    (SalesOrder, "short", False),
    (SalesOrder, "to_source", False),
    (SalesOrder, "to_release", False),
    (FulfilmentOrder, "refused", True),
    (FulfilmentOrder, "to_ship", False),
    (ParkedOrder, "open", True),
    (OuterItem, "unmapped", False),
    (Listing, "submitted", False),
    (Listing, "approved", False),
    (Listing, "outside", False),
    (ListingDrift, "open", True),
    (StockDifference, "open", True),
    (StockAlert, "open", True),
    (AllocationRun, "planned", False),
    (AssortmentShop, "to_confirm", False),
    (ImportRow, "open", False),
    (Price, "to_approve", False),
    (CountSheet, "to_confirm", False),
    (Transfer, "in_transit", False),
)
ALARMS: Sequence[tuple[type[Any], str, bool]] = (
    (FulfilmentOrder, "unanswered", False),
    (FulfilmentOrder, "cancelling", False),
    (DispatchNotice, "failed", True),
    (InboundMessage, "failed", True),
    (OutboxEvent, "dead", True),
    (ListingRequest, "refused", True),
    (Revocation, "old", True),
    (PromotionLock, "short", False),
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """One queue as it is now. `count` goes up to COUNT_UPTO; `oldest`: since when the first of it waits."""

    code: str
    count: int
    oldest: datetime | None

    @property
    def shown(self) -> str:
        return f"{COUNT_UPTO - 1}+" if self.count >= COUNT_UPTO else str(self.count)


def queue_key(model: type[Any], code: str) -> str:
    return f"{model._meta.model_name}.{code}"


def queue_url(model: type[Any], code: str) -> str:
    meta = model._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_queue", args=[code])


def queue_spec(model: type[Any], code: str) -> tuple[BaseAdmin, Queue]:
    page: Any = admin.site._registry[model]
    return page, page.queues[code]


def waiting(request: Any) -> dict[str, Waiting]:
    """Every queue that the viewer may see. Counted to a hundred by the queues' own indexes, kept five seconds."""
    scope = scope_of(request.user)
    key = f"desk:{'all' if scope.is_everything else request.user.pk}"
    found: dict[str, Waiting] = _remember(key, KEEP_SECONDS, lambda: _count_queues(request))
    return found


def _count_queues(request: Any) -> dict[str, Waiting]:
    found = {}
    for model, code, _alarming in (*WORK, *ALARMS):
        page, queue = queue_spec(model, code)
        if not page.has_view_permission(request):
            continue
        rows = page.limit_to_viewer(request, model.objects.filter(queue.condition))
        first = list(rows.order_by("id").values_list(queue.since, flat=True)[:COUNT_UPTO])
        oldest = min((moment for moment in first if moment is not None), default=None)
        found[queue_key(model, code)] = Waiting(code, len(first), oldest)
    return found


def outbox_lag(at: datetime) -> timedelta | None:
    """How long the oldest event that may go has waited; None: nothing waits."""
    ready = OutboxEvent.objects.filter(state=OutboxEvent.State.READY, not_before__lte=at)
    oldest = ready.aggregate(oldest=Min("not_before"))["oldest"]
    return at - oldest if oldest else None


def connection_health(request: Any) -> list[Connection]:
    """The viewer's connections, troubled ones first."""
    page: Any = admin.site._registry[Connection]
    rank = {Connection.Health.PAUSED: 0, Connection.Health.DEGRADED: 1, Connection.Health.NEW: 2}
    rows = (
        page.get_queryset(request).filter(is_active=True).select_related("shop", "location").order_by("code")
    )
    return sorted(rows[:200], key=lambda row: rank.get(row.health, 3))


def live_jobs(request: Any) -> list[Job]:
    page: Any = admin.site._registry[Job]
    live = page.get_queryset(request).filter(state__in=[Job.State.QUEUED, Job.State.RUNNING])
    return list(live.order_by("-id")[:5])


def orders_per_hour(request: Any, at: datetime) -> list[tuple[datetime, int]]:
    """Orders captured in each of the last 24 hours, the present one last; kept a minute."""
    scope = scope_of(request.user)
    start = at.replace(minute=0, second=0, microsecond=0) - timedelta(hours=23)
    key = f"desk:hours:{'all' if scope.is_everything else request.user.pk}"

    def count() -> dict[datetime, int]:
        orders = SalesOrder.objects.filter(captured_at__gte=start)
        if not scope.is_everything:
            orders = orders.filter(shop_id__in=scope.shop_ids)
        by_hour = orders.annotate(hour=TruncHour("captured_at")).values("hour").annotate(n=Count("id"))
        return {row["hour"]: row["n"] for row in by_hour.order_by("hour")}

    counts: dict[datetime, int] = _remember(key, KEEP_CHART_SECONDS, count)
    hours = [start + timedelta(hours=step) for step in range(24)]
    return [(hour, counts.get(hour, 0)) for hour in hours]


def _remember(key: str, seconds: int, compute: Callable[[], Any]) -> Any:
    """From the cache, or computed: a cache that is away costs a little time, never the page."""
    try:
        known = cache.get(key)
    except RedisError as error:
        log.warning("the cache is away: %s", error)
        return compute()
    if known is None:
        known = compute()
        with contextlib.suppress(RedisError):
            cache.set(key, known, seconds)
    return known

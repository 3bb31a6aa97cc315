"""Tell monitors and load balancers whether this process lives, and whether it can do its work."""

from __future__ import annotations

from datetime import datetime

from django.core.cache import cache
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Max, Min
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django_celery_beat.models import PeriodicTask

from omni.kernel.models import OutboxEvent


@never_cache
@require_safe
def livez(request: HttpRequest) -> HttpResponse:
    """The process answers. It asks nobody else: a restart would not mend a database that is away."""
    return HttpResponse("ok", content_type="text/plain")


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when requests can be served, else 503.

    PostgreSQL must be there, with the schema of this code. Without Valkey, workers or beat the site still takes
    orders; their state is told for people, and does not take the site off the air.
    """
    try:
        checks = {
            "database": "ok",
            "migrations": _pending_migrations() or "ok",
            **_background(timezone.now()),
        }
    except DatabaseError as error:
        checks = {"database": f"away: {type(error).__name__}"}
    checks["valkey"] = _valkey()
    is_ready = checks["database"] == "ok" and checks["migrations"] == "ok"
    return JsonResponse({"ready": is_ready, "checks": checks}, status=200 if is_ready else 503)


def _pending_migrations() -> str:
    executor = MigrationExecutor(connection)
    pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return f"{len(pending)} pending" if pending else ""


def _background(now: datetime) -> dict[str, str]:
    ready = OutboxEvent.objects.filter(state=OutboxEvent.State.READY)
    oldest = ready.aggregate(at=Min("created_at"))["at"]
    last_run = PeriodicTask.objects.aggregate(at=Max("last_run_at"))["at"]
    return {
        "outbox": _seconds(oldest, now, "oldest waits {} s") if oldest else "empty",
        "beat": _seconds(last_run, now, "last ran {} s ago") if last_run else "has not run yet",
    }


def _seconds(since: datetime, now: datetime, text: str) -> str:
    return text.format(max(0, round((now - since).total_seconds())))


def _valkey() -> str:
    try:
        cache.get("readyz")
    except Exception as error:  # whatever the client throws: here it is an answer
        return f"away: {type(error).__name__}"
    return "ok"

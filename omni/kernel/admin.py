"""The cellar's pages: jobs with their progress, events that nobody could handle, and who did what."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from omni.kernel.actors import user_actor
from omni.kernel.admin_base import BaseAdmin, Queue, column
from omni.kernel.display import actor_text, age_text
from omni.kernel.models import AuditEntry, Job, OutboxEvent

OUTBOX_QUEUES = {
    "dead": Queue(
        "dead",
        _("Dead letters"),
        _("News that a room could not react to after many tries. Mend the cause, then revive them."),
        Q(state=OutboxEvent.State.DEAD),
        ("show_name", "last_error", "attempts", "show_waiting"),
        "drafts",
        "created_at",
        ("revive",),
    )
}


@admin.register(OutboxEvent)
class OutboxEventAdmin(BaseAdmin):
    queues = OUTBOX_QUEUES
    list_display = ("show_name", "show_state", "attempts", "created_at", "done_at", "last_error")

    @column(description=_("event"))
    def show_name(self, event: OutboxEvent) -> str:
        return str(event)

    @column(description=_("state"), label={"ready": "info", "done": "success", "dead": "danger"})
    def show_state(self, event: OutboxEvent) -> tuple[str, str]:
        return event.state, event.get_state_display()

    @column(description=_("waiting for"))
    def show_waiting(self, event: OutboxEvent) -> str:
        return age_text(event.created_at)


@admin.register(Job)
class JobAdmin(BaseAdmin):
    """Long work. Whoever is not a superuser sees the jobs that they started."""

    list_display = ("title", "kind", "show_state", "show_progress", "show_by", "created_at", "finished_at")

    def limit_to_viewer(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if request.user.is_superuser:
            return queryset
        return queryset.filter(created_by=user_actor(request.user))

    @column(
        description=_("state"),
        label={
            "queued": "info",
            "running": "primary",
            "done": "success",
            "failed": "danger",
            "cancelled": "",
        },
    )
    def show_state(self, job: Job) -> tuple[str, str]:
        return job.state, job.get_state_display()

    @column(description=_("progress"))
    def show_progress(self, job: Job) -> str:
        return f"{job.done} / {job.total}" if job.total is not None else str(job.done)

    @column(description=_("started by"))
    def show_by(self, job: Job) -> str:
        return actor_text(job.created_by)


@admin.register(AuditEntry)
class AuditEntryAdmin(BaseAdmin):
    list_display = ("at", "show_by", "action", "object_kind", "object_id", "reason")
    search_fields = ("object_id__exact",)

    @column(description=_("by"))
    def show_by(self, entry: AuditEntry) -> str:
        return actor_text(entry.by)

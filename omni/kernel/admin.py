"""The cellar's pages: jobs with their progress, events that nobody could handle, and who did what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from django.apps import apps
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from omni.kernel.actors import user_actor
from omni.kernel.admin_base import BaseAdmin, Queue, RowResult, column
from omni.kernel.display import age_text
from omni.kernel.jobs import cancel_job
from omni.kernel.models import AuditEntry, Job, OutboxEvent
from omni.kernel.names import act_text, name_actors, name_objects
from omni.kernel.relay import revive_events
from omni.kernel.sentences import read_sentence

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


def _revive(rows: list[Any], at: datetime) -> list[RowResult]:
    results = []
    for row in rows:
        is_ready = bool(revive_events(event_ids=[row.pk], at=at))
        results.append(RowResult(str(row), is_ready, "" if is_ready else gettext("It is no dead letter.")))
    return results


@admin.register(OutboxEvent)
class OutboxEventAdmin(BaseAdmin):
    queues = OUTBOX_QUEUES
    list_display = ("show_name", "show_state", "attempts", "created_at", "done_at", "last_error")
    actions = ("revive",)

    @admin.action(description=_("Revive"), permissions=["operate"])
    def revive(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        rows = list(queryset.order_by("id"))
        return self.operate(request, _("Revive"), lambda at, by: _revive(rows, at))

    @column(description=_("event"))
    def show_name(self, event: OutboxEvent) -> str:
        return str(event)

    @column(description=_("state"), label={"ready": "info", "done": "success", "dead": "danger"})
    def show_state(self, event: OutboxEvent) -> tuple[str, str]:
        return event.state, event.get_state_display()

    @column(description=_("waiting for"))
    def show_waiting(self, event: OutboxEvent) -> str:
        return age_text(event.created_at)


def _cancel(job: Job, at: datetime, by: str) -> RowResult:
    is_stopping = cancel_job(job_id=job.pk, at=at, by=by)
    return RowResult(job.title, is_stopping, "" if is_stopping else gettext("It is over already."))


@admin.register(Job)
class JobAdmin(BaseAdmin):
    """Long work. Whoever is not a superuser sees the jobs that they started."""

    actors = ("created_by",)
    list_display = ("title", "kind", "show_state", "show_progress", "show_by", "created_at", "finished_at")

    def limit_to_viewer(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if request.user.is_superuser:
            return queryset
        return queryset.filter(created_by=user_actor(request.user))

    # --- the page and its button ----------------------------------------------------------------------------
    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/progress/", wrap(self.progress_view), name="kernel_job_progress"),
            path("<int:pk>/cancel/", wrap(self.cancel_view), name="kernel_job_cancel"),
            path("<int:pk>/file/", wrap(self.file_view), name="kernel_job_file"),
            *super().get_urls(),
        ]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        job = self.visible_object(request, int(object_id) if object_id.isdigit() else 0)
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": job,
            "title": job.title,
        }
        return TemplateResponse(request, "kernel/job_page.html", context | self._progress(request, job))

    def progress_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The changing part of the page, for htmx: asked for each second until the job is over."""
        job = self.visible_object(request, pk)
        return TemplateResponse(request, "kernel/job_progress.html", self._progress(request, job))

    def _progress(self, request: HttpRequest, job: Job) -> dict[str, Any]:
        return {
            "job": job,
            "is_live": job.state in (Job.State.QUEUED, Job.State.RUNNING),
            "by": name_actors([job.created_by], request=request).html(job.created_by),
            "may_cancel": self.may_cancel(request, job),
            "results": sorted(job.result.items()) if isinstance(job.result, dict) else [],
        }

    def may_cancel(self, request: HttpRequest, job: Job) -> bool:
        """Whoever started it, and whoever may change jobs."""
        return job.created_by == user_actor(request.user) or self.has_operate_permission(request)

    def cancel_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        job = self.visible_object(request, pk)
        if request.method != "POST" or not self.may_cancel(request, job):
            raise PermissionDenied
        self.operate(request, _("Cancel"), lambda at, by: [_cancel(job, at, by)])
        return redirect("admin:kernel_job_change", job.pk)

    def file_view(self, request: HttpRequest, pk: int) -> FileResponse:
        """The result file, for those who may see the job; files are never served from a folder."""
        job = self.visible_object(request, pk)
        if not job.result_file:
            raise Http404
        name = job.result_file.name.rsplit("/", 1)[-1]
        return FileResponse(job.result_file.open("rb"), as_attachment=True, filename=name)

    # --- columns --------------------------------------------------------------------------------------------
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
        return self.who(job, job.created_by)


@admin.register(AuditEntry)
class AuditEntryAdmin(BaseAdmin):
    actors = ("by",)
    shown_as: ClassVar[Mapping[str, str]] = {
        "by": "show_by",
        "action": "show_action",
        "object_kind": "show_object_kind",
        "object_id": "show_object",
    }
    list_display = ("at", "show_by", "show_action", "show_object_kind", "show_object", "show_reason")
    search_fields = ("object_id__exact",)

    @column(description=_("by"))
    def show_by(self, entry: AuditEntry) -> str:
        return self.who(entry, entry.by)

    @column(description=_("what was done"))
    def show_action(self, entry: AuditEntry) -> str:
        return act_text(entry.action)

    @column(description=_("reason"))
    def show_reason(self, entry: AuditEntry) -> str:
        return read_sentence(entry.reason) or "–"

    @column(description=_("object"))
    def show_object(self, entry: AuditEntry) -> str:
        """By name and with its link, both looked up for the whole page."""
        name, link = getattr(entry, "named_object", ("", ""))
        name = name or entry.object_id
        return format_html('<a class="omni-link" href="{}">{}</a>', link, name) if link else name

    def name_rows(self, request: HttpRequest, rows: Sequence[Any]) -> None:
        super().name_rows(request, rows)
        found = name_objects({(row.object_kind, row.object_id) for row in rows}, request=request)
        for row in rows:
            row.named_object = found.get((row.object_kind, row.object_id), ("", ""))

    @column(description=_("object kind"))
    def show_object_kind(self, entry: AuditEntry) -> str:
        try:
            return str(apps.get_model(entry.object_kind)._meta.verbose_name)
        except (LookupError, ValueError):
            return entry.object_kind  # a table that is no more

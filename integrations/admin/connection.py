"""Connections: how they are, how far they have read, and the buttons to pause, resume and pull now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Prefetch, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.html import format_html_join
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from integrations.hasten import hasten_streams
from integrations.health import pause_connection, resume_connection
from integrations.models import Connection, Cursor, MessageLog
from integrations.pull import COMPARE, ORDERS, REFUNDS
from integrations.push import DISPATCH, STOCK
from integrations.release import CANCEL, RELEASE, SETTLE
from omni.kernel.admin_base import RowResult, column
from omni.kernel.display import age_text
from orders.admin.order import clip
from products.admin.scoped import ScopedAdmin, choice_filter
from products.scope import Scope

HEALTH_COLOURS = {"ok": "success", "degraded": "warning", "paused": "danger", "new": ""}
MESSAGES_MAX = 30
STREAMS: Mapping[str, Promise] = {
    ORDERS: _("orders"),
    REFUNDS: _("refunds"),
    COMPARE: _("comparison"),
    STOCK: _("stock"),
    DISPATCH: _("dispatch notices"),
    RELEASE: pgettext_lazy("stream", "release"),
    CANCEL: pgettext_lazy("stream", "cancel"),
    SETTLE: pgettext_lazy("stream", "unanswered releases"),
}

Answers = Mapping[str, Any]
Run = Callable[[Connection, Answers, datetime, str], RowResult]


def stream_text(stream: str) -> str:
    return str(STREAMS.get(stream, stream))


class PauseForm(forms.Form):
    reason = forms.CharField(label=_("Why it is paused"), max_length=300)


def _pause(row: Connection, answers: Answers, at: datetime, by: str) -> RowResult:
    done = pause_connection(connection_id=row.pk, reason=answers["reason"], at=at, by=by)
    return RowResult(row.code, done, "" if done else gettext("It is paused already."))


def _resume(row: Connection, answers: Answers, at: datetime, by: str) -> RowResult:
    resume_connection(connection_id=row.pk, at=at, by=by)
    return RowResult(row.code, True)


def _hasten(row: Connection, answers: Answers, at: datetime, by: str) -> RowResult:
    hasten_streams(connection_id=row.pk, at=at, by=by)
    return RowResult(row.code, True)


ACTS: Mapping[str, tuple[Any, Run, type[forms.Form] | None]] = {
    "pull": (_("Pull now"), _hasten, None),
    "pause": (_("Pause"), _pause, PauseForm),
    "resume": (_("Resume"), _resume, None),
}


@admin.register(Connection)
class ConnectionAdmin(ScopedAdmin):
    keyset = "code"
    list_display = (
        "code",
        "show_partner",
        "adapter",
        "show_health",
        "show_last_ok",
        "show_cursors",
        "show_error",
    )
    list_select_related = ("shop", "location")
    list_filter = (choice_filter("health"), choice_filter("kind"))
    search_fields = ("code__startswith",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Connection]:
        cursors = Prefetch("cursors", Cursor.objects.order_by("stream"), to_attr="cursor_rows")
        return super().get_queryset(request).prefetch_related(cursors)

    def limit_to_scope(self, queryset: QuerySet[Any], scope: Scope) -> QuerySet[Any]:
        # Warehouses serve every shop: who may see connections at all may see how they are.
        return queryset.filter(Q(shop_id__in=scope.shop_ids) | Q(kind=Connection.Kind.WAREHOUSE))

    # --- the page and its buttons ---------------------------------------------------------------------------
    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.act_view)
        return [
            path("<int:pk>/act/<slug:code>/", view, name="integrations_connection_act"),
            *super().get_urls(),
        ]

    def act_view(self, request: HttpRequest, pk: int, code: str) -> HttpResponse:
        connection = self.operable_object(request, pk)
        if code not in ACTS:
            raise Http404
        title, run, form_class = ACTS[code]
        form = form_class(request.POST) if form_class else None
        if form is not None and not form.is_valid():
            messages.error(request, " ".join(str(e) for errors in form.errors.values() for e in errors))
        else:
            answers = form.cleaned_data if form is not None else {}
            self.operate(request, title, lambda at, by: [run(connection, answers, at, by)])
        return redirect("admin:integrations_connection_change", connection.pk)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        row = self.visible_object(request, int(object_id) if object_id.isdigit() else 0)
        request.current_app = self.admin_site.name
        at = timezone.now()
        log = MessageLog.objects.filter(connection=row).order_by("-id")[:MESSAGES_MAX]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": row,
            "title": row.code,
            "row": row,
            "is_paused": row.health == Connection.Health.PAUSED,
            "last_ok": age_text(row.last_ok_at, at=at),
            "cursors": [
                (cursor, stream_text(cursor.stream), age_text(cursor.upto, at=at))
                for cursor in row.cursor_rows
            ],
            "log": list(log),
            "pause_form": PauseForm(auto_id="pause-%s"),
            "may_operate": self.has_operate_permission(request),
        }
        return TemplateResponse(request, "integrations/connection_page.html", context)

    # --- columns --------------------------------------------------------------------------------------------
    @column(description=_("shop or location"))
    def show_partner(self, row: Connection) -> str:
        return str(row.shop or row.location)

    @column(description=_("health"), label=HEALTH_COLOURS)
    def show_health(self, row: Connection) -> tuple[str, str]:
        return row.health, row.get_health_display()

    @column(description=_("last success"))
    def show_last_ok(self, row: Connection) -> str:
        return age_text(row.last_ok_at)

    @column(description=_("behind by"))
    def show_cursors(self, row: Any) -> str:
        now = timezone.now()
        cells = ((stream_text(c.stream), age_text(c.upto, at=now)) for c in row.cursor_rows if c.upto)
        return format_html_join(", ", "{}: {}", cells) or "–"

    @column(description=_("last error"))
    def show_error(self, row: Connection) -> str:
        return clip(row.paused_reason or row.last_error or "–", 90)

"""Connections: how they are, how far they have read, and the buttons to pause, resume and pull now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.html import format_html_join
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from integrations.admin.set_up import ConnectionForm, adapter_title
from integrations.admin.words import operation_text
from integrations.compare_shelf import comparisons, start_comparison
from integrations.compare_stock import COMPARE_STOCK, ask_comparison
from integrations.hasten import hasten_streams
from integrations.health import pause_connection, resume_connection
from integrations.models import Connection, Cursor, MessageLog
from integrations.probe import Outcome, Probe, probe_connection
from integrations.pull import COMPARE, ORDERS, REFUNDS
from integrations.push import DISPATCH, PRICES, STOCK
from integrations.registry import known_adapters
from integrations.release import CANCEL, RELEASE, SETTLE
from integrations.set_up import change_connection, create_connection
from omni.kernel.actors import user_actor
from omni.kernel.admin_base import RowResult, column, show_faults
from omni.kernel.display import age_text
from omni.kernel.errors import DomainError
from orders.admin.order import clip
from products.admin.scoped import ScopedAdmin, choice_filter
from products.scope import Scope

HEALTH_COLOURS = {"ok": "success", "degraded": "warning", "paused": "danger", "new": ""}
MESSAGES_MAX = 30
STREAMS: Mapping[str, Promise] = {
    ORDERS: _("orders"),
    REFUNDS: _("refunds"),
    COMPARE: _("comparison"),
    COMPARE_STOCK: _("stock compare"),
    STOCK: _("stock"),
    PRICES: _("prices"),
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


class ResumeForm(forms.Form):
    reason = forms.CharField(label=_("What was mended"), max_length=300)


def _pause(row: Connection, answers: Answers, at: datetime, by: str) -> RowResult:
    done = pause_connection(connection_id=row.pk, reason=answers["reason"], at=at, by=by)
    return RowResult(row.code, done, "" if done else gettext("It is paused already."))


def _resume(row: Connection, answers: Answers, at: datetime, by: str) -> RowResult:
    resume_connection(connection_id=row.pk, reason=answers["reason"], at=at, by=by)
    return RowResult(row.code, True)


def _hasten(row: Connection, answers: Answers, at: datetime, by: str) -> RowResult:
    hasten_streams(connection_id=row.pk, at=at, by=by)
    return RowResult(row.code, True)


ACTS: Mapping[str, tuple[Any, Run, type[forms.Form] | None]] = {
    "pull": (_("Pull now"), _hasten, None),
    "pause": (_("Pause"), _pause, PauseForm),
    "resume": (_("Resume"), _resume, ResumeForm),
}
# What came of asking the other side, in words; %(said)s is its own word.
PROBE_WORDS: Mapping[Outcome, Promise] = {
    Outcome.ANSWERED: _("It answered in %(ms)d ms, and took the credentials. %(said)s"),
    Outcome.SIGNED_OUT: _("It answered and did not take the credentials: %(said)s"),
    Outcome.REFUSED: _("It answered and refused: %(said)s"),
    Outcome.THROTTLED: _("It answered that it was asked too often; try again later: %(said)s"),
    Outcome.AWAY: _("It did not answer; is the address right, and is it running? %(said)s"),
}


def probe_text(probe: Probe) -> str:
    return str(PROBE_WORDS[probe.outcome] % {"ms": probe.duration_ms, "said": probe.said}).strip()


@admin.register(Connection)
class ConnectionAdmin(ScopedAdmin):
    keyset = "code"
    history_ignores = ("health", "failures", "not_before", "last_ok_at", "last_error", "last_error_at")
    list_display = (
        "code",
        "show_partner",
        "show_adapter",
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

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("integrations.add_connection"))

    def get_intro(self, request: HttpRequest) -> dict[str, Any] | None:
        if not self.has_add_permission(request):
            return None
        link = {
            "url": reverse("admin:integrations_connection_add"),
            "label": _("Connect a channel or warehouse"),
        }
        return {"links": [link]}

    # --- setting up -----------------------------------------------------------------------------------------
    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """First what is to be connected, then how."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        wanted = (request.GET.get("kind", ""), request.GET.get("adapter", ""))
        context = self._context(request, _("Connect a channel or warehouse"))
        if wanted not in [(kind, name) for kind, name, _description in known_adapters()]:
            context["adapters"] = [
                (Connection.Kind(kind).label, kind, name, about) for kind, name, about in known_adapters()
            ]
            return TemplateResponse(request, "integrations/choose_adapter_page.html", context)
        row = Connection(kind=wanted[0], adapter=wanted[1])
        form = ConnectionForm(request.POST or None, row=row, user=request.user)
        if form.is_valid():
            try:
                pk = create_connection(
                    wanted=form.new_connection(),
                    reason=form.cleaned_data["reason"],
                    at=timezone.now(),
                    by=user_actor(request.user),
                )
            except DomainError as refusal:
                show_faults(form, refusal)
            else:
                messages.success(request, gettext("It is connected. Test the connection now."))
                return redirect("admin:integrations_connection_change", pk)
        context |= {"form": form, "row": row, "adapter_title": adapter_title(row)}
        return TemplateResponse(request, "integrations/connection_form_page.html", context)

    def edit_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not self.has_operate_permission(request):
            raise PermissionDenied
        row = self.visible_object(request, pk)
        page = redirect("admin:integrations_connection_change", row.pk)
        try:
            form = ConnectionForm(request.POST or None, row=row, user=request.user)
        except DomainError as refusal:
            messages.error(request, refusal.detail)
            return page
        if form.is_valid():
            try:
                changed = change_connection(
                    connection_id=row.pk, **form.changes(), at=timezone.now(), by=user_actor(request.user)
                )
            except DomainError as refusal:
                show_faults(form, refusal)
            else:
                messages.success(
                    request, gettext("Changed.") if changed else gettext("Nothing was different.")
                )
                return page
        context = self._context(request, row.code)
        context |= {"form": form, "row": row, "original": row, "adapter_title": adapter_title(row)}
        return TemplateResponse(request, "integrations/connection_form_page.html", context)

    def _context(self, request: HttpRequest, title: Any) -> dict[str, Any]:
        request.current_app = self.admin_site.name
        return {**self.admin_site.each_context(request), "opts": self.opts, "title": title}

    # --- the page and its buttons ---------------------------------------------------------------------------
    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/act/compare/", wrap(self.compare_view), name="integrations_connection_compare"),
            path(
                "<int:pk>/act/compare-stock/",
                wrap(self.compare_stock_view),
                name="integrations_connection_compare_stock",
            ),
            path("<int:pk>/act/probe/", wrap(self.probe_view), name="integrations_connection_probe"),
            path("<int:pk>/act/<slug:code>/", wrap(self.act_view), name="integrations_connection_act"),
            path("<int:pk>/edit/", wrap(self.edit_view), name="integrations_connection_edit"),
            *super().get_urls(),
        ]

    def probe_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask the other side now, and say what it answered."""
        row = self.operable_object(request, pk)
        try:
            probe = probe_connection(connection_id=row.pk, at=timezone.now(), by=user_actor(request.user))
        except DomainError as refusal:
            messages.error(request, refusal.detail)
        else:
            tell = messages.success if probe.outcome is Outcome.ANSWERED else messages.error
            tell(request, probe_text(probe))
        return redirect("admin:integrations_connection_change", row.pk)

    def compare_stock_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask a warehouse now what lies there: a job whose page says how far it is."""
        row = self.operable_object(request, pk)
        try:
            job = ask_comparison(connection_id=row.pk, at=timezone.now(), by=user_actor(request.user))
        except DomainError as refusal:
            messages.error(request, refusal.detail)
            return redirect("admin:integrations_connection_change", row.pk)
        if not request.user.has_perm("kernel.view_job"):
            messages.success(request, gettext("The warehouse is being compared."))
            return redirect("admin:integrations_connection_change", row.pk)
        return redirect("admin:kernel_job_change", job.pk)

    def compare_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Read the whole shelf and compare it; whoever began it watches it on the page of its job."""
        row = self.operable_object(request, pk)
        by = user_actor(request.user)
        try:
            job = start_comparison(shop_id=row.shop_id or 0, at=timezone.now(), by=by)
        except DomainError as refusal:
            messages.error(request, refusal.detail)
            return redirect("admin:integrations_connection_change", row.pk)
        if job.created_by == by:
            return redirect("admin:kernel_job_change", job.pk)
        messages.info(request, gettext("Somebody else has it compared at this moment."))
        return redirect("admin:integrations_connection_change", row.pk)

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
        at = timezone.now()
        log = MessageLog.objects.filter(connection=row).order_by("-id")[:MESSAGES_MAX]
        context = self._context(request, row.code) | {
            "original": row,
            "row": row,
            "adapter_title": adapter_title(row),
            "is_warehouse": row.kind == Connection.Kind.WAREHOUSE,
            "is_paused": row.health == Connection.Health.PAUSED,
            "last_ok": age_text(row.last_ok_at, at=at),
            "cursors": [
                (cursor, stream_text(cursor.stream), age_text(cursor.upto, at=at))
                for cursor in row.cursor_rows
            ],
            "log": [(message, operation_text(message.operation)) for message in log],
            "pause_form": PauseForm(auto_id="pause-%s"),
            "resume_form": ResumeForm(auto_id="resume-%s"),
            "may_operate": self.has_operate_permission(request),
            "comparison": comparisons().filter(params__connection=row.pk).order_by("-pk").first(),
        }
        return TemplateResponse(request, "integrations/connection_page.html", context)

    # --- columns --------------------------------------------------------------------------------------------
    @column(description=_("shop or location"))
    def show_partner(self, row: Connection) -> str:
        return str(row.shop or row.location)

    @column(description=_("adapter"))
    def show_adapter(self, row: Connection) -> str:
        return adapter_title(row)

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

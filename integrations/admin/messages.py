"""What was said over the connections, and the call-backs that need a person."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from integrations.admin.words import inbound_kind_text, operation_text
from integrations.models import Connection, InboundMessage, MessageLog
from integrations.receive import retry_inbound
from omni.kernel.admin_base import Queue, RowResult, column
from omni.kernel.display import age_text
from products.admin.scoped import ScopedAdmin, choice_filter
from products.scope import Scope, scope_of

INBOUND_QUEUES = {
    "failed": Queue(
        "failed",
        _("Failed call-backs"),
        _(
            "Messages from outside that could not be worked on. They were answered with success and are kept here."
        ),
        Q(state=InboundMessage.State.FAILED),
        ("event_key", "connection", "show_kind", "subject", "last_error", "attempts", "show_waiting"),
        "sms_failed",
        "received_at",
        ("retry",),
        (),
    )
}


class ConnectionFilter(SimpleListFilter):
    title = _("connection")
    parameter_name = "connection"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        connections, scope = Connection.objects.order_by("code"), scope_of(request.user)
        if not scope.is_everything:
            connections = connections.filter(Q(shop_id__in=scope.shop_ids) | Q(shop__isnull=True))
        return [(str(pk), code) for pk, code in connections.values_list("pk", "code")[:200]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(connection_id=int(value)) if value and value.isdigit() else queryset


class OutcomeFilter(SimpleListFilter):
    title = _("outcome")
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, Any]]:
        return [("failed", _("failed"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(is_ok=False) if self.value() == "failed" else queryset


def _retry(rows: list[Any], at: datetime, by: str) -> list[RowResult]:
    results = []
    for row in rows:
        is_queued = bool(retry_inbound(message_ids=[row.pk], at=at, by=by))
        results.append(
            RowResult(row.event_key, is_queued, "" if is_queued else gettext("It has not failed."))
        )
    return results


class ConnectionScopedAdmin(ScopedAdmin):
    """Rows of a connection: those of the viewer's shops. What a warehouse says may be about any shop's order."""

    shop_path = "connection__shop_id"

    def limit_to_scope(self, queryset: QuerySet[Any], scope: Scope) -> QuerySet[Any]:
        return queryset.filter(connection__shop_id__in=scope.shop_ids)


@admin.register(MessageLog)
class MessageLogAdmin(ConnectionScopedAdmin):
    intro = _("Calls out and in with their outcome, without secrets and personal data. Kept 30 days.")
    list_display = (
        "at",
        "connection",
        "direction",
        "show_operation",
        "subject",
        "show_outcome",
        "detail",
        "duration_ms",
    )
    list_select_related = ("connection",)
    list_filter = (ConnectionFilter, OutcomeFilter)
    search_fields = ("subject__exact",)
    search_help_text = _("A whole order number, fulfilment number or outer id")

    shown_as: ClassVar[Mapping[str, str]] = {"operation": "show_operation"}

    @column(description=_("operation"))
    def show_operation(self, row: MessageLog) -> str:
        return operation_text(row.operation)

    @column(description=_("outcome"), label={"ok": "success", "failed": "danger"})
    def show_outcome(self, row: MessageLog) -> tuple[str, Any]:
        return ("ok", _("ok")) if row.is_ok else ("failed", _("failed"))


@admin.register(InboundMessage)
class InboundMessageAdmin(ConnectionScopedAdmin):
    queues = INBOUND_QUEUES
    list_display = (
        "event_key",
        "connection",
        "show_kind",
        "subject",
        "show_state",
        "attempts",
        "received_at",
        "last_error",
    )
    list_select_related = ("connection",)
    list_filter = (ConnectionFilter, choice_filter("state"))
    search_fields = ("event_key__exact",)
    actions = ("retry",)
    shown_as: ClassVar[Mapping[str, str]] = {"kind": "show_kind"}

    @column(description=_("kind"))
    def show_kind(self, row: InboundMessage) -> str:
        return inbound_kind_text(row.kind)

    @admin.action(description=_("Retry"), permissions=["operate"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        rows = list(queryset.order_by("id"))
        return self.operate(request, _("Retry"), lambda at, by: _retry(rows, at, by))

    @column(description=_("state"), label={"new": "info", "done": "success", "failed": "danger"})
    def show_state(self, row: InboundMessage) -> tuple[str, str]:
        return row.state, row.get_state_display()

    @column(description=_("waiting for"))
    def show_waiting(self, row: InboundMessage) -> str:
        return age_text(row.received_at)

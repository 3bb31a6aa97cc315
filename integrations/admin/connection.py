"""Connections: how they are, how far they have read, and the buttons to pause, resume and pull now."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Prefetch, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.translation import gettext_lazy as _

from integrations.models import Connection, Cursor
from omni.kernel.admin_base import column
from omni.kernel.display import age_text
from products.admin.scoped import ScopedAdmin, choice_filter
from products.scope import Scope

HEALTH_COLOURS = {"ok": "success", "degraded": "warning", "paused": "danger", "new": ""}


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
        cells = ((c.stream, age_text(c.upto, at=now)) for c in row.cursor_rows)
        return format_html_join(", ", "{}: {}", cells) or "–"

    @column(description=_("last error"))
    def show_error(self, row: Connection) -> str:
        return row.paused_reason or row.last_error or "–"

"""What warehouses were asked to send, and what they sent."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from omni.kernel.admin_base import RowResult, column, safe_next
from omni.kernel.display import age_text
from orders.admin.acts import ReasonForm
from orders.admin.order import FULFILMENT_COLOURS, clip, ship_by_html
from orders.admin.queues import FULFILMENT_QUEUES
from orders.cancel import stop_fulfilments
from orders.models import FulfilmentLine, FulfilmentOrder, Parcel
from orders.release import retry_refused
from orders.source import resource_orders
from products.admin.scoped import ScopedAdmin, choice_filter
from products.scope import Scope

LINES = Prefetch(
    "lines",
    FulfilmentLine.objects.select_related("order").defer("order__receiver").order_by("id"),
    to_attr="line_rows",
)


@admin.register(FulfilmentOrder)
class FulfilmentOrderAdmin(ScopedAdmin):
    queues = FULFILMENT_QUEUES
    list_display = (
        "number",
        "show_location",
        "show_orders",
        "show_state",
        "show_units",
        "created_at",
        "state_at",
    )
    list_select_related = ("location",)
    actions = ("release_again", "resource", "stop")
    list_filter = (choice_filter("state"),)
    search_fields = ("number__startswith",)
    search_help_text = _("The beginning of a fulfilment order's number")

    def get_queryset(self, request: HttpRequest) -> QuerySet[FulfilmentOrder]:
        return super().get_queryset(request).prefetch_related(LINES)

    def limit_to_scope(self, queryset: QuerySet[Any], scope: Scope) -> QuerySet[Any]:
        mine = FulfilmentLine.objects.filter(fulfilment=OuterRef("pk"), order__shop_id__in=scope.shop_ids)
        return queryset.filter(Exists(mine))

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.release_again_view)
        return [
            path("<int:pk>/release-again/", view, name="orders_fulfilmentorder_release_again"),
            *super().get_urls(),
        ]

    def release_again_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        fulfilment = self.operable_object(request, pk)
        self.operate(request, _("Release again"), lambda at, by: _release_again([fulfilment], at, by))
        return redirect(safe_next(request, reverse("admin:orders_fulfilmentorder_change", args=[pk])))

    @admin.action(description=_("Release again"), permissions=["operate"])
    def release_again(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        rows = list(queryset.order_by("id"))
        return self.operate(request, _("Release again"), lambda at, by: _release_again(rows, at, by))

    @admin.action(description=_("Source again"), permissions=["operate"])
    def resource(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        rows = list(queryset.order_by("id"))
        return self.operate(request, _("Source again"), lambda at, by: _resource(rows, at, by))

    @admin.action(description=_("Ask to stop"), permissions=["operate"])
    def stop(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        def carry_out(answers: dict[str, Any], rows: list[Any]) -> HttpResponse | None:
            return self.operate(
                request, _("Ask to stop"), lambda at, by: _stop(rows, answers["note"], at, by)
            )

        form = ReasonForm(request.POST if "asked" in request.POST else None)
        rows = queryset.order_by("id")
        return self.ask_first(request, rows, action="stop", title=_("Ask to stop"), form=form, run=carry_out)

    @column(description=_("location"))
    def show_location(self, fulfilment: FulfilmentOrder) -> str:
        return fulfilment.location.name

    @column(description=_("orders"))
    def show_orders(self, fulfilment: Any) -> str:
        orders = {line.order_id: line.order for line in fulfilment.line_rows}
        links = ((reverse("admin:orders_salesorder_change", args=[pk]), o.number) for pk, o in orders.items())
        return format_html_join(", ", '<a class="omni-link" href="{}">{}</a>', links)

    @column(description=_("units"))
    def show_units(self, fulfilment: Any) -> str:
        asked = sum(line.quantity for line in fulfilment.line_rows)
        shipped = sum(line.shipped_quantity for line in fulfilment.line_rows)
        return f"{shipped} / {asked}" if shipped else str(asked)

    @column(description=_("state"), label=FULFILMENT_COLOURS)
    def show_state(self, fulfilment: FulfilmentOrder) -> tuple[str, str]:
        return fulfilment.state, fulfilment.get_state_display()

    @column(description=_("refusal"))
    def show_refusal(self, fulfilment: FulfilmentOrder) -> str:
        return clip(fulfilment.refusal or "–", 100)

    @column(description=_("ship by"))
    def show_ship_by(self, fulfilment: Any) -> str:
        due = [line.order for line in fulfilment.line_rows if line.order.ship_by]
        return ship_by_html(min(due, key=lambda order: order.ship_by)) if due else "–"

    @column(description=_("waiting for"))
    def show_waiting(self, fulfilment: FulfilmentOrder) -> str:
        return age_text(fulfilment.state_at)


def _release_again(rows: list[Any], at: datetime, by: str) -> list[RowResult]:
    moved = set(retry_refused(fulfilment_ids=[row.pk for row in rows], at=at, by=by))
    no = gettext("No warehouse has refused it.")
    return [RowResult(row.number, row.pk in moved, "" if row.pk in moved else no) for row in rows]


def _stop(rows: list[Any], reason: str, at: datetime, by: str) -> list[RowResult]:
    asked = set(stop_fulfilments(fulfilment_ids=[row.pk for row in rows], reason=reason, at=at, by=by))
    no = gettext("No warehouse has taken it, it has been sent, or it is asked already.")
    return [RowResult(row.number, row.pk in asked, "" if row.pk in asked else no) for row in rows]


def _resource(rows: list[Any], at: datetime, by: str) -> list[RowResult]:
    orders = {line.order_id: line.order.number for row in rows for line in row.line_rows}
    refusals = resource_orders(order_ids=sorted(orders), at=at, by=by)
    return [RowResult(number, pk not in refusals, refusals.get(pk, "")) for pk, number in orders.items()]


@admin.register(Parcel)
class ParcelAdmin(ScopedAdmin):
    list_display = ("tracking_no", "carrier_code", "show_fulfilment", "show_location", "show_shipped_at")
    list_select_related = ("shipment__fulfilment__location",)
    search_fields = ("tracking_no__exact",)
    search_help_text = _("A whole tracking number")

    def limit_to_scope(self, queryset: QuerySet[Any], scope: Scope) -> QuerySet[Any]:
        mine = FulfilmentLine.objects.filter(
            fulfilment=OuterRef("shipment__fulfilment"), order__shop_id__in=scope.shop_ids
        )
        return queryset.filter(Exists(mine))

    @column(description=_("fulfilment order"))
    def show_fulfilment(self, parcel: Parcel) -> str:
        return parcel.shipment.fulfilment.number

    @column(description=_("location"))
    def show_location(self, parcel: Parcel) -> str:
        return parcel.shipment.fulfilment.location.name

    @column(description=_("shipped at"))
    def show_shipped_at(self, parcel: Parcel) -> Any:
        return parcel.shipment.shipped_at

"""Sales orders: the list of all, the work queues, and one page per order."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin, messages
from django.db.models import Prefetch, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from omni.kernel.actors import user_actor
from omni.kernel.admin_base import column
from omni.kernel.audit import record_act
from omni.kernel.display import Money, age_text
from omni.kernel.names import name_actors
from orders.admin.acts import ACTS
from orders.admin.filters import TroubleFilter
from orders.admin.order_page import order_page
from orders.admin.queues import ORDER_QUEUES
from orders.models import (
    ChannelOrderVersion,
    FulfilmentLine,
    OrderHold,
    ReviewDecision,
    SalesOrder,
    SalesOrderLine,
)
from orders.payload import mask_payload
from orders.states import FulfilmentState, Stage
from orders.timeline import order_timeline, source_text
from products.admin.scoped import ScopedAdmin, ShopFilter, choice_filter

STAGE_COLOURS = {
    Stage.PENDING_PAYMENT: "",
    Stage.CAPTURED: "info",
    Stage.IN_REVIEW: "warning",
    Stage.APPROVED: "info",
    Stage.SOURCED: "info",
    Stage.RELEASED: "primary",
    Stage.SHIPPED: "success",
    Stage.COMPLETED: "success",
    Stage.CANCELLED: "",
}
FULFILMENT_COLOURS = {
    FulfilmentState.PLANNED: "info",
    FulfilmentState.REQUESTED: "info",
    FulfilmentState.ACCEPTED: "primary",
    FulfilmentState.REFUSED: "danger",
    FulfilmentState.PART_SHIPPED: "warning",
    FulfilmentState.SHIPPED: "success",
    FulfilmentState.CANCEL_REQUESTED: "warning",
    FulfilmentState.CANCELLED: "",
}

# What a queue's columns need beyond the order itself: one statement per page each, never one per row.
PREFETCHES: dict[str, Prefetch[Any, Any, Any]] = {
    "show_holds": Prefetch(
        "holds", OrderHold.objects.filter(state=OrderHold.State.OPEN).order_by("id"), to_attr="open_rows"
    ),
    "show_missing": Prefetch(
        "lines",
        SalesOrderLine.objects.filter(short_quantity__gt=0).select_related("sku").order_by("id"),
        to_attr="short_rows",
    ),
    "show_parts": Prefetch(
        "fulfilment_lines",
        FulfilmentLine.objects.exclude(fulfilment__state=FulfilmentState.CANCELLED)
        .select_related("fulfilment__location")
        .order_by("id"),
        to_attr="part_rows",
    ),
    "show_asked_by": Prefetch(
        "review_decisions", ReviewDecision.objects.order_by("-id"), to_attr="decision_rows"
    ),
}


def bulk_action(code: str) -> Any:
    """A button of the list: asks for its word where it needs one, then says what came of every row."""
    act = ACTS[code]

    @admin.action(description=act.title, permissions=["operate"])
    def run(
        page: SalesOrderAdmin, request: HttpRequest, queryset: QuerySet[SalesOrder]
    ) -> HttpResponse | None:
        def carry_out(answers: dict[str, Any], orders: list[Any]) -> HttpResponse | None:
            return page.operate(request, act.title, lambda at, by: act.run(orders, answers, at, by))

        orders = queryset.select_related(None).prefetch_related(None).order_by("id")
        if act.form is None:
            return carry_out({}, list(orders))
        form = act.form(request.POST if "asked" in request.POST else None)
        return page.ask_first(request, orders, action=code, title=act.title, form=form, run=carry_out)

    run.__name__ = code
    return run


@admin.register(SalesOrder)
class SalesOrderAdmin(ScopedAdmin):
    shop_path = "shop_id"
    queues = ORDER_QUEUES
    list_display = (
        "number",
        "show_shop",
        "outer_id",
        "show_stage",
        "show_trouble",
        "show_total",
        "receiver_mask",
        "placed_at",
    )
    list_select_related = ("shop",)
    list_filter = (ShopFilter, choice_filter("stage"), TroubleFilter)
    search_fields = ("number__startswith", "outer_id__exact")
    search_help_text = _("The beginning of an order number, or a whole outer order id")
    actions = [
        bulk_action(code)
        for code in ("approve", "resolve", "outside", "fill", "resource", "allow", "hold", "cancel")
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[SalesOrder]:
        queryset = super().get_queryset(request)
        queue = self.queue_of(request)
        if queue:
            queryset = queryset.prefetch_related(*(PREFETCHES[c] for c in queue.columns if c in PREFETCHES))
        return queryset

    # --- buttons --------------------------------------------------------------------------------------------
    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/act/<slug:code>/", wrap(self.act_view), name="orders_salesorder_act"),
            path("<int:pk>/said/<int:version_pk>/", wrap(self.said_view), name="orders_salesorder_said"),
            path("<int:pk>/timeline/", wrap(self.timeline_view), name="orders_salesorder_timeline"),
            *super().get_urls(),
        ]

    def act_view(self, request: HttpRequest, pk: int, code: str) -> HttpResponse:
        """One button of the order page."""
        order = self.operable_object(request, pk)
        if code == "reveal":
            return self._reveal(request, order)
        act = ACTS.get(code)
        if act is None:
            raise Http404
        form = act.form(request.POST) if act.form else None
        if form is not None and not form.is_valid():
            fault = " ".join(
                f"{form[name].label}: {' '.join(map(str, errors))}" for name, errors in form.errors.items()
            )
            messages.error(request, f"{act.title}: {fault}")
        else:
            answers = form.cleaned_data if form is not None else {}
            self.operate(request, act.title, lambda at, by: act.run([order], answers, at, by))
        return redirect("admin:orders_salesorder_change", order.pk)

    def _reveal(self, request: HttpRequest, order: SalesOrder) -> HttpResponse:
        """Show the receiver in plain text, once, and write down who looked."""
        record_act(by=user_actor(request.user), action="receiver.read", subject=order)
        return self._page(request, order, receiver=dict(order.receiver or {}))

    # --- the page -------------------------------------------------------------------------------------------
    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if not object_id.isdigit():
            raise Http404
        return self._page(request, self.visible_object(request, int(object_id)))

    def timeline_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The changing part of the page, for htmx."""
        order = self.visible_object(request, pk)
        return TemplateResponse(
            request,
            "orders/timeline.html",
            {"moments": order_timeline(order, request=request), "order": order},
        )

    def said_view(self, request: HttpRequest, pk: int, version_pk: int) -> HttpResponse:
        """One version of what the platform said, without what is personal."""
        order = self.visible_object(request, pk)
        version = get_object_or_404(
            ChannelOrderVersion, pk=version_pk, channel_order_id=order.channel_order_id or 0
        )
        shown = json.dumps(mask_payload(version.payload), ensure_ascii=False, indent=2)
        context = self._context(request, order) | {
            "version": version,
            "source": source_text(version.source, name_actors([version.source], request=request)),
            "payload": shown,
        }
        return TemplateResponse(request, "orders/said_page.html", context)

    def _context(self, request: HttpRequest, order: SalesOrder) -> dict[str, Any]:
        request.current_app = self.admin_site.name
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": order,
            "order": order,
            "title": order.number,
        }

    def _page(
        self, request: HttpRequest, order: SalesOrder, receiver: dict[str, Any] | None = None
    ) -> HttpResponse:
        may_operate = self.has_operate_permission(request)
        acts = [act for act in ACTS.values() if may_operate and act.is_possible(order)]
        context = self._context(request, order) | {
            **order_page(order, request),
            "acts": [(act, act.form(prefix=None) if act.form else None) for act in acts],
            "may_operate": may_operate,
            "receiver": receiver,
            "moments": order_timeline(order, request=request),
        }
        return TemplateResponse(request, "orders/order_page.html", context)

    # --- columns --------------------------------------------------------------------------------------------
    @column(description=_("shop"))
    def show_shop(self, order: SalesOrder) -> str:
        return order.shop.name

    @column(description=_("stage"), label=STAGE_COLOURS)
    def show_stage(self, order: SalesOrder) -> tuple[str, str]:
        return order.stage, order.get_stage_display()

    @column(description=_("kept by"))
    def show_trouble(self, order: SalesOrder) -> str:
        words = []
        if order.open_holds:
            words.append(_("holds: %(count)d") % {"count": order.open_holds})
        if order.short_lines:
            words.append(_("short lines: %(count)d") % {"count": order.short_lines})
        return ", ".join(map(str, words)) or "–"

    @column(description=_("total"))
    def show_total(self, order: SalesOrder) -> str:
        return Money(order.total_amount, order.currency).text()

    @column(description=_("waiting for"))
    def show_waiting(self, order: SalesOrder) -> str:
        return age_text(order.stage_at)

    @column(description=_("ship by"))
    def show_ship_by(self, order: SalesOrder) -> str:
        return ship_by_html(order)

    @column(description=_("holds"))
    def show_holds(self, order: Any) -> str:
        return format_html_join(" ", '<span class="omni-pill omni-warn">{}</span>', _kinds(order.open_rows))

    @column(description=_("reason"))
    def show_hold_reason(self, order: Any) -> str:
        return clip("; ".join(hold.reason_said for hold in order.open_rows))

    @column(description=_("missing"))
    def show_missing(self, order: Any) -> str:
        return clip(", ".join(f"{line.sku.code} × {line.short_quantity}" for line in order.short_rows))

    @column(description=_("warehouses"))
    def show_parts(self, order: Any) -> str:
        parts = {row.fulfilment_id: row.fulfilment for row in order.part_rows}
        return clip(", ".join(f"{f.location.name}: {f.get_state_display()}" for f in parts.values()) or "–")

    @column(description=_("asked by rule"))
    def show_asked_by(self, order: Any) -> str:
        return clip(", ".join(order.decision_rows[0].fired) if order.decision_rows else "–")

    @column(description=pgettext_lazy("order", "message"))
    def show_message(self, order: SalesOrder) -> str:
        return clip(order.buyer_message or order.seller_memo or "–", 40)


def _kinds(holds: list[OrderHold]) -> list[tuple[str]]:
    return [(hold.get_kind_display(),) for hold in holds]


def clip(text: str, length: int = 80) -> str:
    """A cell's text, shortened; the whole of it as its title."""
    if len(text) <= length:
        return text
    return format_html('<span title="{}">{}…</span>', text, text[: length - 1])


def ship_by_html(order: SalesOrder) -> str:
    """The promise to the buyer, marked when it is broken or will be within four hours."""
    if order.ship_by is None:
        return "–"
    left = (order.ship_by - timezone.now()).total_seconds()
    shown = timezone.localtime(order.ship_by).strftime("%m-%d %H:%M")
    if left > 4 * 3600:
        return shown
    tone, word = ("omni-bad", _("late")) if left < 0 else ("omni-warn", _("soon"))
    return format_html('{} <span class="omni-pill {}">{}</span>', shown, tone, word)

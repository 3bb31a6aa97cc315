"""Parked orders: what could not be taken, why, and the way out: mend it and retry, or dismiss it with a note."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from omni.kernel.actors import user_actor
from omni.kernel.admin_base import RowResult, column
from omni.kernel.display import age_text
from omni.kernel.errors import DomainError
from omni.kernel.names import name_actors
from orders.admin.order import clip
from orders.admin.queues import PARKED_QUEUES
from orders.admin.words import reason_text
from orders.mend import LineMend, mend_parked
from orders.models import ParkedOrder
from orders.park import dismiss_parked
from orders.payload import mask_payload
from orders.retry import retry_parked
from orders.timeline import platform_state_text, source_text
from products.admin.scoped import ScopedAdmin, ShopFilter, choice_filter

TAKEN = frozenset({"new", "changed", "unchanged", "stale"})


class DismissForm(forms.Form):
    note = forms.CharField(label=_("Why it will never be an order"), max_length=500)


class LineForm(forms.Form):
    """What may be mended of one line; what stays empty stays as it is."""

    sku_code = forms.CharField(label=_("SKU code"), max_length=64, required=False)
    quantity = forms.IntegerField(label=_("Quantity"), min_value=1, max_value=1_000_000, required=False)
    amount = forms.DecimalField(
        label=_("Amount"), min_value=0, max_digits=16, decimal_places=4, required=False
    )


@admin.register(ParkedOrder)
class ParkedOrderAdmin(ScopedAdmin):
    queues = PARKED_QUEUES
    shop_path = "shop_id"
    list_display = (
        "outer_id",
        "show_shop",
        "show_reason",
        "show_detail",
        "show_state",
        "attempts",
        "parked_at",
    )
    list_select_related = ("shop",)
    list_filter = (ShopFilter, choice_filter("state"))
    search_fields = ("outer_id__exact",)
    search_help_text = _("A whole outer order id")
    actions = ("retry", "dismiss")

    # --- buttons --------------------------------------------------------------------------------------------
    @admin.action(description=_("Retry"), permissions=["operate"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        rows = list(queryset.order_by("id"))
        return self.operate(request, _("Retry"), lambda at, by: _retry(rows, at, by))

    @admin.action(description=_("Dismiss"), permissions=["operate"])
    def dismiss(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        def carry_out(answers: dict[str, Any], rows: list[Any]) -> HttpResponse | None:
            return self.operate(request, _("Dismiss"), lambda at, by: _dismiss(rows, answers["note"], at, by))

        form = DismissForm(request.POST if "asked" in request.POST else None)
        rows = queryset.order_by("id")
        return self.ask_first(request, rows, action="dismiss", title=_("Dismiss"), form=form, run=carry_out)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/mend/", wrap(self.mend_view), name="orders_parkedorder_mend"),
            path("<int:pk>/dismiss/", wrap(self.dismiss_view), name="orders_parkedorder_dismiss"),
            *super().get_urls(),
        ]

    def mend_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Map SKUs and correct numbers as the form says, then try to take the order."""
        parked = self.operable_object(request, pk)
        line_forms = _line_forms(parked, request.POST)
        total = forms.DecimalField(required=False, min_value=0, max_digits=16, decimal_places=4)
        try:
            total_amount = total.clean(request.POST.get("total_amount", ""))
        except forms.ValidationError as fault:
            messages.error(request, " ".join(fault.messages))
            return self._page(request, parked, line_forms)
        if not all(form.is_valid() for _line, form in line_forms):
            return self._page(request, parked, line_forms)
        mends = [LineMend(**form.cleaned_data) for _line, form in line_forms]
        try:
            taken = mend_parked(
                parked_id=parked.pk,
                lines=mends,
                total_amount=total_amount,
                at=timezone.now(),
                by=user_actor(request.user),
            )
        except DomainError as refusal:
            messages.error(request, refusal.detail)
            return self._page(request, parked, line_forms)
        if taken.result in TAKEN and taken.order_id:
            messages.success(request, gettext("Taken as %s.") % taken.number)
            return redirect("admin:orders_salesorder_change", taken.order_id)
        messages.warning(request, gettext("Still parked: %s") % taken.detail)
        return redirect("admin:orders_parkedorder_change", parked.pk)

    def dismiss_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        parked = self.operable_object(request, pk)
        form = DismissForm(request.POST)
        if form.is_valid():
            note = form.cleaned_data["note"]
            self.operate(request, _("Dismiss"), lambda at, by: _dismiss([parked], note, at, by))
        else:
            messages.error(request, " ".join(map(str, form.errors["note"])))
        return redirect("admin:orders_parkedorder_change", parked.pk)

    # --- the page -------------------------------------------------------------------------------------------
    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        parked = self.visible_object(request, int(object_id) if object_id.isdigit() else 0)
        return self._page(request, parked, _line_forms(parked, None))

    def _page(self, request: HttpRequest, parked: ParkedOrder, line_forms: list[Any]) -> HttpResponse:
        request.current_app = self.admin_site.name
        draft = parked.draft or {}
        payload = draft.get("payload") or {}
        names = name_actors([parked.closed_by, parked.source], request=request)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": parked,
            "title": parked.outer_id,
            "parked": parked,
            "reason": reason_text(parked.reason),
            "age": age_text(parked.parked_at),
            "closed_by": names.html(parked.closed_by) if parked.closed_by else "",
            "draft": draft,
            "source": source_text(parked.source, names),
            "platform_state": draft.get("raw_state") or platform_state_text(str(draft.get("state") or "")),
            "placed_at": parse_datetime(str(draft.get("placed_at") or "")),
            "line_forms": line_forms,
            "payload": mask_payload(payload),
            "is_open": parked.state == ParkedOrder.State.OPEN,
            "may_operate": self.has_operate_permission(request),
            "dismiss_form": DismissForm(),
        }
        return TemplateResponse(request, "orders/parked_page.html", context)

    # --- columns --------------------------------------------------------------------------------------------
    @column(description=_("shop"))
    def show_shop(self, parked: ParkedOrder) -> str:
        return parked.shop.name

    @column(description=_("reason"))
    def show_reason(self, parked: ParkedOrder) -> str:
        return reason_text(parked.reason)

    @column(description=_("detail"))
    def show_detail(self, parked: ParkedOrder) -> str:
        return clip(parked.detail_said, 100)

    @column(description=_("state"), label={"open": "warning", "taken": "success", "dismissed": ""})
    def show_state(self, parked: ParkedOrder) -> tuple[str, str]:
        return parked.state, parked.get_state_display()

    @column(description=_("waiting for"))
    def show_waiting(self, parked: ParkedOrder) -> str:
        return age_text(parked.parked_at)


def _line_forms(parked: ParkedOrder, data: Any) -> list[tuple[dict[str, Any], LineForm]]:
    lines = (parked.draft or {}).get("lines") or []
    return [
        (line, LineForm(data, prefix=f"line{number}"))
        for number, line in enumerate(lines)
        if isinstance(line, dict)
    ]


def _retry(rows: list[Any], at: datetime, by: str) -> list[RowResult]:
    taken = retry_parked(parked_ids=[row.pk for row in rows], at=at, by=by)
    no = gettext("It is not open any more.")
    return [
        RowResult(row.outer_id, taken[row.pk].result in TAKEN, taken[row.pk].detail)
        if row.pk in taken
        else RowResult(row.outer_id, False, no)
        for row in rows
    ]


def _dismiss(rows: list[Any], note: str, at: datetime, by: str) -> list[RowResult]:
    closed = set(dismiss_parked(parked_ids=[row.pk for row in rows], note=note, at=at, by=by))
    no = gettext("It is not open any more.")
    return [RowResult(row.outer_id, row.pk in closed, "" if row.pk in closed else no) for row in rows]

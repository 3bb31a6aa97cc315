"""What the channels were told about parcels."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from omni.kernel.admin_base import RowResult, column, safe_next
from omni.kernel.display import age_text
from orders.admin.order import clip
from orders.admin.queues import NOTICE_QUEUES
from orders.dispatch import retry_notices
from orders.models import DispatchNotice
from products.admin.scoped import ScopedAdmin, ShopFilter, choice_filter


def _send_again(rows: list[Any], at: datetime, by: str) -> list[RowResult]:
    results = []
    for row in rows:
        is_sent = bool(retry_notices(notice_ids=[row.pk], at=at, by=by))
        results.append(RowResult(str(row), is_sent, "" if is_sent else gettext("It has not failed.")))
    return results


@admin.register(DispatchNotice)
class DispatchNoticeAdmin(ScopedAdmin):
    queues = NOTICE_QUEUES
    shop_path = "shop_id"
    list_display = (
        "show_order",
        "show_shop",
        "show_parcel",
        "show_state",
        "show_why",
        "attempts",
        "created_at",
        "sent_at",
    )
    actions = ("send_again",)
    list_select_related = ("order", "shop", "parcel")
    list_filter = (ShopFilter, choice_filter("state"))
    search_fields = ("order__number__exact", "parcel__tracking_no__exact")
    search_help_text = _("A whole order number or tracking number")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("order__receiver")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.send_again_view)
        return [
            path("<int:pk>/send-again/", view, name="orders_dispatchnotice_send_again"),
            *super().get_urls(),
        ]

    def send_again_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        notice = self.operable_object(request, pk)
        self.operate(request, _("Send again"), lambda at, by: _send_again([notice], at, by))
        return redirect(safe_next(request, reverse("admin:orders_dispatchnotice_changelist")))

    @admin.action(description=_("Send again"), permissions=["operate"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        rows = list(queryset.order_by("id"))
        return self.operate(request, _("Send again"), lambda at, by: _send_again(rows, at, by))

    @column(description=_("order"))
    def show_order(self, notice: DispatchNotice) -> str:
        return notice.order.number

    @column(description=_("shop"))
    def show_shop(self, notice: DispatchNotice) -> str:
        return notice.shop.name

    @column(description=_("parcel"))
    def show_parcel(self, notice: DispatchNotice) -> str:
        return f"{notice.parcel.carrier_code} {notice.parcel.tracking_no}"

    @column(
        description=_("state"), label={"due": "info", "sent": "success", "failed": "danger", "not_needed": ""}
    )
    def show_state(self, notice: DispatchNotice) -> tuple[str, str]:
        return notice.state, notice.get_state_display()

    @column(description=_("why"))
    def show_why(self, notice: DispatchNotice) -> str:
        return clip(notice.reason_said or notice.last_error, 90)

    @column(description=_("waiting for"))
    def show_waiting(self, notice: DispatchNotice) -> str:
        return age_text(notice.created_at)

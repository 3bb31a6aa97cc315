"""What the channels were told about parcels."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from omni.kernel.admin_base import column
from omni.kernel.display import age_text
from orders.admin.queues import NOTICE_QUEUES
from orders.models import DispatchNotice
from products.admin.scoped import ScopedAdmin, ShopFilter, choice_filter


@admin.register(DispatchNotice)
class DispatchNoticeAdmin(ScopedAdmin):
    queues = NOTICE_QUEUES
    shop_path = "shop_id"
    list_display = (
        "show_order",
        "show_shop",
        "show_parcel",
        "show_state",
        "attempts",
        "created_at",
        "sent_at",
    )
    list_select_related = ("order", "shop", "parcel")
    list_filter = (ShopFilter, choice_filter("state"))
    search_fields = ("order__number__exact", "parcel__tracking_no__exact")
    search_help_text = _("A whole order number or tracking number")

    def get_queryset(self, request):  # type: ignore[no-untyped-def]
        return super().get_queryset(request).defer("order__receiver")

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

    @column(description=_("waiting for"))
    def show_waiting(self, notice: DispatchNotice) -> str:
        return age_text(notice.created_at)

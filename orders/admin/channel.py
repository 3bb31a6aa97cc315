"""What the platforms say: orders and refunds as they told them."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from omni.kernel.admin_base import column
from omni.kernel.display import Money
from orders.models import ChannelOrder, ChannelRefund
from orders.timeline import platform_state_text
from products.admin.scoped import ScopedAdmin, ShopFilter, choice_filter


@admin.register(ChannelOrder)
class ChannelOrderAdmin(ScopedAdmin):
    intro = _("Every order as its platform tells it. Our own order beside it is where the work is done.")
    shop_path = "shop_id"
    list_display = (
        "outer_id",
        "shop",
        "show_state",
        "raw_state",
        "versions",
        "outer_modified_at",
        "captured_at",
    )
    list_select_related = ("shop",)
    list_filter = (ShopFilter,)
    search_fields = ("outer_id__exact",)
    search_help_text = _("A whole outer order id")

    @column(description=_("state"))
    def show_state(self, order: ChannelOrder) -> str:
        return platform_state_text(order.state)


@admin.register(ChannelRefund)
class ChannelRefundAdmin(ScopedAdmin):
    shop_path = "shop_id"
    list_display = ("outer_refund_id", "shop", "outer_id", "show_state", "show_amount", "outer_modified_at")
    list_select_related = ("shop",)
    list_filter = (ShopFilter, choice_filter("state"))
    search_fields = ("outer_refund_id__exact", "outer_id__exact")
    search_help_text = _("A whole refund id or outer order id")

    @column(description=_("state"), label={"open": "warning", "refused": "", "done": "success"})
    def show_state(self, refund: ChannelRefund) -> tuple[str, str]:
        return refund.state, refund.get_state_display()

    @column(description=_("amount"))
    def show_amount(self, refund: ChannelRefund) -> str:
        return Money(refund.amount, refund.currency).text()

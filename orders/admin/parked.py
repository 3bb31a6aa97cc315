"""Parked orders: what could not be taken, why, and the way out."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from omni.kernel.admin_base import column
from omni.kernel.display import age_text
from orders.admin.order import clip
from orders.admin.queues import PARKED_QUEUES
from orders.admin.words import reason_text
from orders.models import ParkedOrder
from products.admin.scoped import ScopedAdmin, ShopFilter, choice_filter


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

    @column(description=_("shop"))
    def show_shop(self, parked: ParkedOrder) -> str:
        return parked.shop.name

    @column(description=_("reason"))
    def show_reason(self, parked: ParkedOrder) -> str:
        return reason_text(parked.reason)

    @column(description=_("detail"))
    def show_detail(self, parked: ParkedOrder) -> str:
        return clip(parked.detail, 100)

    @column(description=_("state"), label={"open": "warning", "taken": "success", "dismissed": ""})
    def show_state(self, parked: ParkedOrder) -> tuple[str, str]:
        return parked.state, parked.get_state_display()

    @column(description=_("waiting for"))
    def show_waiting(self, parked: ParkedOrder) -> str:
        return age_text(parked.parked_at)

"""Promises to orders, and those that could not be made."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from inventory.models import Reservation, Shortage
from omni.kernel.admin_base import column
from omni.kernel.display import age_text
from products.admin.scoped import ScopedAdmin, ShopFilter, choice_filter


@admin.register(Reservation)
class ReservationAdmin(ScopedAdmin):
    intro = _("Units of a pool promised to an order line: held, then committed at a location, then shipped.")
    shop_path = "shop_id"
    list_display = (
        "show_sku",
        "shop",
        "quantity",
        "show_state",
        "show_pool",
        "location",
        "line_key",
        "created_at",
    )
    list_select_related = ("sku", "shop", "pool__group", "location")
    list_filter = (ShopFilter, choice_filter("state"))
    search_fields = ("sku__code__exact",)
    search_help_text = _("A whole SKU code")

    @column(description=_("SKU"))
    def show_sku(self, row: Reservation) -> str:
        return row.sku.code

    @column(description=_("pool"))
    def show_pool(self, row: Reservation) -> str:
        return f"{row.pool.group.name} · {row.pool.get_kind_display()}"

    @column(
        description=_("state"),
        label={"held": "info", "committed": "primary", "shipped": "success", "released": ""},
    )
    def show_state(self, row: Reservation) -> tuple[str, str]:
        return row.state, row.get_state_display()


@admin.register(Shortage)
class ShortageAdmin(ScopedAdmin):
    intro = _("Order lines that are owed more than could be promised. Supply fills them, oldest first.")
    shop_path = "shop_id"
    list_display = ("show_sku", "shop", "quantity", "show_reason", "show_state", "show_waiting", "created_at")
    list_select_related = ("sku", "shop")
    list_filter = (ShopFilter, choice_filter("state"))
    search_fields = ("sku__code__exact",)
    search_help_text = _("A whole SKU code")

    def get_keyset(self, request: HttpRequest) -> str:
        return "-id"

    @column(description=_("SKU"))
    def show_sku(self, row: Shortage) -> str:
        return row.sku.code

    @column(description=_("reason"))
    def show_reason(self, row: Shortage) -> Any:
        return SHORTAGE_REASONS.get(row.reason, row.reason.replace("_", " "))

    @column(description=_("state"), label={"open": "warning", "filled": "success", "cancelled": ""})
    def show_state(self, row: Shortage) -> tuple[str, str]:
        return row.state, row.get_state_display()

    @column(description=_("waiting for"))
    def show_waiting(self, row: Shortage) -> str:
        return age_text(row.created_at) if row.state == Shortage.State.OPEN else "–"


SHORTAGE_REASONS = {
    "no_stock": _("not enough stock"),
    "no_pool": _("the shop draws from no pool of this SKU"),
    "withdrawn": _("promise withdrawn: the count was lower"),
}

"""What the channels were told that they may sell."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from inventory.models import PublishedStock
from omni.kernel.admin_base import column
from products.admin.scoped import ScopedAdmin, ShopFilter, UntoldFilter


@admin.register(PublishedStock)
class PublishedStockAdmin(ScopedAdmin):
    intro = _("Per listing: what the channel should show, what we sent, and what it said it took.")
    shop_path = "shop_id"
    list_display = (
        "show_sku",
        "shop",
        "show_listing",
        "desired_quantity",
        "sent_quantity",
        "acked_quantity",
        "show_state",
        "acked_at",
        "last_error",
    )
    list_select_related = ("listing__sku", "shop")
    list_filter = (ShopFilter, UntoldFilter)
    search_fields = ("listing__sku__code__exact", "listing__outer_item_id__exact")
    search_help_text = _("A whole SKU code or outer item id")

    @column(description=_("SKU"))
    def show_sku(self, row: PublishedStock) -> str:
        return row.listing.sku.code

    @column(description=_("listing"))
    def show_listing(self, row: PublishedStock) -> str:
        return str(row.listing)

    @column(description=_("state"), label={"ok": "success", "due": "info", "failing": "danger"})
    def show_state(self, row: PublishedStock) -> tuple[str, Any]:
        if row.desired_version <= row.acked_version:
            return "ok", _("acknowledged")
        if row.last_error:
            return "failing", _("failing")
        return "due", _("due")

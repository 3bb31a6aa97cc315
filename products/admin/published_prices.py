"""What the channels were told about prices, and what they said to it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from omni.kernel.admin_base import RowResult, column
from omni.kernel.display import Money
from products.admin.scoped import ScopedAdmin, ShopFilter, UntoldFilter
from products.models import PublishedPrice
from products.prices.publish import push_prices_again


@admin.register(PublishedPrice)
class PublishedPriceAdmin(ScopedAdmin):
    intro = _("Per listing: the price that the channel should show, what we sent, and what it said it took.")
    shop_path = "shop_id"
    list_display = (
        "show_sku",
        "shop",
        "show_listing",
        "show_desired",
        "show_sent",
        "show_acked",
        "show_state",
        "acked_at",
        "last_error",
        "show_why",
    )
    list_display_links = ("show_sku",)
    list_select_related = ("listing__sku", "shop")
    list_filter = (ShopFilter, UntoldFilter)
    search_fields = ("listing__sku__code__exact", "listing__outer_item_id__exact")
    search_help_text = _("A whole SKU code or outer item id")
    actions = ("tell_again",)

    @admin.action(description=_("Tell again"), permissions=["operate"])
    def tell_again(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        names = {row.pk: row.listing.sku.code for row in queryset}

        def run(at: datetime, by: str) -> list[RowResult]:
            done = set(push_prices_again(published_ids=list(names), at=at, by=by))
            return [RowResult(name, pk in done) for pk, name in names.items()]

        return self.operate(request, _("Tell again"), run)

    @column(description=_("SKU"))
    def show_sku(self, row: PublishedPrice) -> str:
        return row.listing.sku.code

    @column(description=_("listing"))
    def show_listing(self, row: PublishedPrice) -> str:
        return str(row.listing)

    @column(description=_("desired"))
    def show_desired(self, row: PublishedPrice) -> str:
        return Money(row.desired_amount, row.currency).text()

    @column(description=_("sent"))
    def show_sent(self, row: PublishedPrice) -> str:
        return Money(row.sent_amount, row.currency).text() if row.sent_amount is not None else "–"

    @column(description=_("acknowledged"))
    def show_acked(self, row: PublishedPrice) -> str:
        return Money(row.acked_amount, row.currency).text() if row.acked_amount is not None else "–"

    @column(description=_("state"), label={"ok": "success", "due": "info", "failing": "danger"})
    def show_state(self, row: PublishedPrice) -> tuple[str, Any]:
        if row.desired_version <= row.acked_version:
            return "ok", _("acknowledged")
        return ("failing", _("failing")) if row.last_error else ("due", _("due"))

    @column(description=_("why"))
    def show_why(self, row: PublishedPrice) -> str:
        address = reverse("admin:products_price_why")
        query = f"?shop={row.shop_id}&sku={row.listing.sku.code}"
        return format_html('<a class="omni-link" href="{}{}">{}</a>', address, query, gettext("why"))

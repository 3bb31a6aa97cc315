"""What came back."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from omni.kernel.admin_base import column
from orders.models import Return
from products.admin.scoped import ScopedAdmin, ShopFilter


@admin.register(Return)
class ReturnAdmin(ScopedAdmin):
    shop_path = "shop_id"
    list_display = ("number", "shop", "show_order", "outer_id", "returned_at", "source")
    list_select_related = ("shop", "order")
    list_filter = (ShopFilter,)
    search_fields = ("number__startswith", "outer_id__exact", "order__number__exact")
    search_help_text = _("A return number, outer return id or order number")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("order__receiver")

    @column(description=_("order"))
    def show_order(self, case: Return) -> str:
        return case.order.number

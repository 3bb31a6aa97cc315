"""The stock of a SKU: how much, where, for whom, and why each number is what it is."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from inventory.models import Shortage, SkuStock, StockLevel, StockPool
from inventory.models.stock import Grade, PoolKind
from omni.kernel.admin_base import column
from products.admin.master import SkuBrandFilter
from products.admin.scoped import ScopedAdmin


def _total(queryset: QuerySet[Any], column: str) -> Coalesce:
    """One number per SKU of the page, each from the SKU's own few index entries."""
    summed = queryset.filter(sku=OuterRef("pk")).order_by().values("sku").annotate(n=Sum(column)).values("n")
    return Coalesce(Subquery(summed), 0)


@admin.register(SkuStock)
class SkuStockAdmin(ScopedAdmin):
    keyset = "code"
    brand_path = "spu__brand_id"
    list_display = (
        "code",
        "name",
        "show_on_hand",
        "show_committed",
        "show_reserved",
        "show_free",
        "show_safety",
        "show_short",
    )
    list_filter = (SkuBrandFilter,)
    search_fields = ("code__startswith", "barcodes__code__exact")
    search_help_text = _("The beginning of a SKU code, or a whole barcode")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        good = StockLevel.objects.filter(grade=Grade.GOOD)
        sold_from = StockPool.objects.exclude(kind__in=[PoolKind.SAFETY, PoolKind.BASE, PoolKind.REVOKING])
        queryset: QuerySet[Any] = super().get_queryset(request)
        match = request.resolver_match
        if match and not (match.url_name or "").endswith("_changelist"):
            return queryset
        annotated: QuerySet[Any] = queryset.annotate(
            n_on_hand=_total(good, "on_hand"),
            n_committed=_total(good, "committed"),
            n_reserved=_total(StockPool.objects.all(), "reserved"),
            n_granted=_total(sold_from, "granted"),
            n_taken=_total(sold_from, "reserved"),
            n_safety=_total(StockPool.objects.filter(kind=PoolKind.SAFETY), "granted"),
            n_short=_total(Shortage.objects.filter(state=Shortage.State.OPEN), "quantity"),
        )
        return annotated

    @column(description=_("on hand"))
    def show_on_hand(self, sku: Any) -> int:
        return int(sku.n_on_hand)

    @column(description=_("committed"))
    def show_committed(self, sku: Any) -> int:
        return int(sku.n_committed)

    @column(description=_("reserved"))
    def show_reserved(self, sku: Any) -> int:
        return int(sku.n_reserved)

    @column(description=_("sellable"))
    def show_free(self, sku: Any) -> int:
        return int(sku.n_granted - sku.n_taken)

    @column(description=_("safety"))
    def show_safety(self, sku: Any) -> int:
        return int(sku.n_safety)

    @column(description=_("owed"), label={"owed": "warning", "none": ""})
    def show_short(self, sku: Any) -> tuple[str, Any]:
        return ("owed", str(sku.n_short)) if sku.n_short else ("none", "0")

"""Brands, categories, products and SKUs."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline

from omni.kernel.admin_base import column
from omni.kernel.display import Money
from products.admin.scoped import BrandFilter, ScopedAdmin
from products.models import Barcode, Brand, Category, Sku, Spu
from products.scope import Scope
from products.search import matching_skus, matching_spus


@admin.register(Brand)
class BrandAdmin(ScopedAdmin):
    keyset = "code"
    brand_path = "pk"
    is_editable = True
    list_display = ("code", "name", "is_active")
    search_fields = ("code__startswith", "name__startswith")


@admin.register(Category)
class CategoryAdmin(ScopedAdmin):
    keyset = "path"
    is_house_wide = True
    is_editable = True
    list_display = ("path", "code", "name")
    list_display_links = ("path", "code")
    search_fields = ("code__startswith", "path__startswith")
    autocomplete_fields = ("parent",)


@admin.register(Spu)
class SpuAdmin(ScopedAdmin):
    keyset = "code"
    brand_path = "brand_id"
    is_editable = True
    list_display = ("code", "name", "brand", "category", "created_at")
    list_select_related = ("brand", "category")
    list_filter = (BrandFilter,)
    search_fields = ("name",)
    search_help_text = _("Part of a name, the beginning of a code, a tag, or a whole barcode")
    autocomplete_fields = ("brand", "category")
    readonly_fields = ("created_at",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return (queryset.filter(matching_spus(search_term)) if search_term else queryset), False


class BarcodeInline(TabularInline):  # type: ignore[misc]
    model = Barcode
    extra = 0
    verbose_name_plural = _("barcodes")


class SkuBrandFilter(BrandFilter):
    path = "spu__brand_id"


@admin.register(Sku)
class SkuAdmin(ScopedAdmin):
    keyset = "code"
    brand_path = "spu__brand_id"
    is_editable = True
    list_display = ("code", "name", "show_brand", "show_price", "weight_grams", "is_active")
    list_select_related = ("spu__brand",)
    list_filter = (SkuBrandFilter,)
    search_fields = ("name",)
    search_help_text = _("Part of a name, the beginning of a code, a tag, or a whole barcode")
    autocomplete_fields = ("spu",)
    readonly_fields = ("created_at",)
    inlines = (BarcodeInline,)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return (queryset.filter(matching_skus(search_term)) if search_term else queryset), False

    def limit_to_scope(self, queryset: QuerySet[Any], scope: Scope) -> QuerySet[Any]:
        return queryset.filter(spu__brand_id__in=scope.brand_ids)

    @column(description=_("brand"))
    def show_brand(self, sku: Sku) -> str:
        return sku.spu.brand.name

    @column(description=_("list price"))
    def show_price(self, sku: Sku) -> str:
        return Money(sku.list_price, sku.currency).text() if sku.list_price is not None else "–"

"""By what products, shops and listings can be searched."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Exists, OuterRef, Q, QuerySet
from django_filters import rest_framework as filters

from omni.kernel.api.filters import MomentFilter, StrictFilterSet
from products.models import Shop, Sku, Spu
from products.search import TEXT_MAX, matching_skus, matching_spus


class BrandFilter(StrictFilterSet):
    is_active = filters.BooleanFilter()


class CategoryFilter(StrictFilterSet):
    parent = filters.CharFilter("parent__code", max_length=32)
    path = filters.CharFilter("path", "startswith", max_length=400)


class SpuFilter(StrictFilterSet):
    search = filters.CharFilter(
        method="by_text",
        max_length=TEXT_MAX,
        help_text="Part of a name, of a code's beginning, a barcode, a tag.",
    )
    brand = filters.CharFilter("brand__code", max_length=32)
    category = filters.CharFilter("category__code", max_length=32)

    def by_text(self, rows: QuerySet[Spu], _name: str, text: str) -> QuerySet[Spu]:
        return rows.filter(matching_spus(text))


class SkuFilter(StrictFilterSet):
    search = filters.CharFilter(
        method="by_text",
        max_length=TEXT_MAX,
        help_text="Part of a name, of a code's beginning, a barcode, a tag.",
    )
    code = filters.CharFilter("code", max_length=64)
    barcode = filters.CharFilter("barcodes__code", max_length=64)
    spu = filters.CharFilter("spu__code", max_length=64)
    brand = filters.CharFilter("spu__brand__code", max_length=32)
    category = filters.CharFilter("spu__category__code", max_length=32)
    is_active = filters.BooleanFilter()
    changed_since = MomentFilter(method="by_change", help_text="Created or changed at this moment or later.")

    def by_text(self, rows: QuerySet[Sku], _name: str, text: str) -> QuerySet[Sku]:
        return rows.filter(matching_skus(text))

    def by_change(self, rows: QuerySet[Sku], _name: str, since: datetime) -> QuerySet[Sku]:
        # `events` is the history that the database itself keeps of every SKU.
        changed = Sku.objects.filter(pk=OuterRef("pk"), events__pgh_created_at__gte=since)
        return rows.filter(Q(created_at__gte=since) | Exists(changed))


class ShopFilter(StrictFilterSet):
    channel = filters.CharFilter("channel", max_length=32)
    brand = filters.CharFilter("brand__code", max_length=32)
    order_policy = filters.ChoiceFilter(choices=Shop.OrderPolicy.choices)
    is_active = filters.BooleanFilter()

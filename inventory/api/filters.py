"""By what stock can be searched."""

from __future__ import annotations

from typing import Any

from django.db.models import F, QuerySet
from django_filters import rest_framework as filters

from inventory.models import Location, PublishedStock, QuotaRule
from inventory.models.stock import Grade
from omni.kernel.api.filters import StrictFilterSet


class LocationFilter(StrictFilterSet):
    group = filters.CharFilter("group__code", max_length=32)
    kind = filters.ChoiceFilter(choices=Location.Kind.choices)
    is_active = filters.BooleanFilter()


class StockLevelFilter(StrictFilterSet):
    sku = filters.CharFilter("sku__code", max_length=64)
    location = filters.CharFilter("location__code", max_length=32)
    grade = filters.ChoiceFilter(choices=Grade.choices)
    owner = filters.CharFilter("owner", max_length=32)
    on_hand = filters.BooleanFilter(method="by_presence", help_text="true: only where something lies.")

    def by_presence(self, rows: QuerySet[Any], _name: str, is_there: bool) -> QuerySet[Any]:
        return rows.filter(on_hand__gt=0) if is_there else rows.filter(on_hand=0)


class PublishedStockFilter(StrictFilterSet):
    shop = filters.CharFilter("shop__code", max_length=32)
    sku = filters.CharFilter("listing__sku__code", max_length=64)
    is_due = filters.BooleanFilter(method="by_due")

    def by_due(self, rows: QuerySet[PublishedStock], _name: str, is_due: bool) -> QuerySet[PublishedStock]:
        if is_due:
            return rows.filter(desired_version__gt=F("acked_version"))
        return rows.filter(desired_version=F("acked_version"))


class QuotaRuleFilter(StrictFilterSet):
    group = filters.CharFilter("group__code", max_length=32)
    shop = filters.CharFilter("shop__code", max_length=32)
    sku = filters.CharFilter("sku__code", max_length=64)
    mode = filters.ChoiceFilter(choices=QuotaRule.Mode.choices)
    is_active = filters.BooleanFilter()


class ShopExposureFilter(StrictFilterSet):
    group = filters.CharFilter("group__code", max_length=32)
    shop = filters.CharFilter("shop__code", max_length=32)
    sku = filters.CharFilter("sku__code", max_length=64)

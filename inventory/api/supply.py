"""Alerts and suggestions over the API."""

from __future__ import annotations

import re
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from inventory.models import LocationGroup, StockAlert
from inventory.supply.suggestions import Suggestion, suggest_supply
from omni.kernel.api.filters import StrictFilterSet
from omni.kernel.api.views import HouseView, ReadingView
from products.api.scope import in_shops, visible_brands, visible_skus
from products.models import Brand

SCOPES = {"read": "stock:read", "write": "stock:write"}
PARAMETERS = ("group", "brand", "cursor", "page_size", "format")
CURSOR = re.compile(r"([0-9]{1,18})-([0-9]{1,18})", re.ASCII)


class AlertOut(serializers.ModelSerializer[StockAlert]):
    """`shop` null: of the whole group. It closes itself when what can be sold reaches `level`."""

    sku = serializers.CharField(source="sku.code", read_only=True)
    group = serializers.CharField(source="group.code", read_only=True)
    shop = serializers.CharField(source="shop.code", read_only=True, allow_null=True)

    class Meta:
        model = StockAlert
        fields = (
            "id",
            "sku",
            "group",
            "shop",
            "level",
            "sellable",
            "lowest",
            "state",
            "opened_at",
            "closed_at",
            "taken_by",
            "note",
        )
        read_only_fields = fields


class AlertFilter(StrictFilterSet):
    sku = filters.CharFilter("sku__code", max_length=64)
    group = filters.CharFilter("group__code", max_length=32)
    shop = filters.CharFilter("shop__code", max_length=32)
    state = filters.ChoiceFilter(choices=StockAlert.State.choices)


class AlertView(ReadingView):
    """SKUs of which too little is left."""

    scopes = SCOPES
    staff_permission = "inventory.view_stockalert"
    serializer_class = AlertOut
    filterset_class = AlertFilter
    lookup_value_regex = "[0-9]{1,18}"
    queryset = StockAlert.objects.select_related("sku", "group", "shop")

    def get_queryset(self) -> QuerySet[StockAlert]:
        mine = Q(shop__isnull=True) | in_shops(self.request)
        return self.queryset.filter(visible_skus(self.request, "sku"), mine)


class SupplySuggestionOut(serializers.Serializer[Any]):
    """reorder point = per day × lead days + safety; need = per day × (lead + cover days) + safety − position, rounded
    up; `suggested`: at least the minimum, in whole packs."""

    sku = serializers.CharField(source="sku_code")
    name = serializers.CharField(source="sku_name")
    brand = serializers.CharField(source="brand_code")
    group = serializers.CharField(source="group_code")
    per_day = serializers.DecimalField(max_digits=12, decimal_places=2)
    lead_days = serializers.IntegerField()
    cover_days = serializers.IntegerField()
    safety = serializers.IntegerField()
    free = serializers.IntegerField()
    owed = serializers.IntegerField()
    in_transit = serializers.IntegerField()
    position = serializers.IntegerField()
    reorder_point = serializers.IntegerField()
    need = serializers.IntegerField()
    pack_size = serializers.IntegerField()
    order_minimum = serializers.IntegerField()
    suggested = serializers.IntegerField()
    terms = serializers.SerializerMethodField()

    def get_terms(self, row: Suggestion) -> list[str]:
        return row.terms()


class SupplySuggestionListOut(serializers.Serializer[Any]):
    next = serializers.CharField(allow_null=True)
    results = SupplySuggestionOut(many=True)


class SuggestionView(HouseView):
    """What should be ordered, and why."""

    scopes = SCOPES
    staff_permission = "inventory.view_supplyrule"

    @extend_schema(
        operation_id="stock_suggestions",
        parameters=[
            OpenApiParameter("group", str, description="The code of a location group; none: every group."),
            OpenApiParameter("brand", str, description="The code of a brand; none: every brand."),
            OpenApiParameter("cursor", str, description="As `next` says it."),
            OpenApiParameter("page_size", {"type": "integer", "minimum": 1, "maximum": 200}),
        ],
        responses=SupplySuggestionListOut,
    )
    def get(self, request: Request) -> Response:
        given = _given(request)
        size, after = _page_size(given), _after(given)
        groups, brands = _named(given, "group", LocationGroup), _named(given, "brand", Brand)
        visible = visible_brands(request)
        if visible is not None:
            brands = sorted(visible if brands is None else visible & set(brands))
        rows = suggest_supply(
            today=timezone.localdate(), group_ids=groups, brand_ids=brands, after=after, limit=size + 1
        )
        page, link = rows[:size], None
        if len(rows) > size:
            here = request.build_absolute_uri()
            link = replace_query_param(here, "cursor", f"{page[-1].sku_id}-{page[-1].group_id}")
        return Response({"next": link, "results": SupplySuggestionOut(page, many=True).data})


def _given(request: Request) -> dict[str, str]:
    given = {}
    for name, values in request.query_params.lists():
        if name not in PARAMETERS:
            text = _("There is no such parameter; there are: %s.") % ", ".join(PARAMETERS[:-1])
            raise ValidationError({name: [text]})
        if len(values) > 1:
            raise ValidationError({name: [_("Send it once.")]})
        given[name] = values[0]
    return given


def _page_size(given: dict[str, str]) -> int:
    text = given.get("page_size", "50")
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:5]) <= 200):
        raise ValidationError({"page_size": [_("A whole number from 1 to 200.")]})
    return int(text)


def _after(given: dict[str, str]) -> tuple[int, int]:
    text = given.get("cursor", "0-0")
    found = CURSOR.fullmatch(text)
    if found is None:
        raise ValidationError({"cursor": [_("It comes from the page before, as it stands there.")]})
    return int(found[1]), int(found[2])


def _named(given: dict[str, str], name: str, model: Any) -> list[int] | None:
    """The id of what a code names, as a list; None: it was not asked for."""
    code = given.get(name)
    if not code:
        return None
    if "\x00" in code:
        raise ValidationError({name: [_("Only visible characters, and no spaces around them.")]})
    return list(model.objects.filter(code=code).values_list("pk", flat=True))

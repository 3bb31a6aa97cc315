"""By what orders, shipments and parked orders can be searched."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from django_filters import rest_framework as filters

from omni.kernel.api.filters import MomentFilter, StrictFilterSet
from orders.models import Parcel, ParcelLine, ParkedOrder
from orders.states import Stage


class OrderFilter(StrictFilterSet):
    shop = filters.CharFilter("shop__code", max_length=32)
    number = filters.CharFilter("number", max_length=24)
    outer_id = filters.CharFilter("outer_id", max_length=64)
    stage = filters.ChoiceFilter(choices=Stage.choices)
    is_held = filters.BooleanFilter(method="by_count", help_text="With or without open holds.")
    is_short = filters.BooleanFilter(method="by_count", help_text="With or without lines that lack stock.")
    captured_since = MomentFilter("captured_at", "gte")
    captured_before = MomentFilter("captured_at", "lt")

    def by_count(self, rows: QuerySet[Any], name: str, is_some: bool) -> QuerySet[Any]:
        column = {"is_held": "open_holds", "is_short": "short_lines"}[name]
        return rows.filter(**({f"{column}__gt": 0} if is_some else {column: 0}))


class ShipmentFilter(StrictFilterSet):
    order = filters.CharFilter(method="by_order", max_length=24)
    fulfilment = filters.CharFilter("shipment__fulfilment__number", max_length=24)
    tracking_no = filters.CharFilter("tracking_no", max_length=64)
    shipped_since = MomentFilter("shipment__shipped_at", "gte")
    shipped_before = MomentFilter("shipment__shipped_at", "lt")

    def by_order(self, rows: QuerySet[Parcel], _name: str, number: str) -> QuerySet[Parcel]:
        of_order = ParcelLine.objects.filter(parcel=OuterRef("pk"), fulfilment_line__order__number=number)
        return rows.filter(Exists(of_order))


class ParkedOrderFilter(StrictFilterSet):
    shop = filters.CharFilter("shop__code", max_length=32)
    outer_id = filters.CharFilter("outer_id", max_length=64)
    reason = filters.CharFilter("reason", max_length=40)
    state = filters.ChoiceFilter(choices=ParkedOrder.State.choices)

"""How the lists of orders are narrowed down: always by columns of the queue that is looked at."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from orders.admin.words import reason_text
from orders.models import OrderHold, ParkedOrder
from orders.models.review import HoldKind


class HoldKindFilter(SimpleListFilter):
    title = _("hold")
    parameter_name = "hold"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, Any]]:
        return [(kind.value, kind.label) for kind in HoldKind]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in HoldKind.values:
            return queryset
        held = OrderHold.objects.filter(order=OuterRef("pk"), kind=self.value(), state=OrderHold.State.OPEN)
        return queryset.filter(Exists(held))


class AgeFilter(SimpleListFilter):
    """How long a row has waited. Subclass for another column than `stage_at`."""

    title = _("waiting for")
    parameter_name = "age"
    column = "stage_at"
    steps = {
        "1h": (timedelta(hours=1), _("more than 1 hour")),
        "4h": (timedelta(hours=4), _("more than 4 hours")),
        "1d": (timedelta(days=1), _("more than 1 day")),
        "3d": (timedelta(days=3), _("more than 3 days")),
    }

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, Any]]:
        return [(code, label) for code, (_age, label) in self.steps.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        step = self.steps.get(self.value() or "")
        return queryset.filter(**{f"{self.column}__lt": timezone.now() - step[0]}) if step else queryset


class StateAgeFilter(AgeFilter):
    column = "state_at"


class ParkedAgeFilter(AgeFilter):
    column = "parked_at"


class TroubleFilter(SimpleListFilter):
    """What keeps an order: answered by the small indexes of the queues."""

    title = _("what keeps it")
    parameter_name = "trouble"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, Any]]:
        return [("held", _("held")), ("short", _("short")), ("none", _("nothing"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        conditions = {
            "held": Q(open_holds__gt=0),
            "short": Q(short_lines__gt=0),
            "none": Q(open_holds=0, short_lines=0),
        }
        condition = conditions.get(self.value() or "")
        return queryset.filter(condition) if condition is not None else queryset


class ParkedReasonFilter(SimpleListFilter):
    """The reasons that are open now: a walk over the index, not a scan."""

    title = _("reason")
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, Any]]:
        parked = ParkedOrder.objects.filter(state=ParkedOrder.State.OPEN)
        reasons = parked.order_by("reason").values_list("reason", flat=True).distinct()[:50]
        return [(reason, reason_text(reason)) for reason in reasons]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(reason=self.value()) if self.value() else queryset

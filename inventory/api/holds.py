"""Stock holds over HTTP: set stock aside for a buyer, look at a hold, give it back."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from inventory.holds.end import give_back_hold
from inventory.holds.hold import hold_stock
from inventory.models.holds import StockHold, StockHoldLine
from omni.kernel.api.fields import Code, StrictSerializer, Text, Whole, many
from omni.kernel.api.filters import StrictFilterSet
from omni.kernel.api.idempotency import PARAMETER, Answer, actor_of, answer_once
from omni.kernel.api.views import ReadingView
from products.api.scope import in_shops, shop_of, visible_skus
from products.models import Sku

LINES_MAX = 200
UNITS_MAX = 1_000_000
MINUTES_MAX = 10_000


class HoldLineIn(StrictSerializer):
    sku = Code(max_length=64)
    quantity = Whole(min_value=1, max_value=UNITS_MAX)


class HoldIn(StrictSerializer):
    """`key`: your own name of the hold, such as that of the cart; `buyer`: whose limits count."""

    shop = Code(max_length=32)
    key = Code(max_length=120)
    buyer = Code(max_length=120)
    minutes = Whole(
        min_value=1,
        max_value=MINUTES_MAX,
        required=False,
        help_text=gettext_lazy("Without it: as long as the shop allows."),
    )
    lines = many(HoldLineIn, at_most=LINES_MAX)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "/" in attrs["key"]:
            raise serializers.ValidationError(
                {"key": [_("No slashes: the key stands in the address of the hold.")]}
            )
        return attrs


class HoldEndIn(StrictSerializer):
    reason = Text(max_length=200, default="", allow_blank=True)


class HoldLineOut(serializers.ModelSerializer[StockHoldLine]):
    sku = serializers.CharField(source="sku.code", read_only=True)

    class Meta:
        model = StockHoldLine
        fields = ("sku", "quantity")
        read_only_fields = fields


class StockHoldOut(serializers.ModelSerializer[StockHold]):
    """Of bundles the lines name what lies in them. `taken`: over by an order; `released`: given back."""

    shop = serializers.CharField(source="shop.code", read_only=True)
    lines = HoldLineOut(many=True, read_only=True)

    class Meta:
        model = StockHold
        fields = ("key", "shop", "buyer", "state", "created_at", "expires_at", "ended_at", "lines")
        read_only_fields = fields


class StockHoldFilter(StrictFilterSet):
    shop = filters.CharFilter("shop__code", max_length=32)
    buyer = filters.CharFilter("buyer", max_length=120)
    state = filters.ChoiceFilter(choices=StockHold.State.choices)


class StockHoldView(ReadingView):
    """Units that are set aside for a buyer for some minutes, before there is an order."""

    scopes = {"read": "stock:read", "write": "holds:write"}
    serializer_class = StockHoldOut
    filterset_class = StockHoldFilter
    lookup_field = "key"
    queryset = StockHold.objects.select_related("shop").prefetch_related("lines__sku")

    @property
    def staff_permission(self) -> str:
        return "inventory.view_stockhold" if self.request.method == "GET" else "inventory.change_stockhold"

    def get_queryset(self) -> QuerySet[StockHold]:
        return self.queryset.filter(in_shops(self.request))

    def get_object(self) -> StockHold:
        """By its key, which is its shop's: with `shop`, or where only one shop of the caller has such a hold."""
        found = self.filter_queryset(self.get_queryset()).filter(key=self.kwargs["key"])
        if len(found[:2]) > 1:
            raise ValidationError({"shop": [_("Several shops have a hold of this key: say which shop.")]})
        hold: StockHold = get_object_or_404(found)
        return hold

    @extend_schema(
        operation_id="stock_holds_hold",
        request=HoldIn,
        parameters=[PARAMETER],
        responses={201: StockHoldOut, 200: StockHoldOut},
    )
    def create(self, request: Request) -> Response:
        """Hold all of it or nothing. 201 held; 200 the same hold as it stands now; 409 short, or over a limit."""
        body = READ_HOLD.run_validation(request.data)
        shop = shop_of(request, body["shop"])
        codes = {line["sku"] for line in body["lines"]}
        skus = dict(Sku.objects.filter(visible_skus(request), code__in=codes).values_list("code", "pk"))
        if missing := sorted(codes - skus.keys()):
            raise ValidationError({"lines": [_("There is no SKU “%s”.") % code for code in missing[:20]]})

        def hold() -> Answer:
            is_known = StockHold.objects.filter(shop=shop, key=body["key"]).exists()
            held = hold_stock(
                shop_id=shop.pk,
                key=body["key"],
                buyer=body["buyer"],
                lines=[(skus[line["sku"]], line["quantity"]) for line in body["lines"]],
                minutes=body.get("minutes"),
                at=timezone.now(),
                by=actor_of(request),
            )
            return Answer(200 if is_known else 201, _plain(self.queryset.get(pk=held.pk)))

        return answer_once(request, hold)

    @extend_schema(
        operation_id="stock_holds_release",
        request=HoldEndIn,
        parameters=[PARAMETER],
        responses={200: StockHoldOut},
    )
    @action(detail=True, methods=["post"])
    def release(self, request: Request, key: str) -> Response:
        """Give it back before its time. One that is over already stays as it is; 409 an order has taken it over."""
        body = READ_END.run_validation(request.data)
        hold = self.get_object()

        def release() -> Answer:
            give_back_hold(
                shop_id=hold.shop_id,
                key=hold.key,
                at=timezone.now(),
                by=actor_of(request),
                reason=body["reason"],
            )
            return Answer(200, _plain(self.queryset.get(pk=hold.pk)))

        return answer_once(request, release)


def _plain(hold: StockHold) -> dict[str, Any]:
    return {**StockHoldOut(hold).data}


READ_HOLD = HoldIn()
READ_END = HoldEndIn()

"""Differences to channels over the API: read them, push ours again, or take the channel's word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from integrations.models import ListingDrift
from integrations.push_again import Settled, accept_drifts, push_drifts_again
from omni.kernel.api.filters import StrictFilterSet
from omni.kernel.api.idempotency import PARAMETER
from omni.kernel.api.views import ReadingView
from omni.kernel.sentences import read_sentence
from products.api.acts import RowsIn, RowsOut, act_on_rows, results_of
from products.api.scope import in_shops


class DriftOut(serializers.ModelSerializer[ListingDrift]):
    """Both sides as texts: a title, an amount in `currency`, a number of units, or `listed`, `delisted`, `gone`.

    `confirmed_at`: by a second survey; before that it may be on its way. `detail`: the channel's words.
    """

    listing = serializers.IntegerField(source="listing_id", read_only=True)
    shop = serializers.CharField(source="shop.code", read_only=True)
    sku = serializers.CharField(source="listing.sku.code", read_only=True)
    outer_item_id = serializers.CharField(source="listing.outer_item_id", read_only=True, allow_null=True)
    outer_sku_id = serializers.CharField(source="listing.outer_sku_id", read_only=True)
    currency = serializers.CharField(source="shop.currency", read_only=True)
    detail = serializers.SerializerMethodField()

    class Meta:
        model = ListingDrift
        fields = (
            "id",
            "listing",
            "shop",
            "sku",
            "outer_item_id",
            "outer_sku_id",
            "what",
            "ours",
            "theirs",
            "currency",
            "cause",
            "detail",
            "since",
            "seen_at",
            "confirmed_at",
            "pushed_at",
            "pushed_by",
            "closed_at",
            "ending",
        )
        read_only_fields = fields

    @extend_schema_field(str)
    def get_detail(self, drift: ListingDrift) -> str:
        return read_sentence(drift.detail)


class DriftFilter(StrictFilterSet):
    shop = filters.CharFilter("shop__code", max_length=32)
    sku = filters.CharFilter("listing__sku__code", max_length=64)
    what = filters.ChoiceFilter(choices=ListingDrift.What.choices)
    cause = filters.ChoiceFilter(choices=ListingDrift.Cause.choices)
    is_open = filters.BooleanFilter("closed_at", "isnull")
    is_confirmed = filters.BooleanFilter("confirmed_at", "isnull", exclude=True)


class DriftView(ReadingView):
    """Where a channel shows another title, price, number or state than we do."""

    scopes = {"read": "products:read", "write": "products:write"}
    serializer_class = DriftOut
    filterset_class = DriftFilter
    lookup_value_regex = "[0-9]{1,18}"
    queryset = ListingDrift.objects.select_related("shop", "listing__sku")
    PERMISSIONS: ClassVar = dict.fromkeys(("list", "retrieve"), "integrations.view_listingdrift")

    @property
    def staff_permission(self) -> str:
        return self.PERMISSIONS.get(self.action or "", "integrations.change_listingdrift")

    def get_queryset(self) -> QuerySet[ListingDrift]:
        return self.queryset.filter(in_shops(self.request))

    @extend_schema(
        operation_id="drifts_push", request=RowsIn, parameters=[PARAMETER], responses={200: RowsOut}
    )
    @action(detail=False, methods=["post"])
    def push(self, request: Request) -> Response:
        """Tell the channels ours once more. A difference is over when a survey finds that both sides agree."""
        return self._settle(request, push_drifts_again)

    @extend_schema(
        operation_id="drifts_accept", request=RowsIn, parameters=[PARAMETER], responses={200: RowsOut}
    )
    @action(detail=False, methods=["post"])
    def accept(self, request: Request) -> Response:
        """Take the channels' word: their title becomes the shop's own, their state ours."""
        return self._settle(request, accept_drifts)

    def _settle(self, request: Request, settle: Callable[..., list[Settled]]) -> Response:
        body = READ_ROWS.run_validation(request.data)

        def act(ids: list[int], by: str) -> tuple[object, Any]:
            settled = settle(drift_ids=ids, reason=body["reason"], at=timezone.now(), by=by)
            return None, results_of(settled, "drift_id")

        return act_on_rows(request, ids=body["ids"], visible=self.get_queryset(), act=act)


READ_ROWS = RowsIn()

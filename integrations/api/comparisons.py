"""Compare shops with their channels on request, over the API."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.mixins import RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from integrations.compare_shelf import comparisons, start_comparison
from omni.kernel.api.fields import Code, StrictSerializer
from omni.kernel.api.idempotency import PARAMETER, Answer, actor_of, answer_once
from omni.kernel.models import Job
from products.api.scope import in_shops, shop_of
from products.models import Shop


class ComparisonIn(StrictSerializer):
    shop = Code(max_length=32)


class ComparisonResultOut(serializers.Serializer[Any]):
    """`items` that the channel shows; open `differences`, those in stock; `new` since the one before, and `over`."""

    items = serializers.IntegerField()
    differences = serializers.IntegerField()
    stock_differences = serializers.IntegerField()
    new = serializers.IntegerField()
    over = serializers.IntegerField()


class ComparisonOut(serializers.ModelSerializer[Job]):
    """`done`: items read so far. The differences themselves are at `drifts?shop=…&is_open=true`."""

    result = serializers.SerializerMethodField()

    class Meta:
        model = Job
        fields = ("id", "state", "done", "message", "created_at", "finished_at", "result")
        read_only_fields = fields

    @extend_schema_field(ComparisonResultOut(allow_null=True))
    def get_result(self, job: Job) -> Any:
        return job.result or None


class ComparisonView(RetrieveModelMixin, GenericViewSet[Job]):
    """Comparisons of a shop's whole shelf with what we say, asked for by a person or a machine."""

    scopes = {"read": "products:read", "write": "products:write"}
    serializer_class = ComparisonOut
    lookup_value_regex = "[0-9]{1,18}"
    queryset = Job.objects.all()

    @property
    def staff_permission(self) -> str:
        reads = self.request.method == "GET"
        return "integrations.view_listingdrift" if reads else "integrations.change_listingdrift"

    def get_queryset(self) -> QuerySet[Job]:
        shops = Shop.objects.filter(in_shops(self.request, "pk")).values_list("pk", flat=True)
        return comparisons().filter(params__shop__in=list(shops))

    @extend_schema(
        operation_id="comparisons_start",
        request=ComparisonIn,
        parameters=[PARAMETER],
        responses={202: ComparisonOut},
    )
    def create(self, request: Request) -> Response:
        """Read the shop's shelf now. 202: it is under way, also one that somebody asked for before."""
        shop = shop_of(request, READ_COMPARISON.run_validation(request.data)["shop"])

        def compare() -> Answer:
            job = start_comparison(shop_id=shop.pk, at=timezone.now(), by=actor_of(request))
            body = {**ComparisonOut(job).data}
            return Answer(202, body, {"Location": f"/api/v1/comparisons/{job.pk}"})

        return answer_once(request, compare)


READ_COMPARISON = ComparisonIn()

"""Compares over the API: an ERP posts its figures, differences are read and decided on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from inventory.models import Location, StockBasis, StockComparison, StockDifference
from inventory.models.stock import Grade
from inventory.network.compare import Figure, compare_stock, read_figures
from inventory.network.decide import Decided, book_theirs, explain_differences, take_differences
from omni.kernel.api.fields import Code, Moment, StrictSerializer, Text, Whole, YesNo, many
from omni.kernel.api.filters import MomentFilter, StrictFilterSet
from omni.kernel.api.idempotency import PARAMETER, Answer, actor_of, answer_once
from omni.kernel.api.views import ReadingView
from omni.kernel.sentences import read_sentence
from products.api.acts import RowsIn, RowsOut, act_on_rows, results_of
from products.api.scope import visible_brands, visible_skus
from products.models import Sku

SCOPES = {"read": "stock:read", "write": "stock:write"}
FIGURES_MAX = 10_000
UNITS_MAX = 1_000_000_000


class FigureIn(StrictSerializer):
    sku = Code(max_length=64)
    grade = serializers.ChoiceField(choices=Grade.choices, default=Grade.GOOD.value)
    quantity = Whole(min_value=0, max_value=UNITS_MAX)


class CompareIn(StrictSerializer):
    """What lies at a location, as the sender's books say.

    `basis`: `gross`, all that lies there, or `net`, less what is taken for our open orders. `cut_off_at`: the moment
    for which the figures hold. `is_complete`: what is not named does not lie there. The same number is compared once.
    """

    number = Code(max_length=80)
    location = Code(max_length=32)
    basis = serializers.ChoiceField(choices=StockBasis.choices)
    cut_off_at = Moment()
    is_complete = YesNo(default=False)
    # A field of the body; DRF takes it off the class, whose attribute of that name means something else.
    source = Text(  # type: ignore[assignment]
        max_length=80, default="", allow_blank=True, help_text=gettext_lazy("Empty: the caller.")
    )
    figures = many(FigureIn, at_most=FIGURES_MAX, allow_empty=True)


class NotComparedOut(serializers.Serializer[Any]):
    sku = serializers.CharField()
    reason = serializers.CharField()


class CompareOut(serializers.ModelSerializer[StockComparison]):
    """One compare. `unknown`: what was named and could not be compared, with the reason."""

    number = serializers.CharField(source="external_number", read_only=True, allow_null=True)
    location = serializers.CharField(source="location.code", read_only=True)
    unknown = serializers.SerializerMethodField()

    class Meta:
        model = StockComparison
        fields = (
            "id",
            "number",
            "location",
            "source",
            "basis",
            "cut_off_at",
            "is_complete",
            "compared",
            "differing",
            "unknown",
            "compared_at",
        )
        read_only_fields = fields

    @extend_schema_field(NotComparedOut(many=True))
    def get_unknown(self, row: StockComparison) -> list[dict[str, str]]:
        return [{"sku": name, "reason": read_sentence(reason)} for name, reason in row.unknown]


class CompareFilter(StrictFilterSet):
    location = filters.CharFilter("location__code", max_length=32)
    number = filters.CharFilter("external_number", max_length=80)


class CompareView(ReadingView):
    """Compares of a location's books with those of a warehouse or an ERP."""

    scopes = SCOPES
    serializer_class = CompareOut
    filterset_class = CompareFilter
    lookup_value_regex = "[0-9]{1,18}"
    queryset = StockComparison.objects.select_related("location")

    @property
    def staff_permission(self) -> str:
        return f"inventory.{'add' if self.action == 'create' else 'view'}_stockcomparison"

    def get_queryset(self) -> QuerySet[StockComparison]:
        """A compare names what lies there of every brand: who does not see all of them sees their own compares."""
        if visible_brands(self.request) is None:
            return self.queryset
        return self.queryset.filter(by=actor_of(self.request))

    @extend_schema(
        operation_id="stock_compare",
        request=CompareIn,
        parameters=[PARAMETER],
        responses={201: CompareOut, 200: CompareOut},
    )
    def create(self, request: Request) -> Response:
        """Send figures. Our side is worked out for the cut-off; no stock changes. 200: the number was known."""
        reads = CompareIn(data=request.data)
        reads.is_valid(raise_exception=True)
        body: dict[str, Any] = reads.validated_data
        location = Location.objects.filter(code=body["location"]).first()
        if location is None:
            raise ValidationError({"location": [_("There is no location “%s”.") % body["location"]]})
        if body["is_complete"] and visible_brands(request) is not None:
            raise ValidationError(
                {"is_complete": [_("Only who sees every brand can say what does not lie there.")]}
            )

        def once() -> Answer:
            lines = [Figure(line["sku"], line["quantity"], line["grade"]) for line in body["figures"]]
            codes = {line.sku_code for line in lines}
            visible = set(
                Sku.objects.filter(visible_skus(request), code__in=codes).values_list("pk", flat=True)
            )
            read, at, by = read_figures(lines, visible=visible), timezone.now(), actor_of(request)
            made = compare_stock(
                location_id=location.pk,
                figures=read.figures,
                basis=body["basis"],
                cut_off_at=body["cut_off_at"],
                source=body["source"] or by,
                is_complete=body["is_complete"],
                external_number=body["number"],
                unknown=read.unknown,
                at=at,
                by=by,
            )
            return Answer(201 if made.compared_at == at else 200, dict(CompareOut(made).data))

        return answer_once(request, once)


class DifferenceOut(serializers.ModelSerializer[StockDifference]):
    """`difference` = theirs − ours, both for the cut-off and on the basis of the newest compare."""

    location = serializers.CharField(source="location.code", read_only=True)
    sku = serializers.CharField(source="sku.code", read_only=True)
    compare = serializers.IntegerField(source="comparison_id", read_only=True)
    difference = serializers.SerializerMethodField()

    class Meta:
        model = StockDifference
        fields = (
            "id",
            "location",
            "sku",
            "grade",
            "ours",
            "theirs",
            "difference",
            "basis",
            "cut_off_at",
            "compare",
            "since",
            "times",
            "state",
            "owner",
            "reason",
            "closed_at",
            "closed_by",
        )
        read_only_fields = fields

    def get_difference(self, row: StockDifference) -> int:
        return row.theirs - row.ours


class DifferenceFilter(StrictFilterSet):
    location = filters.CharFilter("location__code", max_length=32)
    sku = filters.CharFilter("sku__code", max_length=64)
    grade = filters.ChoiceFilter(choices=Grade.choices)
    state = filters.ChoiceFilter(choices=StockDifference.State.choices)
    since_before = MomentFilter("since", lookup_expr="lt")


class DecideIn(RowsIn):
    """Up to 500 rows by their ids, and why; the reason is compulsory."""

    reason = Text(max_length=200)


READ_DECISION, READ_ROWS = DecideIn(), RowsIn()


class DifferenceView(ReadingView):
    """Where the books of a location and somebody else's say something different."""

    scopes = SCOPES
    serializer_class = DifferenceOut
    filterset_class = DifferenceFilter
    lookup_value_regex = "[0-9]{1,18}"
    queryset = StockDifference.objects.select_related("location", "sku")
    PERMISSIONS: ClassVar = dict.fromkeys(("list", "retrieve"), "inventory.view_stockdifference")

    @property
    def staff_permission(self) -> str:
        return self.PERMISSIONS.get(self.action or "", "inventory.change_stockdifference")

    def get_queryset(self) -> QuerySet[StockDifference]:
        return self.queryset.filter(visible_skus(self.request, "sku"))

    @extend_schema(
        operation_id="stock_differences_book",
        request=DecideIn,
        parameters=[PARAMETER],
        responses={200: RowsOut},
    )
    @action(detail=False, methods=["post"])
    def book(self, request: Request) -> Response:
        """Believe the other side: stock changes by theirs less ours; what moved since the cut-off stays."""
        return self._decide(request, READ_DECISION, book_theirs)

    @extend_schema(
        operation_id="stock_differences_explain",
        request=DecideIn,
        parameters=[PARAMETER],
        responses={200: RowsOut},
    )
    @action(detail=False, methods=["post"])
    def explain(self, request: Request) -> Response:
        """Close differences that are none; the reason says why. No stock changes."""
        return self._decide(request, READ_DECISION, explain_differences)

    @extend_schema(
        operation_id="stock_differences_take",
        request=RowsIn,
        parameters=[PARAMETER],
        responses={200: RowsOut},
    )
    @action(detail=False, methods=["post"])
    def take(self, request: Request) -> Response:
        """Say that the caller looks into them."""
        return self._decide(request, READ_ROWS, take_differences)

    def _decide(self, request: Request, reads: RowsIn, decide: Callable[..., list[Decided]]) -> Response:
        body = reads.run_validation(request.data)

        def act(ids: list[int], by: str) -> tuple[object, Any]:
            decided = decide(difference_ids=ids, reason=body["reason"], at=timezone.now(), by=by)
            return None, results_of(decided, "difference_id")

        return act_on_rows(request, ids=body["ids"], visible=self.get_queryset(), act=act)

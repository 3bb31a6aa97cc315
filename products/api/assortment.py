"""Catalogues and rules over the API; runs are worked out, read line by line, applied and dropped."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from omni.kernel.api.fields import Code, StrictSerializer
from omni.kernel.api.filters import StrictFilterSet
from omni.kernel.api.idempotency import PARAMETER, Answer, actor_of, answer_once
from omni.kernel.api.views import ReadingView
from omni.kernel.errors import NotAllowed
from omni.kernel.sentences import read_sentence
from products.api.scope import in_shops, shop_of, visible_brands
from products.assortment.apply import start_apply
from products.assortment.plan import drop_assortment, start_assortment
from products.models import (
    AssortmentRow,
    AssortmentRule,
    AssortmentRun,
    AssortmentShop,
    Catalogue,
    Shop,
    ShopCatalogue,
)

SCOPES = {"read": "products:read", "write": "products:write"}
SHOPS_MAX = 200
CONDITIONS = ("brand", "category", "tags", "seasons", "price_from", "price_to", "currency")


class NotAllOfIt(NotAllowed):
    """The run is for shops too that the caller does not see."""

    code = "not_all_of_it"


class ConditionsOut(serializers.ModelSerializer[Any]):
    """Conditions on SKUs; what is empty is not asked for. `shops`: those that the caller may see."""

    brand = serializers.CharField(source="brand.code", default=None, read_only=True, allow_null=True)
    category = serializers.CharField(source="category.code", default=None, read_only=True, allow_null=True)
    tags = serializers.ListField(child=serializers.CharField(), read_only=True)
    seasons = serializers.ListField(child=serializers.CharField(), read_only=True)
    shops = serializers.SerializerMethodField()

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_shops(self, row: Any) -> list[str]:
        raise NotImplementedError


class CatalogueOut(ConditionsOut):
    class Meta:
        model = Catalogue
        fields = ("code", "name", "note", "is_active", *CONDITIONS, "shops", "version", "created_at")
        read_only_fields = fields

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_shops(self, row: Catalogue) -> list[str]:
        return sorted(link.shop.code for link in row.shop_catalogues.all())


class CatalogueFilter(StrictFilterSet):
    brand = filters.CharFilter("brand__code", max_length=32)
    shop = filters.CharFilter("shop_catalogues__shop__code", max_length=32)
    is_active = filters.BooleanFilter()


class CatalogueView(ReadingView):
    """Sales catalogues: what shops may sell of the master, beside what was picked by hand."""

    scopes = SCOPES
    staff_permission = "products.view_catalogue"
    serializer_class = CatalogueOut
    filterset_class = CatalogueFilter
    lookup_field = "code"
    queryset = Catalogue.objects.select_related("brand", "category")

    def get_queryset(self) -> QuerySet[Catalogue]:
        mine = ShopCatalogue.objects.filter(in_shops(self.request)).select_related("shop")
        brands = visible_brands(self.request)
        rows = self.queryset.prefetch_related(Prefetch("shop_catalogues", mine))
        if brands is None and not in_shops(self.request):
            return rows
        own = Q(Exists(mine.filter(catalogue=OuterRef("pk"))))
        return rows.filter(own if brands is None else own | Q(brand__in=brands))


class AssortmentRuleOut(ConditionsOut):
    """Of the rules that fit a SKU the highest `priority` decides, of equals one that excludes."""

    class Meta:
        model = AssortmentRule
        fields = (
            "id",
            "name",
            "kind",
            "priority",
            *CONDITIONS,
            "shops",
            "starts_at",
            "ends_at",
            "is_active",
            "version",
            "created_at",
        )
        read_only_fields = fields

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_shops(self, row: AssortmentRule) -> list[str]:
        return sorted(shop.code for shop in row.shops.all())


class AssortmentRuleFilter(StrictFilterSet):
    brand = filters.CharFilter("brand__code", max_length=32)
    shop = filters.CharFilter("shops__code", max_length=32)
    kind = filters.ChoiceFilter(choices=AssortmentRule.Kind.choices)
    is_active = filters.BooleanFilter()


class AssortmentRuleView(ReadingView):
    """Which SKUs shops are meant to sell."""

    scopes = SCOPES
    staff_permission = "products.view_assortmentrule"
    serializer_class = AssortmentRuleOut
    filterset_class = AssortmentRuleFilter
    lookup_value_regex = "[0-9]{1,18}"
    queryset = AssortmentRule.objects.select_related("brand", "category")

    def get_queryset(self) -> QuerySet[AssortmentRule]:
        shops = Shop.objects.filter(in_shops(self.request, "pk"))
        through = AssortmentRule.shops.through.objects.filter(assortmentrule=OuterRef("pk"), shop__in=shops)
        return self.queryset.filter(Exists(through)).prefetch_related(Prefetch("shops", shops))


class AssortmentShopOut(serializers.ModelSerializer[AssortmentShop]):
    """What a run means for a shop. `is_too_much`: so much would be withdrawn that a person has to confirm it."""

    shop = serializers.CharField(source="shop.code", read_only=True)
    is_confirmed = serializers.SerializerMethodField()

    class Meta:
        model = AssortmentShop
        fields = (
            "shop",
            "state",
            "listed",
            "drafts",
            "publishes",
            "withdraws",
            "held_back",
            "waiting",
            "kept",
            "done",
            "skipped",
            "is_too_much",
            "is_confirmed",
        )
        read_only_fields = fields

    @extend_schema_field(bool)
    def get_is_confirmed(self, row: AssortmentShop) -> bool:
        return bool(row.confirmed_by)


class AssortmentRunOut(serializers.ModelSerializer[AssortmentRun]):
    shops = AssortmentShopOut(many=True, read_only=True)

    class Meta:
        model = AssortmentRun
        fields = ("id", "state", "source", "judged_at", "created_by", "created_at", "applied_at", "shops")
        read_only_fields = fields


class AssortmentLineOut(serializers.ModelSerializer[AssortmentRow]):
    """What a run would do, or did, to a SKU in a shop. `rules`: the ids of those that fit, the deciding one first."""

    shop = serializers.CharField(source="shop.code", read_only=True)
    sku = serializers.CharField(source="sku.code", read_only=True)
    listing = serializers.IntegerField(source="listing_id", read_only=True, allow_null=True)
    rules = serializers.ListField(child=serializers.IntegerField(), read_only=True, allow_null=True)
    detail = serializers.SerializerMethodField()

    class Meta:
        model = AssortmentRow
        fields = ("id", "shop", "sku", "listing", "outcome", "cause", "rules", "state", "detail")
        read_only_fields = fields

    @extend_schema_field(str)
    def get_detail(self, row: AssortmentRow) -> str:
        return read_sentence(row.detail)


class AssortmentRunIn(StrictSerializer):
    """The shops for which it is worked out what the rules mean."""

    shops = serializers.ListField(child=Code(max_length=32), allow_empty=False, max_length=SHOPS_MAX)


class NothingIn(StrictSerializer):
    """An act that needs no words."""


class AssortmentRunFilter(StrictFilterSet):
    state = filters.ChoiceFilter(choices=AssortmentRun.State.choices)
    source = filters.ChoiceFilter(choices=AssortmentRun.Source.choices)


class AssortmentRunView(ReadingView):
    """What the rules mean for shops at a moment: worked out, looked at, then applied or dropped."""

    scopes = SCOPES
    serializer_class = AssortmentRunOut
    filterset_class = AssortmentRunFilter
    lookup_value_regex = "[0-9]{1,18}"
    queryset = AssortmentRun.objects.all()
    READING: ClassVar = frozenset({"list", "retrieve", "lines"})

    @property
    def staff_permission(self) -> str:
        is_reading = (self.action or "") in self.READING
        return "products.view_assortmentrun" if is_reading else "products.change_assortmentrun"

    def get_queryset(self) -> QuerySet[AssortmentRun]:
        mine = AssortmentShop.objects.filter(in_shops(self.request))
        shown = Prefetch("shops", mine.select_related("shop").order_by("shop__code"))
        return self.queryset.filter(Exists(mine.filter(run=OuterRef("pk")))).prefetch_related(shown)

    @extend_schema(
        operation_id="assortment_runs_create",
        request=AssortmentRunIn,
        parameters=[PARAMETER],
        responses={201: AssortmentRunOut},
    )
    def create(self, request: Request) -> Response:
        """Have it worked out in the background. Its state says when it can be looked at."""
        codes = READ_RUN.run_validation(request.data)["shops"]
        rows = Shop.objects.filter(in_shops(request, "pk"), is_active=True, code__in=codes)
        found = dict(rows.values_list("code", "pk"))
        if missing := sorted(set(codes) - set(found)):
            raise ValidationError({"shops": [_("There is no “%s”.") % code for code in missing[:20]]})

        def start() -> Answer:
            run = start_assortment(shop_ids=found.values(), at=timezone.now(), by=actor_of(request))
            return Answer(201, self._said(run.pk), {"Location": f"/api/v1/assortment-runs/{run.pk}"})

        return answer_once(request, start)

    @extend_schema(
        operation_id="assortment_runs_apply",
        request=NothingIn,
        parameters=[PARAMETER],
        responses={200: AssortmentRunOut},
    )
    @action(detail=True, methods=["post"])
    def apply(self, request: Request, pk: str) -> Response:
        """Have it done in the caller's shops. Too many withdrawals have to be confirmed by a person before."""
        READ_NOTHING.run_validation(request.data or {})
        run = self.get_object()

        def act() -> Answer:
            shops = [row.shop_id for row in run.shops.all()]
            start_apply(run_id=run.pk, shop_ids=shops, at=timezone.now(), by=actor_of(request))
            return Answer(200, self._said(run.pk))

        return answer_once(request, act)

    @extend_schema(
        operation_id="assortment_runs_drop",
        request=NothingIn,
        parameters=[PARAMETER],
        responses={200: AssortmentRunOut},
    )
    @action(detail=True, methods=["post"])
    def drop(self, request: Request, pk: str) -> Response:
        """Do nothing of what has not been applied."""
        READ_NOTHING.run_validation(request.data or {})
        run = self.get_object()

        def act() -> Answer:
            if len(run.shops.all()) < AssortmentShop.objects.filter(run=run).count():
                raise NotAllOfIt(_("It concerns shops that you do not see."))
            drop_assortment(run_id=run.pk, at=timezone.now(), by=actor_of(request))
            return Answer(200, self._said(run.pk))

        return answer_once(request, act)

    @extend_schema(
        operation_id="assortment_runs_lines",
        parameters=[
            OpenApiParameter("shop", str, required=True, description="The code of one shop of the run.")
        ],
        responses={200: AssortmentLineOut(many=True)},
        filters=False,
    )
    @action(detail=True, methods=["get"], filterset_class=None)
    def lines(self, request: Request, pk: str) -> Response:
        """What would change, or did, in one shop, line by line."""
        code = request.query_params.get("shop", "")
        if not code or len(code) > 32:
            raise ValidationError({"shop": [_("Say of which shop.")]})
        rows = AssortmentRow.objects.filter(run=self.get_object(), shop=shop_of(request, code))
        page = self.paginate_queryset(rows.select_related("shop", "sku"))
        return self.get_paginated_response(AssortmentLineOut(page, many=True).data)

    def _said(self, pk: int) -> dict[str, Any]:
        return dict(AssortmentRunOut(self.get_queryset().get(pk=pk)).data)


READ_RUN = AssortmentRunIn()
READ_NOTHING = NothingIn()

"""Items of the channels over the API, with the SKUs that they may be: map them, or say that they are none of ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from omni.kernel.api.fields import Code, StrictSerializer, many
from omni.kernel.api.filters import StrictFilterSet
from omni.kernel.api.idempotency import PARAMETER
from omni.kernel.api.views import ReadingView
from products.api.acts import ROWS_MAX, RowsOut, act_on_rows, reason_text, row_id, row_ids
from products.api.scope import in_shops, visible_skus
from products.map import ignore_items, map_items
from products.models import OuterItem, Sku
from products.suggestions import Suggestion, suggest_skus


class SuggestionOut(serializers.Serializer[Any]):
    """A SKU that the item may be. `is_certain`: by its code or barcode, and no other fits as well."""

    sku = serializers.CharField()
    name = serializers.CharField()
    reason = serializers.ChoiceField(choices=["code", "barcode", "code_case", "title"])
    is_certain = serializers.BooleanField()


class OuterItemOut(serializers.ModelSerializer[OuterItem]):
    """`suggestions`: for items without a SKU, the best first. `seen_at`: when the channel, or an order, told of it."""

    shop = serializers.CharField(source="shop.code", read_only=True)
    currency = serializers.SerializerMethodField()
    suggestions = serializers.SerializerMethodField()

    class Meta:
        model = OuterItem
        fields = (
            "id",
            "shop",
            "outer_item_id",
            "outer_sku_id",
            "title",
            "outer_code",
            "barcode",
            "price",
            "currency",
            "quantity",
            "is_listed",
            "state",
            "source",
            "note",
            "first_seen_at",
            "seen_at",
            "suggestions",
        )
        read_only_fields = fields

    @extend_schema_field(str)
    def get_currency(self, item: OuterItem) -> str:
        return item.currency or item.shop.currency

    @extend_schema_field(SuggestionOut(many=True))
    def get_suggestions(self, item: OuterItem) -> list[dict[str, Any]]:
        suggested: Sequence[Suggestion] = getattr(item, "suggested", ())
        return [
            {"sku": each.code, "name": each.name, "reason": each.reason, "is_certain": each.is_certain}
            for each in suggested
        ]


class OuterItemFilter(StrictFilterSet):
    shop = filters.CharFilter("shop__code", max_length=32)
    state = filters.ChoiceFilter(choices=OuterItem.State.choices)
    outer_item_id = filters.CharFilter("outer_item_id", max_length=64)
    outer_code = filters.CharFilter("outer_code", max_length=64)
    is_listed = filters.BooleanFilter()


class MapLineIn(StrictSerializer):
    id = row_id()
    sku = Code(max_length=64)


class MapIn(StrictSerializer):
    """Up to 500 items, each with the code of its SKU."""

    items = many(MapLineIn, at_most=ROWS_MAX)


class IgnoreIn(StrictSerializer):
    ids = row_ids()
    reason = reason_text(required=True)


class OuterItemView(ReadingView):
    """Items of channels as they were last seen there."""

    scopes = {"read": "products:read", "write": "products:write"}
    serializer_class = OuterItemOut
    filterset_class = OuterItemFilter
    lookup_value_regex = "[0-9]{1,18}"
    queryset = OuterItem.objects.select_related("shop")
    PERMISSIONS: ClassVar = {"list": "products.view_outeritem", "retrieve": "products.view_outeritem"}

    @property
    def staff_permission(self) -> str:
        return self.PERMISSIONS.get(self.action or "", "products.change_outeritem")

    def get_queryset(self) -> QuerySet[OuterItem]:
        return self.queryset.filter(in_shops(self.request))

    def paginate_queryset(self, queryset: Any) -> Any:
        page = super().paginate_queryset(queryset)
        return None if page is None else self._with_suggestions(page)

    def get_object(self) -> Any:
        return self._with_suggestions([super().get_object()])[0]

    def _with_suggestions(self, items: Sequence[Any]) -> list[Any]:
        """Only SKUs that the caller may see: a shop without a brand could be any brand's."""
        waiting = [item for item in items if item.state == OuterItem.State.UNMAPPED]
        found = suggest_skus(waiting) if waiting else {}
        wanted = {each.sku_id for suggested in found.values() for each in suggested}
        visible = (
            set(Sku.objects.filter(visible_skus(self.request), pk__in=wanted).values_list("pk", flat=True))
            if wanted
            else set()
        )
        for item in waiting:
            item.suggested = [each for each in found.get(item.pk, ()) if each.sku_id in visible]
        return list(items)

    @extend_schema(
        operation_id="outer_items_map", request=MapIn, parameters=[PARAMETER], responses={200: RowsOut}
    )
    @action(detail=False, methods=["post"])
    def map(self, request: Request) -> Response:
        """Say which SKUs items are. Orders that waited for them are taken by themselves."""
        lines = READ_MAP.run_validation(request.data)["items"]
        codes = {line["id"]: line["sku"] for line in lines}

        def act(ids: list[int], by: str) -> tuple[object, Any]:
            wanted = {codes[ident] for ident in ids}
            skus = Sku.objects.filter(visible_skus(request), code__in=wanted)
            known = dict(skus.values_list("code", "pk"))
            good = {ident: known[codes[ident]] for ident in ids if codes[ident] in known}
            mapped = map_items(sku_ids=good, at=timezone.now(), by=by)
            came = {ident: (row.ok, row.detail) for ident, row in mapped.items()}
            return None, {
                ident: came.get(ident, (False, _("There is no SKU %s.") % codes[ident])) for ident in ids
            }

        return act_on_rows(request, ids=list(codes), visible=self.get_queryset(), act=act)

    @extend_schema(
        operation_id="outer_items_ignore", request=IgnoreIn, parameters=[PARAMETER], responses={200: RowsOut}
    )
    @action(detail=False, methods=["post"])
    def ignore(self, request: Request) -> Response:
        """Say that these are none of ours, and why; they stay ignored when they are seen again."""
        body = READ_IGNORE.run_validation(request.data)

        def act(ids: list[int], by: str) -> tuple[object, Any]:
            done = set(ignore_items(item_ids=ids, note=body["reason"], at=timezone.now(), by=by))
            no = _("It is mapped or ignored already.")
            return None, {ident: (ident in done, "" if ident in done else no) for ident in ids}

        return act_on_rows(request, ids=body["ids"], visible=self.get_queryset(), act=act)


READ_MAP = MapIn()
READ_IGNORE = IgnoreIn()

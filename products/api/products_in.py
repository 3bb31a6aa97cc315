"""Products with their SKUs as the API takes them in: what is not said stays as it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from omni.kernel.api.fields import Amount, Code, StrictSerializer, Text, Whole, YesNo, many
from products.codes import CODE_MAX
from products.define import ProductDraft, SkuDraft
from products.models import Brand, Category, Spu

PRODUCTS_MAX = 50
SKUS_MAX = 200
BARCODES_MAX = 20
RESULTS = ["new", "changed", "unchanged"]
LINE_RESULTS = [*RESULTS, "refused"]
OF_PRODUCT = ("name", "season", "tags", "description", "attributes")
OF_SKU = ("name", "attributes", "list_price", "currency", "weight_grams", "is_active")


@extend_schema_field({"oneOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}]})
class Said(serializers.Field[Any, Any, Any, Any]):
    """A value of an attribute; what it may be, the template of the category says."""

    default_error_messages = {"invalid": _("A text, a number, true or false.")}

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, (dict, list)):
            self.fail("invalid")
        return data


class SkuIn(StrictSerializer):
    code = Code(
        max_length=CODE_MAX,
        required=False,
        help_text=_("Empty: the code rule gives one, and the SKU is new."),
    )
    name = Text(max_length=240, required=False)
    attributes = serializers.DictField(child=Said(allow_null=True), required=False)
    list_price = Amount(required=False)
    currency = Code(max_length=3, required=False)
    weight_grams = Whole(min_value=0, max_value=100_000_000, required=False)
    is_active = YesNo(required=False)
    barcodes = serializers.ListField(
        child=Code(max_length=64),
        max_length=BARCODES_MAX,
        required=False,
        help_text=_("Added to those that it has; none is taken away."),
    )


class SpuIn(StrictSerializer):
    code = Code(
        max_length=CODE_MAX,
        required=False,
        help_text=_("Empty: the code rule gives one, and the product is new."),
    )
    name = Text(max_length=200, required=False, help_text=_("A new product needs one."))
    brand = Code(max_length=32, required=False, help_text=_("A new product needs one."))
    category = Code(max_length=32, required=False)
    season = Text(max_length=32, required=False, allow_blank=True)
    tags = serializers.ListField(child=Text(max_length=32), max_length=50, required=False)
    description = Text(max_length=20_000, required=False, allow_blank=True)
    attributes = serializers.DictField(child=Said(allow_null=True), required=False)
    skus = many(SkuIn, at_most=SKUS_MAX, required=False, allow_empty=True)


class SpuBatchIn(StrictSerializer):
    products = many(SpuIn, at_most=PRODUCTS_MAX)


class DefinedSkuOut(serializers.Serializer[Any]):
    code = serializers.CharField()
    result = serializers.ChoiceField(choices=RESULTS)


class DefinedOut(serializers.Serializer[Any]):
    """What came of one product; what was refused has left no trace."""

    code = serializers.CharField()
    result = serializers.ChoiceField(choices=RESULTS)
    skus = DefinedSkuOut(many=True)


class DefinedLineOut(serializers.Serializer[Any]):
    """As a single one, with its refusal instead where there is one. `status`: what it would be, alone."""

    code = serializers.CharField()
    status = serializers.IntegerField()
    result = serializers.ChoiceField(choices=LINE_RESULTS)
    reason = serializers.CharField()
    detail = serializers.CharField()
    fields = serializers.DictField(  # type: ignore[assignment]
        child=serializers.ListField(child=serializers.CharField())
    )
    skus = DefinedSkuOut(many=True)


class DefinedBatchOut(serializers.Serializer[Any]):
    results = DefinedLineOut(many=True)


@dataclass(frozen=True, slots=True)
class Known:
    """What the codes of a request mean to its caller."""

    brands: Mapping[str, int]
    categories: Mapping[str, int]
    foreign: Collection[str]  # codes of products that are somebody else's


def look_up(bodies: Sequence[Mapping[str, Any]], *, brand_ids: frozenset[int] | None) -> Known:
    """`brand_ids`: those of the caller; None: all."""
    brands = Brand.objects.filter(code__in={body["brand"] for body in bodies if "brand" in body})
    named = {body["code"] for body in bodies if body.get("code")}
    foreign: Collection[str] = ()
    if brand_ids is not None:
        brands = brands.filter(pk__in=brand_ids)
        foreign = set(
            Spu.objects.filter(code__in=named).exclude(brand__in=brand_ids).values_list("code", flat=True)
        )
    categories = {body["category"] for body in bodies if body.get("category")}
    return Known(
        dict(brands.values_list("code", "pk")),
        dict(Category.objects.filter(code__in=categories).values_list("code", "pk")),
        foreign,
    )


def faults_of(body: Mapping[str, Any], known: Known) -> dict[str, list[str]]:
    """What of a body names something that is not there, or not for this caller."""
    faults: dict[str, list[str]] = {}
    if body.get("code") in known.foreign:
        faults["code"] = [str(_("The code is taken."))]
    if "brand" in body and body["brand"] not in known.brands:
        faults["brand"] = [str(_("There is no such brand, or it is not yours."))]
    if "category" in body and body["category"] not in known.categories:
        faults["category"] = [str(_("There is no such category."))]
    return faults


def draft_of(body: Mapping[str, Any], known: Known) -> ProductDraft:
    """A body without faults as the room's own draft."""
    values = {name: body[name] for name in OF_PRODUCT if name in body}
    if "brand" in body:
        values["brand_id"] = known.brands[body["brand"]]
    if "category" in body:
        values["category_id"] = known.categories[body["category"]]
    skus = [
        SkuDraft(
            sku.get("code", ""),
            {name: sku[name] for name in OF_SKU if name in sku},
            sku.get("barcodes", ()),
        )
        for sku in body.get("skus", ())
    ]
    return ProductDraft(body.get("code", ""), values, skus)

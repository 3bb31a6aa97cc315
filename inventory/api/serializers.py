"""Stock as the API shows it and takes it in."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from inventory.models import Location, PublishedStock, QuotaRule, ShopExposure, StockLevel
from inventory.models.stock import Grade
from omni.kernel.api.fields import Code, StrictSerializer, Text, Whole, YesNo, many

LINES_MAX = 1000
QUESTIONS_MAX = 5000
UNITS_MAX = 1_000_000_000


class ReasonIn(StrictSerializer):
    reason = Text(max_length=200, default="", allow_blank=True)


class SaidReasonIn(StrictSerializer):
    """For acts that somebody has to answer for."""

    reason = Text(max_length=200)


class LocationOut(serializers.ModelSerializer[Location]):
    group = serializers.CharField(source="group.code", read_only=True)

    class Meta:
        model = Location
        fields = (
            "code",
            "name",
            "kind",
            "group",
            "owner",
            "province",
            "city",
            "priority",
            "ships_online",
            "ships_dealers",
            "offers_pickup",
            "takes_returns",
            "is_active",
        )
        read_only_fields = fields


class StockLevelOut(serializers.ModelSerializer[StockLevel]):
    """`free` = on hand − committed: what no order has been given yet at this location."""

    location = serializers.CharField(source="location.code", read_only=True)
    sku = serializers.CharField(source="sku.code", read_only=True)
    free = serializers.SerializerMethodField()

    class Meta:
        model = StockLevel
        fields = ("sku", "location", "owner", "grade", "on_hand", "committed", "free")
        read_only_fields = fields

    def get_free(self, level: StockLevel) -> int:
        return level.on_hand - level.committed


class PublishedStockOut(serializers.ModelSerializer[PublishedStock]):
    """What a channel was told about a listing: desired by us, sent, acknowledged."""

    shop = serializers.CharField(source="shop.code", read_only=True)
    sku = serializers.CharField(source="listing.sku.code", read_only=True)
    outer_item_id = serializers.CharField(source="listing.outer_item_id", read_only=True)
    outer_sku_id = serializers.CharField(source="listing.outer_sku_id", read_only=True)
    is_due = serializers.SerializerMethodField()

    class Meta:
        model = PublishedStock
        fields = (
            "shop",
            "sku",
            "outer_item_id",
            "outer_sku_id",
            "desired_quantity",
            "desired_at",
            "sent_quantity",
            "sent_at",
            "acked_quantity",
            "acked_at",
            "is_due",
            "attempts",
            "last_error",
        )
        read_only_fields = fields

    def get_is_due(self, published: PublishedStock) -> bool:
        return published.desired_version > published.acked_version


class SellableOut(serializers.Serializer[Any]):
    """The units that a shop may sell of a SKU at this moment."""

    sku = serializers.CharField()
    shop = serializers.CharField()
    sellable = serializers.IntegerField()


class SellableListOut(serializers.Serializer[Any]):
    results = SellableOut(many=True)


class InTransitOut(serializers.Serializer[Any]):
    """Units of a SKU that have left one location and not arrived at the other."""

    sku = serializers.CharField()
    transfer = serializers.CharField()
    from_location = serializers.CharField()
    to_location = serializers.CharField()
    grade = serializers.CharField()
    owner = serializers.CharField()
    units = serializers.IntegerField()
    shipped_at = serializers.DateTimeField()
    expected_at = serializers.DateTimeField(allow_null=True)


class InTransitListOut(serializers.Serializer[Any]):
    results = InTransitOut(many=True)


class QuestionIn(StrictSerializer):
    sku = Code(max_length=64)
    shop = Code(max_length=32)
    quantity = Whole(min_value=1, max_value=UNITS_MAX, default=1)
    date = serializers.DateField(
        required=False, help_text=_("A day to come is answered with null: only what is there now is known.")
    )


class AvailabilityIn(StrictSerializer):
    """Either `items`: can so many units be sold there? Or `skus`: how many can `shops` (without them: all) sell?"""

    items = many(QuestionIn, at_most=QUESTIONS_MAX, required=False)
    skus = serializers.ListField(
        child=Code(max_length=64), allow_empty=False, max_length=QUESTIONS_MAX, required=False
    )
    shops = serializers.ListField(
        child=Code(max_length=32), allow_empty=False, max_length=500, required=False
    )
    by_location = YesNo(
        required=False,
        help_text=_("Where it lies: for items unless you say false, for skus if you say true."),
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("items" in attrs) == ("skus" in attrs):
            raise serializers.ValidationError({"items": [_("Send items or skus, one of the two.")]})
        if "shops" in attrs and "items" in attrs:
            raise serializers.ValidationError({"shops": [_("Each of the items names its own shop.")]})
        return attrs


class FreeAtOut(serializers.Serializer[Any]):
    """Units of good stock that lie free at a location from which the shop is served."""

    location = serializers.CharField()
    free = serializers.IntegerField()


class AvailabilityOut(serializers.Serializer[Any]):
    """`can_be_met`: an order for this quantity alone would be promised all of it at this moment; `missing`: the units
    that it would lack. For a day to come both are null. Rows of `skus` have neither, and no quantity.
    """

    sku = serializers.CharField()
    shop = serializers.CharField()
    quantity = serializers.IntegerField(required=False)
    date = serializers.DateField(required=False)
    sellable = serializers.IntegerField()
    can_be_met = serializers.BooleanField(required=False, allow_null=True)
    missing = serializers.IntegerField(required=False, allow_null=True)
    locations = FreeAtOut(many=True, required=False)


class AvailabilityListOut(serializers.Serializer[Any]):
    """`as_of`: the moment of which it is true. `note`: what could not be answered, and why."""

    as_of = serializers.DateTimeField()
    note = serializers.CharField(allow_blank=True)
    results = AvailabilityOut(many=True)


class PlaceIn(StrictSerializer):
    """Which stock: a SKU at a location, of a grade and an owner."""

    location = Code(max_length=32)
    sku = Code(max_length=64)
    grade = serializers.ChoiceField(choices=Grade.choices, default=Grade.GOOD.value)
    owner = Code(max_length=32, default="own")


class ReceiptLineIn(PlaceIn):
    quantity = Whole(min_value=1, max_value=UNITS_MAX)


class CountLineIn(PlaceIn):
    counted = Whole(min_value=0, max_value=UNITS_MAX)


class AdjustmentLineIn(PlaceIn):
    quantity = Whole(min_value=-UNITS_MAX, max_value=UNITS_MAX, help_text=_("More or less; never 0."))


class DocumentIn(StrictSerializer):
    """`number`: the document's own number at the sender. The same number books once, for ever."""

    number = Code(max_length=100)
    reason = Text(max_length=200, default="", allow_blank=True)


class ReceiptIn(DocumentIn):
    lines = many(ReceiptLineIn, at_most=LINES_MAX)


class CountIn(DocumentIn):
    lines = many(CountLineIn, at_most=LINES_MAX)


class AdjustmentIn(DocumentIn):
    lines = many(AdjustmentLineIn, at_most=LINES_MAX)


class RegradeLineIn(StrictSerializer):
    """Units of a SKU at a location that get another grade."""

    location = Code(max_length=32)
    sku = Code(max_length=64)
    quantity = Whole(min_value=1, max_value=UNITS_MAX)
    from_grade = serializers.ChoiceField(choices=Grade.choices)
    to_grade = serializers.ChoiceField(choices=Grade.choices)
    owner = Code(max_length=32, default="own")


class RegradeIn(DocumentIn):
    lines = many(RegradeLineIn, at_most=LINES_MAX)


class BookedOut(serializers.Serializer[Any]):
    """`unchanged`: the number was booked before, with the same content."""

    number = serializers.CharField()
    result = serializers.ChoiceField(choices=["booked", "unchanged"])


class QuotaRuleOut(serializers.ModelSerializer[QuotaRule]):
    """With SKU, category and brand empty the rule is about every SKU. Parts are from 0 to 1."""

    group = serializers.CharField(source="group.code", read_only=True)
    shop = serializers.CharField(source="shop.code", read_only=True)
    sku = serializers.CharField(source="sku.code", read_only=True, default=None)
    category = serializers.CharField(source="category.code", read_only=True, default=None)
    brand = serializers.CharField(source="brand.code", read_only=True, default=None)

    class Meta:
        model = QuotaRule
        fields = (
            "id",
            "group",
            "shop",
            "sku",
            "category",
            "brand",
            "mode",
            "quota_ratio",
            "publish_ratio",
            "minimum",
            "maximum",
            "service_level",
            "priority",
            "is_active",
            "note",
        )
        read_only_fields = fields


class QuotaRuleIn(StrictSerializer):
    """A rule is named by its group, its shop and its scope: the same again changes the rule that is there."""

    group = Code(max_length=32)
    shop = Code(max_length=32)
    mode = serializers.ChoiceField(choices=QuotaRule.Mode.choices)
    sku = Code(max_length=64, required=False, allow_null=True, default=None)
    category = Code(max_length=64, required=False, allow_null=True, default=None)
    brand = Code(max_length=64, required=False, allow_null=True, default=None)
    quota_ratio = serializers.DecimalField(
        max_digits=6, decimal_places=4, required=False, allow_null=True, default=None
    )
    publish_ratio = serializers.DecimalField(max_digits=6, decimal_places=4, default=Decimal(1))
    minimum = Whole(min_value=0, max_value=UNITS_MAX, default=0)
    maximum = Whole(min_value=0, max_value=UNITS_MAX, required=False, allow_null=True, default=None)
    service_level = serializers.DecimalField(max_digits=5, decimal_places=4, default=Decimal("0.95"))
    priority = Whole(min_value=0, max_value=32_000, default=100)
    note = Text(max_length=200, default="", allow_blank=True)
    reason = Text(max_length=200, default="", allow_blank=True)


class ShopExposureOut(serializers.ModelSerializer[ShopExposure]):
    """Under `low_water` free units the shop shows ⌈n × part_to⌉ − ⌈n × part_from⌉ of the n that are left."""

    group = serializers.CharField(source="group.code", read_only=True)
    shop = serializers.CharField(source="shop.code", read_only=True)
    sku = serializers.CharField(source="sku.code", read_only=True)

    class Meta:
        model = ShopExposure
        fields = (
            "sku",
            "group",
            "shop",
            "units_per_hour",
            "low_water",
            "part_from",
            "part_to",
            "computed_at",
        )
        read_only_fields = fields


class WhyPoolOut(serializers.Serializer[Any]):
    """One pool that the shop draws on, and what it shows of it."""

    group = serializers.CharField()
    kind = serializers.CharField()
    pool_label = serializers.CharField()
    free = serializers.IntegerField()
    owed = serializers.IntegerField()
    publish_ratio = serializers.DecimalField(max_digits=6, decimal_places=4)
    is_divided = serializers.BooleanField()
    low_water = serializers.IntegerField(allow_null=True)
    part_from = serializers.DecimalField(max_digits=9, decimal_places=8, allow_null=True)
    part_to = serializers.DecimalField(max_digits=9, decimal_places=8, allow_null=True)
    shown = serializers.IntegerField()


class WhyComponentOut(serializers.Serializer[Any]):
    sku = serializers.CharField()
    units = serializers.IntegerField()
    sellable = serializers.IntegerField()
    bundles = serializers.IntegerField()


class WhyShopOut(serializers.Serializer[Any]):
    """`sellable` = what the pools show together − `buffer`, at most `maximum`; of a bundle what its components make."""

    shop = serializers.CharField()
    sellable = serializers.IntegerField()
    buffer = serializers.IntegerField()
    maximum = serializers.IntegerField(allow_null=True)
    quota_rule = serializers.IntegerField(allow_null=True)
    mode = serializers.CharField(allow_null=True)
    pools = WhyPoolOut(many=True)
    components = WhyComponentOut(many=True)


class WhyStockOut(serializers.Serializer[Any]):
    """Why each shop may sell as much of the SKU as it may."""

    sku = serializers.CharField()
    shops = WhyShopOut(many=True)

"""Orders, shipments and parked orders as the API shows them and takes them in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from omni.kernel.api.fields import Amount, Code, Moment, StrictSerializer, Text, Whole, YesNo, many
from orders.draft import ChannelState, LineDraft, LineRefund, OrderDraft, Receiver
from orders.faults import QUANTITY_MAX
from orders.models import (
    BundleLine,
    FulfilmentLine,
    FulfilmentOrder,
    OrderEvent,
    OrderHold,
    Parcel,
    ParcelLine,
    ParkedOrder,
    SalesOrder,
    SalesOrderLine,
)
from products.models import Shop

LINES_MAX = 500
BATCH_MAX = 50
# `unknown` is what Omni says of states that it does not know; whoever calls this API knows what it means.
STATES = [state.value for state in ChannelState if state is not ChannelState.UNKNOWN]
FREE = Decimal("0.0000")
HOLD_FATES = ["taken", "kept", "expired", "over", "unknown"]
RESULTS = ["new", "changed", "unchanged", "stale", "parked", "refused"]

# --- in -----------------------------------------------------------------------------------------------------


class ReceiverIn(StrictSerializer):
    """Where the parcel goes. Texts that are masks say so with `is_masked`, and `token` is the way to the plain ones."""

    name = Text(max_length=80, default="", allow_blank=True)
    mobile = Text(max_length=40, default="", allow_blank=True)
    phone = Text(max_length=40, default="", allow_blank=True)
    country = Text(max_length=40, default="", allow_blank=True)
    province = Text(max_length=40, default="", allow_blank=True)
    city = Text(max_length=40, default="", allow_blank=True)
    district = Text(max_length=40, default="", allow_blank=True)
    town = Text(max_length=40, default="", allow_blank=True)
    address = Text(max_length=400, default="", allow_blank=True)
    postcode = Text(max_length=20, default="", allow_blank=True)
    token = Text(max_length=400, default="", allow_blank=True)
    is_masked = YesNo(default=False)


class LineIn(StrictSerializer):
    """One line: what, how many, and what the buyer pays for all of it (`amount`)."""

    outer_line_id = Code(max_length=64)
    sku = Code(max_length=64, default="", allow_blank=True, help_text=_("Our SKU code."))
    outer_item_id = Code(max_length=64, default="", allow_blank=True)
    outer_sku_id = Code(max_length=64, default="", allow_blank=True)
    quantity = Whole(min_value=1, max_value=QUANTITY_MAX)
    unit_price = Amount()
    amount = Amount(help_text=_("What the buyer pays for the line, after every discount."))
    title = Text(max_length=240, default="", allow_blank=True)
    refund = serializers.ChoiceField(choices=[refund.value for refund in LineRefund], default="none")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not (attrs["sku"] or attrs["outer_item_id"]):
            raise serializers.ValidationError({"sku": [_("Name the SKU, or the item of a listing.")]})
        return attrs


class OrderIn(StrictSerializer):
    """One version of one order. `modified_at` tells versions apart: an older one never overwrites a newer one."""

    outer_id = Code(max_length=64)
    state = serializers.ChoiceField(choices=STATES, default=ChannelState.TO_SHIP.value)
    placed_at = Moment()
    paid_at = Moment(default=None, allow_null=True)
    modified_at = Moment(default=None, allow_null=True)
    ship_by = Moment(default=None, allow_null=True)
    currency = serializers.RegexField(r"\A[A-Z]{3}\Z")
    total_amount = Amount(help_text=_("What the buyer pays in all: the lines and the freight."))
    freight_amount = Amount(default=FREE)
    discount_amount = Amount(default=FREE, help_text=_("For information: already inside the lines."))
    buyer = Text(max_length=120, default="", allow_blank=True)
    buyer_message = Text(max_length=2000, default="", allow_blank=True)
    seller_memo = Text(max_length=2000, default="", allow_blank=True)
    receiver = ReceiverIn(default=dict)
    hold = Code(
        max_length=120,
        required=False,
        help_text=_("The key of a stock hold of the shop whose units the order takes over."),
    )
    lines = many(LineIn, at_most=LINES_MAX)


class ShopOrderIn(OrderIn):
    shop = Code(max_length=32)


@extend_schema_field(OrderIn)
class UnreadOrder(serializers.Field[Any, Any, Any, Any]):
    """An order that is read later, so that its faults are its own and not the batch's."""

    def to_internal_value(self, data: Any) -> Any:
        return data


class OrderBatchIn(StrictSerializer):
    shop = Code(max_length=32)
    orders = serializers.ListField(child=UnreadOrder(), allow_empty=False, max_length=BATCH_MAX)


class CancelLineIn(StrictSerializer):
    """So many units of a line; where it sells bundles, so many bundles."""

    outer_line_id = Code(max_length=64)
    quantity = Whole(min_value=1, max_value=QUANTITY_MAX)


class CancelIn(StrictSerializer):
    """Without `lines`: all that is still open."""

    reason = Text(max_length=200)
    lines = many(CancelLineIn, at_most=LINES_MAX, required=False)


def draft_of(order: Mapping[str, Any], *, at: datetime) -> OrderDraft:
    """The draft that a checked order comes to.

    Its payload is the order as checked, so that equal content is known however it was written down. Without a
    `modified_at` it counts as said now. The hold that it names is no part of it: an order is the same with and without.
    """
    lines = [
        LineDraft(
            outer_line_id=line["outer_line_id"],
            quantity=line["quantity"],
            unit_price=line["unit_price"],
            amount=line["amount"],
            title=line["title"],
            outer_item_id=line["outer_item_id"],
            outer_sku_id=line["outer_sku_id"],
            sku_code=line["sku"],
            refund=LineRefund(line["refund"]),
        )
        for line in order["lines"]
    ]
    return OrderDraft(
        outer_id=order["outer_id"],
        state=ChannelState(order["state"]),
        outer_modified_at=order["modified_at"] or at,
        placed_at=order["placed_at"],
        paid_at=order["paid_at"],
        ship_by=order["ship_by"],
        currency=order["currency"],
        total_amount=order["total_amount"],
        freight_amount=order["freight_amount"],
        discount_amount=order["discount_amount"],
        buyer=order["buyer"],
        buyer_message=order["buyer_message"],
        seller_memo=order["seller_memo"],
        receiver=Receiver(**order["receiver"]),
        lines=lines,
        payload={name: value for name, value in order.items() if name != "hold"}
        if "hold" in order
        else order,
    )


# --- out ----------------------------------------------------------------------------------------------------


class CapturedOut(serializers.Serializer[Any]):
    """What became of an order that was sent.

    `new`, `changed`, `unchanged`; `stale`: a newer version is known, this one was kept and not applied; `parked`:
    kept until a person has mended the cause; `refused` (in batches only): not taken, no trace is left.
    """

    outer_id = serializers.CharField()
    result = serializers.ChoiceField(choices=RESULTS)
    number = serializers.CharField(allow_blank=True)
    reason = serializers.CharField(allow_blank=True)
    detail = serializers.CharField(allow_blank=True)
    field = serializers.CharField(allow_blank=True)
    hold = serializers.ChoiceField(
        choices=HOLD_FATES,
        required=False,
        help_text=_(
            "Of the hold that the order named. taken: its units are the order's, the rest of it is given back; kept: it"
            " stays until it expires; expired, over, unknown: the order was served as if there had been none."
        ),
    )


class BatchResultOut(CapturedOut):
    """`status`: what the order would have been answered with, had it been sent alone."""

    status = serializers.IntegerField()
    fields = serializers.DictField(  # type: ignore[assignment]
        child=serializers.ListField(child=serializers.CharField())
    )


class BatchOut(serializers.Serializer[Any]):
    results = BatchResultOut(many=True)


class CancelOut(serializers.Serializer[Any]):
    """`asked`: a warehouse has the order and must answer first; the order shows what it said."""

    number = serializers.CharField()
    outcome = serializers.ChoiceField(choices=["cancelled", "asked"])
    detail = serializers.CharField(allow_blank=True)


class RetryOut(CapturedOut):
    id = serializers.IntegerField()


class OrderOut(serializers.ModelSerializer[SalesOrder]):
    """An order as lists show it. The receiver is masked: no personal data leaves by this door."""

    shop = serializers.CharField(source="shop.code", read_only=True)
    receiver = serializers.CharField(source="receiver_mask", read_only=True)

    class Meta:
        model = SalesOrder
        fields = (
            "number",
            "shop",
            "outer_id",
            "stage",
            "open_holds",
            "short_lines",
            "currency",
            "total_amount",
            "freight_amount",
            "discount_amount",
            "receiver",
            "placed_at",
            "paid_at",
            "ship_by",
            "captured_at",
            "stage_at",
        )
        read_only_fields = fields


class BundleLineOut(serializers.ModelSerializer[BundleLine]):
    """A line as it was sold where that was a bundle; among `lines` are its components, with the same line id."""

    sku = serializers.CharField(source="sku.code", read_only=True)

    class Meta:
        model = BundleLine
        fields = ("outer_line_id", "sku", "title", "quantity", "unit_price", "amount")
        read_only_fields = fields


class OrderLineOut(serializers.ModelSerializer[SalesOrderLine]):
    """What is kept and sent. `bundle`: the SKU of the bundle that was sold, `bundle_units` of this lie in each."""

    sku = serializers.CharField(source="sku.code", read_only=True)
    bundle = serializers.CharField(source="bundle.sku.code", default=None, read_only=True, allow_null=True)

    class Meta:
        model = SalesOrderLine
        fields = (
            "outer_line_id",
            "sku",
            "title",
            "quantity",
            "unit_price",
            "amount",
            "short_quantity",
            "cancel_wanted",
            "cancelled_quantity",
            "shipped_quantity",
            "returned_quantity",
            "bundle",
            "bundle_units",
        )
        read_only_fields = fields


class HoldOut(serializers.ModelSerializer[OrderHold]):
    reason = serializers.CharField(source="reason_said", read_only=True)
    note = serializers.CharField(source="note_said", read_only=True)

    class Meta:
        model = OrderHold
        fields = (
            "kind",
            "state",
            "reason",
            "placed_by",
            "placed_at",
            "resolved_by",
            "resolved_at",
            "note",
        )
        read_only_fields = fields


class EventOut(serializers.ModelSerializer[OrderEvent]):
    detail = serializers.DictField(read_only=True)

    class Meta:
        model = OrderEvent
        fields = ("at", "side", "kind", "by", "detail")
        read_only_fields = fields


class ParcelLineOut(serializers.ModelSerializer[ParcelLine]):
    order = serializers.CharField(source="fulfilment_line.order.number", read_only=True)
    outer_line_id = serializers.CharField(source="fulfilment_line.order_line.outer_line_id", read_only=True)
    sku = serializers.CharField(source="fulfilment_line.sku.code", read_only=True)

    class Meta:
        model = ParcelLine
        fields = ("order", "outer_line_id", "sku", "quantity")
        read_only_fields = fields


class ShipmentOut(serializers.ModelSerializer[Parcel]):
    """A parcel that left, with the lines of the orders that the caller may see."""

    fulfilment = serializers.CharField(source="shipment.fulfilment.number", read_only=True)
    location = serializers.CharField(source="shipment.fulfilment.location.code", read_only=True)
    shipped_at = serializers.DateTimeField(source="shipment.shipped_at", read_only=True)
    lines = ParcelLineOut(source="visible_lines", many=True, read_only=True)

    class Meta:
        model = Parcel
        fields = (
            "id",
            "fulfilment",
            "location",
            "carrier_code",
            "tracking_no",
            "weight_grams",
            "shipped_at",
            "lines",
        )
        read_only_fields = fields


class FulfilmentLineOut(serializers.ModelSerializer[FulfilmentLine]):
    outer_line_id = serializers.CharField(source="order_line.outer_line_id", read_only=True)

    class Meta:
        model = FulfilmentLine
        fields = ("outer_line_id", "quantity", "shipped_quantity")
        read_only_fields = fields


class FulfilmentOut(serializers.ModelSerializer[FulfilmentOrder]):
    """What a location was asked to send of this order."""

    location = serializers.CharField(source="location.code", read_only=True)
    lines = FulfilmentLineOut(source="visible_lines", many=True, read_only=True)

    class Meta:
        model = FulfilmentOrder
        fields = ("number", "location", "state", "refusal", "requested_at", "accepted_at", "lines")
        read_only_fields = fields


class OrderDetailOut(OrderOut):
    """An order with everything that belongs to it, and its timeline, oldest first."""

    lines = OrderLineOut(many=True, read_only=True)
    bundles = BundleLineOut(source="sold_bundles", many=True, read_only=True)
    holds = HoldOut(many=True, read_only=True)
    fulfilments = FulfilmentOut(many=True, read_only=True)
    parcels = ShipmentOut(many=True, read_only=True)
    timeline = EventOut(source="events", many=True, read_only=True)

    class Meta:
        model = SalesOrder
        fields = (
            *OrderOut.Meta.fields,
            "buyer",
            "buyer_message",
            "seller_memo",
            "lines",
            "bundles",
            "holds",
            "fulfilments",
            "parcels",
            "timeline",
        )
        read_only_fields = fields


class ParkedOrderOut(serializers.ModelSerializer[ParkedOrder]):
    """An order that could not be taken, and why. Mend the cause, then retry."""

    shop = serializers.CharField(source="shop.code", read_only=True)
    detail = serializers.CharField(source="detail_said", read_only=True)

    class Meta:
        model = ParkedOrder
        fields = (
            "id",
            "shop",
            "outer_id",
            "reason",
            "detail",
            "source",
            "state",
            "attempts",
            "note",
            "parked_at",
            "closed_at",
            "closed_by",
        )
        read_only_fields = fields


def check_currency(shop: Shop, order: Mapping[str, Any]) -> dict[str, list[str]]:
    """Faults by field: a shop sells in its own currency."""
    if order["currency"] == shop.currency:
        return {}
    return {"currency": [str(_("The shop sells in %s.") % shop.currency)]}

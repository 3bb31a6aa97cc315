"""Transfers, count sheets and the uses of locations over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from inventory.api.filters import LocationFilter
from inventory.api.serializers import LINES_MAX, UNITS_MAX, LocationOut, SaidReasonIn
from inventory.models import CountLine, CountSheet, Location, Transfer, TransferLine
from inventory.models.stock import Grade
from inventory.network.switch import Use, switch_location
from inventory.network.tally import (
    CountedLine,
    confirm_count_sheet,
    open_count_sheet,
    reject_count_sheet,
    submit_count_sheet,
)
from inventory.network.transfer import (
    Arrival,
    TransferItem,
    cancel_transfer,
    close_transfer,
    plan_transfer,
    receive_transfer,
    ship_transfer,
)
from omni.kernel.api.fields import Code, Moment, StrictSerializer, Text, Whole, YesNo, many
from omni.kernel.api.filters import StrictFilterSet
from omni.kernel.api.idempotency import PARAMETER, Answer, actor_of, answer_once
from omni.kernel.api.views import ReadingView
from omni.kernel.errors import NotAllowed
from omni.kernel.sentences import read_sentence
from products.api.scope import visible_skus
from products.models import Sku

SCOPES = {"read": "stock:read", "write": "stock:write"}


class NotForAll(NotAllowed):
    """The key is for some shops, and a location concerns all."""

    code = "not_for_all"


def wholly_visible(request: Request, lines: QuerySet[Any], parent: str) -> Q:
    """Documents all of whose lines are of SKUs that the caller may see: half a document is none."""
    visible = visible_skus(request, "sku")
    if not visible:
        return Q()
    own = lines.filter(**{parent: OuterRef("pk")})
    return Q(Exists(own)) & ~Q(Exists(own.exclude(visible)))


def _find(rows: QuerySet[Any], codes: Sequence[str], field: str, text: str) -> dict[str, int]:
    found = dict(rows.filter(code__in=set(codes)).values_list("code", "pk"))
    if missing := sorted(set(codes) - set(found)):
        raise ValidationError({field: [text % code for code in missing[:20]]})
    return found


def _find_skus(request: Request, lines: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    rows = Sku.objects.filter(visible_skus(request))
    return _find(rows, [line["sku"] for line in lines], "lines", _("There is no SKU “%s”."))


def _find_place(code: str, field: str) -> int:
    return _find(Location.objects.all(), [code], field, _("There is no location “%s”."))[code]


class GoodsIn(StrictSerializer):
    sku = Code(max_length=64)
    grade = serializers.ChoiceField(choices=Grade.choices, default=Grade.GOOD.value)
    owner = Code(max_length=32, default="own")


class SubmitIn(StrictSerializer):
    """To finish counting needs no words."""


# --- locations ----------------------------------------------------------------------------------------------


class SwitchIn(StrictSerializer):
    """One use of a location, on or off. The pooling rules are asked afterwards."""

    use = serializers.ChoiceField(choices=[use.value for use in Use])
    is_on = YesNo()
    reason = Text(max_length=200)


class LocationView(ReadingView):
    """Warehouses and stores."""

    scopes = SCOPES
    serializer_class = LocationOut
    filterset_class = LocationFilter
    lookup_field = "code"
    queryset = Location.objects.select_related("group")

    @property
    def staff_permission(self) -> str:
        is_reading = (self.action or "") in {"list", "retrieve"}
        return "inventory.view_location" if is_reading else "inventory.change_location"

    @extend_schema(
        operation_id="locations_switch",
        request=SwitchIn,
        parameters=[PARAMETER],
        responses={200: LocationOut},
    )
    @action(detail=True, methods=["post"])
    def switch(self, request: Request, code: str) -> Response:
        """Switch a use on or off. Off for online orders, no shop sells what lies there."""
        said = READ_SWITCH.run_validation(request.data)
        location = self.get_object()
        if getattr(request.auth, "shop_ids", None):
            raise NotForAll(_("This key is for some shops; a location concerns all of them."))

        def act() -> Answer:
            switch_location(location_id=location.pk, at=timezone.now(), by=actor_of(request), **said)
            return Answer(200, dict(LocationOut(self.queryset.get(pk=location.pk)).data))

        return answer_once(request, act)


# --- transfers ----------------------------------------------------------------------------------------------


class TransferLineOut(serializers.ModelSerializer[TransferLine]):
    """shipped = received + lost + in transit. `damaged`: the part of what was received that came in another grade."""

    sku = serializers.CharField(source="sku.code", read_only=True)
    in_transit = serializers.SerializerMethodField()

    class Meta:
        model = TransferLine
        fields = (
            "sku",
            "grade",
            "owner",
            "quantity",
            "shipped",
            "received",
            "damaged",
            "lost",
            "in_transit",
            "reason",
        )
        read_only_fields = fields

    def get_in_transit(self, line: TransferLine) -> int:
        return line.shipped - line.received - line.lost


class TransferOut(serializers.ModelSerializer[Transfer]):
    from_location = serializers.CharField(source="source.code", read_only=True)
    to_location = serializers.CharField(source="destination.code", read_only=True)
    lines = TransferLineOut(many=True, read_only=True)

    class Meta:
        model = Transfer
        fields = (
            "number",
            "external_number",
            "from_location",
            "to_location",
            "state",
            "note",
            "created_at",
            "shipped_at",
            "expected_at",
            "closed_at",
            "lines",
        )
        read_only_fields = fields


class TransferLineIn(GoodsIn):
    quantity = Whole(min_value=1, max_value=UNITS_MAX)


class TransferIn(StrictSerializer):
    """`external_number`: the sender's own; the same number makes one transfer, for ever."""

    external_number = Code(max_length=80)
    from_location = Code(max_length=32)
    to_location = Code(max_length=32)
    expected_at = Moment(default=None, allow_null=True)
    note = Text(max_length=200, default="", allow_blank=True)
    lines = many(TransferLineIn, at_most=LINES_MAX)


class ShippedLineIn(GoodsIn):
    quantity = Whole(min_value=0, max_value=UNITS_MAX)


class TransferShipIn(StrictSerializer):
    """`lines`: what really left; a line that is not named stays. None: all that was planned."""

    lines = many(ShippedLineIn, at_most=LINES_MAX, required=False)


class ArrivalIn(GoodsIn):
    """`received`: units that arrived, damaged ones included. `lost` units need a `reason`."""

    received = Whole(min_value=0, max_value=UNITS_MAX)
    damaged = Whole(min_value=0, max_value=UNITS_MAX, default=0)
    damaged_grade = serializers.ChoiceField(choices=Grade.choices, default=Grade.DEFECTIVE.value)
    lost = Whole(min_value=0, max_value=UNITS_MAX, default=0)
    reason = serializers.ChoiceField(choices=TransferLine.Discrepancy.choices, default="", allow_blank=True)


class TransferReceiptIn(StrictSerializer):
    """`number`: the receipt's own at the sender. The same number counts once, for ever."""

    number = Code(max_length=80)
    note = Text(max_length=200, default="", allow_blank=True)
    lines = many(ArrivalIn, at_most=LINES_MAX)


class TransferCloseIn(StrictSerializer):
    reason = serializers.ChoiceField(choices=TransferLine.Discrepancy.choices)
    note = Text(max_length=200, default="", allow_blank=True)


class TransferFilter(StrictFilterSet):
    state = filters.ChoiceFilter(choices=Transfer.State.choices)
    from_location = filters.CharFilter("source__code", max_length=32)
    to_location = filters.CharFilter("destination__code", max_length=32)
    external_number = filters.CharFilter("external_number", max_length=80)


class TransferView(ReadingView):
    """Goods on their way between locations."""

    scopes = SCOPES
    serializer_class = TransferOut
    filterset_class = TransferFilter
    lookup_field = "number"
    queryset = Transfer.objects.select_related("source", "destination")
    PERMISSIONS: ClassVar = {
        "list": "inventory.view_transfer",
        "retrieve": "inventory.view_transfer",
        "create": "inventory.add_transfer",
    }

    @property
    def staff_permission(self) -> str:
        return self.PERMISSIONS.get(self.action or "", "inventory.change_transfer")

    def get_queryset(self) -> QuerySet[Transfer]:
        lines = TransferLine.objects.select_related("sku").order_by("pk")
        rows = self.queryset.filter(wholly_visible(self.request, TransferLine.objects.all(), "transfer"))
        return rows.prefetch_related(Prefetch("lines", lines))

    def _said(self, pk: int, status: int = 200) -> Answer:
        row = self.get_queryset().get(pk=pk)
        return Answer(status, dict(TransferOut(row).data), {"Location": f"/api/v1/transfers/{row.number}"})

    def _act(self, request: Request, act: Callable[[Transfer], object]) -> Response:
        transfer = self.get_object()

        def once() -> Answer:
            act(transfer)
            return self._said(transfer.pk)

        return answer_once(request, once)

    @extend_schema(
        operation_id="transfers_create",
        request=TransferIn,
        parameters=[PARAMETER],
        responses={201: TransferOut},
    )
    def create(self, request: Request) -> Response:
        """Plan one as a draft. The same external number with the same content gives the one that was made before."""
        said = READ_TRANSFER.run_validation(request.data)
        skus = _find_skus(request, said["lines"])
        source = _find_place(said["from_location"], "from_location")
        destination = _find_place(said["to_location"], "to_location")
        items = [
            TransferItem(skus[line["sku"]], line["quantity"], line["grade"], line["owner"])
            for line in said["lines"]
        ]

        def once() -> Answer:
            transfer = plan_transfer(
                source_id=source,
                destination_id=destination,
                items=items,
                note=said["note"],
                external_number=said["external_number"],
                expected_at=said["expected_at"],
                at=timezone.now(),
                by=actor_of(request),
            )
            return self._said(transfer.pk, 201)

        return answer_once(request, once)

    @extend_schema(
        operation_id="transfers_ship",
        request=TransferShipIn,
        parameters=[PARAMETER],
        responses={200: TransferOut},
    )
    @action(detail=True, methods=["post"])
    def ship(self, request: Request, number: str) -> Response:
        """The goods leave. Only what is free may; all of it or nothing."""
        said = READ_SHIP.run_validation(request.data or {})

        def act(transfer: Transfer) -> None:
            quantities = None
            if "lines" in said:
                quantities = dict.fromkeys(_line_ids(transfer).values(), 0)
                named = _name_lines(transfer, said["lines"])
                quantities |= {ident: line["quantity"] for ident, line in named}
            ship_transfer(
                transfer_id=transfer.pk, quantities=quantities, at=timezone.now(), by=actor_of(request)
            )

        return self._act(request, act)

    @extend_schema(
        operation_id="transfers_receive",
        request=TransferReceiptIn,
        parameters=[PARAMETER],
        responses={200: TransferOut},
    )
    @action(detail=True, methods=["post"])
    def receipts(self, request: Request, number: str) -> Response:
        """What came this time, what of it is damaged, and what is lost. It closes by itself."""
        said = READ_RECEIPT.run_validation(request.data)

        def act(transfer: Transfer) -> None:
            arrivals = [
                Arrival(
                    ident,
                    line["received"],
                    damaged=line["damaged"],
                    lost=line["lost"],
                    reason=line["reason"],
                    damaged_grade=line["damaged_grade"],
                )
                for ident, line in _name_lines(transfer, said["lines"])
            ]
            receive_transfer(
                key=f"transfer_receipt:{said['number']}",
                transfer_id=transfer.pk,
                arrivals=arrivals,
                note=said["note"],
                at=timezone.now(),
                by=actor_of(request),
            )

        return self._act(request, act)

    @extend_schema(
        operation_id="transfers_close",
        request=TransferCloseIn,
        parameters=[PARAMETER],
        responses={200: TransferOut},
    )
    @action(detail=True, methods=["post"])
    def close(self, request: Request, number: str) -> Response:
        """What has not arrived is lost, for this reason."""
        said = READ_CLOSE.run_validation(request.data)
        at, by = timezone.now(), actor_of(request)
        return self._act(
            request, lambda transfer: close_transfer(transfer_id=transfer.pk, at=at, by=by, **said)
        )

    @extend_schema(
        operation_id="transfers_cancel",
        request=SaidReasonIn,
        parameters=[PARAMETER],
        responses={200: TransferOut},
    )
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, number: str) -> Response:
        """Drop a draft."""
        said = READ_REASON.run_validation(request.data)
        at, by = timezone.now(), actor_of(request)
        return self._act(
            request, lambda transfer: cancel_transfer(transfer_id=transfer.pk, at=at, by=by, **said)
        )


def _line_ids(transfer: Transfer) -> dict[tuple[str, str, str], int]:
    return {(line.sku.code, line.grade, line.owner): line.pk for line in transfer.lines.all()}


def _name_lines(transfer: Transfer, lines: Sequence[dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    """What was sent about goods, by the line of the transfer that carries them."""
    known = _line_ids(transfer)
    goods = [(line["sku"], line["grade"], line["owner"]) for line in lines]
    if missing := [each for each in goods if each not in known]:
        raise ValidationError(
            {"lines": [_("The transfer has no “%s”.") % " / ".join(each) for each in missing[:20]]}
        )
    return [(known[each], line) for each, line in zip(goods, lines, strict=True)]


# --- count sheets -------------------------------------------------------------------------------------------


class SheetLineOut(serializers.ModelSerializer[CountLine]):
    """`variance` = counted − booked; `posted`: what of it is in the books. `remark`: why it is not."""

    sku = serializers.CharField(source="sku.code", read_only=True)
    variance = serializers.SerializerMethodField()
    remark = serializers.SerializerMethodField()

    class Meta:
        model = CountLine
        fields = ("sku", "grade", "owner", "counted", "booked", "variance", "posted", "remark")
        read_only_fields = fields

    @extend_schema_field(serializers.IntegerField(allow_null=True))
    def get_variance(self, line: CountLine) -> int | None:
        return None if line.booked is None else line.counted - line.booked

    def get_remark(self, line: CountLine) -> str:
        return read_sentence(line.reason)


class CountSheetOut(serializers.ModelSerializer[CountSheet]):
    location = serializers.CharField(source="location.code", read_only=True)
    lines = SheetLineOut(many=True, read_only=True)

    class Meta:
        model = CountSheet
        fields = (
            "number",
            "external_number",
            "location",
            "state",
            "counted_at",
            "note",
            "created_at",
            "decided_at",
            "reason",
            "lines",
        )
        read_only_fields = fields


class SheetLineIn(GoodsIn):
    counted = Whole(min_value=0, max_value=UNITS_MAX)


class CountSheetIn(StrictSerializer):
    """`counted_at`: the moment for which the counts hold. `external_number`: the same opens one sheet, for ever."""

    external_number = Code(max_length=80)
    location = Code(max_length=32)
    counted_at = Moment()
    note = Text(max_length=200, default="", allow_blank=True)
    lines = many(SheetLineIn, at_most=LINES_MAX)


class CountSheetFilter(StrictFilterSet):
    state = filters.ChoiceFilter(choices=CountSheet.State.choices)
    location = filters.CharFilter("location__code", max_length=32)
    external_number = filters.CharFilter("external_number", max_length=80)


class CountSheetView(ReadingView):
    """Counts that change the books only when a person has confirmed their variances."""

    scopes = SCOPES
    serializer_class = CountSheetOut
    filterset_class = CountSheetFilter
    lookup_field = "number"
    queryset = CountSheet.objects.select_related("location")
    PERMISSIONS: ClassVar = {
        "list": "inventory.view_countsheet",
        "retrieve": "inventory.view_countsheet",
        "create": "inventory.add_countsheet",
    }

    @property
    def staff_permission(self) -> str:
        return self.PERMISSIONS.get(self.action or "", "inventory.change_countsheet")

    def get_queryset(self) -> QuerySet[CountSheet]:
        lines = CountLine.objects.select_related("sku").order_by("pk")
        rows = self.queryset.filter(wholly_visible(self.request, CountLine.objects.all(), "sheet"))
        return rows.prefetch_related(Prefetch("lines", lines))

    def _said(self, pk: int, status: int = 200) -> Answer:
        row = self.get_queryset().get(pk=pk)
        where = {"Location": f"/api/v1/count-sheets/{row.number}"}
        return Answer(status, dict(CountSheetOut(row).data), where)

    def _act(self, request: Request, act: Callable[[CountSheet], object]) -> Response:
        sheet = self.get_object()

        def once() -> Answer:
            act(sheet)
            return self._said(sheet.pk)

        return answer_once(request, once)

    @extend_schema(
        operation_id="count_sheets_create",
        request=CountSheetIn,
        parameters=[PARAMETER],
        responses={201: CountSheetOut},
    )
    def create(self, request: Request) -> Response:
        """Write down what was counted. Nothing is booked by it."""
        said = READ_SHEET.run_validation(request.data)
        skus = _find_skus(request, said["lines"])
        location = _find_place(said["location"], "location")
        lines = [
            CountedLine(skus[line["sku"]], line["counted"], line["grade"], line["owner"])
            for line in said["lines"]
        ]

        def once() -> Answer:
            sheet = open_count_sheet(
                location_id=location,
                lines=lines,
                counted_at=said["counted_at"],
                note=said["note"],
                external_number=said["external_number"],
                at=timezone.now(),
                by=actor_of(request),
            )
            return self._said(sheet.pk, 201)

        return answer_once(request, once)

    @extend_schema(
        operation_id="count_sheets_submit",
        request=SubmitIn,
        parameters=[PARAMETER],
        responses={200: CountSheetOut},
    )
    @action(detail=True, methods=["post"])
    def submit(self, request: Request, number: str) -> Response:
        """Counting is finished: what the books said at that moment stands beside each count."""
        READ_SUBMIT.run_validation(request.data or {})
        at, by = timezone.now(), actor_of(request)
        return self._act(request, lambda sheet: submit_count_sheet(sheet_id=sheet.pk, at=at, by=by))

    @extend_schema(
        operation_id="count_sheets_confirm",
        request=SaidReasonIn,
        parameters=[PARAMETER],
        responses={200: CountSheetOut},
    )
    @action(detail=True, methods=["post"])
    def confirm(self, request: Request, number: str) -> Response:
        """Book the variances. For signed-in people only: a key is refused. Lines that cannot be booked say why."""
        said = READ_REASON.run_validation(request.data)
        at, by = timezone.now(), actor_of(request)
        return self._act(request, lambda sheet: confirm_count_sheet(sheet_id=sheet.pk, at=at, by=by, **said))

    @extend_schema(
        operation_id="count_sheets_reject",
        request=SaidReasonIn,
        parameters=[PARAMETER],
        responses={200: CountSheetOut},
    )
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, number: str) -> Response:
        """Book nothing of it. For signed-in people only: a key is refused."""
        said = READ_REASON.run_validation(request.data)
        at, by = timezone.now(), actor_of(request)
        return self._act(request, lambda sheet: reject_count_sheet(sheet_id=sheet.pk, at=at, by=by, **said))


READ_SWITCH, READ_SUBMIT, READ_REASON = SwitchIn(), SubmitIn(), SaidReasonIn()
READ_TRANSFER, READ_SHIP, READ_RECEIPT = TransferIn(), TransferShipIn(), TransferReceiptIn()
READ_CLOSE, READ_SHEET = TransferCloseIn(), CountSheetIn()

"""Read stock, ask what can be sold, and book what came, was counted or was corrected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from inventory.adjust import StockAdjustment, adjust_stock
from inventory.api import filters, serializers
from inventory.availability import free_by_location, sellable_stock
from inventory.count import StockCount, count_stock
from inventory.models import Location, PublishedStock, StockLevel
from inventory.network.transit import in_transit
from inventory.receive import StockReceipt, receive_stock
from inventory.regrade import Regrade, regrade_stock
from omni.kernel.api.idempotency import PARAMETER, Answer, actor_of, answer_once
from omni.kernel.api.views import HouseView, ReadingView
from products.api.scope import in_shops, visible_skus
from products.models import Shop, Sku

SCOPES = {"read": "stock:read", "write": "stock:write"}
SKUS_MAX = 100


class StockLevelView(ReadingView):
    """What lies where."""

    scopes = SCOPES
    staff_permission = "inventory.view_stocklevel"
    serializer_class = serializers.StockLevelOut
    filterset_class = filters.StockLevelFilter
    queryset = StockLevel.objects.select_related("location", "sku")

    def get_queryset(self) -> QuerySet[StockLevel]:
        return self.queryset.filter(visible_skus(self.request, "sku"))


class InTransitView(HouseView):
    """What is on its way between locations."""

    scopes = SCOPES
    staff_permission = "inventory.view_stocklevel"

    @extend_schema(
        operation_id="stock_in_transit",
        parameters=[
            OpenApiParameter("sku", str, required=True, description="SKU codes, separated by commas."),
        ],
        responses=serializers.InTransitListOut,
    )
    def get(self, request: Request) -> Response:
        skus = _skus(request, _codes(request, "sku"), field="sku")
        found = in_transit(skus.values())
        rows = [
            {
                "sku": code,
                "transfer": part.number,
                "from_location": part.source_code,
                "to_location": part.destination_code,
                "grade": part.grade,
                "owner": part.owner,
                "units": part.units,
                "shipped_at": part.shipped_at,
                "expected_at": part.expected_at,
            }
            for code, sku_id in skus.items()
            for part in found.get(sku_id, ())
        ]
        return Response(serializers.InTransitListOut({"results": rows}).data)


class PublishedStockView(ReadingView):
    """What the channels were told."""

    scopes = SCOPES
    staff_permission = "inventory.view_publishedstock"
    serializer_class = serializers.PublishedStockOut
    filterset_class = filters.PublishedStockFilter
    queryset = PublishedStock.objects.select_related("shop", "listing__sku")

    def get_queryset(self) -> QuerySet[PublishedStock]:
        return self.queryset.filter(in_shops(self.request))


class SellableView(HouseView):
    """What the shops may sell of some SKUs at this moment."""

    scopes = SCOPES
    staff_permission = "inventory.view_stocklevel"

    @extend_schema(
        operation_id="stock_sellable",
        parameters=[
            OpenApiParameter("sku", str, required=True, description="SKU codes, separated by commas."),
            OpenApiParameter("shop", str, description="Shop codes, separated by commas; none: every shop."),
        ],
        responses=serializers.SellableListOut,
    )
    def get(self, request: Request) -> Response:
        skus = _skus(request, _codes(request, "sku"), field="sku")
        shop_codes = _codes(request, "shop")
        shops = _shops(request, shop_codes, field="shop") if shop_codes else None
        names = shops if shops is not None else dict(_visible_shops(request).values_list("code", "pk"))
        found = sellable_stock(
            sku_ids=list(skus.values()), shop_ids=list(names.values()) if shops is not None else None
        )
        rows = [
            {"sku": sku, "shop": shop, "sellable": found[shop_id, sku_id]}
            for sku, sku_id in skus.items()
            for shop, shop_id in sorted(names.items())
            if (shop_id, sku_id) in found
        ]
        return Response({"results": rows})


class AvailabilityView(HouseView):
    """What can be sold: of up to 5,000 SKUs in every shop, or up to 5,000 (SKU, shop, quantity). Promises nothing."""

    scopes = {"read": "stock:read", "write": "stock:read"}
    staff_permission = "inventory.view_stocklevel"

    @extend_schema(
        operation_id="availability_ask",
        request=serializers.AvailabilityIn,
        responses=serializers.AvailabilityListOut,
    )
    def post(self, request: Request) -> Response:
        body = _read(serializers.AvailabilityIn, request)
        at = timezone.now()
        if "items" in body:
            rows, note = _answer_items(request, body["items"], body.get("by_location", True), at)
        else:
            rows, note = _answer_skus(request, body, at), ""
        return Response({"as_of": at.isoformat(), "note": note, "results": rows})


def _answer_items(
    request: Request, items: Sequence[dict[str, Any]], by_location: bool, at: datetime
) -> tuple[list[dict[str, Any]], str]:
    skus = _skus(request, [item["sku"] for item in items], field="items")
    shops = _shops(request, [item["shop"] for item in items], field="items")
    sku_ids, shop_ids = list(skus.values()), list(shops.values())
    sellable = sellable_stock(sku_ids=sku_ids, shop_ids=shop_ids, at=at)
    lying = free_by_location(sku_ids=sku_ids, shop_ids=shop_ids) if by_location else None
    rows, today, note = [], timezone.localdate(at), ""
    for item in items:
        pair = shops[item["shop"]], skus[item["sku"]]
        missing = max(0, item["quantity"] - sellable[pair])
        row = {**item, "sellable": sellable[pair], "can_be_met": not missing, "missing": missing}
        if item.get("date", today) > today:
            row |= {"can_be_met": None, "missing": None}
            note = _("Only what is there now is known: what comes in by a later day is not planned yet.")
        rows.append(row if lying is None else {**row, "locations": _places(lying.get(pair, ()))})
    return rows, note


def _answer_skus(request: Request, body: Mapping[str, Any], at: datetime) -> list[dict[str, Any]]:
    """A row for each shop that draws on the SKU, or for each that was named."""
    skus = _skus(request, body["skus"], field="skus")
    named = "shops" in body
    shops = (
        _shops(request, body["shops"], field="shops")
        if named
        else dict(_visible_shops(request).order_by("code").values_list("code", "pk"))
    )
    sku_ids, shop_ids = list(skus.values()), list(shops.values())
    sellable = sellable_stock(sku_ids=sku_ids, shop_ids=shop_ids if named else None, at=at)
    lying = free_by_location(sku_ids=sku_ids, shop_ids=shop_ids) if body.get("by_location") else None
    return [
        {
            "sku": sku,
            "shop": shop,
            "sellable": sellable[shop_id, sku_id],
            **({} if lying is None else {"locations": _places(lying.get((shop_id, sku_id), ()))}),
        }
        for sku, sku_id in skus.items()
        for shop, shop_id in shops.items()
        if (shop_id, sku_id) in sellable
    ]


def _places(lying: Iterable[tuple[str, int]]) -> list[dict[str, Any]]:
    return [{"location": code, "free": free} for code, free in lying]


class BookingView(HouseView):
    """A document that changes stock: taken once by its number."""

    scopes = SCOPES
    staff_permission = "inventory.add_stockoperation"
    kind: str
    reads: type[serializers.DocumentIn]

    def post(self, request: Request) -> Response:
        document = _read(self.reads, request)
        locations = _locations([line["location"] for line in document["lines"]])
        skus = _skus(request, [line["sku"] for line in document["lines"]], field="lines")
        lines = [
            {
                **{name: line[name] for name in line if name not in ("location", "sku")},
                "location_id": locations[line["location"]],
                "sku_id": skus[line["sku"]],
            }
            for line in document["lines"]
        ]

        def book() -> Answer:
            booked = self.book(
                key=f"{self.kind}:{document['number']}",
                lines=lines,
                reason=document["reason"],
                at=timezone.now(),
                by=actor_of(request),
            )
            result = "booked" if booked else "unchanged"
            return Answer(201 if booked else 200, {"number": document["number"], "result": result})

        return answer_once(request, book)

    def book(self, *, lines: Sequence[dict[str, Any]], **how: Any) -> bool:
        raise NotImplementedError


def _documented(operation_id: str, reads: type[serializers.DocumentIn]) -> Callable[[Any], Any]:
    return extend_schema(
        operation_id=operation_id,
        request=reads,
        parameters=[PARAMETER],
        responses={201: serializers.BookedOut, 200: serializers.BookedOut},
    )


class ReceiptView(BookingView):
    """Goods that came in."""

    kind, reads = "receipt", serializers.ReceiptIn

    @_documented("stock_receive", serializers.ReceiptIn)
    def post(self, request: Request) -> Response:
        return super().post(request)

    def book(self, *, lines: Sequence[dict[str, Any]], **how: Any) -> bool:
        return receive_stock(receipts=[StockReceipt(**line) for line in lines], **how)


class CountView(BookingView):
    """What was counted, gross: with what is committed to orders and still lies there."""

    kind, reads = "count", serializers.CountIn

    @_documented("stock_count", serializers.CountIn)
    def post(self, request: Request) -> Response:
        return super().post(request)

    def book(self, *, lines: Sequence[dict[str, Any]], **how: Any) -> bool:
        return count_stock(counts=[StockCount(**line) for line in lines], **how)


class AdjustmentView(BookingView):
    """Differences: written off, found, moved to another grade."""

    kind, reads = "adjustment", serializers.AdjustmentIn

    @_documented("stock_adjust", serializers.AdjustmentIn)
    def post(self, request: Request) -> Response:
        return super().post(request)

    def book(self, *, lines: Sequence[dict[str, Any]], **how: Any) -> bool:
        return adjust_stock(adjustments=[StockAdjustment(**line) for line in lines], **how)


class RegradeView(BookingView):
    """Units get another grade: what was inspected and is good is sold at once."""

    kind, reads = "regrade", serializers.RegradeIn

    @_documented("stock_regrade", serializers.RegradeIn)
    def post(self, request: Request) -> Response:
        return super().post(request)

    def book(self, *, lines: Sequence[dict[str, Any]], **how: Any) -> bool:
        return regrade_stock(lines=[Regrade(**line) for line in lines], **how)


def _read(reads: Any, request: Request) -> dict[str, Any]:
    body = reads(data=request.data)
    body.is_valid(raise_exception=True)
    values: dict[str, Any] = body.validated_data
    return values


def _codes(request: Request, name: str) -> list[str]:
    """The codes of one comma-separated parameter; every other parameter is refused."""
    for given, values in request.query_params.lists():
        if given not in ("sku", "shop", "format"):
            raise ValidationError({given: [_("There is no such parameter; there are: sku, shop.")]})
        if len(values) > 1:
            raise ValidationError({given: [_("Send it once, with commas between the codes.")]})
    codes = [code for code in request.query_params.get(name, "").split(",") if code]
    if len(codes) > SKUS_MAX or any("\x00" in code for code in codes):
        raise ValidationError({name: [_("At most 100 codes.")]})
    return codes


def _skus(request: Request, codes: Sequence[str], *, field: str) -> dict[str, int]:
    if not codes:
        raise ValidationError({field: [_("Name at least one SKU code.")]})
    rows = Sku.objects.filter(visible_skus(request), code__in=set(codes))
    return _all_found(codes, dict(rows.values_list("code", "pk")), field, _("There is no SKU “%s”."))


def _visible_shops(request: Request) -> QuerySet[Shop]:
    return Shop.objects.filter(in_shops(request, "pk"))


def _shops(request: Request, codes: Sequence[str], *, field: str) -> dict[str, int]:
    rows = _visible_shops(request).filter(code__in=set(codes))
    return _all_found(codes, dict(rows.values_list("code", "pk")), field, _("There is no shop “%s”."))


def _locations(codes: Sequence[str]) -> dict[str, int]:
    rows = Location.objects.filter(code__in=set(codes))
    found = dict(rows.values_list("code", "pk"))
    return _all_found(codes, found, "lines", _("There is no location “%s”."))


def _all_found(codes: Sequence[str], found: Mapping[str, int], field: str, text: str) -> dict[str, int]:
    """The ids by code, in the order asked for. What the caller may not see is as unknown as what is not there."""
    missing = sorted(set(codes) - set(found))
    if missing:
        raise ValidationError({field: [text % code for code in missing[:20]]})
    return {code: found[code] for code in codes}

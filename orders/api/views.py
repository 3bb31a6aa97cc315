"""Read orders, send them, cancel them; read shipments; read parked orders and retry them."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, OuterRef, Prefetch, QuerySet, prefetch_related_objects
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from omni.kernel.api.idempotency import PARAMETER, Answer, actor_of, answer_once
from omni.kernel.api.problems import flat_faults
from omni.kernel.api.views import ReadingView
from omni.kernel.errors import BadInput, DomainError
from omni.kernel.sql import few_rows
from orders.api import filters, serializers
from orders.cancel import cancel_orders
from orders.cancel_part import UnitsCancel, cancel_units
from orders.capture import Captured, capture_orders
from orders.models import FulfilmentLine, FulfilmentOrder, Parcel, ParcelLine, ParkedOrder, SalesOrder
from orders.retry import retry_parked
from products.api.scope import in_shops, shop_of
from products.models import Shop

STATUS = {"new": 201, "changed": 200, "unchanged": 200, "stale": 200, "parked": 202, "refused": 409}
NOT_ENOUGH_STOCK = "not_enough_stock"


class NotEnoughStock(DomainError):
    """The shop's orders are requests, and there is too little for this one. No trace of it is left."""

    code = NOT_ENOUGH_STOCK


class FaultyOrder(BadInput):
    """The shop's orders are requests, and this one contradicts itself; `extra` says the reason. No trace is left."""

    code = "faulty_order"


class CannotCancel(DomainError):
    """It is too late to cancel this order."""

    code = "cannot_cancel"


class OrderView(ReadingView):
    """Orders."""

    scopes = {"read": "orders:read", "write": "orders:write"}
    serializer_class = serializers.OrderOut
    filterset_class = filters.OrderFilter
    lookup_field = "number"
    queryset = SalesOrder.objects.select_related("shop").defer("receiver")

    @property
    def staff_permission(self) -> str:
        return "orders.view_salesorder" if self.request.method == "GET" else "orders.change_salesorder"

    def get_queryset(self) -> QuerySet[SalesOrder]:
        return self.queryset.filter(in_shops(self.request))

    @extend_schema(responses=serializers.OrderDetailOut)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        order: Any = self.get_object()
        of_order = FulfilmentLine.objects.filter(order=order).select_related("order_line")
        prefetch_related_objects([order], "lines__sku", "lines__bundle__sku")
        sold = {line.bundle_id: line.bundle for line in order.lines.all() if line.bundle_id}
        order.sold_bundles = list(sold.values())
        order.fulfilments = (
            FulfilmentOrder.objects.filter(Exists(of_order.filter(fulfilment=OuterRef("pk"))))
            .select_related("location")
            .prefetch_related(Prefetch("lines", of_order, to_attr="visible_lines"))
            .order_by("pk")
        )
        lines = ParcelLine.objects.filter(fulfilment_line__order=order)
        order.parcels = _parcels(lines).order_by("pk")
        return Response(serializers.OrderDetailOut(order).data)

    @extend_schema(
        operation_id="orders_capture",
        request=serializers.ShopOrderIn,
        parameters=[PARAMETER],
        responses={201: serializers.CapturedOut, 200: serializers.CapturedOut, 202: serializers.CapturedOut},
    )
    def create(self, request: Request) -> Response:
        """Send one order. 201 new; 200 known (changed, unchanged or stale); 202 parked; 409 refused."""
        order = READ_SHOP_ORDER.run_validation(request.data)
        shop = shop_of(request, order.pop("shop"))
        if faults := serializers.check_currency(shop, order):
            raise ValidationError(faults)

        def capture() -> Answer:
            with few_rows():
                (captured,) = _capture(request, shop, [order])
            if captured.result == "refused":
                raise _refusal(captured)
            headers = {"Location": f"/api/v1/orders/{captured.number}"} if captured.number else {}
            return Answer(STATUS[captured.result], _captured(captured), headers)

        return answer_once(request, capture)

    @extend_schema(
        operation_id="orders_capture_batch",
        request=serializers.OrderBatchIn,
        parameters=[PARAMETER],
        responses={200: serializers.BatchOut},
    )
    @action(detail=False, methods=["post"])
    def batch(self, request: Request) -> Response:
        """Send up to 50 orders of one shop. Each is taken or refused for itself; the results keep their order."""
        body = READ_BATCH.run_validation(request.data)
        shop = shop_of(request, body["shop"])
        good, results = _read_orders(shop, body["orders"])

        def capture() -> Answer:
            taken = _capture(request, shop, list(good.values()))
            for position, captured in zip(good, taken, strict=True):
                refusal = _refusal(captured) if captured.result == "refused" else None
                status, faults = (
                    (refusal.status, refusal.fields) if refusal else (STATUS[captured.result], {})
                )
                results[position] = {**_captured(captured), "status": status, "fields": faults}
            return Answer(200, {"results": [results[position] for position in sorted(results)]})

        return answer_once(request, capture)

    @extend_schema(
        operation_id="orders_cancel",
        request=serializers.CancelIn,
        parameters=[PARAMETER],
        responses={200: serializers.CancelOut, 202: serializers.CancelOut},
    )
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, number: str) -> Response:
        """Cancel what is open, or only some units of lines. 200 cancelled; 202 a warehouse is asked; 409 too late.

        With `lines`: all of these units or none, and of bundles whole ones.
        """
        body = READ_CANCEL.run_validation(request.data)
        order = self.get_object()

        def cancel() -> Answer:
            word: dict[str, Any] = {
                "reason": body["reason"],
                "at": timezone.now(),
                "by": actor_of(request),
            }
            if "lines" in body:
                units = [UnitsCancel(line["outer_line_id"], line["quantity"]) for line in body["lines"]]
                result = cancel_units(order_id=order.pk, units=units, **word)
            else:
                (result,) = cancel_orders(order_ids=[order.pk], **word)
            if result.outcome == "refused":
                raise CannotCancel(result.detail)
            answer = {"number": order.number, "outcome": result.outcome, "detail": result.detail}
            return Answer(202 if result.outcome == "asked" else 200, answer)

        return answer_once(request, cancel)


class ShipmentView(ReadingView):
    """Parcels that left."""

    scopes = {"read": "shipments:read"}
    staff_permission = "orders.view_shipment"
    serializer_class = serializers.ShipmentOut
    filterset_class = filters.ShipmentFilter
    lookup_value_regex = "[0-9]{1,18}"
    queryset = Parcel.objects.all()

    def get_queryset(self) -> QuerySet[Parcel]:
        return _parcels(ParcelLine.objects.filter(in_shops(self.request, "fulfilment_line__order__shop")))


class ParkedOrderView(ReadingView):
    """Orders that could not be taken, with their reasons."""

    scopes = {"read": "orders:read", "write": "orders:write"}
    serializer_class = serializers.ParkedOrderOut
    filterset_class = filters.ParkedOrderFilter
    lookup_value_regex = "[0-9]{1,18}"
    queryset = ParkedOrder.objects.select_related("shop").defer("draft")

    @property
    def staff_permission(self) -> str:
        return "orders.view_parkedorder" if self.request.method == "GET" else "orders.change_parkedorder"

    def get_queryset(self) -> QuerySet[ParkedOrder]:
        return self.queryset.filter(in_shops(self.request))

    @extend_schema(
        operation_id="parked_orders_retry",
        request=None,
        parameters=[PARAMETER],
        responses={200: serializers.RetryOut, 202: serializers.RetryOut},
    )
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """Try once more. 200 taken; 202 still parked, with the present reason; 409 it is not open any more."""
        parked = self.get_object()

        def retry() -> Answer:
            results = retry_parked(parked_ids=[parked.pk], at=timezone.now(), by=actor_of(request))
            if parked.pk not in results:
                raise NotParked(_("It is not parked any more: it was taken or dismissed."))
            captured = results[parked.pk]
            if captured.result == "refused":
                raise _refusal(captured)
            status = 202 if captured.result == "parked" else 200
            return Answer(status, {"id": parked.pk, **_captured(captured)})

        return answer_once(request, retry)


class NotParked(DomainError):
    """Only what is parked can be retried."""

    code = "not_parked"


# Built once: a serializer copies its fields, which costs more than reading an order with them.
READ_SHOP_ORDER = serializers.ShopOrderIn()
READ_ORDER = serializers.OrderIn()
READ_BATCH = serializers.OrderBatchIn()
READ_CANCEL = serializers.CancelIn()


def _capture(request: Request, shop: Shop, orders: list[Any]) -> list[Captured]:
    at = timezone.now()
    holds = {order["outer_id"]: order["hold"] for order in orders if "hold" in order}
    drafts = [serializers.draft_of(order, at=at) for order in orders]
    return capture_orders(
        shop=shop, drafts=drafts, at=at, by=actor_of(request), source="api", holds=holds or None
    )


def _captured(captured: Captured) -> dict[str, Any]:
    return {
        "outer_id": captured.outer_id,
        "result": captured.result,
        "number": captured.number,
        "reason": captured.reason,
        "detail": captured.detail,
        "field": captured.field,
        **({"hold": captured.hold} if captured.hold else {}),
    }


def _refusal(captured: Captured) -> DomainError:
    """Short of stock is a conflict that may pass; every other reason is the order's own fault."""
    extra = {"outer_id": captured.outer_id, "reason": captured.reason}
    kind = NotEnoughStock if captured.reason == NOT_ENOUGH_STOCK else FaultyOrder
    return kind(captured.detail, fields={captured.field: [captured.detail]}, extra=extra)


def _read_orders(shop: Shop, orders: list[Any]) -> tuple[dict[int, Any], dict[int, dict[str, Any]]]:
    """By position: the orders that can be read, and the answers to those that cannot."""
    good: dict[int, Any] = {}
    faulty: dict[int, dict[str, Any]] = {}
    for position, raw in enumerate(orders):
        try:
            order = READ_ORDER.run_validation(raw)
            faults = serializers.check_currency(shop, order)
        except ValidationError as error:
            faults = flat_faults(error.detail)
        if not faults:
            good[position] = order
            continue
        outer_id = raw.get("outer_id") if isinstance(raw, dict) else ""
        answer = Captured(
            outer_id=outer_id[:64] if isinstance(outer_id, str) else "",
            result="refused",
            reason="bad_input",
            detail=_("Some fields are not right: see `fields`."),
            field=next(iter(faults)),
        )
        faulty[position] = {**_captured(answer), "status": 400, "fields": faults}
    return good, faulty


def _parcels(lines: QuerySet[ParcelLine]) -> QuerySet[Parcel]:
    """The parcels that hold any of these lines, with those of them alone."""
    shown = lines.select_related(
        "fulfilment_line__order", "fulfilment_line__order_line", "fulfilment_line__sku"
    )
    return (
        Parcel.objects.filter(Exists(lines.filter(parcel=OuterRef("pk"))))
        .select_related("shipment__fulfilment__location")
        .prefetch_related(Prefetch("lines", shown.order_by("pk"), to_attr="visible_lines"))
    )

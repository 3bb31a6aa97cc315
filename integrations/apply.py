"""Carry out what a warehouse told us, through the same doors as everybody else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from django.utils.translation import gettext as _

from integrations.contract import DeliveryNotice, ProgressNotice, StockChangeNotice, WarehouseNotice
from integrations.models import Connection
from inventory.adjust import StockAdjustment, adjust_stock
from inventory.models.stock import Grade
from omni.kernel.actors import actor
from omni.kernel.errors import BadInput, Busy
from omni.kernel.sentences import sentence
from orders.cancel import CancelAnswer, record_cancel_answers
from orders.confirm import ConfirmedParcel, UnknownFulfilment, confirm_shipment, record_progress
from orders.hold import NewHold, place_holds, resolve_holds
from orders.models import FulfilmentOrder
from orders.models.review import HoldKind
from orders.record import Side
from orders.release import ReleaseAnswer, record_release_answers
from products.models import Sku

# Qimen's inventory types. Goods on their way (ZT) are not in the warehouse yet: nothing can be counted.
GRADES: Mapping[str, Grade] = {
    "ZP": Grade.GOOD,
    "CC": Grade.DEFECTIVE,
    "JS": Grade.SECONDS,
    "XS": Grade.SECONDS,
}


class UnknownWarehouse(BadInput):
    """The call-back names a warehouse that no connection of this account stands for."""

    code = "unknown_warehouse"


class UnknownSku(BadInput):
    """The call-back names an item that is no SKU of ours."""

    code = "unknown_sku"


class UnknownInventoryType(BadInput):
    """The call-back names a quality of goods that has no grade here."""

    code = "unknown_inventory_type"


class MayBeOvertaken(Busy):
    """The last confirmation of a delivery tells of less than was asked for: an earlier one may still be on its way."""

    code = "may_be_overtaken"


def apply_notice(
    *,
    notice: WarehouseNotice,
    connection: Connection,
    at: datetime,
    is_settled: bool = True,
    sent_in_all: int | None = None,
) -> None:
    """Do what the notice asks for. The same notice again changes nothing; news for the timeline may repeat.

    `is_settled`: no earlier news of the same delivery is to be expected any more; `sent_in_all`: units of the delivery
    that the warehouse says have left, which is more than it has told of while such news is on its way. Raises the
    errors of the operations that it calls, UnknownWarehouse, UnknownSku, UnknownInventoryType and MayBeOvertaken; then
    nothing is changed.
    """
    by = actor("connection", connection.pk)
    if isinstance(notice, ProgressNotice):
        record_progress(
            number=notice.number,
            step=notice.step,
            happened_at=notice.happened_at or at,
            detail=notice.detail,
            at=at,
            by=by,
        )
        return
    place = find_place(connection=connection, warehouse_code=notice.warehouse_code)
    if isinstance(notice, StockChangeNotice):
        _adjust(notice, _location_id(place), at, by)
    else:
        _settle_delivery(notice, _location_id(place), at, by, is_settled=is_settled, sent_in_all=sent_in_all)


def find_place(*, connection: Connection, warehouse_code: str) -> Connection:
    """The connection that stands for the warehouse: one account calls back for all of its warehouses at one address."""
    siblings = [connection]
    if _code(connection) != warehouse_code:
        others = Connection.objects.filter(kind=Connection.Kind.WAREHOUSE, adapter=connection.adapter)
        siblings = [other for other in others.order_by("pk") if other.credentials == connection.credentials]
    for sibling in siblings:
        if _code(sibling) == warehouse_code:
            return sibling
    raise UnknownWarehouse(
        _("No connection of this account stands for the warehouse “%(code)s”.") % {"code": warehouse_code}
    )


def _code(connection: Connection) -> str:
    if connection.settings.get("warehouse_code"):
        return str(connection.settings["warehouse_code"])
    return connection.location.code if connection.location else ""


def _location_id(connection: Connection) -> int:
    if connection.location_id is None:
        raise ValueError(f"{connection.code} is not a warehouse")
    return connection.location_id


# --- deliveries ---------------------------------------------------------------------------------------------


def _settle_delivery(
    notice: DeliveryNotice,
    location_id: int,
    at: datetime,
    by: str,
    *,
    is_settled: bool,
    sent_in_all: int | None,
) -> None:
    fulfilment = FulfilmentOrder.objects.filter(number=notice.number, location_id=location_id).first()
    if fulfilment is None:
        raise UnknownFulfilment(_("There is no fulfilment order %s at this location.") % notice.number)
    detail = notice.detail or notice.raw_state
    if notice.state in ("shipped", "part_shipped"):
        if notice.is_final:
            _wait_for_the_overtaken(notice, fulfilment, is_settled=is_settled, sent_in_all=sent_in_all)
        _ship(notice, fulfilment, at, by)
    elif notice.state == "cancelled":
        record_cancel_answers(answers=[CancelAnswer(fulfilment.pk, True, detail)], at=at, by=by)
    elif notice.state == "rejected":
        record_release_answers(answers=[ReleaseAnswer(fulfilment.pk, "refused", detail=detail)], at=at, by=by)
    elif notice.state == "exception":
        reason = sentence("The warehouse reports a problem with %(number)s: %(detail)s")
        holds = [
            NewHold(order_id, HoldKind.WAREHOUSE, reason % {"number": notice.number, "detail": detail or "?"})
            for order_id in _order_ids(fulfilment)
        ]
        place_holds(holds=holds, at=at, by=by, side=Side.WAREHOUSE)
    elif notice.raw_state == "CANCELEDFAIL":
        record_cancel_answers(answers=[CancelAnswer(fulfilment.pk, False, detail)], at=at, by=by)
    else:
        record_progress(
            number=notice.number,
            step=notice.raw_state,
            happened_at=notice.happened_at or at,
            detail=notice.detail,
            at=at,
            by=by,
        )


def _ship(notice: DeliveryNotice, fulfilment: FulfilmentOrder, at: datetime, by: str) -> None:
    confirm_shipment(
        location_id=fulfilment.location_id,
        number=notice.number,
        event_key=notice.event_key[:120],
        parcels=read_parcels(notice),
        is_final=notice.is_final,
        shipped_at=notice.happened_at or at,
        at=at,
        by=by,
    )
    resolve_holds(
        order_ids=_order_ids(fulfilment),
        kinds=[HoldKind.WAREHOUSE],
        at=at,
        by=by,
        note=sentence("It has left the warehouse."),
    )


def _wait_for_the_overtaken(
    notice: DeliveryNotice, fulfilment: FulfilmentOrder, *, is_settled: bool, sent_in_all: int | None
) -> None:
    """Raise MayBeOvertaken where a rest would be left that may have left the warehouse before."""
    lines = list(fulfilment.lines.all())
    asked, counted = sum(line.quantity for line in lines), sum(line.shipped_quantity for line in lines)
    told = sum(units for parcel in read_parcels(notice) for _sku_code, units in parcel.items)
    if counted + told >= asked or fulfilment.shipments.filter(event_key=notice.event_key[:120]).exists():
        return
    if sent_in_all is not None and sent_in_all > counted + told:
        raise MayBeOvertaken(
            _(
                "%(number)s: the warehouse has sent %(sent)d units and has told of %(told)d; waiting for the others."
            )
            % {"number": notice.number, "sent": sent_in_all, "told": counted + told}
        )
    if not is_settled:
        raise MayBeOvertaken(
            _("%(number)s: less than was asked for; waiting for earlier confirmations.")
            % {"number": notice.number}
        )


def read_parcels(notice: DeliveryNotice) -> list[ConfirmedParcel]:
    """What left, box by box. Some warehouses tell the contents in the lines only: then the one box holds them all."""
    sent = [(sku_code, quantity) for _line_no, sku_code, quantity in notice.lines if quantity]
    boxes = [box for box in notice.parcels if box.items] or list(notice.parcels[:1])
    if not boxes:
        return [ConfirmedParcel("", "", sent)]
    return [
        ConfirmedParcel(box.carrier_code, box.tracking_no, list(box.items) or sent, box.weight_grams)
        for box in boxes
    ]


def _order_ids(fulfilment: FulfilmentOrder) -> Sequence[int]:
    return sorted(set(fulfilment.lines.values_list("order_id", flat=True)))


# --- stock --------------------------------------------------------------------------------------------------


def _adjust(notice: StockChangeNotice, location_id: int, at: datetime, by: str) -> None:
    sku = Sku.objects.filter(code=notice.sku_code).first()
    if sku is None:
        raise UnknownSku(_("There is no SKU “%(code)s”.") % {"code": notice.sku_code})
    grade = GRADES.get(notice.inventory_type)
    if grade is None:
        raise UnknownInventoryType(
            _("The inventory type “%(type)s” has no grade here.") % {"type": notice.inventory_type}
        )
    adjustment = StockAdjustment(
        location_id=location_id, sku_id=sku.pk, quantity=notice.quantity, grade=grade, owner="own"
    )
    adjust_stock(
        key=f"warehouse:{location_id}:{notice.event_key}",
        adjustments=[adjustment],
        reason=notice.reason or _("reported by the warehouse"),
        at=at,
        by=by,
    )

"""Take a warehouse's word that goods have left: once per confirmation, never more than was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from inventory.commit import uncommit_stock
from inventory.ship import ShippedPart, ship_stock
from omni.kernel.errors import DomainError
from omni.kernel.events import record_events
from omni.kernel.sentences import sentence
from omni.kernel.sql import execute
from orders.advance import advance_fulfilments, advance_orders
from orders.announce import BundlesTold
from orders.cancel import resume_cancellations
from orders.events import OrdersShipped
from orders.finish import finish_orders
from orders.lock import lock_promises
from orders.models import (
    DispatchNotice,
    FulfilmentLine,
    FulfilmentOrder,
    Parcel,
    ParcelLine,
    SalesOrder,
    Shipment,
)
from orders.record import Happening, Side, record_happenings
from orders.states import FulfilmentState, Stage

LOCK_ORDERS = """
    SELECT id FROM orders_salesorder
    WHERE id IN (SELECT order_id FROM orders_fulfilmentline WHERE fulfilment_id = %s) ORDER BY id FOR NO KEY
    UPDATE
"""
ADD_SHIPPED_TO_FULFILMENT = """
    UPDATE orders_fulfilmentline l SET shipped_quantity = l.shipped_quantity + s.quantity
    FROM unnest(%s::bigint[], %s::int[]) AS s(id, quantity) WHERE l.id = s.id
"""
ADD_SHIPPED_TO_ORDER = """
    UPDATE orders_salesorderline l SET shipped_quantity = l.shipped_quantity + s.quantity,
        cancel_wanted = least(l.cancel_wanted, l.quantity - l.cancelled_quantity - l.shipped_quantity - s.quantity)
    FROM unnest(%s::bigint[], %s::int[]) AS s(id, quantity) WHERE l.id = s.id
"""
# Shops that read their shipments themselves need no notice.
SILENT_CHANNELS = frozenset({"api", "import", "manual"})
NOBODY_TO_TELL = sentence("No channel waits for this order's parcels.")

# Nobody was asked for these goods, or nobody may send them any more.
NOT_SHIPPABLE = frozenset(
    {
        FulfilmentState.PLANNED,
        FulfilmentState.SHIPPED,
        FulfilmentState.CANCELLED,
        FulfilmentState.REFUSED,
    }
)


class UnknownFulfilment(DomainError):
    """No fulfilment order of this location has that number (yet)."""

    code = "unknown_fulfilment"
    status = 404


class MoreThanOrdered(DomainError):
    """The warehouse says that it sent more than it was asked to."""

    code = "more_than_ordered"
    status = 422


class NotShippable(DomainError):
    """The fulfilment order was cancelled or never handed over; its goods are not promised to it any more."""

    code = "not_shippable"


@dataclass(frozen=True, slots=True)
class ConfirmedParcel:
    """`items`: (SKU code, units)."""

    carrier_code: str
    tracking_no: str
    items: Sequence[tuple[str, int]]
    weight_grams: int | None = None


@dataclass(frozen=True, slots=True)
class Packed:
    """Units of one fulfilment line in one parcel."""

    parcel: int
    line: FulfilmentLine
    quantity: int


@transaction.atomic
def confirm_shipment(
    *,
    number: str,
    event_key: str,
    parcels: Sequence[ConfirmedParcel],
    is_final: bool,
    shipped_at: datetime,
    at: datetime,
    by: str,
    location_id: int | None = None,
) -> bool:
    """Record parcels of a fulfilment order: stock leaves, counters rise, the channels' notices are written.

    `event_key` names the confirmation: heard again it changes nothing, and False is returned. `is_final` with
    less than was asked for gives the rest back to be sourced anew. Raises UnknownFulfilment, MoreThanOrdered,
    NotShippable; then nothing is changed.
    """
    fulfilment = FulfilmentOrder.objects.filter(number=number).first()
    if fulfilment is None or location_id not in (None, fulfilment.location_id):
        raise UnknownFulfilment(_("There is no fulfilment order %s at this location.") % number)
    execute(LOCK_ORDERS, [fulfilment.pk])
    fulfilment = FulfilmentOrder.objects.select_for_update(no_key=True).get(pk=fulfilment.pk)
    if Shipment.objects.filter(fulfilment=fulfilment, event_key=event_key).exists():
        return False
    if fulfilment.state == FulfilmentState.PLANNED and fulfilment.attempts:
        # The warehouse had our request after all; left planned, it would be asked for the same goods again.
        fulfilment.state = FulfilmentState.REQUESTED
        advance_fulfilments(fulfilment_ids=[fulfilment.pk], to=FulfilmentState.REQUESTED, at=at)
    if fulfilment.state in NOT_SHIPPABLE:
        raise NotShippable(
            _("%(number)s is “%(state)s”: it cannot ship.")
            % {"number": number, "state": fulfilment.get_state_display()}
        )
    lines = list(fulfilment.lines.select_related("sku", "order_line").order_by("pk"))
    packed = _pack(number, lines, parcels)
    # What was cancelled meanwhile, and the rest that will not come, are settled in a second step.
    if is_final or any(line.order_line.cancel_wanted for line in lines):
        lock_promises(order_ids={line.order_id for line in lines})
    shipment = Shipment.objects.create(
        fulfilment=fulfilment, event_key=event_key, shipped_at=shipped_at, by=by
    )
    rows = _write_parcels(shipment, parcels, packed)
    _ship(fulfilment, packed, at=at, by=by)
    _settle(fulfilment, lines, packed, is_final=is_final, at=at, by=by)
    _announce(rows, packed, at=at, by=by)
    return True


def _pack(number: str, lines: list[FulfilmentLine], parcels: Sequence[ConfirmedParcel]) -> list[Packed]:
    """Spread what each parcel holds over the lines that still wait for it."""
    left = {line.pk: line.quantity - line.shipped_quantity for line in lines}
    packed = []
    for index, parcel in enumerate(parcels):
        for sku_code, quantity in parcel.items:
            missing = quantity
            if quantity <= 0:
                raise MoreThanOrdered(
                    _("A parcel of %s holds %d units: it must be at least 1.") % (number, quantity)
                )
            for line in lines:
                units = min(missing, left[line.pk]) if line.sku.code == sku_code else 0
                if units > 0:
                    packed.append(Packed(index, line, units))
                    left[line.pk] -= units
                    missing -= units
            if missing:
                raise MoreThanOrdered(
                    _("%(number)s: %(units)d units of %(sku)s are more than it still had to send.")
                    % {"number": number, "units": quantity, "sku": sku_code},
                    extra={"sku": sku_code, "over": missing},
                )
    if not packed:
        raise MoreThanOrdered(_("The confirmation of %s names no goods.") % number)
    return packed


def _write_parcels(
    shipment: Shipment, parcels: Sequence[ConfirmedParcel], packed: list[Packed]
) -> list[Parcel]:
    rows = Parcel.objects.bulk_create(
        Parcel(
            shipment=shipment,
            carrier_code=parcel.carrier_code[:32],
            tracking_no=parcel.tracking_no[:64],
            weight_grams=parcel.weight_grams,
        )
        for parcel in parcels
    )
    ParcelLine.objects.bulk_create(
        ParcelLine(parcel=rows[item.parcel], fulfilment_line=item.line, quantity=item.quantity)
        for item in packed
    )
    return rows


def _sum(pairs: Sequence[tuple[int, int]]) -> dict[int, int]:
    totals: dict[int, int] = {}
    for ident, quantity in pairs:
        totals[ident] = totals.get(ident, 0) + quantity
    return totals


def _ship(fulfilment: FulfilmentOrder, packed: list[Packed], *, at: datetime, by: str) -> None:
    by_line = _sum([(item.line.pk, item.quantity) for item in packed])
    by_order_line = _sum([(item.line.order_line_id, item.quantity) for item in packed])
    parts = {item.line.pk: (item.line.line_key, item.line.part) for item in packed}
    ship_stock(
        shipped=[ShippedPart(*parts[ident], quantity) for ident, quantity in by_line.items()],
        document=fulfilment.number,
        at=at,
        by=by,
    )
    execute(ADD_SHIPPED_TO_FULFILMENT, [list(by_line), list(by_line.values())])
    execute(ADD_SHIPPED_TO_ORDER, [list(by_order_line), list(by_order_line.values())])
    for item in packed:
        item.line.shipped_quantity += item.quantity


def _settle(
    fulfilment: FulfilmentOrder,
    lines: list[FulfilmentLine],
    packed: list[Packed],
    *,
    is_final: bool,
    at: datetime,
    by: str,
) -> None:
    """Move the fulfilment order and its sales orders on; give back what will not come."""
    rest = [line for line in lines if line.shipped_quantity < line.quantity]
    done = is_final or not rest
    if done:
        advance_fulfilments(fulfilment_ids=[fulfilment.pk], to=FulfilmentState.SHIPPED, at=at)
    elif fulfilment.state != FulfilmentState.CANCEL_REQUESTED:
        # One that is asked to stop goes on being asked: the question speaks of the rest now.
        advance_fulfilments(fulfilment_ids=[fulfilment.pk], to=FulfilmentState.PART_SHIPPED, at=at)
    if done and rest:
        uncommit_stock(parts=[(line.line_key, line.part) for line in rest], at=at, by=by)
    # Before anything is sourced anew: what the buyer wanted stopped is not sent a second time.
    resume_cancellations(
        fulfilment_ids=[fulfilment.pk],
        reason=sentence("Cancelled while the warehouse was asked"),
        at=at,
        by=by,
    )
    order_ids = sorted({line.order_id for line in lines})
    units = _sum([(item.line.order_id, item.quantity) for item in packed])
    record_happenings(
        happenings=[
            Happening(ident, "shipped", {"number": fulfilment.number, "units": units[ident]}, Side.WAREHOUSE)
            for ident in units
        ],
        at=at,
        by=by,
    )
    finished = finish_orders(order_ids=order_ids, at=at, by=by, side=Side.WAREHOUSE)
    if done and rest:
        again = sorted({line.order_id for line in rest} - finished)
        advance_orders(
            order_ids=again,
            to=Stage.APPROVED,
            at=at,
            by=by,
            details={ident: {"why": "short pick"} for ident in again},
        )


def _announce(parcels: list[Parcel], packed: list[Packed], *, at: datetime, by: str) -> None:
    """One notice per order and parcel, for the channel of the order."""
    orders = {
        order.pk: order
        for order in SalesOrder.objects.filter(pk__in={item.line.order_id for item in packed}).select_related(
            "shop"
        )
    }
    bundled = [(item.line.order_line, item.quantity) for item in packed if item.line.order_line.bundle_id]
    told = BundlesTold({line.bundle_id or 0 for line, _units in bundled}, just_left=bundled)
    notices = []
    for index, parcel in enumerate(parcels):
        for order_id in sorted({item.line.order_id for item in packed if item.parcel == index}):
            mine = [item for item in packed if item.parcel == index and item.line.order_id == order_id]
            order = orders[order_id]
            is_silent = order.shop.channel in SILENT_CHANNELS or order.channel_order_id is None
            notices.append(
                DispatchNotice(
                    order=order,
                    parcel=parcel,
                    shop=order.shop,
                    lines=_announced_lines(mine, told),
                    is_whole_order=_is_whole(order, mine),
                    state=DispatchNotice.State.NOT_NEEDED if is_silent else DispatchNotice.State.DUE,
                    reason=NOBODY_TO_TELL if is_silent else "",
                )
            )
    DispatchNotice.objects.bulk_create(notices)
    record_events(OrdersShipped(tuple(sorted(orders))))


def _announced_lines(mine: list[Packed], told: BundlesTold) -> list[list[Any]]:
    """[[outer line id, units], …]; of bundles those that are complete with this parcel, which may be none."""
    units: dict[str, int] = {}
    bundles: dict[str, int] = {}
    for item in mine:
        line = item.line.order_line
        if line.bundle_id is None:
            units[line.outer_line_id] = units.get(line.outer_line_id, 0) + item.quantity
        else:
            units.setdefault(line.outer_line_id, 0)
            bundles[line.outer_line_id] = line.bundle_id
            told.leave(line, item.quantity)
    for outer, bundle_id in bundles.items():
        units[outer] = told.complete(bundle_id)
    return [[outer, quantity] for outer, quantity in units.items()]


def _is_whole(order: SalesOrder, mine: list[Packed]) -> bool:
    """All that was ever ordered, in one parcel."""
    return sum(item.quantity for item in mine) == sum(order.lines.values_list("quantity", flat=True))


@transaction.atomic
def record_progress(
    *,
    number: str,
    step: str,
    happened_at: datetime,
    detail: str,
    at: datetime,
    by: str,
    location_id: int | None = None,
) -> None:
    """Show a step inside the warehouse on the timelines; it changes nothing else.

    Raises UnknownFulfilment.
    """
    fulfilment = FulfilmentOrder.objects.filter(number=number).first()
    if fulfilment is None or location_id not in (None, fulfilment.location_id):
        raise UnknownFulfilment(_("There is no fulfilment order %s at this location.") % number)
    order_ids = sorted(set(fulfilment.lines.values_list("order_id", flat=True)))
    facts = {"number": number, "step": step, "at": happened_at.isoformat(), "detail": detail}
    record_happenings(
        happenings=[Happening(ident, "warehouse.step", facts, Side.WAREHOUSE) for ident in order_ids],
        at=at,
        by=by,
    )

"""The facts of one order, gathered for its page in a fixed number of statements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import Prefetch
from django.http import HttpRequest

from inventory.models import Reservation
from omni.kernel.display import Money, age_text
from omni.kernel.names import name_actors
from orders.models import (
    BundleLine,
    ChannelOrderVersion,
    DispatchNotice,
    FulfilmentLine,
    FulfilmentOrder,
    OrderHold,
    Parcel,
    SalesOrder,
    SalesOrderLine,
)
from orders.shares import line_shares
from orders.states import FulfilmentState
from orders.timeline import source_text, sourcing_reason, stage_steps

VERSIONS_MAX = 50


def order_page(order: SalesOrder, request: HttpRequest) -> dict[str, Any]:
    """The template's context, beside the timeline."""
    holds = list(order.holds.order_by("-id"))
    versions = _versions(order)
    actors = [*(hold.resolved_by for hold in holds), *(version.source for version in versions)]
    names = name_actors(actors, request=request)
    return {
        "steps": stage_steps(order),
        "total": Money(order.total_amount, order.currency).text(),
        "freight": Money(order.freight_amount, order.currency).text(),
        "discount": Money(order.discount_amount, order.currency).text(),
        "stage_age": age_text(order.stage_at),
        "open_hold_rows": [hold for hold in holds if hold.state == OrderHold.State.OPEN],
        "resolved_holds": [
            {"hold": hold, "by": names.html(hold.resolved_by)}
            for hold in holds
            if hold.state == OrderHold.State.RESOLVED
        ],
        "lines": _lines(order),
        "fulfilments": _fulfilments(order),
        "notices": list(DispatchNotice.objects.filter(order=order).select_related("parcel").order_by("id")),
        "decisions": list(order.review_decisions.order_by("-id")[:5]),
        "sourcing": _sourcing(order),
        "versions": [(version, source_text(version.source, names)) for version in versions],
        "returns": list(order.returns.order_by("id")),
    }


def _lines(order: SalesOrder) -> list[dict[str, Any]]:
    lines = list(order.lines.select_related("sku").order_by("id"))
    live = Reservation.objects.filter(
        line_key__in=[line.line_key for line in lines], state__in=Reservation.LIVE
    ).select_related("pool__group", "location")
    promised: dict[Any, list[Reservation]] = {}
    for reservation in live.order_by("part"):
        promised.setdefault(reservation.line_key, []).append(reservation)
    bundles = {bundle.pk: bundle for bundle in order.bundles.select_related("sku").order_by("id")}
    told: set[int] = set()
    rows: list[dict[str, Any]] = []
    for line in lines:
        if line.bundle_id is not None and line.bundle_id not in told:
            told.add(line.bundle_id)
            rows.append(_bundle_row(bundles[line.bundle_id], lines, order.currency))
        rows.append(_line_row(line, promised.get(line.line_key, []), order.currency))
    return rows


def _bundle_row(bundle: BundleLine, lines: list[SalesOrderLine], currency: str) -> dict[str, Any]:
    """The bundle as it was sold, above the lines of what lies in it; its counters are whole bundles."""
    own = [line for line in lines if line.bundle_id == bundle.pk]

    def whole(counter: Callable[[SalesOrderLine], int]) -> int:
        return min(counter(line) // (line.bundle_units or 1) for line in own)

    return {
        "bundle": bundle,
        "shipped": whole(lambda line: line.shipped_quantity),
        "cancelled": whole(lambda line: line.cancelled_quantity),
        "returned": whole(lambda line: line.returned_quantity),
        "unit_price": Money(bundle.unit_price, currency).text(),
        "amount": Money(bundle.amount, currency).text(),
    }


def _line_row(line: SalesOrderLine, parts: list[Reservation], currency: str) -> dict[str, Any]:
    shares = line_shares(line, currency=currency)
    return {
        "line": line,
        "reserved": sum(part.quantity for part in parts),
        "parts": [_part_text(part) for part in parts],
        "unit_price": Money(line.unit_price, currency).text(),
        "amount": Money(line.amount, currency).text(),
        "cancelled_amount": Money(shares.cancelled, currency).text() if line.cancelled_quantity else "",
    }


def _part_text(part: Reservation) -> str:
    place = part.location.name if part.location else part.pool.group.name
    return f"{part.quantity} × {place} · {part.pool.get_kind_display()}"


def _fulfilments(order: SalesOrder) -> list[dict[str, Any]]:
    own_lines = Prefetch(
        "lines",
        FulfilmentLine.objects.filter(order=order).select_related("sku").order_by("id"),
        to_attr="own_lines",
    )
    rows = FulfilmentOrder.objects.filter(lines__order=order).distinct()
    rows = rows.select_related("location").prefetch_related(own_lines).order_by("id")
    parcels: dict[int, list[Parcel]] = {}
    found = Parcel.objects.filter(shipment__fulfilment__lines__order=order).distinct()
    for parcel in found.select_related("shipment").order_by("id"):
        parcels.setdefault(parcel.shipment.fulfilment_id, []).append(parcel)
    return [
        {
            "row": row,
            "age": age_text(row.state_at),
            "parcels": parcels.get(row.pk, []),
            "is_refused": row.state == FulfilmentState.REFUSED,
        }
        for row in rows
    ]


def _sourcing(order: SalesOrder) -> list[dict[str, Any]]:
    decisions = order.sourcing_decisions.order_by("-id")[:3]
    return [{"decision": row, "reason": sourcing_reason(row.reason)} for row in decisions]


def _versions(order: SalesOrder) -> list[ChannelOrderVersion]:
    if order.channel_order_id is None:
        return []
    versions = ChannelOrderVersion.objects.filter(channel_order_id=order.channel_order_id)
    return list(versions.defer("payload").order_by("-id")[:VERSIONS_MAX])

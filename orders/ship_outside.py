"""Take a person's word that goods were shipped outside Omni: what was promised for them is free again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from inventory.reserve import Release, release_stock
from omni.kernel.sql import execute
from orders.advance import advance_fulfilments
from orders.cancel import DROPPABLE, WITH_WAREHOUSE, give_back
from orders.finish import finish_orders
from orders.hold import resolve_holds
from orders.lock import lock_promises
from orders.models import FulfilmentLine, SalesOrder, SalesOrderLine
from orders.models.review import HoldKind
from orders.record import Happening, record_happenings
from orders.states import OVER, FulfilmentState, Stage

LOCK_ORDERS = "SELECT id FROM orders_salesorder WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
# Locked with their orders.
SHIP_OUTSIDE = """
    UPDATE orders_salesorderline
    SET outside_quantity = outside_quantity + quantity - cancelled_quantity - shipped_quantity,
        shipped_quantity = quantity - cancelled_quantity, short_quantity = 0, cancel_wanted = 0
    WHERE id = ANY(%s)
"""
RECOUNT_SHORT = """
    UPDATE orders_salesorder o SET short_lines =
        (SELECT count(*) FROM orders_salesorderline l WHERE l.order_id = o.id AND l.short_quantity > 0)
    WHERE o.id = ANY(%s)
"""


@transaction.atomic
def confirm_outside_shipments(
    *,
    order_ids: Sequence[int],
    note: str,
    at: datetime,
    by: str,
    outer_line_ids: Collection[str] = (),
) -> dict[int, str]:
    """Count what is open of these orders, or of these lines of them, as shipped by somebody else.

    Its stock is promised to nobody any more; whether it left one of our locations is for a count to say. The hold
    “platform says shipped” is resolved, and an order of which nothing is open any more is over. Nothing is told to
    the channel: it knows. Returns a sentence for each order for which that is not possible; nothing of it changes.
    """
    execute(LOCK_ORDERS, [sorted(order_ids)])
    orders = SalesOrder.objects.filter(pk__in=order_ids).prefetch_related("lines").order_by("pk")
    refusals = {ident: _("There is no such order.") for ident in order_ids}
    chosen: dict[int, list[SalesOrderLine]] = {}
    for order in orders:
        lines = [line for line in order.lines.all() if _is_open(line)]
        if outer_line_ids:
            lines = [line for line in lines if line.outer_line_id in outer_line_ids]
        refusals[order.pk] = _why_not(order, lines, outer_line_ids)
        if not refusals[order.pk]:
            chosen[order.pk] = lines
    _leave_to_warehouses(chosen, refusals)
    if chosen:
        _ship(chosen, note=note, at=at, by=by)
    return {ident: why for ident, why in refusals.items() if why}


def _is_open(line: SalesOrderLine) -> bool:
    return line.quantity > line.cancelled_quantity + line.shipped_quantity


def _why_not(order: SalesOrder, lines: Sequence[SalesOrderLine], wanted: Collection[str]) -> str:
    if order.stage in OVER:
        return _("It is over: %s.") % order.get_stage_display()
    if order.stage == Stage.PENDING_PAYMENT:
        return _("It is not paid.")
    missing = sorted(set(wanted) - {line.outer_line_id for line in lines})
    if missing:
        return _("It has no open line %s.") % ", ".join(missing)
    return "" if lines else _("Nothing of it is open any more.")


def _leave_to_warehouses(chosen: dict[int, list[SalesOrderLine]], refusals: dict[int, str]) -> None:
    """What a warehouse may still send must be stopped first: the buyer would get it twice."""
    idents = [line.pk for lines in chosen.values() for line in lines]
    there = FulfilmentLine.objects.filter(
        order_line_id__in=idents, fulfilment__state__in=WITH_WAREHOUSE, quantity__gt=F("shipped_quantity")
    )
    for order_id, number in there.values_list("order_id", "fulfilment__number").order_by("-pk"):
        chosen.pop(order_id, None)
        refusals[order_id] = _("A warehouse may still send %s: have it stopped first.") % number


def _ship(chosen: dict[int, list[SalesOrderLine]], *, note: str, at: datetime, by: str) -> None:
    lines = [line for rows in chosen.values() for line in rows]
    planned = FulfilmentLine.objects.filter(
        order_line_id__in=[line.pk for line in lines], fulfilment__state__in=DROPPABLE
    )
    dropped = advance_fulfilments(
        fulfilment_ids=sorted(set(planned.values_list("fulfilment_id", flat=True))),
        to=FulfilmentState.CANCELLED,
        at=at,
        only_from=DROPPABLE,
    )
    lock_promises(order_ids=chosen)
    give_back(dropped, at=at, by=by)
    release_stock(releases=[Release(line.line_key) for line in lines], at=at, by=by)
    execute(SHIP_OUTSIDE, [[line.pk for line in lines]])
    execute(RECOUNT_SHORT, [list(chosen)])
    record_happenings(
        happenings=[
            Happening(
                ident,
                "shipped.outside",
                {
                    "units": sum(
                        line.quantity - line.cancelled_quantity - line.shipped_quantity for line in rows
                    ),
                    "lines": [line.outer_line_id for line in rows],
                    "note": note,
                },
            )
            for ident, rows in chosen.items()
        ],
        at=at,
        by=by,
    )
    resolve_holds(order_ids=list(chosen), kinds=[HoldKind.SHIPPED_ELSEWHERE], at=at, by=by, note=note)
    finish_orders(order_ids=chosen, at=at, by=by)

"""Cancel lines and orders: at once while Omni has them, by a question once a warehouse has."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from inventory.commit import uncommit_stock
from inventory.record import mark_sold
from inventory.reserve import Release, release_stock
from omni.kernel.events import record_events
from omni.kernel.sentences import sentence
from omni.kernel.sql import execute, fetch_all
from orders.advance import advance_fulfilments, advance_orders
from orders.announce import announce_broken_bundles
from orders.events import CancellationsAsked
from orders.finish import finish_orders
from orders.hold import NewHold, place_holds
from orders.lock import lock_promises
from orders.models import FulfilmentLine, SalesOrder, SalesOrderLine
from orders.models.review import HoldKind
from orders.record import Happening, Side, record_happenings
from orders.states import OVER, FulfilmentState, Stage

LOCK_ORDERS = "SELECT id FROM orders_salesorder WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
CANCEL_UNITS = """
    UPDATE orders_salesorderline l
    SET cancelled_quantity = l.cancelled_quantity + c.quantity, cancel_wanted = 0,
        short_quantity = greatest(0, l.short_quantity - c.quantity)
    FROM unnest(%s::bigint[], %s::int[]) AS c(id, quantity) WHERE l.id = c.id
"""
WANT_CANCEL = """
    UPDATE orders_salesorderline l SET cancel_wanted = c.quantity
    FROM unnest(%s::bigint[], %s::int[]) AS c(id, quantity) WHERE l.id = c.id
"""
RECOUNT_SHORT = """
    UPDATE orders_salesorder o SET short_lines =
        (SELECT count(*) FROM orders_salesorderline l WHERE l.order_id = o.id AND l.short_quantity > 0)
    WHERE o.id = ANY(%s)
"""
# A question that is due, claimed by pushing its next moment into the future: a dead asker gives it back by
# itself.
CLAIM_QUESTIONS = """
    UPDATE orders_fulfilmentorder
    SET not_before = statement_timestamp() + interval '60 seconds', attempts = attempts + 1
    WHERE id IN (
        SELECT id FROM orders_fulfilmentorder
        WHERE state = 'cancel_requested' AND location_id = %s AND not_before <= statement_timestamp()
        ORDER BY id FOR UPDATE SKIP LOCKED LIMIT %s
    )
    RETURNING id, number, warehouse_outer_id
"""
# With a warehouse that must answer. One that has not even answered the request is asked when it has.
ASKABLE = (FulfilmentState.ACCEPTED, FulfilmentState.PART_SHIPPED)
WITH_WAREHOUSE = (FulfilmentState.REQUESTED, *ASKABLE, FulfilmentState.CANCEL_REQUESTED)
ASKED = (FulfilmentState.CANCEL_REQUESTED,)
# A warehouse may stop the rest of what it sent a part of without being asked.
STOPPABLE = (FulfilmentState.CANCEL_REQUESTED, FulfilmentState.PART_SHIPPED)
DROPPABLE = (FulfilmentState.PLANNED, FulfilmentState.REFUSED)
LIVE = (*DROPPABLE, *WITH_WAREHOUSE)


@dataclass(frozen=True, slots=True)
class LineCancel:
    """`quantity` None: all units that are still open."""

    line_id: int
    quantity: int | None = None


@dataclass(frozen=True, slots=True)
class CancelResult:
    """`asked`: a warehouse must answer first. `refused`: `detail` says why."""

    order_id: int
    outcome: Literal["cancelled", "asked", "refused"]
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CancelQuestion:
    fulfilment_id: int
    number: str
    warehouse_outer_id: str


@dataclass(frozen=True, slots=True)
class CancelAnswer:
    fulfilment_id: int
    is_cancelled: bool
    detail: str = ""


@dataclass(slots=True)
class Sorted:
    """Where the units that should be cancelled are."""

    now: dict[int, int] = field(default_factory=dict)  # line → units that Omni still has
    asked: dict[int, int] = field(default_factory=dict)  # line → units that wait for a warehouse's answer
    drop: set[int] = field(default_factory=set)  # fulfilment orders that no warehouse has
    ask: set[int] = field(default_factory=set)


@transaction.atomic
def cancel_orders(*, order_ids: Sequence[int], reason: str, at: datetime, by: str) -> list[CancelResult]:
    """Cancel whole orders: one result each. A second call changes nothing."""
    execute(LOCK_ORDERS, [sorted(order_ids)])
    orders = {
        order.pk: order for order in SalesOrder.objects.filter(pk__in=order_ids).prefetch_related("lines")
    }
    possible = [order for order in orders.values() if order.stage not in OVER]
    results = {
        result.order_id: result
        for result in cancel_lines(
            cancels=[LineCancel(line.pk) for order in possible for line in order.lines.all()],
            reason=reason,
            at=at,
            by=by,
        )
    }
    for ident in order_ids:
        order = orders.get(ident)
        if order is None:
            results[ident] = CancelResult(ident, "refused", _("There is no such order."))
        elif order.stage == Stage.CANCELLED:
            results[ident] = CancelResult(ident, "cancelled", _("It is cancelled already."))
        elif order.stage in OVER:
            results[ident] = CancelResult(ident, "refused", _("It has been shipped: use a return."))
        elif ident not in results:
            results[ident] = CancelResult(ident, "refused", _("Nothing of it is open any more."))
    return [results[ident] for ident in order_ids]


@transaction.atomic
def cancel_lines(*, cancels: Sequence[LineCancel], reason: str, at: datetime, by: str) -> list[CancelResult]:
    """Cancel units of lines that have not left and give their stock back, once.

    Units that no warehouse has yet are cancelled at once. For the others the warehouse is asked, also one that has
    sent a part; until it answers nothing is assumed. Returns one result per order of which something was open.
    """
    if not cancels:
        return []
    lines = _load_lines([cancel.line_id for cancel in cancels])
    wanted = {cancel.line_id: cancel.quantity for cancel in cancels}
    found = _sort(lines, wanted)
    dropped = advance_fulfilments(
        fulfilment_ids=sorted(found.drop), to=FulfilmentState.CANCELLED, at=at, only_from=DROPPABLE
    )
    asked = advance_fulfilments(fulfilment_ids=sorted(found.ask), to=FulfilmentState.CANCEL_REQUESTED, at=at)
    _want_cancel(lines, found.asked, reason=reason, at=at, by=by)
    if asked:
        record_events(CancellationsAsked(tuple(asked)))
    if dropped:
        lock_promises(order_ids={line.order_id for line in lines.values()})
        give_back(dropped, at=at, by=by)
    _cancel_now(lines, found.now, reason=reason, at=at, by=by)
    return _results(lines, found)


def _want_cancel(
    lines: dict[int, SalesOrderLine], asked: dict[int, int], *, reason: str, at: datetime, by: str
) -> None:
    """Note what waits for a warehouse's answer; what was noted before is not news."""
    news = {ident: units for ident, units in asked.items() if lines[ident].cancel_wanted != units}
    if not news:
        return
    execute(WANT_CANCEL, [list(news), list(news.values())])
    waiting = {lines[ident].order_id for ident in news}
    record_happenings(
        happenings=[Happening(ident, "cancel.asked", {"reason": reason}) for ident in sorted(waiting)],
        at=at,
        by=by,
    )


def _load_lines(line_ids: Iterable[int]) -> dict[int, SalesOrderLine]:
    """The lines, read after their orders were locked in key order."""
    wanted = sorted(set(line_ids))
    order_ids = sorted(set(SalesOrderLine.objects.filter(pk__in=wanted).values_list("order_id", flat=True)))
    execute(LOCK_ORDERS, [order_ids])
    return {
        line.pk: line
        for line in SalesOrderLine.objects.filter(pk__in=wanted).select_related("order", "bundle")
    }


def _open(line: SalesOrderLine) -> int:
    return line.quantity - line.cancelled_quantity - line.shipped_quantity


def _sort(lines: dict[int, SalesOrderLine], wanted: dict[int, int | None]) -> Sorted:
    found = Sorted()
    live: dict[int, list[FulfilmentLine]] = {}
    # A warehouse that has sent all that it had of a line has nothing of it to stop.
    for row in FulfilmentLine.objects.filter(
        order_line_id__in=lines, fulfilment__state__in=LIVE, quantity__gt=F("shipped_quantity")
    ).select_related("fulfilment"):
        live.setdefault(row.order_line_id, []).append(row)
    for ident, line in lines.items():
        asked_for = wanted[ident]
        units = _open(line) if asked_for is None else min(asked_for, _open(line))
        if units <= 0:
            continue
        states = {row.fulfilment_id: row.fulfilment.state for row in live.get(ident, [])}
        if any(state in WITH_WAREHOUSE for state in states.values()):
            found.asked[ident] = units
            found.ask |= {key for key, state in states.items() if state in ASKABLE}
            # What no warehouse has must not reach one while another is asked.
            found.drop |= {key for key, state in states.items() if state in DROPPABLE}
        else:
            found.now[ident] = units
            found.drop |= set(states)
    return found


@transaction.atomic
def drop_fulfilments(*, fulfilment_ids: Sequence[int], at: datetime, by: str) -> list[int]:
    """Take back fulfilment orders that no warehouse has: their stock is only promised again, their orders
    approved again.

    Returns the ids that were dropped; those that a warehouse has are left alone.
    """
    execute(LOCK_ORDERS, [_orders_of(fulfilment_ids)])
    dropped = advance_fulfilments(
        fulfilment_ids=fulfilment_ids, to=FulfilmentState.CANCELLED, at=at, only_from=DROPPABLE
    )
    give_back(dropped, at=at, by=by)
    return dropped


def give_back(fulfilment_ids: list[int], *, at: datetime, by: str) -> None:
    """What cancelled fulfilment orders have not sent is only promised again, and their orders approved again.

    In the caller's transaction, which has locked the orders and cancelled these.
    """
    rows = list(FulfilmentLine.objects.filter(fulfilment_id__in=fulfilment_ids))
    if not rows:
        return
    uncommit_stock(
        parts=[(row.line_key, row.part) for row in rows if row.quantity > row.shipped_quantity], at=at, by=by
    )
    advance_orders(order_ids=sorted({row.order_id for row in rows}), to=Stage.APPROVED, at=at, by=by)


def _cancel_now(
    lines: dict[int, SalesOrderLine], units: dict[int, int], *, reason: str, at: datetime, by: str
) -> None:
    if not units:
        return
    releases = [
        Release(lines[ident].line_key, None if count == _open(lines[ident]) else count)
        for ident, count in units.items()
    ]
    freed = release_stock(releases=releases, at=at, by=by)
    execute(CANCEL_UNITS, [list(units), list(units.values())])
    bundles = {ident for key in units if (ident := lines[key].bundle_id) is not None}
    if bundles:
        announce_broken_bundles(bundle_ids=bundles, at=at)
    order_ids = sorted({lines[ident].order_id for ident in units})
    execute(RECOUNT_SHORT, [order_ids])
    happenings = []
    for order_id in order_ids:
        own = [ident for ident in units if lines[ident].order_id == order_id]
        happenings.append(
            Happening(
                order_id,
                "lines.cancelled",
                {
                    "reason": reason,
                    "units": sum(units[ident] for ident in own),
                    "freed": sum(freed.get(lines[ident].line_key, 0) for ident in own),
                },
            )
        )
    record_happenings(happenings=happenings, at=at, by=by)
    _publish_again([lines[ident] for ident in units if not freed.get(lines[ident].line_key)])
    finish_orders(order_ids=order_ids, at=at, by=by)


def _publish_again(never_promised: list[SalesOrderLine]) -> None:
    """The platform had taken these off its shelf although no stock of ours was promised."""
    by_shop: dict[int, set[int]] = {}
    for line in never_promised:
        sold = line.bundle or line
        by_shop.setdefault(line.order.shop_id, set()).add(sold.sku_id)
    for shop_id in sorted(by_shop):
        mark_sold(shop_id=shop_id, sku_ids=by_shop[shop_id])


def _results(lines: dict[int, SalesOrderLine], found: Sorted) -> list[CancelResult]:
    results: dict[int, CancelResult] = {}
    for ident in found.now:
        order_id = lines[ident].order_id
        results[order_id] = CancelResult(order_id, "cancelled")
    for ident in found.asked:
        order_id = lines[ident].order_id
        results[order_id] = CancelResult(order_id, "asked", _("The warehouse is asked to stop it."))
    return list(results.values())


@transaction.atomic
def resume_cancellations(*, fulfilment_ids: Sequence[int], reason: str, at: datetime, by: str) -> None:
    """Go on with cancellations that waited for these fulfilment orders: they are answered, stopped or gone now."""
    wanted = SalesOrderLine.objects.filter(
        fulfilment_lines__fulfilment_id__in=fulfilment_ids, cancel_wanted__gt=0
    )
    cancels = [LineCancel(line.pk, line.cancel_wanted) for line in wanted.distinct()]
    if cancels:
        cancel_lines(cancels=cancels, reason=reason, at=at, by=by)


@transaction.atomic
def stop_fulfilments(*, fulfilment_ids: Sequence[int], reason: str, at: datetime, by: str) -> list[int]:
    """Have the warehouses asked to stop what they have not sent of these. What they stop is sourced anew, unless
    its order is held or it was cancelled meanwhile.

    Returns the ids that a warehouse is asked about now; it must have taken them and not be asked already.
    """
    order_ids = _orders_of(fulfilment_ids)
    execute(LOCK_ORDERS, [order_ids])
    asked = advance_fulfilments(
        fulfilment_ids=fulfilment_ids, to=FulfilmentState.CANCEL_REQUESTED, at=at, only_from=ASKABLE
    )
    if asked:
        record_events(CancellationsAsked(tuple(asked)))
    record_happenings(
        happenings=[Happening(ident, "cancel.asked", {"reason": reason}) for ident in _orders_of(asked)],
        at=at,
        by=by,
    )
    return asked


# --- the warehouse's answers --------------------------------------------------------------------------------


@transaction.atomic
def claim_cancel_questions(*, location_id: int, limit: int) -> list[CancelQuestion]:
    """Claim questions that a warehouse must be asked now.

    A claimed one comes back after a minute without an answer.
    """
    return [CancelQuestion(*row) for row in fetch_all(CLAIM_QUESTIONS, [location_id, limit])]


@transaction.atomic
def record_cancel_answers(*, answers: Sequence[CancelAnswer], at: datetime, by: str) -> None:
    """Carry out what warehouses answered.

    An answer that comes after the parcel, or twice, changes nothing.
    """
    order_ids = _orders_of([answer.fulfilment_id for answer in answers])
    execute(LOCK_ORDERS, [order_ids])
    lock_promises(order_ids=order_ids)
    details = {answer.fulfilment_id: answer.detail for answer in answers}
    _stopped({a.fulfilment_id for a in answers if a.is_cancelled}, details, at=at, by=by)
    _not_stopped({a.fulfilment_id for a in answers if not a.is_cancelled}, details, at=at, by=by)


def _orders_of(fulfilment_ids: Collection[int]) -> list[int]:
    rows = FulfilmentLine.objects.filter(fulfilment_id__in=fulfilment_ids).values_list("order_id", flat=True)
    return sorted(set(rows))


def _details_by_order(fulfilment_ids: list[int], details: dict[int, str]) -> dict[int, str]:
    """What the warehouses said, by the order of which they spoke."""
    rows = FulfilmentLine.objects.filter(fulfilment_id__in=fulfilment_ids)
    pairs = rows.values_list("order_id", "fulfilment_id").distinct().order_by("order_id", "fulfilment_id")
    return {order_id: details[ident] for order_id, ident in pairs}


def _stopped(fulfilment_ids: set[int], details: dict[int, str], *, at: datetime, by: str) -> None:
    moved = advance_fulfilments(
        fulfilment_ids=sorted(fulfilment_ids), to=FulfilmentState.CANCELLED, at=at, only_from=STOPPABLE
    )
    if not moved:
        return
    give_back(moved, at=at, by=by)
    record_happenings(
        happenings=[
            Happening(ident, "cancel.accepted", {"detail": detail}, Side.WAREHOUSE)
            for ident, detail in _details_by_order(moved, details).items()
        ],
        at=at,
        by=by,
    )
    # Units that another warehouse still has go on waiting for its answer.
    resume_cancellations(fulfilment_ids=moved, reason=sentence("Stopped by the warehouse"), at=at, by=by)


def _not_stopped(fulfilment_ids: set[int], details: dict[int, str], *, at: datetime, by: str) -> None:
    """The warehouse goes on where it was when it was asked."""
    begun = set(
        FulfilmentLine.objects.filter(fulfilment_id__in=fulfilment_ids, shipped_quantity__gt=0).values_list(
            "fulfilment_id", flat=True
        )
    )
    moved = []
    for idents, to in (
        (begun, FulfilmentState.PART_SHIPPED),
        (fulfilment_ids - begun, FulfilmentState.ACCEPTED),
    ):
        moved += advance_fulfilments(fulfilment_ids=sorted(idents), to=to, at=at, only_from=ASKED)
    if not moved:
        return
    SalesOrderLine.objects.filter(fulfilment_lines__fulfilment_id__in=moved).update(cancel_wanted=0)
    reason = sentence("The warehouse could not stop it: %s")
    place_holds(
        holds=[
            NewHold(ident, HoldKind.CANCEL_REFUSED, reason % (detail or "?"))
            for ident, detail in _details_by_order(moved, details).items()
        ],
        at=at,
        by=by,
        side=Side.WAREHOUSE,
    )

"""Hand fulfilment orders to their warehouses: a request, which may be refused or go unanswered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from django.db import transaction

from omni.kernel.sentences import sentence
from omni.kernel.sql import execute, fetch_all
from orders.advance import advance_fulfilments, advance_orders
from orders.cancel import resume_cancellations
from orders.draft import Receiver
from orders.models import FulfilmentLine, FulfilmentOrder
from orders.record import Happening, Side, record_happenings
from orders.states import FulfilmentState, Stage

# Looked for without a lock; orders are locked before fulfilment orders everywhere, and what a rival took
# meanwhile does not advance a second time.
CANDIDATES = """
    SELECT f.id FROM orders_fulfilmentorder f
    WHERE f.state = 'planned' AND f.location_id = %s AND f.not_before <= %s
      AND NOT EXISTS (
        SELECT 1 FROM orders_fulfilmentline l JOIN orders_salesorder o ON o.id = l.order_id
        WHERE l.fulfilment_id = f.id AND o.open_holds > 0
      )
    ORDER BY f.not_before, f.id LIMIT %s
"""
LOCK_ORDERS = """
    SELECT id FROM orders_salesorder
    WHERE id IN (SELECT order_id FROM orders_fulfilmentline WHERE fulfilment_id = ANY(%s))
    ORDER BY id FOR NO KEY UPDATE
"""
# Nothing that is held may leave: looked at once more at the last moment, under the orders' locks.
HELD_NOW = """
    SELECT DISTINCT l.fulfilment_id FROM orders_fulfilmentline l JOIN orders_salesorder o ON o.id = l.order_id
    WHERE l.fulfilment_id = ANY(%s) AND o.open_holds > 0
"""
COUNT_ATTEMPT = """
    UPDATE orders_fulfilmentorder SET attempts = attempts + 1, requested_at = %s WHERE id = ANY(%s)
"""
LATER = """
    UPDATE orders_fulfilmentorder f SET not_before = a.moment, last_error = a.detail
    FROM unnest(%s::bigint[], %s::timestamptz[], %s::text[]) AS a(id, moment, detail) WHERE f.id = a.id
"""
ACCEPTED = """
    UPDATE orders_fulfilmentorder f SET warehouse_outer_id = a.outer_id, accepted_at = coalesce(accepted_at,
    %s), refusal = '', last_error = ''
    FROM unnest(%s::bigint[], %s::text[]) AS a(id, outer_id) WHERE f.id = a.id
"""
REFUSED = """
    UPDATE orders_fulfilmentorder f SET refusal = a.detail
    FROM unnest(%s::bigint[], %s::text[]) AS a(id, detail) WHERE f.id = a.id
"""
# An answer to a request moves only what still waits for one.
WAITING = (FulfilmentState.REQUESTED,)
# Released: no warehouse still has to be asked for a part of it.
WHOLLY_RELEASED = """
    SELECT o.id FROM unnest(%s::bigint[]) AS o(id) WHERE NOT EXISTS (
        SELECT 1 FROM orders_fulfilmentline l JOIN orders_fulfilmentorder f ON f.id = l.fulfilment_id
        WHERE l.order_id = o.id AND f.state IN ('planned', 'requested', 'refused')
    )
"""


@dataclass(frozen=True, slots=True)
class PlannedLine:
    line_no: str
    sku_code: str
    sku_name: str
    quantity: int
    actual_price: Decimal  # per unit, as paid
    outer_id: str
    outer_line_id: str


@dataclass(frozen=True, slots=True)
class PlannedFulfilment:
    """All that a warehouse must know.

    Where several orders travel together, the first gives address and shop.
    """

    fulfilment_id: int
    number: str
    attempts: int
    shop_name: str
    channel: str
    created_at: datetime
    placed_at: datetime
    paid_at: datetime | None
    receiver: Receiver
    buyer_message: str
    seller_memo: str
    lines: Sequence[PlannedLine]


@dataclass(frozen=True, slots=True)
class ReleaseAnswer:
    """`later`: no usable answer, and the warehouse does not have it.

    It is asked again after `retry_seconds`.
    """

    fulfilment_id: int
    outcome: Literal["accepted", "refused", "later"]
    outer_id: str = ""
    detail: str = ""
    retry_seconds: int = 5


@transaction.atomic
def claim_planned(*, location_id: int, limit: int, at: datetime, by: str) -> list[PlannedFulfilment]:
    """Claim fulfilment orders of one location that may leave now, and mark them as requested before anyone is
    asked.
    """
    candidates = [row[0] for row in fetch_all(CANDIDATES, [location_id, at, limit])]
    if not candidates:
        return []
    execute(LOCK_ORDERS, [candidates])
    held = {row[0] for row in fetch_all(HELD_NOW, [candidates])}
    claimed = advance_fulfilments(
        fulfilment_ids=[ident for ident in candidates if ident not in held],
        to=FulfilmentState.REQUESTED,
        at=at,
    )
    execute(COUNT_ATTEMPT, [at, claimed])
    planned = load_planned(fulfilment_ids=claimed)
    _record(claimed, "release.requested", at=at, by=by)
    return planned


def load_planned(*, fulfilment_ids: Sequence[int]) -> list[PlannedFulfilment]:
    """Read fulfilment orders as their warehouse must hear of them."""
    rows: dict[int, list[FulfilmentLine]] = {}
    found = FulfilmentLine.objects.filter(fulfilment_id__in=fulfilment_ids).order_by("id")
    for row in found.select_related("fulfilment", "order_line", "order__shop", "sku"):
        rows.setdefault(row.fulfilment_id, []).append(row)
    return [_planned(rows[ident]) for ident in fulfilment_ids if ident in rows]


def _planned(rows: list[FulfilmentLine]) -> PlannedFulfilment:
    fulfilment, order = rows[0].fulfilment, rows[0].order
    return PlannedFulfilment(
        fulfilment_id=fulfilment.pk,
        number=fulfilment.number,
        attempts=fulfilment.attempts,
        shop_name=order.shop.name,
        channel=order.shop.channel,
        created_at=fulfilment.created_at,
        placed_at=order.placed_at,
        paid_at=order.paid_at,
        receiver=Receiver(**order.receiver),
        buyer_message=order.buyer_message,
        seller_memo=order.seller_memo,
        lines=[
            PlannedLine(
                line_no=str(row.pk),
                sku_code=row.sku.code,
                sku_name=row.sku.name,
                quantity=row.quantity,
                actual_price=(row.order_line.amount / row.order_line.quantity).quantize(Decimal("0.0001")),
                outer_id=row.order.outer_id,
                outer_line_id=row.order_line.outer_line_id,
            )
            for row in rows
        ],
    )


@transaction.atomic
def record_release_answers(*, answers: Sequence[ReleaseAnswer], at: datetime, by: str) -> None:
    """Write down what warehouses answered.

    An answer that comes after a shipment, or twice, changes nothing.
    """
    fulfilment_ids = [answer.fulfilment_id for answer in answers]
    order_ids = [row[0] for row in fetch_all(LOCK_ORDERS, [fulfilment_ids])]
    by_outcome: dict[str, list[ReleaseAnswer]] = {"accepted": [], "refused": [], "later": []}
    for answer in answers:
        by_outcome[answer.outcome].append(answer)
    _accepted(by_outcome["accepted"], at=at, by=by)
    _refused(by_outcome["refused"], at=at, by=by)
    _later(by_outcome["later"], at=at)
    if fulfilment_ids:
        advance_released(order_ids=order_ids, at=at, by=by)
        resume_cancellations(
            fulfilment_ids=fulfilment_ids,
            reason=sentence("Cancelled while the warehouse was asked"),
            at=at,
            by=by,
        )


def advance_released(*, order_ids: Sequence[int], at: datetime, by: str) -> None:
    """Sourced orders of which every part is with its warehouse are released."""
    released = [row[0] for row in fetch_all(WHOLLY_RELEASED, [list(order_ids)])]
    advance_orders(order_ids=released, to=Stage.RELEASED, at=at, by=by)


def _accepted(answers: list[ReleaseAnswer], *, at: datetime, by: str) -> None:
    if not answers:
        return
    moved = advance_fulfilments(
        fulfilment_ids=[answer.fulfilment_id for answer in answers],
        to=FulfilmentState.ACCEPTED,
        at=at,
        only_from=WAITING,
    )
    execute(ACCEPTED, [at, [a.fulfilment_id for a in answers], [a.outer_id[:80] for a in answers]])
    _record(moved, "release.accepted", at=at, by=by, side=Side.WAREHOUSE)


def _refused(answers: list[ReleaseAnswer], *, at: datetime, by: str) -> None:
    """A warehouse may also refuse what it had accepted: goods that it cannot find, a carrier that will not come."""
    if not answers:
        return
    moved = advance_fulfilments(
        fulfilment_ids=[answer.fulfilment_id for answer in answers],
        to=FulfilmentState.REFUSED,
        at=at,
        only_from=(*WAITING, FulfilmentState.ACCEPTED),
    )
    # Not those that have gone on meanwhile: a refusal that is written down keeps the order from this location.
    details = {a.fulfilment_id: a.detail for a in answers if a.fulfilment_id in moved}
    execute(REFUSED, [list(details), list(details.values())])
    _record(moved, "release.refused", details, at=at, by=by, side=Side.WAREHOUSE)


def _later(answers: list[ReleaseAnswer], *, at: datetime) -> None:
    if not answers:
        return
    moved = advance_fulfilments(
        fulfilment_ids=[a.fulfilment_id for a in answers],
        to=FulfilmentState.PLANNED,
        at=at,
        only_from=WAITING,
    )
    rows = [answer for answer in answers if answer.fulfilment_id in moved]
    execute(
        LATER,
        [
            [answer.fulfilment_id for answer in rows],
            [at + timedelta(seconds=answer.retry_seconds) for answer in rows],
            [answer.detail for answer in rows],
        ],
    )


@transaction.atomic
def retry_refused(*, fulfilment_ids: Sequence[int], at: datetime, by: str) -> list[int]:
    """Ask the same warehouse again, after a person has mended the cause.

    Returns the ids that were refused.
    """
    moved = advance_fulfilments(fulfilment_ids=list(fulfilment_ids), to=FulfilmentState.PLANNED, at=at)
    FulfilmentOrder.objects.filter(pk__in=moved).update(not_before=at, refusal="")
    _record(moved, "release.retried", at=at, by=by)
    return moved


def find_unanswered(*, location_id: int, before: datetime, limit: int) -> list[PlannedFulfilment]:
    """Requests that were sent before the moment and never answered: their sender died.

    Read them back, then answer.
    """
    rows = FulfilmentOrder.objects.filter(
        state=FulfilmentState.REQUESTED, location_id=location_id, requested_at__lt=before
    ).order_by("id")
    return load_planned(fulfilment_ids=list(rows.values_list("pk", flat=True)[:limit]))


def _record(
    fulfilment_ids: Sequence[int],
    kind: str,
    details: Mapping[int, str] | None = None,
    *,
    at: datetime,
    by: str,
    side: str = Side.OMNI,
) -> None:
    """`details`: what the warehouse said, by fulfilment order."""
    rows = (
        FulfilmentLine.objects.filter(fulfilment_id__in=fulfilment_ids)
        .values_list("order_id", "fulfilment_id", "fulfilment__number", "fulfilment__location__name")
        .distinct()
        .order_by("order_id")
    )
    record_happenings(
        happenings=[
            Happening(
                order_id,
                kind,
                {"number": number, "location": location} | ({"detail": details[ident]} if details else {}),
                side,
            )
            for order_id, ident, number, location in rows
        ],
        at=at,
        by=by,
    )

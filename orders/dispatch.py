"""Tell the channels about parcels, until they have acknowledged each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from omni.kernel.sql import fetch_all
from orders.models import DispatchNotice
from orders.record import Happening, Side, record_happenings

# A claim pushes `not_before` a minute ahead: a sender that dies gives its notices back by itself.
CLAIM = """
    UPDATE orders_dispatchnotice SET attempts = attempts + 1, not_before = statement_timestamp() + interval '60 seconds'
    WHERE id IN (
        SELECT id FROM orders_dispatchnotice
        WHERE state = 'due' AND shop_id = %s AND not_before <= statement_timestamp()
        ORDER BY not_before, id FOR UPDATE SKIP LOCKED LIMIT %s
    )
    RETURNING id
"""
ANSWER = """
    UPDATE orders_dispatchnotice n
    SET state = a.state, last_error = a.detail, not_before = a.moment, sent_at = a.sent_at
    FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[])
        AS a(id, state, detail, moment, sent_at)
    WHERE n.id = a.id AND n.state = 'due' RETURNING n.id, n.order_id, n.state
"""
BACKOFF_SECONDS = (2, 5, 15, 60, 300, 600)


@dataclass(frozen=True, slots=True)
class DueNotice:
    notice_id: int
    order_id: int
    outer_id: str
    lines: Sequence[tuple[str, int]]  # (outer line id, units)
    is_whole_order: bool
    carrier_code: str
    tracking_no: str


@dataclass(frozen=True, slots=True)
class NoticeAnswer:
    """`is_final` and not ok: a person must look."""

    notice_id: int
    ok: bool
    detail: str = ""
    is_final: bool = False
    retry_seconds: int | None = None


@transaction.atomic
def claim_due_notices(*, shop_id: int, limit: int) -> list[DueNotice]:
    """Claim notices that a shop's channel must hear now, oldest first."""
    idents = [row[0] for row in fetch_all(CLAIM, [shop_id, limit])]
    rows = DispatchNotice.objects.filter(pk__in=idents).select_related("order", "parcel").order_by("pk")
    return [
        DueNotice(
            row.pk,
            row.order_id,
            row.order.outer_id,
            [(outer, units) for outer, units in row.lines],
            row.is_whole_order,
            row.parcel.carrier_code,
            row.parcel.tracking_no,
        )
        for row in rows
    ]


@transaction.atomic
def record_notice_answers(*, answers: Sequence[NoticeAnswer], at: datetime, by: str) -> None:
    """Write down what the channel answered. A second answer to the same notice changes nothing."""
    if not answers:
        return
    attempts = dict(
        DispatchNotice.objects.filter(pk__in=[a.notice_id for a in answers]).values_list("pk", "attempts")
    )
    columns: tuple[list[object], ...] = ([], [], [], [], [])
    for answer in answers:
        state = "sent" if answer.ok else "failed" if answer.is_final else "due"
        wait = answer.retry_seconds or BACKOFF_SECONDS[min(attempts.get(answer.notice_id, 1), 6) - 1]
        values = (
            answer.notice_id,
            state,
            answer.detail,
            at + timedelta(seconds=wait),
            at if answer.ok else None,
        )
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    changed = fetch_all(ANSWER, list(columns))
    details = {answer.notice_id: answer.detail for answer in answers}
    record_happenings(
        happenings=[
            Happening(
                order_id,
                f"dispatch.{state}",
                {"detail": details[ident]} if details[ident] else {},
                Side.CHANNEL,
            )
            for ident, order_id, state in changed
            if state != "due"
        ],
        at=at,
        by=by,
    )


@transaction.atomic
def retry_notices(*, notice_ids: Sequence[int], at: datetime, by: str) -> int:
    """Send failed notices again, after a person has mended the cause."""
    rows = fetch_all(
        "UPDATE orders_dispatchnotice SET state = 'due', attempts = 0, not_before = %s"
        " WHERE id = ANY(%s) AND state = 'failed' RETURNING order_id",
        [at, list(notice_ids)],
    )
    record_happenings(
        happenings=[Happening(order_id, "dispatch.retried") for order_id in sorted({row[0] for row in rows})],
        at=at,
        by=by,
    )
    return len(rows)

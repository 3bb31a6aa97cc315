"""Tell the channels about parcels, until they have acknowledged each that they can keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db import transaction

from omni.kernel.answers import Answer, wait_after
from omni.kernel.sentences import sentence
from omni.kernel.sql import execute, fetch_all
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
# Who tells of each line: the notice that was taken first; else the oldest that is still to be told.
TELLERS = """
    SELECT DISTINCT ON (n.order_id, line ->> 0) n.order_id, line ->> 0, n.id, n.state, p.tracking_no
    FROM orders_dispatchnotice n
    JOIN orders_parcel p ON p.id = n.parcel_id
    CROSS JOIN LATERAL jsonb_array_elements(n.lines) AS line
    WHERE n.order_id = ANY(%s) AND n.state IN ('sent', 'due')
    ORDER BY n.order_id, line ->> 0, n.state = 'due', n.sent_at, n.id
"""
# Not tried yet, so the claim's attempt does not count.
HOLD_BACK = "UPDATE orders_dispatchnotice SET attempts = attempts - 1, not_before = %s WHERE id = ANY(%s)"
CLOSE = """
    UPDATE orders_dispatchnotice n
    SET state = 'not_needed', reason = c.reason, attempts = n.attempts - 1, last_error = ''
    FROM unnest(%s::bigint[], %s::text[]) AS c(id, reason) WHERE n.id = c.id
"""
HELD_BACK = timedelta(seconds=5)
ONE_PARCEL_PER_LINE = sentence(
    "The channel keeps one parcel number per line, and all lines of this parcel have theirs already: %(numbers)s."
)
PART_OF_A_BUNDLE = sentence(
    "Only parts of bundles left in this parcel: the channel hears of them with the rest."
)


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
class Teller:
    """The notice by which a channel hears, or has heard, of a line."""

    notice_id: int
    state: str
    tracking_no: str


@transaction.atomic
def claim_due_notices(
    *, shop_id: int, limit: int, at: datetime, by: str, one_parcel_per_line: bool = False
) -> list[DueNotice]:
    """Claim notices that a shop's channel must hear now, oldest first.

    With `one_parcel_per_line` the channel is told of each line once, in the first parcel that holds some of it:
    a notice comes without the lines that have a number already, one of which nothing is left is closed as not needed,
    and one whose lines another notice may still tell of waits for that one.

    Of bundles a channel hears with the parcel that makes them complete; only one that keeps one number per line hears
    in the first parcel that holds some of it, as of every line.
    """
    idents = [row[0] for row in fetch_all(CLAIM, [shop_id, limit])]
    rows = DispatchNotice.objects.filter(pk__in=idents).select_related("order", "parcel").order_by("pk")
    due = [
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
    if one_parcel_per_line and due:
        return _leave_out_told_lines(due, at=at, by=by)
    return _leave_out_parts_of_bundles(due, at=at, by=by)


def _leave_out_parts_of_bundles(due: Sequence[DueNotice], *, at: datetime, by: str) -> list[DueNotice]:
    to_tell: list[DueNotice] = []
    closed: dict[int, DueNotice] = {}
    for notice in due:
        complete = [(outer, units) for outer, units in notice.lines if units]
        if complete:
            to_tell.append(replace(notice, lines=complete))
        else:
            closed[notice.notice_id] = notice
    _close(closed, dict.fromkeys(closed, PART_OF_A_BUNDLE), at=at, by=by)
    return to_tell


def _leave_out_told_lines(due: Sequence[DueNotice], *, at: datetime, by: str) -> list[DueNotice]:
    tellers = _find_tellers(due)
    to_tell: list[DueNotice] = []
    waiting: list[int] = []
    closed: dict[int, DueNotice] = {}
    reasons: dict[int, str] = {}
    for notice in due:
        of_lines = {outer: tellers[notice.order_id, outer] for outer, _units in notice.lines}
        others = [teller for teller in of_lines.values() if teller.notice_id != notice.notice_id]
        own = [line for line in notice.lines if of_lines[line[0]].notice_id == notice.notice_id]
        if any(teller.state == DispatchNotice.State.DUE for teller in others):
            waiting.append(notice.notice_id)
        elif own:
            is_whole = notice.is_whole_order and not others
            to_tell.append(replace(notice, lines=own, is_whole_order=is_whole))
        else:
            closed[notice.notice_id] = notice
            numbers = ", ".join(sorted({teller.tracking_no for teller in others}))
            reasons[notice.notice_id] = ONE_PARCEL_PER_LINE % {"numbers": numbers}
    if waiting:
        execute(HOLD_BACK, [at + HELD_BACK, waiting])
    _close(closed, reasons, at=at, by=by)
    return to_tell


def _close(closed: Mapping[int, DueNotice], reasons: Mapping[int, str], *, at: datetime, by: str) -> None:
    """The channel need not hear of these."""
    if not closed:
        return
    execute(CLOSE, [list(reasons), list(reasons.values())])
    record_happenings(
        happenings=[
            Happening(
                notice.order_id,
                "dispatch.not_needed",
                {"tracking": notice.tracking_no, "reason": reasons[ident]},
            )
            for ident, notice in closed.items()
        ],
        at=at,
        by=by,
    )


def _find_tellers(due: Sequence[DueNotice]) -> Mapping[tuple[int, str], Teller]:
    """By (order id, outer line id)."""
    rows = fetch_all(TELLERS, [sorted({notice.order_id for notice in due})])
    return {(order_id, outer): Teller(*teller) for order_id, outer, *teller in rows}


@transaction.atomic
def record_notice_answers(*, answers: Sequence[Answer], at: datetime, by: str) -> None:
    """Write down what the channel answered. A second answer to the same notice changes nothing.

    What it will never take is failed, and waits for a person.
    """
    if not answers:
        return
    attempts = dict(
        DispatchNotice.objects.filter(pk__in=[a.key for a in answers]).values_list("pk", "attempts")
    )
    columns: tuple[list[object], ...] = ([], [], [], [], [])
    for answer in answers:
        state = "sent" if answer.ok else "failed" if answer.is_final else "due"
        values = (
            answer.key,
            state,
            answer.detail,
            at + wait_after(answer, attempts=attempts.get(answer.key, 1)),
            at if answer.ok else None,
        )
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    changed = fetch_all(ANSWER, list(columns))
    details = {answer.key: answer.detail for answer in answers}
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

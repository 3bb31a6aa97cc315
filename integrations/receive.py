"""Take call-backs: stored before they are answered, answered before they are worked on, worked on once."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.db import InterfaceError, OperationalError, transaction

from integrations.apply import MayBeOvertaken, apply_notice
from integrations.contract import ChannelRejected, ChannelUnavailable, WarehouseNotice
from integrations.health import note_success
from integrations.models import Connection, InboundMessage, MessageLog
from integrations.notices import kind_of, notice_from_json, notice_to_json, subject_of
from integrations.record import Message, record_messages, redact
from integrations.registry import open_warehouse
from integrations.warehouses.qimen.callbacks import (
    BadCallback,
    BadSignature,
    answer_failure,
    answer_success,
    read_callback,
)
from inventory.book import CommittedStock
from omni.kernel import doorbell
from omni.kernel.audit import record_act
from omni.kernel.errors import Busy, DomainError
from omni.kernel.sql import fetch_all
from orders.confirm import UnknownFulfilment

log = logging.getLogger(__name__)

SWEEP = "integrations.tasks.take_inbound"
# A confirmation may overtake our own transaction, but not by minutes: then something is wrong.
EARLY_FOR = timedelta(minutes=5)
# A final confirmation of less than was asked waits so long for one that it may have overtaken on the way here. Then the
# warehouse is asked how much has left: to believe too soon that a rest will not come is to send it twice.
GRACE = timedelta(seconds=30)
OVERTAKEN_FOR = timedelta(days=1)
# The news of a lost unit may come before the confirmation without it; when all that is left is taken for orders, it can
# be booked as soon as one of them has left or is stopped.
COMMITTED_FOR = timedelta(days=1)
ATTEMPTS_MAX = 8
LEASE = timedelta(seconds=60)
DELAY_SECONDS_MAX = 60

# The lease is `not_before` pushed into the future: a worker that dies gives its rows back by itself. Attempts are
# counted before the work, so that a message which kills its worker cannot loop for ever. The last confirmation of a
# delivery waits for the others that are here: worked on first, it would have goods that have left sent once more.
CLAIM = """
    UPDATE integrations_inboundmessage SET attempts = attempts + 1, not_before = clock_timestamp() + %s
    WHERE id IN (
        SELECT m.id FROM integrations_inboundmessage m
        WHERE m.state = 'new' AND m.not_before <= clock_timestamp() AND NOT EXISTS (
            SELECT 1 FROM integrations_inboundmessage part
            WHERE m.kind = 'delivery' AND part.kind = 'delivery_part' AND part.state = 'new'
              AND part.subject = m.subject AND part.connection_id = m.connection_id)
        ORDER BY m.not_before, m.id FOR UPDATE OF m SKIP LOCKED LIMIT %s
    )
    RETURNING id
"""


def receive_qimen(*, connection: Connection, query: Mapping[str, str], body: bytes, at: datetime) -> bytes:
    """Answer one signed call of a Qimen warehouse. Success means: stored, and it will be worked on.

    The same event again is stored once and answered with success again. A wrong signature or an unreadable document
    stores nothing and is answered with Qimen's failure flag.
    """
    method = query.get("method", "")[:80] or "?"
    try:
        notices = read_callback(
            query=query,
            body=body,
            secret=str(connection.credentials.get("secret", "")),
            settings=connection.settings,
        )
    except BadSignature as forged:
        _log_refusal(connection, method, f"sign-check-failure: {forged}", at)
        return answer_failure("sign-check-failure", str(forged))
    except BadCallback as unreadable:
        _log_refusal(connection, method, str(unreadable), at)
        return answer_failure("invalid-request", str(unreadable))
    store_notices(connection=connection, method=method, notices=notices, at=at)
    return answer_success()


def refuse_size(*, connection: Connection, at: datetime, limit: int) -> bytes:
    """The answer to a body that is too large to be read."""
    detail = f"the body is larger than {limit} bytes"
    _log_refusal(connection, "?", detail, at)
    return answer_failure("body-too-large", detail)


@transaction.atomic
def store_notices(
    *, connection: Connection, method: str, notices: Sequence[WarehouseNotice], at: datetime
) -> None:
    """Store each notice once, whatever the number of times it is told, and wake the sweep that works on them."""
    InboundMessage.objects.bulk_create(
        (
            InboundMessage(
                connection=connection,
                event_key=notice.event_key,
                kind=kind_of(notice),
                subject=subject_of(notice)[:120],
                payload=notice_to_json(notice),
                received_at=at,
                not_before=at,
            )
            for notice in notices
        ),
        ignore_conflicts=True,
    )
    messages = [
        Message(method, is_ok=True, subject=subject_of(notice), direction=MessageLog.Direction.IN)
        for notice in notices
    ]
    record_messages(connection=connection, messages=messages, at=at)
    note_success(connection=connection, at=at)
    doorbell.ring_after_commit(SWEEP)


def take_inbound(*, limit: int, at: datetime) -> int:
    """Work on up to `limit` stored call-backs, each in a transaction of its own; returns how many were claimed.

    What may come right by itself is tried again with back-off; what cannot is marked failed, for a person to see.
    """
    with transaction.atomic():
        idents = sorted(row[0] for row in fetch_all(CLAIM, [LEASE, limit]))
    for message in InboundMessage.objects.filter(pk__in=idents).select_related("connection").order_by("pk"):
        _take(message, at)
    return len(idents)


@transaction.atomic
def retry_inbound(*, message_ids: Sequence[int], at: datetime, by: str) -> int:
    """Try failed call-backs again, after a person has mended the cause. Returns how many were failed."""
    rows = InboundMessage.objects.filter(pk__in=message_ids, state=InboundMessage.State.FAILED)
    failed = list(rows.order_by("pk").select_for_update())
    for message in failed:
        message.state = InboundMessage.State.NEW
        message.attempts = 0
        message.not_before = message.received_at = at
        message.save(update_fields=["state", "attempts", "not_before", "received_at"])
        record_act(by=by, action="inbound.retried", subject=message)
    doorbell.ring_after_commit(SWEEP)
    return len(failed)


def _take(message: InboundMessage, at: datetime) -> None:
    try:
        try:
            _apply(message, at, is_settled=False)
        except MayBeOvertaken:
            if at - message.received_at <= GRACE:
                raise
            # Outside of every transaction: a warehouse may take its time.
            sent_in_all = _count_sent(message)
            _apply(message, at, is_settled=True, sent_in_all=sent_in_all)
    except (MayBeOvertaken, ChannelUnavailable, ChannelRejected) as incomplete:
        _later(message, incomplete.detail, at, is_over=at - message.received_at > OVERTAKEN_FOR)
    except UnknownFulfilment as early:
        _later(message, early.detail, at, is_over=at - message.received_at > EARLY_FOR)
    except CommittedStock as taken:
        _later(message, taken.detail, at, is_over=at - message.received_at > COMMITTED_FOR)
    except (Busy, OperationalError, InterfaceError) as busy:
        _later(message, str(busy), at, is_over=False)
    except DomainError as refused:
        _fail(message, refused.detail, at)
    except Exception as error:
        log.exception("inbound message %s failed", message.pk)
        is_over = message.attempts >= ATTEMPTS_MAX
        _later(message, f"{type(error).__name__}: {error}", at, is_over=is_over)


def _apply(
    message: InboundMessage, at: datetime, *, is_settled: bool, sent_in_all: int | None = None
) -> None:
    with transaction.atomic():
        notice = notice_from_json(message.kind, message.payload)
        apply_notice(
            notice=notice,
            connection=message.connection,
            at=at,
            is_settled=is_settled,
            sent_in_all=sent_in_all,
        )
        _close(message, InboundMessage.State.DONE, "", at)


def _count_sent(message: InboundMessage) -> int | None:
    """What the warehouse itself says has left; None: it cannot say."""
    with open_warehouse(message.connection) as warehouse:
        return warehouse.count_sent(number=message.subject)


def _later(message: InboundMessage, detail: str, at: datetime, *, is_over: bool) -> None:
    if is_over:
        _fail(message, detail, at)
        return
    seconds = min(DELAY_SECONDS_MAX, 2**message.attempts)
    InboundMessage.objects.filter(pk=message.pk).update(
        not_before=at + timedelta(seconds=seconds),
        last_error=redact(detail, connection=message.connection),
    )


def _fail(message: InboundMessage, detail: str, at: datetime) -> None:
    _close(message, InboundMessage.State.FAILED, redact(detail, connection=message.connection), at)
    told = Message(f"take.{message.kind}", is_ok=False, subject=message.subject, detail=detail)
    record_messages(connection=message.connection, messages=[told], at=at)


def _close(message: InboundMessage, state: str, detail: str, at: datetime) -> None:
    """Only a message that is still new: a second worker's late word changes nothing."""
    InboundMessage.objects.filter(pk=message.pk, state=InboundMessage.State.NEW).update(
        state=state, last_error=detail, done_at=at if state == InboundMessage.State.DONE else None
    )


def _log_refusal(connection: Connection, method: str, detail: str, at: datetime) -> None:
    told = Message(method, is_ok=False, detail=detail, direction=MessageLog.Direction.IN)
    record_messages(connection=connection, messages=[told], at=at)

"""Hand fulfilment orders to the warehouses and ask them to stop some: requests that may go unanswered."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from django.utils import timezone
from django.utils.translation import gettext as _

from integrations.contract import (
    ChannelRejected,
    ChannelUnavailable,
    DeliveryLine,
    DeliveryOrder,
    WarehouseAdapter,
    WarehouseAnswer,
)
from integrations.lease import Lease
from integrations.models import Connection
from integrations.record import Message, record_messages
from integrations.registry import open_warehouse
from integrations.run import Run, run_stream
from omni.kernel.actors import actor
from orders.cancel import CancelAnswer, CancelQuestion, claim_cancel_questions, record_cancel_answers
from orders.release import (
    PlannedFulfilment,
    ReleaseAnswer,
    claim_planned,
    find_unanswered,
    record_release_answers,
)

RELEASE = "release"
CANCEL = "cancel"
SETTLE = "settle"

CLAIM = 40
THREADS = 4
RUN_SECONDS = 30.0
# A request without an answer for so long has lost its sender; longer than any call may take.
UNANSWERED_FOR = timedelta(seconds=90)
SETTLE_EVERY = timedelta(seconds=30)

# How Qimen and its like call the platform from which an order comes; what is not here is OTHERS.
PLATFORMS = {"top": "TB", "tmall": "TM", "jd": "JD", "pdd": "PDD", "douyin": "DYXD", "xhs": "XHS"}

Question = TypeVar("Question")
Call = Callable[[Question], WarehouseAnswer | None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one call: an answer, none (the warehouse does not have the document), or an error."""

    answer: WarehouseAnswer | None
    error: ChannelUnavailable | ChannelRejected | None
    duration_ms: int


def release_fulfilments(*, connection_id: int, at: datetime) -> Run | None:
    """Send every planned fulfilment order of a warehouse to it, and write down what it said.

    A request whose answer got lost is looked up before it is sent again, so that nothing is sent twice.
    """

    def work(connection: Connection, lease: Lease) -> Run:
        count, stop_at, by = 0, time.monotonic() + RUN_SECONDS, actor("connection", connection.pk)
        location_id = _location_id(connection)
        with open_warehouse(connection) as warehouse:
            while time.monotonic() < stop_at:
                planned = claim_planned(location_id=location_id, limit=CLAIM, at=timezone.now(), by=by)
                if not planned:
                    break
                _request(connection, warehouse, planned, by)
                count += len(planned)
        return Run(count, has_talked=count > 0)

    return run_stream(connection_id=connection_id, stream=RELEASE, work=work, at=at)


def ask_cancellations(*, connection_id: int, at: datetime) -> Run | None:
    """Ask a warehouse to stop what was cancelled; its synchronous answer decides. No answer: asked again later."""

    def work(connection: Connection, lease: Lease) -> Run:
        by = actor("connection", connection.pk)
        questions = claim_cancel_questions(location_id=_location_id(connection), limit=CLAIM)
        if not questions:
            return Run(0, has_talked=False)
        codes = codes_of(connection)

        def ask(question: CancelQuestion) -> WarehouseAnswer:
            return warehouse.cancel_delivery(
                number=question.number, reason=_("cancelled by the buyer"), **codes
            )

        with open_warehouse(connection) as warehouse:
            outcomes = _call_each(ask, questions)
        answers = [
            CancelAnswer(question.fulfilment_id, *known)
            for question, outcome in zip(questions, outcomes, strict=True)
            if (known := _read_cancel(outcome)) is not None
        ]
        record_cancel_answers(answers=answers, at=timezone.now(), by=by)
        _log(connection, "cancel_delivery", [question.number for question in questions], outcomes)
        _raise_first(outcomes)
        return Run(len(questions))

    return run_stream(connection_id=connection_id, stream=CANCEL, work=work, at=at)


def settle_unanswered(*, connection_id: int, at: datetime) -> Run | None:
    """Look up requests whose sender died before it could write down the answer."""

    def work(connection: Connection, lease: Lease) -> Run:
        by = actor("connection", connection.pk)
        lost = find_unanswered(
            location_id=_location_id(connection), before=timezone.now() - UNANSWERED_FOR, limit=CLAIM
        )
        if lost:
            with open_warehouse(connection) as warehouse:
                found = _call_each(lambda one: warehouse.find_delivery(number=one.number), lost)
            answers = [
                _read_lookup(one, outcome)
                for one, outcome in zip(lost, found, strict=True)
                if outcome.error is None
            ]
            record_release_answers(answers=answers, at=timezone.now(), by=by)
            _raise_first(found)
        return Run(len(lost), SETTLE_EVERY, has_talked=bool(lost))

    return run_stream(connection_id=connection_id, stream=SETTLE, work=work, at=at)


# --- requests -----------------------------------------------------------------------------------------------


def _request(
    connection: Connection, warehouse: WarehouseAdapter, planned: Sequence[PlannedFulfilment], by: str
) -> None:
    """Ask for all, look up those whose answer got lost, write down what is known.

    One that cannot even be looked up stays `requested`: `settle_unanswered` will find out.
    """

    def ask(one: PlannedFulfilment) -> WarehouseAnswer | None:
        order = describe_delivery(one, connection)
        try:
            return warehouse.create_delivery(order=order)
        except ChannelUnavailable as lost:
            if not lost.is_unknown_outcome:
                raise
            return _look_up(warehouse, one.number, lost)

    outcomes = _call_each(ask, planned)
    answers = [
        answer
        for one, outcome in zip(planned, outcomes, strict=True)
        if (answer := _read_request(one, outcome)) is not None
    ]
    record_release_answers(answers=answers, at=timezone.now(), by=by)
    _log(connection, "create_delivery", [one.number for one in planned], outcomes)
    _raise_first(outcomes)


def _look_up(warehouse: WarehouseAdapter, number: str, lost: ChannelUnavailable) -> WarehouseAnswer | None:
    """What became of a request whose answer got lost. A look-up that fails too tells nothing about the request."""
    try:
        return warehouse.find_delivery(number=number)
    except ChannelUnavailable as failed:
        detail = f"{lost.detail}; {failed.detail}"
        raise ChannelUnavailable(detail, is_unknown_outcome=True) from failed
    except ChannelRejected as failed:
        if failed.is_auth:
            raise
        detail = f"{lost.detail}; {failed.detail}"
        raise ChannelUnavailable(detail, is_unknown_outcome=True) from failed


def describe_delivery(planned: PlannedFulfilment, connection: Connection) -> DeliveryOrder:
    """A planned fulfilment order in the words of the warehouse contract."""
    return DeliveryOrder(
        number=planned.number,
        shop_name=planned.shop_name,
        platform_code=PLATFORMS.get(planned.channel, "OTHERS"),
        carrier_code=str(connection.settings.get("carrier_code", "SF")),
        created_at=planned.created_at,
        placed_at=planned.placed_at,
        paid_at=planned.paid_at,
        receiver=planned.receiver,
        buyer_message=planned.buyer_message,
        seller_memo=planned.seller_memo,
        lines=[
            DeliveryLine(
                line_no=line.line_no,
                sku_code=line.sku_code,
                sku_name=line.sku_name,
                quantity=line.quantity,
                actual_price=line.actual_price,
                outer_id=line.outer_id,
                outer_line_id=line.outer_line_id,
            )
            for line in planned.lines
        ],
        **codes_of(connection),
    )


def _read_request(one: PlannedFulfilment, outcome: Outcome) -> ReleaseAnswer | None:
    error = outcome.error
    if isinstance(error, ChannelUnavailable):
        # Known not to have arrived: planned again. Unknown: stays requested until somebody has looked.
        return None if error.is_unknown_outcome else _later(one, error.detail, error.retry_seconds)
    if isinstance(error, ChannelRejected):
        # Whether it was the request or the look-up after it that was turned away, nobody knows: it is settled later.
        if error.is_auth:
            return None
        return ReleaseAnswer(one.fulfilment_id, "refused", detail=error.detail)
    return _read_lookup(one, outcome)


def _read_lookup(one: PlannedFulfilment, outcome: Outcome) -> ReleaseAnswer:
    if outcome.answer is None:
        return _later(one, _("The warehouse does not have it: sent again."))
    if not outcome.answer.ok:
        detail = outcome.answer.detail or outcome.answer.code
        return ReleaseAnswer(one.fulfilment_id, "refused", detail=detail)
    return ReleaseAnswer(one.fulfilment_id, "accepted", outer_id=outcome.answer.outer_id)


def _later(one: PlannedFulfilment, detail: str, retry_seconds: int | None = None) -> ReleaseAnswer:
    seconds = retry_seconds or min(300, 2 ** min(one.attempts, 8))
    return ReleaseAnswer(one.fulfilment_id, "later", detail=detail, retry_seconds=seconds)


def _read_cancel(outcome: Outcome) -> tuple[bool, str] | None:
    """(is stopped, detail), or None while nobody knows."""
    if outcome.answer is not None:
        return outcome.answer.ok, outcome.answer.detail or outcome.answer.code
    if isinstance(outcome.error, ChannelRejected) and not outcome.error.is_auth:
        return False, outcome.error.detail
    return None


# --- calls --------------------------------------------------------------------------------------------------


def _call_each(call: Call[Question], questions: Sequence[Question]) -> list[Outcome]:
    """Call for each, a few at a time. The threads talk to the warehouse only, never to the database."""

    def measure(question: Question) -> Outcome:
        started = time.monotonic()
        answer, error = None, None
        try:
            answer = call(question)
        except (ChannelUnavailable, ChannelRejected) as failed:
            error = failed
        return Outcome(answer, error, int((time.monotonic() - started) * 1000))

    with ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="warehouse") as pool:
        return list(pool.map(measure, questions))


def _raise_first(outcomes: Sequence[Outcome]) -> None:
    """What fails for all of them is the connection's trouble; what fails for one is that document's."""
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    for error in errors:
        if isinstance(error, ChannelRejected) and error.is_auth:
            raise error
    away = [error for error in errors if isinstance(error, ChannelUnavailable)]
    if away and len(away) == len(outcomes):
        raise away[0]


def _log(connection: Connection, operation: str, numbers: Sequence[str], outcomes: Sequence[Outcome]) -> None:
    messages = []
    for number, outcome in zip(numbers, outcomes, strict=True):
        answer, error = outcome.answer, outcome.error
        is_ok = answer is not None and answer.ok
        detail = error.detail if error else (answer.detail or answer.code) if answer else "not found"
        messages.append(Message(operation, is_ok, number, detail, outcome.duration_ms))
    record_messages(connection=connection, messages=messages, at=timezone.now())


def codes_of(connection: Connection) -> dict[str, str]:
    """Under which codes the warehouse knows the place and the owner of the goods."""
    location = connection.location
    fallback = location.code if location else ""
    return {
        "warehouse_code": str(connection.settings.get("warehouse_code") or fallback),
        "owner_code": str(connection.settings.get("owner_code") or "OMNI"),
    }


def _location_id(connection: Connection) -> int:
    if connection.location_id is None:
        raise ValueError(f"{connection.code} is not a warehouse")
    return connection.location_id

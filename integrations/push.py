"""Tell the channels what is on sale, how much, at what price, and which parcels have left, until they say yes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol, TypeVar

from django.utils import timezone

from integrations.contract import (
    ChannelAdapter,
    ChannelRejected,
    ChannelUnavailable,
    DispatchLine,
    LineResult,
    ListingLine,
    PriceLine,
    StockLine,
    TitleLine,
)
from integrations.lease import Lease
from integrations.models import Connection, Cursor
from integrations.pull import ORDERS, pull_orders
from integrations.record import Message, record_messages
from integrations.registry import capabilities, open_channel
from integrations.run import Run, run_stream
from inventory.availability import sellable_stock
from inventory.models import PublishedStock
from inventory.publish import (
    DueStock,
    claim_due_stock,
    plan_published_stock,
    record_stock_answers,
)
from omni.kernel.actors import actor
from omni.kernel.answers import Answer
from omni.kernel.batches import batches
from omni.kernel.sentences import sentence
from orders.dispatch import DueNotice, claim_due_notices, record_notice_answers
from products.models import ListingRequest
from products.prices.publish import DuePrice, claim_due_prices, record_price_answers
from products.request import DueRequest, claim_due_requests, record_request_answers

Act = ListingRequest.Act

STOCK = "stock"
DISPATCH = "dispatch"
PRICES = "prices"
LISTINGS = "listings"

STOCK_CLAIM = 200
NOTICE_CLAIM = 50
PRICE_CLAIM = 200
PRICE_BATCH = 50
LISTING_CLAIM = 100
PLAN_LIMIT = 1000
# A run leaves the worker to others after so long; the next sweep goes on.
RUN_SECONDS = 30.0
# An increase is shown only when the shop's sales up to so recently are known.
PULLED_WITHIN = timedelta(seconds=20)
POSTPONED_SECONDS = 3

Due = TypeVar("Due")
Line = TypeVar("Line")


class Record(Protocol):
    """Writes answers on the books of the room that asked."""

    def __call__(self, *, answers: Sequence[Answer], at: datetime) -> None: ...


def push_stock(*, connection_id: int, at: datetime) -> Run | None:
    """Send every due number of a shop, decreases first; an increase only after the shop's newest orders were pulled.

    Numbers are absolute, so one whose outcome is unknown is simply sent again. What the channel refuses for good
    stays visible as the published row's last error.
    """
    return _push(connection_id, STOCK, _claim_stock, _send_all_stock, at)


def push_dispatches(*, connection_id: int, at: datetime) -> Run | None:
    """Report every due parcel of a shop to its channel, line by line; a parcel that it knows already is a yes.

    A channel that keeps one number per line hears of each line once.
    """
    return _push(connection_id, DISPATCH, _claim_notices, _send_notices, at)


def push_prices(*, connection_id: int, at: datetime) -> Run | None:
    """Send every due price of a shop; one whose outcome is unknown is simply sent again.

    What the channel refuses for good stays visible as the published row's last error.
    """
    return _push(connection_id, PRICES, _claim_prices, _send_prices, at)


def push_listings(*, connection_id: int, at: datetime) -> Run | None:
    """Have a shop's channel do every due request: take off sale, call otherwise, put on sale. Each line has its answer.

    Asking twice is harmless, so what was not answered is simply asked again.
    """
    return _push(connection_id, LISTINGS, _claim_requests, _send_requests, at)


def _push(
    connection_id: int,
    stream: str,
    claim: Callable[[Connection], Sequence[Due]],
    send: Callable[[Connection, ChannelAdapter, Sequence[Due]], None],
    at: datetime,
) -> Run | None:
    """Claim what is due and send it, until nothing is due or others want the worker."""

    def work(connection: Connection, lease: Lease) -> Run:
        count, stop_at = 0, time.monotonic() + RUN_SECONDS
        with open_channel(connection) as channel:
            while time.monotonic() < stop_at and (due := claim(connection)):
                send(connection, channel, due)
                count += len(due)
        return Run(count, has_talked=count > 0)

    return run_stream(connection_id=connection_id, stream=stream, work=work, at=at)


# --- stock --------------------------------------------------------------------------------------------------


def _claim_stock(connection: Connection) -> Sequence[DueStock]:
    return claim_due_stock(shop_id=_shop_id(connection), limit=STOCK_CLAIM, at=timezone.now())


def _send_all_stock(connection: Connection, channel: ChannelAdapter, due: Sequence[DueStock]) -> None:
    _send_stock(connection, channel, [row for row in due if not row.is_increase])
    _send_increases(connection, channel, [row for row in due if row.is_increase])


def _send_stock(connection: Connection, channel: ChannelAdapter, due: Sequence[DueStock]) -> None:
    for rows in batches(due, capabilities(connection).stock_batch_max):
        _send(
            connection=connection,
            operation="push_stock",
            call=channel.push_stock,
            lines=[
                StockLine(
                    row.published_id, row.outer_item_id, row.outer_sku_id, row.sku_code, max(row.quantity, 0)
                )
                for row in rows
            ],
            subjects={row.published_id: f"{row.outer_item_id}/{row.outer_sku_id}" for row in rows},
            versions={row.published_id: row.version for row in rows},
            record=record_stock_answers,
        )


def _send_increases(connection: Connection, channel: ChannelAdapter, due: Sequence[DueStock]) -> None:
    """An absolute number computed before a sale was pulled would put the sold units back on sale.

    So pull first, compute anew, and send only the numbers that still stand; the others are due again at once.
    """
    if not due:
        return
    if not _has_pulled(connection):
        _postpone(due, POSTPONED_SECONDS)
        return
    while plan_published_stock(limit=PLAN_LIMIT, at=timezone.now()) == PLAN_LIMIT:
        pass
    wanted = PublishedStock.objects.filter(pk__in=[row.published_id for row in due])
    versions = dict(wanted.values_list("pk", "desired_version"))
    _send_stock(connection, channel, [row for row in due if versions.get(row.published_id) == row.version])
    _postpone([row for row in due if versions.get(row.published_id) != row.version], 0)


def _has_pulled(connection: Connection) -> bool:
    """Whether the shop's orders are known up to now, as far as the channel lets us ask."""
    run = pull_orders(connection_id=connection.pk, at=timezone.now())
    if run is not None:
        return run.is_caught_up
    # Somebody else may be pulling right now, or the pull failed: then an earlier one must be recent enough.
    cursor = Cursor.objects.filter(connection=connection, stream=ORDERS).first()
    newest = timezone.now() - PULLED_WITHIN
    return bool(cursor and not cursor.failures and cursor.last_run_at and cursor.last_run_at >= newest)


def _postpone(due: Sequence[DueStock], seconds: int) -> None:
    if due:
        answers = [
            Answer(row.published_id, ok=False, retry_seconds=seconds, version=row.version) for row in due
        ]
        record_stock_answers(answers=answers, at=timezone.now())


# --- prices -------------------------------------------------------------------------------------------------


def _claim_prices(connection: Connection) -> Sequence[DuePrice]:
    return claim_due_prices(shop_id=_shop_id(connection), limit=PRICE_CLAIM, at=timezone.now())


def _send_prices(connection: Connection, channel: ChannelAdapter, due: Sequence[DuePrice]) -> None:
    for rows in batches(due, PRICE_BATCH):
        _send(
            connection=connection,
            operation="push_prices",
            call=channel.push_prices,
            lines=[
                PriceLine(
                    row.published_id,
                    row.outer_item_id,
                    row.outer_sku_id,
                    row.sku_code,
                    row.amount,
                    row.currency,
                )
                for row in rows
            ],
            subjects={row.published_id: f"{row.outer_item_id}/{row.outer_sku_id}" for row in rows},
            versions={row.published_id: row.version for row in rows},
            record=record_price_answers,
        )


# --- parcels ------------------------------------------------------------------------------------------------


def _claim_notices(connection: Connection) -> Sequence[DueNotice]:
    return claim_due_notices(
        shop_id=_shop_id(connection),
        limit=NOTICE_CLAIM,
        one_parcel_per_line=capabilities(connection).one_parcel_per_line,
        at=timezone.now(),
        by=actor("connection", connection.pk),
    )


def _send_notices(connection: Connection, channel: ChannelAdapter, due: Sequence[DueNotice]) -> None:
    lines = [
        DispatchLine(
            key=notice.notice_id,
            outer_id=notice.outer_id,
            outer_line_ids=[outer_line_id for outer_line_id, _quantity in notice.lines],
            quantities=[quantity for _outer_line_id, quantity in notice.lines],
            is_whole_order=notice.is_whole_order,
            carrier_code=notice.carrier_code,
            tracking_no=notice.tracking_no,
        )
        for notice in due
    ]
    _send(
        connection=connection,
        operation="push_dispatch",
        call=channel.push_dispatch,
        lines=lines,
        subjects={notice.notice_id: notice.outer_id for notice in due},
        record=partial(record_notice_answers, by=actor("connection", connection.pk)),
    )


# --- on sale and off ----------------------------------------------------------------------------------------


def _claim_requests(connection: Connection) -> Sequence[DueRequest]:
    return claim_due_requests(shop_id=_shop_id(connection), limit=LISTING_CLAIM, at=timezone.now())


def _send_requests(connection: Connection, channel: ChannelAdapter, due: Sequence[DueRequest]) -> None:
    of_act = {act: [row for row in due if row.act == act] for act in Act}
    _send_listings(connection, "delist_items", channel.delist_items, of_act[Act.WITHDRAW])
    _send_titles(connection, channel, of_act[Act.UPDATE])
    _send_listings(connection, "list_items", channel.list_items, of_act[Act.PUBLISH])


def _send_listings(
    connection: Connection,
    operation: str,
    call: Callable[..., list[LineResult]],
    due: Sequence[DueRequest],
) -> None:
    if not due:
        return
    if not capabilities(connection).listings:
        no = sentence("This channel cannot list or delist through its interface: do it there.")
        _refuse_requests(due, no)
        return
    shop_id = _shop_id(connection)
    sellable = sellable_stock(sku_ids=sorted({row.sku_id for row in due}), shop_ids=[shop_id])
    lines = [
        ListingLine(
            key=row.request_id,
            outer_item_id=row.outer_item_id,
            outer_sku_id=row.outer_sku_id,
            sku_code=row.sku_code,
            quantity=max(sellable.get((shop_id, row.sku_id), 0), 0),
            is_whole_item=row.is_whole_item,
        )
        for row in due
    ]
    _send(
        connection=connection,
        operation=operation,
        call=call,
        lines=lines,
        subjects={row.request_id: f"{row.outer_item_id}/{row.outer_sku_id}" for row in due},
        record=record_request_answers,
    )


def _send_titles(connection: Connection, channel: ChannelAdapter, due: Sequence[DueRequest]) -> None:
    if not due:
        return
    if not capabilities(connection).titles:
        no = sentence("This channel takes no titles through its interface: change them there.")
        _refuse_requests(due, no)
        return
    _send(
        connection=connection,
        operation="update_items",
        call=channel.update_items,
        lines=[TitleLine(row.request_id, row.outer_item_id, row.title) for row in due],
        subjects={row.request_id: row.outer_item_id for row in due},
        record=record_request_answers,
    )


def _refuse_requests(due: Sequence[DueRequest], reason: str) -> None:
    answers = [Answer(row.request_id, ok=False, detail=reason, is_final=True) for row in due]
    record_request_answers(answers=answers, at=timezone.now())


# --- all ---------------------------------------------------------------------------------------------------


def _send(
    *,
    connection: Connection,
    operation: str,
    call: Callable[..., list[LineResult]],
    lines: Sequence[Line],
    subjects: Mapping[int, str],
    record: Record,
    versions: Mapping[int, int] | None = None,
) -> None:
    """One call, its answers on the books and in the log. A channel that is away fails every line, for later.

    A line without an answer counts as unanswered: an adapter's slip must not look like a yes. `subjects`: by the
    lines' keys, what the log shows. `versions`: of told values, which one was sent.
    """
    versions = versions or {}
    started = time.monotonic()
    try:
        answered = {result.key: result for result in call(lines=lines)}
    except (ChannelUnavailable, ChannelRejected) as failed:
        retry_seconds = failed.retry_seconds if isinstance(failed, ChannelUnavailable) else None
        unanswered = [_unanswered(key, failed.detail, retry_seconds) for key in subjects]
        record(answers=_answers(unanswered, versions), at=timezone.now())
        raise
    results = [answered.get(key) or _unanswered(key, "no answer for this line") for key in subjects]
    # The log first: who dies between the two has told a number that does not count yet, and tells it again.
    _log(connection, operation, results, subjects, int((time.monotonic() - started) * 1000))
    record(answers=_answers(results, versions), at=timezone.now())
    _raise_if_away(operation, results)


def _raise_if_away(operation: str, results: Sequence[LineResult]) -> None:
    """Lines that all failed, none of them for good, are the channel's trouble and not theirs: stop asking for now."""
    if any(result.ok or result.is_final for result in results):
        return
    first = results[0]
    waits = [result.retry_seconds for result in results if result.retry_seconds]
    raise ChannelUnavailable(
        f"{operation}: no line was taken: {first.code} {first.detail}".strip(),
        retry_seconds=min(waits, default=None),
        is_throttled=all(result.code == "throttled" for result in results),
    )


def _answers(results: Iterable[LineResult], versions: Mapping[int, int]) -> list[Answer]:
    return [
        Answer(
            result.key,
            ok=result.ok,
            detail=result.detail or ("" if result.ok else result.code),
            is_final=result.is_final,
            retry_seconds=result.retry_seconds,
            version=versions.get(result.key, 0),
        )
        for result in results
    ]


def _unanswered(key: int, detail: str, retry_seconds: int | None = None) -> LineResult:
    return LineResult(key, ok=False, code="unanswered", detail=detail, retry_seconds=retry_seconds)


def _log(
    connection: Connection,
    operation: str,
    results: Iterable[LineResult],
    subjects: Mapping[int, str],
    duration_ms: int,
) -> None:
    messages = [
        Message(operation, result.ok, subjects[result.key], result.detail or result.code, duration_ms)
        for result in results
    ]
    record_messages(connection=connection, messages=messages, at=timezone.now())


def _shop_id(connection: Connection) -> int:
    if connection.shop_id is None:
        raise ValueError(f"{connection.code} is not a channel")
    return connection.shop_id

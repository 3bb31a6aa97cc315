"""Read a channel's orders and refunds into the house, so that none is missing however reading goes wrong."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from django.db import DatabaseError, InterfaceError, OperationalError

from integrations.contract import BadPayload, Capabilities, ChannelAdapter, ChannelUnavailable
from integrations.lease import Lease, move_cursor
from integrations.models import Connection
from integrations.record import Message, record_messages
from integrations.registry import capabilities, open_channel
from integrations.run import Run, run_stream
from omni.kernel.actors import actor
from omni.kernel.batches import batches
from orders.capture import capture_orders
from orders.draft import OrderDraft, RefundDraft
from orders.draft_json import draft_to_json, payload_hash
from orders.heard import find_stored
from orders.models import ChannelOrder, ParkedOrder, SalesOrder
from orders.park import Parked, park_orders
from orders.refunds import take_refunds
from orders.rereads import due_outer_ids
from products.models import Shop

log = logging.getLogger(__name__)

ORDERS = "orders"
REFUNDS = "refunds"
COMPARE = "compare"

BATCH = 200
PULL_EVERY_SECONDS = 15
# Every pull goes back a little, for what shares the last second; once a minute it goes back the whole overlap, for
# what became visible late. The whole overlap each time would read every order forty times.
BRIEF_OVERLAP = timedelta(seconds=15)
WHOLE_OVERLAP_EVERY_SECONDS = 60
WINDOW_MIN = timedelta(minutes=1)
# A run that is behind goes on window by window, then lets others have the worker.
RUN_SECONDS = 30.0
REOPENED_FOR = timedelta(days=30)
COMPARE_DAYS = 3
COMPARE_MARGIN = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Window:
    """What one read asks for: [since, until], after which the cursor stands at `until`."""

    since: datetime
    until: datetime
    is_last: bool  # it reaches as far as the channel lets us ask now


def pull_orders(*, connection_id: int, at: datetime) -> Run | None:
    """Store every order that changed since the cursor, then move the cursor; repeat until it has caught up.

    A window whose pages cannot all be stored leaves the cursor where it was: reading again changes nothing, because
    capturing is idempotent. What cannot be translated is parked.
    """

    def work(connection: Connection, lease: Lease) -> Run:
        with open_channel(connection) as channel:
            return _read_windows(connection, lease, channel, at)

    return run_stream(connection_id=connection_id, stream=ORDERS, work=work, at=at, narrow=narrow_window)


def pull_refunds(*, connection_id: int, at: datetime) -> Run | None:
    """The same for refund cases."""

    def work(connection: Connection, lease: Lease) -> Run:
        can = tune_capabilities(connection)
        window = next_window(lease=lease, connection=connection, can=can, at=at)
        count = 0
        with open_channel(connection) as channel:
            for page in channel.pull_refunds(since=window.since, until=window.until):
                count += _store_refunds(connection, page, at)
        _move_on(lease, window)
        return Run(count, _pause(connection, window), is_caught_up=window.is_last)

    return run_stream(connection_id=connection_id, stream=REFUNDS, work=work, at=at, narrow=narrow_window)


def compare_orders(*, connection_id: int, at: datetime) -> Run | None:
    """Compare the ids of the last three days with the channel's own list: fetch what is missing, report what is extra.

    Ids and not counts: one lost and one doubled order would cancel out.
    """

    def work(connection: Connection, lease: Lease) -> Run:
        since, until = at - timedelta(days=COMPARE_DAYS), at - COMPARE_MARGIN
        with open_channel(connection) as channel:
            theirs = {
                outer_id for page in channel.list_order_ids(since=since, until=until) for outer_id in page
            }
            missing = sorted(theirs - _known_ids(connection, theirs))
            found = _read_again(connection, channel, missing, at)
        extra = sorted(_placed_ids(connection, since, until) - theirs)
        _report_differences(connection, missing, extra, at)
        return Run(found, timedelta(days=1))

    return run_stream(connection_id=connection_id, stream=COMPARE, work=work, at=at)


# --- windows ------------------------------------------------------------------------------------------------


def next_window(*, lease: Lease, connection: Connection, can: Capabilities, at: datetime) -> Window:
    """From a little before the cursor to as far as the channel may be asked, but never more than it allows at once."""
    upto = lease.upto or connection.pulls_since
    overlap = can.pull_overlap if is_whole_overlap_due(lease=lease, at=at) else BRIEF_OVERLAP
    since = upto - min(overlap, can.pull_overlap)
    newest = max(at - can.pull_lag, upto)
    width = timedelta(seconds=lease.window_seconds) if lease.window_seconds else can.pull_window_max
    until = min(newest, upto + width, since + can.pull_window_max)
    return Window(since, until, is_last=until >= newest)


def is_whole_overlap_due(*, lease: Lease, at: datetime) -> bool:
    """Whether no successful run has begun in this minute yet."""
    if lease.last_run_at is None:
        return True
    every = WHOLE_OVERLAP_EVERY_SECONDS
    return int(lease.last_run_at.timestamp()) // every != int(at.timestamp()) // every


def narrow_window(lease: Lease, error: ChannelUnavailable) -> int | None:
    """Half of what was asked for, when the channel could not answer; nothing new when it merely wants us to wait."""
    if error.is_throttled:
        return None
    now = lease.window_seconds or int(timedelta(hours=2).total_seconds())
    return max(int(WINDOW_MIN.total_seconds()), now // 2)


def tune_capabilities(connection: Connection) -> Capabilities:
    """The adapter's word, with the lag and overlap that the connection's settings may narrow or widen."""
    can = capabilities(connection)
    lag, overlap = (
        connection.settings.get("pull_lag_seconds"),
        connection.settings.get("pull_overlap_seconds"),
    )
    return replace(
        can,
        pull_lag=can.pull_lag if lag is None else timedelta(seconds=float(lag)),
        pull_overlap=can.pull_overlap if overlap is None else timedelta(seconds=float(overlap)),
    )


def _move_on(lease: Lease, window: Window) -> Lease:
    """Move the cursor; a narrowed window widens again with each success."""
    width = None if window.is_last else (lease.window_seconds or 0) * 2 or None
    move_cursor(lease=lease, upto=window.until, window_seconds=width)
    return replace(lease, upto=window.until, window_seconds=width)


def _pause(connection: Connection, window: Window) -> timedelta:
    if not window.is_last:
        return timedelta(0)
    return timedelta(seconds=float(connection.settings.get("pull_every_seconds", PULL_EVERY_SECONDS)))


# --- orders -------------------------------------------------------------------------------------------------


def _read_windows(connection: Connection, lease: Lease, channel: ChannelAdapter, at: datetime) -> Run:
    can = tune_capabilities(connection)
    is_whole, last_run_at = is_whole_overlap_due(lease=lease, at=at), lease.last_run_at
    count, stop_at = 0, time.monotonic() + RUN_SECONDS
    find_known = partial(find_stored, shop_id=_shop(connection).pk)
    while True:
        window = next_window(lease=lease, connection=connection, can=can, at=at)
        for page in channel.pull_orders(since=window.since, until=window.until, find_known=find_known):
            count += store_orders(connection=connection, items=page, at=at, source="pull")
        lease = replace(_move_on(lease, window), last_run_at=at)
        if window.is_last or time.monotonic() > stop_at:
            break
    if can.reopens_open_orders and is_whole:
        since = at - REOPENED_FOR
        due_ids = due_outer_ids(shop_id=_shop(connection).pk, since=since, last_read_at=last_run_at, at=at)
        count += _read_again(connection, channel, due_ids, at)
    return Run(count, _pause(connection, window), is_caught_up=window.is_last)


def store_orders(
    *, connection: Connection, items: Sequence[OrderDraft | BadPayload], at: datetime, source: str
) -> int:
    """Capture what could be translated and park the rest. Returns how many items that were."""
    shop, by = _shop(connection), actor("connection", connection.pk)
    bad = [item for item in items if isinstance(item, BadPayload)]
    drafts = [item for item in items if isinstance(item, OrderDraft)]
    for batch in batches(drafts, BATCH):
        try:
            capture_orders(shop=shop, drafts=batch, at=at, by=by, source=source)
        except (OperationalError, InterfaceError):
            raise  # the database is away: the cursor stays, everything is read again
        except (DatabaseError, ValueError, TypeError, ArithmeticError):
            log.exception("a batch of %s could not be captured: one by one", connection.code)
            bad += _capture_one_by_one(shop, batch, at, by, source)
    if bad:
        park_orders(shop=shop, parked=[_parked(item) for item in bad], at=at, by=by, source=source)
    return len(items)


def _capture_one_by_one(
    shop: Shop, drafts: Sequence[OrderDraft], at: datetime, by: str, source: str
) -> list[BadPayload]:
    """So that one order which nobody foresaw does not hold up all that come after it."""
    bad = []
    for draft in drafts:
        try:
            capture_orders(shop=shop, drafts=[draft], at=at, by=by, source=source)
        except (OperationalError, InterfaceError):
            raise
        except (DatabaseError, ValueError, TypeError, ArithmeticError) as error:
            detail = f"{type(error).__name__}: the order could not be captured; the log has the trace"
            log.exception("order %s could not be captured", draft.outer_id)
            bad.append(BadPayload(draft.outer_id, "capture_failed", detail, draft_to_json(draft)))
    return bad


def _parked(item: BadPayload, *, prefix: str = "") -> Parked:
    payload = dict(item.payload)
    return Parked(item.outer_id, payload_hash(payload), prefix + item.reason, item.detail, payload)


def _read_again(
    connection: Connection, channel: ChannelAdapter, outer_ids: Sequence[str], at: datetime
) -> int:
    count = 0
    for batch in batches(outer_ids, BATCH):
        items = channel.read_orders(outer_ids=batch)
        count += store_orders(connection=connection, items=items, at=at, source="read")
    return count


# --- refunds ------------------------------------------------------------------------------------------------


def _store_refunds(connection: Connection, items: Sequence[RefundDraft | BadPayload], at: datetime) -> int:
    shop, by = _shop(connection), actor("connection", connection.pk)
    for batch in batches([item for item in items if isinstance(item, RefundDraft)], BATCH):
        take_refunds(shop=shop, refunds=batch, at=at, by=by)
    if bad := [item for item in items if isinstance(item, BadPayload)]:
        parked = [_parked(item, prefix="refund_") for item in bad]
        park_orders(shop=shop, parked=parked, at=at, by=by, source="refunds")
    return len(items)


# --- the nightly comparison ---------------------------------------------------------------------------------


def _known_ids(connection: Connection, outer_ids: set[str]) -> set[str]:
    """Of these, the ones that were captured or parked."""
    known: set[str] = set()
    for batch in batches(sorted(outer_ids), 5000):
        for model in (ChannelOrder, ParkedOrder):
            rows = model._default_manager.filter(shop=_shop(connection), outer_id__in=batch)
            known.update(rows.values_list("outer_id", flat=True))
    return known


def _placed_ids(connection: Connection, since: datetime, until: datetime) -> set[str]:
    mine = SalesOrder.objects.filter(
        shop=_shop(connection), placed_at__gte=since, placed_at__lte=until, channel_order__isnull=False
    )
    return set(mine.values_list("outer_id", flat=True))


def _report_differences(
    connection: Connection, missing: Sequence[str], extra: Sequence[str], at: datetime
) -> None:
    messages = [
        Message("compare.missing", is_ok=False, subject=outer_id, detail="the pull had missed it; read now")
        for outer_id in missing
    ]
    messages += [
        Message("compare.extra", is_ok=False, subject=outer_id, detail="the channel does not list this order")
        for outer_id in extra
    ]
    record_messages(connection=connection, messages=messages, at=at)
    if extra:
        Connection.objects.filter(pk=connection.pk).update(
            last_error=f"{len(extra)} orders of the last days are not in the channel's list: {extra[0]}, …"[
                :500
            ],
            last_error_at=at,
        )


def _shop(connection: Connection) -> Shop:
    if connection.shop is None:
        raise ValueError(f"{connection.code} is not a channel")
    return connection.shop

"""This room's work in the background: sweeps that hand out due streams, and one run per stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from integrations.backlog import (
    with_cancel_questions,
    with_notices_due,
    with_planned_fulfilments,
    with_prices_due,
    with_requests_due,
    with_stock_due,
)
from integrations.compare_stock import COMPARE_STOCK, compare_warehouse, due_tonight
from integrations.forget import forget_old_drifts, forget_old_inbound, forget_old_messages
from integrations.lease import hand_out_streams
from integrations.open import open_missing_streams
from integrations.progress import orders_read_until
from integrations.pull import COMPARE, ORDERS, REFUNDS, compare_orders, pull_orders, pull_refunds
from integrations.push import (
    DISPATCH,
    LISTINGS,
    PRICES,
    STOCK,
    push_dispatches,
    push_listings,
    push_prices,
    push_stock,
)
from integrations.receive import SWEEP
from integrations.receive import take_inbound as take_messages
from integrations.release import (
    CANCEL,
    RELEASE,
    SETTLE,
    ask_cancellations,
    release_fulfilments,
    settle_unanswered,
)
from integrations.survey import ITEMS, survey_items
from inventory.quota.revoke import advance_revocations
from omni.kernel import doorbell
from omni.kernel.actors import SYSTEM
from omni.kernel.retry import repeat_on_conflict

INBOUND_BATCH = 50
REVIEW = "orders.tasks.review_captured"

PULLS: Mapping[str, Callable[..., Any]] = {
    ORDERS: pull_orders,
    REFUNDS: pull_refunds,
    COMPARE: compare_orders,
    SETTLE: settle_unanswered,
    COMPARE_STOCK: compare_warehouse,
    ITEMS: survey_items,
}


@shared_task
def pull_due_streams(**_newer: Any) -> None:
    open_missing_streams()
    for connection_id, stream in hand_out_streams(streams=list(PULLS)):
        pull_stream.delay(connection_id=connection_id, stream=stream)


@shared_task
def pull_stream(*, connection_id: int, stream: str, **_newer: Any) -> None:
    if PULLS[stream](connection_id=connection_id, at=timezone.now()):
        doorbell.ring(REVIEW)


@shared_task
def compare_warehouses(**_newer: Any) -> None:
    """At night: every warehouse is asked what lies there."""
    due_tonight(at=timezone.now())


@shared_task
def push_due_stock(**_newer: Any) -> None:
    doorbell.answer("integrations.tasks.push_due_stock")
    _hand_out(STOCK, with_stock_due(), push_stock_of)


@shared_task
def push_stock_of(*, connection_id: int, **_newer: Any) -> None:
    push_stock(connection_id=connection_id, at=timezone.now())


@shared_task
def let_revoked_go_on(**_newer: Any) -> None:
    """Units that were taken back from shops, as soon as their channels cannot sell them any more."""
    go_on = partial(advance_revocations, pulled=orders_read_until(), at=timezone.now(), by=SYSTEM)
    repeat_on_conflict(go_on)


@shared_task
def push_due_prices(**_newer: Any) -> None:
    doorbell.answer("integrations.tasks.push_due_prices")
    _hand_out(PRICES, with_prices_due(), push_prices_of)


@shared_task
def push_prices_of(*, connection_id: int, **_newer: Any) -> None:
    push_prices(connection_id=connection_id, at=timezone.now())


@shared_task
def push_due_dispatches(**_newer: Any) -> None:
    doorbell.answer("integrations.tasks.push_due_dispatches")
    _hand_out(DISPATCH, with_notices_due(), push_dispatches_of)


@shared_task
def push_dispatches_of(*, connection_id: int, **_newer: Any) -> None:
    push_dispatches(connection_id=connection_id, at=timezone.now())


@shared_task
def push_due_listings(**_newer: Any) -> None:
    doorbell.answer("integrations.tasks.push_due_listings")
    _hand_out(LISTINGS, with_requests_due(), push_listings_of)


@shared_task
def push_listings_of(*, connection_id: int, **_newer: Any) -> None:
    push_listings(connection_id=connection_id, at=timezone.now())


@shared_task
def push_releases(**_newer: Any) -> None:
    doorbell.answer("integrations.tasks.push_releases")
    _hand_out(RELEASE, with_planned_fulfilments(), push_releases_of)


@shared_task
def push_releases_of(*, connection_id: int, **_newer: Any) -> None:
    release_fulfilments(connection_id=connection_id, at=timezone.now())


@shared_task
def push_cancel_requests(**_newer: Any) -> None:
    doorbell.answer("integrations.tasks.push_cancel_requests")
    _hand_out(CANCEL, with_cancel_questions(), push_cancel_requests_of)


@shared_task
def push_cancel_requests_of(*, connection_id: int, **_newer: Any) -> None:
    ask_cancellations(connection_id=connection_id, at=timezone.now())


@shared_task
def take_inbound(**_newer: Any) -> None:
    doorbell.answer(SWEEP)
    # Until none is left: the news of one delivery come one after the other, so a short batch is not the last.
    while take_messages(limit=INBOUND_BATCH, at=timezone.now()):
        pass


@shared_task
def forget_messages(**_newer: Any) -> None:
    forget_old_messages(before=timezone.now() - timedelta(days=settings.OMNI_KEEP_MESSAGES_DAYS))
    forget_old_drifts(before=timezone.now() - timedelta(days=settings.OMNI_KEEP_MESSAGES_DAYS))
    forget_old_inbound(before=timezone.now() - timedelta(days=settings.OMNI_KEEP_INBOUND_DAYS))


def _hand_out(stream: str, connection_ids: Sequence[int], task: Any) -> None:
    """One message per connection whose stream is free: a hanging channel holds up nobody but itself."""
    for connection_id, _stream in hand_out_streams(streams=[stream], connection_ids=connection_ids):
        task.delay(connection_id=connection_id)

"""Sweeps over the queues that need no person: read the clock, take a batch, go on until the queue is dry."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from omni.kernel import doorbell
from omni.kernel.actors import SYSTEM
from omni.kernel.retry import repeat_on_conflict
from orders.forget_payloads import forget_parked, forget_versions
from orders.retry import retry_mapped_orders
from orders.review import review_captured as review_batch
from orders.source import source_orders

BATCH = 200


@shared_task
def review_captured(**_newer: Any) -> None:
    doorbell.answer("orders.tasks.review_captured")
    while len(repeat_on_conflict(lambda: review_batch(limit=BATCH, at=timezone.now()))) == BATCH:
        pass


@shared_task
def retry_mapped(**_newer: Any) -> None:
    doorbell.answer("orders.tasks.retry_mapped")
    last: int | None = 0
    while last is not None:
        last = retry_mapped_orders(after=last, limit=BATCH, at=timezone.now(), by=SYSTEM)


@shared_task
def source_approved(**_newer: Any) -> None:
    doorbell.answer("orders.tasks.source_approved")
    while repeat_on_conflict(lambda: source_orders(limit=BATCH, at=timezone.now())) == BATCH:
        pass


@shared_task
def forget_payloads(**_newer: Any) -> None:
    before = timezone.now() - timedelta(days=settings.OMNI_KEEP_PAYLOADS_DAYS)
    forget_versions(before=before)
    forget_parked(before=before)

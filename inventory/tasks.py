"""The sweeps of this room: each looks for what is marked, and does it."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from inventory.availability import fillable_skus
from inventory.fill import fill_shortages
from inventory.holds.end import lapse_holds
from inventory.holds.forget import forget_holds
from inventory.publish import plan_all_published_stock, plan_published_stock
from inventory.record import FILL_SHORTAGES, PLAN_PUBLISHED
from omni.kernel import doorbell
from omni.kernel.actors import SYSTEM
from omni.kernel.retry import repeat_on_conflict

CHANGES_PER_RUN = 5000
SKUS_PER_RUN = 100
HOLDS_PER_RUN = 100


@shared_task(name=PLAN_PUBLISHED)
def plan_published(**_newer: Any) -> None:
    doorbell.answer(PLAN_PUBLISHED)
    while plan_published_stock(limit=CHANGES_PER_RUN, at=timezone.now()) == CHANGES_PER_RUN:
        pass


@shared_task
def plan_all_published(**_newer: Any) -> None:
    plan_all_published_stock(at=timezone.now())


@shared_task(name=FILL_SHORTAGES)
def fill_open_shortages(**_newer: Any) -> None:
    doorbell.answer(FILL_SHORTAGES)
    for sku_id in fillable_skus(limit=SKUS_PER_RUN):
        repeat_on_conflict(partial(fill_shortages, sku_ids=[sku_id], at=timezone.now(), by=SYSTEM))


@shared_task
def lapse_stock_holds(**_newer: Any) -> None:
    lapse = partial(lapse_holds, limit=HOLDS_PER_RUN, at=timezone.now(), by=SYSTEM)
    while repeat_on_conflict(lapse) == HOLDS_PER_RUN:
        pass


@shared_task
def forget_old_holds(**_newer: Any) -> None:
    forget_holds(before=timezone.now() - timedelta(days=settings.OMNI_KEEP_MESSAGES_DAYS))

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
from inventory.quota.derive import derive_draws
from inventory.quota.expose import compute_exposures
from inventory.quota.keep import refresh_safety
from inventory.quota.promote import open_and_close_locks
from inventory.quota.rebalance import rebalance_stock
from inventory.quota.roll_up import roll_up_changed_demand, roll_up_demand
from inventory.record import FILL_SHORTAGES, PLAN_PUBLISHED
from inventory.supply.watch import watch_changed_stock, watch_stock
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
def compute_exposures_anew(**_newer: Any) -> None:
    compute_exposures(at=timezone.now())


@shared_task
def follow_rules(**_newer: Any) -> None:
    """The net under whoever changes rules, locations, or where goods lie."""
    at = timezone.now()
    repeat_on_conflict(partial(refresh_safety, at=at, by=SYSTEM, reason="follow_rules"))
    derive_draws(at=at)


@shared_task
def plan_all_published(**_newer: Any) -> None:
    plan_all_published_stock(at=timezone.now())


@shared_task(name=FILL_SHORTAGES)
def fill_open_shortages(**_newer: Any) -> None:
    doorbell.answer(FILL_SHORTAGES)
    for sku_id in fillable_skus(limit=SKUS_PER_RUN):
        repeat_on_conflict(partial(fill_shortages, sku_ids=[sku_id], at=timezone.now(), by=SYSTEM))


@shared_task
def roll_up_todays_demand(**_newer: Any) -> None:
    roll_up_demand(at=timezone.now())


@shared_task
def roll_up_recent_demand(**_newer: Any) -> None:
    roll_up_changed_demand(at=timezone.now())


@shared_task
def turn_locks(**_newer: Any) -> None:
    repeat_on_conflict(partial(open_and_close_locks, at=timezone.now(), by=SYSTEM))


@shared_task
def rebalance(**_newer: Any) -> None:
    rebalance_stock(at=timezone.now(), by=SYSTEM)


@shared_task
def watch_changed(**_newer: Any) -> None:
    while watch_changed_stock(limit=CHANGES_PER_RUN, at=timezone.now()) == CHANGES_PER_RUN:
        pass


@shared_task
def watch_all(**_newer: Any) -> None:
    watch_stock(sku_ids=None, at=timezone.now())


@shared_task
def lapse_stock_holds(**_newer: Any) -> None:
    lapse = partial(lapse_holds, limit=HOLDS_PER_RUN, at=timezone.now(), by=SYSTEM)
    while repeat_on_conflict(lapse) == HOLDS_PER_RUN:
        pass


@shared_task
def forget_old_holds(**_newer: Any) -> None:
    forget_holds(before=timezone.now() - timedelta(days=settings.OMNI_KEEP_MESSAGES_DAYS))

"""The sweeps of this room: each looks for what is due, and does it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery import shared_task
from django.utils import timezone

from omni.kernel import doorbell
from products.assortment.forget import forget_assortments
from products.assortment.notice import (
    CHECK_CATALOGUES,
    check_changed_catalogues,
    note_outside_listings,
)
from products.assortment.plan import open_due_windows
from products.prices.change import PLAN_PRICES
from products.prices.publish import plan_all_published_prices, plan_published_prices

CHANGES_PER_RUN = 5000
KEEP_APPLIED_DAYS, KEEP_UNAPPLIED_DAYS = 90, 7
PUSH_PRICES = "integrations.tasks.push_due_prices"


@shared_task(name=PLAN_PRICES)
def plan_due_prices(**_newer: Any) -> None:
    """What begins or ends now, or was approved just now: planned, and the pushers woken."""
    doorbell.answer(PLAN_PRICES)
    taken = CHANGES_PER_RUN
    while taken == CHANGES_PER_RUN:
        taken = plan_published_prices(limit=CHANGES_PER_RUN, at=timezone.now())
        if taken:
            doorbell.ring(PUSH_PRICES)


@shared_task
def plan_all_prices(**_newer: Any) -> None:
    plan_all_published_prices(at=timezone.now())


@shared_task(name=CHECK_CATALOGUES)
def check_catalogues(**_newer: Any) -> None:
    """Where a catalogue changed: which listings it does not hold any more."""
    doorbell.answer(CHECK_CATALOGUES)
    check_changed_catalogues(at=timezone.now())


@shared_task
def check_all_catalogues(**_newer: Any) -> None:
    note_outside_listings(at=timezone.now())


@shared_task
def open_windows(**_newer: Any) -> None:
    """Where the window of a rule opens or closes: what follows is worked out, and what is harmless is done."""
    open_due_windows(at=timezone.now())


@shared_task
def forget_old_assortments(**_newer: Any) -> None:
    at = timezone.now()
    forget_assortments(
        applied_before=at - timedelta(days=KEEP_APPLIED_DAYS),
        unapplied_before=at - timedelta(days=KEEP_UNAPPLIED_DAYS),
    )

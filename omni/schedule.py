"""What runs by the clock: every periodic task of the house on one page.

Each is a sweep that looks at tables for what is due, so that a missed or doubled tick is harmless; doorbells wake
most of them earlier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

PREFIX = "omni: "
# A message that nobody took within so long is dropped: the next tick asks the same question.
EXPIRES_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Entry:
    """`every`: seconds between two ticks, or the hour and minute of the day (UTC) at which it runs."""

    task: str
    every: int | tuple[int, int]


ENTRIES: Sequence[Entry] = (
    Entry("omni.tasks.relay_outbox", 5),
    Entry("omni.tasks.forget_old_events", (18, 10)),
    Entry("omni.tasks.run_jobs", 10),
    Entry("orders.tasks.review_captured", 5),
    Entry("orders.tasks.source_approved", 5),
    Entry("orders.tasks.retry_mapped", 60),
    Entry("inventory.tasks.plan_published", 2),
    Entry("inventory.tasks.fill_open_shortages", 10),
    Entry("inventory.tasks.compute_exposures_anew", 3600),
    Entry("inventory.tasks.follow_rules", 600),
    Entry("inventory.tasks.turn_locks", 10),
    Entry("inventory.tasks.rebalance", 10),
    Entry("inventory.tasks.watch_changed", 15),
    Entry("inventory.tasks.lapse_stock_holds", 5),
    Entry("products.tasks.plan_due_prices", 5),
    Entry("products.tasks.check_catalogues", 60),
    Entry("products.tasks.open_windows", 60),
    Entry("integrations.tasks.pull_due_streams", 5),
    Entry("integrations.tasks.push_due_stock", 2),
    Entry("integrations.tasks.let_revoked_go_on", 5),
    Entry("integrations.tasks.push_due_prices", 5),
    Entry("integrations.tasks.push_due_dispatches", 3),
    Entry("integrations.tasks.push_due_listings", 5),
    Entry("integrations.tasks.push_releases", 2),
    Entry("integrations.tasks.push_cancel_requests", 3),
    Entry("integrations.tasks.take_inbound", 3),
    Entry("integrations.tasks.forget_messages", (18, 20)),
    Entry("inventory.tasks.roll_up_todays_demand", 3600),
    # After midnight of the organisation, whose zone lies east of Greenwich or not: it looks three days back.
    Entry("inventory.tasks.roll_up_recent_demand", (17, 30)),
    Entry("integrations.tasks.compare_warehouses", (18, 25)),
    Entry("inventory.tasks.forget_old_holds", (18, 25)),
    Entry("inventory.tasks.plan_all_published", (18, 30)),
    Entry("inventory.tasks.watch_all", (18, 33)),
    Entry("products.tasks.plan_all_prices", (18, 35)),
    Entry("products.tasks.check_all_catalogues", (18, 45)),
    Entry("products.tasks.forget_old_assortments", (18, 55)),
    Entry("orders.tasks.forget_payloads", (18, 40)),
    Entry("omni.tasks.forget_old_imports", (18, 50)),
)


@transaction.atomic
def set_schedule() -> tuple[int, int]:
    """Make beat's table say what stands above; entries of other origin stay. Returns (changed, removed).

    What is right already is not touched, so that a running beat is not disturbed.
    """
    changed = 0
    for entry in ENTRIES:
        interval, crontab = _when(entry)
        wanted = {
            "task": entry.task,
            "interval": interval,
            "crontab": crontab,
            "expire_seconds": EXPIRES_SECONDS if interval else None,
            "enabled": True,
        }
        found = PeriodicTask.objects.filter(name=PREFIX + entry.task).first()
        if found is not None and all(getattr(found, name) == value for name, value in wanted.items()):
            continue
        PeriodicTask.objects.update_or_create(name=PREFIX + entry.task, defaults=wanted)
        changed += 1
    known = [PREFIX + entry.task for entry in ENTRIES]
    gone = PeriodicTask.objects.filter(name__startswith=PREFIX).exclude(name__in=known)
    removed = 0
    for task in gone:  # one by one: their deletion tells a running beat
        task.delete()
        removed += 1
    return changed, removed


def _when(entry: Entry) -> tuple[IntervalSchedule | None, CrontabSchedule | None]:
    if isinstance(entry.every, int):
        interval, _made = IntervalSchedule.objects.get_or_create(every=entry.every, period="seconds")
        return interval, None
    hour, minute = entry.every
    crontab, _made = CrontabSchedule.objects.get_or_create(
        minute=str(minute),
        hour=str(hour),
        day_of_week="*",
        day_of_month="*",
        month_of_year="*",
        timezone="UTC",
    )
    return None, crontab

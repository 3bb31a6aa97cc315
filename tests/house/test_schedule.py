"""Beat knows what runs by the clock, and telling it again disturbs nobody."""

from __future__ import annotations

import pytest
from django_celery_beat.models import PeriodicTask, PeriodicTasks

from omni.schedule import ENTRIES, PREFIX, set_schedule

pytestmark = pytest.mark.django_db


def test_every_entry_is_written_once() -> None:
    changed, removed = set_schedule()

    assert (changed, removed) == (len(ENTRIES), 0)
    assert set(PeriodicTask.objects.values_list("task", flat=True)) == {entry.task for entry in ENTRIES}


def test_a_second_time_changes_nothing_and_wakes_no_beat() -> None:
    set_schedule()
    told = PeriodicTasks.last_change()

    changed, removed = set_schedule()

    assert (changed, removed) == (0, 0)
    assert PeriodicTasks.last_change() == told


def test_what_somebody_bent_is_put_right_and_what_is_gone_is_removed() -> None:
    set_schedule()
    PeriodicTask.objects.filter(task=ENTRIES[0].task).update(enabled=False)
    interval = PeriodicTask.objects.exclude(interval=None).first().interval
    PeriodicTask.objects.create(name=PREFIX + "old", task="old", interval=interval)
    PeriodicTask.objects.create(name="of somebody else", task="other", interval=interval)

    changed, removed = set_schedule()

    assert (changed, removed) == (1, 1)
    assert PeriodicTask.objects.get(task=ENTRIES[0].task).enabled
    assert PeriodicTask.objects.filter(name="of somebody else").exists()

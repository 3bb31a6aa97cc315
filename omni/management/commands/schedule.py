"""`manage.py schedule`: tell beat what runs by the clock."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from omni.schedule import ENTRIES, set_schedule


class Command(BaseCommand):
    help = "Write the periodic tasks of omni/schedule.py into beat's table; running it again changes nothing."

    def handle(self, *args: Any, **options: Any) -> None:
        changed, removed = set_schedule()
        self.stdout.write(f"{len(ENTRIES)} periodic tasks: {changed} changed, {removed} removed")

"""`manage.py drill_course`: the part of `manage.py drill` that runs inside the drilled copy; not for use by itself."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from omni.drill.copy import HOME_PREFIX, Copy
from omni.drill.course import run_course


class Command(BaseCommand):
    help = "(internal) Run the course of a drill on the copy that `manage.py drill` has started."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--orders", type=int, required=True)
        parser.add_argument("--seed", type=int, required=True)
        parser.add_argument("--kill-seconds", type=float, required=True)
        parser.add_argument("--settle-seconds-max", type=float, required=True)
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        home = Path(settings.OMNI_HOME)
        if not home.name.startswith(HOME_PREFIX):
            raise CommandError(
                "This kills processes and approves orders: it runs only inside `manage.py drill`."
            )
        started = time.monotonic()

        def say(text: str) -> None:
            if not options["json"]:
                self.stdout.write(f"[{time.monotonic() - started:6.1f} s] {text}")
                self.stdout.flush()

        report = run_course(
            copy=Copy(home, int(os.environ["PORT"])),
            orders=options["orders"],
            seed=options["seed"],
            kill_seconds=options["kill_seconds"],
            settle_seconds_max=options["settle_seconds_max"],
            say=say,
        )
        self.stdout.write(json.dumps(report, ensure_ascii=False, indent=2, default=str))
        sys.exit(0 if report["ok"] else 1)

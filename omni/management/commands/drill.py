"""`manage.py drill`: every fault of both sandboxes, kills in the middle, and both sides compared afterwards."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from omni.drill.copy import PROJECT, running_copy


class Command(BaseCommand):
    help = (
        "Start a copy of Omni of its own, switch on every fault of its sandboxes, place orders, kill -9 worker,"
        " web and beat in the middle, wait for calm, and compare what both sides know."
        " Exits 1 if they disagree."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--orders", type=int, default=10_000)
        parser.add_argument("--seed", type=int, default=7)
        parser.add_argument(
            "--kill-seconds", type=float, default=12, help="Seconds between two kills; 0: none."
        )
        parser.add_argument("--settle-seconds-max", type=float, default=900)
        parser.add_argument("--json", action="store_true", help="Print the report as JSON and nothing else.")
        parser.add_argument(
            "--keep", action="store_true", help="Keep the copy's folder for a look afterwards."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with running_copy(keep=options["keep"]) as copy:
            if options["keep"]:
                self.stderr.write(f"the copy is in {copy.home}, at http://127.0.0.1:{copy.port}/")
            passed = [
                f"--{name.replace('_', '-')}={options[name]}"
                for name in ("orders", "seed", "kill_seconds", "settle_seconds_max")
            ]
            # A process of its own, whose settings are those of the copy.
            command = [sys.executable, "manage.py", "drill_course", *passed]
            flags = ["--json"] if options["json"] else []
            code = subprocess.run([*command, *flags], cwd=PROJECT, env=copy.environ, check=False).returncode
        sys.exit(code)

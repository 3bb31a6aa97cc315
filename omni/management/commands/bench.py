"""Measure the hot paths beside their raw limits, on a database of the bench's own (docs/performance.md)."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = "Measure the hot paths beside raw SQL; demo data is not touched."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("names", nargs="*", metavar="NAME", help="the benches to run; none: all of them")
        parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
        parser.add_argument("--quick", action="store_true", help="a tiny size, only to see that it works")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            from tests.bench import BENCHES
            from tests.bench.report import run_benches, show
        except ImportError as missing:
            raise CommandError(
                f"The benches live in the source tree under tests/bench ({missing})."
            ) from missing
        names = options["names"] or list(BENCHES)
        unknown = sorted(set(names) - set(BENCHES))
        if unknown:
            raise CommandError(f"No bench {', '.join(unknown)}. There are: {', '.join(BENCHES)}.")
        told = run_benches(names, is_quick=options["quick"])
        if options["json"]:
            self.stdout.write(json.dumps(told, ensure_ascii=False, indent=2))
        else:
            show(told)

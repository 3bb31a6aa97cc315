"""`manage.py doctor`: ask every invariant of the house, and show the rows that break one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, transaction
from rich.console import Console
from rich.markup import escape

from integrations import drift as integrations
from inventory import drift as inventory
from omni.kernel import drift as kernel
from omni.kernel.checks import Check
from omni.kernel.imports import drift as imports
from orders import drift as orders
from products import drift as products

CHECKS: Sequence[Check] = (
    *products.CHECKS,
    *inventory.CHECKS,
    *orders.CHECKS,
    *integrations.CHECKS,
    *kernel.CHECKS,
    *imports.CHECKS,
)


class Command(BaseCommand):
    help = "Check every invariant in one snapshot. Exit code 1 when one is broken."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="for machines")
        parser.add_argument(
            "--only",
            action="append",
            default=[],
            metavar="CODE",
            help="a check, or the word before its point",
        )
        parser.add_argument("--limit", type=int, default=20, help="rows to show of each broken invariant")

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = _choose(options["only"])
        with _one_snapshot():
            found = [_ask(check, options["limit"]) for check in chosen]
        broken = sum(1 for answer in found if answer["rows"])
        if options["json"]:
            report = {"ok": not broken, "broken": broken, "checks": found}
            self.stdout.write(json.dumps(report, ensure_ascii=False, default=str, indent=1))
        else:
            self._print(found, broken)
        if broken:
            raise SystemExit(1)

    def _print(self, found: list[dict[str, Any]], broken: int) -> None:
        out: Any = self.stdout._out
        console = Console(file=out, highlight=False, soft_wrap=True)
        for answer in found:
            mark = "[red]broken[/]" if answer["rows"] else "[green]    ok[/]"
            console.print(
                f"{mark}  {escape(answer['code'])}  [dim]{escape(answer['sentence'])} {answer['ms']} ms[/]"
            )
            for row in answer["rows"]:
                console.print("          " + escape("  ".join(f"{k}={v}" for k, v in row.items())))
        console.print(
            f"[red]{broken} of {len(found)} invariants are broken[/]"
            if broken
            else f"[green]all {len(found)} invariants hold[/]"
        )


def _choose(only: Sequence[str]) -> list[Check]:
    chosen = [
        check for check in CHECKS if not only or check.code in only or check.code.partition(".")[0] in only
    ]
    if not chosen:
        raise CommandError(f"There is no such check; there are {', '.join(check.code for check in CHECKS)}")
    return chosen


@contextmanager
def _one_snapshot() -> Iterator[None]:
    """All checks see the same moment, so that work which goes on cannot make two of them disagree."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def _ask(check: Check, limit: int) -> dict[str, Any]:
    since = time.monotonic()
    rows = check.find(limit)
    return {
        "code": check.code,
        "sentence": check.sentence,
        "ms": round((time.monotonic() - since) * 1000),
        "rows": rows,
    }

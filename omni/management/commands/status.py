"""`manage.py status`: how the house stands, for people and for monitors."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from omni.standing import Lag, Standing, read_standing


class Command(BaseCommand):
    help = "Show queues, lags and connections. Exit code 1 when something needs a person."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="for machines")

    def handle(self, *args: Any, **options: Any) -> None:
        standing = read_standing(at=timezone.now())
        if options["json"]:
            self.stdout.write(json.dumps(standing.as_json(), ensure_ascii=False, default=str, indent=1))
        else:
            out: Any = self.stdout._out
            _print(standing, Console(file=out, highlight=False))
        if standing.problems:
            raise SystemExit(1)


def _print(standing: Standing, console: Console) -> None:
    queues = Table(title="What waits", title_justify="left")
    queues.add_column("queue")
    queues.add_column("rows", justify="right")
    queues.add_column("oldest", justify="right")
    for name, count in standing.orders.items():
        queues.add_row(f"orders: {name}", str(count), "")
    _add_lag(queues, "outbox: events", standing.outbox)
    queues.add_row("outbox: dead letters", str(standing.dead_letters), "")
    _add_lag(queues, "stock: changes to plan", standing.unplanned)
    _add_lag(queues, "stock: numbers to acknowledge", standing.published)
    _add_lag(queues, "prices: changes to plan", standing.prices_unplanned)
    _add_lag(queues, "prices: to acknowledge", standing.prices_published)
    for shop, lag in standing.drifts.items():
        _add_lag(queues, f"differences to the channel: {escape(shop)}", lag)
    console.print(queues)

    connections = Table(title="Connections", title_justify="left")
    for column in ("code", "adapter", "health", "last success", "read up to"):
        connections.add_column(column)
    for row in standing.connections:
        health = row.health if row.is_active else "off"
        lags = "  ".join(f"{stream} −{seconds:.0f} s" for stream, seconds in sorted(row.lag_seconds.items()))
        since = f"{row.last_ok_seconds:.0f} s ago" if row.last_ok_seconds is not None else "never"
        connections.add_row(
            escape(row.code), row.adapter, escape(" ".join((health, row.paused_reason))), since, lags
        )
    console.print(connections)
    for problem in standing.problems:
        console.print(f"[red]{escape(problem)}[/]")
    if not standing.problems:
        console.print("[green]nothing needs a person[/]")


def _add_lag(table: Table, name: str, lag: Lag) -> None:
    table.add_row(name, str(lag.waiting), f"{lag.oldest_seconds:.0f} s" if lag.waiting else "")

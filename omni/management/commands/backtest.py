"""`manage.py backtest`: what a policy of sharing stock would have lost, on our own demand or a retailer's files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from rich.console import Console
from rich.table import Table

from inventory.models import LocationGroup
from inventory.quota.backtest import Method, compare, prepare_case, simulate
from inventory.quota.replay import describe, read_case, read_policies
from inventory.quota.retail import Split, make_case, read_retail, usual_policies
from omni.kernel.errors import DomainError

TABLE_WIDTH = 130
SHOWN = (
    ("policy", "policy"),
    ("lost_percent", "units lost %"),
    ("lost_against_first", "against the first %"),
    ("lost_units", "units lost"),
    ("lost_lines", "lines lost"),
    ("short_orders", "short orders"),
    ("moved_units", "units moved"),
    ("left_units", "units left"),
)


class Command(BaseCommand):
    help = "Replay demand against policies of sharing stock, on equal stock. Changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="for machines")
        house = parser.add_argument_group("the house's own demand")
        house.add_argument("--group", help="code of the location group")
        house.add_argument("--days", type=int, default=28, help="how many whole days to replay")
        house.add_argument("--method", choices=[method.value for method in Method], default="demand")
        house.add_argument(
            "--mode", choices=["exclusive", "lock_share", "shared"], help="other than the rules say"
        )
        house.add_argument("--service-level", type=float, help="other than the rules say")
        files = parser.add_argument_group("files of the Online Retail data set")
        files.add_argument("--file", type=Path, metavar="FOLDER", help="folder with its csv.gz files")
        files.add_argument("--shops", type=int, default=4, help="spread evenly over so many shops")
        files.add_argument("--weights", help="spread unevenly instead, such as 50,25,15,10")
        files.add_argument("--ends", help="weights at the end, where customers move: 10,15,25,50")
        files.add_argument("--stock", default="0.85", help="stock as parts of what will be asked: 0.7,0.85,1")
        files.add_argument("--seeds", default="1", help="one run for each: 1,2,3")
        files.add_argument("--level", action="store_true", help="the same stock every week")
        files.add_argument(
            "--censored", action="store_true", help="learn from sales, not from what was asked"
        )
        parser.add_argument("--every", type=int, default=7, help="days between two divisions")
        parser.add_argument("--horizon", type=int, default=7, help="days that a quota should last")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["file"]:
                results = self._files(options)
            elif options["group"]:
                results = [self._house(options)]
            else:
                raise CommandError("Name a --group, or a --file.")
        except DomainError as refusal:
            raise CommandError(refusal.detail) from refusal
        if options["json"]:
            self.stdout.write(json.dumps(results, ensure_ascii=False, indent=1))
            return
        out: Any = self.stdout._out
        console = Console(file=out, highlight=False, width=TABLE_WIDTH)
        for result in results:
            console.print(_table(result))

    def _house(self, options: dict[str, Any]) -> dict[str, Any]:
        group = LocationGroup.objects.filter(code=options["group"]).first()
        if group is None:
            raise CommandError(f"There is no location group {options['group']}.")
        proposed = {
            "method": options["method"],
            "every_days": options["every"],
            "horizon_days": options["horizon"],
            "mode": options["mode"],
            "service_level": options["service_level"],
        }
        case, codes = read_case(group_id=group.pk, days=options["days"], at=timezone.now())
        prepared = prepare_case(case)
        policies = read_policies(group_id=group.pk, codes=codes, proposed=proposed, prepared=prepared)
        outcomes = [simulate(prepared, policy) for policy in policies]
        found = describe(case, codes, outcomes, days=options["days"], skus=len(prepared.goods))
        return {"title": f"{group.name}, {options['days']} days", **found}

    def _files(self, options: dict[str, Any]) -> list[dict[str, Any]]:
        sold = read_retail(options["file"])
        weights = _numbers(options["weights"]) if options["weights"] else [1.0] * options["shops"]
        ends = _numbers(options["ends"]) if options["ends"] else None
        if len(weights) < 2 or (ends and len(ends) != len(weights)):
            raise CommandError("There must be at least two shops, and as many weights at the end.")
        results = []
        for stock in _numbers(options["stock"]):
            for seed in options["seeds"].split(","):
                split = Split("", weights, ends, int(seed))
                case = make_case(
                    sold,
                    split,
                    stock=stock,
                    is_level=options["level"],
                    sees_lost=not options["censored"],
                )
                prepared = prepare_case(case)
                policies = usual_policies(case, every_days=options["every"], horizon_days=options["horizon"])
                outcomes = [simulate(prepared, policy) for policy in policies]
                results.append(
                    {
                        "title": f"stock {stock:.0%}, seed {seed}",
                        "stock": stock,
                        "seed": int(seed),
                        "shops": list(case.shops),
                        "skus": len(prepared.goods),
                        "stock_units": sum(supply.units for supply in case.supplies),
                        "outcomes": compare(outcomes),
                    }
                )
        return results


def _numbers(text: str) -> Sequence[float]:
    return [float(part) for part in text.split(",")]


def _table(result: dict[str, Any]) -> Table:
    table = Table(title=result["title"], title_justify="left")
    for _name, heading in SHOWN:
        table.add_column(heading, justify="left" if heading == "policy" else "right")
    for row in result["outcomes"]:
        table.add_row(*(str("" if row[name] is None else row[name]) for name, _heading in SHOWN))
    return table

"""Run benches on their own database and tell what they found, as JSON or as a table."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench import BENCHES
from tests.bench.measure import machine, rounded
from tests.bench.place import own_database
from tests.bench.size import FULL, QUICK


def run_benches(names: Sequence[str], *, is_quick: bool) -> dict[str, Any]:
    """The report of each bench, and the machine before the first and after the last."""
    size = QUICK if is_quick else FULL
    told: dict[str, Any] = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "is_quick": is_quick}
    told["machine"] = machine(os.environ["DATABASE_URL"])
    told["benches"] = {}
    for name in names:
        since, load = time.monotonic(), os.getloadavg()[0]
        with own_database():
            results = BENCHES[name](size)
        told["benches"][name] = {
            "repeats": size.repeats,
            "seconds": rounded(time.monotonic() - since),
            "load_before_and_after": [rounded(load), rounded(os.getloadavg()[0])],
            "results": [result.as_json() for result in results],
        }
    return told


def show(told: dict[str, Any]) -> None:
    """The report for people."""
    console = Console()
    facts = told["machine"]
    console.print(
        f"{facts['cores']} cores, {facts['memory_gib']} GiB, PostgreSQL {facts['postgresql']}, fsync"
        f" {facts['postgresql_settings']['fsync']}, Python {facts['python']}, load {facts['load_average'][0]}"
    )
    for name, bench in told["benches"].items():
        table = Table(title=f"{name}: medians of {bench['repeats']}", title_justify="left")
        for heading in ("what", "median", "spread", "ratio to raw", "target", ""):
            table.add_column(heading, justify="left" if heading in ("what", "target") else "right")
        for row in bench["results"]:
            table.add_row(
                row["name"],
                f"{row['median']:,} {row['unit']}",
                " … ".join(f"{value:,}" for value in row.get("spread", ())),
                str(row.get("ratio_to_raw", "")),
                row.get("target", ""),
                {True: "[green]yes[/]", False: "[red]no[/]", None: ""}[row.get("ok")],
            )
        console.print(table)

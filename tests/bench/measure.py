"""Run work in processes of its own, repeat it, and say what came out: medians, spread, and the machine it was on."""

from __future__ import annotations

import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import BrokenBarrierError
from typing import Any

import psycopg

WORKER_SECONDS_MAX = 600


@dataclass(frozen=True, slots=True)
class Lap:
    """What one process did between the common start and its end. `seconds`: how long each piece took."""

    began: float
    ended: float
    items: int
    seconds: Sequence[float]


@dataclass(frozen=True, slots=True)
class Run:
    """One repeat: all processes together."""

    items: int
    elapsed: float
    seconds: Sequence[float]

    @property
    def rate(self) -> float:
        return self.items / self.elapsed


@dataclass(slots=True)
class Result:
    """One line of a bench's report."""

    name: str
    value: float
    unit: str
    spread: tuple[float, float] | None = None
    ratio_to_raw: float | None = None
    target: str = ""
    ok: bool | None = None
    more: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        told: dict[str, Any] = {"name": self.name, "median": rounded(self.value), "unit": self.unit}
        if self.spread is not None:
            told["spread"] = [rounded(value) for value in self.spread]
        if self.ratio_to_raw is not None:
            told["ratio_to_raw"] = rounded(self.ratio_to_raw)
        if self.target:
            told |= {"target": self.target, "ok": self.ok}
        return told | {name: rounded(value) for name, value in self.more.items()}


Work = Callable[..., Lap]
_barrier: Any = None


def run_together(work: Work, arguments: Sequence[dict[str, Any]]) -> Run:
    """Call `work(**arguments[i])` in a process each; they begin together, at `start_line`."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(arguments))
    with ProcessPoolExecutor(
        len(arguments), mp_context=context, initializer=_enter, initargs=(barrier,)
    ) as pool:
        futures = [pool.submit(work, **each) for each in arguments]
        laps = [future.result(timeout=WORKER_SECONDS_MAX) for future in futures]
    return Run(
        items=sum(lap.items for lap in laps),
        elapsed=max(lap.ended for lap in laps) - min(lap.began for lap in laps),
        seconds=[seconds for lap in laps for seconds in lap.seconds],
    )


def _enter(barrier: Any) -> None:
    # the one thing that a process of the pool is given at its birth
    global _barrier
    _barrier = barrier
    import django

    django.setup()


def start_line() -> float:
    """Wait until every process of the run is ready; the moment of the start."""
    try:
        _barrier.wait(timeout=WORKER_SECONDS_MAX)
    except BrokenBarrierError:
        sys.exit("another process of this bench failed before the start")
    return time.monotonic()


def timed_pieces(work: Callable[[Any], int], pieces: Sequence[Any]) -> Lap:
    """Do the pieces one after another from the common start on. `work` returns how many items a piece was."""
    items, seconds = 0, []
    began = start_line()
    for piece in pieces:
        since = time.perf_counter()
        items += work(piece)
        seconds.append(time.perf_counter() - since)
    return Lap(began, time.monotonic(), items, seconds)


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def spread(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is not exceeded by more than 1 − `share` of them."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1))]


def rounded(value: Any) -> Any:
    """Three significant digits after the point for small numbers, none for large ones: the rest is noise."""
    if isinstance(value, bool) or not isinstance(value, float):
        return value
    return float(f"{value:.4g}") if abs(value) < 1000 else int(value + 0.5)


def machine(conninfo: str) -> dict[str, Any]:
    """What has to be known of the machine to judge the figures."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        settings: dict[str, str] = dict(
            connection.execute(
                "SELECT name, setting FROM pg_settings WHERE name IN"
                " ('server_version', 'fsync', 'synchronous_commit', 'shared_buffers', 'full_page_writes')"
            ).fetchall()
        )
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_gib": rounded(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "postgresql": settings.pop("server_version"),
        "postgresql_settings": settings,
        "load_average": [rounded(value) for value in os.getloadavg()],
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")

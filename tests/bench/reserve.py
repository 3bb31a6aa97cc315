"""How fast stock is promised: two writers on one hot SKU, and on ten thousand."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import UUID

import psycopg

from tests.bench import raw
from tests.bench.measure import Lap, Result, Run, median, percentile, run_together, spread, timed_pieces
from tests.bench.size import Size

BATCH, WRITERS = 200, 2


def run(size: Size) -> list[Result]:
    """Each repeat: bare and ours, hot and spread, one after the other."""
    from tests.bench.goods import lay_out

    url = os.environ["DATABASE_URL"]
    goods = lay_out(skus=size.skus, units=100_000_000)
    shelves = {"one hot SKU": goods.sku_ids[:1], f"{size.skus:,} SKUs": goods.sku_ids}
    raw.prepare(url, skus=size.skus)
    bare: dict[str, list[Run]] = {name: [] for name in shelves}
    ours: dict[str, list[Run]] = {name: [] for name in shelves}
    deadlocks = count_deadlocks(url)
    for repeat in range(size.repeats):
        for name, sku_ids in shelves.items():
            common: dict[str, Any] = {"batches": size.batches}
            seeds = [repeat * 10 + writer for writer in range(WRITERS)]
            bare[name].append(
                run_together(reserve_raw, [{**common, "skus": len(sku_ids), "seed": s} for s in seeds])
            )
            ours[name].append(
                run_together(
                    reserve_batches,
                    [{**common, "shop_id": goods.shop_ids[0], "sku_ids": sku_ids, "seed": s} for s in seeds],
                )
            )
    hot, wide = shelves
    ratio = median([a.rate / b.rate for a, b in zip(ours[hot], ours[wide], strict=True)])
    deadlocks = count_deadlocks(url) - deadlocks
    return [
        *(_raw_result(name, runs) for name, runs in bare.items()),
        *(_result(name, ours[name], bare[name]) for name in shelves),
        Result("hot over spread", ratio, "", target="≥ 0.9", ok=ratio >= 0.9),
        Result("deadlocks", deadlocks, "", target="0", ok=deadlocks == 0),
    ]


def _raw_result(name: str, runs: Sequence[Run]) -> Result:
    rates = [run.rate for run in runs]
    return Result(f"three bare unnests, {name}, {WRITERS} writers", median(rates), "lines/s", spread(rates))


def _result(name: str, runs: Sequence[Run], baseline: Sequence[Run]) -> Result:
    rates = [run.rate for run in runs]
    ratio = median([ours.rate / bare.rate for ours, bare in zip(runs, baseline, strict=True)])
    return Result(
        f"reserve_stock, {name}, {WRITERS} writers",
        median(rates),
        "lines/s",
        spread(rates),
        ratio_to_raw=ratio,
        target="ratio ≥ 0.5, ≥ 5,000 lines/s",
        ok=ratio >= 0.5 and median(rates) >= 5000,
        more={
            "batch": BATCH,
            "p50_ms": median([percentile(run.seconds, 0.5) for run in runs]) * 1000,
            "p99_ms": median([percentile(run.seconds, 0.99) for run in runs]) * 1000,
        },
    )


def count_deadlocks(url: str) -> int:
    """How many deadlocks the server has counted in the bench's database."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        row = connection.execute(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
    assert row is not None
    return int(row[0])


# --- in the processes ---------------------------------------------------------------------------------------


def reserve_raw(*, skus: int, batches: int, seed: int) -> Lap:
    rng = random.Random(f"{seed} raw")
    # lines of other writers, repeats and shelves have other ids
    ids = count((seed * 2 + (skus > 1)) * 10_000_000 + 1)
    work = [
        [(next(ids), rng.randrange(1, skus + 1), 1 + rng.randrange(2)) for _ in range(BATCH)]
        for _ in range(batches + 1)
    ]
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:

        def reserve(lines: Sequence[tuple[int, int, int]]) -> int:
            with connection.transaction():
                raw.reserve_lines(connection, lines, at=datetime.now(UTC))
            return len(lines)

        reserve(work[0])  # warm
        return timed_pieces(reserve, work[1:])


def reserve_batches(*, shop_id: int, sku_ids: Sequence[int], batches: int, seed: int) -> Lap:
    from inventory.reserve import Demand, reserve_stock

    rng = random.Random(f"{seed} {len(sku_ids)} ours")
    work = [
        [
            Demand(UUID(int=rng.getrandbits(128)), shop_id, rng.choice(sku_ids), 1 + rng.randrange(2))
            for _ in range(BATCH)
        ]
        for _ in range(batches + 1)
    ]

    def reserve(demands: Sequence[Demand]) -> int:
        outcomes = reserve_stock(wanted=demands, at=datetime.now(UTC), by="bench")
        if any(outcome.missing for outcome in outcomes):
            raise RuntimeError("the shelf was not full enough: short lines are cheaper than promised ones")
        return len(outcomes)

    reserve(work[0])  # warm
    return timed_pieces(reserve, work[1:])

"""What six shops get of 100,000 SKUs by ratio: worked out, applied, worked out again, beside plain SQL."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime

import psycopg

from tests.bench.measure import Result
from tests.bench.size import Size

SHOPS = 6
# They leave a tenth to the shared pool; two have bounds, so that not every part is the plain one.
RATIOS = ("0.25", "0.2", "0.15", "0.1", "0.1", "0.1")
# Of each SKU so many units, and up to that many more.
UNITS, SPREAD = 200, 1500
RECEIPT_LINES = 5000
PLAN_SECONDS_MAX = 10.0
APPLY_SECONDS_MAX = 60.0

# The same figures by plain SQL: the parts rounded down, and the units that are left to the largest remainders.
RAW_SHARE = """
    CREATE TEMP TABLE shares ON COMMIT DROP AS
    WITH supply AS (
        SELECT p.sku_id, sum(p.granted) AS units FROM inventory_stockpool p
        WHERE p.group_id = %(group)s AND p.kind IN ('base', 'shared', 'quota') GROUP BY p.sku_id
    ), due AS (
        SELECT s.sku_id, r.shop_id, floor(s.units * r.quota_ratio)::int AS units, s.units AS supply,
               row_number() OVER (
                   PARTITION BY s.sku_id
                   ORDER BY s.units * r.quota_ratio - floor(s.units * r.quota_ratio) DESC, r.shop_id) AS place,
               floor(s.units * sum(r.quota_ratio) OVER w)::int
                   - sum(floor(s.units * r.quota_ratio)) OVER w AS left_over
        FROM supply s CROSS JOIN inventory_quotarule r
        WHERE r.group_id = %(group)s WINDOW w AS (PARTITION BY s.sku_id)
    )
    SELECT sku_id, shop_id, units + (place <= left_over)::int AS units FROM due
"""


def run(size: Size) -> list[Result]:
    from inventory.models import AllocationLine, QuotaRule
    from inventory.quota.derive import derive_draws
    from inventory.receive import StockReceipt, receive_stock
    from tests.bench.goods import lay_out

    goods = lay_out(skus=size.allocated, shops=SHOPS, units=UNITS)
    for start in range(0, size.allocated, RECEIPT_LINES):
        some = goods.sku_ids[start : start + RECEIPT_LINES]
        receive_stock(
            key=f"bench-more-{start}",
            receipts=[StockReceipt(goods.location_id, sku_id, 1 + sku_id * 7919 % SPREAD) for sku_id in some],
            reason="bench",
            at=datetime.now(UTC),
            by="bench",
        )
    for shop_id, ratio in zip(goods.shop_ids, RATIOS, strict=True):
        QuotaRule.objects.create(
            group_id=goods.group_id, shop_id=shop_id, mode="lock_share", quota_ratio=ratio, minimum=20
        )
    derive_draws(shop_ids=goods.shop_ids, at=datetime.now(UTC))
    raw, shared = share_bare(goods.group_id)
    planned, run_id = plan(goods.group_id, "ratio")
    lines = AllocationLine.objects.filter(run=run_id).count()
    moved = granted_by(run_id)
    if abs(moved - shared) > size.allocated * SHOPS:
        raise RuntimeError(f"the answers differ: {moved} and {shared}")
    applied = apply(run_id)
    again, second = plan(goods.group_id, "ratio")
    left = AllocationLine.objects.filter(run=second).count()
    if left:
        raise RuntimeError(f"{left} lines would change what was just applied")
    filled, _third = plan(goods.group_id, "refill")
    numbers = f"{size.allocated:,} SKUs × {SHOPS} shops"
    rate = {"lines": lines, "lines_per_s": lines / applied}
    return [
        Result(f"plain SQL of the same parts, {numbers}", raw, "s"),
        Result(
            f"worked out by ratio, {numbers}",
            planned,
            "s",
            ratio_to_raw=raw / planned,
            target=f"≤ {PLAN_SECONDS_MAX:g} s",
            ok=planned <= PLAN_SECONDS_MAX,
            more={"lines": lines, "lines_per_s": lines / planned},
        ),
        Result(
            f"applied, {numbers}",
            applied,
            "s",
            target=f"≤ {APPLY_SECONDS_MAX:g} s",
            ok=applied <= APPLY_SECONDS_MAX,
            more=rate,
        ),
        Result(f"worked out again, nothing to change, {numbers}", again, "s"),
        Result(f"looked for what is below its minimum, {numbers}", filled, "s"),
    ]


def share_bare(group_id: int) -> tuple[float, int]:
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        since = time.perf_counter()
        connection.execute(RAW_SHARE, {"group": group_id})
        seconds = time.perf_counter() - since
        row = connection.execute("SELECT sum(units) FROM shares").fetchone()
        return seconds, int(row[0]) if row and row[0] else 0


def granted_by(run_id: int) -> int:
    from inventory.models import AllocationLine

    lines = AllocationLine.objects.filter(run=run_id, kind="quota").values_list("before", "after")
    return sum(after - before for before, after in lines.iterator(chunk_size=50_000))


def plan(group_id: int, method: str) -> tuple[float, int]:
    """Seconds of the job, and the run."""
    from inventory.quota.plan import start_allocation

    run = start_allocation(
        group_id=group_id,
        method=method,
        scope={},
        settings={},
        trigger="person",
        reason="bench",
        at=datetime.now(UTC),
        by="bench",
    )
    return work(), run.pk


def apply(run_id: int) -> float:
    from inventory.quota.apply import start_apply

    start_apply(run_id=run_id, at=datetime.now(UTC), by="bench")
    return work()


def work() -> float:
    from omni.kernel.jobs import claim_job, run_job
    from omni.kernel.models import Job
    from omni.wiring import JOBS

    job = claim_job(at=datetime.now(UTC))
    if job is None:
        raise RuntimeError("no job waits")
    since = time.perf_counter()
    done = run_job(job=job, works=JOBS)
    if done.state != Job.State.DONE:
        raise RuntimeError(done.message)
    return time.perf_counter() - since

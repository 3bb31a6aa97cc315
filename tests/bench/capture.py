"""How fast orders are taken: real TOP payloads, translated, stored with every version, their stock promised."""

from __future__ import annotations

import gc
import json
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg

from tests.bench import raw
from tests.bench.measure import Lap, Result, Run, median, percentile, run_together, spread, timed_pieces
from tests.bench.size import Size

BATCH, RAW_BATCH = 200, 500


def run(size: Size) -> list[Result]:
    """One and two workers, each repeat beside a raw baseline of its own minute."""
    from tests.bench.goods import lay_out

    goods = lay_out(skus=size.skus)
    raw.prepare(os.environ["DATABASE_URL"], skus=size.skus)
    common: dict[str, Any] = {
        "shop_id": goods.shop_ids[0],
        "sku_ids": goods.sku_ids,
        "batches": size.batches,
    }
    baseline: list[Run] = []
    lean: list[Run] = []
    ours: dict[int, list[Run]] = {1: [], 2: []}
    for repeat in range(size.repeats):
        baseline.append(measure_raw(size, name=f"c{repeat}"))
        lean.append(measure_raw(size, name=f"l{repeat}", has_payload=False))
        for workers, runs in ours.items():
            seeds = [(repeat + 1) * 100 + workers * 10 + worker for worker in range(workers)]
            runs.append(run_together(capture_batches, [{**common, "seed": seed} for seed in seeds]))
    statements = count_statements_of_a_batch(goods.shop_ids[0], goods.sku_ids)
    return [
        _raw_result("", baseline),
        _raw_result(" that stores no payload", lean),
        *(_result(workers, runs, baseline) for workers, runs in ours.items()),
        Result("statements per batch of 200", statements, "statements", target="≤ 25", ok=statements <= 25),
    ]


def _raw_result(kind: str, runs: Sequence[Run]) -> Result:
    rates = [run.rate for run in runs]
    return Result(f"raw batch of {RAW_BATCH}{kind}, 1 client", median(rates), "orders/s", spread(rates))


def _result(workers: int, runs: Sequence[Run], baseline: Sequence[Run]) -> Result:
    rates = [run.rate for run in runs]
    ratio = median([ours.rate / bare.rate for ours, bare in zip(runs, baseline, strict=True)])
    slowest = median([percentile(run.seconds, 0.99) for run in runs])
    least = {1: 0.35, 2: 0.5}[workers]
    return Result(
        f"capture, {workers} worker{'s' * (workers > 1)}",
        median(rates),
        "orders/s",
        spread(rates),
        ratio_to_raw=ratio,
        target=f"ratio ≥ {least}, p99 of a batch ≤ 500 ms",
        ok=ratio >= least and slowest <= 0.5,
        more={"batch": BATCH, "p99_ms": slowest * 1000},
    )


def measure_raw(size: Size, *, name: str, has_payload: bool = True) -> Run:
    """The raw baseline: one client, as many orders as one worker takes, in batches of 500."""
    number = size.batches * BATCH
    return run_together(
        store_raw_batches, [{"number": number, "skus": size.skus, "name": name, "has_payload": has_payload}]
    )


# --- in the processes ---------------------------------------------------------------------------------------


def store_raw_batches(*, number: int, skus: int, name: str, has_payload: bool) -> Lap:
    trades = _trades(1, range(1, skus + 1), number=RAW_BATCH, seed=1) if has_payload else [{}]
    payloads = [json.dumps(trade, ensure_ascii=False) for trade in trades]
    orders = raw.make_orders(number=number + RAW_BATCH, skus=skus, name=name, payloads=payloads)
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        raw.store_batch(connection, orders[:RAW_BATCH])  # warm

        def store(batch: Sequence[raw.Order]) -> int:
            raw.store_batch(connection, batch)
            return len(batch)

        gc.freeze()
        return timed_pieces(store, _cut(orders[RAW_BATCH:], RAW_BATCH))


def capture_batches(*, shop_id: int, sku_ids: Sequence[int], batches: int, seed: int) -> Lap:
    from products.models import Shop

    shop = Shop.objects.get(pk=shop_id)
    trades = _trades(shop_id, sku_ids, number=(batches + 1) * BATCH, seed=seed)
    take(shop, trades[:BATCH])  # warm
    # A worker never holds thousands of trades that are still to come: their upkeep is the bench's, not the product's.
    gc.freeze()
    return timed_pieces(lambda batch: take(shop, batch), _cut(trades[BATCH:], BATCH))


def take(shop: Any, trades: Sequence[dict[str, Any]]) -> int:
    """What a pull does with a page of trades: translate each, capture them all."""
    from integrations.channels.top.translate import translate_trade
    from orders.capture import capture_orders
    from orders.draft import OrderDraft

    drafts = [draft for trade in trades if isinstance(draft := translate_trade(trade), OrderDraft)]
    captured = capture_orders(shop=shop, drafts=drafts, at=datetime.now(UTC), by="bench", source="bench")
    if any(each.result != "new" for each in captured) or len(captured) != len(trades):
        raise RuntimeError(f"not every trade became a new order: {captured[0]}")
    return len(captured)


def count_statements_of_a_batch(shop_id: int, sku_ids: Sequence[int]) -> int:
    from products.models import Shop
    from tests.statements import StatementCounter

    shop = Shop.objects.get(pk=shop_id)
    trades = _trades(shop_id, sku_ids, number=BATCH, seed=99)
    with StatementCounter() as counter:
        take(shop, trades)
    return counter.statements


def _trades(shop_id: int, sku_ids: Sequence[int], *, number: int, seed: int) -> list[dict[str, Any]]:
    from tests.bench.trades import make_trades

    return make_trades(number=number, sku_ids=sku_ids, shop_id=shop_id, seed=seed, at=int(time.time()) - 60)


def _cut(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]

"""How soon channels show what changed: planned, coalesced, pushed to the TOP sandbox over HTTP, acknowledged."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg

from tests.bench import raw
from tests.bench.measure import Lap, Result, median, percentile, run_together, spread, start_line
from tests.bench.size import Size

if TYPE_CHECKING:  # models, which a process may only import once Django is set up
    from tests.bench.goods import Goods

SHOPS, SKUS_PER_ITEM, BURST = 6, 20, 12
START_SECONDS_MAX, SETTLE_SECONDS_MAX = 30, 120

# Every row that the changes of this bench concern has been acknowledged as planned, and nothing waits to be planned.
WAITING = """
    SELECT (SELECT count(*) FROM inventory_stockchange)
         + (SELECT count(*) FROM inventory_publishedstock WHERE desired_version > acked_version)
"""
ACKNOWLEDGED = """
    SELECT l.sku_id, extract(epoch FROM p.acked_at) FROM inventory_publishedstock p
    JOIN products_listing l ON l.id = p.listing_id
"""


def run(size: Size) -> list[Result]:
    """Planning beside bare SQL; then one change of every SKU in every shop; then a burst of twelve."""
    from integrations.open import open_missing_streams
    from tests.bench.goods import lay_out

    skus, url = size.changed_skus, os.environ["DATABASE_URL"]
    goods = lay_out(skus=skus, shops=SHOPS, skus_per_item=SKUS_PER_ITEM)
    raw.prepare(url, skus=skus)
    raw.prepare_published(url, shops=SHOPS, skus=skus)
    bare, planned = _time_planning(size, goods, url)
    with top_sandbox(goods.shop_ids) as port:
        connection_ids = _connect(goods, port)
        open_missing_streams()
        _together(goods, connection_ids, rounds=0)  # what the channel does not show yet
        waits: list[float] = []
        for _ in range(size.repeats):
            waits += _waits(goods, _together(goods, connection_ids, rounds=1))
        pushes: list[float] = []
        for _ in range(size.repeats):
            before = _updates(port)
            _together(goods, connection_ids, rounds=BURST)
            pushes.append(BURST * skus * SHOPS / (_updates(port) - before))
    numbers = f"{skus:,} SKUs × {SHOPS} shops"
    ratio = median([b / p for b, p in zip(bare, planned, strict=True)])
    slowest = percentile(waits, 0.99)
    return [
        Result(f"bare SQL, planning {numbers}", median(bare) * 1000, "ms", spread([b * 1000 for b in bare])),
        Result(
            f"planning {numbers}",
            median(planned) * 1000,
            "ms",
            spread([seconds * 1000 for seconds in planned]),
            ratio_to_raw=ratio,
            target="≤ 150 ms, or ratio ≥ 0.4",
            ok=median(planned) <= 0.15 or ratio >= 0.4,
        ),
        Result(
            f"from the change to the acknowledgement, {numbers}, p99",
            slowest,
            "s",
            spread(waits),
            target="≤ 5 s",
            ok=slowest <= 5,
            more={"p50_s": percentile(waits, 0.5)},
        ),
        Result(
            f"changes per number pushed, {BURST} changes of each SKU in a burst",
            median(pushes),
            "",
            spread(pushes),
            target="≥ 10",
            ok=median(pushes) >= 10,
        ),
    ]


def _time_planning(size: Size, goods: Goods, url: str) -> tuple[list[float], list[float]]:
    from inventory.publish import plan_all_published_stock, plan_published_stock

    plan_all_published_stock(at=datetime.now(UTC))
    bare, planned = [], []
    with psycopg.connect(url, autocommit=True) as connection:
        for repeat in range(size.repeats + 1):
            raw.change_stock(connection, skus=len(goods.sku_ids))
            since = time.perf_counter()
            raw.plan_published(connection)
            bare.append(time.perf_counter() - since)
            change_all(goods, seed=repeat)
            since = time.perf_counter()
            plan_published_stock(limit=10 * len(goods.sku_ids), at=datetime.now(UTC))
            planned.append(time.perf_counter() - since)
    return bare[1:], planned[1:]  # the first is to warm up


def change_all(goods: Goods, *, seed: int) -> None:
    """Promise one unit of every SKU: each listing's number goes down."""
    from inventory.reserve import Demand, reserve_stock

    for start in range(0, len(goods.sku_ids), 200):
        demands = [
            Demand(uuid4(), goods.shop_ids[seed % SHOPS], sku, 1)
            for sku in goods.sku_ids[start : start + 200]
        ]
        reserve_stock(wanted=demands, at=datetime.now(UTC), by="bench")


def _together(goods: Goods, connection_ids: Sequence[int], *, rounds: int) -> float:
    """One process changes, one plans, two push, as the workers of `make up` do. Returns the moment of the change."""
    half = len(connection_ids) // 2
    _ask_nothing("TRUNCATE bench_change")
    run_together(
        play,
        [
            {"role": "change", "goods": goods, "rounds": rounds},
            {"role": "plan"},
            {"role": "push", "connection_ids": connection_ids[:half]},
            {"role": "push", "connection_ids": connection_ids[half:]},
        ],
    )
    row = _ask("SELECT extract(epoch FROM min(at)) FROM bench_change")[0]
    return float(row[0] or 0)


def _waits(goods: Goods, changed_at: float) -> list[float]:
    """Seconds from the change, the first moment of it, until each listing was acknowledged."""
    return [float(acked_at) - changed_at for _sku, acked_at in _ask(ACKNOWLEDGED)]


def _ask(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        return connection.execute(statement, parameters or None).fetchall()


def _connect(goods: Goods, port: int) -> list[int]:
    from integrations.models import Connection

    _ask_nothing("CREATE TABLE bench_change (at timestamptz)")
    return [
        Connection.objects.create(
            code=f"bench-{shop_id}",
            kind=Connection.Kind.CHANNEL,
            adapter="top",
            shop_id=shop_id,
            base_url=f"http://127.0.0.1:{port}/router/rest",
            credentials={"app_key": "12345678", "secret": "helloworld", "session": "test"},
            pulls_since=datetime.now(UTC) - timedelta(minutes=2),
        ).pk
        for shop_id in goods.shop_ids
    ]


def _ask_nothing(statement: str) -> None:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(statement)


@contextlib.contextmanager
def top_sandbox(shop_ids: Sequence[int]) -> Iterator[int]:
    """The TOP sandbox with every listing of these shops, no buyers and no faults."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
        probe.close()
        catalogue = Path(folder) / "catalogue.json"
        catalogue.write_text(json.dumps(_catalogue(shop_ids)))
        argv = [
            *(sys.executable, "-m", "integrations.channels.top.sandbox", "--port", str(port)),
            *("--catalogue", str(catalogue), "--rate", "0"),
        ]
        sandbox = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        try:
            _wait_until_it_answers(port, sandbox)
            yield port
        finally:
            sandbox.terminate()
            sandbox.wait(20)


def _catalogue(shop_ids: Sequence[int]) -> list[dict[str, Any]]:
    rows = _ask(
        "SELECT outer_item_id, outer_sku_id, k.code FROM products_listing l JOIN products_sku k ON k.id = l.sku_id"
        " WHERE l.shop_id = ANY(%s)",
        list(shop_ids),
    )
    return [
        {
            "num_iid": item,
            "sku_id": sku,
            "outer_sku_id": code,
            "title": code,
            "price": "129.00",
            "quantity": 0,
        }
        for item, sku, code in rows
    ]


def _wait_until_it_answers(port: int, sandbox: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and sandbox.poll() is None:
        with contextlib.suppress(OSError):
            _updates(port)
            return
        time.sleep(0.1)
    raise RuntimeError("the TOP sandbox did not answer in time")


def _updates(port: int) -> int:
    """How many numbers the sandbox was told so far."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/_control/truth?brief=1", timeout=10) as answer:
        return int(json.load(answer)["quantity_updates"])


# --- in the processes ---------------------------------------------------------------------------------------


def play(*, role: str, **values: Any) -> Lap:
    for needed in ("integrations.push", "inventory.publish", "inventory.reserve"):
        import_module(needed)  # a worker has it loaded long before anything changes
    parts: dict[str, Callable[..., None]] = {"change": _change, "plan": _plan, "push": _push}
    began = start_line()
    parts[role](**values)
    return Lap(began, time.monotonic(), 0, [])


def _change(*, goods: Goods, rounds: int) -> None:
    for number in range(rounds):
        _ask_nothing("INSERT INTO bench_change VALUES (clock_timestamp())")
        change_all(goods, seed=number)
    # Only now may the others stop when nothing waits.
    _ask_nothing("INSERT INTO bench_change VALUES ('infinity')")


def _plan() -> None:
    from inventory.publish import plan_published_stock

    while not _is_settled():
        if not plan_published_stock(limit=1000, at=datetime.now(UTC)):
            time.sleep(0.05)


def _push(*, connection_ids: Sequence[int]) -> None:
    from integrations.push import push_stock

    while not _is_settled():
        sent = 0
        for ident in connection_ids:
            done = push_stock(connection_id=ident, at=datetime.now(UTC))
            sent += done.count if done else 0
        if not sent:
            time.sleep(0.05)


_deadline = 0.0


def _is_settled() -> bool:
    global _deadline
    _deadline = _deadline or time.monotonic() + SETTLE_SECONDS_MAX
    if time.monotonic() > _deadline:
        raise RuntimeError(f"not settled after {SETTLE_SECONDS_MAX} s")
    is_over = bool(_ask("SELECT 1 FROM bench_change WHERE at = 'infinity'"))
    return is_over and not _ask(WAITING)[0][0]

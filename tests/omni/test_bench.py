"""The benches measure what they say, in a tiny size: figures are the business of `make bench`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from django.core.management import CommandError, call_command

from tests.bench import BENCHES, raw
from tests.bench.measure import percentile

# Those that start servers of their own, or look at every page, take longer than a test may.
LONG = {"api", "master", "prices", "publish", "queues"}


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in LONG else ()) for name in BENCHES]
)
def test_a_bench_runs_on_a_database_of_its_own_and_tells_its_figures(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "bench", name, "--quick", "--json"],
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    results = told["benches"][name]["results"]
    assert told["machine"]["postgresql_settings"]["fsync"] in ("on", "off")
    assert results
    assert all(result["median"] >= 0 for result in results)
    assert not _bench_database_exists()


def _bench_database_exists() -> bool:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = 'omni_bench'").fetchone()
    return found is not None


def test_an_unknown_bench_is_refused_with_the_names_of_all() -> None:
    with pytest.raises(CommandError, match="There are: capture"):
        call_command("bench", "warp")


@pytest.fixture
def bare() -> Iterator[psycopg.Connection[Any]]:
    """The raw tables in a database of their own, with twenty SKUs."""
    usual, name = os.environ["DATABASE_URL"], f"bare_{os.getpid()}"
    with psycopg.connect(usual, autocommit=True) as keeper:
        keeper.execute(f"CREATE DATABASE {name}")
        try:
            url = urlunsplit(urlsplit(usual)._replace(path=f"/{name}"))
            raw.prepare(url, skus=20)
            with psycopg.connect(url, autocommit=True) as connection:
                yield connection
        finally:
            keeper.execute(f"DROP DATABASE {name} WITH (FORCE)")


def counts(bare: psycopg.Connection[Any]) -> list[int]:
    tables = ("external_order", "order_line", "reservation", "ledger")
    return [bare.execute(f"SELECT count(*) FROM raw.{table}").fetchone()[0] for table in tables]  # type: ignore[index]  # noqa: S608


def reserved(bare: psycopg.Connection[Any]) -> int:
    return int(bare.execute("SELECT sum(reserved) FROM raw.stock").fetchone()[0])  # type: ignore[index]


def test_the_raw_baseline_does_the_whole_job_that_it_is_compared_with(
    bare: psycopg.Connection[Any],
) -> None:
    orders = raw.make_orders(number=50, skus=20, name="a", payloads=['{"tid": 1}'])

    raw.store_batch(bare, orders[:40])
    for order in orders[40:]:
        raw.store_one(bare, order)

    assert counts(bare) == [50, 100, 100, 100]
    assert reserved(bare) == sum(line.quantity for order in orders for line in order.lines)


def test_the_raw_baseline_cannot_oversell_either(bare: psycopg.Connection[Any]) -> None:
    bare.execute("UPDATE raw.stock SET granted = 0 WHERE sku_id = 1")
    order = raw.Order("x", "1.00", "{}", [raw.Line(1, 1, "1.00")])

    with pytest.raises(raw.StockDidNotHold):
        raw.store_batch(bare, [order])

    assert counts(bare) == [0, 0, 0, 0]
    assert reserved(bare) == 0


@pytest.mark.parametrize(
    ("share", "value"), [(0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100)], ids=["p50", "p95", "p99", "p100"]
)
def test_a_percentile_is_the_value_that_so_many_do_not_exceed(share: float, value: int) -> None:
    assert percentile(list(range(1, 101)), share) == value

"""How fast a file of products comes in: read and compared, then taken, beside COPY and three bare statements."""

from __future__ import annotations

import csv
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from tests.bench.measure import Lap, Result, median, run_together, spread, start_line
from tests.bench.size import Size

HEADING = (
    "code", "name", "spu", "spu_name", "brand", "category", "barcodes", "weight_grams", "list_price", "currency",
    "is_active",
)  # fmt: skip
SKUS_PER_PRODUCT = 5
TARGET_RATE = 20_000
FLAT_MIB = 40
CLEAR = "TRUNCATE products_barcode, products_sku, products_spu, kernel_importrow, kernel_import CASCADE"
# What the engine does, without the engine: the same tables in a schema of their own, keys and foreign keys alike.
RAW_TABLES = """
    DROP SCHEMA IF EXISTS raw CASCADE;
    CREATE SCHEMA raw;
    CREATE UNLOGGED TABLE raw.line (
        code text, name text, spu text, spu_name text, brand text, category text, barcodes text, weight_grams int,
        list_price numeric(20, 4), currency text, is_active bool
    );
    CREATE TABLE raw.spu (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, code text UNIQUE, name text,
        brand_id bigint NOT NULL REFERENCES products_brand, category_id bigint REFERENCES products_category
    );
    CREATE TABLE raw.sku (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, code text UNIQUE, name text,
        spu_id bigint NOT NULL REFERENCES raw.spu, list_price numeric(20, 4), currency text, weight_grams int,
        is_active bool
    );
    CREATE INDEX ON raw.sku (spu_id);
    CREATE TABLE raw.barcode (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, code text UNIQUE,
        sku_id bigint NOT NULL REFERENCES raw.sku
    );
    CREATE INDEX ON raw.barcode (sku_id);
"""
RAW_TAKE = (
    """INSERT INTO raw.spu (code, name, brand_id, category_id)
    SELECT DISTINCT ON (l.spu) l.spu, l.spu_name, b.id, c.id FROM raw.line l
    JOIN products_brand b ON b.code = l.brand JOIN products_category c ON c.code = l.category""",
    """INSERT INTO raw.sku (code, name, spu_id, list_price, currency, weight_grams, is_active)
    SELECT l.code, l.name, p.id, l.list_price, l.currency, l.weight_grams, l.is_active
    FROM raw.line l JOIN raw.spu p ON p.code = l.spu""",
    """INSERT INTO raw.barcode (code, sku_id)
    SELECT l.barcodes, s.id FROM raw.line l JOIN raw.sku s ON s.code = l.code""",
)


def run(size: Size) -> list[Result]:
    """Each repeat: bare, then the engine, on empty tables; then the same file again, of which nothing is new."""
    from products.models import Brand, Category

    Brand.objects.create(code="BENCH", name="Bench")
    Category.objects.create(code="bench", name="Bench", path="bench/")
    bare, previews, takes, wholes, again, growth = [], [], [], [], [], []
    with made_file(size.imported) as file, made_file(size.imported // 10) as small:
        for _ in range(size.repeats):
            bare.append(size.imported / time_raw(file))
            _, _, few = seconds_of(small)
            reading, taking, many = seconds_of(file)
            previews.append(size.imported / reading)
            takes.append(size.imported / taking)
            wholes.append(size.imported / (reading + taking))
            growth.append((many - few) / 1024)
            again.append(size.imported / sum(seconds_of(file, is_clear=False)[:2]))
    whole, memory = median(wholes), median(growth)
    number = f"{size.imported:,} SKUs"
    return [
        Result(f"bare COPY and three INSERTs, {number}", median(bare), "rows/s", spread(bare)),
        Result(f"read, compared and staged, {number}", median(previews), "rows/s", spread(previews)),
        Result(f"taken, {number}", median(takes), "rows/s", spread(takes)),
        Result(
            f"through the engine, {number}",
            whole,
            "rows/s",
            spread(wholes),
            ratio_to_raw=median([w / b for w, b in zip(wholes, bare, strict=True)]),
            target=f"≥ {TARGET_RATE:,} rows/s",
            ok=whole >= TARGET_RATE,
        ),
        Result(f"the same file again, {number}", median(again), "rows/s", spread(again)),
        Result(
            "memory at ten times the rows, more than before",
            memory,
            "MiB",
            spread(growth),
            target=f"≤ {FLAT_MIB} MiB",
            ok=memory <= FLAT_MIB,
        ),
    ]


@contextmanager
def made_file(rows: int) -> Iterator[str]:
    """A CSV of so many SKUs, each with a barcode whose check digit is right."""
    from stdnum import ean

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{rows}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(HEADING)
            for number in range(rows):
                product, body = number // SKUS_PER_PRODUCT, f"69{number:010}"
                writer.writerow(
                    [
                        f"SKU-{number:07}",
                        f"保湿精华 {product} / {number % SKUS_PER_PRODUCT}",
                        f"SPU-{product:07}",
                        f"保湿精华 {product}",
                        "BENCH",
                        "bench",
                        body + ean.calc_check_digit(body),
                        120,
                        f"{100 + number % 400}.90",
                        "CNY",
                        "true",
                    ]
                )
        yield str(path)


def time_raw(file: str) -> float:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(RAW_TABLES)
        since = time.perf_counter()
        with connection.transaction():
            with (
                Path(file).open("rb") as source,
                connection.cursor().copy("COPY raw.line FROM STDIN (FORMAT csv, HEADER)") as copy,
            ):
                while block := source.read(1 << 20):
                    copy.write(block)
            for statement in RAW_TAKE:
                connection.execute(statement)
        return time.perf_counter() - since


def seconds_of(file: str, *, is_clear: bool = True) -> tuple[float, float, float]:
    """Seconds to preview and to take, and the most memory (KiB), in a process of its own."""
    if is_clear:
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
            connection.execute(CLEAR)
    reading, taking, memory = run_together(import_file, [{"file": file}]).seconds
    return reading, taking, memory


# --- in the process -----------------------------------------------------------------------------------------


def import_file(*, file: str) -> Lap:
    from omni.kernel.imports.commit import start_commit
    from omni.kernel.imports.preview import start_preview
    from omni.kernel.imports.upload import upload_file
    from omni.kernel.jobs import claim_job, run_job
    from omni.kernel.models import Job
    from omni.wiring import JOBS
    from products.imports.skus import SKUS

    def work(job: Job) -> float:
        since = time.perf_counter()
        claimed = claim_job(at=datetime.now(UTC), job_id=job.pk)
        assert claimed is not None
        done = run_job(job=claimed, works=JOBS)
        if done.state != Job.State.DONE or done.result.get("error"):
            raise RuntimeError(f"{done.state}: {done.message} {done.result}")
        return time.perf_counter() - since

    began, at = start_line(), datetime.now(UTC)
    with Path(file).open("rb") as source:
        blocks: Any = iter(lambda: source.read(1 << 20), b"")
        run = upload_file(
            target=SKUS, name="bench.csv", chunks=blocks, params={}, at=at, by="bench", door="command"
        )
    try:
        reading = work(start_preview(run_id=run.pk, target=SKUS, at=at, by="bench"))
        taking = work(start_commit(run_id=run.pk, at=at, by="bench"))
    finally:
        Path(run.file.path).unlink()
    return Lap(
        began,
        time.monotonic(),
        run.lines,
        [reading, taking, peak_memory()],
    )


def peak_memory() -> float:
    """The most that this process has held, in KiB. `ru_maxrss` would remember what its parent held before it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return float(line.split()[1])
    raise RuntimeError("this system does not say how much memory a process has held")

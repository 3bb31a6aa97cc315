"""How soon a hundred thousand prices are what they should be: asked for, approved, planned beside bare SQL, pushed."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import psycopg

from tests.bench.measure import Lap, Result, median, run_together, spread, start_line
from tests.bench.publish import top_sandbox
from tests.bench.size import Size

if TYPE_CHECKING:  # models, which a process may only import once Django is set up
    from tests.bench.goods import Goods

SHOPS, SKUS_PER_ITEM, BATCH = 5, 20, 2_000
# What planning does, without scopes, floors, calls under way and history: the price of each SKU put to its listings.
RAW_TABLES = """
    DROP SCHEMA IF EXISTS raw_price CASCADE;
    CREATE SCHEMA raw_price;
    CREATE TABLE raw_price.price (sku_id bigint PRIMARY KEY, amount numeric(20, 4) NOT NULL);
    CREATE TABLE raw_price.listing (id bigint PRIMARY KEY, shop_id bigint NOT NULL, sku_id bigint NOT NULL);
    CREATE INDEX ON raw_price.listing (sku_id);
    CREATE TABLE raw_price.published (
        listing_id bigint PRIMARY KEY, amount numeric(20, 4) NOT NULL, version int NOT NULL, since timestamptz NOT NULL
    );
    INSERT INTO raw_price.listing SELECT id, shop_id, sku_id FROM products_listing;
    INSERT INTO raw_price.price SELECT id, 1 FROM products_sku;
    INSERT INTO raw_price.published SELECT id, 1, 1, now() FROM raw_price.listing;
    ANALYZE raw_price.listing; ANALYZE raw_price.price; ANALYZE raw_price.published;
"""
RAW_CHANGE = "UPDATE raw_price.price SET amount = amount + 1"
RAW_PLAN = """
    UPDATE raw_price.published p SET amount = c.amount, version = p.version + 1, since = now()
    FROM raw_price.listing l JOIN raw_price.price c ON c.sku_id = l.sku_id
    WHERE p.listing_id = l.id AND p.amount <> c.amount
"""
TOLD = """
    SELECT count(*) FILTER (WHERE desired_version > acked_version),
           count(*) FILTER (WHERE desired_version = acked_version AND acked_amount = desired_amount)
    FROM products_publishedprice WHERE shop_id = %s
"""


def run(size: Size) -> list[Result]:
    """Each repeat: every SKU gets another price for every shop, which concerns all of its listings. Then one shop's
    channel is told them over HTTP."""
    from tests.bench.goods import lay_out

    url, skus = os.environ["DATABASE_URL"], size.priced_skus
    goods = lay_out(skus=skus, shops=SHOPS, skus_per_item=SKUS_PER_ITEM, units=1)
    # Behind us, each later than the one before: what is planned is due at once.
    moment = datetime.now(UTC) - timedelta(minutes=size.repeats + 2)
    asked, bare, planned = [], [], []
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(RAW_TABLES)
        for repeat in range(size.repeats + 1):
            moment += timedelta(minutes=1)
            asked.append(skus / approve_all(goods, Decimal(100 + repeat), moment))
            connection.execute(RAW_CHANGE)
            since = time.perf_counter()
            connection.execute(RAW_PLAN)
            bare.append(time.perf_counter() - since)
            planned.append(plan_all(moment))
    told = _push(goods, size)
    # The first is to warm up, and makes the rows that the others change.
    prices, bare, planned = skus * SHOPS, bare[1:], planned[1:]
    number = f"{prices:,} prices"
    return [
        Result(f"asked for and approved, {skus:,} prices", median(asked), "prices/s", spread(asked)),
        Result(
            f"bare SQL, planning {number}",
            prices / median(bare),
            "prices/s",
            spread([prices / seconds for seconds in bare]),
        ),
        Result(
            f"planning {number}",
            prices / median(planned),
            "prices/s",
            spread([prices / seconds for seconds in planned]),
            ratio_to_raw=median([b / p for b, p in zip(bare, planned, strict=True)]),
            more={"seconds": median(planned)},
        ),
        told,
    ]


def approve_all(goods: Goods, amount: Decimal, at: datetime) -> float:
    """Another price of every SKU in every shop, from this moment on. Returns the seconds that it took."""
    from products.prices.ask import ask_for_prices
    from products.prices.decide import approve_prices
    from products.prices.faults import PriceDraft

    since = time.perf_counter()
    for start in range(0, len(goods.sku_ids), BATCH):
        drafts = [PriceDraft(sku_id, amount, at) for sku_id in goods.sku_ids[start : start + BATCH]]
        asked = ask_for_prices(drafts=drafts, reason="bench", at=at, by="user:1")
        ids = [outcome.price_id for outcome in asked if outcome.price_id is not None]
        approved = approve_prices(price_ids=ids, may_approve_own=False, at=at, by="user:2")
        if not all(outcome.ok for outcome in approved):
            raise RuntimeError(f"not approved: {next(outcome for outcome in approved if not outcome.ok)}")
    return time.perf_counter() - since


def plan_all(at: datetime) -> float:
    """What the planner does until nothing is due. Returns the seconds that it took."""
    from products.prices.publish import plan_published_prices

    since = time.perf_counter()
    while plan_published_prices(limit=5_000, at=at):
        pass
    return time.perf_counter() - since


def _push(goods: Goods, size: Size) -> Result:
    """One shop's channel is told; one call a SKU, and one to read each item, as its interface wants it."""
    from integrations.models import Connection
    from integrations.open import open_missing_streams

    shop_id, wanted = goods.shop_ids[0], min(size.priced_pushed, size.priced_skus)
    with top_sandbox(goods.shop_ids[:1]) as port:
        connection = Connection.objects.create(
            code="bench-prices",
            kind=Connection.Kind.CHANNEL,
            adapter="top",
            shop_id=shop_id,
            base_url=f"http://127.0.0.1:{port}/router/rest",
            credentials={"app_key": "12345678", "secret": "helloworld", "session": "test"},
            pulls_since=datetime.now(UTC) - timedelta(minutes=2),
        )
        open_missing_streams()
        lap = run_together(push, [{"connection_id": connection.pk, "wanted": wanted}])
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as database:
        row = database.execute(TOLD, [shop_id]).fetchone()
    due, acknowledged = row or (0, 0)
    return Result(
        "told to the TOP sandbox and acknowledged, one shop, one worker",
        lap.rate,
        "prices/s",
        more={"acknowledged": acknowledged, "due": due},
        target="all that were told are acknowledged with their amount",
        ok=acknowledged >= wanted and acknowledged + due == len(goods.sku_ids),
    )


# --- in the process -----------------------------------------------------------------------------------------


def push(*, connection_id: int, wanted: int) -> Lap:
    from integrations.push import push_prices

    began, told = start_line(), 0
    while told < wanted:
        done = push_prices(connection_id=connection_id, at=datetime.now(UTC))
        if done is None or not done.count:
            raise RuntimeError(f"nothing was told after {told} of {wanted} prices")
        told += done.count
    return Lap(began, time.monotonic(), told, [])

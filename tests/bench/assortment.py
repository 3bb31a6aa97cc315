"""What fifty rules mean for 100,000 SKUs in twenty shops: beside plain SQL of the same answer; then applied."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
from django.test import Client
from django.urls import reverse

from tests.bench.measure import Result, median, spread
from tests.bench.queues import LIMIT_MS, times_of
from tests.bench.size import Size

SHOPS, RULES, BRANDS, CATEGORIES, TAGS, SEASONS = 20, 50, 5, 40, 60, 8
SKUS_PER_PRODUCT = 4
GATE_SKUS, GATE_SHOPS = 500, 3
APPLIED_SHARE = 10  # one of so many lines of a shop is applied

# Categories in four layers of ten; each product has three tags, one of eight seasons, its SKUs prices from 10 to 509.
FURNISH = (
    "INSERT INTO products_brand (code, name) SELECT 'b' || n, 'Brand ' || n FROM generate_series(1, %(brands)s) n",
    """INSERT INTO products_category (code, name, path)
    SELECT 'c' || n, 'Category ' || n,
           CASE WHEN n <= 4 THEN 'c' || n || '/' ELSE 'c' || 1 + n %% 4 || '/c' || n || '/' END
    FROM generate_series(1, %(categories)s) n""",
    """INSERT INTO products_spu (code, name, brand_id, category_id, season, tags)
    SELECT 'P' || n, 'Product ' || n, b.id, c.id, 's' || n %% %(seasons)s,
           ARRAY['t' || n %% %(tags)s, 't' || n * 7 %% %(tags)s, 't' || n * 13 %% %(tags)s]
    FROM generate_series(1, %(products)s) n
    JOIN products_brand b ON b.code = 'b' || 1 + n %% %(brands)s
    JOIN products_category c ON c.code = 'c' || 1 + n * 3 %% %(categories)s""",
    """INSERT INTO products_sku (code, spu_id, name, attributes, list_price, currency, is_active)
    SELECT p.code || '-' || n, p.id, p.name || ' ' || n, jsonb_build_object('n', n),
           10 + (p.id * 17 + n * 31) %% 500, 'CNY', (p.id + n) %% 97 <> 0
    FROM products_spu p, generate_series(1, %(per)s) n""",
    # Every second shop sells one brand only.
    """INSERT INTO products_shop (code, name, channel, brand_id, currency, order_policy, fulfilled_by)
    SELECT 'shop' || n, 'Shop ' || n, 'top', CASE WHEN n %% 2 = 0 THEN b.id END, 'CNY', 'fact', 'omni'
    FROM generate_series(1, %(shops)s) n JOIN products_brand b ON b.code = 'b' || 1 + n %% %(brands)s""",
    # A third of all SKUs is listed in each shop: on sale, approved, or off sale.
    """INSERT INTO products_listing
        (shop_id, sku_id, outer_item_id, outer_sku_id, state, state_by, state_at, created_at)
    SELECT s.id, k.id, 600000000000 + k.id / 20, s.id * 1000000000 + k.id,
           CASE (k.id + s.id) %% 10 WHEN 0 THEN 'approved' WHEN 1 THEN 'delisted' ELSE 'listed' END,
           CASE WHEN k.id %% 5 = 0 THEN 'user:1' ELSE '' END, now(), now()
    FROM products_shop s CROSS JOIN products_sku k WHERE (k.id * 7 + s.id * 3) %% 3 = 0""",
    """INSERT INTO products_assortmentrun (state, source, judged_at, basis, created_by)
    VALUES ('applied', 'person', now(), '{}', 'bench')""",
    """INSERT INTO products_placedlisting (listing_id, run_id, placed_at)
    SELECT l.id, r.id, now() FROM products_listing l, products_assortmentrun r WHERE l.id %% 2 = 0""",
)
# The same answer by plain SQL: every pair of SKU and rule, the rule that decides by DISTINCT ON, joined with what is
# there. Bare tables: no keys, no history, nothing else.
RAW_TABLES = """
    DROP SCHEMA IF EXISTS raw CASCADE;
    CREATE SCHEMA raw;
    CREATE UNLOGGED TABLE raw.sku AS
        SELECT k.id, p.brand_id AS brand, c.path, p.tags, p.season, k.list_price AS price, k.is_active
        FROM products_sku k JOIN products_spu p ON p.id = k.spu_id JOIN products_category c ON c.id = p.category_id;
    CREATE UNLOGGED TABLE raw.rule AS
        SELECT r.id, r.kind, r.priority, r.brand_id AS brand, c.path, r.tags, r.seasons, r.price_from, r.price_to
        FROM products_assortmentrule r LEFT JOIN products_category c ON c.id = r.category_id;
    CREATE UNLOGGED TABLE raw.says AS
        SELECT t.assortmentrule_id AS rule, s.id AS shop, s.brand_id AS brand
        FROM products_assortmentrule_shops t JOIN products_shop s ON s.id = t.shop_id;
    CREATE UNLOGGED TABLE raw.listing AS
        SELECT l.id, l.shop_id AS shop, l.sku_id AS sku, l.state, l.state_by = '' AS is_ours,
               p.listing_id IS NOT NULL AS is_placed
        FROM products_listing l LEFT JOIN products_placedlisting p ON p.listing_id = l.id;
    CREATE UNLOGGED TABLE raw.row (shop bigint, sku bigint, listing bigint, outcome text, rule bigint);
    ANALYZE
"""
RAW_JUDGE = """
    WITH decided AS (
        SELECT DISTINCT ON (k.id, t.shop) k.id AS sku, t.shop, r.id AS rule, r.kind, k.is_active
        FROM raw.sku k
        JOIN raw.rule r ON (r.brand IS NULL OR r.brand = k.brand) AND (r.path IS NULL OR starts_with(k.path, r.path))
            AND (r.tags = '{}' OR r.tags && k.tags) AND (r.seasons = '{}' OR k.season = ANY (r.seasons))
            AND (r.price_from IS NULL OR k.price >= r.price_from) AND (r.price_to IS NULL OR k.price <= r.price_to)
        JOIN raw.says t ON t.rule = r.id AND (t.brand IS NULL OR t.brand = k.brand)
        ORDER BY k.id, t.shop, r.priority DESC, r.kind, r.id
    ), offered AS (
        SELECT shop, sku, bool_or(state = 'listed') AS is_listed, max(id) FILTER (WHERE state = 'approved') AS approved,
               max(id) FILTER (WHERE state = 'delisted' AND is_ours) AS delisted
        FROM raw.listing GROUP BY shop, sku
    )
    INSERT INTO raw.row
    SELECT d.shop, d.sku, coalesce(o.approved, o.delisted),
           CASE WHEN o.sku IS NULL THEN 'draft' WHEN coalesce(o.approved, o.delisted) IS NOT NULL THEN 'publish'
                ELSE 'held_back' END, d.rule
    FROM decided d LEFT JOIN offered o ON o.shop = d.shop AND o.sku = d.sku
    WHERE d.kind = 'include' AND d.is_active AND o.is_listed IS NOT TRUE
    UNION ALL
    SELECT l.shop, l.sku, l.id, 'withdraw', d.rule
    FROM raw.listing l LEFT JOIN decided d ON d.shop = l.shop AND d.sku = l.sku
    WHERE l.state = 'listed' AND (d.kind = 'include' AND d.is_active) IS NOT TRUE
      AND (l.is_placed OR d.kind = 'exclude')
"""
COUNTED = (
    "SELECT outcome, count(*), sum(sku), sum(coalesce(listing, 0)) FROM {} GROUP BY outcome ORDER BY outcome"
)


def run(size: Size) -> list[Result]:
    """Each repeat: bare, then ours, of the same data; the answers are compared line for line by their sums."""
    from products.models import AssortmentRow

    skus, url = size.assorted, os.environ["DATABASE_URL"]
    shop_ids = furnish(skus)
    bare, ours, lines, run_id = [], [], 0, 0
    for _ in range(size.repeats):
        bare.append(judge_bare(url))
        seconds, run_id = judge(shop_ids)
        ours.append(seconds)
        lines = compare(url, run_id)
    pages = look_at_lines(run_id, shop_ids[0], size.repeats)
    applied = [apply_some(shop_id) for shop_id in shop_ids[: size.repeats]]
    gates = [ask_gate(shop_ids) for _ in range(size.repeats * 3)]
    pages |= look_at_catalogue(shop_ids, size.repeats)
    AssortmentRow.objects.all().delete()
    numbers = f"{RULES} rules, {skus:,} SKUs × {SHOPS} shops"
    ratio = median([b / o for b, o in zip(bare, ours, strict=True)])
    return [
        Result(f"plain SQL on bare tables, {numbers}", median(bare), "s", spread(bare)),
        Result(
            f"worked out and written down, {numbers}",
            median(ours),
            "s",
            spread(ours),
            ratio_to_raw=ratio,
            target="ratio ≥ 0.4",
            ok=ratio >= 0.4,
            more={"lines": lines, "pairs_per_second": skus * SHOPS / median(ours)},
        ),
        Result("applied: judged anew, drafted or asked for", median(applied), "lines/s", spread(applied)),
        Result(
            f"the gate of the catalogues, {GATE_SKUS} SKUs × {GATE_SHOPS} shops",
            median(gates) * 1000,
            "ms",
            spread([seconds * 1000 for seconds in gates]),
        ),
        *(
            Result(
                name,
                median(times),
                "ms",
                spread(times),
                target=f"≤ {LIMIT_MS} ms",
                ok=median(times) <= LIMIT_MS,
            )
            for name, times in pages.items()
        ),
    ]


def furnish(skus: int) -> list[int]:
    """Goods, shops, listings and rules; the ids of the shops."""
    from django.db import connection

    from products.models import Brand, Category, Shop

    values = {
        "brands": BRANDS,
        "categories": CATEGORIES,
        "seasons": SEASONS,
        "tags": TAGS,
        "products": skus // SKUS_PER_PRODUCT,
        "per": SKUS_PER_PRODUCT,
        "shops": SHOPS,
    }
    with connection.cursor() as cursor:
        for statement in FURNISH:
            cursor.execute(statement, values)
    shops = list(Shop.objects.order_by("pk"))
    brands = list(Brand.objects.order_by("pk").values_list("pk", flat=True))
    categories = list(Category.objects.order_by("pk").values_list("pk", flat=True))
    enter_rules(shops, brands, categories)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return [shop.pk for shop in shops]


def enter_rules(shops: Sequence[Any], brands: Sequence[int], categories: Sequence[int]) -> None:
    """One rule of each kind in turn: category, tags, brand with season, price with tag; every fifth excludes."""
    from products.assortment.conditions import Wish
    from products.assortment.define import RuleDraft, define_rule

    for number in range(RULES):
        tags = [f"t{number % TAGS}", f"t{number * 11 % TAGS}"]
        brand_id = brands[number % BRANDS]
        wish = (
            Wish(category_id=categories[number % CATEGORIES]),
            Wish(tags=tags),
            Wish(brand_id=brand_id, seasons=[f"s{number % SEASONS}"]),
            Wish(tags=tags, price_from=100 + number, price_to=300 + number),  # type: ignore[arg-type]
        )[number % 4]
        of = [
            shop
            for place, shop in enumerate(shops)
            if (place + number) % 2 == 0 and (wish.brand_id is None or shop.brand_id in (None, wish.brand_id))
        ]
        draft = RuleDraft(
            name=f"Rule {number}",
            wish=wish,
            shop_ids=[shop.pk for shop in of or [shop for shop in shops if shop.brand_id is None]],
            kind="exclude" if number % 5 == 4 else "include",
            priority=number * 7 % 10,
        )
        define_rule(draft=draft, at=datetime.now(UTC), by="bench")


def judge_bare(url: str) -> float:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(RAW_TABLES)
        since = time.perf_counter()
        connection.execute(RAW_JUDGE)
        return time.perf_counter() - since


def judge(shop_ids: Sequence[int]) -> tuple[float, int]:
    """Seconds of the job, from being claimed to its end, and the run."""
    from products.assortment.plan import start_assortment

    at = datetime.now(UTC)
    run = start_assortment(shop_ids=shop_ids, at=at, by="bench")
    return work(), run.pk


def work() -> float:
    from omni.kernel.jobs import claim_job, run_job
    from omni.kernel.models import Job
    from omni.wiring import JOBS

    job = claim_job(at=datetime.now(UTC))
    assert job is not None
    since = time.perf_counter()
    done = run_job(job=job, works=JOBS)
    if done.state != Job.State.DONE:
        raise RuntimeError(done.message)
    return time.perf_counter() - since


def compare(url: str, run_id: int) -> int:
    """How many lines there are; raises if the two answers differ."""
    ours_only = "(SELECT outcome, sku_id AS sku, listing_id AS listing FROM products_assortmentrow WHERE run_id = {}) r"
    with psycopg.connect(url, autocommit=True) as connection:
        bare = connection.execute(COUNTED.format("raw.row")).fetchall()
        ours = connection.execute(COUNTED.format(ours_only.format(run_id))).fetchall()
    if bare != ours:
        raise RuntimeError(f"the answers differ: {bare} and {ours}")
    return sum(row[1] for row in ours)


def apply_some(shop_id: int) -> float:
    """Lines per second of one shop's run, of which one in APPLIED_SHARE lines is left."""
    from omni.kernel.sql import execute
    from products.assortment.apply import confirm_withdrawals, start_apply
    from products.models import AssortmentRow, AssortmentShop, Shop

    judge([shop_id])
    row = AssortmentShop.objects.filter(shop=shop_id).latest("pk")
    lines = AssortmentRow.objects.filter(run=row.run_id, state="planned")
    execute(
        "DELETE FROM products_assortmentrow WHERE run_id = %s AND id %% %s <> 0", [row.run_id, APPLIED_SHARE]
    )
    count = lines.count()
    at = datetime.now(UTC)
    if row.is_too_much:
        name = Shop.objects.get(pk=shop_id).name
        confirm_withdrawals(
            run_id=row.run_id, shop_id=shop_id, typed_name=name, reason="bench", at=at, by="bench"
        )
    start_apply(run_id=row.run_id, at=at, by="bench")
    return count / work()


def visitor() -> Client:
    from django.contrib.auth import get_user_model

    person, _made = get_user_model().objects.get_or_create(
        username="bench", defaults={"is_staff": True, "is_superuser": True}
    )
    client = Client()
    client.force_login(person)
    return client


def look_at_lines(run_id: int, shop_id: int, repeats: int) -> dict[str, list[float]]:
    """Milliseconds of the pages of a run, beside the lines of all runs before it."""
    from products.models import AssortmentRow

    lines = AssortmentRow.objects.filter(run=run_id, shop=shop_id)
    total, middle = AssortmentRow.objects.count(), lines.order_by("id")[lines.count() // 2].pk
    page = reverse("admin:products_assortmentrow_changelist") + f"?run={run_id}&shop={shop_id}"
    addresses = {
        f"lines of a shop, first page, of {total:,}": page,
        "lines of a shop, a page in the middle": f"{page}&after={middle}",
        "lines of a shop with one outcome": f"{page}&outcome=publish",
        "page of a run": reverse("admin:products_assortmentrun_change", args=[run_id]),
    }
    client = visitor()
    return {name: times_of(client, address, repeats=repeats) for name, address in addresses.items()}


def look_at_catalogue(shop_ids: Sequence[int], repeats: int) -> dict[str, list[float]]:
    """Milliseconds of the list of what a catalogue holds, of what is on sale outside it, and of why."""
    from products.assortment.notice import check_changed_catalogues
    from products.models import Catalogue, OutsideListing, Sku

    check_changed_catalogues(at=datetime.now(UTC))
    catalogue, sku = Catalogue.objects.get(), Sku.objects.order_by("pk").first()
    assert sku is not None
    outside = OutsideListing.objects.count()
    why = reverse("admin:products_assortment_why") + f"?shop={shop_ids[0]}&sku={sku.code}"
    addresses = {
        "SKUs that a catalogue holds": reverse("admin:products_sku_changelist")
        + f"?catalogue={catalogue.pk}",
        f"on sale outside the catalogue, {outside:,} listings": reverse(
            "admin:products_listing_queue", args=["outside"]
        ),
        f"why it is sold there or not, {RULES} rules": why,
    }
    client = visitor()
    return {name: times_of(client, address, repeats=repeats) for name, address in addresses.items()}


def ask_gate(shop_ids: Sequence[int]) -> float:
    """Seconds to learn which of so many pairs the catalogues of their shops do not hold."""
    from products.assortment.conditions import Wish
    from products.assortment.holding import outside_pairs
    from products.assortment.select import CatalogueDraft, define_catalogue
    from products.models import Catalogue, Sku

    if not Catalogue.objects.exists():
        draft = CatalogueDraft(code="bench", name="Bench", wish=Wish(tags=["t1", "t2"]), shop_ids=shop_ids)
        define_catalogue(draft=draft, at=datetime.now(UTC), by="bench")
    skus = list(Sku.objects.order_by("pk").values_list("pk", flat=True)[:GATE_SKUS])
    since = time.perf_counter()
    outside_pairs([(shop, sku) for shop in shop_ids[:GATE_SHOPS] for sku in skus])
    return time.perf_counter() - since

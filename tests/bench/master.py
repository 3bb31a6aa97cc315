"""How long the pages of the master take at 100,000 SKUs in 20 shops: lists, look-ups, searches, pages of one row."""

from __future__ import annotations

from django.db import connection
from django.test import Client
from django.urls import reverse

from omni.kernel.sql import fetch_all
from tests.bench.measure import Result, median, percentile, spread
from tests.bench.queues import LIMIT_MS, times_of
from tests.bench.size import Size

SHOPS = 20
PER_PRODUCT = 10
# Names as they are: a brand's few words in ever new combinations, so that every word is in many names.
SPUS = """
    INSERT INTO products_spu (code, name, brand_id, category_id, season, tags)
    SELECT 'BP-' || lpad(n::text, 6, '0'),
           (ARRAY['玻尿酸','烟酰胺','积雪草','氨基酸','山茶花','维他命'])[1 + n %% 6]
           || (ARRAY['保湿','舒缓','亮肤','修护','控油'])[1 + n / 6 %% 5]
           || (ARRAY['精华','面霜','洁面乳','面膜','喷雾','眼霜','乳液'])[1 + n / 30 %% 7] || ' 第' || n || '代 Serum',
           %(brand)s, %(category)s, CASE WHEN n %% 2 = 0 THEN '2026AW' ELSE '2026SS' END,
           CASE WHEN n %% 50 = 0 THEN ARRAY['gift'] ELSE ARRAY[]::varchar[] END
    FROM generate_series(1, %(products)s) n RETURNING id
"""
SKUS = """
    INSERT INTO products_sku (code, spu_id, name, attributes, list_price, currency)
    SELECT p.code || '-' || lpad(i::text, 2, '0'), p.id, p.name || ' ' || i * 10 || 'ml',
           jsonb_build_object('size', 'S' || i), 59 + i, 'CNY'
    FROM products_spu p, generate_series(1, %(each)s) i WHERE p.brand_id = %(brand)s
"""
BARCODES = """
    INSERT INTO products_barcode (code, sku_id) SELECT '2' || lpad(id::text, 11, '0'), id FROM products_sku
"""
LISTINGS = """
    INSERT INTO products_listing (shop_id, sku_id, outer_item_id, outer_sku_id)
    SELECT s.id, k.id, 600000000000 + k.spu_id, s.id * 1000000000 + k.id
    FROM products_shop s, products_sku k WHERE s.brand_id = %(brand)s
"""
ONE_IN_THE_MIDDLE = """
    SELECT s.id, s.spu_id, s.code, b.code, min(l.id) FROM products_sku s
    JOIN products_barcode b ON b.sku_id = s.id JOIN products_listing l ON l.sku_id = s.id
    GROUP BY s.id, b.code ORDER BY s.id OFFSET %s LIMIT 1
"""


def run(size: Size) -> list[Result]:
    """Times inside the product: request in, page out, as a person who may see everything."""
    from django.contrib.auth import get_user_model

    products = size.imported // PER_PRODUCT
    _fill(products)
    client = Client()
    client.force_login(
        get_user_model().objects.create_superuser("bench", "bench@example.com", "bench-only-here")
    )
    times = {
        name: times_of(client, address, repeats=size.repeats)
        for name, address in _addresses(products).items()
    }
    everything = [ms for one in times.values() for ms in one]
    return [
        Result(
            f"{len(times)} pages of the master at {products * PER_PRODUCT:,} SKUs in {SHOPS} shops, p95",
            percentile(everything, 0.95),
            "ms",
            spread(everything),
            target=f"≤ {LIMIT_MS} ms",
            ok=percentile(everything, 0.95) <= LIMIT_MS,
        ),
        *(
            Result(
                name,
                median(one),
                "ms",
                spread(one),
                target=f"≤ {LIMIT_MS} ms",
                ok=median(one) <= LIMIT_MS,
            )
            for name, one in times.items()
        ),
    ]


def _fill(products: int) -> None:
    # Not above: processes of the other benches load this module before Django is set up.
    from products.models import Brand, Category, CategoryAttribute, Shop

    brand = Brand.objects.create(code="bench", name="Bench")
    category = Category.objects.create(code="bench", name="Bench", path="bench/")
    options = [{"code": f"S{i}", "name": f"{i * 10}ml"} for i in range(1, PER_PRODUCT + 3)]
    CategoryAttribute.objects.create(
        category=category, code="size", name="Size", kind="choice", is_variant=True, options=options
    )
    for number in range(SHOPS):
        Shop.objects.create(code=f"bench-{number}", name=f"Bench {number}", channel="top", brand=brand)
    about = {"brand": brand.pk, "category": category.pk, "products": products, "each": PER_PRODUCT}
    with connection.cursor() as cursor:
        for statement in (SPUS, SKUS, BARCODES, LISTINGS):
            cursor.execute(statement, about)
        cursor.execute("VACUUM ANALYZE products_spu, products_sku, products_barcode, products_listing")


def _addresses(products: int) -> dict[str, str]:
    [(sku, spu, code, barcode, listing)] = fetch_all(ONE_IN_THE_MIDDLE, [products * PER_PRODUCT // 2])
    skus, spus = reverse("admin:products_sku_changelist"), reverse("admin:products_spu_changelist")
    return {
        "SKU list": skus,
        "SKU list, far page": f"{skus}?after={code}",
        "SKU list of a brand": f"{skus}?brand=1",
        "product list": spus,
        "listing list": reverse("admin:products_listing_changelist"),
        "search: a word of 3 letters, in a sixth of all names": f"{skus}?q=玻尿酸",
        "search: a word of 2 letters, in a fifth of all names": f"{skus}?q=修护",
        "search: two words, in few names": f"{skus}?q=控油喷雾+第777代",
        "search: a word in no name": f"{skus}?q=羊绒大衣",
        "search: the beginning of a code": f"{skus}?q={code[:7]}",
        "search: a whole barcode": f"{skus}?q={barcode}",
        "search: a tag": f"{spus}?q=gift",
        "search: the look-up of a form": f"{reverse('admin:autocomplete')}?app_label=products&model_name=listing"
        "&field_name=sku&term=烟酰胺保湿",
        "page of a product": reverse("admin:products_spu_change", args=[spu]),
        "page of a SKU in 20 shops": reverse("admin:products_sku_change", args=[sku]),
        "page of a listing": reverse("admin:products_listing_change", args=[listing]),
        "SKU grid": reverse("admin:products_spu_grid", args=[spu]),
        "API: search": "/api/v1/skus?search=积雪草舒缓",
        "API: by barcode": f"/api/v1/skus?barcode={barcode}",
        "API: products, far page size 200": "/api/v1/spus?page_size=200",
    }

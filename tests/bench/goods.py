"""Goods to sell: SKUs with stock, shops that draw on it, listings; written set-based, in seconds."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import connection

from inventory.models import Location, LocationGroup, ShopPool
from inventory.receive import StockReceipt, receive_stock
from omni.kernel.sql import execute, fetch_all
from products.models import Brand, Shop, Spu

INSERT_SKUS = """
    INSERT INTO products_sku (code, spu_id, name, attributes, currency)
    SELECT 'BENCH-' || n, %s, 'Bench product ' || n || ' 红 M', '{}', 'CNY' FROM generate_series(1, %s) n
    RETURNING id
"""
INSERT_LISTINGS = """
    INSERT INTO products_listing (shop_id, sku_id, outer_item_id, outer_sku_id)
    SELECT s.shop_id, k.id, 600000000000 + k.id / %s, s.shop_id * 1000000000 + k.id
    FROM unnest(%s::bigint[]) AS s(shop_id), unnest(%s::bigint[]) AS k(id)
"""
RECEIPT_LINES = 5000


@dataclass(frozen=True, slots=True)
class Goods:
    """What `lay_out` made."""

    brand_id: int
    location_id: int
    group_id: int
    shop_ids: list[int]
    sku_ids: list[int]


def lay_out(
    *,
    skus: int,
    shops: int = 1,
    units: int = 1_000_000,
    order_policy: str = "fact",
    skus_per_item: int = 1,
) -> Goods:
    """`skus` SKUs with `units` units each at one location, listed in every shop; stock enters by receipts."""
    brand, _made = Brand.objects.get_or_create(code="bench", defaults={"name": "Bench"})
    spu = Spu.objects.create(code=f"bench-{uuid.uuid4()}", name="Bench", brand=brand)
    group = LocationGroup.objects.create(code=f"bench-{uuid.uuid4().hex[:8]}", name="Bench")
    location = Location.objects.create(
        code=group.code, name="Bench", group=group, province="广东省", city="广州市"
    )
    made = [
        Shop.objects.create(
            code=f"{group.code}-{number}",
            name=f"Bench {number}",
            channel="top",
            brand=brand,
            order_policy=order_policy,
        )
        for number in range(shops)
    ]
    for shop in made:
        ShopPool.objects.create(shop=shop, group=group)
    sku_ids = [row[0] for row in fetch_all(INSERT_SKUS, [spu.pk, skus])]
    shop_ids = [shop.pk for shop in made]
    execute(INSERT_LISTINGS, [skus_per_item, shop_ids, sku_ids])
    for start in range(0, skus, RECEIPT_LINES):
        receive_stock(
            key=f"bench-{group.pk}-{start}",
            receipts=[
                StockReceipt(location.pk, sku, units) for sku in sku_ids[start : start + RECEIPT_LINES]
            ],
            reason="bench",
            at=datetime.now(UTC),
            by="bench",
        )
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM inventory_stockchange")
        cursor.execute("ANALYZE")
    return Goods(brand.pk, location.pk, group.pk, shop_ids, sku_ids)

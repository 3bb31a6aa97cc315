"""Write down what a channel shows: its items as they are there, whether or not we know what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from django.db import transaction

from omni.kernel.sql import execute

ID_LENGTH = 64

# Sorted by key: two who observe the same items wait for one another in the same order. What an order tells is less
# than what the channel tells: it fills gaps and overwrites nothing.
OBSERVE = """
    INSERT INTO products_outeritem AS t (shop_id, outer_item_id, outer_sku_id, title, outer_code, barcode, price,
        currency, quantity, is_listed, state, source, first_seen_at, asked_at, seen_at)
    SELECT %(shop)s, s.item, s.sku, s.title, s.code, s.barcode, s.price, s.currency, s.quantity, s.is_listed,
           CASE WHEN l.id IS NULL THEN 'unmapped' ELSE 'mapped' END, %(source)s, %(at)s, %(asked_at)s, %(at)s
    FROM unnest(%(items)s::text[], %(skus)s::text[], %(titles)s::text[], %(codes)s::text[], %(barcodes)s::text[],
                %(prices)s::numeric[], %(currencies)s::text[], %(quantities)s::int[], %(listed)s::bool[])
        AS s(item, sku, title, code, barcode, price, currency, quantity, is_listed)
    LEFT JOIN products_listing l
        ON l.shop_id = %(shop)s AND l.outer_item_id = s.item AND l.outer_sku_id = s.sku
    ORDER BY s.item, s.sku
    ON CONFLICT (shop_id, outer_item_id, outer_sku_id) DO UPDATE SET
        title = CASE WHEN %(is_channel)s OR t.title = '' THEN EXCLUDED.title ELSE t.title END,
        outer_code = CASE WHEN %(is_channel)s OR t.outer_code = '' THEN EXCLUDED.outer_code ELSE t.outer_code END,
        barcode = CASE WHEN %(is_channel)s THEN EXCLUDED.barcode ELSE t.barcode END,
        price = CASE WHEN %(is_channel)s THEN EXCLUDED.price ELSE t.price END,
        currency = CASE WHEN %(is_channel)s THEN EXCLUDED.currency ELSE t.currency END,
        quantity = CASE WHEN %(is_channel)s THEN EXCLUDED.quantity ELSE t.quantity END,
        is_listed = CASE WHEN %(is_channel)s THEN EXCLUDED.is_listed ELSE t.is_listed END,
        source = CASE WHEN %(is_channel)s THEN EXCLUDED.source ELSE t.source END,
        state = CASE WHEN EXCLUDED.state = 'unmapped' AND (t.state = 'ignored' OR NOT %(is_channel)s)
                THEN t.state ELSE EXCLUDED.state END,
        asked_at = CASE WHEN %(is_channel)s THEN EXCLUDED.asked_at ELSE t.asked_at END,
        seen_at = greatest(t.seen_at, EXCLUDED.seen_at)
"""

# Not by `seen_at`: an order that sells it does not bring it back onto the shelf.
GONE = """
    UPDATE products_outeritem SET is_listed = false
    WHERE shop_id = %s AND source = 'channel' AND is_listed AND coalesce(asked_at, seen_at) < %s
"""


@dataclass(frozen=True, slots=True)
class SeenItem:
    """One outer SKU as it was seen; an item that is sold without SKUs leaves `outer_sku_id` empty. None: not told.

    `currency` of the price; empty: that of the shop.
    """

    outer_item_id: str
    outer_sku_id: str
    title: str = ""
    outer_code: str = ""
    barcode: str = ""
    price: Decimal | None = None
    quantity: int | None = None
    is_listed: bool | None = None
    currency: str = ""


@transaction.atomic
def observe_items(
    *,
    shop_id: int,
    items: Sequence[SeenItem],
    source: Literal["channel", "order"],
    asked_at: datetime | None = None,
    at: datetime,
) -> int:
    """Note items of a shop's channel; the same item seen again is the same row. Returns how many were noted.

    They are as they were at some moment from `asked_at` (without one: just now) on.
    One whose ids are longer than a listing could hold is left out: it could never be mapped.
    """
    latest = {
        (item.outer_item_id, item.outer_sku_id): item
        for item in items
        if 0 < len(item.outer_item_id) <= ID_LENGTH and len(item.outer_sku_id) <= ID_LENGTH
    }
    rows = [latest[key] for key in sorted(latest)]
    if not rows:
        return 0
    return execute(
        OBSERVE,
        {
            "shop": shop_id,
            "source": source,
            "is_channel": source == "channel",
            "asked_at": asked_at or at,
            "at": at,
            "items": [row.outer_item_id for row in rows],
            "skus": [row.outer_sku_id for row in rows],
            "titles": [row.title[:240] for row in rows],
            "codes": [row.outer_code[:64] for row in rows],
            "barcodes": [row.barcode[:64] for row in rows],
            "prices": [row.price for row in rows],
            "currencies": [row.currency[:3] for row in rows],
            "quantities": [row.quantity for row in rows],
            "listed": [row.is_listed for row in rows],
        },
    )


@transaction.atomic
def note_gone(*, shop_id: int, before: datetime) -> int:
    """What the channel showed once and has not shown since that moment is off sale there. Returns how many.

    Call it after the whole shelf was read.
    """
    return execute(GONE, [shop_id, before])

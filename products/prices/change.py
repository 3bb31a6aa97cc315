"""Note that the price of a SKU may be another one from a moment on: the planner looks when it has come."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from omni.kernel import doorbell
from omni.kernel.sql import execute

PLAN_PRICES = "products.tasks.plan_due_prices"

INSERT = """
    INSERT INTO products_pricechange (sku_id, due_at, shop_id)
    SELECT DISTINCT v.sku_id, v.due_at, %s::bigint FROM unnest(%s::bigint[], %s::timestamptz[]) AS v(sku_id, due_at)
    ORDER BY v.due_at, v.sku_id
"""


def mark_price_changes(
    *, moments: Iterable[tuple[int, datetime]], at: datetime, shop_id: int | None = None
) -> None:
    """Note (SKU, moment) pairs in the caller's transaction; those whose moment has come wake the planner.

    `shop_id`: that shop lists the SKUs anew. Its channel is told their prices even if we think that it knows.
    """
    pairs = list(moments)
    if not pairs:
        return
    execute(INSERT, [shop_id, [sku_id for sku_id, _at in pairs], [moment for _sku, moment in pairs]])
    if any(moment <= at for _sku, moment in pairs):
        doorbell.ring_after_commit(PLAN_PRICES)

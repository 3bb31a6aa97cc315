"""Hold Omni's books against what the sandboxes themselves know.

Every sentence here is one way to be wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from integrations.drift import CHECKS as INTEGRATIONS
from integrations.models import Connection
from inventory.drift import CHECKS as INVENTORY
from inventory.models import PublishedStock, StockLevel
from omni.kernel.sql import fetch_all
from orders.drift import CHECKS as ORDERS
from orders.models import ChannelOrder, ParkedOrder, SalesOrder
from orders.states import Stage

# What TOP calls an order that may ship now, and one that has shipped.
TO_SHIP = "WAIT_SELLER_SEND_GOODS"
EXAMPLES = 5


def find_differences(*, top: dict[str, Any], qimen: dict[str, Any], shop_id: int) -> list[dict[str, Any]]:
    """Each finding: what should be true, how many break it, and some that do. None: both sides agree."""
    findings = [
        *_orders(top, shop_id),
        *_parcels(top, qimen),
        *_stock(top, qimen, shop_id),
        *_doctor(),
    ]
    return [finding for finding in findings if finding]


def _finding(sentence: str, rows: Iterable[Any]) -> dict[str, Any]:
    found = list(rows)
    return {"sentence": sentence, "count": len(found), "examples": found[:EXAMPLES]} if found else {}


def _orders(top: dict[str, Any], shop_id: int) -> list[dict[str, Any]]:
    theirs = {order["tid"]: order for order in top["orders"]}
    ours = Counter(ChannelOrder.objects.filter(shop_id=shop_id).values_list("outer_id", flat=True))
    parked = ParkedOrder.objects.filter(shop_id=shop_id, state=ParkedOrder.State.OPEN).values_list(
        "outer_id", flat=True
    )
    shipped = set(
        SalesOrder.objects.filter(shop_id=shop_id, stage__in=[Stage.SHIPPED, Stage.COMPLETED]).values_list(
            "outer_id", flat=True
        )
    )
    return [
        _finding("Every order of TOP is in Omni.", (tid for tid in theirs if tid not in ours)),
        _finding("Every order is in Omni exactly once.", (tid for tid, count in ours.items() if count > 1)),
        _finding("Omni knows no order that TOP does not.", (tid for tid in ours if tid not in theirs)),
        _finding("No order is parked.", parked),
        _finding(
            "What Omni has shipped, TOP knows as sent.",
            (tid for tid in shipped if tid in theirs and theirs[tid]["status"] == TO_SHIP),
        ),
    ]


def _parcels(top: dict[str, Any], qimen: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        _finding(
            "TOP accepts no line as sent twice.",
            (line["oid"] for order in top["orders"] for line in order["lines"] if line["times_sent"] > 1),
        ),
        _finding(
            "The warehouse ships no delivery order twice.",
            (row["deliveryOrderCode"] for row in qimen["deliveries"] if row["times_shipped"] > 1),
        ),
        _finding(
            "No line is in two delivery orders that both left.",
            _twice_shipped_lines(),
        ),
        _finding(
            "Nobody accepted a forged call-back.",
            (row for row in qimen["callbacks"] if row["kind"] == "forged" and row["accepted"]),
        ),
        _finding("Nothing that the warehouse wanted to say is unsaid.", range(qimen["callbacks_pending"])),
    ]


def _twice_shipped_lines() -> list[Any]:
    return fetch_all(
        "SELECT id, quantity, shipped_quantity FROM orders_salesorderline WHERE shipped_quantity > quantity"
    )


def _stock(top: dict[str, Any], qimen: dict[str, Any], shop_id: int) -> list[dict[str, Any]]:
    shown = {row["sku_id"]: row["quantity"] for row in top["skus"]}
    published = PublishedStock.objects.filter(shop_id=shop_id).select_related("listing")
    warehouses = {
        str(connection.settings.get("warehouse_code", connection.location.code)): connection.location_id
        for connection in Connection.objects.filter(adapter="qimen").select_related("location")
        if connection.location is not None and connection.location_id is not None
    }
    levels = {
        (level.location_id, level.sku.code): level.on_hand
        for level in StockLevel.objects.filter(grade="good").select_related("sku")
    }
    return [
        _finding(
            "TOP shows the number that Omni wants it to show.",
            (
                (row.listing.outer_sku_id, row.desired_quantity, shown.get(row.listing.outer_sku_id))
                for row in published
                if shown.get(row.listing.outer_sku_id) != row.desired_quantity
            ),
        ),
        _finding(
            "No SKU is promised beyond its stock.",
            fetch_all(
                "SELECT id, granted, reserved FROM inventory_stockpool"
                " WHERE reserved > granted OR reserved < 0"
            ),
        ),
        _finding(
            "What the warehouse counts is what Omni has on hand.", _miscounted(qimen, warehouses, levels)
        ),
    ]


def _miscounted(
    qimen: dict[str, Any], warehouses: dict[str, int], levels: dict[tuple[int, str], int]
) -> list[tuple[Any, ...]]:
    """(warehouse, item, what it counts, what Omni has on hand)"""
    rows = []
    for row in qimen["stock"]:
        location_id = warehouses.get(row["warehouse"])
        if location_id is not None:
            ours = levels.get((location_id, row["item"]), 0)
            if row["quantity"] != ours:
                rows.append((row["warehouse"], row["item"], row["quantity"], ours))
    return rows


def _doctor() -> list[dict[str, Any]]:
    checks: list[tuple[str, Callable[[int], list[dict[str, Any]]]]] = [
        (check.sentence, check.find) for check in (*INVENTORY, *ORDERS, *INTEGRATIONS)
    ]
    return [_finding(sentence, find(EXAMPLES)) for sentence, find in checks]

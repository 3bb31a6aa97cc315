"""What is on its way between locations."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from omni.kernel.sql import fetch_all

# Plan: the lines by their SKU, of transfers that are few.
IN_TRANSIT = """
    SELECT l.sku_id, t.id, t.number, s.name, d.name, l.grade, l.owner, l.shipped - l.received - l.lost,
           t.shipped_at, t.expected_at, s.code, d.code
    FROM inventory_transferline l
    JOIN inventory_transfer t ON t.id = l.transfer_id AND t.state = 'shipped'
    JOIN inventory_location s ON s.id = t.source_id
    JOIN inventory_location d ON d.id = t.destination_id
    WHERE l.sku_id = ANY(%s) AND l.shipped > l.received + l.lost
    ORDER BY l.sku_id, t.id, l.id
"""


@dataclass(frozen=True, slots=True)
class InTransit:
    """Units of a SKU that have left one location and not arrived at the other. Nobody's to sell."""

    sku_id: int
    transfer_id: int
    number: str
    source: str
    destination: str
    grade: str
    owner: str
    units: int
    shipped_at: datetime
    expected_at: datetime | None
    source_code: str
    destination_code: str


def in_transit(sku_ids: Collection[int]) -> dict[int, list[InTransit]]:
    """What is on its way of each SKU, oldest transfer first. A SKU of which nothing is, is not in it."""
    found: dict[int, list[InTransit]] = {}
    for row in fetch_all(IN_TRANSIT, [sorted(set(sku_ids))]):
        found.setdefault(row[0], []).append(InTransit(*row))
    return found

"""What the shop of the sandbox offers: one listing per SKU with the platform's own number of sellable
units.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .wire import read_cents

_GOODS = ("纯棉T恤", "牛仔裤", "羊毛开衫", "帆布鞋", "双肩包", "保温杯", "真丝围巾", "运动短裤")
_COLOURS = ("黑色", "白色", "藏青", "燕麦色")
_SIZES = ("S", "M", "L", "XL")


class BadCatalogue(Exception):
    """The catalogue file cannot be used; the text says which entry and why."""


@dataclass
class Listing:
    num_iid: int
    sku_id: int
    outer_iid: str
    outer_sku_id: str
    title: str
    price: int  # cents
    quantity: int  # what the platform shows and sells; never below zero
    properties: str
    sku_name: str = ""
    is_on_sale: bool = True  # of the item: all of its SKUs say the same
    barcode: str = ""
    sold: int = 0
    updates: int = 0
    modified: int = 0


def load_catalogue(path: Path) -> list[Listing]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return [_read_entry(entry) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as wrong:
        raise BadCatalogue(f"{path}: {wrong!r}") from wrong


def _read_entry(entry: Mapping[str, Any]) -> Listing:
    sku_id = int(entry["sku_id"])
    return Listing(
        num_iid=int(entry["num_iid"]),
        sku_id=sku_id,
        outer_iid=str(entry.get("outer_iid", "")),
        outer_sku_id=str(entry["outer_sku_id"]),
        title=str(entry["title"]),
        price=read_cents(str(entry["price"])),
        quantity=max(0, int(entry["quantity"])),
        properties=str(entry.get("properties") or properties_of(sku_id)),
        sku_name=str(entry.get("sku_properties_name", "")),
        barcode=str(entry.get("barcode", "")),
        is_on_sale=bool(entry.get("is_on_sale", True)),
    )


def properties_of(sku_id: int) -> str:
    """The `pid:vid;pid:vid` of a SKU whose catalogue entry does not name it; 1627207 is TOP's property "colour"."""
    return f"1627207:{sku_id % 1_000_000_007}"


def built_in_catalogue(seed: int) -> list[Listing]:
    """Eight items with four SKUs each, the same for the same seed."""
    rng = random.Random(f"{seed}:catalogue")
    return [_built_in(rng, item, sku) for item in range(len(_GOODS)) for sku in range(4)]


def _built_in(rng: random.Random, item: int, sku: int) -> Listing:
    sku_id = 5_100_000_000_000 + item * 100 + sku
    return Listing(
        num_iid=720_000_000_000 + item,
        sku_id=sku_id,
        outer_iid=f"TB-{item + 1:03d}",
        outer_sku_id=f"TB-{item + 1:03d}-{sku + 1}",
        title=_GOODS[item],
        price=rng.randrange(1_900, 69_900, 100),
        quantity=rng.randrange(200, 800),
        properties=properties_of(sku_id),
        sku_name=f"颜色:{_COLOURS[sku]};尺码:{_SIZES[sku]}",
    )

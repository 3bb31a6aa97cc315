"""A warehouse's notice as JSON and back, so that it can be stored before anyone works on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from integrations.contract import (
    DeliveryNotice,
    ParcelNotice,
    ProgressNotice,
    StockChangeNotice,
    WarehouseNotice,
)

# A delivery's last word has a kind of its own: it must not be worked on before the others.
KINDS: Mapping[str, type[WarehouseNotice]] = {
    "delivery": DeliveryNotice,
    "delivery_part": DeliveryNotice,
    "progress": ProgressNotice,
    "stock_change": StockChangeNotice,
}


def kind_of(notice: WarehouseNotice) -> str:
    """The word under which a notice is stored."""
    if isinstance(notice, DeliveryNotice):
        return "delivery" if notice.is_final else "delivery_part"
    return next(kind for kind, cls in KINDS.items() if isinstance(notice, cls))


def subject_of(notice: WarehouseNotice) -> str:
    """What the notice is about: a fulfilment order's number or a SKU's code."""
    return notice.sku_code if isinstance(notice, StockChangeNotice) else notice.number


def notice_to_json(notice: WarehouseNotice) -> dict[str, Any]:
    """Plain values only; moments in ISO 8601."""
    value = asdict(notice)
    if notice.happened_at is not None:
        value["happened_at"] = notice.happened_at.isoformat()
    return value


def notice_from_json(kind: str, value: Mapping[str, Any]) -> WarehouseNotice:
    """The reverse of `notice_to_json`; fields that this version does not know are ignored."""
    cls = KINDS[kind]
    known = {name: each for name, each in value.items() if name in cls.__dataclass_fields__}
    if known.get("happened_at"):
        known["happened_at"] = datetime.fromisoformat(known["happened_at"])
    if "parcels" in known:
        known["parcels"] = [
            ParcelNotice(**{**parcel, "items": [(code, units) for code, units in parcel["items"]]})
            for parcel in known["parcels"]
        ]
    if "lines" in known:
        known["lines"] = [tuple(line) for line in known["lines"]]
    return cls(**known)

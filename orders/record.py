"""Write the timeline: one row per thing that happened to an order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from omni.kernel.canonical import dump_json
from omni.kernel.sql import Load, load_rows
from orders.models import OrderEvent

Side = OrderEvent.Side

EVENT_COLUMNS = {
    "order_id": "int8",
    "at": "timestamptz",
    "side": "text",
    "kind": "text",
    "by": "text",
    "detail": "jsonb",
}


@dataclass(frozen=True, slots=True)
class Happening:
    """`kind` is a stable word; `detail` the facts that the sentence on the page needs, never personal data."""

    order_id: int
    kind: str
    detail: dict[str, Any] = field(default_factory=dict)
    side: str = Side.OMNI


def record_happenings(*, happenings: Iterable[Happening], at: datetime, by: str) -> None:
    """Append to the timelines, in the caller's transaction."""
    load_rows(happenings_load(happenings=happenings, at=at, by=by))


def happenings_load(*, happenings: Iterable[Happening], at: datetime, by: str) -> Load:
    """The rows of these happenings, for whoever writes them together with others."""
    rows = [
        (row.order_id, at, str(row.side), row.kind, by, Jsonb(row.detail, dumps=dump_json))
        for row in happenings
    ]
    return Load("orders_orderevent", EVENT_COLUMNS, rows)

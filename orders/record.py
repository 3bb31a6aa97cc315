"""Write the timeline: one row per thing that happened to an order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from omni.kernel.sql import copy_rows
from orders.models import OrderEvent

Side = OrderEvent.Side

COPY_EVENTS = "COPY orders_orderevent (order_id, at, side, kind, by, detail) FROM STDIN (FORMAT BINARY)"
EVENT_TYPES = ("int8", "timestamptz", "text", "text", "text", "jsonb")


@dataclass(frozen=True, slots=True)
class Happening:
    """`kind` is a stable word; `detail` the facts that the sentence on the page needs, never personal data."""

    order_id: int
    kind: str
    detail: dict[str, Any] = field(default_factory=dict)
    side: str = Side.OMNI


def record_happenings(*, happenings: Iterable[Happening], at: datetime, by: str) -> None:
    """Append to the timelines, in the caller's transaction."""
    rows = list(happenings)
    if not rows:
        return
    copy_rows(
        COPY_EVENTS,
        EVENT_TYPES,
        ((row.order_id, at, str(row.side), row.kind, by, Jsonb(row.detail)) for row in rows),
    )

"""Write the timeline: one row per thing that happened to an order."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from omni.kernel.sql import execute
from orders.models import OrderEvent

Side = OrderEvent.Side

INSERT_EVENTS = """
    INSERT INTO orders_orderevent (order_id, at, side, kind, by, detail)
    SELECT * FROM unnest(%s::bigint[], %s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::jsonb[])
"""


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
    execute(
        INSERT_EVENTS,
        [
            [row.order_id for row in rows],
            [at] * len(rows),
            [row.side for row in rows],
            [row.kind for row in rows],
            [by] * len(rows),
            [json.dumps(row.detail, ensure_ascii=False) if row.detail else "{}" for row in rows],
        ],
    )

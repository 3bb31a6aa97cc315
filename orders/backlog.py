"""What waits in which queue: read from the small indexes that hold only waiting rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from omni.kernel.sql import fetch_all
from orders.models import SalesOrder
from orders.states import Stage

# Each condition is that of a partial index; nothing else is ever counted.
QUEUES: Mapping[str, tuple[str, str]] = {
    "pending_payment": ("orders_salesorder", "stage = 'pending_payment'"),
    "captured": ("orders_salesorder", "stage = 'captured'"),
    "in_review": ("orders_salesorder", "stage = 'in_review'"),
    "held": ("orders_salesorder", "open_holds > 0"),
    "short": ("orders_salesorder", "short_lines > 0"),
    "approved": ("orders_salesorder", "stage = 'approved'"),
    "sourced": ("orders_salesorder", "stage = 'sourced'"),
    "to_ship": ("orders_salesorder", "stage = 'released'"),
    "refused": ("orders_fulfilmentorder", "state = 'refused'"),
    "unanswered": ("orders_fulfilmentorder", "state = 'requested'"),
    "cancelling": ("orders_fulfilmentorder", "state = 'cancel_requested'"),
    "parked": ("orders_parkedorder", "state = 'open'"),
    "dispatch_due": ("orders_dispatchnotice", "state = 'due'"),
    "dispatch_failed": ("orders_dispatchnotice", "state = 'failed'"),
}


@dataclass(frozen=True, slots=True)
class Queue:
    """`count` stops at the limit: more than that is "many". `oldest_id`: the row that waits longest."""

    name: str
    count: int
    oldest_id: int | None


def count_queues(*, limit: int = 1000) -> dict[str, Queue]:
    """Every queue with its length, counted up to `limit`, in one statement."""
    parts = [
        f"(SELECT '{name}', count(*), min(id) FROM (SELECT id FROM {table} WHERE {condition} ORDER BY id LIMIT %s) q)"  # noqa: S608
        for name, (table, condition) in QUEUES.items()
    ]
    rows = fetch_all(" UNION ALL ".join(parts), [limit] * len(parts))
    return {name: Queue(name, count, oldest) for name, count, oldest in rows}


def open_outer_ids(*, shop_id: int, since: datetime) -> list[str]:
    """Outer ids of a shop's orders that are not over: for channels whose change feed misses changes."""
    over = [Stage.COMPLETED, Stage.CANCELLED]
    rows = SalesOrder.objects.filter(shop_id=shop_id, placed_at__gte=since).exclude(stage__in=over)
    return list(rows.values_list("outer_id", flat=True))

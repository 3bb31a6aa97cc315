"""What waits in which queue: read from the small indexes that hold only waiting rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Model, Q

from omni.kernel.sql import fetch_all
from orders.models import DispatchNotice, FulfilmentOrder, ParkedOrder, SalesOrder
from orders.states import FulfilmentState, Stage

# Each condition is that of a partial index; nothing else is ever counted. The pages of the queues ask the same.
QUEUES: Mapping[str, tuple[type[Model], Q]] = {
    "pending_payment": (SalesOrder, Q(stage=Stage.PENDING_PAYMENT)),
    "captured": (SalesOrder, Q(stage=Stage.CAPTURED)),
    "in_review": (SalesOrder, Q(stage=Stage.IN_REVIEW)),
    "held": (SalesOrder, Q(open_holds__gt=0)),
    "short": (SalesOrder, Q(short_lines__gt=0)),
    "approved": (SalesOrder, Q(stage=Stage.APPROVED)),
    "sourced": (SalesOrder, Q(stage=Stage.SOURCED)),
    "to_ship": (SalesOrder, Q(stage=Stage.RELEASED)),
    "refused": (FulfilmentOrder, Q(state=FulfilmentState.REFUSED)),
    "unanswered": (FulfilmentOrder, Q(state=FulfilmentState.REQUESTED)),
    "cancelling": (FulfilmentOrder, Q(state=FulfilmentState.CANCEL_REQUESTED)),
    "parked": (ParkedOrder, Q(state=ParkedOrder.State.OPEN)),
    "dispatch_due": (DispatchNotice, Q(state=DispatchNotice.State.DUE)),
    "dispatch_failed": (DispatchNotice, Q(state=DispatchNotice.State.FAILED)),
}


def waits_in(queue: str) -> Q:
    """The condition of a queue."""
    return QUEUES[queue][1]


@dataclass(frozen=True, slots=True)
class Queue:
    """`count` stops at the limit: more than that is "many". `oldest_id`: the row that waits longest."""

    name: str
    count: int
    oldest_id: int | None


def count_queues(*, limit: int = 1000) -> dict[str, Queue]:
    """Every queue with its length, counted up to `limit`, in one statement."""
    parts, params = [], list[Any]()
    for name, (model, condition) in QUEUES.items():
        first = model._default_manager.filter(condition).order_by("id").values("id")[:limit]
        statement, values = first.query.sql_with_params()
        parts.append(f"(SELECT '{name}', count(*), min(id) FROM ({statement}) q)")  # noqa: S608
        params.extend(values)
    rows = fetch_all(" UNION ALL ".join(parts), params)
    return {name: Queue(name, count, oldest) for name, count, oldest in rows}

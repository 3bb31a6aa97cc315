"""How the house stands: what waits where, how far behind the machinery is, and what needs a person."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from integrations.backlog import open_drifts
from integrations.models import Connection
from omni.kernel.sql import fetch_all
from orders.backlog import count_queues

COUNT_UPTO = 10_000
OUTBOX_LAG_MAX = 300
PUBLISHED_LAG_MAX = 900

# Plan: outbox_ready, outbox_dead; counted up to a limit.
OUTBOX = """
    SELECT (SELECT count(*) FROM (SELECT FROM kernel_outboxevent WHERE state = 'ready' LIMIT %(limit)s) q),
           (SELECT count(*) FROM (SELECT FROM kernel_outboxevent WHERE state = 'dead' LIMIT %(limit)s) q),
           (SELECT extract(epoch FROM now() - min(not_before))::float8 FROM kernel_outboxevent WHERE state = 'ready')
"""
# Plan: published_due, which holds only what is due.
PUBLISHED = """
    SELECT count(*), extract(epoch FROM now() - min(desired_at))::float8 FROM (
        SELECT desired_at FROM inventory_publishedstock WHERE desired_version > acked_version LIMIT %(limit)s) q
"""
# Plan: published_price_due and price_change_due; a price that is scheduled for later waits for nobody.
PRICES_PUBLISHED = """
    SELECT count(*), extract(epoch FROM now() - min(desired_at))::float8 FROM (
        SELECT desired_at FROM products_publishedprice WHERE desired_version > acked_version LIMIT %(limit)s) q
"""
PRICES_UNPLANNED = """
    SELECT count(*), extract(epoch FROM now() - min(due_at))::float8 FROM (
        SELECT due_at FROM products_pricechange WHERE due_at <= now() ORDER BY due_at, id LIMIT %(limit)s) q
"""
UNPLANNED = """
    SELECT count(*), extract(epoch FROM now() - min(at))::float8
    FROM (SELECT at FROM inventory_stockchange ORDER BY id LIMIT %(limit)s) q
"""


@dataclass(frozen=True, slots=True)
class Lag:
    """So many rows wait, the oldest for so many seconds; counts stop at COUNT_UPTO."""

    waiting: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class ConnectionStanding:
    """`lag_seconds` by stream: how long ago the moment is up to which it has been read."""

    code: str
    kind: str
    adapter: str
    is_active: bool
    health: str
    paused_reason: str
    failures: int
    last_ok_seconds: float | None
    last_error: str
    lag_seconds: dict[str, float]


@dataclass(frozen=True, slots=True)
class Standing:
    """`problems`: what a person has to look at; empty: all is well. Orders that wait are work, not a problem.

    `drifts`: by shop, where its channel shows something else than we do.
    """

    at: datetime
    orders: dict[str, int]
    parked: int
    short: int
    outbox: Lag
    dead_letters: int
    published: Lag
    unplanned: Lag
    prices_published: Lag
    prices_unplanned: Lag
    drifts: dict[str, Lag]
    connections: list[ConnectionStanding]
    problems: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {"ok": not self.problems, **asdict(self), "at": self.at.isoformat()}


def read_standing(*, at: datetime) -> Standing:
    """Ask everything, from indexes that hold only what waits."""
    queues = {name: queue.count for name, queue in count_queues(limit=COUNT_UPTO).items()}
    ready, dead, outbox_seconds = fetch_all(OUTBOX, {"limit": COUNT_UPTO})[0]
    standing = Standing(
        at=at,
        orders=queues,
        parked=queues["parked"],
        short=queues["short"],
        outbox=_lag(ready, outbox_seconds),
        dead_letters=dead,
        published=_lag(*fetch_all(PUBLISHED, {"limit": COUNT_UPTO})[0]),
        unplanned=_lag(*fetch_all(UNPLANNED, {"limit": COUNT_UPTO})[0]),
        prices_published=_lag(*fetch_all(PRICES_PUBLISHED, {"limit": COUNT_UPTO})[0]),
        prices_unplanned=_lag(*fetch_all(PRICES_UNPLANNED, {"limit": COUNT_UPTO})[0]),
        drifts={code: _lag(*counted) for code, counted in open_drifts(limit=COUNT_UPTO).items()},
        connections=[
            _connection(row, at) for row in Connection.objects.order_by("code").prefetch_related("cursors")
        ],
    )
    standing.problems.extend(_problems(standing))
    return standing


def _lag(waiting: int, seconds: float | None) -> Lag:
    return Lag(waiting, round(max(0.0, seconds or 0.0), 1))


def _connection(row: Connection, at: datetime) -> ConnectionStanding:
    return ConnectionStanding(
        code=row.code,
        kind=row.kind,
        adapter=row.adapter,
        is_active=row.is_active,
        health=row.health,
        paused_reason=row.paused_reason,
        failures=row.failures,
        last_ok_seconds=round((at - row.last_ok_at).total_seconds(), 1) if row.last_ok_at else None,
        last_error=row.last_error if row.failures else "",
        lag_seconds={
            cursor.stream: round((at - cursor.upto).total_seconds(), 1)
            for cursor in row.cursors.all()
            if cursor.upto is not None
        },
    )


def _problems(standing: Standing) -> list[str]:
    found = []
    if standing.outbox.oldest_seconds > OUTBOX_LAG_MAX:
        found.append(f"outbox: the oldest event waits {standing.outbox.oldest_seconds:.0f} s")
    if standing.dead_letters:
        found.append(f"outbox: {standing.dead_letters} dead letters")
    if standing.published.oldest_seconds > PUBLISHED_LAG_MAX:
        found.append(f"published stock: the oldest number waits {standing.published.oldest_seconds:.0f} s")
    if standing.prices_published.oldest_seconds > PUBLISHED_LAG_MAX:
        found.append(
            f"prices: the oldest waits {standing.prices_published.oldest_seconds:.0f} s for its channel"
        )
    if standing.prices_unplanned.oldest_seconds > PUBLISHED_LAG_MAX:
        found.append(
            f"prices: the oldest change waits {standing.prices_unplanned.oldest_seconds:.0f} s to be planned"
        )
    if standing.orders["dispatch_failed"]:
        found.append(f"dispatch notices: {standing.orders['dispatch_failed']} failed")
    found += [
        f"shop {code}: {lag.waiting} differences to its channel, the oldest for {lag.oldest_seconds:.0f} s"
        for code, lag in standing.drifts.items()
    ]
    found += [
        f"connection {row.code}: {row.health}" + (f": {row.paused_reason}" if row.paused_reason else "")
        for row in standing.connections
        if row.is_active and row.health in (Connection.Health.PAUSED, Connection.Health.DEGRADED)
    ]
    return found

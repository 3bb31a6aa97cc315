"""Give every active connection the streams that its adapter can fill."""

from __future__ import annotations

from integrations.compare_stock import COMPARE_STOCK
from integrations.lease import open_streams
from integrations.models import Connection, Cursor
from integrations.pull import COMPARE, ORDERS, REFUNDS
from integrations.push import DISPATCH, LISTINGS, PRICES, STOCK
from integrations.registry import CHANNELS, capabilities
from integrations.release import CANCEL, RELEASE, SETTLE
from integrations.survey import ITEMS

WAREHOUSE_STREAMS = frozenset({RELEASE, CANCEL, SETTLE, COMPARE_STOCK})
CHANNEL_STREAMS = frozenset({ORDERS, COMPARE, STOCK, DISPATCH, LISTINGS})


def open_missing_streams() -> int:
    """Open what is missing. Returns how many were opened.

    A connection whose adapter this version does not have gets the streams of its kind: the first run of one pauses
    it, with the reason.
    """
    have: dict[int, set[str]] = {}
    for connection_id, stream in Cursor.objects.values_list("connection_id", "stream"):
        have.setdefault(connection_id, set()).add(stream)
    opened = 0
    for connection in Connection.objects.filter(is_active=True).order_by("pk"):
        missing = streams_of(connection) - have.get(connection.pk, set())
        if missing:
            open_streams(connection_id=connection.pk, streams=sorted(missing))
            opened += len(missing)
    return opened


def streams_of(connection: Connection) -> frozenset[str]:
    """Which streams a connection has."""
    if connection.kind == Connection.Kind.WAREHOUSE:
        return WAREHOUSE_STREAMS
    if connection.adapter not in CHANNELS:
        return CHANNEL_STREAMS
    can = capabilities(connection)
    able = ((REFUNDS, can.refunds), (PRICES, can.prices), (ITEMS, can.listings))
    return CHANNEL_STREAMS | {stream for stream, is_able in able if is_able}

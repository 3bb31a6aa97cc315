"""Which connections have something to send now; every question is answered from a small partial index."""

from __future__ import annotations

from omni.kernel.sql import fetch_all

STOCK_DUE = """
    SELECT n.id FROM integrations_connection n
    WHERE n.kind = 'channel' AND n.is_active AND EXISTS (
        SELECT 1 FROM inventory_publishedstock p
        WHERE p.shop_id = n.shop_id AND p.desired_version > p.acked_version AND p.not_before <= now())
    ORDER BY n.id
"""
PRICES_DUE = """
    SELECT n.id FROM integrations_connection n
    WHERE n.kind = 'channel' AND n.is_active AND EXISTS (
        SELECT 1 FROM products_publishedprice p
        WHERE p.shop_id = n.shop_id AND p.desired_version > p.acked_version AND p.not_before <= now())
    ORDER BY n.id
"""
NOTICES_DUE = """
    SELECT n.id FROM integrations_connection n
    WHERE n.kind = 'channel' AND n.is_active AND EXISTS (
        SELECT 1 FROM orders_dispatchnotice d
        WHERE d.shop_id = n.shop_id AND d.state = 'due' AND d.not_before <= now())
    ORDER BY n.id
"""
REQUESTS_DUE = """
    SELECT n.id FROM integrations_connection n
    WHERE n.kind = 'channel' AND n.is_active AND EXISTS (
        SELECT 1 FROM products_listingrequest r
        WHERE r.shop_id = n.shop_id AND r.state = 'due' AND r.not_before <= now())
    ORDER BY n.id
"""
# Plan: drift_asks, which holds only what asks for a person.
OPEN_DRIFTS = """
    SELECT s.code, count(*), extract(epoch FROM now() - min(d.since))::float8
    FROM (SELECT shop_id, since FROM integrations_listingdrift
          WHERE closed_at IS NULL AND confirmed_at IS NOT NULL AND pushed_at IS NULL ORDER BY id LIMIT %s) d
    JOIN products_shop s ON s.id = d.shop_id
    GROUP BY s.code ORDER BY s.code
"""
PLANNED = """
    SELECT n.id FROM integrations_connection n
    WHERE n.kind = 'warehouse' AND n.is_active AND EXISTS (
        SELECT 1 FROM orders_fulfilmentorder f
        WHERE f.location_id = n.location_id AND f.state = 'planned' AND f.not_before <= now())
    ORDER BY n.id
"""
CANCELLING = """
    SELECT n.id FROM integrations_connection n
    WHERE n.kind = 'warehouse' AND n.is_active AND EXISTS (
        SELECT 1 FROM orders_fulfilmentorder f
        WHERE f.location_id = n.location_id AND f.state = 'cancel_requested' AND f.not_before <= now())
    ORDER BY n.id
"""


def with_stock_due() -> list[int]:
    """Channels that must hear a number."""
    return _ids(STOCK_DUE)


def with_prices_due() -> list[int]:
    """Channels that must hear a price."""
    return _ids(PRICES_DUE)


def with_notices_due() -> list[int]:
    """Channels that must hear of a parcel."""
    return _ids(NOTICES_DUE)


def with_requests_due() -> list[int]:
    """Channels that must be asked to list, delist or call something otherwise."""
    return _ids(REQUESTS_DUE)


def open_drifts(*, limit: int) -> dict[str, tuple[int, float]]:
    """By shop code: how many differences to its channel ask for a person, the oldest since how many seconds.

    Counted up to `limit` in all.
    """
    return {code: (count, seconds) for code, count, seconds in fetch_all(OPEN_DRIFTS, [limit])}


def with_planned_fulfilments() -> list[int]:
    """Warehouses that must be asked to send."""
    return _ids(PLANNED)


def with_cancel_questions() -> list[int]:
    """Warehouses that must be asked to stop."""
    return _ids(CANCELLING)


def _ids(statement: str) -> list[int]:
    return [row[0] for row in fetch_all(statement)]

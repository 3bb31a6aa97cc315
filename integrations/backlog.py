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
    """Channels that must be asked to list or delist something."""
    return _ids(REQUESTS_DUE)


def with_planned_fulfilments() -> list[int]:
    """Warehouses that must be asked to send."""
    return _ids(PLANNED)


def with_cancel_questions() -> list[int]:
    """Warehouses that must be asked to stop."""
    return _ids(CANCELLING)


def _ids(statement: str) -> list[int]:
    return [row[0] for row in fetch_all(statement)]

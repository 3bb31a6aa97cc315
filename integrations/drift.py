"""What must be true of what we hear and say: read from the tables that each side of a promise writes by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings

from integrations.models import InboundMessage
from omni.kernel.checks import Check, sql_check
from omni.kernel.sql import fetch_all

# Deliveries that were taken and left no shipment. Most of them told of something else: the payload decides.
WITHOUT_SHIPMENT = """
    SELECT m.id FROM integrations_inboundmessage m
    WHERE m.kind IN ('delivery', 'delivery_part') AND m.state = 'done'
      AND NOT EXISTS (SELECT 1 FROM orders_shipment s WHERE s.event_key = left(m.event_key, 120))
    ORDER BY m.id
"""
SHIPPED = frozenset({"shipped", "part_shipped"})

# Standing still is only wrong while somebody works: a copy that was switched off for the night has lost nothing.
WORKING = """
    EXISTS (SELECT 1 FROM integrations_cursor w WHERE w.last_run_at > now() - interval '5 minutes')
"""
CURSORS_STAND = f"""
    SELECT n.code, c.stream, c.upto, c.failures
    FROM integrations_cursor c JOIN integrations_connection n ON n.id = c.connection_id
    WHERE n.is_active AND n.health <> 'paused' AND c.stream IN ('orders', 'refunds')
      AND coalesce(c.upto, n.pulls_since) < now() - interval '15 minutes' AND {WORKING}
    ORDER BY n.id, c.stream
"""  # noqa: S608 - put together from constants
# A shelf is read each hour; three missed turns are no weather any more.
SHELVES_UNREAD = f"""
    SELECT n.code, c.last_run_at, c.failures
    FROM integrations_cursor c JOIN integrations_connection n ON n.id = c.connection_id
    WHERE n.is_active AND n.health <> 'paused' AND c.stream = 'items'
      AND coalesce(c.last_run_at, n.pulls_since) < now() - interval '3 hours' AND {WORKING}
    ORDER BY n.id
"""  # noqa: S608 - put together from constants
# What asks for a person stands on a row of the shelf that says so, or on none where the item is gone.
UNFOUNDED_DRIFTS = """
    SELECT d.id, d.what, d.ours, d.theirs
    FROM integrations_listingdrift d
    JOIN products_listing l ON l.id = d.listing_id
    LEFT JOIN products_outeritem o ON o.shop_id = l.shop_id AND o.outer_item_id = l.outer_item_id
        AND o.outer_sku_id = l.outer_sku_id AND o.source = 'channel'
    WHERE d.closed_at IS NULL AND d.confirmed_at IS NOT NULL
      AND (d.ours = d.theirs OR o.id IS NULL AND d.theirs <> 'gone')
    ORDER BY d.id
"""
LEASES_LEFT_LYING = f"""
    SELECT n.code, c.stream, c.holder, c.lease_until
    FROM integrations_cursor c JOIN integrations_connection n ON n.id = c.connection_id
    WHERE n.is_active AND n.health <> 'paused' AND c.stream IN ('orders', 'refunds', 'settle')
      AND c.lease_until < now() - interval '10 minutes' AND {WORKING}
    ORDER BY n.id, c.stream
"""  # noqa: S608
STUCK = f"""
    SELECT m.id, m.event_key, m.attempts, m.last_error FROM integrations_inboundmessage m
    WHERE m.state = 'new' AND m.received_at < now() - interval '10 minutes'
      AND m.not_before < now() - interval '5 minutes' AND {WORKING}
    ORDER BY m.id
"""  # noqa: S608
# A shipment that says it comes from a connection was told by it: the call-back must be there, as long as it is kept.
UNHEARD_SHIPMENTS = f"""
    SELECT s.id, s.event_key, s.by FROM orders_shipment s
    WHERE s.by LIKE 'connection:%%' AND NOT EXISTS (
        SELECT 1 FROM integrations_inboundmessage m WHERE left(m.event_key, 120) = s.event_key)
      AND s.recorded_at > now() - interval '{settings.OMNI_KEEP_INBOUND_DAYS - 1} days'
    ORDER BY s.id
"""  # noqa: S608 - a number of the settings
# A number counts as acknowledged only where a call was made that the log knows of, as long as the log is kept.
UNSAID_ACKNOWLEDGEMENTS = f"""
    SELECT p.listing_id, p.acked_version, p.acked_at
    FROM inventory_publishedstock p
    JOIN products_listing l ON l.id = p.listing_id
    JOIN integrations_connection n ON n.shop_id = p.shop_id
    WHERE p.acked_at > now() - interval '{settings.OMNI_KEEP_MESSAGES_DAYS - 1} days' AND NOT EXISTS (
        SELECT 1 FROM integrations_messagelog g
        WHERE g.subject = left(l.outer_item_id || '/' || l.outer_sku_id, 120) AND g.connection_id = n.id
          AND g.operation = 'push_stock' AND g.is_ok)
    ORDER BY p.id
"""  # noqa: S608 - a number of the settings
UNSAID_PRICES = f"""
    SELECT p.listing_id, p.acked_version, p.acked_at
    FROM products_publishedprice p
    JOIN products_listing l ON l.id = p.listing_id
    JOIN integrations_connection n ON n.shop_id = p.shop_id
    WHERE p.acked_at > now() - interval '{settings.OMNI_KEEP_MESSAGES_DAYS - 1} days' AND NOT EXISTS (
        SELECT 1 FROM integrations_messagelog g
        WHERE g.subject = left(l.outer_item_id || '/' || l.outer_sku_id, 120) AND g.connection_id = n.id
          AND g.operation = 'push_prices' AND g.is_ok)
    ORDER BY p.id
"""  # noqa: S608 - a number of the settings


def _find_taken_without_shipment(limit: int) -> list[dict[str, Any]]:
    idents = [row[0] for row in fetch_all(WITHOUT_SHIPMENT)]
    found: list[dict[str, Any]] = []
    for message in InboundMessage.objects.filter(pk__in=idents).order_by("pk").iterator():
        if message.payload.get("state") in SHIPPED:
            found.append({"message": message.pk, "event_key": message.event_key, "number": message.subject})
        if len(found) >= limit:
            break
    return found


CHECKS: Sequence[Check] = (
    sql_check(
        "connections.cursors_advance",
        "While workers work, every stream of a running connection is read up to the last quarter of an hour.",
        CURSORS_STAND,
        ("connection", "stream", "upto", "failures"),
    ),
    sql_check(
        "connections.shelves_are_read",
        "While workers work, the shelf of every channel that shows it was read within three hours.",
        SHELVES_UNREAD,
        ("connection", "read", "failures"),
    ),
    sql_check(
        "drifts.are_founded",
        "Every difference that asks for a person is one, and stands on what the channel showed.",
        UNFOUNDED_DRIFTS,
        ("drift", "what", "ours", "theirs"),
    ),
    sql_check(
        "connections.leases_lapse",
        "A lease of a stream that is always due, once lapsed, is taken up by another worker.",
        LEASES_LEFT_LYING,
        ("connection", "stream", "holder", "lease_until"),
    ),
    sql_check(
        "inbound.none_stuck",
        "While workers work, every call-back is worked on within ten minutes.",
        STUCK,
        ("message", "event_key", "attempts", "last_error"),
    ),
    Check(
        "inbound.taken_deliveries_have_shipments",
        "Every delivery that a warehouse told of and that was taken is a shipment.",
        _find_taken_without_shipment,
    ),
    sql_check(
        "inbound.shipments_were_told",
        "Every shipment that came over a connection stands on a stored call-back.",
        UNHEARD_SHIPMENTS,
        ("shipment", "event_key", "by"),
    ),
    sql_check(
        "published.acknowledged_was_said",
        "Every acknowledged number stands on a call that the message log knows of.",
        UNSAID_ACKNOWLEDGEMENTS,
        ("listing", "version", "acked_at"),
    ),
    sql_check(
        "prices.acknowledged_was_said",
        "Every acknowledged price stands on a call that the message log knows of.",
        UNSAID_PRICES,
        ("listing", "version", "acked_at"),
    ),
)

"""Forget what the platforms said, word for word, of orders that have long been over."""

from __future__ import annotations

from datetime import datetime

from omni.kernel.forget import forget_rows

# The version that an order shows stays while the order is open or there is another: it says what the platform wants.
# One that was heard meanwhile is newer than the moment, and so is an order that was over only lately.
NOT_NEEDED = """
    NOT EXISTS (
        SELECT FROM orders_channelorder c
        LEFT JOIN orders_salesorder o ON o.channel_order_id = c.id
        WHERE c.id = t.channel_order_id AND c.content_hash = t.content_hash AND (
            o.id IS NULL OR o.stage NOT IN ('shipped', 'completed', 'cancelled') OR o.stage_at >= %(before)s
            OR EXISTS (
                SELECT FROM orders_channelorderversion other
                WHERE other.channel_order_id = c.id AND other.id <> t.id)))
"""


def forget_versions(*, before: datetime) -> int:
    """Delete versions of channel orders heard before the moment; the newest of an order that is not over stays.

    Returns how many.
    """
    return forget_rows(
        table="orders_channelorderversion", moment="received_at", before=before, condition=NOT_NEEDED
    )


def forget_parked(*, before: datetime) -> int:
    """Delete parked orders that were taken or dismissed before the moment. Returns how many."""
    return forget_rows(
        table="orders_parkedorder",
        moment="parked_at",
        before=before,
        condition="t.state <> 'open' AND t.closed_at < %(before)s",
    )

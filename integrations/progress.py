"""How far each shop's orders have been read."""

from __future__ import annotations

from datetime import datetime

from omni.kernel.sql import fetch_all

# `upto`: everything before it is stored or parked; the run that moved it there began later, or at that moment. A
# connection that is switched off reads nothing, so its shop is missing and whoever asks must wait for a person.
READ_UNTIL = """
    SELECT n.shop_id, min(least(c.upto, c.last_run_at))
    FROM integrations_connection n JOIN integrations_cursor c ON c.connection_id = n.id AND c.stream = 'orders'
    WHERE n.kind = 'channel' AND n.is_active
    GROUP BY n.shop_id HAVING bool_and(c.upto IS NOT NULL AND c.last_run_at IS NOT NULL)
"""


def orders_read_until() -> dict[int, datetime]:
    """By shop: the moment before which every order of its channel is in the house."""
    return dict(fetch_all(READ_UNTIL))

"""Let a location that refused an order send it after all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from omni.kernel import doorbell
from omni.kernel.sql import execute, fetch_all
from orders.hold import resolve_holds
from orders.models.review import HoldKind
from orders.record import Happening, record_happenings

LOCK_ORDERS = "SELECT id FROM orders_salesorder WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
# The refusal itself stays written down: it is what happened.
ALLOW_AGAIN = """
    WITH allowed AS (
        UPDATE orders_fulfilmentorder SET allowed_again_at = %s
        WHERE state = 'cancelled' AND refusal <> '' AND allowed_again_at IS NULL
          AND id IN (SELECT fulfilment_id FROM orders_fulfilmentline WHERE order_id = ANY(%s))
        RETURNING id, location_id
    )
    SELECT DISTINCT l.order_id, loc.code FROM allowed a
    JOIN orders_fulfilmentline l ON l.fulfilment_id = a.id
    JOIN inventory_location loc ON loc.id = a.location_id ORDER BY l.order_id, loc.code
"""


@transaction.atomic
def allow_locations_again(*, order_ids: Sequence[int], reason: str, at: datetime, by: str) -> dict[int, str]:
    """Let the locations that refused these orders be chosen for them again, and have the orders sourced.

    One that refuses once more is left out once more. Returns a sentence for each order for which no location was
    left out.
    """
    execute(LOCK_ORDERS, [sorted(order_ids)])
    allowed: dict[int, list[str]] = {}
    for order_id, code in fetch_all(ALLOW_AGAIN, [at, list(order_ids)]):
        allowed.setdefault(order_id, []).append(code)
    record_happenings(
        happenings=[
            Happening(ident, "location.allowed", {"locations": codes, "note": reason})
            for ident, codes in allowed.items()
        ],
        at=at,
        by=by,
    )
    resolve_holds(order_ids=sorted(allowed), kinds=[HoldKind.SOURCING], at=at, by=by, note=reason)
    if allowed:
        doorbell.ring_after_commit("orders.tasks.source_approved")
    return {ident: _("No location is left out for it.") for ident in order_ids if ident not in allowed}

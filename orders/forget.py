"""Remove orders that should never have come in: what an undone import brought, as long as nothing has come of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from inventory.reserve import Release, release_stock
from omni.kernel.errors import DomainError
from omni.kernel.sql import execute, fetch_all
from orders.models import SalesOrder
from orders.states import Stage

UNTOUCHED = frozenset(
    {Stage.PENDING_PAYMENT, Stage.CAPTURED, Stage.IN_REVIEW, Stage.APPROVED, Stage.CANCELLED}
)

# In key order, so that a verb that moves one of them waits or is waited for.
LOCK = """
    SELECT o.id, o.number, o.stage, o.fulfilled_by,
        EXISTS (SELECT 1 FROM orders_fulfilmentline f WHERE f.order_id = o.id),
        (SELECT r.outer_id FROM orders_return r
         WHERE r.order_id = o.id AND NOT r.id = ANY(%s) ORDER BY r.id LIMIT 1)
    FROM orders_salesorder o WHERE o.id = ANY(%s) ORDER BY o.id FOR UPDATE OF o
"""
FORGET_VERSIONS = """
    DELETE FROM orders_channelorderversion v USING orders_channelorder c, orders_salesorder o
    WHERE v.channel_order_id = c.id AND o.channel_order_id = c.id AND o.id = ANY(%s)
"""
CHILDREN = (
    "orders_orderevent",
    "orders_orderhold",
    "orders_reviewdecision",
    "orders_sourcingdecision",
    "orders_salesorderline",
    "orders_bundleline",
)


class OrdersInUse(DomainError):
    """Something has come of an order by now."""

    code = "orders_in_use"


@dataclass(frozen=True, slots=True)
class InUse:
    """Why an order cannot be forgotten."""

    order_id: int
    number: str
    detail: str


def find_in_use(*, order_ids: Sequence[int], besides_returns: Sequence[int] = ()) -> list[InUse]:
    """The orders of which something has come, besides the returns named. Locks all of them."""
    found = []
    for ident, number, stage, fulfilled_by, is_sent, back in fetch_all(
        LOCK, [list(besides_returns), list(order_ids)]
    ):
        if back is not None:
            detail = _("Goods of order %(number)s came back with %(back)s.") % {
                "number": number,
                "back": back,
            }
        elif is_sent or (fulfilled_by == "omni" and stage not in UNTOUCHED):
            detail = _("Order %s is at a warehouse already: cancel it there.") % number
        else:
            continue
        found.append(InUse(ident, number, detail))
    return found


@transaction.atomic
def forget_orders(*, order_ids: Sequence[int], at: datetime, by: str) -> int:
    """Remove orders with everything that is known of them, and give back the stock promised to them.

    The same orders may be captured again. Raises OrdersInUse, and removes none, if something has come of one of them.
    Returns how many there were.
    """
    in_use = find_in_use(order_ids=order_ids)
    if in_use:
        raise OrdersInUse(in_use[0].detail)
    idents = sorted(SalesOrder.objects.filter(pk__in=order_ids).values_list("pk", flat=True))
    if not idents:
        return 0
    promised = fetch_all(
        "SELECT l.line_key FROM orders_salesorderline l JOIN orders_salesorder o ON o.id = l.order_id"
        " WHERE o.id = ANY(%s) AND o.fulfilled_by = 'omni' AND l.quantity > l.cancelled_quantity ORDER BY l.id",
        [idents],
    )
    if promised:
        release_stock(releases=[Release(key) for (key,) in promised], at=at, by=by)
    channel_ids = [
        ident
        for (ident,) in fetch_all(
            "SELECT channel_order_id FROM orders_salesorder WHERE id = ANY(%s) AND channel_order_id IS NOT NULL",
            [idents],
        )
    ]
    execute(FORGET_VERSIONS, [idents])
    for table in CHILDREN:
        execute(f"DELETE FROM {table} WHERE order_id = ANY(%s)", [idents])  # noqa: S608 - names from above
    execute("DELETE FROM orders_salesorder WHERE id = ANY(%s)", [idents])
    execute("DELETE FROM orders_channelorder WHERE id = ANY(%s)", [channel_ids])
    return len(idents)

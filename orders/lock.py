"""Lock the stock behind whole orders at once, for operations that touch it in several steps."""

from __future__ import annotations

from collections.abc import Collection

from inventory.lock import lock_pools_of_skus
from orders.models import SalesOrderLine


def lock_promises(*, order_ids: Collection[int]) -> None:
    """Lock every pool from which these orders hold or could get stock, in the order of all locks.

    After the orders, before the first change of stock. Whoever releases, uncommits or reserves in two steps would
    otherwise lock pools in two goes, each in order and both together not: that is how captures deadlock.
    """
    rows = SalesOrderLine.objects.filter(order_id__in=order_ids).values_list("sku_id", flat=True)
    lock_pools_of_skus(set(rows))

"""Who cannot become a bundle, because it lies somewhere or is promised to somebody by itself."""

from __future__ import annotations

from collections.abc import Collection

from django.utils.translation import gettext as _

from inventory.lock import lock_pools_of_skus
from omni.kernel.sql import fetch_all

# After the pools were locked. Goods that lie anywhere, in whatever state, and lines that hold or wait for some.
IN_STOCK = """
    SELECT v.sku_id, sum(v.on_hand)::int FROM inventory_stocklevel v
    WHERE v.sku_id = ANY(%s) AND v.on_hand > 0 GROUP BY v.sku_id
"""
WAITED_FOR = """
    SELECT sku_id FROM inventory_reservation WHERE sku_id = ANY(%(skus)s) AND state IN ('held', 'committed')
    UNION SELECT sku_id FROM inventory_shortage WHERE sku_id = ANY(%(skus)s) AND state = 'open'
"""


def stock_objections(sku_ids: Collection[int]) -> dict[int, str]:
    """Why some of these SKUs cannot become bundles: by the id of each, a sentence.

    Locks their pools: nothing of them comes in or is promised before the transaction ends.
    """
    skus = sorted(sku_ids)
    lock_pools_of_skus(skus)
    found = {
        sku_id: _("%d units of it are on hand: a bundle has no stock of its own. Count them out first.")
        % units
        for sku_id, units in fetch_all(IN_STOCK, [skus])
    }
    for (sku_id,) in fetch_all(WAITED_FOR, {"skus": skus}):
        found.setdefault(
            sku_id, _("Order lines hold it or wait for it: they must be sent or cancelled first.")
        )
    return found

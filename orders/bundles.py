"""Who cannot become a bundle, because open orders sell it by itself."""

from __future__ import annotations

from collections.abc import Collection

from django.utils.translation import gettext as _

from omni.kernel.sql import fetch_all
from orders.states import OVER

# Also those that are not paid and hold nothing yet: they would be sent as what they were captured as.
OPEN_ORDERS = """
    SELECT DISTINCT ON (l.sku_id) l.sku_id, o.number
    FROM orders_salesorderline l JOIN orders_salesorder o ON o.id = l.order_id
    WHERE l.sku_id = ANY(%s) AND o.stage <> ALL(%s) ORDER BY l.sku_id, o.id
"""


def order_objections(sku_ids: Collection[int]) -> dict[int, str]:
    """Why some of these SKUs cannot become bundles: by the id of each, a sentence."""
    rows = fetch_all(OPEN_ORDERS, [sorted(sku_ids), [stage.value for stage in OVER]])
    text = _("Order %s sells it by itself and is open: it must be sent or cancelled first.")
    return {sku_id: text % number for sku_id, number in rows}

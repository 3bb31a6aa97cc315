"""Totals and links of this room that disagree with the rows they stand for."""

from __future__ import annotations

from collections.abc import Sequence

from omni.kernel.checks import Check, sql_check

CHECKS: Sequence[Check] = [
    sql_check(
        "orders.one_order_per_channel_order",
        "Every channel order has exactly one sales order.",
        """SELECT c.id, c.outer_id FROM orders_channelorder c
           LEFT JOIN orders_salesorder o ON o.channel_order_id = c.id WHERE o.id IS NULL""",
        ["channel_order", "outer_id"],
    ),
    sql_check(
        "orders.newest_version_is_applied",
        "A channel order shows the newest version that was heard and not stale.",
        """SELECT c.id, c.outer_id, max(v.outer_modified_at), c.outer_modified_at FROM orders_channelorder c
           JOIN orders_channelorderversion v ON v.channel_order_id = c.id AND NOT v.is_stale
           GROUP BY c.id HAVING max(v.outer_modified_at) <> c.outer_modified_at""",
        ["channel_order", "outer_id", "newest", "applied"],
    ),
    sql_check(
        "orders.holds_are_counted",
        "The number of open holds on an order is the number of its open hold rows.",
        """SELECT o.id, o.number, o.open_holds, count(h.id) FROM orders_salesorder o
           LEFT JOIN orders_orderhold h ON h.order_id = o.id AND h.state = 'open'
           GROUP BY o.id HAVING o.open_holds <> count(h.id)""",
        ["order", "number", "says", "is"],
    ),
    sql_check(
        "orders.short_lines_are_counted",
        "The number of short lines on an order is the number of its lines that are short.",
        """SELECT o.id, o.number, o.short_lines, count(l.id) FROM orders_salesorder o
           LEFT JOIN orders_salesorderline l ON l.order_id = o.id AND l.short_quantity > 0
           GROUP BY o.id HAVING o.short_lines <> count(l.id)""",
        ["order", "number", "says", "is"],
    ),
    sql_check(
        "orders.open_units_are_promised_or_short",
        "Every open unit of a live order that Omni fulfils is either promised or short, never neither.",
        """SELECT o.id, o.number, l.id, l.quantity - l.cancelled_quantity - l.shipped_quantity AS open_units,
                  coalesce(r.units, 0), coalesce(s.quantity, 0)
           FROM orders_salesorderline l JOIN orders_salesorder o ON o.id = l.order_id
           LEFT JOIN LATERAL (SELECT sum(quantity) AS units FROM inventory_reservation
                WHERE line_key = l.line_key AND state IN ('held', 'committed')) r ON true
           LEFT JOIN inventory_shortage s ON s.line_key = l.line_key AND s.state = 'open'
           WHERE o.fulfilled_by = 'omni' AND o.stage NOT IN ('pending_payment')
             AND l.quantity - l.cancelled_quantity - l.shipped_quantity
                 <> coalesce(r.units, 0) + coalesce(s.quantity, 0)""",
        ["order", "number", "line", "open", "promised", "short"],
    ),
    sql_check(
        "orders.short_lines_have_shortages",
        "What a line says is short is what the open shortage says.",
        """SELECT o.id, o.number, l.id, l.short_quantity, coalesce(s.quantity, 0)
           FROM orders_salesorderline l JOIN orders_salesorder o ON o.id = l.order_id
           LEFT JOIN inventory_shortage s ON s.line_key = l.line_key AND s.state = 'open'
           WHERE l.short_quantity <> coalesce(s.quantity, 0)""",
        ["order", "number", "line", "says", "is"],
    ),
    sql_check(
        "orders.finished_orders_are_not_held",
        "An order that is cancelled, shipped or completed has no open hold.",
        """SELECT o.id, o.number, o.stage, h.kind FROM orders_orderhold h
           JOIN orders_salesorder o ON o.id = h.order_id
           WHERE h.state = 'open' AND o.stage IN ('cancelled', 'shipped', 'completed')""",
        ["order", "number", "stage", "hold"],
    ),
    sql_check(
        "orders.finished_orders_hold_nothing",
        "An order that is cancelled, shipped or completed holds no stock.",
        """SELECT DISTINCT o.id, o.number, o.stage FROM orders_salesorder o
           JOIN orders_salesorderline l ON l.order_id = o.id
           JOIN inventory_reservation r ON r.line_key = l.line_key AND r.state IN ('held', 'committed')
           WHERE o.stage IN ('cancelled', 'shipped', 'completed')""",
        ["order", "number", "stage"],
    ),
    sql_check(
        "orders.finished_orders_have_no_open_units",
        "Nothing is open on an order that is cancelled, shipped or completed.",
        """SELECT o.id, o.number, o.stage, sum(l.quantity - l.cancelled_quantity - l.shipped_quantity)
           FROM orders_salesorder o JOIN orders_salesorderline l ON l.order_id = o.id
           WHERE o.stage IN ('cancelled', 'shipped', 'completed') GROUP BY o.id
           HAVING sum(l.quantity - l.cancelled_quantity - l.shipped_quantity) <> 0""",
        ["order", "number", "stage", "open"],
    ),
    sql_check(
        "orders.shipped_units_left_in_parcels",
        "Shipped units of orders that Omni fulfils are the units in their parcels and those shipped outside.",
        """SELECT o.id, o.number, l.id, l.shipped_quantity - l.outside_quantity, coalesce(p.units, 0)
           FROM orders_salesorderline l JOIN orders_salesorder o ON o.id = l.order_id
           LEFT JOIN LATERAL (SELECT sum(pl.quantity) AS units FROM orders_fulfilmentline f
                JOIN orders_parcelline pl ON pl.fulfilment_line_id = f.id WHERE f.order_line_id = l.id) p ON
                true
           WHERE o.fulfilled_by = 'omni' AND l.shipped_quantity - l.outside_quantity <> coalesce(p.units, 0)
             AND NOT EXISTS (SELECT 1 FROM orders_orderhold h
                WHERE h.order_id = o.id AND h.kind = 'shipped_elsewhere')""",
        ["order", "number", "line", "says", "is"],
    ),
    sql_check(
        "orders.no_line_ships_twice",
        "The live and shipped fulfilment lines of an order line never exceed what was ordered.",
        """SELECT o.id, o.number, l.id, l.quantity,
                  sum(CASE WHEN f.state IN ('cancelled', 'shipped') THEN fl.shipped_quantity ELSE fl.quantity END)
           FROM orders_fulfilmentline fl JOIN orders_fulfilmentorder f ON f.id = fl.fulfilment_id
           JOIN orders_salesorderline l ON l.id = fl.order_line_id JOIN orders_salesorder o ON o.id =
           l.order_id GROUP BY o.id, l.id
           HAVING sum(CASE WHEN f.state IN ('cancelled', 'shipped') THEN fl.shipped_quantity ELSE fl.quantity END)
               > l.quantity""",
        ["order", "number", "line", "ordered", "sent"],
    ),
    sql_check(
        "orders.every_parcel_is_announced",
        "Every order with units in a parcel has a notice to its channel for that parcel.",
        """SELECT DISTINCT f.order_id, pl.parcel_id FROM orders_parcelline pl
           JOIN orders_fulfilmentline f ON f.id = pl.fulfilment_line_id
           LEFT JOIN orders_dispatchnotice n ON n.order_id = f.order_id AND n.parcel_id = pl.parcel_id
           WHERE n.id IS NULL""",
        ["order", "parcel"],
    ),
    sql_check(
        "orders.live_fulfilments_stand_on_committed_stock",
        "What a fulfilment order still has to send is committed at its location.",
        """SELECT f.id, f.number, fl.id, fl.quantity - fl.shipped_quantity, coalesce(r.quantity, 0)
           FROM orders_fulfilmentline fl JOIN orders_fulfilmentorder f ON f.id = fl.fulfilment_id
           LEFT JOIN inventory_reservation r ON r.line_key = fl.line_key AND r.part = fl.part
                AND r.state = 'committed' AND r.location_id = f.location_id
           WHERE f.state NOT IN ('cancelled', 'shipped')
             AND fl.quantity - fl.shipped_quantity <> coalesce(r.quantity, 0)
             AND (fl.quantity > fl.shipped_quantity OR r.id IS NOT NULL)""",
        ["fulfilment", "number", "line", "waits_for", "committed"],
    ),
    sql_check(
        "orders.returned_units_came_back",
        "Returned units of a line are the units in its returns.",
        """SELECT l.order_id, l.id, l.returned_quantity, coalesce(sum(r.quantity), 0) FROM
        orders_salesorderline l LEFT JOIN orders_returnline r ON r.order_line_id = l.id
           GROUP BY l.id HAVING l.returned_quantity <> coalesce(sum(r.quantity), 0)""",
        ["order", "line", "says", "is"],
    ),
    sql_check(
        "orders.a_taken_order_is_not_parked",
        "An order that was taken with the same content is not parked as well.",
        """SELECT p.id, p.outer_id FROM orders_parkedorder p
           JOIN orders_channelorder c ON c.shop_id = p.shop_id AND c.outer_id = p.outer_id
           JOIN orders_channelorderversion v ON v.channel_order_id = c.id AND v.content_hash = p.content_hash
           WHERE p.state = 'open'""",
        ["parked", "outer_id"],
    ),
    sql_check(
        "orders.bundles_equal_their_components",
        "What was paid for a bundle is the sum of what its components are said to have cost.",
        """SELECT b.order_id, b.id, b.amount, coalesce(sum(l.amount), 0) FROM orders_bundleline b
           LEFT JOIN orders_salesorderline l ON l.bundle_id = b.id
           GROUP BY b.id HAVING b.amount <> coalesce(sum(l.amount), 0)""",
        ["order", "bundle", "paid", "split"],
    ),
    sql_check(
        "orders.components_are_in_step_with_their_bundles",
        "Of every component so many units are ordered as lie in so many bundles, in the same line of the same order.",
        """SELECT l.order_id, l.id, b.quantity, l.bundle_units, l.quantity FROM orders_salesorderline l
           JOIN orders_bundleline b ON b.id = l.bundle_id
           WHERE l.quantity IS DISTINCT FROM b.quantity * l.bundle_units OR l.order_id <> b.order_id
              OR l.outer_line_id <> b.outer_line_id""",
        ["order", "line", "bundles", "units_in_each", "ordered"],
    ),
    sql_check(
        "orders.components_have_their_bundles",
        "The bundle of every component is there.",
        """SELECT l.order_id, l.id, l.bundle_id FROM orders_salesorderline l
           LEFT JOIN orders_bundleline b ON b.id = l.bundle_id
           WHERE l.bundle_id IS NOT NULL AND b.id IS NULL""",
        ["order", "line", "bundle"],
    ),
    sql_check(
        "orders.bundles_are_paid_back_by_their_shares",
        "What came back of a bundle is paid back by its share: all of it when all is back, and never more.",
        """SELECT l.order_id, l.id, l.amount, sum(r.amount) FROM orders_salesorderline l
           JOIN orders_returnline r ON r.order_line_id = l.id WHERE l.bundle_id IS NOT NULL
           GROUP BY l.id
           HAVING sum(r.amount) > l.amount OR (l.returned_quantity = l.quantity AND sum(r.amount) <> l.amount)""",
        ["order", "line", "paid", "paid_back"],
    ),
]

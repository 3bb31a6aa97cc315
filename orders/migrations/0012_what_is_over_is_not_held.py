"""Orders that were over before holds were closed with them: close what is still open, and say so on their timelines."""

from django.db import migrations

# The queue of held orders is small, and has an index of its own.
CLOSE = """
    WITH closed AS (
        UPDATE orders_orderhold h
        SET state = 'resolved', resolved_by = 'system', resolved_at = statement_timestamp(),
            note = '{"say": "Nothing of the order is left to ship.", "with": null}'
        FROM orders_salesorder o
        WHERE o.id = h.order_id AND o.open_holds > 0 AND o.stage IN ('cancelled', 'shipped', 'completed')
          AND h.state = 'open'
        RETURNING h.order_id, h.kind, h.note
    ), told AS (
        INSERT INTO orders_orderevent (order_id, at, side, kind, by, detail)
        SELECT order_id, statement_timestamp(), 'omni', 'hold.resolved', 'system',
               jsonb_build_object('kind', kind, 'note', note) FROM closed
    )
    UPDATE orders_salesorder o SET open_holds = o.open_holds - c.holds
    FROM (SELECT order_id, count(*) AS holds FROM closed GROUP BY order_id) c WHERE o.id = c.order_id
"""


class Migration(migrations.Migration):
    dependencies = [("orders", "0011_units_shipped_outside_are_counted")]

    operations = [migrations.RunSQL(sql=CLOSE, reverse_sql=migrations.RunSQL.noop)]

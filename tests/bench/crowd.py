# ruff: noqa: S608 - every statement is put together from the constants of this file
"""A house with a million orders in every stage, written set-based: what the queues are looked at with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.db import connection

from inventory.publish import plan_all_published_stock
from omni.kernel.crypto import encrypt_json
from orders.draft import Receiver
from orders.receiver import FIELDS
from tests.bench.goods import Goods, lay_out

SHOPS = 6
RECEIVER = Receiver(
    name="张伟", mobile="13800138000", province="广东省", city="广州市", address="体育西路 1 号"
)

# Stages are spread over the whole table, not bunched at its end: the harder case for every partial index.
STAGE = """CASE WHEN n % 100 < 6 THEN 'captured' WHEN n % 100 < 12 THEN 'in_review' WHEN n % 100 < 18 THEN 'approved'
    WHEN n % 100 < 24 THEN 'sourced' WHEN n % 100 < 30 THEN 'released' WHEN n % 100 < 36 THEN 'pending_payment'
    WHEN n % 100 < 41 THEN 'cancelled' WHEN n % 100 < 61 THEN 'shipped' ELSE 'completed' END"""
HAS_FULFILMENT = "(n % 100 BETWEEN 18 AND 29 OR n % 100 >= 41)"
HAS_PARCEL = "n % 100 >= 41"
IS_LIVE = "n % 100 < 30"
IS_HELD = "(n % 100 BETWEEN 6 AND 11 OR n % 100 = 12)"
IS_SHORT = "n % 100 IN (0, 1, 13, 14, 15, 16)"
FULFILMENT_STATE = f"""CASE WHEN {HAS_PARCEL} THEN 'shipped'
    WHEN n % 100 < 20 THEN 'planned' WHEN n % 100 < 22 THEN 'requested' WHEN n % 100 < 24 THEN 'refused'
    WHEN n % 100 < 28 THEN 'accepted' WHEN n % 100 < 29 THEN 'part_shipped' ELSE 'cancel_requested' END"""
AGE = "%(at)s::timestamptz - (%(orders)s - n) * interval '20 seconds'"
SKU = "%(sku)s + (n * 7 + i * 13) % %(skus)s"
SHOP = "%(shop)s + n % %(shops)s"
KEY = "lpad(to_hex(n), 16, '0') || lpad(to_hex(i), 16, '0')"

# In the order of their foreign keys; each numbers its rows by the order that they belong to.
TABLES = (
    f"""INSERT INTO orders_channelorder (id, shop_id, outer_id, state, raw_state, outer_modified_at, content_hash)
        SELECT n, {SHOP}, 4000000000000000000 + n, 'to_ship', 'WAIT_SELLER_SEND_GOODS', {AGE}, int8send(n)
        FROM crowd""",
    f"""INSERT INTO orders_channelorderversion
            (channel_order_id, content_hash, outer_modified_at, payload, source)
        SELECT n, int8send(n), {AGE}, %(receiver)s, 'pull' FROM crowd""",
    f"""INSERT INTO orders_salesorder (id, number, shop_id, channel_order_id, outer_id, stage, open_holds, short_lines,
            currency, total_amount, receiver, receiver_mask, province, city, placed_at, paid_at, captured_at, stage_at)
        SELECT n, 'SO' || lpad(n::text, 8, '0'), {SHOP}, n, 4000000000000000000 + n, {STAGE}, {IS_HELD}::int,
            {IS_SHORT}::int, 'CNY', 258, %(receiver)s, '张** *******8000 广东省 广州市', '广东省', '广州市',
            {AGE}, {AGE}, {AGE}, {AGE} FROM crowd""",
    f"""INSERT INTO orders_salesorderline (id, order_id, line_key, outer_line_id, sku_id, title, quantity, unit_price,
            amount, short_quantity, shipped_quantity, cancelled_quantity)
        SELECT 2 * n - i, n, ({KEY})::uuid, 2 * n - i, {SKU}, 'Bench product', 1, 129, 129,
            ({IS_SHORT} AND i = 0)::int, ({HAS_PARCEL})::int, (n % 100 BETWEEN 36 AND 40)::int
        FROM crowd, generate_series(0, 1) i""",
    f"""INSERT INTO orders_orderevent (order_id, at, side, kind, by, detail)
        SELECT n, {AGE}, v.side, v.kind, v.by, '{{}}' FROM crowd, (VALUES ('channel', 'captured', 'connection:1'),
            ('omni', 'stage.approved', 'system'), ('warehouse', 'accepted', 'connection:2')) v(side, kind, by)""",
    f"""INSERT INTO orders_orderhold (order_id, kind, reason, placed_by, placed_at)
        SELECT n, CASE WHEN n % 2 = 0 THEN 'review' ELSE 'address' END, 'The receiver has no address.', 'rule:1', {AGE}
        FROM crowd WHERE {IS_HELD}""",
    f"""INSERT INTO orders_reviewdecision (order_id, at, is_approved, by) SELECT n, {AGE}, n % 5 > 0, 'system'
        FROM crowd WHERE n % 100 >= 6""",
    f"""INSERT INTO orders_parkedorder (shop_id, outer_id, content_hash, reason, detail, draft, source, parked_at)
        SELECT {SHOP}, 'parked-' || n, int8send(n), (ARRAY['unknown_sku', 'bad_amount', 'no_lines'])[1 + n % 3],
            'Line 1 sells what no listing names.', %(receiver)s, 'pull', {AGE} FROM crowd WHERE n % 16 = 0""",
    f"""INSERT INTO orders_channelrefund (shop_id, outer_refund_id, outer_id, state, raw_state, amount, currency,
            outer_modified_at, payload)
        SELECT {SHOP}, 'R' || n, 4000000000000000000 + n, 'open', 'WAIT_SELLER_AGREE', 129, 'CNY', {AGE}, %(receiver)s
        FROM crowd WHERE n % 16 = 1""",
    f"""INSERT INTO inventory_reservation (line_key, pool_id, sku_id, shop_id, quantity, state, location_id, level_id)
        SELECT ({KEY})::uuid, p.id, p.sku_id, {SHOP}, 1,
            CASE WHEN n % 100 < 18 THEN 'held' ELSE 'committed' END, %(location)s, l.id
        FROM crowd, generate_series(0, 1) i, inventory_stockpool p, inventory_stocklevel l
        WHERE {IS_LIVE} AND NOT ({IS_SHORT} AND i = 0) AND p.sku_id = {SKU} AND l.sku_id = p.sku_id""",
    f"""INSERT INTO inventory_shortage (line_key, sku_id, shop_id, group_id, quantity, reason, created_at)
        SELECT ({KEY})::uuid, {SKU}, {SHOP}, %(group)s, 1, 'no_stock', {AGE}
        FROM crowd, (VALUES (0)) v(i) WHERE {IS_SHORT}""",
    f"""INSERT INTO inventory_stockmovement
            (at, kind, sku_id, quantity, from_account, from_id, to_account, to_id, line_key, by)
        SELECT {AGE}, 'reserve', {SKU}, 1, 20, 1, 21, 1, ({KEY})::uuid, 'connection:1'
        FROM crowd, generate_series(0, 1) i""",
    f"""INSERT INTO orders_fulfilmentorder (id, number, location_id, state, refusal, created_at, state_at, not_before)
        SELECT n, 'FO' || lpad(n::text, 8, '0'), %(location)s, {FULFILMENT_STATE},
            CASE WHEN n % 100 IN (22, 23) THEN 'no such SKU here' ELSE '' END, {AGE}, {AGE}, {AGE}
        FROM crowd WHERE {HAS_FULFILMENT}""",
    f"""INSERT INTO orders_sourcingdecision (order_id, at, candidates, reason, by)
        SELECT n, {AGE}, '[]', 'nearest', 'system' FROM crowd WHERE {HAS_FULFILMENT}""",
    f"""INSERT INTO orders_fulfilmentline
            (id, fulfilment_id, order_line_id, order_id, sku_id, line_key, part, quantity, shipped_quantity)
        SELECT 2 * n - i, n, 2 * n - i, n, {SKU}, ({KEY})::uuid, 0, 1, ({HAS_PARCEL})::int
        FROM crowd, generate_series(0, 1) i WHERE {HAS_FULFILMENT}""",
    f"""INSERT INTO orders_shipment (id, fulfilment_id, event_key, shipped_at, by)
        SELECT n, n, 'confirm-' || n, {AGE}, 'connection:2' FROM crowd WHERE {HAS_PARCEL}""",
    f"""INSERT INTO orders_parcel (id, shipment_id, carrier_code, tracking_no)
        SELECT n, n, 'SF', 'SF' || n FROM crowd WHERE {HAS_PARCEL}""",
    f"""INSERT INTO orders_parcelline (parcel_id, fulfilment_line_id, quantity)
        SELECT n, 2 * n - i, 1 FROM crowd, generate_series(0, 1) i WHERE {HAS_PARCEL}""",
    f"""INSERT INTO orders_dispatchnotice (order_id, parcel_id, shop_id, lines, is_whole_order, state, created_at)
        SELECT n, n, {SHOP}, '[]', true, CASE WHEN n % 10 = 1 THEN 'failed' ELSE 'sent' END, {AGE}
        FROM crowd WHERE {HAS_PARCEL}""",
)
CROWD = "CREATE TEMP TABLE crowd AS SELECT n::bigint FROM generate_series(1, %s) n"
LIFT_SEQUENCE = """SELECT setval(pg_get_serial_sequence(%s, 'id'), (SELECT max(id) FROM {table}))"""
NUMBERED = (
    "orders_channelorder",
    "orders_salesorder",
    "orders_salesorderline",
    "orders_fulfilmentorder",
    "orders_fulfilmentline",
    "orders_shipment",
    "orders_parcel",
)


def draw_crowd(*, orders: int, skus: int) -> Goods:
    """Orders in every stage with all that belongs to them, and the tables vacuumed as autovacuum would have by then."""
    goods = lay_out(skus=skus, shops=SHOPS)
    plan_all_published_stock(at=datetime.now(UTC))
    values: dict[str, Any] = {
        "at": datetime.now(UTC),
        "orders": orders,
        "sku": goods.sku_ids[0],
        "skus": skus,
        "shop": goods.shop_ids[0],
        "shops": SHOPS,
        "location": goods.location_id,
        "group": goods.group_id,
        "receiver": encrypt_json(
            {name: getattr(RECEIVER, name) for name in FIELDS}, purpose="orders.sales_order.receiver"
        ),
    }
    with connection.cursor() as cursor:
        cursor.execute(CROWD, [orders])
        # Ten million rows, right by construction: their foreign keys are not looked up one by one.
        cursor.execute("SET session_replication_role = replica")
        for statement in TABLES:
            # a lone % of SQL is the remainder, not a parameter
            cursor.execute(statement.replace(" % ", " %% "), values)
        cursor.execute("SET session_replication_role = DEFAULT")
        for table in NUMBERED:
            cursor.execute(LIFT_SEQUENCE.format(table=table), [table])
        cursor.execute("VACUUM (ANALYZE)")
    return goods

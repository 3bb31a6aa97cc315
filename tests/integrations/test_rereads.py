"""What a Medusa shop with many open orders is asked, minute by minute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations.lease import open_streams
from integrations.models import Connection
from integrations.pull import pull_orders
from omni.kernel.sql import execute
from tests.factories.integrations import make_channel
from tests.factories.orders import House, make_house
from tests.integrations.medusa_replay import Replay, playing

pytestmark = [pytest.mark.django_db, pytest.mark.capability("O1")]

NOW = timezone.now().replace(second=0, microsecond=0)
MINUTE = timedelta(minutes=1)
OPEN_ORDERS = 10_000

# One order of the shop, copied all over the last thirty days: what is older than a day has shipped, but for one of a
# hundred that nobody has paid.
COPY_CHANNEL_ORDERS = """
    INSERT INTO orders_channelorder (shop_id, outer_id, state, raw_state, outer_modified_at, content_hash, captured_at)
    SELECT shop_id, 'order_' || n, state, raw_state, %(now)s - n * %(step)s, content_hash, %(now)s - n * %(step)s
    FROM orders_channelorder CROSS JOIN generate_series(1, %(count)s) n
"""
COPY_ORDERS = """
    INSERT INTO orders_salesorder
        (number, shop_id, channel_order_id, outer_id, stage, currency, total_amount, receiver, placed_at, captured_at)
    SELECT 'C' || c.id, c.shop_id, c.id, c.outer_id,
        CASE WHEN abs(hashint8(c.id)::bigint) %% 100 = 0 THEN 'pending_payment'
             WHEN c.captured_at < %(now)s - interval '1 day' THEN 'shipped' ELSE 'approved' END,
        o.currency, o.total_amount, o.receiver, c.captured_at, c.captured_at
    FROM orders_channelorder c JOIN orders_salesorder o ON o.shop_id = c.shop_id
    WHERE c.id <> o.channel_order_id
"""


class QuietShop(Replay):
    """A shop in which nothing happens. It knows none of the orders, so that nothing is captured either."""

    def take(self, *, path: str, params: Mapping[str, str], **_question: Any) -> dict[str, Any]:
        assert path == "/admin/orders"
        self.heard.append(dict(params))
        return {"status": 200, "answer": {"orders": []}}

    def take_named(self) -> list[list[str]]:
        """The ids asked for since the last time, question by question."""
        asked = [[value for key, value in params.items() if key.startswith("id[")] for params in self.heard]
        self.heard.clear()
        return [ids for ids in asked if ids]


@pytest.fixture
def house() -> House:
    house = make_house(stock=10, channel="medusa")
    house.order()
    days = timedelta(days=30)
    values = {"now": NOW, "step": days / (OPEN_ORDERS + 1), "count": OPEN_ORDERS}
    execute(COPY_CHANNEL_ORDERS, values)
    execute(COPY_ORDERS, values)
    return house


@pytest.fixture
def shop() -> Iterator[QuietShop]:
    with playing(QuietShop()) as shop:
        assert isinstance(shop, QuietShop)
        yield shop


@pytest.fixture
def channel(house: House, shop: QuietShop) -> Connection:
    channel = make_channel(
        adapter="medusa",
        shop=house.shop,
        base_url=shop.base_url,
        credentials={"api_key": "sk_1"},
        pulls_since=NOW - MINUTE,
    )
    open_streams(connection_id=channel.pk, streams=["orders"])
    return channel


def test_ten_thousand_open_orders_cost_a_few_requests_a_minute(channel: Connection, shop: QuietShop) -> None:
    pull_orders(connection_id=channel.pk, at=NOW)
    shop.take_named()
    requests, orders = [], []

    for minute in range(1, 11):
        assert pull_orders(connection_id=channel.pk, at=NOW + minute * MINUTE)
        asked = shop.take_named()
        requests.append(len(asked))
        orders.append(sum(map(len, asked)))

    # 14 changed within the hour, some 320 within the day, 100 wait for money, 9,600 have shipped
    assert max(requests) <= 4
    assert all(40 <= count <= 75 for count in orders), orders


def test_a_second_pull_within_the_minute_reads_no_order_again(channel: Connection, shop: QuietShop) -> None:
    pull_orders(connection_id=channel.pk, at=NOW)
    first = shop.take_named()

    pull_orders(connection_id=channel.pk, at=NOW + timedelta(seconds=30))

    assert first
    assert shop.take_named() == []

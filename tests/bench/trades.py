"""Trades as TOP tells them: composed and shown by the sandbox's own code, then sent through JSON as over the wire."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

from integrations.channels.top.sandbox.buyers import compose_trade
from integrations.channels.top.sandbox.catalogue import Listing, properties_of
from integrations.channels.top.sandbox.showing import show_trade
from integrations.channels.top.sandbox.trades import TO_SEND

TITLES = ("纯棉T恤", "牛仔裤", "羊毛开衫", "帆布鞋", "双肩包", "保温杯")


def make_trades(
    *, number: int, sku_ids: Sequence[int], shop_id: int, seed: int, at: int, lines: int = 2
) -> list[dict[str, Any]]:
    """Paid trades of `lines` lines each over the listings that `lay_out` made for the shop; other seeds, other ids."""
    rng = random.Random(seed)
    trades = []
    for position in range(number):
        basket = [(_listing(sku, shop_id, rng), 1 + rng.randrange(2)) for sku in rng.sample(sku_ids, lines)]
        trade = compose_trade(
            rng=rng, tid=3_000_000_000_000_000_000 + seed * 10**11 + position * 10, basket=basket, at=at
        )
        trade.status, trade.paid_at = TO_SEND, at
        for line in trade.lines:
            line.status = TO_SEND
        trades.append(json.loads(json.dumps(show_trade(trade, is_masked=True), ensure_ascii=False)))
    return trades


def _listing(sku_id: int, shop_id: int, rng: random.Random) -> Listing:
    return Listing(
        num_iid=600000000000 + sku_id,
        sku_id=shop_id * 1000000000 + sku_id,
        outer_iid=f"BENCH-{sku_id}",
        outer_sku_id=f"BENCH-{sku_id}",
        title=rng.choice(TITLES),
        price=rng.randrange(1_900, 69_900, 100),
        quantity=1000,
        properties=properties_of(sku_id),
        sku_name="颜色:红;尺码:M",
    )

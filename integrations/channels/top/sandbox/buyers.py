"""Composes the orders that buyers place, and what will happen to each of them; the seed decides
everything.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from .catalogue import Listing
from .people import draw_memo, draw_message, draw_nick, draw_receiver
from .trades import Line, Plan, Trade

Basket = list[tuple[Listing, int]]

_TRIES = 12


def fill_basket(rng: random.Random, listings: Sequence[Listing]) -> Basket:
    """One to four different listings, none beyond what is shown; empty when the shelves are."""
    wanted = rng.choices((1, 2, 3, 4), weights=(60, 25, 10, 5))[0]
    basket: dict[int, tuple[Listing, int]] = {}
    for _ in range(_TRIES):
        if len(basket) == wanted or not listings:
            break
        # a third of all lines falls on the first ten listings, so that there are hot ones
        among = listings[:10] if rng.random() < 0.33 else listings
        listing = among[rng.randrange(len(among))]
        num = rng.choices((1, 2, 3), weights=(80, 15, 5))[0]
        if listing.quantity >= num and listing.sku_id not in basket:
            basket[listing.sku_id] = (listing, num)
    return list(basket.values())


def compose_trade(*, rng: random.Random, tid: int, basket: Basket, at: int) -> Trade:
    """An unpaid trade whose amounts add up."""
    is_single = len(basket) == 1
    lines = [
        _compose_line(rng, listing, num, oid=tid if is_single else tid + position)
        for position, (listing, num) in enumerate(basket, start=1)
    ]
    promotion = _give_discount(rng, lines)
    return Trade(
        tid=tid,
        created=at,
        modified=at,
        buyer_nick=draw_nick(rng),
        receiver=draw_receiver(rng),
        lines=lines,
        post_fee=rng.choice((0, 0, 0, 600, 800, 1200)),
        promotion=promotion,
        buyer_message=draw_message(rng),
        seller_memo=draw_memo(rng) if rng.random() < 0.1 else "",
    )


def _compose_line(rng: random.Random, listing: Listing, num: int, *, oid: int) -> Line:
    goods = listing.price * num
    discount = rng.randrange(0, goods // 10 + 1) if rng.random() < 0.3 else 0
    adjust = -rng.randrange(0, goods // 20 + 1) if rng.random() < 0.05 else 0
    return Line(
        oid=oid,
        num_iid=listing.num_iid,
        sku_id=listing.sku_id,
        outer_iid=listing.outer_iid,
        outer_sku_id=listing.outer_sku_id,
        title=listing.title,
        sku_name=listing.sku_name,
        price=listing.price,
        num=num,
        discount=discount,
        adjust=adjust,
    )


def _give_discount(rng: random.Random, lines: Sequence[Line]) -> str:
    """Spread a discount of the whole trade over its lines by largest remainder; answers its name."""
    goods = sum(line.total_fee for line in lines)
    if rng.random() >= 0.35 or not goods:
        return ""
    discount = rng.randrange(1, goods // 5 + 2)
    shares = [divmod(discount * line.total_fee, goods) for line in lines]
    missing = discount - sum(share for share, _ in shares)
    largest_first = sorted(range(len(lines)), key=lambda position: -shares[position][1])
    for position, line in enumerate(lines):
        line.part_mjz = shares[position][0] + (position in largest_first[:missing])
    return "店铺满减"


def plan_life(rng: random.Random, trade: Trade, *, at: float) -> list[Plan]:
    """What the buyer and the seller's own staff will do to this trade, apart from sending it."""
    paid_in = 0.0
    if rng.random() < 0.2:
        paid_in = rng.uniform(3, 30)
        if rng.random() < 0.4:
            return [Plan(at + rng.uniform(10, 60), "close")]
    plans = [Plan(at + paid_in, "pay")]
    after = at + paid_in
    if rng.random() < 0.08:
        plans.append(Plan(after + rng.uniform(1, 20), "change_memo"))
    if rng.random() < 0.04:
        plans.append(Plan(after + rng.uniform(1, 15), "change_address"))
    if rng.random() < 0.06:
        plans += _plan_refund(rng, trade, after)
    return plans


def _plan_refund(rng: random.Random, trade: Trade, after: float) -> list[Plan]:
    asked = after + rng.uniform(1, 25)
    decided = asked + rng.uniform(3, 30)
    whole = range(len(trade.lines)) if rng.random() < 0.5 else [rng.randrange(len(trade.lines))]
    decision = "agree" if rng.random() < 0.5 else "withdraw"
    return [
        plan for line in whole for plan in (Plan(asked, "ask_refund", line), Plan(decided, decision, line))
    ]

"""The life of a trade from its placing to its end, apart from parcels and refunds."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from . import refunds
from .buyers import Basket, compose_trade, fill_basket, plan_life
from .catalogue import Listing
from .market import Market, Refused
from .people import draw_address, draw_memo
from .trades import (
    ALL_STEPS_PAID,
    CLOSED,
    CLOSED_UNPAID,
    DEPOSIT_PAID,
    FINISHED,
    FORBID_CONSIGN,
    REFUND_DONE,
    SENT,
    TO_SEND,
    UNHEARD_OF,
    WAIT_PAY,
    Plan,
    Trade,
)

_TID_BASE = 3_000_000_000_000_000_000  # 19 digits: more than a double holds exactly
_HOLDS = {"unknown_status": (UNHEARD_OF, 15), "paid_forbid_consign": (FORBID_CONSIGN, 10)}


def place_random_order(market: Market, *, is_plain: bool = False) -> Trade | None:
    """One buyer comes; None when the shelf is bare. A plain order is paid at once and left alone."""
    with market.writing():
        number = market.count_order()
        rng = market.rng_for("order", number)
        basket = fill_basket(rng, [listing for listing in market.shelf if listing.is_on_sale])
        if not basket:
            market.count_turned_away()
            return None
        trade = compose_trade(rng=rng, tid=_tid(market, number), basket=basket, at=int(market.clock()))
        plans = [Plan(market.clock(), "pay")] if is_plain else plan_life(rng, trade, at=market.clock())
        if market.dice.falls("presale"):
            trade.step_status = DEPOSIT_PAID
            plans = [Plan(market.clock() + rng.uniform(5, 20), "pay")]
        _enter(market, trade, plans)
        return trade


def place_given_order(
    market: Market, *, wanted: Sequence[tuple[Listing, int]], is_paid: bool = True
) -> Trade:
    """Exactly these lines. Raises Refused when the market shows less: it never sells more than it shows."""
    with market.writing():
        _check_shown(wanted)
        number = market.count_order()
        rng = market.rng_for("order", number)
        trade = compose_trade(rng=rng, tid=_tid(market, number), basket=list(wanted), at=int(market.clock()))
        _enter(market, trade, [Plan(market.clock(), "pay")] if is_paid else [])
        return trade


def _check_shown(wanted: Basket | Sequence[tuple[Listing, int]]) -> None:
    asked: dict[int, int] = {}
    for listing, num in wanted:
        asked[listing.sku_id] = asked.get(listing.sku_id, 0) + num
        if not listing.is_on_sale:
            raise Refused("isv.item-not-onsale", f"item {listing.num_iid} is off sale")
        if num < 1 or asked[listing.sku_id] > listing.quantity:
            raise Refused("isv.quantity-not-enough", f"SKU {listing.sku_id} shows {listing.quantity}")


def _tid(market: Market, number: int) -> int:
    """Room for nine lines between two trades; another seed has other ids."""
    return _TID_BASE + (market.seed % 1000) * 10**15 + number * 10


def _enter(market: Market, trade: Trade, plans: list[Plan]) -> None:
    for line in trade.lines:
        _take_from_shelf(market, line.sku_id, line.num)
    trade.plans = plans
    market.add_trade(trade)
    run_plans(market, trade)


def _take_from_shelf(market: Market, sku_id: int, num: int) -> None:
    listing = market.listings[sku_id]
    listing.quantity -= num
    listing.sold += num
    market.mark("listing", sku_id, listing)


def live_on(market: Market) -> int:
    """Do everything that is due by now; answers how many trades were looked at."""
    looked_at = 0
    with market.writing():
        now = market.clock()
        while market.agenda and market.agenda[0][0] <= now:
            _, tid = heapq.heappop(market.agenda)
            if tid in market.trades:
                run_plans(market, market.trades[tid])
                looked_at += 1
    return looked_at


def run_plans(market: Market, trade: Trade) -> None:
    now = market.clock()
    due = sorted((plan for plan in trade.plans if plan.due <= now), key=lambda plan: plan.due)
    trade.plans = [plan for plan in trade.plans if plan.due > now]
    for plan in due:
        _ACTIONS[plan.action](market, trade, plan.line)
        market.mark("trade", trade.tid, trade)


def plan(market: Market, trade: Trade, *, seconds: float, action: str) -> None:
    trade.plans.append(Plan(market.clock() + seconds, action))
    heapq.heappush(market.agenda, (trade.plans[-1].due, trade.tid))


def pay(market: Market, trade: Trade, _line: int = 0) -> None:
    if trade.status != WAIT_PAY:
        return
    market.remember(trade)
    trade.paid_at = int(market.clock())
    trade.step_status = trade.step_status and ALL_STEPS_PAID
    _set_status(trade, TO_SEND)
    for fault, (status, seconds) in _HOLDS.items():
        if trade.status == TO_SEND and market.dice.falls(fault):
            _set_status(trade, status)
            plan(market, trade, seconds=seconds, action="release")
    market.touch(trade)


def release(market: Market, trade: Trade, _line: int = 0) -> None:
    if trade.status not in (UNHEARD_OF, FORBID_CONSIGN):
        return
    market.remember(trade)
    _set_status(trade, TO_SEND)
    market.touch(trade)


def close_unpaid(market: Market, trade: Trade, _line: int = 0) -> None:
    """The buyer walks away: the units go back on the shelf."""
    if trade.status != WAIT_PAY:
        return
    market.remember(trade)
    for line in trade.lines:
        _take_from_shelf(market, line.sku_id, -line.num)
    _set_status(trade, CLOSED_UNPAID)
    trade.end_at = int(market.clock())
    market.touch(trade)


def change_memo(market: Market, trade: Trade, _line: int = 0, *, memo: str = "") -> None:
    market.remember(trade)
    rng = market.rng_for("memo", trade.tid, trade.modified)
    trade.seller_memo = memo or draw_memo(rng)
    trade.seller_flag = (trade.seller_flag + 1) % 6
    market.touch(trade)


def change_address(market: Market, trade: Trade, _line: int = 0, *, address: str = "") -> None:
    if trade.status not in (WAIT_PAY, TO_SEND, FORBID_CONSIGN, UNHEARD_OF):
        return
    market.remember(trade)
    trade.receiver.address = address or draw_address(market.rng_for("address", trade.tid, trade.modified))
    market.touch(trade)


def finish(market: Market, trade: Trade, _line: int = 0) -> None:
    """The buyer confirms what was sent."""
    if trade.status != SENT:
        return
    market.remember(trade)
    trade.end_at = int(market.clock())
    _set_status(trade, FINISHED)
    market.touch(trade)


def cancel(market: Market, trade: Trade) -> None:
    """Closed before payment, or paid back in full before it was sent. Raises Refused once a line was sent."""
    if trade.status == WAIT_PAY:
        close_unpaid(market, trade)
        return
    if trade.status in (CLOSED, CLOSED_UNPAID, FINISHED) or any(line.times_sent for line in trade.lines):
        raise Refused("isv.trade-status-error", f"trade {trade.tid} is {trade.status}")
    for position, line in enumerate(trade.lines):
        if line.refund_status != REFUND_DONE:
            refunds.ask_refund(market, trade, position)
            refunds.agree(market, trade, position)


def _set_status(trade: Trade, status: str) -> None:
    trade.status = status
    for line in trade.live_lines:
        line.status = status
        if status in (FINISHED, CLOSED_UNPAID):
            line.end_at = trade.end_at


_ACTIONS = {
    "pay": pay,
    "release": release,
    "close": close_unpaid,
    "change_memo": change_memo,
    "change_address": change_address,
    "ask_refund": refunds.ask_refund,
    "agree": refunds.agree,
    "withdraw": refunds.withdraw,
    "finish": finish,
}

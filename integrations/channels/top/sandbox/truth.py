"""What really happened, from the market's own records: the other side of every comparison that a drill
makes.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from .market import Market
from .trades import Trade
from .wire import show_time, show_yuan


def tell_truth(market: Market, *, is_brief: bool = False) -> dict[str, Any]:
    with market.reading():
        told = _count(market)
        if not is_brief:
            told["orders"] = [_tell_trade(trade) for trade in market.trades.values()]
            told["skus"] = [
                {
                    "num_iid": str(listing.num_iid),
                    "sku_id": str(listing.sku_id),
                    "outer_sku_id": listing.outer_sku_id,
                    "title": listing.title,
                    "quantity": listing.quantity,
                    "sold": listing.sold,
                    "updates": listing.updates,
                    "price": show_yuan(listing.price),
                    "is_on_sale": listing.is_on_sale,
                }
                for listing in market.shelf
            ]
            told["refunds"] = [
                {
                    "refund_id": str(refund.refund_id),
                    "tid": str(refund.tid),
                    "oid": str(refund.oid),
                    "status": refund.status,
                }
                for refund in market.refunds.values()
            ]
    return told


def _count(market: Market) -> dict[str, Any]:
    trades = market.trades.values()
    lines = [line for trade in trades for line in trade.lines]
    return {
        "orders_placed": len(market.trades),
        "buyers_turned_away": market.turned_away,
        "by_status": dict(Counter(trade.status for trade in trades)),
        "lines": len(lines),
        "lines_by_refund_status": dict(Counter(line.refund_status for line in lines)),
        "lines_sent": sum(1 for line in lines if line.times_sent),
        "lines_sent_twice": sum(1 for line in lines if line.times_sent > 1),
        "send_attempts": sum(len(trade.attempts) for trade in trades),
        "send_attempts_refused": sum(1 for trade in trades for attempt in trade.attempts if attempt.error),
        "units_sold": sum(listing.sold for listing in market.shelf),
        "units_shown": sum(listing.quantity for listing in market.shelf),
        "quantity_updates": sum(listing.updates for listing in market.shelf),
        "fallen": {name: count for name, count in market.dice.fallen.items() if count},
    }


def _tell_trade(trade: Trade) -> dict[str, Any]:
    return {
        "tid": str(trade.tid),
        "status": trade.status,
        "created": show_time(trade.created),
        "modified": show_time(trade.modified),
        "payment": show_yuan(trade.payment),
        "post_fee": show_yuan(trade.post_fee),
        "is_paid": bool(trade.paid_at),
        "send_attempts": len(trade.attempts),
        "attempts": [vars(attempt) for attempt in trade.attempts],
        "lines": [
            {
                "oid": str(line.oid),
                "num_iid": str(line.num_iid),
                "sku_id": str(line.sku_id),
                "outer_sku_id": line.outer_sku_id,
                "num": line.num,
                "status": line.status,
                "refund_status": line.refund_status,
                "divide_order_fee": show_yuan(line.divide_order_fee),
                "times_sent": line.times_sent,
                "company_code": line.company_code,
                "out_sid": line.out_sid,
            }
            for line in trade.lines
        ],
    }

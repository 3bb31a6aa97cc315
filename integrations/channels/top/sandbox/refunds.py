"""Refund cases: asked for by the buyer, then agreed, refused or withdrawn.

While a case is open the trade's status stays as it is; only the line's refund_status moves (TOP
documentation, trade.fullinfo.get).
"""

from __future__ import annotations

from .market import Market, Refused
from .trades import (
    CLOSED,
    FORBID_CONSIGN,
    PART_SENT,
    REFUND_CLOSED,
    REFUND_DONE,
    REFUND_OPEN,
    REFUND_REFUSED,
    SENT,
    TO_SEND,
    UNHEARD_OF,
    Line,
    Refund,
    Trade,
)

_REASONS = ("不想要了", "拍错了", "信息填写错误", "缺货", "7天无理由退换货")
_REFUND_BASE = 150_000_000_000_001
_MAY_ASK = (TO_SEND, FORBID_CONSIGN, UNHEARD_OF, PART_SENT, SENT)


def ask_refund(market: Market, trade: Trade, position: int = 0) -> None:
    """Opens a case for one line, once: a line with a live or settled case, or unpaid, is left alone."""
    line = trade.lines[position]
    if line.status not in _MAY_ASK or line.refund_status in (REFUND_OPEN, REFUND_DONE):
        return
    market.remember(trade)
    now = int(market.clock())
    refund = Refund(
        refund_id=_REFUND_BASE + len(market.refunds),
        tid=trade.tid,
        oid=line.oid,
        created=now,
        modified=now,
        status=REFUND_OPEN,
        refund_fee=line.divide_order_fee,
        reason=market.rng_for("reason", line.oid).choice(_REASONS),
    )
    market.know_refund(refund)
    line.refund_id, line.refund_status = refund.refund_id, REFUND_OPEN
    market.touch(trade)


def agree(market: Market, trade: Trade, position: int = 0) -> None:
    """The money goes back: the line is closed, and the trade with its last line."""
    line = trade.lines[position]
    if line.refund_status != REFUND_OPEN:
        return
    market.remember(trade)
    line.status, line.end_at = CLOSED, int(market.clock())
    settle(market, line, REFUND_DONE)
    _follow_lines(trade, at=line.end_at)
    market.touch(trade)


def withdraw(market: Market, trade: Trade, position: int = 0) -> None:
    _end_open(market, trade, position, REFUND_CLOSED)


def refuse(market: Market, trade: Trade, position: int = 0) -> None:
    _end_open(market, trade, position, REFUND_REFUSED)


def position_of(trade: Trade, oid: int | None) -> int:
    """The place of a line in its trade; without an oid the first. Raises Refused for a foreign one."""
    if oid is None:
        return 0
    for position, line in enumerate(trade.lines):
        if line.oid == oid:
            return position
    raise Refused("isv.invalid-parameter:oid", f"order {oid} does not belong to trade {trade.tid}")


def _end_open(market: Market, trade: Trade, position: int, status: str) -> None:
    line = trade.lines[position]
    if line.refund_status != REFUND_OPEN:
        return
    market.remember(trade)
    settle(market, line, status)
    market.touch(trade)


def settle(market: Market, line: Line, status: str) -> None:
    """End the line's open case; the caller touches the trade."""
    line.refund_status = status
    refund = market.refunds[line.refund_id]
    refund.status = status
    market.touch_refund(refund)


def _follow_lines(trade: Trade, *, at: int) -> None:
    """After a line left the trade: closed when it was the last, sent when all the others are."""
    live = trade.live_lines
    if not live:
        trade.status, trade.end_at = CLOSED, at
    elif all(line.times_sent for line in live):
        trade.status = SENT

"""The traps that lie in the market itself: lists that move, repeat and shuffle, and replicas that lag."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from . import lives
from .market import Market
from .trades import Trade

_BORDER_SECONDS = 120

T = TypeVar("T")


def disturb_rows(market: Market, rows: Sequence[T]) -> list[T]:
    """Name one row twice, or lose the order of the page."""
    disturbed = list(rows)
    if disturbed and market.dice.falls("duplicate_rows"):
        disturbed.append(disturbed[market.dice.choose("duplicate_rows", len(disturbed))])
    if len(disturbed) > 1 and market.dice.falls("shuffled_rows"):
        disturbed.reverse()
    return disturbed


def disturb_window(market: Market, found: Sequence[Trade], read: Sequence[Trade], *, end: int) -> None:
    """After the page was read: a trade of the window changes now, or commits late with the window's last second."""
    read_tids = {trade.tid for trade in read}
    others = [trade for trade in found if trade.tid not in read_tids]
    if others and market.dice.falls("shifting_pages"):
        lives.change_memo(market, others[market.dice.choose("shifting_pages", len(others))])
    is_border_near = 0 <= int(market.clock()) - end < _BORDER_SECONDS
    if found and is_border_near and market.dice.falls("same_second"):
        trade = found[market.dice.choose("same_second", len(found))]
        if trade.modified <= end:
            lives.change_memo(market, trade)
            market.touch(trade, second=end)


def stale_version(market: Market, tid: int) -> dict[str, Any] | None:
    version = market.recent_version(tid)
    return version if version is not None and market.dice.falls("stale_detail") else None

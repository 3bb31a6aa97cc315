"""One page for people: what the sandbox holds, and its last orders. Plain HTML, no scripts."""

from __future__ import annotations

from html import escape
from itertools import islice

from .market import Market
from .trades import Trade
from .truth import tell_truth
from .wire import show_time, show_yuan

_HEAD = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>TOP sandbox</title>
<style>body{font:14px/1.5 system-ui,sans-serif;margin:2rem;color:#1c2430;background:#fff}
table{border-collapse:collapse;margin:1rem 0}
th,td{padding:.25rem .75rem;border-bottom:1px solid #ccd3dc;text-align:left}
td.n{text-align:right;font-variant-numeric:tabular-nums}</style></head><body><main><h1>TOP sandbox</h1>
<p>A stand-in for the platform, not Taobao itself: it keeps its own orders and its own stock.</p>"""


def show_page(market: Market) -> bytes:
    counts = tell_truth(market, is_brief=True)
    with market.reading():
        latest = list(islice(reversed(market.trades.values()), 50))
        rows = "".join(_row(trade) for trade in latest)
    numbers = "".join(
        f"<tr><th scope='row'>{escape(name)}</th><td class='n'>{escape(str(value))}</td></tr>"
        for name, value in _flat(counts).items()
    )
    heads = "".join(
        f"<th scope='col'>{name}</th>"
        for name in ("Trade", "Status", "Placed", "Changed", "Lines", "Payment", "Refunds")
    )
    return (
        f"{_HEAD}<h2>Counts</h2><table>{numbers}</table><h2>Last 50 orders</h2>"
        f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></main></body></html>"
    ).encode()


def _flat(counts: dict[str, object]) -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in counts.items():
        if isinstance(value, dict):
            flat |= {f"{name}: {key}": number for key, number in value.items()}
        else:
            flat[name] = value
    return flat


def _row(trade: Trade) -> str:
    lines = ", ".join(f"{line.outer_sku_id} × {line.num}" for line in trade.lines)
    cases = ", ".join(line.refund_status for line in trade.lines if line.refund_id)
    cells = (
        trade.tid,
        trade.status,
        show_time(trade.created),
        show_time(trade.modified),
        lines,
        show_yuan(trade.payment),
        cases,
    )
    return "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>"

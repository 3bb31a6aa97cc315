"""Sending: what logistics.offline.send does to a trade, and the companies that may carry it.

Source: TOP documentation, logistics.offline.send: partial sending is is_split=1 with sub_tid; a second
sending is an isv error.
"""

from __future__ import annotations

from collections.abc import Sequence

from . import lives, refunds
from .market import Market, Refused
from .trades import PART_SENT, REFUND_CLOSED, REFUND_OPEN, SENT, TO_SEND, Attempt, Line, Trade

_WAYBILL = "^[A-Za-z0-9-]{4,40}$"

COMPANIES = (
    (505, "SF", "顺丰速运"),
    (101, "YTO", "圆通速递"),
    (500, "ZTO", "中通快递"),
    (100, "STO", "申通快递"),
    (102, "YUNDA", "韵达快递"),
    (2, "EMS", "EMS"),
    (1, "POST", "中国邮政"),
    (200734385, "POSTB", "邮政快递包裹"),
    (502, "HTKY", "百世快递"),
    (1259, "UC", "优速快递"),
    (107, "DBL", "德邦物流"),
    (1056, "JD", "京东快递"),
    (200660665, "JTSD", "极兔速递"),
    (504, "TTKDEX", "天天快递"),
    (1214, "ZJS", "宅急送"),
    (-1, "OTHER", "其他"),
)


def show_companies() -> list[dict[str, object]]:
    return [
        {"id": number, "code": code, "name": name, "reg_mail_no": _WAYBILL}
        for number, code, name in COMPANIES
    ]


def send(market: Market, *, tid: int, oids: Sequence[int] | None, company_code: str, out_sid: str) -> None:
    """The whole rest of the trade, or the named lines, leave under this waybill. Every attempt is recorded.

    Raises Refused: unknown trade or line, wrong status, a line sent or closed before, unknown company.
    """
    with market.writing():
        trade = market.trade(tid)
        try:
            lines = _lines_to_send(market, trade, oids)
            _check_company(company_code)
        except Refused as refusal:
            _record(market, trade, oids or [], company_code, out_sid, error=refusal.sub_code)
            raise
        market.remember(trade)
        _record(market, trade, [line.oid for line in lines], company_code, out_sid)
        _mark_sent(market, trade, lines, company_code, out_sid)


def _lines_to_send(market: Market, trade: Trade, oids: Sequence[int] | None) -> list[Line]:
    if trade.status not in (TO_SEND, PART_SENT):
        raise _not_sendable(f"订单已发货或状态不允许发货: {trade.tid} {trade.status}")
    if oids is None:
        return [line for line in trade.live_lines if not line.times_sent]
    lines = [market.line(trade, oid) for oid in dict.fromkeys(oids)]
    for line in lines:
        if line.times_sent or not line.is_live:
            raise _not_sendable(f"子订单已发货或状态不允许发货: {line.oid} {line.status}")
    return lines


def _not_sendable(detail: str) -> Refused:
    return Refused("isv.logistics-offline-service-error:B04", detail)


def _check_company(company_code: str) -> None:
    if company_code not in {code for _, code, _ in COMPANIES}:
        raise Refused("isv.logistics-offline-service-error:P03", f"物流公司不存在: {company_code}")


def _record(
    market: Market, trade: Trade, oids: Sequence[int], company_code: str, out_sid: str, *, error: str = ""
) -> None:
    trade.attempts.append(Attempt(int(market.clock()), list(oids), company_code, out_sid, error))
    market.mark("trade", trade.tid, trade)


def _mark_sent(market: Market, trade: Trade, lines: Sequence[Line], company_code: str, out_sid: str) -> None:
    now = int(market.clock())
    for line in lines:
        line.status, line.consign_at, line.times_sent = SENT, now, line.times_sent + 1
        line.company_code, line.out_sid = company_code, out_sid
        if line.refund_status == REFUND_OPEN:  # what has left cannot be paid back as if it had not
            refunds.settle(market, line, REFUND_CLOSED)
    is_whole = all(line.times_sent for line in trade.live_lines)
    trade.status = SENT if is_whole else PART_SENT
    trade.consign_at = trade.consign_at or now
    if is_whole:
        seconds = market.rng_for("finish", trade.tid).uniform(60, 180)
        lives.plan(market, trade, seconds=seconds, action="finish")
    market.touch(trade)

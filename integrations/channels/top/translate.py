"""What TOP says about a trade or a refund, in Omni's words: pure functions on the hot path."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from typing import Any

from integrations.contract import BadPayload
from orders.draft import ChannelState, LineDraft, LineRefund, OrderDraft, Receiver, RefundDraft

CHINA = timezone(timedelta(hours=8))
"""TOP writes every moment in China time, without saying so (channels.md 2.2)."""

STATES: Mapping[str, ChannelState] = {
    "TRADE_NO_CREATE_PAY": ChannelState.PENDING_PAYMENT,
    "WAIT_BUYER_PAY": ChannelState.PENDING_PAYMENT,
    "PAY_PENDING": ChannelState.PENDING_PAYMENT,
    "WAIT_PRE_AUTH_CONFIRM": ChannelState.PENDING_PAYMENT,
    "PAID_FORBID_CONSIGN": ChannelState.ON_HOLD,
    "WAIT_SELLER_SEND_GOODS": ChannelState.TO_SHIP,
    "SELLER_CONSIGNED_PART": ChannelState.PARTIALLY_SHIPPED,
    "WAIT_BUYER_CONFIRM_GOODS": ChannelState.SHIPPED,
    "TRADE_BUYER_SIGNED": ChannelState.SHIPPED,
    "TRADE_FINISHED": ChannelState.COMPLETED,
    "TRADE_CLOSED_BY_TAOBAO": ChannelState.CANCELLED,
    "TRADE_CLOSED": ChannelState.CLOSED,
}
"""Trade status to canonical state: the TOP column of channels.md 2.1."""

LINE_REFUNDS: Mapping[str, LineRefund] = {
    "": LineRefund.NONE,
    "NO_REFUND": LineRefund.NONE,
    "WAIT_SELLER_AGREE": LineRefund.OPEN,
    "WAIT_BUYER_RETURN_GOODS": LineRefund.OPEN,
    "WAIT_SELLER_CONFIRM_GOODS": LineRefund.OPEN,
    "SELLER_REFUSE_BUYER": LineRefund.REFUSED,
    "CLOSED": LineRefund.REFUSED,
    "SUCCESS": LineRefund.DONE,
}

_STEPS_UNPAID = frozenset({"FRONT_NOPAID_FINAL_NOPAID", "FRONT_PAID_FINAL_NOPAID"})
_SHIPPED = frozenset({"WAIT_BUYER_CONFIRM_GOODS", "TRADE_BUYER_SIGNED", "TRADE_FINISHED"})
_ZERO = Decimal(0)
# numeric(20,4) ends at 10^16; nobody sells a trillion, but a broken amount can say so
_AMOUNT_LIMIT = Decimal(10) ** 12
_QUANTITY_LIMIT = 1_000_000


class _Unreadable(Exception):
    """One value that cannot be translated; never leaves this module."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def translate_trade(trade: Mapping[str, Any]) -> OrderDraft | BadPayload:
    """One trade of `taobao.trade.fullinfo.get` as an order, or the reason why a person must look at it.

    A status word that we do not know gives `ChannelState.UNKNOWN`, an unknown refund word an open refund:
    both mean that nothing ships. Whether the amounts add up is not judged here: the platform's figures are
    handed on as they are.
    """
    try:
        return _read_trade(trade)
    except _Unreadable as bad:
        return BadPayload(_text(trade.get("tid")), bad.reason, bad.detail, trade)


def translate_refund(refund: Mapping[str, Any]) -> RefundDraft | BadPayload:
    """One refund of `taobao.refunds.receive.get`, or the reason why a person must look at it."""
    try:
        return _read_refund(refund)
    except _Unreadable as bad:
        return BadPayload(_text(refund.get("tid")), bad.reason, bad.detail, refund)


def _read_trade(trade: Mapping[str, Any]) -> OrderDraft:
    get = trade.get
    outer_id = _id(trade, "tid", "the trade")
    raw_lines = _raw_lines(trade)
    freight = _optional_amount(trade, "post_fee", "the trade")
    postage = freight if len(raw_lines) == 1 else None
    lines = [_read_line(raw, postage) for raw in raw_lines]
    if len(lines) > 1 and len({line.outer_line_id for line in lines}) != len(lines):
        raise _Unreadable(
            "duplicate_line",
            f"Trade {outer_id} names one oid on two lines: read it again from the platform, or mend it.",
        )
    raw_state = _text(get("status"))
    return OrderDraft(
        outer_id=outer_id,
        state=_state(raw_state, get("step_trade_status")),
        outer_modified_at=_moment(trade, "modified", "the trade"),
        placed_at=_moment(trade, "created", "the trade"),
        currency="CNY",
        total_amount=_amount(trade, "payment", "the trade"),
        lines=lines,
        raw_state=raw_state,
        paid_at=_moment(trade, "pay_time", "the trade") if get("pay_time") else None,
        freight_amount=freight,
        discount_amount=_optional_amount(trade, "discount_fee", "the trade"),
        buyer=_text(get("buyer_open_uid") or get("buyer_nick")),
        buyer_message=_text(get("buyer_message")),
        seller_memo=_text(get("seller_memo")),
        receiver=_receiver(get),
        payload=trade,
    )


def _raw_lines(trade: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    wrapped = trade.get("orders")
    found = wrapped.get("order") if isinstance(wrapped, Mapping) else None
    if not found or not isinstance(found, list) or not isinstance(found[0], Mapping):
        raise _Unreadable(
            "no_lines",
            "The trade has no order lines (orders.order): read it again from the platform; if it stays so, "
            "close it there.",
        )
    return found


def _read_line(line: Mapping[str, Any], postage: Decimal | None) -> LineDraft:
    get = line.get
    outer_line_id = _id(line, "oid", "an order line")
    where = f"line {outer_line_id}"
    return LineDraft(
        outer_line_id=outer_line_id,
        quantity=_quantity(line, where),
        unit_price=_amount(line, "price", where),
        amount=_line_amount(line, postage, where),
        title=_text(get("title")),
        outer_item_id=_text(get("num_iid")),
        outer_sku_id=_text(get("sku_id")),
        # a line of an item without SKUs carries the seller's code in outer_iid only
        sku_code=_text(get("outer_sku_id") or get("outer_iid")),
        refund=LINE_REFUNDS.get(_text(get("refund_status")), LineRefund.OPEN),
        outer_refund_id=_text(get("refund_id")),
        is_shipped=get("status") in _SHIPPED,
    )


def _line_amount(line: Mapping[str, Any], postage: Decimal | None, where: str) -> Decimal:
    """What the buyer pays for the line: its share after the discounts on the whole trade (channels.md
    section 3).

    Without `divide_order_fee`: `payment`, which on a one-line trade includes the postage and on a longer
    trade does not yet know its share of the trade's discount. `postage`: that of the whole trade, on a one-
    line trade only.
    """
    if line.get("divide_order_fee"):
        return _amount(line, "divide_order_fee", where)
    payment = _amount(line, "payment", where)
    inside = _optional_amount(line, "part_mjz_discount", where) if postage is None else postage
    return max(payment - inside, _ZERO)


def _state(raw_state: str, step: object) -> ChannelState:
    state = STATES.get(raw_state, ChannelState.UNKNOWN)
    if step in _STEPS_UNPAID and state in (ChannelState.TO_SHIP, ChannelState.ON_HOLD):
        # pre-sale: a paid deposit is no licence to ship
        return ChannelState.PENDING_PAYMENT
    return state


def _receiver(get: Any) -> Receiver:
    token = _text(get("oaid"))
    name = _text(get("receiver_name"))
    address = _text(get("receiver_address"))
    mobile = _text(get("receiver_mobile"))
    return Receiver(
        name=name,
        mobile=mobile,
        phone=_text(get("receiver_phone")),
        country=_text(get("receiver_country")),
        province=_text(get("receiver_state")),
        city=_text(get("receiver_city")),
        district=_text(get("receiver_district")),
        town=_text(get("receiver_town")),
        address=address,
        postcode=_text(get("receiver_zip")),
        token=token,
        is_masked=token != "" or "*" in name or "*" in mobile or "*" in address,
    )


def _read_refund(refund: Mapping[str, Any]) -> RefundDraft:
    outer_refund_id = _id(refund, "refund_id", "the refund")
    where = f"refund {outer_refund_id}"
    raw_state = _text(refund.get("status"))
    return RefundDraft(
        outer_refund_id=outer_refund_id,
        outer_id=_id(refund, "tid", where),
        outer_line_id=_id(refund, "oid", where),
        state=_refund_state(raw_state, where),
        raw_state=raw_state,
        amount=_amount(refund, "refund_fee", where),
        currency="CNY",
        outer_modified_at=_moment(refund, "modified", where),
        payload=refund,
    )


def _refund_state(raw_state: str, where: str) -> Any:
    known = LINE_REFUNDS.get(raw_state, LineRefund.NONE)
    if known is LineRefund.NONE:
        raise _Unreadable(
            "unknown_refund_state",
            f"{raw_state!r}, the status of {where}, is not known: look at the case on the platform, then add the word.",
        )
    return known.value


# --- single values ---


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _id(row: Mapping[str, Any], name: str, where: str) -> str:
    """An id as text: TOP writes 19-digit numbers, which a float would spoil."""
    value = row.get(name)
    if type(value) is int:
        if value > 0:
            return str(value)
    elif isinstance(value, str) and value.isascii() and value.isdigit():
        return value
    raise _Unreadable(
        f"bad_{name}",
        f"{name} of {where} is {value!r}, not a number: read it again from the platform.",
    )


def _quantity(line: Mapping[str, Any], where: str) -> int:
    value = line.get("num")
    try:
        quantity = int(value) if isinstance(value, str) else value
    except ValueError:
        quantity = None
    if type(quantity) is int and 0 < quantity < _QUANTITY_LIMIT:
        return quantity
    raise _Unreadable(
        "bad_quantity",
        f"num of {where} is {value!r}: a line needs at least 1. Mend it or drop the line.",
    )


def _amount(row: Mapping[str, Any], name: str, where: str) -> Decimal:
    value = row.get(name)
    try:
        if type(value) is not str:
            value = _plain_number(value)
        amount = Decimal(value)
        if _ZERO <= amount < _AMOUNT_LIMIT:
            return amount
    except (InvalidOperation, ValueError):
        pass
    raise _Unreadable(
        "bad_amount",
        f"{name} of {where} is {row.get(name)!r}, not yuan such as '12.34': mend it and try again.",
    )


def _plain_number(value: object) -> str:
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return str(value)
    raise ValueError


def _optional_amount(row: Mapping[str, Any], name: str, where: str) -> Decimal:
    return _amount(row, name, where) if row.get(name) else _ZERO


def read_moment(value: object) -> datetime | None:
    """The moment that TOP writes as exactly "yyyy-MM-dd HH:mm:ss", in China time; None if it is none."""
    # fromisoformat alone would also take a date, or a time with an offset that we drop
    if isinstance(value, str) and len(value) == 19 and value[10] == " " and value[16] == ":":
        try:
            return datetime.fromisoformat(value).replace(tzinfo=CHINA)
        except ValueError:
            pass
    return None


def _moment(row: Mapping[str, Any], name: str, where: str) -> datetime:
    value = row.get(name)
    moment = read_moment(value)
    if moment is not None:
        return moment
    raise _Unreadable(
        "bad_time",
        f"{name} of {where} is {value!r}, not a moment such as '2026-01-31 08:00:00': mend it and try again.",
    )

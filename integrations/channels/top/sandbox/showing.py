"""How a trade, a refund case and a SKU look in an answer: TOP's field names, yuan strings and China time.

Source: TOP documentation, the response tables of trade.fullinfo.get, trades.sold.increment.get,
refunds.receive.get, item.skus.get.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .catalogue import Listing
from .people import mask, mask_mobile
from .trades import FINISHED, NO_REFUND, Line, Refund, Trade
from .wire import show_time, show_yuan

Fields = Mapping[str, Any]

_ONLY_IN_DETAIL = frozenset({"buyer_message", "seller_memo", "promotion_details", "tid_str"})
_ONLY_IN_DETAIL_LINE = frozenset({"oid_str"})
_NEEDED_FOR_OAID = frozenset(
    {"receiver_name", "receiver_address", "created", "receiver_mobile", "receiver_phone"}
)


def show_trade(trade: Trade, *, is_masked: bool) -> dict[str, Any]:
    """Everything that the detail can say."""
    first = trade.lines[0]
    shown: dict[str, Any] = {
        "tid": trade.tid,
        "tid_str": str(trade.tid),
        "status": trade.status,
        "type": "step" if trade.step_status else "fixed",
        "title": "Omni 官方旗舰店",
        "seller_nick": "omni旗舰店",
        "buyer_nick": trade.buyer_nick,
        "buyer_open_uid": _token("uid", trade.buyer_nick + trade.receiver.mobile),
        "created": show_time(trade.created),
        "modified": show_time(trade.modified),
        "num": sum(line.num for line in trade.lines),
        "num_iid": first.num_iid,
        "price": show_yuan(first.price),
        "total_fee": show_yuan(trade.total_fee),
        "discount_fee": show_yuan(trade.discount_fee),
        "adjust_fee": "0.00",
        "post_fee": show_yuan(trade.post_fee),
        "payment": show_yuan(trade.payment),
        "received_payment": show_yuan(trade.payment if trade.status == FINISHED else 0),
        "seller_flag": trade.seller_flag,
        "has_buyer_message": bool(trade.buyer_message),
        "shipping_type": "express",
        "is_part_consign": any(line.times_sent for line in trade.lines),
        "trade_from": "TAOBAO",
        "orders": {"order": [_show_line(trade, line) for line in trade.lines]},
    }
    _add_moments(shown, trade.paid_at, trade.consign_at, trade.end_at)
    if trade.step_status:
        shown |= {"step_trade_status": trade.step_status, "step_paid_fee": show_yuan(trade.step_paid)}
    shown |= _show_receiver(trade, is_masked=is_masked)
    return shown | _show_detail(trade)


def _add_moments(shown: dict[str, Any], paid_at: int, consign_at: int, end_at: int) -> None:
    for name, second in (("pay_time", paid_at), ("consign_time", consign_at), ("end_time", end_at)):
        if second:
            shown[name] = show_time(second)


def _show_receiver(trade: Trade, *, is_masked: bool) -> dict[str, Any]:
    receiver = trade.receiver
    return {
        "receiver_name": mask(receiver.name) if is_masked else receiver.name,
        "receiver_mobile": mask_mobile(receiver.mobile) if is_masked else receiver.mobile,
        "receiver_phone": "",
        "receiver_country": "中国",
        "receiver_state": receiver.state,
        "receiver_city": receiver.city,
        "receiver_district": receiver.district,
        "receiver_town": "",
        "receiver_address": mask(receiver.address) if is_masked else receiver.address,
        "receiver_zip": "000000" if is_masked else receiver.zip,
        "oaid": _token("oaid", receiver.name + receiver.mobile + receiver.address),
    }


def _show_detail(trade: Trade) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    if trade.buyer_message:
        shown["buyer_message"] = trade.buyer_message
    if trade.seller_memo:
        shown["seller_memo"] = trade.seller_memo
    if trade.promotion:
        promotion = {
            "id": trade.tid,
            "promotion_name": trade.promotion,
            "discount_fee": show_yuan(trade.discount_fee),
        }
        shown["promotion_details"] = {"promotion_detail": [promotion]}
    return shown


def _show_line(trade: Trade, line: Line) -> dict[str, Any]:
    is_single = len(trade.lines) == 1
    shown: dict[str, Any] = {
        "oid": line.oid,
        "oid_str": str(line.oid),
        "status": line.status,
        "title": line.title,
        "num": line.num,
        "num_iid": line.num_iid,
        "sku_id": str(line.sku_id),
        "outer_iid": line.outer_iid,
        "outer_sku_id": line.outer_sku_id,
        "sku_properties_name": line.sku_name,
        "price": show_yuan(line.price),
        "total_fee": show_yuan(line.total_fee),
        # a trade of one line carries the postage in its line's payment
        "payment": show_yuan(trade.payment if is_single else line.total_fee),
        "discount_fee": show_yuan(line.discount),
        "adjust_fee": show_yuan(line.adjust),
        "divide_order_fee": show_yuan(line.divide_order_fee),
        "part_mjz_discount": show_yuan(line.part_mjz),
        "refund_status": line.refund_status,
    }
    if line.refund_status != NO_REFUND:
        shown["refund_id"] = str(line.refund_id)
    if line.times_sent:
        shown |= {"logistics_company": line.company_code, "invoice_no": line.out_sid}
    _add_moments(shown, 0, line.consign_at, line.end_at)
    return shown


def show_refund(refund: Refund, trade: Trade) -> dict[str, Any]:
    line = next(each for each in trade.lines if each.oid == refund.oid)
    return {
        "refund_id": str(refund.refund_id),
        "tid": refund.tid,
        "oid": refund.oid,
        "status": refund.status,
        "order_status": line.status,
        "good_status": "BUYER_RECEIVED" if line.status == FINISHED else "BUYER_NOT_RECEIVED",
        "has_good_return": False,
        "created": show_time(refund.created),
        "modified": show_time(refund.modified),
        "refund_fee": show_yuan(refund.refund_fee),
        "total_fee": show_yuan(line.total_fee),
        "payment": show_yuan(trade.payment - refund.refund_fee),
        "reason": refund.reason,
        "desc": refund.reason,
        "title": line.title,
        "num": line.num,
        "num_iid": line.num_iid,
        "sku": f"{line.sku_id}|{line.sku_name}",
        "outer_id": line.outer_sku_id,
        "refund_phase": refund.phase,
        "refund_version": refund.version,
        "dispute_type": "REFUND",
        "seller_nick": "omni旗舰店",
        "buyer_nick": trade.buyer_nick,
    }


def show_sku(listing: Listing) -> dict[str, Any]:
    return {
        "sku_id": listing.sku_id,
        "num_iid": listing.num_iid,
        "properties": listing.properties,
        "properties_name": listing.sku_name,
        "quantity": listing.quantity,
        "price": show_yuan(listing.price),
        "outer_id": listing.outer_sku_id,
        "barcode": listing.barcode,
        "modified": show_time(listing.modified),
        "status": "normal",
    }


def show_item(listings: Sequence[Listing]) -> dict[str, Any]:
    """An item with the sum of what its SKUs show, at the lowest of their prices."""
    first = listings[0]
    return {
        "num_iid": first.num_iid,
        "title": first.title,
        "outer_id": first.outer_iid,
        "price": show_yuan(min(listing.price for listing in listings)),
        "num": sum(listing.quantity for listing in listings),
        "approve_status": "onsale" if first.is_on_sale else "instock",
        "modified": show_time(max(listing.modified for listing in listings)),
    }


def pick_trade(shown: Fields, fields: Iterable[str], *, is_list: bool) -> dict[str, Any]:
    """The asked fields only; a list knows fewer of them than the detail, and the oaid has its own rule."""
    names = set(fields)
    wanted = {name.split(".")[0] for name in names}
    if is_list:
        wanted -= _ONLY_IN_DETAIL
    wanted.discard("oaid")
    if names >= _NEEDED_FOR_OAID:
        wanted.add("oaid")
    picked = {name: value for name, value in shown.items() if name in wanted}
    if "orders" in picked:
        picked["orders"] = {"order": [_pick_line(line, names, is_list) for line in shown["orders"]["order"]]}
    return picked


def _pick_line(line: Fields, names: set[str], is_list: bool) -> dict[str, Any]:
    dotted = {name.removeprefix("orders.") for name in names if name.startswith("orders.")}
    hidden = _ONLY_IN_DETAIL_LINE if is_list else frozenset()
    return {
        name: value
        for name, value in line.items()
        if name not in hidden and ("orders" in names or name in dotted)
    }


def pick(shown: Fields, fields: Iterable[str]) -> dict[str, Any]:
    names = set(fields)
    return {name: value for name, value in shown.items() if name in names}


def _token(kind: str, text: str) -> str:
    return hashlib.sha256(f"{kind}:{text}".encode()).hexdigest()[:40]

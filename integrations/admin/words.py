"""The stable words of this room, said in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

# What each scope of an API key lets a machine do: (in a few words, what that means).
SCOPE_WORDS: Mapping[str, tuple[Promise, Promise]] = {
    "orders:read": (
        _("Read orders"),
        _("orders with their lines, holds and timeline, and parked orders; receivers are masked"),
    ),
    "orders:write": (_("Send and cancel orders"), _("capture orders, cancel them, retry parked ones")),
    "products:read": (
        _("Read products"),
        _("brands, categories, products, SKUs, pictures, shops, listings and differences to channels"),
    ),
    "products:write": (
        _("Change products"),
        _("products with their SKUs, pictures, listings, and what settles differences to channels"),
    ),
    "prices:read": (_("Read prices"), _("what things cost and why, and what is asked for")),
    "prices:write": (_("Ask for prices"), _("write prices down, submit them, take them back")),
    "listings:approve": (_("Decide on listings"), _("approve and reject what somebody has submitted")),
    "prices:approve": (_("Decide on prices"), _("approve and reject what somebody else has asked for")),
    "stock:read": (_("Read stock"), _("what lies where, what may be sold, what the channels were told")),
    "quotas:write": (_("Set quota rules"), _("say how shops share in the stock")),
    "stock:write": (
        _("Book stock"),
        _("receipts, counts and adjustments; figures to compare, and what is decided on differences"),
    ),
    "holds:write": (_("Hold stock"), _("keep goods for a buyer for some minutes, and give them back")),
    "quotas:write": (_("Set quota rules"), _("say how shops share in the stock")),
    "shipments:read": (_("Read shipments"), _("what was sent, in which parcels, with which numbers")),
    "shipments:write": (_("Report shipments"), _("no address of the API asks for it yet")),
}


def scope_text(scope: str) -> str:
    """The few words for a scope; one that has none yet is shown as it is."""
    known = SCOPE_WORDS.get(scope)
    return str(known[0]) if known else scope


def scopes_text(scopes: Sequence[str]) -> str:
    return ", ".join(scope_text(scope) for scope in scopes) or "–"


# What was said over a connection: the call or the stream in which it was said. Methods of a warehouse's call-back keep
# their name beside the words, because its people know them by it.
OPERATIONS: Mapping[str, Promise] = {
    "orders": _("pull of orders"),
    "refunds": _("pull of refunds"),
    "compare": _("comparison of orders"),
    "compare.missing": _("order that the pull had missed"),
    "compare.extra": _("order that the channel does not list"),
    "stock": _("stock"),
    "push_stock": _("stock told"),
    "prices": _("prices"),
    "push_prices": _("price told"),
    "items": _("survey of items"),
    "listings": _("listing requests"),
    "list_items": _("put on sale"),
    "delist_items": _("taken off sale"),
    "update_items": _("title told"),
    "dispatch": _("dispatch notices"),
    "push_dispatch": _("parcel told"),
    "release": _("release to the warehouse"),
    "cancel": _("cancellation asked"),
    "settle": _("unanswered releases asked"),
    "compare_stock": _("stock compare"),
    "compare_stock.unknown": _("item that could not be compared"),
    "create_delivery": _("release to the warehouse"),
    "cancel_delivery": _("cancellation asked"),
    "find_delivery": _("unanswered release asked"),
    "probe": _("test of the connection"),
    "take.delivery": _("delivery reported: not worked in"),
    "take.delivery_part": _("part delivery reported: not worked in"),
    "take.progress": _("progress reported: not worked in"),
    "take.stock_change": _("stock change reported: not worked in"),
    "?": _("unreadable call-back"),
}
CALLBACKS: Mapping[str, Promise] = {
    "deliveryorder.confirm": _("delivery reported"),
    "orderprocess.report": _("progress reported"),
    "stockchange.report": _("stock change reported"),
}
INBOUND_KINDS: Mapping[str, Promise] = {
    "delivery": _("delivery reported"),
    "delivery_part": _("part delivery reported"),
    "progress": _("progress reported"),
    "stock_change": _("stock change reported"),
}


def operation_text(operation: str) -> str:
    """The words for what was said; a call that is not known here keeps its name."""
    method = operation.removeprefix("taobao.qimen.")
    if method in CALLBACKS:
        return f"{CALLBACKS[method]} ({method})"
    known = OPERATIONS.get(operation)
    return str(known) if known else operation


def inbound_kind_text(kind: str) -> str:
    known = INBOUND_KINDS.get(kind)
    return str(known) if known else kind

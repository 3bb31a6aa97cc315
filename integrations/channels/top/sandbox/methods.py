"""The TOP methods that the sandbox answers: read the parameters, ask the market, show the result.

Source of names, limits and field tables: TOP documentation of each method.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from . import parcels, shelf, traps
from .catalogue import Listing
from .market import Market, Refused, Timeline
from .showing import pick, pick_trade, show_item, show_refund, show_sku, show_trade
from .trades import Refund, Trade
from .wire import invalid_argument, missing_argument, read_cents, read_time, show_time

Parameters = Mapping[str, str]
Answer = dict[str, Any]

_DAY = 86_400
_PAGE_SIZE, _PAGE_SIZE_MAX, _ITEM_PAGE_SIZE_MAX = 40, 100, 200

T = TypeVar("T", Trade, Refund, list[Listing])


@dataclass(frozen=True, slots=True)
class Method:
    answer: Callable[[Market, Parameters], Answer]
    is_write: bool = False
    needs_session: bool = True


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for. `has_next_only`: the answer says has_next and no total_results."""

    number: int
    size: int
    has_next_only: bool

    def cut(self, rows: Sequence[T]) -> Sequence[T]:
        return rows[(self.number - 1) * self.size : self.number * self.size]

    def describe(self, count: int) -> Answer:
        if self.has_next_only:
            return {"has_next": count > self.number * self.size}
        return {"total_results": count}


# lists


def list_changed_trades(market: Market, given: Parameters) -> Answer:
    start, end = _read_window(given, "start_modified", "end_modified")
    return _list_trades(market, given, market.by_modified, start, end)


def list_placed_trades(market: Market, given: Parameters) -> Answer:
    now = int(market.clock())
    start = _read_moment(given, "start_created", now - 90 * _DAY)
    end = _read_moment(given, "end_created", now)
    return _list_trades(market, given, market.by_created, start, end)


def _list_trades(market: Market, given: Parameters, timeline: Timeline, start: int, end: int) -> Answer:
    fields, page = _read_fields(given), _read_page(given)
    with market.writing():
        found = market.visible_trades(timeline.between(start, end))
        found = [trade for trade in found if given.get("status") in (None, "", trade.status)]
        rows = traps.disturb_rows(market, page.cut(found))
        is_masked = market.dice.falls("masked_receivers")
        shown = [pick_trade(show_trade(trade, is_masked=is_masked), fields, is_list=True) for trade in rows]
        traps.disturb_window(market, found, rows, end=end)
    return page.describe(len(found)) | _wrap(market, "trades", "trade", shown)


def list_changed_refunds(market: Market, given: Parameters) -> Answer:
    fields, page = _read_fields(given), _read_page(given)
    now = int(market.clock())
    start = _read_moment(given, "start_modified", now - 90 * _DAY)
    end = _read_moment(given, "end_modified", now)
    with market.reading():
        found = [market.refunds[key] for key in market.refunds_by_modified.between(start, end)]
        found = [refund for refund in found if given.get("status") in (None, "", refund.status)]
        rows = traps.disturb_rows(market, page.cut(found))
        shown = [pick(show_refund(refund, market.trades[refund.tid]), fields) for refund in rows]
    return page.describe(len(found)) | _wrap(market, "refunds", "refund", shown)


def _wrap(market: Market, plural: str, singular: str, rows: list[Any]) -> Answer:
    """Lists are wrapped; an empty one is not there at all."""
    if not rows and market.dice.falls("missing_empty_list"):
        return {}
    return {plural: {singular: rows}}


# single records


def show_one_trade(market: Market, given: Parameters) -> Answer:
    fields, tid = _read_fields(given), _read_number(given, "tid")
    with market.reading():
        trade = market.trade(tid)
        shown = traps.stale_version(market, tid)
        if shown is None:
            shown = show_trade(trade, is_masked=market.dice.falls("masked_receivers"))
    return {"trade": pick_trade(shown, fields, is_list=False)}


def show_one_refund(market: Market, given: Parameters) -> Answer:
    fields, refund_id = _read_fields(given), _read_number(given, "refund_id")
    with market.reading():
        refund = market.refunds.get(refund_id)
        if refund is None:
            raise Refused("isv.refund-not-exist", f"refund {refund_id} does not exist")
        return {"refund": pick(show_refund(refund, market.trades[refund.tid]), fields)}


def show_skus(market: Market, given: Parameters) -> Answer:
    fields = _read_fields(given)
    items = [_to_number("num_iids", text) for text in _required(given, "num_iids").split(",")]
    if len(items) > 40:
        raise invalid_argument("num_iids", "at most 40 items")
    with market.reading():
        shown = [
            pick(show_sku(listing), fields) for item in items for listing in shelf.listings_of(market, item)
        ]
    return _wrap(market, "skus", "sku", shown)


def list_items_on_sale(market: Market, given: Parameters) -> Answer:
    return _list_items(market, given, is_on_sale=True)


def list_items_in_stock(market: Market, given: Parameters) -> Answer:
    return _list_items(market, given, is_on_sale=False)


def _list_items(market: Market, given: Parameters, *, is_on_sale: bool) -> Answer:
    fields, page = _read_fields(given), _read_page(given, size_max=_ITEM_PAGE_SIZE_MAX)
    with market.reading():
        found = shelf.items(market, is_on_sale=is_on_sale)
        shown = [pick(show_item(listings), fields) for listings in page.cut(found)]
    return page.describe(len(found)) | _wrap(market, "items", "item", shown)


def show_one_item(market: Market, given: Parameters) -> Answer:
    fields, num_iid = _read_fields(given), _read_number(given, "num_iid")
    with market.reading():
        return {"item": pick(show_item(shelf.listings_of(market, num_iid)), fields)}


def show_time_of_day(market: Market, given: Parameters) -> Answer:
    return {"time": show_time(market.clock())}


def list_companies(market: Market, given: Parameters) -> Answer:
    fields = _read_fields(given)
    return _wrap(
        market,
        "logistics_companies",
        "logistics_company",
        [pick(row, fields) for row in parcels.show_companies()],
    )


# writes


def send_offline(market: Market, given: Parameters) -> Answer:
    tid = _read_number(given, "tid")
    company_code, out_sid = _required(given, "company_code"), _required(given, "out_sid")
    parcels.send(market, tid=tid, oids=_read_split(given), company_code=company_code, out_sid=out_sid)
    return {"shipping": {"is_success": True}}


def _read_split(given: Parameters) -> list[int] | None:
    if given.get("is_split", "0") != "1":
        return None
    return [_to_number("sub_tid", text) for text in _required(given, "sub_tid").split(",")]


def update_quantities(market: Market, given: Parameters) -> Answer:
    num_iid = _read_number(given, "num_iid")
    mode = given.get("type") or "1"
    if mode not in ("1", "2"):
        raise invalid_argument("type", "1 or 2")
    name = "skuid_quantities" if given.get("skuid_quantities") else "outerid_quantities"
    wanted = _read_quantities(name, _required(given, name))
    changed = shelf.update_quantities(
        market,
        num_iid=num_iid,
        wanted=wanted,
        is_by_outer_id=name == "outerid_quantities",
        is_difference=mode == "2",
    )
    skus = [
        {"sku_id": each.sku_id, "modified": show_time(each.modified), "quantity": each.quantity}
        for each in changed
    ]
    total = sum(each.quantity for each in shelf.listings_of(market, num_iid))
    return {
        "item": {
            "num_iid": num_iid,
            "modified": show_time(market.clock()),
            "num": total,
            "skus": {"sku": skus},
        }
    }


def _read_quantities(name: str, text: str) -> list[tuple[str, int]]:
    """`id:number;id:number`; an outer code may itself hold a colon, the number never does."""
    parts = [part.rpartition(":") for part in text.split(";") if part]
    try:
        return [(key, int(number)) for key, _, number in parts]
    except ValueError:
        raise invalid_argument(name, f"not id:number;…: {text}") from None


def update_price(market: Market, given: Parameters) -> Answer:
    num_iid, properties = _read_number(given, "num_iid"), _required(given, "properties")
    price, item_price = _read_price(given, "price"), _read_price(given, "item_price")
    quantity = _read_number(given, "quantity") if given.get("quantity") else None
    with market.writing():
        if item_price is not None:
            shelf.check_item_price(
                market, num_iid=num_iid, properties=properties, price=price, item_price=item_price
            )
        is_refused_later = price is not None and market.dice.falls("price_review")
        listing = shelf.update_price(
            market,
            num_iid=num_iid,
            properties=properties,
            outer_id=given.get("outer_id", ""),
            price=None if is_refused_later else price,
            quantity=quantity,
        )
    return {"sku": {"num_iid": num_iid, "sku_id": listing.sku_id, "modified": show_time(listing.modified)}}


def update_item(market: Market, given: Parameters) -> Answer:
    """Only the title: what else the method can change, nobody here asks for."""
    num_iid = _read_number(given, "num_iid")
    shelf.retitle(market, num_iid=num_iid, title=_required(given, "title"))
    return {"item": {"num_iid": num_iid, "modified": show_time(market.clock())}}


def put_on_sale(market: Market, given: Parameters) -> Answer:
    num_iid = _read_number(given, "num_iid")
    shelf.put_on_sale(market, num_iid=num_iid, num=_read_number(given, "num"))
    return {"item": {"num_iid": num_iid, "modified": show_time(market.clock())}}


def take_off_sale(market: Market, given: Parameters) -> Answer:
    num_iid = _read_number(given, "num_iid")
    shelf.take_off_sale(market, num_iid=num_iid)
    return {"item": {"num_iid": num_iid, "modified": show_time(market.clock())}}


# parameters


def _required(given: Parameters, name: str) -> str:
    if not given.get(name):
        raise missing_argument(name)
    return given[name]


def _to_number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise invalid_argument(name, f"not a number: {text}") from None


def _read_number(given: Parameters, name: str) -> int:
    return _to_number(name, _required(given, name))


def _read_price(given: Parameters, name: str) -> int | None:
    if not given.get(name):
        return None
    try:
        return read_cents(given[name])
    except ValueError as wrong:
        raise invalid_argument(name, str(wrong)) from None


def _read_fields(given: Parameters) -> list[str]:
    return [name.strip() for name in _required(given, "fields").split(",")]


def _read_moment(given: Parameters, name: str, otherwise: int) -> int:
    if not given.get(name):
        return otherwise
    try:
        return read_time(given[name])
    except ValueError:
        raise invalid_argument(name, "yyyy-MM-dd HH:mm:ss") from None


def _read_window(given: Parameters, start_name: str, end_name: str) -> tuple[int, int]:
    _required(given, start_name), _required(given, end_name)
    start, end = _read_moment(given, start_name, 0), _read_moment(given, end_name, 0)
    if not start <= end <= start + _DAY:
        raise invalid_argument(end_name, "the window is at most one day and its end is not before its start")
    return start, end


def _read_page(given: Parameters, *, size_max: int = _PAGE_SIZE_MAX) -> Page:
    number = _to_number("page_no", given.get("page_no") or "1")
    size = _to_number("page_size", given.get("page_size") or str(_PAGE_SIZE))
    if number < 1:
        raise invalid_argument("page_no", "counts from 1")
    if not 1 <= size <= size_max:
        raise invalid_argument("page_size", f"1 to {size_max}")
    return Page(number, size, given.get("use_has_next", "").lower() == "true")


METHODS: Mapping[str, Method] = {
    "taobao.trades.sold.increment.get": Method(list_changed_trades),
    "taobao.trades.sold.get": Method(list_placed_trades),
    "taobao.trade.fullinfo.get": Method(show_one_trade),
    "taobao.refunds.receive.get": Method(list_changed_refunds),
    "taobao.refund.get": Method(show_one_refund),
    "taobao.item.skus.get": Method(show_skus),
    "taobao.items.onsale.get": Method(list_items_on_sale),
    "taobao.items.inventory.get": Method(list_items_in_stock),
    "taobao.item.seller.get": Method(show_one_item),
    "taobao.item.update": Method(update_item, is_write=True),
    "taobao.item.update.listing": Method(put_on_sale, is_write=True),
    "taobao.item.update.delisting": Method(take_off_sale, is_write=True),
    "taobao.logistics.offline.send": Method(send_offline, is_write=True),
    "taobao.skus.quantity.update": Method(update_quantities, is_write=True),
    "taobao.item.sku.price.update": Method(update_price, is_write=True),
    "taobao.time.get": Method(show_time_of_day, needs_session=False),
    "taobao.logistics.companies.get": Method(list_companies, needs_session=False),
}

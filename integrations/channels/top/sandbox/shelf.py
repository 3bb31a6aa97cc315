"""The platform's own numbers: how many units each SKU shows, and its price.

Source: TOP documentation, skus.quantity.update (at most 20 SKUs of one item; type 1 absolute, 2 difference,
never below zero), item.sku.price.update (the item's price stays inside the range of its SKUs' prices),
item.update.listing (an item without stock does not go on sale), item.update.delisting and item.update (a title has at
most 30 Chinese characters, which are 60 bytes of GBK). That an item which is where it should be is refused is this
sandbox's own severity, as are the words for a title that is refused: the documents do not say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .catalogue import Listing
from .market import Market, Refused

BATCH_MAX = 20
TITLE_BYTES_MAX = 60


def listings_of(market: Market, num_iid: int) -> list[Listing]:
    found = market.items.get(num_iid)
    if not found:
        raise Refused("isv.item-not-exist", f"item {num_iid} does not exist")
    return list(found)


def find_sku(market: Market, *, sku_id: int | None = None, outer_sku_id: str | None = None) -> Listing:
    for listing in market.shelf:
        if sku_id == listing.sku_id or (outer_sku_id and outer_sku_id == listing.outer_sku_id):
            return listing
    raise Refused("isv.sku-not-exist", f"SKU {sku_id or outer_sku_id} does not exist")


def update_quantities(
    market: Market,
    *,
    num_iid: int,
    wanted: Sequence[tuple[str, int]],
    is_by_outer_id: bool,
    is_difference: bool,
) -> list[Listing]:
    """All of them or none. A difference stops at zero; an absolute number below zero is refused."""
    with market.writing():
        listings = listings_of(market, num_iid)
        known = {(each.outer_sku_id if is_by_outer_id else str(each.sku_id)): each for each in listings}
        _check_quantities(known, wanted, is_difference)
        for name, number in wanted:
            listing = known[name]
            set_quantity(market, listing, max(0, listing.quantity + number) if is_difference else number)
        return [known[name] for name, _ in wanted]


def _check_quantities(
    known: Mapping[str, Listing], wanted: Sequence[tuple[str, int]], is_difference: bool
) -> None:
    if len(wanted) > BATCH_MAX:
        raise Refused("isv.invalid-parameter:skuid_quantities", f"at most {BATCH_MAX} SKUs")
    for name, number in wanted:
        if name not in known:
            raise Refused("isv.sku-not-exist", f"SKU {name} is not of this item")
        if number < 0 and not is_difference:
            raise Refused("isv.invalid-parameter:quantity", f"SKU {name}: {number} is below zero")


def set_quantity(market: Market, listing: Listing, quantity: int) -> None:
    listing.quantity = quantity
    listing.updates += 1
    listing.modified = int(market.clock())
    market.mark("listing", listing.sku_id, listing)


def update_price(
    market: Market, *, num_iid: int, properties: str, outer_id: str, price: int | None, quantity: int | None
) -> Listing:
    with market.writing():
        listing = _sku_by_properties(market, num_iid, properties, outer_id)
        if price is not None and price < 1:
            raise Refused("isv.invalid-parameter:price", "the price must be above zero")
        if quantity is not None and quantity < 0:
            raise Refused("isv.invalid-parameter:quantity", "below zero")
        if price is not None:
            listing.price = price
        set_quantity(market, listing, listing.quantity if quantity is None else quantity)
        return listing


def check_item_price(
    market: Market, *, num_iid: int, properties: str, price: int | None, item_price: int
) -> None:
    """Raises Refused when the item's price would lie outside the range of its SKUs' prices after this change."""
    prices = [
        price if price is not None and each.properties == properties else each.price
        for each in listings_of(market, num_iid)
    ]
    if not min(prices) <= item_price <= max(prices):
        raise Refused("isv.invalid-parameter:item_price", "outside the range of the SKUs' prices")


def _sku_by_properties(market: Market, num_iid: int, properties: str, outer_id: str) -> Listing:
    for listing in listings_of(market, num_iid):
        if listing.properties == properties and outer_id in ("", listing.outer_sku_id):
            return listing
    raise Refused("isv.sku-not-exist", f"item {num_iid} has no SKU with properties {properties}")


def items(market: Market, *, is_on_sale: bool) -> list[list[Listing]]:
    """The items on sale, or those off sale, each as its SKUs, in the order of their ids."""
    found: dict[int, list[Listing]] = {}
    for listing in market.shelf:
        if listing.is_on_sale == is_on_sale:
            found.setdefault(listing.num_iid, []).append(listing)
    return [found[num_iid] for num_iid in sorted(found)]


def put_on_sale(market: Market, *, num_iid: int, num: int) -> None:
    with market.writing():
        listings = listings_of(market, num_iid)
        if num < 1 or not sum(each.quantity for each in listings):
            raise Refused("isv.item-num-is-zero", f"item {num_iid} has nothing to sell")
        if listings[0].is_on_sale:
            raise Refused("isv.item-is-onsale", f"item {num_iid} is on sale already")
        _set_on_sale(market, listings, True)


def take_off_sale(market: Market, *, num_iid: int) -> None:
    with market.writing():
        listings = listings_of(market, num_iid)
        if not listings[0].is_on_sale:
            raise Refused("isv.item-is-instock", f"item {num_iid} is off sale already")
        _set_on_sale(market, listings, False)


def retitle(market: Market, *, num_iid: int, title: str) -> None:
    with market.writing():
        listings = listings_of(market, num_iid)
        size = len(title.encode("gbk", errors="replace"))
        if not title.strip() or size > TITLE_BYTES_MAX:
            raise Refused(
                "isv.invalid-parameter:title", f"a title has 1 to {TITLE_BYTES_MAX} bytes, this one {size}"
            )
        for listing in listings:
            listing.title = title
            listing.modified = int(market.clock())
            market.mark("listing", listing.sku_id, listing)


def edit(
    market: Market, *, num_iid: int, title: str | None, price: int | None, is_on_sale: bool | None
) -> None:
    """What a seller does in the back office, past every interface."""
    with market.writing():
        listings = listings_of(market, num_iid)
        for listing in listings:
            listing.title = listing.title if title is None else title
            listing.price = listing.price if price is None else price
        _set_on_sale(market, listings, listings[0].is_on_sale if is_on_sale is None else is_on_sale)


def _set_on_sale(market: Market, listings: Sequence[Listing], is_on_sale: bool) -> None:
    for listing in listings:
        listing.is_on_sale = is_on_sale
        listing.modified = int(market.clock())
        market.mark("listing", listing.sku_id, listing)

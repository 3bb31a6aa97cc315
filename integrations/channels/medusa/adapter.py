"""Medusa 2 as a channel: orders in, stock, prices and parcels out; tested against the real server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from urllib.parse import quote

from integrations.channels.medusa.description import DESCRIPTION
from integrations.channels.medusa.session import MedusaSession, ServerSilent
from integrations.channels.medusa.translate import ORDER_FIELDS, is_draft, translate_order
from integrations.contract import (
    BadPayload,
    Capabilities,
    ChannelRejected,
    ChannelUnavailable,
    DispatchLine,
    FindKnown,
    LineResult,
    ListingLine,
    PriceLine,
    StockLine,
    TitleLine,
    find_none,
)
from omni.kernel.batches import batches
from omni.kernel.http import HttpClient
from orders.draft import OrderDraft, RefundDraft
from products.observe import SeenItem

# An order of a hundred lines is told in some 300 kB, and an answer may have 10 MB.
PAGE = 25
# How many ids go into one question: an address must stay well below the 8 kB that proxies let through.
IDS_AT_ONCE = 50
STOCK_ROUNDS = 4
STOCK_FIELDS = (
    "id,sku,manage_inventory,inventory_items.required_quantity,inventory_items.inventory.id,"
    "inventory_items.inventory.location_levels.location_id,"
    "inventory_items.inventory.location_levels.reserved_quantity"
)
# The rules of a price are told only when `price_rules` is asked for; else they look empty.
PRICE_FIELDS = (
    "id,sku,product_id,prices.id,prices.amount,prices.currency_code,prices.min_quantity,prices.max_quantity,"
    "prices.rules,prices.price_rules.*"
)
ITEM_PAGE = 100
ITEM_FIELDS = (
    "id,sku,barcode,ean,upc,title,product_id,product.title,product.status,manage_inventory,"
    "prices.amount,prices.currency_code,prices.min_quantity,prices.max_quantity,prices.rules,prices.price_rules.*,"
    "inventory_items.required_quantity,inventory_items.inventory.location_levels.location_id,"
    "inventory_items.inventory.location_levels.stocked_quantity,"
    "inventory_items.inventory.location_levels.reserved_quantity"
)
PARCEL_FIELDS = "id,status,*items,*items.detail,*fulfillments,*fulfillments.items,*fulfillments.labels"
TRACKING_KEY = "omni_tracking_no"

Json = Mapping[str, Any]
Row = TypeVar("Row")


class MedusaAdapter:
    """One Medusa shop.

    `credentials`: `{"api_key"}` (a secret API key), or `{"email", "password"}` of an admin user.
    `settings`: `location_id` (the stock location that Omni fills and ships from), `sales_channel_id` (optional: take
    orders of this sales channel only), `note_key` (optional: the key of the order's metadata with the buyer's words).
    """

    description = DESCRIPTION
    capabilities = Capabilities(
        honesty="A",
        pull_window_max=timedelta(days=30),
        # An order carries the moment its transaction began and is seen when it ends.
        pull_lag=timedelta(seconds=5),
        pull_overlap=timedelta(minutes=2),
        stock_basis="on_hand",
        stock_batch_max=200,
        partial_ship=True,
        # Each parcel is a fulfilment of its own, with its own units of a line.
        one_parcel_per_line=False,
        prices=True,
        listings=True,
        titles=True,
        # `updated_at` stands still when the money comes in.
        reopens_open_orders=True,
    )

    def __init__(
        self, *, base_url: str, credentials: Mapping[str, str], settings: Mapping[str, Any], http: HttpClient
    ) -> None:
        self._session = MedusaSession(base_url=base_url, credentials=credentials, http=http)
        self._location_id = str(settings.get("location_id") or "")
        self._sales_channel_id = str(settings.get("sales_channel_id") or "")
        self._note_key = str(settings.get("note_key") or "note")

    def greet(self) -> str:
        """The name of the shop, and of the stock location, which must be there when it is set."""
        stores = self._list("/admin/stores", key="stores", fields="id,name")
        names = [str(store.get("name") or "") for store in stores[:1]]
        if self._location_id:
            path = f"/admin/stock-locations/{quote(self._location_id, safe='')}"
            location = self._session.read(path, params={"fields": "id,name"}).get("stock_location")
            names.append(str(location.get("name") or "") if isinstance(location, dict) else "")
        return ", ".join(name for name in names if name)

    def pull_orders(
        self, *, since: datetime, until: datetime, find_known: FindKnown = find_none
    ) -> Iterator[list[OrderDraft | BadPayload]]:
        """Orders placed in the period, then those that changed in it; see the contract.

        Not among them: an order whose only change is that its money came in. `read_orders` of the open ones finds it.
        """
        seen: set[str] = set()
        for clock in ("created_at", "updated_at"):
            for page in self._walk(clock=clock, since=since, until=until, fields=ORDER_FIELDS, seen=seen):
                yield [translate_order(order, message_key=self._note_key) for order in page]

    def read_orders(self, *, outer_ids: Sequence[str]) -> list[OrderDraft | BadPayload]:
        found: list[OrderDraft | BadPayload] = []
        for ids in batches(outer_ids, PAGE):
            page = self._list(
                "/admin/orders", key="orders", fields=ORDER_FIELDS, limit=str(len(ids)), **_any_of("id", ids)
            )
            found += [
                translate_order(order, message_key=self._note_key) for order in page if not is_draft(order)
            ]
        return found

    def list_order_ids(self, *, since: datetime, until: datetime) -> Iterator[list[str]]:
        fields = "id,status,is_draft_order,created_at"
        for page in self._walk(clock="created_at", since=since, until=until, fields=fields, seen=set()):
            yield [str(order["id"]) for order in page]

    def pull_refunds(self, *, since: datetime, until: datetime) -> Iterator[list[RefundDraft | BadPayload]]:
        """Nothing: Medusa refunds payments, not lines. A refund in full closes the order, see `translate`."""
        return iter(())

    def _walk(
        self, *, clock: str, since: datetime, until: datetime, fields: str, seen: set[str]
    ) -> Iterator[list[Json]]:
        """Orders by one of their clocks, oldest first; those in `seen` are left out, those told are added to it.

        The next page begins at the last moment of this one, not at a row number: an order that changes meanwhile moves
        to the end of the list, and row numbers would then step over its neighbour.
        """
        start, skipped = _iso(since), 0
        while True:
            page = self._list(
                "/admin/orders",
                key="orders",
                fields=fields,
                order=clock,
                limit=str(PAGE),
                offset=str(skipped),
                **{f"{clock}[$gte]": start, f"{clock}[$lte]": _iso(until)},
                **(_any_of("sales_channel_id", [self._sales_channel_id]) if self._sales_channel_id else {}),
            )
            fresh = [order for order in page if order.get("id") not in seen and not is_draft(order)]
            seen.update(str(order["id"]) for order in fresh if order.get("id"))
            if fresh:
                yield fresh
            if len(page) < PAGE:
                return
            last = str(page[-1][clock])
            # More orders of one millisecond than a page holds: here row numbers are all there is.
            start, skipped = (last, 0) if last != start else (start, skipped + PAGE)

    def _location(self) -> str:
        if not self._location_id:
            raise ChannelRejected("the connection names no location_id in its settings", code="no_location")
        return self._location_id

    def _list(self, path: str, *, key: str, **params: str) -> list[Json]:
        found = self._session.read(path, params=params).get(key)
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            raise ChannelUnavailable(f"Medusa answered {path} without a list of {key}")
        return found

    def push_stock(self, *, lines: Sequence[StockLine]) -> list[LineResult]:
        """Set what the shop shows as available to each line's quantity: on hand = quantity + what it has reserved.

        The shop's own unshipped orders hold reservations, and it subtracts them from on hand; so they are read first.
        They are read again afterwards: a parcel told between reading and writing takes its units off both numbers, and
        what was written is then too much by as many. An order placed in between needs nothing: it lowers what is shown
        by itself, as it must.

        Raises ChannelUnavailable: then repeat all lines, the numbers are absolute.
        """
        results: dict[int, LineResult] = {}
        assumed: dict[int, int] = {}
        open_lines = list(lines)
        for _ in range(STOCK_ROUNDS):
            rows = []
            variants = self._find_variants(open_lines, fields=STOCK_FIELDS)
            for line in open_lines:
                try:
                    item_id, reserved = _counted_item(variants.get(_name(line)), location_id=self._location())
                except ChannelRejected as refused:
                    results[line.key] = _refusal(line.key, refused.code, refused.detail)
                    continue
                if line.key not in assumed or (reserved or 0) < assumed[line.key]:
                    rows.append((line, item_id, reserved))
                    assumed[line.key] = reserved or 0
            if not rows:
                break
            results |= _write_all_or_nothing(rows, write=self._write_levels, key=lambda row: row[0].key)
            open_lines = [line for line, _, _ in rows if results[line.key].ok]
        else:
            for line in open_lines:
                results[line.key] = _later(
                    line.key, ChannelUnavailable("its reservations change all the time")
                )
        return [results[line.key] for line in lines]

    def _write_levels(self, rows: Sequence[tuple[StockLine, str, int | None]]) -> None:
        body: dict[str, list[Json]] = {"create": [], "update": []}
        for line, item_id, reserved in rows:
            level = {
                "inventory_item_id": item_id,
                "location_id": self._location(),
                "stocked_quantity": max(line.quantity, 0) + (reserved or 0),
            }
            body["create" if reserved is None else "update"].append(level)
        self._session.write("/admin/inventory-items/location-levels/batch", body=body)

    def _find_variants(
        self, lines: Sequence[StockLine] | Sequence[PriceLine], *, fields: str
    ) -> dict[str, Json]:
        """The variants of the lines by the name that `_name` gives each line."""
        found: dict[str, Json] = {}
        for column, key in (("id", "outer_sku_id"), ("sku", "sku_code")):
            names = list(dict.fromkeys(name for line in lines if (name := _name(line)) == getattr(line, key)))
            for some in batches(names, IDS_AT_ONCE):
                page = self._list(
                    "/admin/product-variants",
                    key="variants",
                    fields=fields,
                    limit=str(len(some)),
                    **_any_of(column, some),
                )
                found |= {str(variant[column]): variant for variant in page}
        return found

    def push_prices(self, *, lines: Sequence[PriceLine]) -> list[LineResult]:
        """Set the base price of each variant in the line's currency.

        Medusa takes the prices of a variant as one set and forgets what is not sent, so every other price (currencies,
        steps by quantity, prices of a region) is sent along as it was. It also takes negative amounts and currencies
        that the shop does not sell in; those are refused here.
        """
        if not lines:
            return []
        results: dict[int, LineResult] = {}
        rows: dict[str, list[tuple[int, Json]]] = {}
        currencies = {
            str(currency["currency_code"]).upper()
            for store in self._list(
                "/admin/stores", key="stores", fields="id,supported_currencies.currency_code"
            )
            for currency in store.get("supported_currencies") or ()
        }
        variants = self._find_variants(lines, fields=PRICE_FIELDS)
        for line in lines:
            variant = variants.get(_name(line))
            if variant is None:
                results[line.key] = _refusal(line.key, "unknown_listing", "the shop has no such variant")
            elif line.price < 0:
                results[line.key] = _refusal(line.key, "negative_price", f"{line.price} is below zero")
            elif line.currency.upper() not in currencies:
                results[line.key] = _refusal(line.key, "unknown_currency", f"the shop has no {line.currency}")
            else:
                row = {"id": variant["id"], "prices": _prices_with(variant["prices"], line=line)}
                rows.setdefault(str(variant["product_id"]), []).append((line.key, row))
        for product_id, some in rows.items():
            path = f"/admin/products/{quote(product_id, safe='')}/variants/batch"

            def write(batch: Sequence[tuple[int, Json]], path: str = path) -> None:
                self._session.write(path, body={"update": [row for _key, row in batch]})

            results |= _write_all_or_nothing(some, write=write, key=lambda row: row[0])
        return [results[line.key] for line in lines]

    def list_items(self, *, lines: Sequence[ListingLine]) -> list[LineResult]:
        """Publish whole products: Medusa shows all variants of a product or none."""
        return self._set_status(lines, "published")

    def delist_items(self, *, lines: Sequence[ListingLine]) -> list[LineResult]:
        """Whole products become drafts again; a variant whose siblings stay on sale gets nothing to sell."""
        results = {
            result.key: result
            for result in self._set_status([line for line in lines if line.is_whole_item], "draft")
        }
        emptied = [
            StockLine(line.key, line.outer_item_id, line.outer_sku_id, line.sku_code, 0)
            for line in lines
            if not line.is_whole_item
        ]
        if emptied:
            results |= {result.key: result for result in self.push_stock(lines=emptied)}
        return [results[line.key] for line in lines]

    def update_items(self, *, lines: Sequence[TitleLine]) -> list[LineResult]:
        """The product's title; what tells its variants apart keeps its names."""
        answers = self._change_products({line.outer_item_id: {"title": line.title} for line in lines})
        return [replace(answers[line.outer_item_id], key=line.key) for line in lines]

    def _set_status(self, lines: Sequence[ListingLine], status: str) -> list[LineResult]:
        answers = self._change_products({line.outer_item_id: {"status": status} for line in lines})
        return [replace(answers[line.outer_item_id], key=line.key) for line in lines]

    def _change_products(self, changes: Mapping[str, Json]) -> dict[str, LineResult]:
        """One write per product. After a server that does not answer at all, the rest is left for later."""
        answers: dict[str, LineResult] = {}
        silence: ChannelUnavailable | None = None
        for product_id, change in changes.items():
            if silence:
                answers[product_id] = _later(0, ChannelUnavailable(silence.detail))
                continue
            try:
                path = f"/admin/products/{quote(product_id, safe='')}"
                self._session.write(path, body=change, fields="id,status")
                answers[product_id] = LineResult(0, ok=True)
            except ChannelRejected as refused:
                if refused.is_auth:
                    raise
                answers[product_id] = _refusal(0, refused.code, refused.detail)
            except ChannelUnavailable as problem:
                answers[product_id] = _later(0, problem)
                if isinstance(problem, ServerSilent) or problem.is_throttled:
                    silence = problem
        return answers

    def read_items(self) -> Iterator[list[SeenItem]]:
        """Every variant with its product, in the order of their ids, which never change."""
        offset, currency = 0, self._default_currency()
        while True:
            page = self._list(
                "/admin/product-variants",
                key="variants",
                fields=ITEM_FIELDS,
                order="id",
                limit=str(ITEM_PAGE),
                offset=str(offset),
            )
            if page:
                yield [_seen(row, currency=currency, location_id=self._location_id) for row in page]
            if len(page) < ITEM_PAGE:
                return
            offset += ITEM_PAGE

    def _default_currency(self) -> str:
        stores = self._list(
            "/admin/stores",
            key="stores",
            fields="id,supported_currencies.currency_code,supported_currencies.is_default",
        )
        for store in stores:
            for row in store.get("supported_currencies") or ():
                if row.get("is_default"):
                    return str(row["currency_code"]).upper()
        return ""

    def push_dispatch(self, *, lines: Sequence[DispatchLine]) -> list[LineResult]:
        """One parcel = one fulfilment with one label. What the shop already knows is not told again.

        Each line stands alone; only a shop that does not answer at all ends the sweep, with the rest to be repeated.
        """
        results: list[LineResult] = []
        silence: LineResult | None = None
        for line in lines:
            if silence:
                results.append(_later(line.key, ChannelUnavailable(silence.detail)))
                continue
            try:
                self._tell_parcel(line)
            except ChannelRejected as refused:
                if refused.is_auth:
                    raise
                results.append(_refusal(line.key, refused.code, refused.detail))
            except ChannelUnavailable as problem:
                results.append(_later(line.key, problem))
                if isinstance(problem, ServerSilent) or problem.is_throttled:
                    silence = results[-1]
            else:
                results.append(LineResult(key=line.key, ok=True))
        return results

    def _tell_parcel(self, line: DispatchLine) -> None:
        """Two writes: the fulfilment (goods leave the shelf), then its shipment (with the number on the label).

        A time-out can fall after either. So the tracking number goes into the fulfilment's metadata at once, and the
        order is read before anything is written: what an earlier attempt left half done is finished.
        """
        order_path = f"/admin/orders/{quote(line.outer_id, safe='')}"
        order = self._session.read(order_path, params={"fields": PARCEL_FIELDS})["order"]
        wanted = _wanted(line, order=order)
        is_known = False
        unshipped: list[Json] = []
        for fulfilment in order["fulfillments"]:
            if fulfilment.get("canceled_at"):
                continue
            if fulfilment.get("shipped_at"):
                if line.tracking_no not in {
                    label["tracking_number"] for label in fulfilment.get("labels") or ()
                }:
                    continue
            elif (fulfilment.get("metadata") or {}).get(TRACKING_KEY) == line.tracking_no:
                self._ship(fulfilment, order_path=order_path, line=line)
            else:
                unshipped.append(fulfilment)
                continue
            is_known = True
            wanted -= _contents(fulfilment)
        if not wanted:
            if is_known:
                return
            raise ChannelRejected("the order has nothing left for this parcel", code="nothing_left")
        # Somebody packed exactly this in the shop's own pages and did not ship it: the goods are off the shelf there.
        # Only an exact match: Medusa ships a fulfilment whole, whatever items the shipment names.
        packed = next(
            (
                one
                for one in unshipped
                if _contents(one) == wanted and TRACKING_KEY not in (one.get("metadata") or {})
            ),
            None,
        )
        self._ship(
            packed or self._pack(wanted, order_path=order_path, line=line), order_path=order_path, line=line
        )

    def _pack(self, wanted: Counter[str], *, order_path: str, line: DispatchLine) -> Json:
        answer = self._session.write(
            f"{order_path}/fulfillments",
            body={
                "location_id": self._location(),
                "items": [{"id": item_id, "quantity": quantity} for item_id, quantity in wanted.items()],
                "metadata": {TRACKING_KEY: line.tracking_no, "omni_carrier": line.carrier_code},
            },
            fields="id,*fulfillments,*fulfillments.items",
        )
        for fulfilment in answer["order"]["fulfillments"]:
            is_ours = (fulfilment.get("metadata") or {}).get(TRACKING_KEY) == line.tracking_no
            if is_ours and not fulfilment.get("shipped_at") and not fulfilment.get("canceled_at"):
                packed: Json = fulfilment
                return packed
        raise ChannelUnavailable("the shop took the parcel and does not show it", is_unknown_outcome=True)

    def _ship(self, fulfilment: Json, *, order_path: str, line: DispatchLine) -> None:
        self._session.write(
            f"{order_path}/fulfillments/{fulfilment['id']}/shipments",
            body={
                "items": [{"id": key, "quantity": units} for key, units in _contents(fulfilment).items()],
                "labels": [{"tracking_number": line.tracking_no, "tracking_url": "", "label_url": ""}],
            },
        )


def _counted_item(variant: Json | None, *, location_id: str) -> tuple[str, int | None]:
    """The inventory item behind a variant and its units reserved at our location; None: it has no record there yet."""
    if variant is None:
        raise ChannelRejected("the shop has no such variant", code="unknown_listing")
    if not variant["manage_inventory"]:
        raise ChannelRejected("the shop does not count the stock of this variant", code="not_managed")
    items = variant.get("inventory_items") or []
    if len(items) != 1 or items[0]["required_quantity"] != 1 or not items[0].get("inventory"):
        raise ChannelRejected("the variant is a kit: its stock is that of its parts", code="is_kit")
    inventory = items[0]["inventory"]
    for level in inventory.get("location_levels") or ():
        if level["location_id"] == location_id:
            return str(inventory["id"]), int(level["reserved_quantity"])
    return str(inventory["id"]), None


def _seen(variant: Json, *, currency: str, location_id: str) -> SeenItem:
    """A variant as the shop shows it: its base price in the shop's own currency, its free units where we fill it."""
    product = variant.get("product") or {}
    amounts = [
        price["amount"]
        for price in variant.get("prices") or ()
        if str(price.get("currency_code") or "").upper() == currency
        and not (
            price.get("min_quantity")
            or price.get("max_quantity")
            or price.get("rules")
            or price.get("price_rules")
        )
    ]
    levels = [
        level
        for item in variant.get("inventory_items") or ()
        if item.get("required_quantity") == 1
        for level in (item.get("inventory") or {}).get("location_levels") or ()
        if not location_id or level.get("location_id") == location_id
    ]
    is_counted = bool(variant.get("manage_inventory"))
    return SeenItem(
        outer_item_id=str(variant.get("product_id") or ""),
        outer_sku_id=str(variant["id"]),
        title=str(product.get("title") or ""),
        outer_code=str(variant.get("sku") or ""),
        barcode=str(variant.get("barcode") or variant.get("ean") or variant.get("upc") or ""),
        price=Decimal(str(amounts[0])) if amounts else None,
        currency=currency if amounts else "",
        quantity=sum(int(row["stocked_quantity"]) - int(row["reserved_quantity"]) for row in levels)
        if is_counted
        else None,
        is_listed=product.get("status") == "published" if product.get("status") else None,
    )


def _wanted(line: DispatchLine, *, order: Json) -> Counter[str]:
    """Units by order item that the parcel holds. A whole order without lines named: all that has not left yet."""
    wanted: Counter[str] = Counter()
    for item_id, quantity in zip(line.outer_line_ids, line.quantities, strict=True):
        wanted[item_id] += quantity
    if line.is_whole_order and not line.outer_line_ids:
        for item in order["items"]:
            wanted[str(item["id"])] = int(item["quantity"]) - int(item["detail"]["shipped_quantity"])
    return +wanted


def _contents(fulfilment: Json) -> Counter[str]:
    contents: Counter[str] = Counter()
    for item in fulfilment["items"]:
        contents[str(item["line_item_id"])] += int(item["quantity"])
    return contents


def _prices_with(prices: Sequence[Json], *, line: PriceLine) -> list[dict[str, Any]]:
    """The variant's prices with the base price of one currency replaced, each under its own id."""
    kept = ("id", "amount", "currency_code", "min_quantity", "max_quantity", "rules")
    found = [{name: price[name] for name in kept if price.get(name) is not None} for price in prices]
    # JSON numbers of Medusa are binary fractions: float() writes the same digits that Decimal has, up to fifteen.
    amount = float(line.price)
    for price in found:
        is_base = not (price.get("min_quantity") or price.get("max_quantity") or price.get("rules"))
        if is_base and str(price["currency_code"]).upper() == line.currency.upper():
            price["amount"] = amount
            return found
    return [*found, {"currency_code": line.currency.lower(), "amount": amount}]


def _write_all_or_nothing(
    rows: Sequence[Row], *, write: Callable[[Sequence[Row]], object], key: Callable[[Row], int]
) -> dict[int, LineResult]:
    """Write rows through a call that takes all of them or none: halve until the bad ones stand alone.

    So one article that was deleted in the shop does not freeze the numbers of the others.
    """
    if not rows:
        return {}
    try:
        write(rows)
    except ChannelRejected as refused:
        if refused.is_auth:
            raise
        if len(rows) == 1:
            return {key(rows[0]): _refusal(key(rows[0]), refused.code, refused.detail)}
        middle = len(rows) // 2
        return _write_all_or_nothing(rows[:middle], write=write, key=key) | _write_all_or_nothing(
            rows[middle:], write=write, key=key
        )
    return {key(row): LineResult(key=key(row), ok=True) for row in rows}


def _refusal(key: int, code: str, detail: str) -> LineResult:
    return LineResult(key=key, ok=False, code=code, detail=detail, is_final=True)


def _later(key: int, problem: ChannelUnavailable) -> LineResult:
    if problem.is_throttled:
        code = "throttled"
    else:
        code = "unknown_outcome" if problem.is_unknown_outcome else "unavailable"
    return LineResult(
        key=key, ok=False, code=code, detail=problem.detail, retry_seconds=problem.retry_seconds
    )


def _name(line: StockLine | PriceLine) -> str:
    """By what the variant of a line is looked for: its id, or the SKU code of a listing that never learned the id."""
    return line.outer_sku_id or line.sku_code


def _any_of(column: str, values: Sequence[str]) -> dict[str, str]:
    return {f"{column}[{place}]": value for place, value in enumerate(values)}


def _iso(moment: datetime) -> str:
    """In UTC: Medusa answers a `+08:00` that lost its plus on the way with 500."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""Taobao and Tmall for Omni: the adapter contract spoken through the Taobao Open Platform."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, cast

from integrations.channels.top.description import DESCRIPTION
from integrations.channels.top.gateway import TopGateway
from integrations.channels.top.paging import PAGE_SIZE, Page, read_whole_list, slice_period
from integrations.channels.top.signing import SignMethod
from integrations.channels.top.translate import CHINA, read_moment, translate_refund, translate_trade
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
from omni.kernel.http import HttpClient
from omni.kernel.money import round_money
from orders.draft import OrderDraft, RefundDraft
from products.observe import SeenItem

PULL_SLICE = timedelta(minutes=30)  # TOP takes up to a day and advises 30 minutes
CREATED_SLICE = timedelta(days=1)
STOCK_BATCH = 20
UNAVAILABLE_IN_A_ROW_MAX = 3

Push = Callable[[Sequence[Any]], list[LineResult]]

LIST_FIELDS = "tid,modified"
DETAIL_FIELDS = (
    "tid,tid_str,type,status,step_trade_status,created,modified,pay_time,consign_time,end_time,payment,post_fee,"
    "total_fee,discount_fee,adjust_fee,received_payment,seller_memo,seller_flag,buyer_message,buyer_nick,"
    "buyer_open_uid,trade_from,promotion_details,orders,oaid,receiver_name,receiver_country,receiver_state,"
    "receiver_city,receiver_district,receiver_town,receiver_address,receiver_zip,receiver_mobile,receiver_phone"
)
ITEM_FIELDS = "num_iid,title,price,num,outer_id,approve_status"
SKU_FIELDS = "sku_id,num_iid,price,quantity,outer_id,barcode"
ITEM_PAGE_SIZE = 200
ITEMS_AT_ONCE = 40
SHIPPED_FIELDS = "tid,status,orders"
REFUND_FIELDS = (
    "refund_id,tid,oid,status,refund_fee,total_fee,payment,good_status,has_good_return,refund_phase,refund_version,"
    "dispute_type,order_status,outer_id,sku,num,reason,desc,company_name,sid,created,modified"
)


class TopAdapter:
    """One shop on Taobao or Tmall.

    Honesty level C: it has only ever talked to simulators written here, from Alibaba's public documents; no
    call of it has been tested with Taobao.

    `credentials`: app_key, secret, session. `settings`, all optional: sign_method (md5, hmac, hmac-sha256),
    carrier_codes (our carrier code → TOP's company code), detail_threads (4), read_tries (4),
    ban_wait_seconds_max (10).
    """

    description = DESCRIPTION
    capabilities = Capabilities(
        honesty="C",
        pull_window_max=timedelta(days=1),
        pull_lag=timedelta(seconds=60),
        pull_overlap=timedelta(minutes=10),
        stock_basis="sellable",
        stock_batch_max=STOCK_BATCH,
        partial_ship=True,
        one_parcel_per_line=True,
        refunds=True,
        prices=True,
        listings=True,
        titles=True,
        receiver="masked",
    )

    def __init__(
        self,
        *,
        base_url: str,
        credentials: Mapping[str, str],
        settings: Mapping[str, Any] | None = None,
        http: HttpClient,
    ) -> None:
        settings = settings or {}
        self._carrier_codes = cast("Mapping[str, str]", settings.get("carrier_codes") or {})
        self._threads = int(settings.get("detail_threads", 4))
        self._gateway = TopGateway(
            base_url=base_url,
            credentials=credentials,
            http=http,
            sign_method=cast("SignMethod", settings.get("sign_method", "md5")),
            read_tries=int(settings.get("read_tries", 4)),
            ban_wait_seconds_max=int(settings.get("ban_wait_seconds_max", 10)),
        )

    def greet(self) -> str:
        """One row of the trades created in the last minute: TOP does not say whose they are."""
        now = datetime.now(CHINA)
        start, end = next(iter(slice_period(since=now - timedelta(minutes=1), until=now, step=CREATED_SLICE)))
        # `write` asks once; `read` would wait for bans while a person looks on.
        self._gateway.write(
            method="taobao.trades.sold.get",
            parameters={
                "fields": "tid",
                "start_created": start,
                "end_created": end,
                "page_no": "1",
                "page_size": "1",
            },
        )
        return ""

    # --- orders in ---

    def pull_orders(
        self, *, since: datetime, until: datetime, find_known: FindKnown = find_none
    ) -> Iterator[list[OrderDraft | BadPayload]]:
        """Every trade modified in [since, until] with its detail; again only if it changed meanwhile."""
        told: dict[object, object] = {}
        with self._detail_pool() as pool:
            for start, end in slice_period(since=since, until=until, step=PULL_SLICE):
                period = {"start_modified": start, "end_modified": end}
                for rows in self._list("taobao.trades.sold.increment.get", "trade", LIST_FIELDS, period):
                    if fresh := _leave_out_known(_take_untold(rows, told), find_known):
                        yield list(pool.map(self._read_listed_trade, fresh))

    def read_orders(self, *, outer_ids: Sequence[str]) -> list[OrderDraft | BadPayload]:
        """The named trades as they are now; those that TOP does not know are left out."""
        with self._detail_pool() as pool:
            found = pool.map(self._read_trade, [tid for tid in outer_ids if tid.isascii() and tid.isdigit()])
            return [draft for draft in found if draft is not None]

    def list_order_ids(self, *, since: datetime, until: datetime) -> Iterator[list[str]]:
        """The ids of the trades created in the period, which TOP tells for the last three months."""
        for start, end in slice_period(since=since, until=until, step=CREATED_SLICE):
            period = {"start_created": start, "end_created": end}
            for rows in self._list("taobao.trades.sold.get", "trade", "tid", period):
                if ids := [str(row["tid"]) for row in rows if row.get("tid")]:
                    yield ids

    def pull_refunds(self, *, since: datetime, until: datetime) -> Iterator[list[RefundDraft | BadPayload]]:
        """Every refund case modified in [since, until]; the list has all fields, no detail is read."""
        for start, end in slice_period(since=since, until=until, step=PULL_SLICE):
            period = {"start_modified": start, "end_modified": end}
            for rows in self._list(
                "taobao.refunds.receive.get", "refund", REFUND_FIELDS, period, id_name="refund_id"
            ):
                if rows:
                    yield [translate_refund(row) for row in rows]

    @contextmanager
    def _detail_pool(self) -> Iterator[ThreadPoolExecutor]:
        pool = ThreadPoolExecutor(max_workers=self._threads, thread_name_prefix="top")
        try:
            yield pool
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _list(
        self, method: str, name: str, fields: str, period: Mapping[str, str], *, id_name: str = "tid"
    ) -> Iterator[list[dict[str, Any]]]:
        def read_page(*, page_no: int, is_counting: bool) -> Page:
            parameters = {**period, "fields": fields, "page_no": str(page_no), "page_size": str(PAGE_SIZE)}
            if not is_counting:
                parameters["use_has_next"] = "true"
            return _read_page(self._gateway.read(method=method, parameters=parameters), name)

        return read_whole_list(read_page=read_page, id_name=id_name)

    def _read_listed_trade(self, row: Mapping[str, Any]) -> OrderDraft | BadPayload:
        if not row.get("tid"):
            return translate_trade(row)
        outer_id = str(row["tid"])
        return self._read_trade(outer_id) or BadPayload(
            outer_id,
            "detail_missing",
            f"TOP lists trade {outer_id} without a detail: look for it in the shop, read it again.",
            row,
        )

    def _read_trade(self, outer_id: str) -> OrderDraft | BadPayload | None:
        try:
            trade = self._read_detail(outer_id, DETAIL_FIELDS)
        except ChannelRejected as refused:
            if refused.is_auth:
                raise
            if _is_unknown_trade(refused):
                return None
            return BadPayload(
                outer_id,
                "detail_refused",
                f"TOP refused the detail of trade {outer_id}: {refused.detail}. Mend that, read it again.",
                {"tid": outer_id},
            )
        return translate_trade(trade)

    def _read_detail(self, outer_id: str, fields: str) -> dict[str, Any]:
        answer = self._gateway.read(
            method="taobao.trade.fullinfo.get",
            parameters={"fields": fields, "tid": outer_id, "include_oaid": "true"},
        )
        trade = answer.get("trade")
        if not isinstance(trade, dict):
            raise ChannelUnavailable(f"the detail of trade {outer_id} came without a trade")
        return cast("dict[str, Any]", trade)

    # --- stock and prices out ---

    def push_stock(self, *, lines: Sequence[StockLine]) -> list[LineResult]:
        """Absolute quantities, up to 20 SKUs of one item a call; a refused batch is halved until the bad SKU is alone.

        Repeating a lost call is harmless, so a line whose answer got lost is simply `not ok` and tried again.
        """
        return _push_by_item(lines, self._set_stock_or_halve)

    def push_prices(self, *, lines: Sequence[PriceLine]) -> list[LineResult]:
        """Prices in yuan, SKU by SKU; repeating a lost call is harmless here too."""
        return _push_by_item(lines, self._set_prices)

    def _set_stock_or_halve(self, lines: Sequence[StockLine]) -> list[LineResult]:
        try:
            self._set_stock(lines)
        except ChannelUnavailable as later:
            return [_later(line.key, later) for line in lines]
        except ChannelRejected as refused:
            if refused.is_auth:
                raise
            if len(lines) == 1:
                return [_never(lines[0].key, refused)]
            middle = len(lines) // 2
            return self._set_stock_or_halve(lines[:middle]) + self._set_stock_or_halve(lines[middle:])
        return [LineResult(line.key, ok=True) for line in lines]

    def _set_stock(self, lines: Sequence[StockLine]) -> None:
        first = lines[0]
        # TOP refuses a negative absolute number; nothing to sell is 0
        quantities = [max(line.quantity, 0) for line in lines]
        if not first.outer_sku_id:
            # an item that is sold without SKUs
            self._gateway.write(
                method="taobao.item.quantity.update",
                parameters={"num_iid": first.outer_item_id, "quantity": str(quantities[0]), "type": "1"},
            )
            return
        pairs = zip(lines, quantities, strict=True)
        self._gateway.write(
            method="taobao.skus.quantity.update",
            parameters={
                "num_iid": first.outer_item_id,
                "skuid_quantities": ";".join(f"{line.outer_sku_id}:{number}" for line, number in pairs),
                "type": "1",
            },
        )

    def _set_prices(self, lines: Sequence[PriceLine]) -> list[LineResult]:
        first = lines[0]
        try:
            skus = self._read_skus(first.outer_item_id) if first.outer_sku_id else {}
        except ChannelUnavailable as later:
            return [_later(line.key, later) for line in lines]
        except ChannelRejected as refused:
            if refused.is_auth:
                raise
            return [_never(line.key, refused) for line in lines]
        return [self._set_price(line, skus) for line in lines]

    def _read_skus(self, outer_item_id: str) -> dict[str, dict[str, Any]]:
        answer = self._gateway.read(
            method="taobao.item.skus.get",
            parameters={"fields": "sku_id,num_iid,properties,price", "num_iids": outer_item_id},
        )
        return {str(row.get("sku_id")): row for row in _rows(answer.get("skus"), "sku")}

    def _set_price(self, line: PriceLine, skus: dict[str, dict[str, Any]]) -> LineResult:
        sku = skus.get(line.outer_sku_id)
        if line.outer_sku_id and sku is None:
            detail = f"Item {line.outer_item_id} has no SKU {line.outer_sku_id} on TOP: mend the listing."
            return LineResult(line.key, ok=False, code="no_sku", is_final=True, detail=detail)
        try:
            self._write_price(line, sku, skus.values())
        except ChannelUnavailable as later:
            return _later(line.key, later)
        except ChannelRejected as refused:
            if refused.is_auth:
                raise
            return _never(line.key, refused)
        return LineResult(line.key, ok=True)

    def _write_price(
        self, line: PriceLine, sku: dict[str, Any] | None, skus: Iterable[Mapping[str, Any]]
    ) -> None:
        if sku is None:
            self._gateway.write(
                method="tmall.item.price.update",
                parameters={"item_id": line.outer_item_id, "item_price": _yuan(line.price)},
            )
            return
        sku["price"] = _yuan(line.price)
        # TOP wants the item's own price inside the range of its SKUs: the lowest of them always is
        lowest = min(Decimal(str(row["price"])) for row in skus)
        self._gateway.write(
            method="taobao.item.sku.price.update",
            parameters={
                "num_iid": line.outer_item_id,
                "properties": str(sku.get("properties") or ""),
                "price": sku["price"],
                "item_price": _yuan(lowest),
            },
        )

    # --- items on sale and off ---

    def list_items(self, *, lines: Sequence[ListingLine]) -> list[LineResult]:
        """Item by item (`taobao.item.update.listing`): its SKUs go on sale together.

        TOP wants to hear a number of units; for an item with SKUs it takes theirs instead, and refuses when it is 0.
        """
        return self._move_items(lines, self._list_item, "onsale")

    def delist_items(self, *, lines: Sequence[ListingLine]) -> list[LineResult]:
        """Whole items by `taobao.item.update.delisting`. TOP cannot take one SKU off: it gets nothing to sell."""
        whole = [line for line in lines if line.is_whole_item]
        parts = [line for line in lines if not line.is_whole_item]
        results = {result.key: result for result in self._move_items(whole, self._delist_item, "instock")}
        emptied = [
            StockLine(line.key, line.outer_item_id, line.outer_sku_id, line.sku_code, 0) for line in parts
        ]
        results |= {result.key: result for result in self.push_stock(lines=emptied)}
        return [results[line.key] for line in lines]

    def update_items(self, *, lines: Sequence[TitleLine]) -> list[LineResult]:
        """Titles by `taobao.item.update`, which leaves alone what it is not told; repeating it is harmless."""
        return _push_by_item(lines, self._set_title)

    def _set_title(self, lines: Sequence[TitleLine]) -> list[LineResult]:
        try:
            self._gateway.write(
                method="taobao.item.update",
                parameters={"num_iid": lines[-1].outer_item_id, "title": lines[-1].title},
            )
        except ChannelUnavailable as later:
            return [_later(line.key, later) for line in lines]
        except ChannelRejected as refused:
            if refused.is_auth:
                raise
            return [_never(line.key, refused) for line in lines]
        return [LineResult(line.key, ok=True) for line in lines]

    def _move_items(
        self, lines: Sequence[ListingLine], move: Callable[[Sequence[ListingLine]], None], status: str
    ) -> list[LineResult]:
        by_item: dict[str, list[ListingLine]] = {}
        for line in lines:
            by_item.setdefault(line.outer_item_id, []).append(line)
        results: dict[int, LineResult] = {}
        failures = 0
        for outer_item_id, group in by_item.items():
            if failures >= UNAVAILABLE_IN_A_ROW_MAX:
                break
            answer = self._move_item(outer_item_id, group, move, status)
            failures = failures + 1 if _is_later(answer) else 0
            results |= {line.key: replace(answer, key=line.key) for line in group}
            if answer.code == "throttled":
                break
        return [results.get(line.key) or _postpone(line, results) for line in lines]

    def _move_item(
        self,
        outer_item_id: str,
        lines: Sequence[ListingLine],
        move: Callable[[Sequence[ListingLine]], None],
        status: str,
    ) -> LineResult:
        key = lines[0].key
        try:
            move(lines)
        except ChannelUnavailable as later:
            return _later(key, later)
        except ChannelRejected as refused:
            if refused.is_auth:
                raise
            # An item that is where it should be is refused like any other: ask how it stands.
            try:
                if self._item_status(outer_item_id) == status:
                    return LineResult(key, ok=True, code="read_back")
            except (ChannelUnavailable, ChannelRejected):
                pass
            return _never(key, refused)
        return LineResult(key, ok=True)

    def _list_item(self, lines: Sequence[ListingLine]) -> None:
        units = sum(max(line.quantity, 0) for line in lines)
        self._gateway.write(
            method="taobao.item.update.listing",
            parameters={"num_iid": lines[0].outer_item_id, "num": str(max(units, 1))},
        )

    def _delist_item(self, lines: Sequence[ListingLine]) -> None:
        self._gateway.write(
            method="taobao.item.update.delisting", parameters={"num_iid": lines[0].outer_item_id}
        )

    def _item_status(self, outer_item_id: str) -> str:
        answer = self._gateway.read(
            method="taobao.item.seller.get",
            parameters={"fields": "num_iid,approve_status", "num_iid": outer_item_id},
        )
        item = answer.get("item")
        return str(item.get("approve_status")) if isinstance(item, dict) else ""

    def read_items(self) -> Iterator[list[SeenItem]]:
        """What is on sale, then what is in stock but off sale; each page with the SKUs of its items.

        An item that goes from one list to the other meanwhile is told twice; the later word counts.
        """
        for method in ("taobao.items.inventory.get", "taobao.items.onsale.get"):
            page_no = 1
            while True:
                page = _read_page(
                    self._gateway.read(
                        method=method,
                        parameters={
                            "fields": ITEM_FIELDS,
                            "page_no": str(page_no),
                            "page_size": str(ITEM_PAGE_SIZE),
                        },
                    ),
                    "item",
                )
                # Told together, so that nothing of a page is older than the moment at which it was asked for.
                batches = range(0, len(page.rows), ITEMS_AT_ONCE)
                yield [
                    seen
                    for start in batches
                    for seen in self._with_skus(page.rows[start : start + ITEMS_AT_ONCE])
                ]
                if page_no * ITEM_PAGE_SIZE >= (page.total or 0):
                    break
                page_no += 1

    def _with_skus(self, items: Sequence[dict[str, Any]]) -> list[SeenItem]:
        answer = self._gateway.read(
            method="taobao.item.skus.get",
            parameters={"fields": SKU_FIELDS, "num_iids": ",".join(str(item["num_iid"]) for item in items)},
        )
        skus: dict[str, list[dict[str, Any]]] = {}
        for row in _rows(answer.get("skus"), "sku"):
            skus.setdefault(str(row.get("num_iid")), []).append(row)
        return [_seen(item, row) for item in items for row in skus.get(str(item["num_iid"])) or [{}]]

    # --- parcels out ---

    def push_dispatch(self, *, lines: Sequence[DispatchLine]) -> list[LineResult]:
        """Tell which trade, or which of its lines, left in which parcel (`taobao.logistics.offline.send`).

        TOP does not know a parcel that was told twice: after a refusal or a lost answer the trade is read
        back, and lines that carry our number are `ok`. TOP keeps one number per trade line
        (`one_parcel_per_line`): a second one, which somebody else must have told before us, is refused.
        """
        by_order: dict[str, list[tuple[int, DispatchLine]]] = {}
        for place, line in enumerate(lines):
            by_order.setdefault(line.outer_id, []).append((place, line))
        results: dict[int, LineResult] = {}
        with self._detail_pool() as pool:
            for told in pool.map(self._dispatch_order, by_order.values()):
                results.update(told)
        return [results[place] for place in range(len(lines))]

    def _dispatch_order(self, parcels: Sequence[tuple[int, DispatchLine]]) -> dict[int, LineResult]:
        return {place: self._dispatch(line) for place, line in parcels}

    def _dispatch(self, line: DispatchLine) -> LineResult:
        if not line.tracking_no or not line.carrier_code or not (line.is_whole_order or line.outer_line_ids):
            return LineResult(
                line.key, ok=False, code="parcel_incomplete", is_final=True,
                detail="TOP wants a carrier, a tracking number and the lines in the parcel.",
            )  # fmt: skip
        try:
            self._send_offline(line)
        except (ChannelUnavailable, ChannelRejected) as failed:
            return self._settle_dispatch(line, failed)
        return LineResult(line.key, ok=True)

    def _settle_dispatch(
        self, line: DispatchLine, failed: ChannelUnavailable | ChannelRejected
    ) -> LineResult:
        """A lost answer may have been a yes, a refusal may mean that it was told before: ask."""
        if isinstance(failed, ChannelRejected) and failed.is_auth:
            raise failed
        if isinstance(failed, ChannelUnavailable) and not failed.is_unknown_outcome:
            return _later(line.key, failed)
        try:
            if self._has_parcel(line):
                return LineResult(line.key, ok=True, code="read_back")
        except ChannelUnavailable as later:
            return _later(line.key, later)
        if isinstance(failed, ChannelUnavailable):
            return _later(line.key, failed)
        return _never(line.key, failed)

    def _send_offline(self, line: DispatchLine) -> None:
        parameters = {
            "tid": line.outer_id,
            "out_sid": line.tracking_no,
            "company_code": self._carrier_codes.get(line.carrier_code, line.carrier_code),
        }
        if not line.is_whole_order:
            parameters |= {"is_split": "1", "sub_tid": ",".join(line.outer_line_ids)}
        answer = self._gateway.write(method="taobao.logistics.offline.send", parameters=parameters)
        shipping = answer.get("shipping")
        if not isinstance(shipping, dict) or not shipping.get("is_success"):
            raise ChannelUnavailable("TOP did not say that the parcel is booked", is_unknown_outcome=True)

    def _has_parcel(self, line: DispatchLine) -> bool:
        """Whether the lines on TOP carry our number already."""
        try:
            trade = self._read_detail(line.outer_id, SHIPPED_FIELDS)
        except ChannelRejected as refused:
            if refused.is_auth:
                raise
            return False
        numbers = {str(row.get("oid")): row.get("invoice_no") for row in _rows(trade.get("orders"), "order")}
        wanted = numbers if line.is_whole_order else line.outer_line_ids
        return bool(wanted) and all(numbers.get(oid) == line.tracking_no for oid in wanted)


# --- reading answers ---


def _read_page(answer: Mapping[str, Any], name: str) -> Page:
    total = answer.get("total_results")
    return Page(
        rows=_rows(answer.get(f"{name}s"), name),
        total=int(total) if total is not None else None,
        has_next=answer.get("has_next") in (True, "true"),
    )


def _rows(wrapped: object, name: str) -> list[dict[str, Any]]:
    """The rows of `{"trades": {"trade": […]}}`; an empty list has no key, at either level."""
    found = wrapped.get(name) if isinstance(wrapped, Mapping) else None
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def _take_untold(rows: Sequence[dict[str, Any]], told: dict[object, object]) -> list[dict[str, Any]]:
    fresh = []
    for row in rows:
        tid, modified = row.get("tid"), row.get("modified") or ""
        if tid is None or tid not in told or told[tid] != modified:
            told[tid] = modified
            fresh.append(row)
    return fresh


def _leave_out_known(rows: list[dict[str, Any]], find_known: FindKnown) -> list[dict[str, Any]]:
    """Each detail is a call: those of trades that are stored as they are listed are not read again."""
    listed = {str(row.get("tid")): moment for row in rows if (moment := read_moment(row.get("modified")))}
    known = find_known(listed) if listed else ()
    return [row for row in rows if str(row.get("tid")) not in known] if known else rows


def _is_unknown_trade(refused: ChannelRejected) -> bool:
    return "trade-not-exist" in refused.code or "trade-not-found" in refused.code


def _seen(item: Mapping[str, Any], sku: Mapping[str, Any]) -> SeenItem:
    """One SKU of an item; an item without SKUs speaks for itself."""
    price, quantity = sku.get("price") or item.get("price"), sku.get("quantity", item.get("num"))
    return SeenItem(
        outer_item_id=str(item["num_iid"]),
        outer_sku_id=str(sku.get("sku_id") or ""),
        title=str(item.get("title") or ""),
        outer_code=str((sku if sku else item).get("outer_id") or ""),
        barcode=str(sku.get("barcode") or ""),
        price=None if price is None else Decimal(str(price)),
        quantity=None if quantity is None else int(quantity),
        is_listed=item.get("approve_status") == "onsale",
    )


# --- lines of a push ---


def _push_by_item(lines: Sequence[Any], push: Push) -> list[LineResult]:
    """`push` the sound lines in batches of one item each; the results in the order of the lines."""
    results: dict[int, LineResult] = {}
    sound = []
    for place, line in enumerate(lines):
        if refusal := _refuse_line(line):
            results[place] = refusal
        else:
            sound.append((place, line))
    failures = 0
    for batch in _batches_by_item(sound):
        answers = push([line for _, line in batch])
        results.update(zip((place for place, _ in batch), answers, strict=True))
        is_cut = all(answer.code == "throttled" for answer in answers)
        failures = failures + 1 if all(_is_later(answer) for answer in answers) else 0
        if is_cut or failures >= UNAVAILABLE_IN_A_ROW_MAX:
            # the rest would only burn the quota, or wait for one time-out after another
            break
    return [results.get(place) or _postpone(line, results) for place, line in enumerate(lines)]


def _refuse_line(line: StockLine | PriceLine | TitleLine) -> LineResult | None:
    if not line.outer_item_id:
        return LineResult(
            line.key, ok=False, code="no_item", is_final=True, detail="The listing has no item id (num_iid)."
        )
    if isinstance(line, PriceLine) and (line.currency != "CNY" or line.price <= 0):
        return LineResult(
            line.key, ok=False, code="bad_price", is_final=True,
            detail=f"TOP takes prices above zero in CNY, not {line.price} {line.currency}.",
        )  # fmt: skip
    return None


def _batches_by_item(lines: Sequence[tuple[int, Any]]) -> Iterator[Sequence[tuple[int, Any]]]:
    groups: dict[tuple[str, bool], list[tuple[int, Any]]] = {}
    for place, line in lines:
        is_sku = bool(getattr(line, "outer_sku_id", ""))
        groups.setdefault((line.outer_item_id, is_sku), []).append((place, line))
    for (_, is_sku), group in groups.items():
        size = STOCK_BATCH if is_sku else 1
        for start in range(0, len(group), size):
            yield group[start : start + size]


def _yuan(price: Decimal) -> str:
    return f"{round_money(price):.2f}"


def _later(key: int, later: ChannelUnavailable) -> LineResult:
    code = "throttled" if later.is_throttled else "unavailable"
    return LineResult(key, ok=False, code=code, detail=later.detail, retry_seconds=later.retry_seconds)


def _never(key: int, refused: ChannelRejected) -> LineResult:
    return LineResult(key, ok=False, code=refused.code, detail=refused.detail, is_final=True)


def _is_later(result: LineResult) -> bool:
    return not result.ok and not result.is_final


def _postpone(
    line: StockLine | PriceLine | ListingLine | TitleLine, results: Mapping[int, LineResult]
) -> LineResult:
    waits = [result.retry_seconds for result in results.values() if result.retry_seconds]
    return LineResult(
        line.key, ok=False, code="postponed", retry_seconds=max(waits, default=None),
        detail="Not asked: the platform did not take the lines before it.",
    )  # fmt: skip

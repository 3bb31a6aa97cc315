"""Take orders from a channel: once each, every version kept, stock promised, in a constant number of statements."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from django.utils.translation import gettext as _

from inventory.holds.take_over import reserve_from_holds
from inventory.record import mark_sold
from inventory.reserve import Demand, Outcome, reserve_stock
from omni.kernel.canonical import canonical_json
from omni.kernel.crypto import encrypt
from omni.kernel.events import record_events
from omni.kernel.numbers import document_number, take_ids
from omni.kernel.sentences import read_sentence, sentence
from omni.kernel.sql import Load, as_array, as_text_array, execute, fetch_all, load_rows
from omni.kernel.transactions import joins_transaction
from orders.change import Change, KnownOrder, apply_changes
from orders.draft import ChannelState, LineDraft, LineRefund, OrderDraft
from orders.draft_json import clean_draft, draft_to_json
from orders.events import OrdersCaptured
from orders.explode import component_key, explode_line
from orders.faults import Fault, find_faults
from orders.models import BundleLine
from orders.models.review import HoldKind
from orders.park import Parked, close_taken, park_orders
from orders.receiver import clean_text, encrypt_receiver, mask_receiver
from orders.record import Happening, Side, happenings_load, record_happenings
from orders.resolve import SkuFinder
from orders.states import Stage
from products.bundles import Component
from products.models import Shop
from products.observe import SeenItem, observe_items

# Line keys are names, not numbers: the same line has the same key on every pull, retry and machine.
LINE_NAMESPACE = uuid.UUID("5b6f3a0e-6a55-4a0c-9d0c-2f3c1d1f7a11")

# What is unknown yet, with the ids that it will have (the sequences are looked up once, not once a row), and whether
# any of the lines has a past: an order that was taken back leaves its spent promises behind.
LOOK_UP = """
    WITH sequences AS MATERIALIZED (
        SELECT pg_get_serial_sequence('orders_channelorder', 'id')::regclass AS channel_orders,
               pg_get_serial_sequence('orders_salesorder', 'id')::regclass AS orders
    ), known AS MATERIALIZED (
        SELECT outer_id FROM orders_channelorder WHERE shop_id = %s AND outer_id = ANY(%s::text[])
    ), past AS MATERIALIZED (
        SELECT EXISTS (SELECT FROM inventory_reservation WHERE line_key = ANY(%s::uuid[])) AS is_there
    )
    SELECT w.outer_id, nextval(s.channel_orders), nextval(s.orders), past.is_there
    FROM unnest(%s::text[]) AS w(outer_id), sequences s, past
    WHERE w.outer_id NOT IN (SELECT outer_id FROM known)
"""
LOCK_KNOWN = """
    SELECT c.id, c.outer_id, c.outer_modified_at, c.content_hash, c.state, o.id, o.number, o.stage
    FROM orders_channelorder c LEFT JOIN orders_salesorder o ON o.channel_order_id = c.id
    WHERE c.shop_id = %s AND c.outer_id = ANY(%s::text[]) ORDER BY c.id FOR NO KEY UPDATE OF c
"""
HEARD = """
    SELECT v.channel_order_id FROM orders_channelorderversion v
    JOIN unnest(%s::bigint[], %s::bytea[]) AS w(id, hash) ON v.channel_order_id = w.id AND v.content_hash = w.hash
"""
# Rows come sorted by outer id: two captures of the same orders wait for one another in the same order.
INSERT_CHANNEL_ORDERS = """
    WITH taken AS (
        INSERT INTO orders_channelorder
            (id, shop_id, outer_id, state, raw_state, outer_modified_at, content_hash, captured_at)
        SELECT id, %s, outer_id, state, raw, modified, hash, %s
        FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::bytea[])
            AS c(id, outer_id, state, raw, modified, hash)
        ON CONFLICT (shop_id, outer_id) DO NOTHING RETURNING id, shop_id, outer_id
    )
    SELECT id, EXISTS (
        SELECT FROM orders_parkedorder p
        WHERE p.shop_id = taken.shop_id AND p.outer_id = taken.outer_id AND p.state = 'open')
    FROM taken
"""
INSERT_VERSIONS = """
    INSERT INTO orders_channelorderversion
        (channel_order_id, content_hash, outer_modified_at, is_stale, payload, source, received_at)
    SELECT id, hash, modified, stale, payload, %s, %s
    FROM unnest(%s::bigint[], %s::bytea[], %s::timestamptz[], %s::bool[], %s::bytea[])
        AS v(id, hash, modified, stale, payload)
    ON CONFLICT (channel_order_id, content_hash) DO UPDATE
    SET outer_modified_at = EXCLUDED.outer_modified_at, is_stale = false WHERE NOT EXCLUDED.is_stale
"""
# What the platform says once more is its word of the later moment, for the channel order and for the version.
SAID_AGAIN = """
    WITH heard AS (
        UPDATE orders_channelorder c SET outer_modified_at = w.modified
        FROM unnest(%s::bigint[], %s::timestamptz[]) AS w(id, modified)
        WHERE c.id = w.id RETURNING c.id, c.content_hash, c.outer_modified_at
    )
    UPDATE orders_channelorderversion v SET outer_modified_at = h.outer_modified_at
    FROM heard h WHERE v.channel_order_id = h.id AND v.content_hash = h.content_hash
"""
# Faulty now, but taken with this very content before: its SKU was renamed since, or its listing is gone.
TAKEN_ALREADY = """
    SELECT w.position, o.id, o.number FROM unnest(%s::int[], %s::text[], %s::bytea[]) AS w(position, outer_id, hash)
    JOIN orders_channelorder c ON c.shop_id = %s AND c.outer_id = w.outer_id
    JOIN orders_channelorderversion v ON v.channel_order_id = c.id AND v.content_hash = w.hash
    JOIN orders_salesorder o ON o.channel_order_id = c.id
"""
# What follows a channel order that is ours alone by now cannot conflict.
VERSION_COLUMNS = {
    "channel_order_id": "int8",
    "content_hash": "bytea",
    "outer_modified_at": "timestamptz",
    "is_stale": "bool",
    "payload": "bytea",
    "source": "text",
    "received_at": "timestamptz",
}
ORDER_COLUMNS = {
    "id": "int8",
    "number": "text",
    "shop_id": "int8",
    "channel_order_id": "int8",
    "outer_id": "text",
    "stage": "text",
    "fulfilled_by": "text",
    "open_holds": "int2",
    "currency": "text",
    "total_amount": "numeric",
    "freight_amount": "numeric",
    "discount_amount": "numeric",
    "buyer": "text",
    "buyer_message": "text",
    "seller_memo": "text",
    "receiver": "bytea",
    "receiver_mask": "text",
    "province": "text",
    "city": "text",
    "district": "text",
    "placed_at": "timestamptz",
    "paid_at": "timestamptz",
    "ship_by": "timestamptz",
    "captured_at": "timestamptz",
    "stage_at": "timestamptz",
}
LINE_COLUMNS = {
    "order_id": "int8",
    "line_key": "uuid",
    "outer_line_id": "text",
    "sku_id": "int8",
    "title": "text",
    "quantity": "int4",
    "unit_price": "numeric",
    "amount": "numeric",
    "cancelled_quantity": "int4",
    "shipped_quantity": "int4",
}
# Only where bundles are among what is captured: plain lines are written without.
BUNDLE_LINE_COLUMNS = {
    **LINE_COLUMNS,
    "bundle_id": "int8",
    "bundle_units": "int4",
    "bundle_weight": "numeric",
}
BUNDLE_COLUMNS = {
    "id": "int8",
    "order_id": "int8",
    "outer_line_id": "text",
    "sku_id": "int8",
    "title": "text",
    "quantity": "int4",
    "unit_price": "numeric",
    "amount": "numeric",
}
MARK_SHORT = """
    UPDATE orders_salesorderline l SET short_quantity = s.quantity
    FROM unnest(%s::uuid[], %s::int[]) AS s(key, quantity) WHERE l.line_key = s.key RETURNING l.order_id
"""
COUNT_SHORT = """
    UPDATE orders_salesorder o SET short_lines = s.lines
    FROM unnest(%s::bigint[], %s::int[]) AS s(id, lines) WHERE o.id = s.id
"""
# Foreign keys are looked at when the transaction ends, so any order will do.
WITHDRAW = """
    WITH holds AS (DELETE FROM orders_orderhold WHERE order_id = ANY(%(orders)s::bigint[])),
    events AS (DELETE FROM orders_orderevent WHERE order_id = ANY(%(orders)s::bigint[])),
    lines AS (DELETE FROM orders_salesorderline WHERE order_id = ANY(%(orders)s::bigint[])),
    bundles AS (DELETE FROM orders_bundleline WHERE order_id = ANY(%(orders)s::bigint[])),
    orders AS (DELETE FROM orders_salesorder WHERE id = ANY(%(orders)s::bigint[])),
    versions AS (DELETE FROM orders_channelorderversion WHERE channel_order_id = ANY(%(channel_orders)s::bigint[]))
    DELETE FROM orders_channelorder WHERE id = ANY(%(channel_orders)s::bigint[])
"""
INSERT_HOLDS = """
    INSERT INTO orders_orderhold (order_id, kind, reason, placed_by, placed_at)
    SELECT order_id, kind, reason, %s, %s FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS h(order_id, kind, reason)
"""

Result = Literal["new", "changed", "unchanged", "stale", "parked", "refused"]


@dataclass(frozen=True, slots=True)
class Captured:
    """What became of one draft. `reason` and `detail` say why it was parked or refused; `hold`: the fate of the stock
    hold that it named, empty where it named none or nothing was asked of it.
    """

    outer_id: str
    result: Result
    order_id: int | None = None
    number: str = ""
    reason: str = ""
    detail: str = ""
    field: str = ""
    hold: str = ""


@dataclass(slots=True)
class SoldBundle:
    """A line of a draft that sells bundles. `number`: the place of that line; `ident`: of the row that it becomes."""

    number: int
    sku_id: int
    ident: int = 0


@dataclass(slots=True)
class Sheet:
    """One draft on its way through the capture.

    `listed`: the SKU that each of its lines sells. `lines`, `skus` and `keys` are the lines that come of it: its own,
    or with bundles among them those of their components; `bundled` says of which bundle a line is a component.
    """

    draft: OrderDraft
    text: bytes  # the canonical payload
    hash: bytes
    lines: Sequence[LineDraft]
    listed: list[int]
    skus: list[int]
    keys: list[uuid.UUID]
    holds: list[tuple[HoldKind, str]]
    bundles: list[SoldBundle] = field(default_factory=list)
    bundled: dict[int, tuple[SoldBundle, Component]] = field(default_factory=dict)
    unknown: list[LineDraft] = field(default_factory=list)  # lines that no SKU is known for
    position: int = 0  # among the drafts of the call
    stage: Stage = Stage.CAPTURED
    channel_order_id: int = 0
    order_id: int = 0
    hold: str = ""  # the key of the stock hold that it takes over
    hold_fate: str = ""

    @property
    def number(self) -> str:
        return document_number("SO", self.order_id)


def capture_orders(
    *,
    shop: Shop,
    drafts: Sequence[OrderDraft],
    at: datetime,
    by: str,
    source: str,
    holds: Mapping[str, str] | None = None,
) -> list[Captured]:
    """Take drafts of one shop: new orders are stored and their stock is promised, known ones are changed.

    The same order twice, in one call or in many, on one machine or on several, is one order. An older version never
    overwrites a newer one. What cannot become an order is parked with its reason. Where the shop's orders are requests
    (`Shop.order_policy`), a faulty or short one is refused instead and leaves no trace. Where there is not enough for
    all, requests are served in the order given, and facts in that of their payment. `holds`: by outer id, the keys of
    the stock holds whose units orders take over when their stock is promised.

    Returns one result per draft, in the order given. Statements do not grow with the number of new orders.
    """
    refuses = shop.order_policy == Shop.OrderPolicy.REQUEST
    results: dict[int, Captured] = {}
    sheets: dict[str, Sheet] = {}
    finder = SkuFinder(shop_id=shop.pk, drafts=drafts)
    faulty: dict[int, tuple[Sheet, Fault]] = {}
    repeats: list[tuple[int, OrderDraft]] = []
    for position, draft in enumerate(drafts):
        sheet, fault = _prepare(draft, finder, shop_id=shop.pk, at=at, strict=refuses)
        if fault is not None:
            faulty[position] = (sheet, fault)
        elif sheet.draft.outer_id in sheets:
            repeats.append((position, draft))
        else:
            sheet.position = position
            sheet.hold = holds.get(draft.outer_id, "") if holds else ""
            sheets[sheet.draft.outer_id] = sheet

    rest = _take_new(shop, sheets, faulty, results, refuses=refuses, at=at, by=by, source=source)
    # A transaction of its own: new orders lock stock last, and changes lock orders first.
    if rest:
        _update(shop, rest, results, at=at, by=by, source=source)
    # The same order twice in one call: the second is a later version of the first.
    for position, draft in repeats:
        results[position] = capture_orders(
            shop=shop, drafts=[draft], at=at, by=by, source=source, holds=holds
        )[0]
    return [results[position] for position in range(len(drafts))]


@joins_transaction
def _take_new(
    shop: Shop,
    sheets: dict[str, Sheet],
    faulty: dict[int, tuple[Sheet, Fault]],
    results: dict[int, Captured],
    *,
    refuses: bool,
    at: datetime,
    by: str,
    source: str,
) -> dict[str, Sheet]:
    """Store the orders that nobody has stored yet; return the others, those of a rival who was faster among them."""
    if faulty:
        _set_aside(shop, faulty, results, refuses=refuses, at=at, by=by, source=source)
    if not sheets:
        return {}
    outer_ids = as_text_array(sorted(sheets))
    keys = as_array(key for sheet in sheets.values() for key in sheet.keys)
    free = fetch_all(LOOK_UP, [shop.pk, outer_ids, keys, outer_ids])
    new = [sheets[row[0]] for row in sorted(free)]
    # Numbers rise as the rows do, whichever way the server took them up.
    channel_ids, order_ids = sorted(row[1] for row in free), sorted(row[2] for row in free)
    for sheet, channel_id, order_id in zip(new, channel_ids, order_ids, strict=True):
        sheet.channel_order_id, sheet.order_id = channel_id, order_id
    taken = _insert(
        shop,
        new,
        at=at,
        by=by,
        source=source,
        refuses=refuses,
        have_past=any(row[3] for row in free),
    )
    rest = dict(sheets)
    for sheet in new:
        missing = taken.get(sheet.order_id)
        if missing is None:
            continue  # a rival was faster
        del rest[sheet.draft.outer_id]
        results[sheet.position] = (
            _refused(sheet, missing)
            if missing
            else Captured(sheet.draft.outer_id, "new", sheet.order_id, sheet.number, hold=sheet.hold_fate)
        )
    return rest


def _refused(sheet: Sheet, missing: int) -> Captured:
    detail = _("Not enough stock: %d units are missing. Nothing was reserved.") % missing
    return Captured(
        sheet.draft.outer_id, "refused", None, "", "not_enough_stock", detail, "lines", sheet.hold_fate
    )


def _set_aside(
    shop: Shop,
    faulty: dict[int, tuple[Sheet, Fault]],
    results: dict[int, Captured],
    *,
    refuses: bool,
    at: datetime,
    by: str,
    source: str,
) -> None:
    """Refuse or park what cannot be taken; what was taken with the same content before is only heard again."""
    outer_ids = [sheet.draft.outer_id for sheet, _fault in faulty.values()]
    hashes = [sheet.hash for sheet, _fault in faulty.values()]
    rows = fetch_all(TAKEN_ALREADY, [list(faulty), outer_ids, hashes, shop.pk])
    taken = {position: (order_id, number) for position, order_id, number in rows}
    parked = []
    for position, (sheet, fault) in faulty.items():
        outer_id = sheet.draft.outer_id
        if position in taken:
            results[position] = Captured(outer_id, "unchanged", *taken[position])
            continue
        result: Result = "refused" if refuses else "parked"
        results[position] = Captured(
            outer_id, result, None, "", fault.reason, read_sentence(fault.detail), fault.field
        )
        wants = [_want(line) for line in sheet.unknown]
        parked.append(
            Parked(outer_id, sheet.hash, fault.reason, fault.detail, draft_to_json(sheet.draft), wants)
        )
    if not refuses:
        park_orders(shop=shop, parked=parked, at=at, by=by, source=source)
        _note_unknown_items(shop, [line for sheet, _fault in faulty.values() for line in sheet.unknown], at)


def _want(line: LineDraft) -> dict[str, str]:
    return {"item": line.outer_item_id, "sku": line.outer_sku_id, "code": line.sku_code}


def _note_unknown_items(shop: Shop, lines: Sequence[LineDraft], at: datetime) -> None:
    """What was sold and is known to nobody waits among the channel's items for a person to say what it is."""
    items = [
        SeenItem(line.outer_item_id, line.outer_sku_id, line.title, outer_code=line.sku_code)
        for line in lines
        if line.outer_item_id
    ]
    observe_items(shop_id=shop.pk, items=items, source="order", at=at)


def _prepare(
    draft: OrderDraft, finder: SkuFinder, *, shop_id: int, at: datetime, strict: bool
) -> tuple[Sheet, Fault | None]:
    """Resolve the SKUs, find the faults, choose the first stage."""
    content = draft.payload or draft_to_json(draft)
    text = canonical_json(content)
    if b"\\u0000" in text or b"\\ud" in text:
        draft = clean_draft(draft)
    found: list[int] = []
    sheet = Sheet(
        draft, text, hashlib.sha1(text, usedforsecurity=False).digest(), draft.lines, found, found, [], []
    )
    for fault in find_faults(draft, at=at):
        if fault.hold is None or strict:
            return sheet, fault
        sheet.holds.append((fault.hold, fault.detail))
    for number, line in enumerate(draft.lines):
        sku = finder.find(line)
        if sku is None:
            sheet.unknown.extend(rest for rest in draft.lines[number:] if finder.find(rest) is None)
            return sheet, _unknown_sku(number, line)
        found.append(sku)
        sheet.keys.append(line_key(shop_id, draft.outer_id, line.outer_line_id))
    if finder.bundles:
        _explode(sheet, finder)
    sheet.stage = first_stage(draft)
    _add_channel_holds(sheet)
    return sheet, None


def _explode(sheet: Sheet, finder: SkuFinder) -> None:
    """Put the components in the place of each line that sells bundles."""
    if not any(sku in finder.bundles for sku in sheet.listed):
        return
    lines: list[LineDraft] = []
    skus: list[int] = []
    keys: list[uuid.UUID] = []
    for number, (line, sku, key) in enumerate(zip(sheet.draft.lines, sheet.listed, sheet.keys, strict=True)):
        components = finder.bundles.get(sku)
        if components is None:
            lines.append(line)
            skus.append(sku)
            keys.append(key)
            continue
        bundle = SoldBundle(number, sku)
        sheet.bundles.append(bundle)
        for part in explode_line(line, components=components, currency=sheet.draft.currency.upper()):
            sheet.bundled[len(lines)] = (bundle, part.component)
            lines.append(part.line)
            skus.append(part.component.sku_id)
            keys.append(component_key(key, part.component.sku_id))
    sheet.lines, sheet.skus, sheet.keys = lines, skus, keys


def _unknown_sku(number: int, line: LineDraft) -> Fault:
    named = line.outer_sku_id or line.outer_item_id or line.sku_code or "?"
    return Fault(
        "unknown_sku",
        sentence(
            "Line %(line)d sells “%(title)s” (%(named)s), which no listing or SKU code names: map it, then retry."
        )
        % {"line": number + 1, "title": line.title, "named": named},
        f"lines[{number}].sku_code",
    )


def first_stage(draft: OrderDraft) -> Stage:
    """The stage in which an order begins when this is the first that we hear of it."""
    state = draft.state
    if state == ChannelState.PENDING_PAYMENT:
        return Stage.PENDING_PAYMENT
    if state in (ChannelState.CANCELLED, ChannelState.CLOSED) or all(
        line.refund == LineRefund.DONE for line in draft.lines
    ):
        return Stage.CANCELLED
    if state == ChannelState.COMPLETED:
        return Stage.COMPLETED
    if state == ChannelState.SHIPPED or all(
        line.is_shipped or line.refund == LineRefund.DONE for line in draft.lines
    ):
        return Stage.SHIPPED
    return Stage.CAPTURED


def _add_channel_holds(sheet: Sheet) -> None:
    draft = sheet.draft
    if sheet.stage != Stage.CAPTURED:
        sheet.holds.clear()
        return
    if draft.state == ChannelState.ON_HOLD:
        sheet.holds.append((HoldKind.CHANNEL, sentence("The platform forbids shipping for now.")))
    if draft.state == ChannelState.UNKNOWN:
        sheet.holds.append(
            (
                HoldKind.UNKNOWN_STATE,
                sentence("The platform says “%s”, which Omni does not know.") % draft.raw_state,
            )
        )
    if draft.state == ChannelState.PARTIALLY_SHIPPED:
        sheet.holds.append(
            (HoldKind.SHIPPED_ELSEWHERE, sentence("The platform says that a part has been shipped already."))
        )
    if any(line.refund == LineRefund.OPEN for line in draft.lines):
        sheet.holds.append((HoldKind.REFUND, sentence("The buyer has asked for a refund.")))


def line_key(shop_id: int, outer_id: str, outer_line_id: str) -> uuid.UUID:
    """The name under which stock is promised to a line."""
    return uuid.uuid5(LINE_NAMESPACE, f"{shop_id}\0{outer_id}\0{outer_line_id}")


# --- new orders ---------------------------------------------------------------------------------------------------


def _demands(shop: Shop, sheets: Iterable[Sheet]) -> list[Demand]:
    """What the new orders want of the stock: the paid, unshipped, unrefunded lines of orders that Omni fulfils."""
    if shop.fulfilled_by != Shop.FulfilledBy.OMNI:
        return []
    return [
        Demand(
            line_key=key,
            shop_id=shop.pk,
            sku_id=sku,
            quantity=line.quantity,
            together=number,
        )
        for number, sheet in enumerate(sheets)
        if sheet.stage == Stage.CAPTURED
        for line, sku, key in zip(sheet.lines, sheet.skus, sheet.keys, strict=True)
        if not line.is_shipped and line.refund != LineRefund.DONE
    ]


def _insert(
    shop: Shop, sheets: list[Sheet], *, at: datetime, by: str, source: str, refuses: bool, have_past: bool
) -> dict[int, int]:
    """Write new orders, stock last. Returns the units that each lacks, by order id, for those that no rival had
    written before. Where the shop's orders are requests, those that lack any are gone again.
    """
    if not sheets:
        return {}
    is_parked = dict(_insert_channel_orders(shop, sheets, at))
    sheets = [sheet for sheet in sheets if sheet.channel_order_id in is_parked]
    if not sheets:
        return {}
    load_rows(
        Load("orders_channelorderversion", VERSION_COLUMNS, [_version_row(s, at, source) for s in sheets]),
        Load("orders_salesorder", ORDER_COLUMNS, [_order_row(shop, sheet, at) for sheet in sheets]),
        *_line_loads(sheets),
        happenings_load(happenings=[_captured_happening(s, source) for s in sheets], at=at, by=by),
    )
    _insert_holds(sheets, at=at, by=by)
    missing = _promise(shop, sheets, at=at, by=by, refuses=refuses, have_past=have_past)
    refused = {ident for ident in missing if refuses}
    if refused:
        _withdraw([sheet for sheet in sheets if sheet.order_id in refused])
    kept = [sheet for sheet in sheets if sheet.order_id not in refused]
    parked = [sheet.draft for sheet in kept if is_parked[sheet.channel_order_id]]
    if parked:
        _close_parked(shop, parked, at=at, by=by)
    if kept:
        record_events(OrdersCaptured(tuple(sheet.order_id for sheet in kept)))
    return {sheet.order_id: missing.get(sheet.order_id, 0) if refuses else 0 for sheet in sheets}


def _asked_first(sheet: Sheet) -> int:
    return sheet.position


def _paid_first(sheet: Sheet) -> tuple[datetime, int]:
    return (sheet.draft.paid_at or sheet.draft.placed_at, sheet.position)


def _promise(
    shop: Shop, sheets: list[Sheet], *, at: datetime, by: str, refuses: bool, have_past: bool
) -> dict[int, int]:
    """Promise the new lines their stock. Returns the units that are missing, by order id, where any are."""
    # Rows are written by outer id, for the sake of their locks; who is served first is another matter.
    sheets = sorted(sheets, key=_asked_first if refuses else _paid_first)
    demands = _demands(shop, sheets)
    how: dict[str, Any] = {"at": at, "by": by, "refuse_short": refuses, "lines_are_new": not have_past}
    if holds := {number: sheet.hold for number, sheet in enumerate(sheets) if sheet.hold}:
        outcomes, fates = reserve_from_holds(shop_id=shop.pk, wanted=demands, holds=holds, **how)
        for number, fate in fates.items():
            sheets[number].hold_fate = fate.value
    else:
        outcomes = reserve_stock(wanted=demands, **how)
    short = [(demand, outcome) for demand, outcome in zip(demands, outcomes, strict=True) if outcome.missing]
    missing: dict[int, int] = {}
    for demand, outcome in short:
        ident = sheets[demand.together].order_id
        missing[ident] = missing.get(ident, 0) + outcome.missing
    if not refuses:
        if short:
            _mark_short(short)
            happenings = [Happening(ident, "short", {"units": units}) for ident, units in missing.items()]
            record_happenings(happenings=happenings, at=at, by=by)
        # A marketplace has lowered its own number for every one of these; a shop whose orders are requests has none.
        mark_sold(shop_id=shop.pk, sku_ids=(sku for sheet in sheets for sku in sheet.listed))
    return missing


def _withdraw(sheets: list[Sheet]) -> None:
    """Orders that this transaction has written and nobody has seen are gone without a trace."""
    execute(
        WITHDRAW,
        {
            "orders": as_array(sheet.order_id for sheet in sheets),
            "channel_orders": as_array(sheet.channel_order_id for sheet in sheets),
        },
    )


def _close_parked(shop: Shop, drafts: list[OrderDraft], *, at: datetime, by: str) -> None:
    close_taken(
        shop_id=shop.pk, taken={draft.outer_id: draft.outer_modified_at for draft in drafts}, at=at, by=by
    )


def _insert_channel_orders(shop: Shop, sheets: list[Sheet], at: datetime) -> list[Any]:
    """(id, is an order of this outer id parked?) of those that are ours."""
    return fetch_all(
        INSERT_CHANNEL_ORDERS,
        [
            shop.pk,
            at,
            as_array(sheet.channel_order_id for sheet in sheets),
            as_text_array(sheet.draft.outer_id for sheet in sheets),
            as_text_array(sheet.draft.state.value for sheet in sheets),
            as_text_array(sheet.draft.raw_state[:64] for sheet in sheets),
            as_text_array(sheet.draft.outer_modified_at.isoformat() for sheet in sheets),
            as_text_array("\\x" + sheet.hash.hex() for sheet in sheets),
        ],
    )


def _insert_versions(rows: list[tuple[int, Sheet, bool]], *, at: datetime, source: str) -> int:
    return execute(
        INSERT_VERSIONS,
        [
            source,
            at,
            [ident for ident, _, _ in rows],
            [sheet.hash for _, sheet, _ in rows],
            [sheet.draft.outer_modified_at for _, sheet, _ in rows],
            [is_stale for _, _, is_stale in rows],
            [encrypt(sheet.text, purpose="orders.channel_order_version.payload") for _, sheet, _ in rows],
        ],
    )


def _version_row(sheet: Sheet, at: datetime, source: str) -> tuple[Any, ...]:
    return (
        sheet.channel_order_id,
        sheet.hash,
        sheet.draft.outer_modified_at,
        False,
        encrypt(sheet.text, purpose="orders.channel_order_version.payload"),
        source,
        at,
    )


def _order_row(shop: Shop, sheet: Sheet, at: datetime) -> tuple[Any, ...]:
    draft, to = sheet.draft, sheet.draft.receiver
    is_outside = sheet.stage in (Stage.SHIPPED, Stage.COMPLETED) or shop.fulfilled_by != Shop.FulfilledBy.OMNI
    return (
        sheet.order_id,
        sheet.number,
        shop.pk,
        sheet.channel_order_id,
        draft.outer_id,
        sheet.stage.value,
        "outside" if is_outside else "omni",
        len(sheet.holds),
        draft.currency.upper(),
        draft.total_amount,
        draft.freight_amount,
        draft.discount_amount,
        clean_text(draft.buyer)[:120],
        clean_text(draft.buyer_message),
        clean_text(draft.seller_memo),
        encrypt_receiver(to),
        mask_receiver(to),
        clean_text(to.province)[:40],
        clean_text(to.city)[:40],
        clean_text(to.district)[:40],
        draft.placed_at,
        draft.paid_at,
        draft.ship_by,
        at,
        at,
    )


def _line_loads(sheets: list[Sheet]) -> list[Load]:
    sold = [bundle for sheet in sheets for bundle in sheet.bundles]
    if not sold:
        rows = [row for sheet in sheets for row in _line_rows(sheet)]
        return [Load("orders_salesorderline", LINE_COLUMNS, rows)]
    for bundle, ident in zip(sold, take_ids(BundleLine, len(sold)), strict=True):
        bundle.ident = ident
    rows = [
        (*row, *_bundled(sheet, number)) for sheet in sheets for number, row in enumerate(_line_rows(sheet))
    ]
    bundles = [_bundle_row(sheet, bundle) for sheet in sheets for bundle in sheet.bundles]
    return [
        Load("orders_bundleline", BUNDLE_COLUMNS, bundles),
        Load("orders_salesorderline", BUNDLE_LINE_COLUMNS, rows),
    ]


def _bundled(sheet: Sheet, number: int) -> tuple[Any, ...]:
    """Of which bundle a line is a component, how many of it lie in each, and with which weight."""
    if number not in sheet.bundled:
        return (None, None, None)
    bundle, component = sheet.bundled[number]
    return (bundle.ident, component.units, component.weight)


def _bundle_row(sheet: Sheet, bundle: SoldBundle) -> tuple[Any, ...]:
    line = sheet.draft.lines[bundle.number]
    return (
        bundle.ident,
        sheet.order_id,
        line.outer_line_id,
        bundle.sku_id,
        clean_text(line.title)[:240],
        line.quantity,
        line.unit_price,
        line.amount,
    )


def _line_rows(sheet: Sheet) -> Iterable[tuple[Any, ...]]:
    is_over = sheet.stage == Stage.CANCELLED
    is_gone = sheet.draft.state in (ChannelState.SHIPPED, ChannelState.COMPLETED)
    for line, sku, key in zip(sheet.lines, sheet.skus, sheet.keys, strict=True):
        is_cancelled = is_over or (line.refund == LineRefund.DONE and not is_gone and not line.is_shipped)
        yield (
            sheet.order_id,
            key,
            line.outer_line_id,
            sku,
            clean_text(line.title)[:240],
            line.quantity,
            line.unit_price,
            line.amount,
            line.quantity if is_cancelled else 0,
            line.quantity if (is_gone or line.is_shipped) and not is_cancelled else 0,
        )


def _insert_holds(sheets: list[Sheet], *, at: datetime, by: str) -> None:
    rows = [(sheet.order_id, kind.value, reason) for sheet in sheets for kind, reason in sheet.holds]
    if rows:
        idents, kinds, reasons = zip(*rows, strict=True)
        execute(INSERT_HOLDS, [by, at, list(idents), list(kinds), list(reasons)])


def _captured_happening(sheet: Sheet, source: str) -> Happening:
    detail: dict[str, Any] = {"state": sheet.draft.raw_state or sheet.draft.state.value, "source": source}
    if sheet.holds:
        detail["holds"] = [kind.value for kind, _ in sheet.holds]
    return Happening(sheet.order_id, "captured", detail, Side.CHANNEL)


def _mark_short(short: list[tuple[Demand, Outcome]]) -> None:
    """Write down on lines and orders what could not be promised."""
    rows = fetch_all(MARK_SHORT, [[d.line_key for d, _o in short], [o.missing for _d, o in short]])
    lines: dict[int, int] = {}
    for (order_id,) in rows:
        lines[order_id] = lines.get(order_id, 0) + 1
    execute(COUNT_SHORT, [list(lines), list(lines.values())])


# --- known orders -------------------------------------------------------------------------------------------------


@joins_transaction
def _update(
    shop: Shop,
    sheets: dict[str, Sheet],
    results: dict[int, Captured],
    *,
    at: datetime,
    by: str,
    source: str,
) -> None:
    """Keep every version; apply those that are newer than what is known."""
    known_orders = [KnownOrder(*row) for row in fetch_all(LOCK_KNOWN, [shop.pk, as_text_array(sheets)])]
    heard = _heard_before(known_orders, sheets)
    versions: list[tuple[int, Sheet, bool]] = []
    newer: list[Change] = []
    said_again: list[tuple[int, datetime]] = []
    for known in known_orders:
        sheet = sheets[known.outer_id]
        draft, result = sheet.draft, "changed"
        if bytes(known.content_hash) == sheet.hash:
            result = "unchanged"
            if draft.outer_modified_at > known.outer_modified_at:
                said_again.append((known.channel_order_id, draft.outer_modified_at))
        elif draft.outer_modified_at < known.outer_modified_at or known.channel_order_id in heard:
            result = "stale"
            versions.append((known.channel_order_id, sheet, True))
        else:
            versions.append((known.channel_order_id, sheet, False))
            newer.append(Change(known, draft, sheet.listed, sheet.hash, sheet.holds, sheet.hold))
        results[sheet.position] = Captured(draft.outer_id, result, known.order_id, known.number or "")  # type: ignore[arg-type]
    if said_again:
        execute(SAID_AGAIN, [list(column) for column in zip(*said_again, strict=True)])
    if versions:
        _insert_versions(versions, at=at, source=source)
    if newer:
        fates = apply_changes(changes=newer, at=at, by=by)
        for sheet in sheets.values() if fates else ():
            captured = results[sheet.position]
            results[sheet.position] = replace(captured, hold=fates.get(captured.order_id or 0, ""))
        _close_parked(shop, [change.draft for change in newer], at=at, by=by)


def _heard_before(known_orders: list[KnownOrder], sheets: dict[str, Sheet]) -> set[int]:
    """Channel orders whose content, of the very second of the newest version, was heard before that version.

    A platform's clock has whole seconds: what comes again with the same second is an echo of its replicas, not news.
    """
    ties = [
        (known.channel_order_id, sheets[known.outer_id].hash)
        for known in known_orders
        if sheets[known.outer_id].draft.outer_modified_at == known.outer_modified_at
    ]
    if not ties:
        return set()
    idents, hashes = zip(*ties, strict=True)
    return {row[0] for row in fetch_all(HEARD, [list(idents), list(hashes)])}

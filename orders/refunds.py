"""Take refund cases of the platforms: what is asked for must not ship, what is paid back is cancelled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db import transaction

from omni.kernel.crypto import encrypt_json
from omni.kernel.sentences import sentence
from omni.kernel.sql import fetch_all
from orders.cancel import LineCancel, cancel_lines
from orders.draft import RefundDraft
from orders.hold import NewHold, place_holds, resolve_holds
from orders.models import ChannelRefund, SalesOrder
from orders.models.review import HoldKind
from orders.record import Side
from orders.states import OVER
from products.models import Shop

# Only a newer word changes what is known; rows are sorted, so that two takers wait for one another in the
# same order.
UPSERT = """
    INSERT INTO orders_channelrefund AS known (shop_id, outer_refund_id, outer_id, outer_line_id, state,
    raw_state, amount, currency, outer_modified_at, payload, received_at)
    SELECT %s, r.refund, r.outer_id, r.line, r.state, r.raw, r.amount, r.currency, r.modified, r.payload, %s
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::numeric[], %s::text[],
    %s::timestamptz[], %s::bytea[]) AS r(refund, outer_id, line, state, raw, amount, currency, modified, payload)
    ON CONFLICT (shop_id, outer_refund_id) DO UPDATE SET state = EXCLUDED.state, raw_state =
    EXCLUDED.raw_state, amount = EXCLUDED.amount, outer_modified_at = EXCLUDED.outer_modified_at, payload =
    EXCLUDED.payload WHERE known.outer_modified_at < EXCLUDED.outer_modified_at
       OR (known.outer_modified_at = EXCLUDED.outer_modified_at AND known.state <> EXCLUDED.state)
    RETURNING outer_refund_id
"""


@transaction.atomic
def take_refunds(*, shop: Shop, refunds: Sequence[RefundDraft], at: datetime, by: str) -> int:
    """Store refund cases and let them act on their orders, if those are here and have not shipped yet.

    A refund that comes before its order is kept; the order's own lines tell the same when it comes. Returns
    how many were news.
    """
    latest: dict[str, RefundDraft] = {}
    for refund in sorted(refunds, key=lambda refund: refund.outer_modified_at):
        latest[refund.outer_refund_id] = refund
    rows = [latest[ident] for ident in sorted(latest)]
    if not rows:
        return 0
    news = {row[0] for row in fetch_all(UPSERT, [shop.pk, at, *_columns(rows)])}
    orders = _orders(shop, [refund.outer_id for refund in rows if refund.outer_refund_id in news])
    holds, cancels = [], []
    for refund in rows:
        order = orders.get(refund.outer_id)
        if refund.outer_refund_id not in news or order is None or order.stage in OVER:
            continue
        if refund.state == "open":
            holds.append(NewHold(order.pk, HoldKind.REFUND, sentence("The buyer has asked for a refund.")))
        elif refund.state == "done":
            cancels += _paid_back(order, refund)
    place_holds(holds=holds, at=at, by=by, side=Side.CHANNEL)
    cancel_lines(cancels=cancels, reason=sentence("Refunded on the platform"), at=at, by=by)
    quiet = sorted({order.pk for order in orders.values()} - orders_with_open_refund(orders.values()))
    resolve_holds(order_ids=quiet, kinds=[HoldKind.REFUND], at=at, by=by, side=Side.CHANNEL)
    return len(news)


def _paid_back(order: SalesOrder, refund: RefundDraft) -> list[LineCancel]:
    """The lines that this refund pays back in full: the one that it names, or all if it names none.

    A platform names the only line of an order by the number of the order, or not at all.
    """
    lines = list(order.lines.all())
    named = [line for line in lines if line.outer_line_id == (refund.outer_line_id or refund.outer_id)]
    concerned = named if named or refund.outer_line_id else lines
    if refund.amount < sum(line.amount for line in concerned):
        return []
    return [LineCancel(line.pk) for line in concerned]


def _columns(rows: list[RefundDraft]) -> list[list[object]]:
    return [
        [row.outer_refund_id for row in rows],
        [row.outer_id for row in rows],
        [row.outer_line_id for row in rows],
        [row.state for row in rows],
        [row.raw_state[:64] for row in rows],
        [row.amount for row in rows],
        [row.currency for row in rows],
        [row.outer_modified_at for row in rows],
        [encrypt_json(dict(row.payload), purpose="orders.channel_refund.payload") for row in rows],
    ]


def _orders(shop: Shop, outer_ids: list[str]) -> dict[str, SalesOrder]:
    found = SalesOrder.objects.filter(channel_order__shop=shop, channel_order__outer_id__in=outer_ids)
    return {order.outer_id: order for order in found.prefetch_related("lines")}


def orders_with_open_refund(orders: Iterable[SalesOrder]) -> set[int]:
    """Those of these orders of which at least one refund case is still open."""
    by_outer = {(order.shop_id, order.outer_id): order.pk for order in orders}
    shops, outer_ids = {shop for shop, _outer in by_outer}, {outer for _shop, outer in by_outer}
    open_ones = ChannelRefund.objects.filter(
        shop__in=shops, outer_id__in=outer_ids, state=ChannelRefund.State.OPEN
    )
    return {by_outer[pair] for pair in open_ones.values_list("shop_id", "outer_id") if pair in by_outer}

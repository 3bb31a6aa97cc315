"""Take refund cases of the platforms: what is asked for must not ship, what is paid back is cancelled."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from omni.kernel.crypto import encrypt_json
from omni.kernel.sql import fetch_all
from orders.cancel import LineCancel, cancel_lines
from orders.draft import RefundDraft
from orders.hold import NewHold, place_holds, resolve_holds
from orders.models import ChannelRefund, SalesOrderLine
from orders.models.review import HoldKind
from orders.record import Side
from orders.states import Stage
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
    lines = _lines(shop, [refund.outer_id for refund in rows if refund.outer_refund_id in news])
    holds, cancels, touched = [], [], set()
    for refund in rows:
        line = lines.get((refund.outer_id, refund.outer_line_id or refund.outer_id))
        if refund.outer_refund_id not in news or line is None:
            continue
        touched.add(line.order_id)
        if refund.state == "open":
            holds.append(NewHold(line.order_id, HoldKind.REFUND, _("The buyer has asked for a refund.")))
        elif refund.state == "done" and refund.amount >= line.amount and line.shipped_quantity == 0:
            cancels.append(LineCancel(line.pk))
    place_holds(holds=holds, at=at, by=by, side=Side.CHANNEL)
    if cancels:
        cancel_lines(cancels=cancels, reason=_("Refunded on the platform"), at=at, by=by)
    quiet = sorted(touched - _with_open_refund(shop, lines.values()))
    resolve_holds(order_ids=quiet, kinds=[HoldKind.REFUND], at=at, by=by, side=Side.CHANNEL)
    return len(news)


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


def _lines(shop: Shop, outer_ids: list[str]) -> dict[tuple[str, str], SalesOrderLine]:
    over = [Stage.SHIPPED, Stage.COMPLETED, Stage.CANCELLED]
    found = SalesOrderLine.objects.filter(
        order__channel_order__shop=shop, order__channel_order__outer_id__in=outer_ids
    ).exclude(order__stage__in=over)
    return {(line.order.outer_id, line.outer_line_id): line for line in found.select_related("order")}


def _with_open_refund(shop: Shop, lines: object) -> set[int]:
    """Orders of which at least one refund is still open."""
    by_outer = {line.order.outer_id: line.order_id for line in lines}  # type: ignore[attr-defined]
    open_ones = ChannelRefund.objects.filter(shop=shop, outer_id__in=by_outer, state=ChannelRefund.State.OPEN)
    return {by_outer[outer_id] for outer_id in open_ones.values_list("outer_id", flat=True)}

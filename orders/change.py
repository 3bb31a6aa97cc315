"""Apply what a platform now says of an order that we know already."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import transaction

from inventory.holds.take_over import reserve_from_holds
from inventory.reserve import Demand, reserve_stock
from omni.kernel.events import record_events
from omni.kernel.sentences import sentence
from omni.kernel.sql import execute
from orders.advance import advance_orders
from orders.cancel import LineCancel, cancel_lines
from orders.draft import ChannelState, LineRefund, OrderDraft, Receiver
from orders.events import OrdersCaptured
from orders.faults import NEEDS_ADDRESS
from orders.finish import finish_orders
from orders.hold import NewHold, place_holds, resolve_holds
from orders.lock import lock_promises
from orders.models import SalesOrder
from orders.models.review import HoldKind
from orders.receiver import encrypt_receiver, mask_receiver
from orders.record import Happening, Side, record_happenings
from orders.refunds import orders_with_open_refund
from orders.shortage import mark_short
from orders.states import OVER, Stage

UPDATE_CHANNEL_ORDERS = """
    UPDATE orders_channelorder c SET state = v.state, raw_state = v.raw, outer_modified_at = v.modified,
        content_hash = v.hash, versions = c.versions + 1
    FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::timestamptz[], %s::bytea[])
        AS v(id, state, raw, modified, hash)
    WHERE c.id = v.id
"""
WRITE_TEXTS = """
    UPDATE orders_salesorder o SET receiver = t.receiver, receiver_mask = t.mask, province = t.province,
        city = t.city, district = t.district, buyer_message = t.message, seller_memo = t.memo,
        paid_at = coalesce(t.paid_at, o.paid_at)
    FROM unnest(%s::bigint[], %s::bytea[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
                %s::timestamptz[]) AS t(id, receiver, mask, province, city, district, message, memo, paid_at)
    WHERE o.id = t.id
"""
# Lines of orders that somebody else fulfils; locked with their orders.
SHIPPED_OUTSIDE = """
    UPDATE orders_salesorderline SET shipped_quantity = quantity - cancelled_quantity
    WHERE order_id = ANY(%s) OR id = ANY(%s)
"""
BEFORE_APPROVAL = frozenset({Stage.PENDING_PAYMENT, Stage.CAPTURED, Stage.IN_REVIEW})


@dataclass(frozen=True, slots=True)
class KnownOrder:
    """A channel order as it stands, with the sales order made of it."""

    channel_order_id: int
    outer_id: str
    outer_modified_at: datetime
    content_hash: bytes
    state: str
    order_id: int | None
    number: str | None
    stage: str | None


@dataclass(slots=True)
class Plan:
    """What a batch of changes comes to: collected first, carried out by one call per kind."""

    paid: list[tuple[SalesOrder, OrderDraft]] = field(default_factory=list)
    cancels: list[LineCancel] = field(default_factory=list)
    holds: list[NewHold] = field(default_factory=list)
    releases: dict[HoldKind, list[int]] = field(default_factory=dict)
    texts: list[tuple[SalesOrder, OrderDraft]] = field(default_factory=list)
    shipped_outside: list[int] = field(default_factory=list)  # orders
    lines_shipped_outside: list[int] = field(default_factory=list)  # lines of orders of which a part is left
    completed: list[int] = field(default_factory=list)
    happenings: list[Happening] = field(default_factory=list)
    stock_holds: dict[int, str] = field(default_factory=dict)  # by order id: the hold that it takes over

    def release(self, order_id: int, kind: HoldKind) -> None:
        self.releases.setdefault(kind, []).append(order_id)


@dataclass(frozen=True, slots=True)
class Change:
    """A newer version: the SKU that each line sells, the hash of its content, and why a new order like it is held."""

    known: KnownOrder
    draft: OrderDraft
    skus: list[int]
    content_hash: bytes
    holds: list[tuple[HoldKind, str]]
    stock_hold: str = ""  # the key of the hold whose units it takes over


@transaction.atomic
def apply_changes(*, changes: Sequence[Change], at: datetime, by: str) -> dict[int, str]:
    """Bring sales orders in line with newer versions of their channel orders.

    Payment reserves stock; a closed order is cancelled (the warehouse is asked where it has the order
    already); an open refund or a platform's veto holds, their end lets go; what the buyer changed after the
    review holds the order for a person.

    Returns the fate of the stock holds that were named, by order id, where stock was promised.
    """
    _write_channel_orders(changes)
    orders = _load([change.known.order_id for change in changes if change.known.order_id])
    plan = Plan()
    for change in changes:
        order = orders.get(change.known.order_id or 0)
        if order is not None:
            _plan_one(order, change, plan)
            if change.stock_hold:
                plan.stock_holds[order.pk] = change.stock_hold
    return _carry_out(plan, orders.values(), at=at, by=by)


def _write_channel_orders(changes: Sequence[Change]) -> None:
    execute(
        UPDATE_CHANNEL_ORDERS,
        [
            [change.known.channel_order_id for change in changes],
            [change.draft.state.value for change in changes],
            [change.draft.raw_state[:64] for change in changes],
            [change.draft.outer_modified_at for change in changes],
            [change.content_hash for change in changes],
        ],
    )


def _load(order_ids: list[int]) -> dict[int, SalesOrder]:
    """The orders with their lines, locked in key order."""
    found = SalesOrder.objects.filter(pk__in=order_ids).order_by("pk").select_for_update(no_key=True)
    return {order.pk: order for order in found.prefetch_related("lines__bundle")}


def _plan_one(order: SalesOrder, change: Change, plan: Plan) -> None:
    draft = change.draft
    plan.happenings.append(
        Happening(order.pk, "channel.changed", {"state": draft.raw_state or draft.state.value}, Side.CHANNEL)
    )
    if order.stage in OVER:
        _plan_finished(order, draft, plan)
        return
    if draft.state in (ChannelState.CANCELLED, ChannelState.CLOSED):
        plan.cancels += [LineCancel(line.pk) for line in order.lines.all()]
        return
    if order.stage == Stage.PENDING_PAYMENT:
        if draft.state != ChannelState.PENDING_PAYMENT:
            # Only now is it an order to ship: it is looked at as a new one is, and other goods are other goods.
            plan.texts.append((order, draft))
            plan.paid.append((order, draft))
            plan.holds += [NewHold(order.pk, kind, reason) for kind, reason in change.holds]
            _plan_outside_shipment(order, draft, plan)
            _plan_lines(order, change, plan)
        return
    _plan_refunds(order, draft, plan)
    _plan_holds(order, draft, plan)
    _plan_address(order, change, plan)
    _plan_outside_shipment(order, draft, plan)
    _plan_texts(order, draft, plan)
    _plan_lines(order, change, plan)


def _plan_finished(order: SalesOrder, draft: OrderDraft, plan: Plan) -> None:
    """After the parcel: only completion matters here. A refund then is a return, which has its own room."""
    if order.stage == Stage.SHIPPED and draft.state == ChannelState.COMPLETED:
        plan.completed.append(order.pk)


def _plan_holds(order: SalesOrder, draft: OrderDraft, plan: Plan) -> None:
    if draft.state == ChannelState.ON_HOLD:
        plan.holds.append(
            NewHold(order.pk, HoldKind.CHANNEL, sentence("The platform forbids shipping for now."))
        )
    else:
        plan.release(order.pk, HoldKind.CHANNEL)
    if draft.state == ChannelState.UNKNOWN:
        reason = sentence("The platform says “%s”, which Omni does not know.") % draft.raw_state
        plan.holds.append(NewHold(order.pk, HoldKind.UNKNOWN_STATE, reason))
    else:
        plan.release(order.pk, HoldKind.UNKNOWN_STATE)


def _plan_address(order: SalesOrder, change: Change, plan: Plan) -> None:
    """The address is taken over at once, so its hold follows it."""
    reasons = [reason for kind, reason in change.holds if kind == HoldKind.ADDRESS]
    plan.holds += [NewHold(order.pk, HoldKind.ADDRESS, reason) for reason in reasons]
    if not reasons and change.draft.state in NEEDS_ADDRESS:
        plan.release(order.pk, HoldKind.ADDRESS)


def _plan_refunds(order: SalesOrder, draft: OrderDraft, plan: Plan) -> None:
    """A refund is a fact of one line: open holds the order, done cancels what has not left, refused lets go.

    Of a bundle it speaks of all that lies in it.
    """
    paid_back = {line.outer_line_id for line in draft.lines if line.refund == LineRefund.DONE}
    plan.cancels += [LineCancel(line.pk) for line in order.lines.all() if line.outer_line_id in paid_back]
    if any(line.refund == LineRefund.OPEN for line in draft.lines):
        plan.holds.append(NewHold(order.pk, HoldKind.REFUND, sentence("The buyer has asked for a refund.")))
    else:
        plan.release(order.pk, HoldKind.REFUND)


def _plan_outside_shipment(order: SalesOrder, draft: OrderDraft, plan: Plan) -> None:
    """The platform says shipped: by whoever fulfils it, or although no parcel of ours has left."""
    if draft.state not in (ChannelState.SHIPPED, ChannelState.COMPLETED, ChannelState.PARTIALLY_SHIPPED):
        return
    if order.fulfilled_by == "outside" and draft.state == ChannelState.PARTIALLY_SHIPPED:
        gone = {line.outer_line_id for line in draft.lines if line.is_shipped}
        plan.lines_shipped_outside += [line.pk for line in order.lines.all() if line.outer_line_id in gone]
    elif order.fulfilled_by == "outside":
        plan.shipped_outside.append(order.pk)
    elif all(line.shipped_quantity == 0 for line in order.lines.all()):
        reason = sentence("The platform says “%s”, but no parcel of ours has left.") % (
            draft.raw_state or draft.state.value
        )
        plan.holds.append(NewHold(order.pk, HoldKind.SHIPPED_ELSEWHERE, reason))


def _plan_texts(order: SalesOrder, draft: OrderDraft, plan: Plan) -> None:
    """Address and remarks: taken over at once; after the review a person must look again."""
    changed = _changed_texts(order, draft)
    # A masked receiver gets a new token every week; that is no change of address, but the old one stops working.
    if changed or draft.receiver.token != order.receiver.get("token", "") or draft.paid_at != order.paid_at:
        plan.texts.append((order, draft))
    if not changed:
        return
    plan.happenings.append(Happening(order.pk, "texts.changed", {"fields": changed}, Side.CHANNEL))
    if order.stage not in BEFORE_APPROVAL:
        reason = sentence("Changed on the platform after the review: %s.") % ", ".join(changed)
        plan.holds.append(NewHold(order.pk, HoldKind.CHANGED, reason))


def _changed_texts(order: SalesOrder, draft: OrderDraft) -> list[str]:
    """The names of those of receiver and remarks that differ."""
    to = draft.receiver
    known = Receiver(**order.receiver) if order.receiver else Receiver()
    changed = []
    if (to.name, to.mobile, to.phone, to.province, to.city, to.district, to.town, to.address) != (
        known.name,
        known.mobile,
        known.phone,
        known.province,
        known.city,
        known.district,
        known.town,
        known.address,
    ):
        changed.append("receiver")
    if draft.buyer_message != order.buyer_message:
        changed.append("buyer_message")
    if draft.seller_memo != order.seller_memo:
        changed.append("seller_memo")
    return changed


def _write_texts(texts: list[tuple[SalesOrder, OrderDraft]]) -> None:
    if not texts:
        return
    receivers = [draft.receiver for _order, draft in texts]
    execute(
        WRITE_TEXTS,
        [
            [order.pk for order, _draft in texts],
            [encrypt_receiver(to) for to in receivers],
            [mask_receiver(to) for to in receivers],
            [to.province[:40] for to in receivers],
            [to.city[:40] for to in receivers],
            [to.district[:40] for to in receivers],
            [draft.buyer_message for _order, draft in texts],
            [draft.seller_memo for _order, draft in texts],
            [draft.paid_at for _order, draft in texts],
        ],
    )


def _plan_lines(order: SalesOrder, change: Change, plan: Plan) -> None:
    """Other goods than we captured: never rewritten in silence.

    Bundles are compared as they were sold: what lies in one may have changed since, and changes no order.
    """
    draft, skus = change.draft, change.skus
    sold = (line.bundle or line for line in order.lines.all())
    known = {line.outer_line_id: (line.sku_id, line.quantity) for line in sold}
    now = {line.outer_line_id: (sku, line.quantity) for line, sku in zip(draft.lines, skus, strict=True)}
    if known != now:
        differing = sorted({*known, *now} - {ident for ident in known if known.get(ident) == now.get(ident)})
        reason = sentence("The platform now shows other goods in line %s.") % ", ".join(differing)
        plan.holds.append(NewHold(order.pk, HoldKind.CHANGED, reason))


def _carry_out(plan: Plan, orders: Collection[SalesOrder], *, at: datetime, by: str) -> dict[int, str]:
    fates: dict[int, str] = {}
    if plan.paid or plan.cancels:
        lock_promises(order_ids=[order.pk for order in orders])
    record_happenings(happenings=plan.happenings, at=at, by=by)
    _write_texts(plan.texts)
    place_holds(holds=plan.holds, at=at, by=by, side=Side.CHANNEL)
    refunds_open = orders_with_open_refund(orders)
    for kind, order_ids in plan.releases.items():
        if kind == HoldKind.REFUND:
            # Refund cases are pulled as a stream of their own, which may be ahead of the order's.
            order_ids = sorted(set(order_ids) - refunds_open)
        resolve_holds(order_ids=order_ids, kinds=[kind], at=at, by=by, side=Side.CHANNEL)
    if plan.paid:
        fates = _take_paid(plan.paid, plan.stock_holds, at=at, by=by)
    cancel_lines(cancels=plan.cancels, reason=sentence("Closed or refunded on the platform"), at=at, by=by)
    if plan.shipped_outside or plan.lines_shipped_outside:
        _take_outside_shipments(plan, orders, at=at, by=by)
    advance_orders(order_ids=plan.completed, to=Stage.COMPLETED, at=at, by=by, side=Side.CHANNEL)
    return fates


def _take_paid(
    paid: list[tuple[SalesOrder, OrderDraft]], stock_holds: Mapping[int, str], *, at: datetime, by: str
) -> dict[int, str]:
    """Paid orders are captured for good: their stock is promised now. The fates of the holds that they name."""
    fates: dict[int, str] = {}
    advance_orders(order_ids=[o.pk for o, _ in paid], to=Stage.CAPTURED, at=at, by=by, side=Side.CHANNEL)
    demands: list[Demand] = []
    gone: list[LineCancel] = []
    for number, (order, draft) in enumerate(paid):
        refunded = {line.outer_line_id for line in draft.lines if line.refund == LineRefund.DONE}
        for line in order.lines.all():
            if line.outer_line_id in refunded:
                gone.append(LineCancel(line.pk))
            elif order.fulfilled_by == "omni" and line.quantity > line.cancelled_quantity:
                units = line.quantity - line.cancelled_quantity
                demands.append(Demand(line.line_key, order.shop_id, line.sku_id, units, number))
    if demands:
        named = {
            number: stock_holds[order.pk] for number, (order, _) in enumerate(paid) if order.pk in stock_holds
        }
        if named:
            # One capture brings the orders of one shop.
            outcomes, found = reserve_from_holds(
                shop_id=demands[0].shop_id, wanted=demands, holds=named, at=at, by=by
            )
            fates = {paid[number][0].pk: fate.value for number, fate in found.items()}
        else:
            outcomes = reserve_stock(wanted=demands, at=at, by=by)
        missing: dict[UUID, int] = {o.line_key: o.missing for o in outcomes if o.missing}
        mark_short(missing=missing, at=at, by=by)
    cancel_lines(cancels=gone, reason=sentence("Refunded on the platform"), at=at, by=by)
    record_events(OrdersCaptured(tuple(order.pk for order, _ in paid)))
    return fates


def _take_outside_shipments(plan: Plan, orders: Collection[SalesOrder], *, at: datetime, by: str) -> None:
    """Somebody else fulfils these: their counters follow the platform's word."""
    execute(SHIPPED_OUTSIDE, [plan.shipped_outside, plan.lines_shipped_outside])
    finish_orders(order_ids=[order.pk for order in orders], at=at, by=by, side=Side.CHANNEL)

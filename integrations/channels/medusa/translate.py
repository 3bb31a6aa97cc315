"""Medusa's order as our order draft: its words, its money, its clocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from integrations.contract import BadPayload
from omni.kernel.money import round_money, smallest_unit, split_amount
from orders.draft import ChannelState, LineDraft, LineRefund, OrderDraft, Receiver

# `fulfillment_status` is computed from the relations that are asked for: without the items a half-shipped order
# is called "shipped". `total` is left out on purpose, see `_money`.
ORDER_FIELDS = ",".join(
    (
        "id,display_id,status,version,is_draft_order,created_at,updated_at,canceled_at,email,currency_code,metadata",
        "item_total,shipping_total,discount_total,payment_status,fulfillment_status",
        "*items,*items.detail,*shipping_address",
        "*fulfillments,*fulfillments.items,*fulfillments.labels",
        "*payment_collections,*payment_collections.payments",
        "*payment_collections.payments.captures,*payment_collections.payments.refunds",
    )
)

_NOT_PAID = frozenset({"not_paid", "awaiting", "requires_action", "canceled"})
# Authorised is not paid: the money is only set aside, and part of it is not enough to ship all.
_ON_HOLD = frozenset({"authorized", "partially_authorized", "partially_captured"})
_PAID = frozenset({"captured", "partially_refunded"})
_NOT_SHIPPED = frozenset({"not_fulfilled", "partially_fulfilled", "fulfilled", "canceled"})
_SHIPPED = frozenset({"partially_shipped", "shipped", "partially_delivered", "delivered"})


class _Untranslatable(Exception):
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def translate_order(payload: Mapping[str, Any], *, message_key: str = "note") -> OrderDraft | BadPayload:
    """One order of `GET /admin/orders` asked for with ORDER_FIELDS.

    `message_key`: the key of the order's metadata in which the shop's pages keep the buyer's words. Medusa has no
    place of its own for them.
    """
    try:
        return _translate(payload, message_key=message_key)
    except _Untranslatable as problem:
        reason, detail = problem.reason, problem.detail
    except (KeyError, TypeError, AttributeError, ValueError, InvalidOperation) as problem:
        reason, detail = "unreadable", f"{type(problem).__name__}: {problem}"
    is_object = isinstance(payload, Mapping)
    return BadPayload(
        outer_id=str(payload.get("id") or "") if is_object else "",
        reason=reason,
        detail=detail,
        payload=payload if is_object else {"payload": payload},
    )


def is_draft(payload: Mapping[str, Any]) -> bool:
    """An order that somebody in the shop is still writing: nobody has bought anything yet."""
    return bool(payload.get("is_draft_order")) or payload.get("status") == "draft"


def _translate(payload: Mapping[str, Any], *, message_key: str) -> OrderDraft:
    if not payload.get("id"):
        raise _Untranslatable("no_id", "the order has no id")
    payload = in_steady_order(payload)
    currency = str(payload["currency_code"]).upper()
    # An order edit that takes an article out leaves no line, but one that is being written leaves quantity 0.
    items = [item for item in payload["items"] if item["quantity"] != 0]
    amounts, freight = _money(items, payload, unit=smallest_unit(currency))
    payment = str(payload["payment_status"])
    return OrderDraft(
        outer_id=str(payload["id"]),
        state=_state(payload, items=items),
        raw_state=f"{payload['status']}/{payment}/{payload['fulfillment_status']}",
        outer_modified_at=max(_moments(payload)),
        placed_at=_moment(payload["created_at"]),
        paid_at=_paid_at(payload),
        currency=currency,
        total_amount=sum(amounts, freight),
        freight_amount=freight,
        discount_amount=round_money(_decimal(payload["discount_total"]), unit=smallest_unit(currency)),
        buyer=str(payload.get("email") or ""),
        buyer_message=str((payload.get("metadata") or {}).get(message_key) or ""),
        receiver=_receiver(payload.get("shipping_address") or {}),
        lines=[
            _line(item, amount=amount, is_refunded=payment == "refunded")
            for item, amount in zip(items, amounts, strict=True)
        ],
        payload=payload,
    )


def _money(
    items: list[Mapping[str, Any]], payload: Mapping[str, Any], *, unit: Decimal
) -> tuple[list[Decimal], Decimal]:
    """What the buyer pays for each line, and the freight, in whole cents.

    Medusa never rounds (a third off plus tax gives 166.0424034), so the sum is rounded once and split over the lines:
    they add up to what the buyer is asked to pay. The order's own `total` is not used: Medusa lowers it with every
    refund, while what was sold stays what it was.
    """
    freight = round_money(_decimal(payload["shipping_total"]), unit=unit)
    whole = round_money(_decimal(payload["item_total"]) + _decimal(payload["shipping_total"]), unit=unit)
    exact = [_decimal(item["total"]) for item in items]
    return split_amount(whole - freight, weights=exact, unit=unit), freight


def _line(item: Mapping[str, Any], *, amount: Decimal, is_refunded: bool) -> LineDraft:
    quantity = _decimal(item["quantity"])
    if quantity != quantity.to_integral_value():
        raise _Untranslatable("broken_quantity", f"{quantity} units of {item.get('variant_sku')}")
    detail = item.get("detail") or {}
    variant = item.get("variant_title")
    return LineDraft(
        outer_line_id=str(item["id"]),
        quantity=int(quantity),
        unit_price=_decimal(item["unit_price"]),
        amount=amount,
        title=" ".join(dict.fromkeys(str(part) for part in (item.get("title"), variant) if part)),
        outer_item_id=str(item.get("product_id") or ""),
        outer_sku_id=str(item.get("variant_id") or ""),
        sku_code=str(item.get("variant_sku") or ""),
        refund=LineRefund.DONE if is_refunded else LineRefund.NONE,
        is_shipped=_decimal(detail.get("shipped_quantity") or 0) >= quantity,
    )


def _state(payload: Mapping[str, Any], *, items: list[Mapping[str, Any]]) -> ChannelState:
    """Medusa tells three words; one that is not known here makes the order UNKNOWN, which is taken and held."""
    status, payment, shipping = (
        str(payload[name]) for name in ("status", "payment_status", "fulfillment_status")
    )
    if status == "canceled":
        return ChannelState.CLOSED if _paid_at(payload) else ChannelState.CANCELLED
    if payment == "refunded":
        return ChannelState.CLOSED
    if status == "completed":
        return ChannelState.COMPLETED
    if status not in ("pending", "requires_action"):
        return ChannelState.UNKNOWN
    if shipping in _SHIPPED:
        # What has left has left, paid or not (cash on delivery); "delivered" in part says nothing of the rest.
        return ChannelState.SHIPPED if _has_all_left(items) else ChannelState.PARTIALLY_SHIPPED
    if shipping not in _NOT_SHIPPED:
        return ChannelState.UNKNOWN
    if payment in _NOT_PAID:
        return ChannelState.PENDING_PAYMENT
    if payment in _ON_HOLD or status == "requires_action":
        return ChannelState.ON_HOLD
    return ChannelState.TO_SHIP if payment in _PAID else ChannelState.UNKNOWN


def _has_all_left(items: list[Mapping[str, Any]]) -> bool:
    return all(item["detail"]["shipped_quantity"] >= item["quantity"] for item in items)


def _receiver(address: Mapping[str, Any]) -> Receiver:
    def text(name: str) -> str:
        return str(address.get(name) or "").strip()

    first, last = text("first_name"), text("last_name")
    is_chinese = any("\u4e00" <= sign <= "\u9fff" for sign in first + last)
    return Receiver(
        name=last + first if is_chinese else f"{first} {last}".strip(),
        mobile=text("phone"),
        country=text("country_code").upper(),
        province=text("province"),
        city=text("city"),
        address=" ".join(part for part in (text("address_1"), text("address_2"), text("company")) if part),
        postcode=text("postal_code"),
    )


def _moments(payload: Mapping[str, Any]) -> Iterator[datetime]:
    """Every moment at which this order changed. Its own `updated_at` does not move when the money comes in."""
    yield _moment(payload["updated_at"])
    changed: list[Any] = [payload.get("canceled_at")]
    changed += [fulfilment.get("updated_at") for fulfilment in payload.get("fulfillments") or ()]
    for collection in payload.get("payment_collections") or ():
        changed.append(collection.get("updated_at"))
    for payment in _payments(payload):
        changed.append(payment.get("updated_at"))
        changed += [
            event.get("created_at") for kind in ("captures", "refunds") for event in payment.get(kind) or ()
        ]
    yield from (_moment(text) for text in changed if text)


def _paid_at(payload: Mapping[str, Any]) -> datetime | None:
    """When the last part of the money came in."""
    return max(
        (_moment(payment["captured_at"]) for payment in _payments(payload) if payment.get("captured_at")),
        default=None,
    )


def _payments(payload: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for collection in payload.get("payment_collections") or ():
        yield from collection.get("payments") or ()


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return found


def _decimal(number: Any) -> Decimal:
    """A JSON number through its own digits: Decimal(0.1) would carry the error of the binary fraction."""
    if isinstance(number, bool) or number is None:
        raise ValueError(f"{number!r} is not a number")
    found = Decimal(str(number))
    if not found.is_finite():
        raise ValueError(f"{number!r} is not a number")
    return found


def in_steady_order(value: Any) -> Any:
    """Lists of objects by id: Medusa sends them in any order, and an order told twice must be one payload."""
    if isinstance(value, Mapping):
        return {key: in_steady_order(inner) for key, inner in value.items()}
    if isinstance(value, list):
        inner = [in_steady_order(one) for one in value]
        if inner and all(isinstance(one, dict) and "id" in one for one in inner):
            inner.sort(key=lambda one: str(one["id"]))
        return inner
    return value

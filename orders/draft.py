"""What an order looks like when it arrives from outside, whatever channel said it.

The input of `capture_orders`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal


class ChannelState(StrEnum):
    """The canonical state of an order on its platform. Refunds are a separate axis.

    See `LineDraft.refund`.
    """

    PENDING_PAYMENT = "pending_payment"
    ON_HOLD = "on_hold"  # paid, but the platform forbids shipping for now
    TO_SHIP = "to_ship"
    PARTIALLY_SHIPPED = "partially_shipped"
    SHIPPED = "shipped"
    COMPLETED = "completed"
    CANCELLED = "cancelled"  # closed before payment
    CLOSED = "closed"  # closed after payment, refunded in full
    UNKNOWN = "unknown"  # a status word that the adapter does not know: the order is taken and held


class LineRefund(StrEnum):
    """The refund state of one line on its platform."""

    NONE = "none"
    OPEN = "open"  # asked for, not decided: must not ship
    REFUSED = "refused"  # refused, or withdrawn by the buyer: may ship
    DONE = "done"  # paid back


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where the parcel goes. On channels with masked receivers every text is the mask and `token` is the way
    to the plain text.
    """

    name: str = ""
    mobile: str = ""
    phone: str = ""
    country: str = ""
    province: str = ""
    city: str = ""
    district: str = ""
    town: str = ""
    address: str = ""
    postcode: str = ""
    token: str = ""  # OAID of TOP, open_address_id of Pinduoduo, …
    is_masked: bool = False


@dataclass(frozen=True, slots=True)
class LineDraft:
    """One line. `amount` is what the buyer pays for the whole line after every discount.

    It may differ from price × quantity.
    """

    outer_line_id: str
    quantity: int
    unit_price: Decimal
    amount: Decimal
    title: str = ""
    outer_item_id: str = ""
    outer_sku_id: str = ""
    sku_code: str = ""  # the seller's own code, when the channel knows it
    refund: LineRefund = LineRefund.NONE
    outer_refund_id: str = ""
    is_shipped: bool = False


@dataclass(frozen=True, slots=True)
class OrderDraft:
    """One version of one order, as its platform tells it now.

    Money in major units of `currency`. Moments are aware datetimes. `payload` is the raw answer, kept as it
    came.
    """

    outer_id: str
    state: ChannelState
    outer_modified_at: datetime
    placed_at: datetime
    currency: str
    total_amount: Decimal  # what the buyer pays in all: lines + freight
    lines: Sequence[LineDraft]
    raw_state: str = ""
    paid_at: datetime | None = None
    freight_amount: Decimal = Decimal(0)
    discount_amount: Decimal = Decimal(0)  # informative: already inside the amounts of the lines
    buyer: str = ""
    buyer_message: str = ""
    seller_memo: str = ""
    receiver: Receiver = field(default_factory=Receiver)
    ship_by: datetime | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RefundDraft:
    """One refund case as its platform tells it now."""

    outer_refund_id: str
    outer_id: str
    outer_line_id: str
    state: Literal["open", "refused", "done"]
    raw_state: str
    amount: Decimal
    currency: str
    outer_modified_at: datetime
    payload: Mapping[str, Any] = field(default_factory=dict)

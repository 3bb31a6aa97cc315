"""The platform's records of a trade, its lines, its refund cases and every attempt to send it.

Amounts are integer cents, moments unix seconds; 0 means "not yet".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

WAIT_PAY = "WAIT_BUYER_PAY"
FORBID_CONSIGN = "PAID_FORBID_CONSIGN"
TO_SEND = "WAIT_SELLER_SEND_GOODS"
PART_SENT = "SELLER_CONSIGNED_PART"
SENT = "WAIT_BUYER_CONFIRM_GOODS"
FINISHED = "TRADE_FINISHED"
CLOSED = "TRADE_CLOSED"
CLOSED_UNPAID = "TRADE_CLOSED_BY_TAOBAO"
UNHEARD_OF = "WAIT_PLATFORM_RECHECK"  # in no documentation: the trap `unknown_status`

REFUND_OPEN = "WAIT_SELLER_AGREE"
REFUND_REFUSED = "SELLER_REFUSE_BUYER"
REFUND_CLOSED = "CLOSED"
REFUND_DONE = "SUCCESS"
NO_REFUND = "NO_REFUND"

DEPOSIT_PAID = "FRONT_PAID_FINAL_NOPAID"
ALL_STEPS_PAID = "FRONT_PAID_FINAL_PAID"


@dataclass
class Line:
    oid: int
    num_iid: int
    sku_id: int
    outer_iid: str
    outer_sku_id: str
    title: str
    sku_name: str
    price: int
    num: int
    discount: int = 0  # of this line alone
    adjust: int = 0  # the seller's own change, may be negative
    part_mjz: int = 0  # this line's share of the trade's discount
    status: str = WAIT_PAY
    refund_status: str = NO_REFUND
    refund_id: int = 0
    company_code: str = ""
    out_sid: str = ""
    consign_at: int = 0
    end_at: int = 0
    times_sent: int = 0

    @property
    def total_fee(self) -> int:
        return self.price * self.num + self.adjust - self.discount

    @property
    def divide_order_fee(self) -> int:
        return self.total_fee - self.part_mjz

    @property
    def is_live(self) -> bool:
        return self.status not in (CLOSED, CLOSED_UNPAID)


@dataclass
class Receiver:
    name: str
    mobile: str
    state: str
    city: str
    district: str
    address: str
    zip: str


@dataclass
class Attempt:
    """One call of logistics.offline.send for this trade, accepted or not."""

    at: int
    oids: list[int]
    company_code: str
    out_sid: str
    error: str  # the sub_code; empty: accepted


@dataclass
class Plan:
    """Something that will happen to the trade by itself. `line` is the position of the line that it concerns."""

    due: float
    action: str
    line: int = 0


@dataclass
class Trade:
    tid: int
    created: int
    modified: int
    buyer_nick: str
    receiver: Receiver
    lines: list[Line]
    status: str = WAIT_PAY
    post_fee: int = 0
    step_status: str = ""  # of a pre-sale
    promotion: str = ""
    buyer_message: str = ""
    seller_memo: str = ""
    seller_flag: int = 0
    paid_at: int = 0
    consign_at: int = 0
    end_at: int = 0
    visible_from: float = 0  # no list names the trade before
    attempts: list[Attempt] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)

    @property
    def total_fee(self) -> int:
        return sum(line.price * line.num for line in self.lines)

    @property
    def discount_fee(self) -> int:
        """The discount of the trade as a whole; those of single lines stand on the lines."""
        return sum(line.part_mjz for line in self.lines)

    @property
    def payment(self) -> int:
        return sum(line.divide_order_fee for line in self.lines) + self.post_fee

    @property
    def step_paid(self) -> int:
        """What was paid so far for a pre-sale."""
        return self.payment // 10 if self.step_status == DEPOSIT_PAID else self.payment

    @property
    def live_lines(self) -> list[Line]:
        return [line for line in self.lines if line.is_live]


@dataclass
class Refund:
    refund_id: int
    tid: int
    oid: int
    created: int
    modified: int
    status: str
    refund_fee: int
    reason: str
    version: int = 1
    phase: str = "onsale"


def read_trade(document: dict[str, Any]) -> Trade:
    """The trade that `json.dumps(trade, default=vars)` wrote."""
    return Trade(
        **document
        | {
            "receiver": Receiver(**document["receiver"]),
            "lines": [Line(**line) for line in document["lines"]],
            "attempts": [Attempt(**attempt) for attempt in document["attempts"]],
            "plans": [Plan(**plan) for plan in document["plans"]],
        }
    )

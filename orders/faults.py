"""What can be wrong with an order as it arrives, and whether it can be taken all the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from omni.kernel.money import CENT
from omni.kernel.sentences import sentence
from orders.draft import ChannelState, OrderDraft
from orders.models.review import HoldKind

CLOCK_TOLERANCE = timedelta(minutes=10)
QUANTITY_MAX = 1_000_000
AMOUNT_MAX = Decimal(10) ** 12
NEEDS_ADDRESS = frozenset({ChannelState.TO_SHIP, ChannelState.ON_HOLD, ChannelState.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Fault:
    """`hold` set: the order is taken and waits for a person. None: it cannot become an order, and is parked."""

    reason: str
    detail: str
    field: str
    hold: HoldKind | None = None


def find_faults(draft: OrderDraft, *, at: datetime) -> list[Fault]:
    """Every fault of a draft, those that park it first. An empty list: it is fine."""
    found = _unreadable(draft, at)
    return found or _doubtful(draft)


def amount_text(amount: Decimal) -> str:
    """An amount as people write it: two places, more only where they say something."""
    short = amount.quantize(CENT)
    return f"{short if short == amount else amount.normalize():f}"


def _unreadable(draft: OrderDraft, at: datetime) -> list[Fault]:
    """Faults with which there is no order to work on."""
    faults = []
    if not draft.outer_id or len(draft.outer_id) > 64:
        faults.append(
            Fault("bad_id", sentence("The order number is missing or longer than 64 characters."), "outer_id")
        )
    if not draft.lines:
        faults.append(
            Fault(
                "no_lines",
                sentence("The order has no lines: ask the channel for its details again."),
                "lines",
            )
        )
    if len(draft.currency) != 3 or not draft.currency.isalpha():
        faults.append(
            Fault(
                "bad_currency",
                sentence("“%s” is not a currency code such as CNY.") % draft.currency[:20],
                "currency",
            )
        )
    for name, moment in (("placed_at", draft.placed_at), ("paid_at", draft.paid_at)):
        if moment is not None and moment > at + CLOCK_TOLERANCE:
            faults.append(
                Fault(
                    "future_time",
                    sentence("%s lies in the future: check the clock of the channel.") % name,
                    name,
                )
            )
    seen: set[str] = set()
    for number, line in enumerate(draft.lines):
        where = f"lines[{number}]"
        if not line.outer_line_id or len(line.outer_line_id) > 64 or line.outer_line_id in seen:
            faults.append(
                Fault(
                    "bad_line_id",
                    sentence("Line %d has no id of its own of at most 64 characters.") % (number + 1),
                    f"{where}.outer_line_id",
                )
            )
        seen.add(line.outer_line_id)
        if not 0 < line.quantity <= QUANTITY_MAX:
            faults.append(
                Fault(
                    "bad_quantity",
                    sentence(
                        "Line %(line)d orders %(quantity)s units: it must be a whole number from 1 to 1,000,000."
                    )
                    % {"line": number + 1, "quantity": line.quantity},
                    f"{where}.quantity",
                )
            )
        if not (_is_amount(line.unit_price) and _is_amount(line.amount)):
            faults.append(
                Fault(
                    "bad_amount",
                    sentence("Line %d has a negative or absurd price.") % (number + 1),
                    f"{where}.amount",
                )
            )
    if not _is_amount(draft.total_amount):
        faults.append(Fault("bad_amount", sentence("The total is negative or absurd."), "total_amount"))
    if not _is_amount(draft.freight_amount):
        faults.append(Fault("bad_amount", sentence("The freight is negative or absurd."), "freight_amount"))
    return faults


def _is_amount(value: Decimal) -> bool:
    return value.is_finite() and 0 <= value < AMOUNT_MAX


def _doubtful(draft: OrderDraft) -> list[Fault]:
    """Faults with which it is an order that must not ship yet."""
    faults = []
    lines = sum((line.amount for line in draft.lines), Decimal(0))
    expected = lines + draft.freight_amount
    if expected != draft.total_amount:
        faults.append(
            Fault(
                "amount_mismatch",
                sentence(
                    "The lines (%(lines)s) and freight (%(freight)s) add up to %(sum)s, but the total says %(total)s."
                )
                % {
                    "lines": amount_text(lines),
                    "freight": amount_text(draft.freight_amount),
                    "sum": amount_text(expected),
                    "total": amount_text(draft.total_amount),
                },
                "total_amount",
                HoldKind.AMOUNT,
            )
        )
    receiver = draft.receiver
    if draft.state in NEEDS_ADDRESS:
        missing = [
            name
            for name, text in (
                ("name", receiver.name),
                ("address", receiver.address),
                ("mobile", receiver.mobile or receiver.phone or receiver.token),
            )
            if not text
        ]
        if missing:
            faults.append(
                Fault(
                    "address_incomplete",
                    sentence("The receiver has no %s.") % ", ".join(missing),
                    f"receiver.{missing[0]}",
                    HoldKind.ADDRESS,
                )
            )
    return faults

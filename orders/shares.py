"""What some units of a line cost: amounts that add up to the line's, whatever happens to its units in which order."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from omni.kernel.money import money_grain, round_money
from orders.models import SalesOrderLine


@dataclass(frozen=True, slots=True)
class Shares:
    """The amount of a line by what became of its units; shipped + cancelled + open is all of it.

    `shipped`: of all that left, what came back too.
    """

    shipped: Decimal
    cancelled: Decimal
    open: Decimal


def amount_of_units(*, amount: Decimal, quantity: int, units: int, currency: str) -> Decimal:
    """What the first `units` of a line of `quantity` cost, of its `amount` for all.

    Rounded half up to the unit of money that the amount keeps to. It rises with the units, from nothing to the whole
    amount; so the differences between any such steps are never negative, and add up.
    """
    return round_money(amount * units / quantity, unit=money_grain(amount, currency))


def line_shares(line: SalesOrderLine, *, currency: str) -> Shares:
    """The first units of a line are those that left, its last those that were cancelled."""
    left = line.shipped_quantity
    kept = line.quantity - line.cancelled_quantity
    shipped = amount_of_units(amount=line.amount, quantity=line.quantity, units=left, currency=currency)
    going = amount_of_units(amount=line.amount, quantity=line.quantity, units=kept, currency=currency)
    return Shares(shipped=shipped, cancelled=line.amount - going, open=going - shipped)


def amount_to_pay_back(line: SalesOrderLine, *, units: int, paid_back: Decimal, currency: str) -> Decimal:
    """What these units cost that come back now. `paid_back`: what was paid back for those that came back before.

    Reckoned from what was really paid back, so that also after a return was taken out again the last unit brings the
    sum to the line's amount, and never beyond.
    """
    back = line.returned_quantity + units
    total = amount_of_units(amount=line.amount, quantity=line.quantity, units=back, currency=currency)
    return max(total - paid_back, Decimal(0))

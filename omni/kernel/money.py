"""Money: Decimal in major units, rounded half up in one place, split without losing a cent."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal

CENT = Decimal("0.01")
FINEST = Decimal("0.0001")  # as finely as amounts are kept
ZERO = Decimal(0)

# ISO 4217: currencies whose smallest unit is not a hundredth.
_MINOR_UNITS = {
    "JPY": Decimal(1),
    "KRW": Decimal(1),
    "VND": Decimal(1),
    "KWD": Decimal("0.001"),
    "BHD": Decimal("0.001"),
}


def smallest_unit(currency: str) -> Decimal:
    """The smallest amount that can be paid in the currency: 0.01 for CNY, 1 for JPY."""
    return _MINOR_UNITS.get(currency, CENT)


def money_grain(amount: Decimal, currency: str) -> Decimal:
    """The unit in which an amount is split: the smallest that can be paid, or four places if it is finer than that."""
    unit = smallest_unit(currency)
    return unit if amount == round_money(amount, unit=unit) else FINEST


def round_money(amount: Decimal, *, unit: Decimal = CENT) -> Decimal:
    """Round half up (half away from zero, as books do) to the unit."""
    return (amount / unit).quantize(Decimal(1), rounding=ROUND_HALF_UP) * unit


def split_amount(amount: Decimal, *, weights: Sequence[Decimal | int], unit: Decimal = CENT) -> list[Decimal]:
    """Split an amount by weights, so that the parts add up to it exactly (largest remainder; ties to the
    earlier part).

    All weights zero: equal parts. No weights: an empty list for amount zero, else ValueError. The amount must
    be a whole number of units.
    """
    if not weights:
        if amount:
            raise ValueError("an amount cannot be split over nothing")
        return []
    if any(weight < 0 for weight in weights):
        raise ValueError("a weight must not be negative")
    units = amount / unit
    if units != units.to_integral_value():
        raise ValueError(f"{amount} is not a whole number of {unit}")
    total = Decimal(sum(weights))
    shares = [Decimal(w) / total if total else Decimal(1) / len(weights) for w in weights]
    sign = -1 if units < 0 else 1
    exact = [abs(units) * share for share in shares]
    parts = [part.to_integral_value(rounding=ROUND_FLOOR) for part in exact]
    missing = int(abs(units) - sum(parts))
    by_remainder = sorted(range(len(parts)), key=lambda i: (parts[i] - exact[i], i))
    for i in by_remainder[:missing]:
        parts[i] += 1
    return [sign * part * unit for part in parts]

"""Split a line that sells bundles into lines of what lies in them, with the money split to the last cent."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from omni.kernel.money import FINEST, money_grain, round_money, split_amount
from orders.draft import LineDraft
from products.bundles import Component


@dataclass(frozen=True, slots=True)
class Part:
    """A line of one component. `component`: as it was when the line was split."""

    line: LineDraft
    component: Component


def explode_line(line: LineDraft, *, components: Sequence[Component], currency: str) -> list[Part]:
    """One line per component: bundles × units of it, and its share of what the buyer pays for all.

    The shares are split by the weights of the components, by largest remainder: they add up to the line's amount
    exactly, in the smallest unit of the currency that the amount itself keeps to. A unit price is the component's share
    of the bundle's price over its units; it says what a unit cost before discounts, to four places.
    """
    weights = [component.weight for component in components]
    amount = round_money(line.amount, unit=FINEST)
    amounts = split_amount(amount, weights=weights, unit=money_grain(amount, currency))
    prices = split_amount(round_money(line.unit_price, unit=FINEST), weights=weights, unit=FINEST)
    return [
        Part(
            replace(
                line,
                quantity=line.quantity * component.units,
                unit_price=round_money(price / component.units, unit=FINEST),
                amount=share,
                title=component.name,
            ),
            component,
        )
        for component, share, price in zip(components, amounts, prices, strict=True)
    ]


def component_key(line_key: uuid.UUID, sku_id: int) -> uuid.UUID:
    """The name under which stock is promised to one component of a line: the same whenever that line is captured."""
    return uuid.uuid5(line_key, str(sku_id))

"""However a bundle is split, cancelled, sent and brought back, its money comes out to the last cent."""

from __future__ import annotations

import os
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

import hypothesis.strategies as st
import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings

from omni.kernel.money import smallest_unit
from orders import drift
from orders.cancel import LineCancel, cancel_lines
from orders.cancel_part import NotCancellable, UnitsCancel, cancel_units
from orders.explode import explode_line
from orders.models import FulfilmentOrder, ReturnLine, SalesOrder, SalesOrderLine
from orders.shares import amount_of_units, line_shares
from orders.states import FulfilmentState
from orders.take_back import ReturnDraft, forget_returns, take_back_goods
from products.bundles import Component
from tests.factories.bundles import make_bundle, skus_of_one_brand
from tests.factories.inventory import put_stock
from tests.factories.orders import NOON, line_draft, make_house
from tests.factories.path import release, ship_parcel
from tests.factories.products import SkuFactory

pytestmark = pytest.mark.capability("P20")
BY: dict[str, Any] = {"at": NOON, "by": "test"}

WEIGHTS = st.lists(st.decimals(0, 10_000, places=4), min_size=1, max_size=6)
AMOUNTS = st.one_of(st.decimals(0, 100_000, places=2), st.decimals(0, 1_000, places=4))


@given(WEIGHTS, AMOUNTS, st.integers(1, 40), st.integers(1, 9), st.sampled_from(["CNY", "JPY", "KWD"]))
def test_the_shares_of_the_components_are_the_amount_of_the_line(
    weights: list[Decimal], amount: Decimal, quantity: int, units: int, currency: str
) -> None:
    sku = SkuFactory.build()
    line = line_draft(sku, quantity, amount=amount, unit_price=Decimal("9.99"))
    components = [Component(n, f"C{n}", f"Component {n}", units, w) for n, w in enumerate(weights)]

    parts = [part.line for part in explode_line(line, components=components, currency=currency)]

    assert sum(part.amount for part in parts) == amount
    assert all(part.amount >= 0 and part.quantity == quantity * units for part in parts)
    per_bundle = sum(part.unit_price * units for part in parts)
    assert abs(per_bundle - line.unit_price) <= Decimal("0.0001") * units * len(parts)
    unit = smallest_unit(currency)
    if amount % unit == 0:
        assert all(part.amount % unit == 0 for part in parts)


@given(AMOUNTS, st.integers(1, 60))
def test_units_of_a_line_cost_what_the_line_costs_and_none_less_than_nothing(
    amount: Decimal, quantity: int
) -> None:
    steps = [
        amount_of_units(amount=amount, quantity=quantity, units=units, currency="CNY")
        for units in range(quantity + 1)
    ]

    assert (steps[0], steps[-1]) == (Decimal(0), amount)
    assert all(before <= after for before, after in pairwise(steps))


class Life:
    """One order of some bundles, and everything that may happen to it."""

    def __init__(self, shape: Sequence[tuple[int, int]], quantity: int, amount: Decimal) -> None:
        house = make_house(stock=0)
        self.skus = skus_of_one_brand(len(shape))
        for sku in self.skus:
            put_stock(house.location, sku, 1_000)
        units = {sku: count for sku, (count, _weight) in zip(self.skus, shape, strict=True)}
        weights = {sku: weight for sku, (_count, weight) in zip(self.skus, shape, strict=True)}
        self.bundle = make_bundle(units, weights=weights)
        self.shop, self.amount, self.numbers = house.shop, amount, 0
        line = line_draft(self.bundle, quantity, outer_line_id="L", amount=amount)
        self.order = house.order(line, buyer="Li")
        self.fulfilment: FulfilmentOrder | None = None
        self.returns: list[int] = []

    def lines(self) -> list[SalesOrderLine]:
        return list(SalesOrderLine.objects.filter(order=self.order).select_related("sku").order_by("id"))

    def number(self) -> str:
        self.numbers += 1
        return f"N{self.numbers}"

    def cancel_bundles(self, count: int) -> None:
        units = [UnitsCancel("L", count)]
        try:
            cancel_units(order_id=self.order.pk, units=units, reason="x", **BY)
        except NotCancellable:
            return

    def cancel_rest(self, place: int) -> None:
        """The platform closes what has not left of one component."""
        lines = self.lines()
        if not self._with_warehouse():
            cancel_lines(cancels=[LineCancel(lines[place % len(lines)].pk)], reason="x", **BY)

    def _with_warehouse(self) -> bool:
        states = [FulfilmentState.ACCEPTED, FulfilmentState.PART_SHIPPED, FulfilmentState.CANCEL_REQUESTED]
        return FulfilmentOrder.objects.filter(lines__order=self.order, state__in=states).exists()

    def ship_some(self, place: int, units: int) -> None:
        self.order.refresh_from_db()
        if self.order.stage == "captured":
            self.fulfilment = release(self.order)
        if self.fulfilment is None:
            return
        rows = self.fulfilment.lines.select_related("sku").order_by("id")
        waiting = [(row.sku.code, row.quantity - row.shipped_quantity) for row in rows]
        waiting = [(code, left) for code, left in waiting if left]
        if waiting:
            code, left = waiting[place % len(waiting)]
            ship_parcel(self.fulfilment, [(code, min(units, left))], self.number(), is_final=False)

    def bring_back(self, place: int, units: int) -> None:
        """A component by itself, or bundles."""
        skus = [*self.skus, self.bundle]
        code = skus[place % len(skus)].code
        draft = ReturnDraft(self.number(), "1", "Li", code, units, Decimal("77.77"), NOON)
        [result] = take_back_goods(shop=self.shop, drafts=[draft], source="test", **BY)
        self.returns += result.return_ids

    def forget(self, place: int) -> None:
        if self.returns:
            forget_returns(return_ids=[self.returns.pop(place % len(self.returns))], **BY)

    def check(self) -> None:
        lines = self.lines()
        assert sum(line.amount for line in lines) == self.amount
        shares = [line_shares(line, currency="CNY") for line in lines]
        for line, share in zip(lines, shares, strict=True):
            assert share.shipped + share.cancelled + share.open == line.amount
            assert min(share.shipped, share.cancelled, share.open) >= 0
        paid_back = [sum(row.amount for row in ReturnLine.objects.filter(order_line=line)) for line in lines]
        assert all(0 <= paid <= line.amount for paid, line in zip(paid_back, lines, strict=True))
        found = {check.code: rows for check in drift.CHECKS if (rows := check.find(3))}
        assert found == {}


ACTS = ("cancel_bundles", "cancel_rest", "ship_some", "bring_back", "forget")
STEPS = st.lists(
    st.tuples(st.sampled_from(ACTS), st.integers(0, 5), st.integers(1, 4)), min_size=3, max_size=9
)


@pytest.mark.django_db
@settings(
    max_examples=int(os.environ.get("MODEL_EXAMPLES", "15")),
    deadline=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(
    shape=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 9)), min_size=1, max_size=3),
    quantity=st.integers(1, 4),
    cents=st.integers(0, 1_000),
    steps=STEPS,
)
def test_in_every_order_of_events_the_money_of_a_bundle_comes_out(
    shape: list[tuple[int, int]], quantity: int, cents: int, steps: list[tuple[str, int, int]]
) -> None:
    savepoint = transaction.savepoint()
    life = Life(shape, quantity, Decimal(cents) / 100)
    for act, place, units in steps:
        if act == "cancel_bundles":
            life.cancel_bundles(units)
        elif act in ("cancel_rest", "forget"):
            getattr(life, act)(place)
        else:
            getattr(life, act)(place, units)
        life.check()
    assert SalesOrder.objects.filter(pk=life.order.pk).exists()
    transaction.savepoint_rollback(savepoint)

"""Money is rounded in one place and split without losing a cent."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni.kernel.money import CENT, round_money, smallest_unit, split_amount


@pytest.mark.parametrize(
    ("amount", "rounded"), [("0.005", "0.01"), ("-0.005", "-0.01"), ("2.675", "2.68"), ("1", "1.00")]
)
def test_half_a_cent_is_rounded_away_from_zero(amount: str, rounded: str) -> None:
    assert round_money(Decimal(amount)) == Decimal(rounded)


def test_a_yen_has_no_cents() -> None:
    assert round_money(Decimal("100.5"), unit=smallest_unit("JPY")) == Decimal(101)


def test_a_cent_over_three_parts_goes_to_the_first() -> None:
    assert split_amount(Decimal("0.01"), weights=[1, 1, 1]) == [Decimal("0.01"), Decimal(0), Decimal(0)]


def test_weights_of_zero_share_alike() -> None:
    assert split_amount(Decimal("1.00"), weights=[0, 0]) == [Decimal("0.50"), Decimal("0.50")]


@given(
    cents=st.integers(-(10**10), 10**10),
    weights=st.lists(st.integers(0, 10**6), min_size=1, max_size=20),
)
def test_the_parts_always_add_up_and_none_is_a_cent_off_its_share(cents: int, weights: list[int]) -> None:
    amount = cents * CENT

    parts = split_amount(amount, weights=weights)

    assert sum(parts) == amount
    total = sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        share = amount * weight / total if total else amount / len(weights)
        assert abs(part - share) < CENT + Decimal("1e-12")


@pytest.mark.parametrize("weights", [[], [-1, 2]])
def test_what_cannot_be_split_is_refused(weights: list[int]) -> None:
    with pytest.raises(ValueError, match=r"split|negative"):
        split_amount(Decimal(1), weights=weights)

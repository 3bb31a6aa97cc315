"""Who gets how many of what there is."""

from __future__ import annotations

import time
from decimal import Decimal
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inventory.quota.shares import (
    Forecast,
    Part,
    RatiosExceedTheWhole,
    chance_to_meet,
    share_by_demand,
    share_by_ratio,
)

WEIGHTS = [Decimal(".3"), Decimal(".2"), Decimal(".2"), Decimal(".3")]


@st.composite
def parts(draw: st.DrawFn) -> list[Part]:
    raw = draw(st.lists(st.integers(0, 50), min_size=1, max_size=6))
    whole = max(100, sum(raw))
    found = []
    for weight in raw:
        floor = draw(st.integers(0, 30))
        ceiling = draw(st.none() | st.integers(floor, 80))
        found.append(Part(Decimal(weight * 10_000 // whole) / 10_000, floor, ceiling))
    return found


@st.composite
def forecasts(draw: st.DrawFn, mean_max: float = 300) -> list[Forecast]:
    found = []
    for _shop in range(draw(st.integers(1, 5))):
        mean = draw(st.sampled_from([0.0, 0.2, 1.0, 4.0, 20.0, 60.0, 120.0]) | st.floats(0, mean_max))
        found.append(
            Forecast(
                min(mean, mean_max),
                min(mean, mean_max) * draw(st.sampled_from([0.5, 1.0, 1.5, 4.0, 30.0])),
                floor=draw(st.sampled_from([0, 0, 2, 9])),
                ceiling=draw(st.sampled_from([None, None, 1, 12, 70])),
                service_level=draw(st.sampled_from([0.5, 0.8, 0.95, 0.99])),
                priority=draw(st.sampled_from([1, 100])),
            )
        )
    return found


@pytest.mark.capability("V5")
def test_a_hundred_and_fifty_units_at_30_20_20_30_percent_are_45_30_30_45() -> None:
    assert share_by_ratio(150, [Part(weight) for weight in WEIGHTS]) == [45, 30, 30, 45]


@pytest.mark.capability("V5")
def test_what_cannot_be_divided_goes_to_the_largest_remainder_and_of_equal_ones_to_the_first() -> None:
    assert share_by_ratio(7, [Part(weight) for weight in WEIGHTS]) == [2, 2, 1, 2]
    assert share_by_ratio(1, [Part(Decimal(".5")), Part(Decimal(".5"))]) == [1, 0]


def test_what_the_ratios_leave_of_the_whole_is_nobodys() -> None:
    assert share_by_ratio(100, [Part(Decimal(".3")), Part(Decimal(".2"))]) == [30, 20]


def test_ratios_of_more_than_the_whole_are_refused() -> None:
    with pytest.raises(RatiosExceedTheWhole):
        share_by_ratio(100, [Part(Decimal(".7")), Part(Decimal(".4"))])


def test_what_a_ceiling_refuses_goes_to_the_others_by_their_weight() -> None:
    shares = share_by_ratio(100, [Part(Decimal(".5"), ceiling=10), Part(Decimal(".3")), Part(Decimal(".2"))])

    assert shares == [10, 54, 36]


def test_a_floor_takes_from_what_is_nobodys_before_it_takes_from_others() -> None:
    assert share_by_ratio(100, [Part(Decimal(".1"), floor=30), Part(Decimal(".4"))]) == [30, 40]
    assert share_by_ratio(100, [Part(Decimal(".2"), floor=50), Part(Decimal(".8"))]) == [50, 50]


def test_where_there_is_not_enough_for_all_floors_the_first_are_served() -> None:
    assert share_by_ratio(5, [Part(Decimal(".5"), floor=4), Part(Decimal(".5"), floor=4)]) == [4, 1]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 5000), parts())
def test_ratios_never_grant_more_than_there_is_and_keep_within_bounds(total: int, given: list[Part]) -> None:
    shares = share_by_ratio(total, given)

    assert sum(shares) <= total
    enough = sum(part.floor for part in given) <= total
    for part, share in zip(given, shares, strict=True):
        assert share >= (part.floor if enough else 0)
        assert part.ceiling is None or share <= part.ceiling


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 5000), parts())
def test_within_their_bounds_shares_are_in_the_ratio_of_their_weights(total: int, given: list[Part]) -> None:
    shares = share_by_ratio(total, given)

    unbound = [
        (share, part.weight)
        for part, share in zip(given, shares, strict=True)
        if part.floor < share and (part.ceiling is None or share < part.ceiling) and part.weight
    ]
    for (one, weight), (other, other_weight) in product(unbound, repeat=2):
        # each is less than one unit away from λ·weight
        assert (one - 1) / weight < (other + 1) / other_weight


def _granted_one_by_one(total: int, given: list[Forecast]) -> list[int]:
    """The definition: floors, then each unit to whom it is most probably of use, none beyond a service level."""
    order = sorted(range(len(given)), key=lambda i: given[i].priority)
    units = [0] * len(given)
    ceilings = [total if forecast.ceiling is None else forecast.ceiling for forecast in given]
    for i in order:
        units[i] = min(given[i].floor, ceilings[i], total)
        total -= units[i]
    while total:
        chances = [
            (chance_to_meet(given[i], units[i]), place, i)
            for place, i in enumerate(order)
            if units[i] < ceilings[i]
        ]
        open_chances = [found for found in chances if found[0] < given[found[2]].service_level]
        if not open_chances:
            break
        units[min(open_chances)[2]] += 1
        total -= 1
    return units


@pytest.mark.capability("V6")
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 400), forecasts())
def test_dividing_by_demand_is_granting_one_by_one_to_whom_most_probably_sells(
    total: int, given: list[Forecast]
) -> None:
    shares = share_by_demand(total, given)

    assert shares.quantities == _granted_one_by_one(total, given)
    assert sum(shares.quantities) + shares.left == total


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 400), st.integers(0, 50), forecasts())
def test_more_units_leave_no_shop_with_fewer(total: int, more: int, given: list[Forecast]) -> None:
    fewer, many = share_by_demand(total, given).quantities, share_by_demand(total + more, given).quantities

    assert all(a <= b for a, b in zip(fewer, many, strict=True))


def _expected_sales(forecast: Forecast, units: int) -> float:
    """E min(D, q) = Σ P(D > k) for k < q."""
    return sum(1 - chance_to_meet(forecast, k) for k in range(units))


@pytest.mark.capability("V6")
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(0, 9),
    st.lists(
        st.builds(
            lambda mean, scatter: Forecast(mean, mean * scatter, service_level=0.999_999),
            st.floats(0.05, 6),
            st.sampled_from([1.0, 2.0, 6.0]),
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_no_other_division_is_expected_to_sell_more(total: int, given: list[Forecast]) -> None:
    found = share_by_demand(total, given)

    ours = sum(_expected_sales(f, q) for f, q in zip(given, found.quantities, strict=True))
    best = max(
        sum(_expected_sales(f, q) for f, q in zip(given, division, strict=True))
        for division in product(range(total + 1), repeat=len(given))
        if sum(division) <= total - found.left
    )
    assert ours == pytest.approx(best)


@pytest.mark.capability("V6")
def test_what_is_beyond_every_service_level_stays_to_be_shared() -> None:
    shares = share_by_demand(100, [Forecast(3.0, 3.0, service_level=0.95)] * 2)

    # P(D ≤ 6) of a Poisson demand of 3 is 0.966, P(D ≤ 5) is 0.916
    assert (shares.quantities, shares.left) == ([6, 6], 88)
    assert shares.fractiles == pytest.approx([0.9665, 0.9665], abs=1e-4)


def test_a_demand_that_scatters_is_counted_by_the_negative_binomial() -> None:
    # mean 2, variance 4: r = 2, p = 1/2, so P(D = k) = (k + 1) / 2^(k + 2)
    forecast = Forecast(2.0, 4.0)

    assert [chance_to_meet(forecast, q) for q in range(4)] == pytest.approx([1 / 4, 1 / 2, 11 / 16, 13 / 16])


def test_large_demands_reach_the_same_fractile() -> None:
    shares = share_by_demand(5_500, [Forecast(1000, 10_000), Forecast(4000, 90_000), Forecast(700, 2500)])

    # z = (5500 − 5700) / (100 + 300 + 50) = −0.444: μ + σz is 955.6, 3866.7 and 677.8
    assert shares.quantities == pytest.approx([955.6, 3866.7, 677.8], abs=1)
    assert sum(shares.quantities) == 5500
    assert max(shares.fractiles) - min(shares.fractiles) < 0.01


@pytest.mark.slow
def test_a_hundred_thousand_skus_of_six_shops_are_divided_in_seconds() -> None:
    shops = [Forecast(0.3 * n, 0.4 * n) for n in range(1, 7)]

    began = time.process_time()
    for total in range(100_000):
        share_by_demand(total % 9, shops)

    assert time.process_time() - began < 6

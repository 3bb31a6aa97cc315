"""What to expect of a SKU in a shop, after what was asked of it."""

from __future__ import annotations

from datetime import date

import pytest

from inventory.quota.forecast import (
    NO_DEMAND,
    Method,
    Rate,
    croston_sba,
    expect_demand,
    forecast_demand,
    holt_winters,
    number_days,
    pool_rates,
    smoothing,
)

# Sold units of a drug by month, the usual example of intermittent demand (Hyndman and Athanasopoulos, *Forecasting:
# Principles and Practice*, 13.8): sizes 2 1 11 2 6 3 7, intervals 2 2 2 5 2 1 6.
DRUG = [0, 2, 0, 1, 0, 11, 0, 0, 0, 0, 2, 0, 6, 3, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0]
# Guests of a hotel by month, G. Trubetskoy's example of Holt-Winters, with what he gets for the next months.
HOTEL = [
    *(30, 21, 29, 31, 40, 48, 53, 47, 37, 39, 31, 29, 17, 9, 20, 24, 27, 35, 41, 38, 27, 31, 27, 26),
    *(21, 13, 21, 18, 33, 35, 40, 36, 22, 24, 21, 20, 17, 14, 17, 19, 26, 29, 40, 31, 20, 24, 18, 26),
    *(17, 9, 17, 21, 28, 32, 46, 33, 23, 28, 22, 27, 18, 8, 17, 21, 31, 34, 44, 38, 31, 30, 26, 32),
]
NEXT_MONTHS = [22.42511411230803, 15.343371755223066, 24.14282581581347, 27.02259921391996]


def days_of(series: list[int]) -> list[tuple[int, int]]:
    return [(day, units) for day, units in enumerate(series) if units]


@pytest.mark.capability("V6")
def test_croston_smooths_sizes_and_intervals_and_is_corrected_for_its_bias() -> None:
    # α = 0.5, by hand. Sizes: 2, 1.5, 6.25, 4.125, 5.0625, 4.03125, 5.515625. Intervals from 24/7 on: 2.7142857,
    # 2.3571429, 3.6785714, 2.8392857, 1.9196429, 3.9598214; four days open are more than that: 3.9799107.
    rate = croston_sba(days_of(DRUG), days=24, alpha=0.5)

    assert rate.mean == pytest.approx((1 - 0.25) * 5.515625 / 3.9799107)


def test_what_is_not_asked_for_any_more_fades() -> None:
    asked = days_of([3] * 10)

    fresh, old = forecast_demand(asked, days=20).mean, forecast_demand(asked, days=50).mean

    assert 0 < old < fresh / 2


@pytest.mark.capability("V6")
def test_holt_winters_gives_the_numbers_of_its_example() -> None:
    rate = holt_winters([float(value) for value in HOTEL], season=12, alpha=0.716, beta=0.029, gamma=0.993)

    assert rate.coming[:4] == pytest.approx(NEXT_MONTHS)


def test_simple_smoothing_by_hand() -> None:
    # begins with the mean of the first week, 4; then 4 + 0.5·(0 − 4) = 2, ..., as often as the value misses
    rate = smoothing([4, 4, 4, 4, 4, 4, 4, 0, 6], alpha=0.5)

    assert rate.mean == pytest.approx(4.0)
    assert rate.variance == pytest.approx((16 + 16) / 9)


def test_the_method_follows_how_often_and_how_evenly_is_asked() -> None:
    rare = forecast_demand([(3, 1), (20, 1), (40, 2)], days=56)
    uneven = forecast_demand([(day, 1 if day % 4 else 40) for day in range(56)], days=56)
    even_but_short = forecast_demand([(day, 5) for day in range(30)], days=30)
    even = forecast_demand([(day, 5 + (day % 7 == 5)) for day in range(56)], days=56)

    assert [rate.method for rate in (rare, uneven, even_but_short, even)] == [
        Method.CROSTON_SBA,
        Method.CROSTON_SBA,
        Method.SMOOTHING,
        Method.HOLT_WINTERS,
    ]


def test_weekdays_differ_where_the_season_says_so() -> None:
    rate = forecast_demand([(day, 10 if day % 7 == 6 else 5) for day in range(70)], days=70)

    assert rate.coming == pytest.approx([5, 5, 5, 5, 5, 5, 10], abs=0.3)
    assert rate.over(7)[0] == pytest.approx(40, abs=1)
    assert rate.over(8)[0] == pytest.approx(45, abs=1)


def test_what_was_never_asked_for_is_expected_to_be_asked_nothing() -> None:
    assert forecast_demand([], days=56) == NO_DEMAND
    assert forecast_demand([(3, 0)], days=56).over(7) == (0.0, 0.0)


def test_a_mean_that_wanders_scatters_more_than_its_days() -> None:
    # σ²h(1 + α(h−1) + α²(h−1)(2h−1)/6), h = 3, α = 0.5: 4·3·(1 + 1 + 0.25·2·5/6)
    assert Rate(2.0, 4.0, Method.SMOOTHING, alpha=0.5).over(3) == pytest.approx((6.0, 29.0))


def test_a_new_sku_is_expected_to_do_as_its_peers_and_we_are_not_sure_which() -> None:
    pooled = pool_rates([Rate(1.0, 2.0, Method.SMOOTHING), Rate(3.0, 4.0, Method.SMOOTHING)])

    assert (pooled.mean, pooled.variance, pooled.unsure) == (2.0, 3.0, 1.0)
    assert pooled.over(2) == (4.0, 3.0 * 2 + 1.0 * 4)
    assert pool_rates([]) == NO_DEMAND


def test_a_shop_with_a_short_history_is_expected_to_do_as_the_shop_does_with_others() -> None:
    often = forecast_demand([(day, 2) for day in range(0, 56, 2)], days=56)

    known, unknown = expect_demand([often, NO_DEMAND], [1.0, 1.0])

    assert known.mean > 0.8 * often.mean
    assert unknown.mean == pytest.approx(often.mean / 2)
    assert unknown.method == Method.POOLED


def test_days_that_are_missing_had_no_demand() -> None:
    demand = {date(2026, 3, 5): 2, date(2026, 3, 1): 4, date(2026, 2, 1): 9, date(2026, 3, 7): 0}

    assert number_days(demand, since=date(2026, 3, 1)) == [(0, 4), (4, 2)]

"""What is expected to be asked of a SKU in a shop per day, worked out from what was asked of it so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

# Cut-offs of A. Syntetos, J. Boylan and J. Croston, *On the categorization of demand patterns*, Journal of the
# Operational Research Society 56 (2005) 495-503: days from one demand to the next, and squared coefficient of variation
# of what was asked on days with demand.
ADI_MAX = 1.32
CV2_MAX = 0.49
# Smoothing of sizes and intervals; between 0.05 and 0.2 in all of that literature.
ALPHA = 0.1
# Smooth series: the constants with the smallest squared error so far.
ALPHAS = (0.05, 0.1, 0.2, 0.3)
SEASON = 7
SEASONS_MIN = 8
LEVEL_SMOOTHING, TREND_SMOOTHING, SEASON_SMOOTHING = 0.2, 0.02, 0.1
# A shop's own history counts as much as that of its peers once it was asked so many times.
TRUST_AFTER = 10


class Method(StrEnum):
    NONE = "none"
    CROSTON_SBA = "croston_sba"
    SMOOTHING = "smoothing"
    HOLT_WINTERS = "holt_winters"
    POOLED = "pooled"


@dataclass(frozen=True, slots=True)
class Rate:
    """Demand of a day: its mean, and its variance around that.

    `alpha`: how fast the mean itself is seen to wander. `unsure`: variance of the mean where it is not known from the
    shop's own history. `coming`: the days of the next week one by one, where weekdays differ. `asked`: days with
    demand; `adi`, `cv2`: what the method was chosen by.
    """

    mean: float
    variance: float
    method: Method
    alpha: float = 0.0
    unsure: float = 0.0
    coming: tuple[float, ...] = ()
    asked: int = 0
    adi: float = 0.0
    cv2: float = 0.0

    def over(self, days: int) -> tuple[float, float]:
        """Mean and variance of the demand of so many days together.

        The variance is that of simple exponential smoothing over a lead time,
        σ²h(1 + α(h−1) + α²(h−1)(2h−1)/6): a mean that wanders wanders on (R. Hyndman, A. Koehler, J. Ord and R. Snyder,
        *Forecasting with Exponential Smoothing*, 2008, chapter 6).
        """
        mean = self.mean * days
        if self.coming:
            weeks, rest = divmod(days, SEASON)
            mean = weeks * sum(self.coming) + sum(self.coming[:rest])
        a, h = self.alpha, days
        wander = 1 + a * (h - 1) + a * a * (h - 1) * (2 * h - 1) / 6
        return mean, self.variance * h * wander + self.unsure * h * h


NO_DEMAND = Rate(0.0, 0.0, Method.NONE)


def number_days(demand: Mapping[date, int], *, since: date) -> list[tuple[int, int]]:
    """The days with demand from `since` on, numbered from 0; days that are missing had none."""
    first = since.toordinal()
    return [
        (day.toordinal() - first, units) for day, units in sorted(demand.items()) if units and day >= since
    ]


def forecast_demand(demand: Sequence[tuple[int, int]], *, days: int) -> Rate:
    """The rate after `days` days, of which `demand` names those on which something was asked, (day from 0, units).

    Intermittent, erratic and lumpy demand: Croston's method with the correction of Syntetos and Boylan. Smooth demand
    (asked nearly every day, of about the same size): Holt-Winters with a weekly season after eight weeks, simple
    exponential smoothing before. The rule and its cut-offs: Syntetos, Boylan and Croston 2005.
    """
    demand = [(day, units) for day, units in demand if 0 <= day < days and units > 0]
    if not demand:
        return NO_DEMAND
    asked = len(demand)
    adi = days / asked
    average = sum(units for _day, units in demand) / asked
    cv2 = sum((units - average) ** 2 for _day, units in demand) / asked / (average * average)
    if adi >= ADI_MAX or cv2 >= CV2_MAX or asked < SEASON:
        rate = croston_sba(demand, days=days)
    else:
        series = [0.0] * days
        for day, units in demand:
            series[day] = float(units)
        if days >= SEASONS_MIN * SEASON:
            rate = holt_winters(series)
        else:
            rate = min((smoothing(series, alpha=alpha) for alpha in ALPHAS), key=lambda found: found.variance)
    return replace(rate, asked=asked, adi=adi, cv2=cv2)


def croston_sba(demand: Sequence[tuple[int, int]], *, days: int, alpha: float = ALPHA) -> Rate:
    """(1 − α/2) · size / interval, size and interval each smoothed on days with demand alone.

    J. Croston, *Forecasting and stock control for intermittent demands*, Operational Research Quarterly 23 (1972)
    289-303; the factor, which takes away its bias: A. Syntetos and J. Boylan, *The accuracy of intermittent demand
    estimates*, International Journal of Forecasting 21 (2005) 303-314. Begins with the first size and the mean
    interval. An interval that is still open counts once it is longer than the smoothed one: what nobody asks for any
    more fades. The variance is the mean squared error of the forecast made the day before.
    """
    size = float(demand[0][1])
    interval = max(1.0, days / len(demand))
    correction = 1 - alpha / 2
    before = demand[0][0]
    error = 0.0
    for day, units in demand[1:]:
        rate = correction * size / interval
        gap = day - before
        error += (gap - 1) * rate * rate + (units - rate) ** 2
        size += alpha * (units - size)
        interval += alpha * (gap - interval)
        before = day
    rate = correction * size / interval
    open_days = days - 1 - before
    error += open_days * rate * rate
    watched = days - 1 - demand[0][0]
    if open_days > interval:
        interval += alpha * (open_days - interval)
        rate = correction * size / interval
    # One demand tells nothing of the scatter: then that of such demands coming by chance.
    by_chance = rate * size
    variance = error / watched if len(demand) > 1 else by_chance
    return Rate(rate, max(variance, rate), Method.CROSTON_SBA, alpha=alpha)


def smoothing(series: Sequence[float], *, alpha: float) -> Rate:
    """Simple exponential smoothing (R. Brown 1956), from the mean of the first week on."""
    start = series[:SEASON]
    level = sum(start) / len(start)
    error = 0.0
    for value in series:
        miss = value - level
        error += miss * miss
        level += alpha * miss
    return Rate(max(0.0, level), error / len(series), Method.SMOOTHING, alpha=alpha)


def holt_winters(
    series: Sequence[float],
    *,
    season: int = SEASON,
    alpha: float = LEVEL_SMOOTHING,
    beta: float = TREND_SMOOTHING,
    gamma: float = SEASON_SMOOTHING,
) -> Rate:
    """Level, trend and an additive season, each smoothed: C. Holt 1957, P. Winters, *Forecasting sales by exponentially
    weighted moving averages*, Management Science 6 (1960) 324-342.

    Begins with the first value, the mean step from the first season to the second, and what each day of the season was
    on average above the mean of its season; the first two seasons do not count for the variance.
    """
    whole = len(series) // season
    means = [sum(series[n * season : (n + 1) * season]) / season for n in range(whole)]
    seasonal = [sum(series[n * season + i] - means[n] for n in range(whole)) / whole for i in range(season)]
    level = series[0]
    trend = sum(series[season + i] - series[i] for i in range(season)) / (season * season)
    error = 0.0
    for day in range(1, len(series)):
        value, place = series[day], day % season
        if day >= 2 * season:
            error += (value - (level + trend + seasonal[place])) ** 2
        before = level
        level = alpha * (value - seasonal[place]) + (1 - alpha) * (level + trend)
        trend = beta * (level - before) + (1 - beta) * trend
        seasonal[place] = gamma * (value - level) + (1 - gamma) * seasonal[place]
    end = len(series)
    coming = tuple(
        max(0.0, level + ahead * trend + seasonal[(end - 1 + ahead) % season])
        for ahead in range(1, season + 1)
    )
    mean = sum(coming) / season
    variance = error / max(1, end - 2 * season)
    return Rate(mean, variance, Method.HOLT_WINTERS, alpha=alpha, coming=coming)


def pool_rates(peers: Sequence[Rate]) -> Rate:
    """What to expect of a SKU without a history: the mean of its peers in that shop (same category or brand).

    That we do not know which of the peers it is like makes the mean unsure by the variance between them (law of total
    variance). Without peers: no demand, so that its floor is all it gets.
    """
    if not peers:
        return NO_DEMAND
    mean = sum(peer.mean for peer in peers) / len(peers)
    within = sum(peer.variance for peer in peers) / len(peers)
    between = sum((peer.mean - mean) ** 2 for peer in peers) / len(peers)
    return Rate(mean, within, Method.POOLED, unsure=between)


def share_rate(whole: Rate, share: float) -> Rate:
    """The part of a SKU's rate over all shops that falls to a shop with this share of the demand of its peers.

    Each unit comes to the shop with this chance (a thinned count): mean · s, and variance s² · σ² + s(1−s) · mean.
    """
    variance = share * share * whole.variance + share * (1 - share) * whole.mean
    return Rate(whole.mean * share, variance, Method.POOLED, alpha=whole.alpha)


def trust_rate(own: Rate, pooled: Rate) -> Rate:
    """A shop's own rate where its history is long, the pooled one where it is short, between them in between.

    The weight n / (n + k) of credibility theory (H. Bühlmann, *Experience rating and credibility*, ASTIN Bulletin 4
    (1967) 199-207), n the days on which the shop was asked.
    """
    trust = own.asked / (own.asked + TRUST_AFTER)
    if not own.asked:
        return pooled
    gap = own.mean - pooled.mean
    return replace(
        own,
        mean=trust * own.mean + (1 - trust) * pooled.mean,
        variance=trust * own.variance + (1 - trust) * pooled.variance,
        unsure=trust * (1 - trust) * gap * gap + (1 - trust) * pooled.unsure,
        coming=(),
    )


def expect_demand(own: Sequence[Rate], weights: Sequence[float]) -> list[Rate]:
    """The rates of one SKU in several shops: each shop's own as far as its history can be trusted, for the rest its
    part of the whole by `weights` (what is asked of these shops among the peers of the SKU; all 0: equal parts).
    """
    whole = Rate(
        sum(rate.mean for rate in own), sum(rate.variance for rate in own), Method.POOLED, alpha=ALPHA
    )
    total = sum(weights)
    shares = [weight / total if total else 1 / len(own) for weight in weights]
    return [trust_rate(rate, share_rate(whole, share)) for rate, share in zip(own, shares, strict=True)]

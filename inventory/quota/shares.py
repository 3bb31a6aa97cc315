"""How many of a number of units each shop gets: by ratio, or by the demand that is expected of it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from heapq import heapify, heapreplace
from math import ceil, erfc, exp, fsum, log, sqrt
from statistics import NormalDist

from django.utils.translation import gettext as _

from omni.kernel.errors import BadInput

# Up to this mean demand is a count, unit by unit; above it the normal distribution is as good and needs no table.
COUNTED_UP_TO = 50.0
# A demand that scatters by more than half of its mean is skewed: the normal would put part of it below zero, so it is
# counted further than that.
SKEWED_COUNTED_UP_TO = 500.0
NEWTON_STEPS = 8
# A level of 1 would ask for infinitely many units.
LEVEL_MAX = 1 - 1e-9

NORMAL = NormalDist()


class RatiosExceedTheWhole(BadInput):
    """The parts that are to be granted add up to more than there is."""

    code = "ratios_exceed_the_whole"


@dataclass(frozen=True, slots=True)
class Part:
    """What a shop is due: `weight` is a fraction of the total; no fewer than `floor`, no more than `ceiling`."""

    weight: Decimal
    floor: int = 0
    ceiling: int | None = None


def share_by_ratio(total: int, parts: Sequence[Part]) -> list[int]:
    """The units of each part, in the order given, never more than `total` together.

    Each is due its fraction of the total, rounded by largest remainder (Hamilton; of equal remainders the first); what
    the fractions leave of the whole is nobody's. Floors come first, in the order given if there is not enough for
    all; they take from what is nobody's before they take from other parts. What a ceiling refuses goes to the others
    in the ratio of their weights.

    Raises RatiosExceedTheWhole if the weights add up to more than 1.
    """
    weights, whole = _whole_weights(tuple([part.weight for part in parts]))
    due = _largest_remainder(total, [*weights, whole - sum(weights)], whole)[:-1]
    if all(
        part.floor <= units and (part.ceiling is None or units <= part.ceiling)
        for part, units in zip(parts, due, strict=True)
    ):
        return due
    ceilings = [total if part.ceiling is None else min(part.ceiling, total) for part in parts]
    floors = [min(part.floor, ceiling) for part, ceiling in zip(parts, ceilings, strict=True)]
    if sum(floors) >= total:
        return _in_order(total, floors)
    bounded = [min(max(units, low), high) for units, low, high in zip(due, floors, ceilings, strict=True)]
    return _fill(min(total, max(sum(due), sum(bounded))), weights, floors, ceilings)


def _fill(units: int, weights: Sequence[int], floors: Sequence[int], ceilings: Sequence[int]) -> list[int]:
    """Divide by weight within bounds: those on the side that weighs more are fixed, the rest is divided again.

    The loop of the flexible lengths of CSS: what all bounds together would add or take away says which of them
    are sure to bind in the end.
    """
    shares = [0] * len(weights)
    open_parts = list(range(len(weights)))
    while open_parts:
        weight = sum(weights[i] for i in open_parts)
        if weight == 0:
            for i in open_parts:
                shares[i] = floors[i]
            break
        # all times `weight`, so that nothing is rounded
        below = {i: gap for i in open_parts if (gap := floors[i] * weight - units * weights[i]) > 0}
        above = {i: gap for i in open_parts if (gap := units * weights[i] - ceilings[i] * weight) > 0}
        lifted, cut = sum(below.values()), sum(above.values())
        if not below and not above:
            divided = _largest_remainder(units, [weights[i] for i in open_parts], weight)
            for i, share in zip(open_parts, divided, strict=True):
                shares[i] = share
            break
        fixed: dict[int, int] = {}
        if lifted >= cut:
            fixed.update((i, floors[i]) for i in below)
        if cut >= lifted:
            fixed.update((i, ceilings[i]) for i in above)
        for i, share in fixed.items():
            shares[i] = share
            units -= share
        open_parts = [i for i in open_parts if i not in fixed]
    return shares


def _largest_remainder(units: int, weights: Sequence[int], whole: int) -> list[int]:
    """`units` divided in the ratio of `weights`, which add up to `whole`."""
    shares, remainders = [], []
    for weight in weights:
        share, remainder = divmod(units * weight, whole)
        shares.append(share)
        remainders.append(-remainder)
    left = units - sum(shares)
    if left:
        for i in sorted(range(len(weights)), key=remainders.__getitem__)[:left]:
            shares[i] += 1
    return shares


@lru_cache(maxsize=4096)
def _whole_weights(weights: tuple[Decimal, ...]) -> tuple[tuple[int, ...], int]:
    """The weights as whole numbers, and what stands for 1; kept, for the same rules hold for very many SKUs."""
    if any(weight < 0 for weight in weights):
        raise BadInput(_("A part of the supply cannot be negative."))
    if sum(weights) > 1:
        raise RatiosExceedTheWhole(
            _("The parts of the supply add up to %(sum)s, which is more than the whole.")
            % {"sum": f"{sum(weights):.2%}"}
        )
    ratios = [weight.as_integer_ratio() for weight in weights]
    whole = max((below for _above, below in ratios), default=1)
    for _above, below in ratios:
        if whole % below:
            whole *= below
    return tuple(above * (whole // below) for above, below in ratios), whole


def _in_order(total: int, wanted: Sequence[int]) -> list[int]:
    shares = []
    for units in wanted:
        share = min(units, total)
        shares.append(share)
        total -= share
    return shares


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is expected to be asked of one shop over the time that its units shall last.

    `floor` and `ceiling`: units it gets at least and at most. `service_level`: it is granted no more than meets its
    demand in full with this probability. `priority`: lower first, where all else is equal and where there is not
    enough for all floors.
    """

    mean: float
    variance: float
    floor: int = 0
    ceiling: int | None = None
    service_level: float = 0.95
    priority: int = 100


@dataclass(frozen=True, slots=True)
class DemandShares:
    """`quantities` in the order of `forecasts`; `left`: what nobody was granted, to be shared."""

    total: int
    forecasts: Sequence[Forecast]
    quantities: list[int]
    left: int

    @property
    def fractiles(self) -> list[float]:
        """How probable it is for each that its units meet its demand. Where nothing bounds them they are alike."""
        return [chance_to_meet(f, units) for f, units in zip(self.forecasts, self.quantities, strict=True)]


def share_by_demand(total: int, forecasts: Sequence[Forecast]) -> DemandShares:
    """Grant unit after unit to the shop that is most likely to sell it, until each has reached its service level.

    The next unit goes where P(D > q) is largest. What is sold in all, ∑ E min(D, q), is separable and concave in q, for
    which this marginal analysis is optimal: no other division of as many units is expected to lose fewer sales
    (B. Fox, *Discrete optimization via marginal analysis*, Management Science 13 (1966) 210-216). It leaves every shop
    with the same chance to meet its demand (the equal fractile of G. Eppen and L. Schrage, *Centralized ordering
    policies in a multi-warehouse system*, 1981). A demand is Poisson where its variance is no larger than its mean,
    else negative binomial; where it is large, normal, with the closed form z = (total − ∑μ) / ∑σ as first guess.

    More units never leave a shop with fewer.
    """
    order = range(len(forecasts))
    if any(f.priority != forecasts[0].priority for f in forecasts):
        order = sorted(order, key=lambda i: forecasts[i].priority)  # type: ignore[assignment]
    floors, needs, tables = [], [], []
    for f in forecasts:
        table, need = _need(f)
        floor = f.floor
        if f.ceiling is not None:
            floor = min(floor, f.ceiling)
            need = min(need, f.ceiling)
        floors.append(floor)
        needs.append(max(need, floor))
        tables.append(table)
    left = total - sum(needs)
    if left >= 0:
        return DemandShares(total, forecasts, needs, left)
    units = total - sum(floors)
    if units <= 0:
        quantities = [0] * len(forecasts)
        for i, share in zip(order, _in_order(total, [floors[i] for i in order]), strict=True):
            quantities[i] = share
        return DemandShares(total, forecasts, quantities, 0)
    if None in tables:
        quantities = _cut_large(total, forecasts, floors, needs, tables, order)
    else:
        quantities = _cut_counted(units, floors, needs, tables, order)  # type: ignore[arg-type]
    return DemandShares(total, forecasts, quantities, 0)


def chance_to_meet(forecast: Forecast, units: int) -> float:
    """P(D ≤ units)."""
    if units < 0:
        return 0.0
    if _is_large(forecast):
        return _phi((units + 0.5 - forecast.mean) / _sigma(forecast))
    return _chances(forecast, LEVEL_MAX, units)[-1]


def _need(forecast: Forecast) -> tuple[list[float] | None, int]:
    """The chances P(D ≤ q) from q = 0 on (none where it is large), and the first q that reaches its service level."""
    level = min(forecast.service_level, LEVEL_MAX)
    if _is_large(forecast):
        return None, _units_at(NORMAL.inv_cdf(level), forecast)
    table = _chances(forecast, level)
    return table, len(table) - 1


def _chances(forecast: Forecast, level: float, units: int | None = None) -> list[float]:
    """P(D ≤ q) for q = 0, 1, ..., up to the first that reaches `level`, or up to `units` if that comes first."""
    mean, variance = forecast.mean, forecast.variance
    if mean <= 0:
        return [1.0]
    last = units if units is not None else 1 << 30
    k = 0
    if variance <= mean * (1 + 1e-9):
        chance = total = exp(-mean)
        table = [total]
        while total < level and k < last:
            k += 1
            chance *= mean / k
            total += chance
            table.append(total)
        return table
    # Negative binomial: p = μ/σ², r = μ²/(σ² − μ); each chance follows from the one before.
    r = mean * mean / (variance - mean)
    miss = 1 - mean / variance
    chance = total = exp(r * log(mean / variance))
    table = [total]
    while total < level and k < last:
        chance *= miss * (r + k) / (k + 1)
        k += 1
        total += chance
        table.append(total)
    return table


def _cut_counted(
    units: int,
    floors: Sequence[int],
    needs: Sequence[int],
    tables: Sequence[list[float]],
    order: Sequence[int],
) -> list[int]:
    """The smallest `units` of all chances above the floors: what granting one by one would take."""
    chances: list[float] = []
    for floor, need, table in zip(floors, needs, tables, strict=True):
        chances += table[floor:need]
    chances.sort()
    cut = chances[units - 1]
    quantities = [
        floor if floor >= need else bisect_left(table, cut, floor, need)
        for floor, need, table in zip(floors, needs, tables, strict=True)
    ]
    left = units - sum(quantities) + sum(floors)
    for i in order:
        while left and quantities[i] < needs[i] and tables[i][quantities[i]] == cut:
            quantities[i] += 1
            left -= 1
    return quantities


def _cut_large(
    total: int,
    forecasts: Sequence[Forecast],
    floors: Sequence[int],
    needs: Sequence[int],
    tables: Sequence[list[float] | None],
    order: Sequence[int],
) -> list[int]:
    """The same where a demand is large: search the z at which the units just suffice, then grant the last by one."""

    def taken(z: float) -> list[int]:
        chance = _phi(z)
        quantities = []
        for f, sigma, floor, need, table in zip(forecasts, sigmas, floors, needs, tables, strict=True):
            if floor >= need:
                quantities.append(floor)
            elif table is None:
                quantities.append(min(max(ceil(f.mean + sigma * z - 0.5), floor), need))
            else:
                quantities.append(bisect_left(table, chance, floor, need))
        return quantities

    # Chances near 0 are too small to be told apart, their z is not: so the search is for z.
    sigmas = [_sigma(f) for f in forecasts]
    first = (total - fsum(f.mean for f in forecasts)) / fsum(sigmas)
    low = min(-(f.mean + 1) / _sigma(f) for f in forecasts if f.mean > 0) - 1
    high = max(NORMAL.inv_cdf(min(f.service_level, LEVEL_MAX)) for f in forecasts) + 1
    quantities, above = list(floors), sum(needs)
    if sum(atlow := taken(low)) <= total:
        quantities = atlow
    # Newton's steps, which aim a little beyond so as to close in from both sides; where bounds or counted demands bend
    # the line too much, halves.
    near = len(forecasts)
    z = first
    for step in range(200):
        if above - sum(quantities) <= 2 * near:
            break
        if not low < z < high:
            z = (low + high) / 2
        found = taken(z)
        units = sum(found)
        if units <= total:
            low, quantities = z, found
        else:
            high, above = z, units
        slope = fsum(
            sigmas[i] for i, count in enumerate(found) if tables[i] is None and floors[i] < count < needs[i]
        )
        if slope and step < NEWTON_STEPS:
            z += (total - units + (near / 2 if units <= total else -near / 2)) / slope
        else:
            z = (low + high) / 2
    left = total - sum(quantities)
    rank = {i: place for place, i in enumerate(order)}
    waiting = [
        (_z(forecasts[i], tables[i], quantities[i]), rank[i], i) for i in order if quantities[i] < needs[i]
    ]
    heapify(waiting)
    while left:
        _score, _place, i = waiting[0]
        quantities[i] += 1
        left -= 1
        after = _z(forecasts[i], tables[i], quantities[i]) if quantities[i] < needs[i] else float("inf")
        heapreplace(waiting, (after, rank[i], i))
    return quantities


def _is_large(forecast: Forecast) -> bool:
    if forecast.mean <= COUNTED_UP_TO:
        return False
    return forecast.mean > SKEWED_COUNTED_UP_TO or 4 * forecast.variance <= forecast.mean * forecast.mean


def _sigma(forecast: Forecast) -> float:
    return sqrt(max(forecast.variance, forecast.mean, 1e-12))


def _units_at(z: float, forecast: Forecast) -> int:
    """The first q with P(D ≤ q) ≥ Φ(z); half a unit corrects that units are whole."""
    return max(0, ceil(forecast.mean + _sigma(forecast) * z - 0.5))


def _z(forecast: Forecast, table: list[float] | None, units: int) -> float:
    if table is None:
        return (units + 0.5 - forecast.mean) / _sigma(forecast)
    return NORMAL.inv_cdf(table[units]) if 0 < table[units] < 1 else float("-inf")


def _phi(z: float) -> float:
    return 0.5 * erfc(-z / sqrt(2))

"""What a policy of sharing stock would have sold: real demand, moment by moment, against stock divided by it."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from inventory.quota.forecast import Rate, expect_demand, forecast_demand
from inventory.quota.shares import Forecast, Part, share_by_demand, share_by_ratio

HISTORY_DAYS = 56


class Event(NamedTuple):
    """A line that was asked for: so many days after the beginning, in this order, in the shop of this number."""

    day: float
    order: Hashable
    shop: int
    sku: Hashable
    units: int


class Supply(NamedTuple):
    """Units that come in, or are written off. They are divided before what is asked at the same moment."""

    day: float
    sku: Hashable
    units: int


class Mode(StrEnum):
    """As in quota rules: what a shop draws on."""

    EXCLUSIVE = "exclusive"
    LOCK_SHARE = "lock_share"
    SHARED = "shared"


class Method(StrEnum):
    """How a policy divides: not at all, by ratio, by expected demand, or by ratio with refills below a minimum."""

    NONE = "none"
    RATIO = "ratio"
    DEMAND = "demand"
    REFILL = "refill"


@dataclass(frozen=True, slots=True)
class Terms:
    """How one shop shares in a SKU, as its quota rule says."""

    mode: Mode = Mode.LOCK_SHARE
    ratio: Decimal | None = None
    minimum: int = 0
    maximum: int | None = None
    service_level: float = 0.95
    priority: int = 100


@dataclass(frozen=True, slots=True)
class Policy:
    """`terms`: of each shop, for a SKU. `every_days`: all that is free is divided anew so often, and when stock comes
    in; 0: only what comes in is divided, and a shop keeps what it has. `horizon_days`: how long units should last.

    *refill* divides what comes in by ratio, and fills up whoever falls below its minimum.
    """

    name: str
    method: Method
    terms: Callable[[Hashable], Sequence[Terms]]
    every_days: int = 0
    horizon_days: int = 7


@dataclass(frozen=True, slots=True)
class Case:
    """Demand and supply that every policy is given alike. Days count from the first of `before`; the test begins at
    `begin`, and no policy is ever told anything of what comes after the moment of its decision.

    `before`: what was asked earlier, for forecasts. `sees_lost`: whether what could not be sold is known to have been
    asked for; channels that show nothing when a number is 0 do not tell.
    """

    shops: Sequence[str]
    before: Sequence[Event]
    events: Sequence[Event]
    supplies: Sequence[Supply]
    begin: int
    end: int
    sees_lost: bool = True


@dataclass(slots=True)
class Outcome:
    """What a policy made of it. `moved`: units taken from a shop's quota for another pool. `left`: not sold."""

    policy: str
    lost_by_shop: list[int]
    units: int = 0
    lines: int = 0
    lost_units: int = 0
    lost_lines: int = 0
    moved_units: int = 0
    left_units: int = 0
    orders: set[Hashable] = field(default_factory=set, repr=False)
    short_orders: set[Hashable] = field(default_factory=set, repr=False)

    @property
    def lost_part(self) -> float:
        return self.lost_units / self.units if self.units else 0.0

    def as_json(self) -> dict[str, Any]:
        return {
            "policy": self.policy,
            "units": self.units,
            "lines": self.lines,
            "orders": len(self.orders),
            "lost_units": self.lost_units,
            "lost_percent": round(100 * self.lost_part, 2),
            "lost_lines": self.lost_lines,
            "short_orders": len(self.short_orders),
            "moved_units": self.moved_units,
            "left_units": self.left_units,
            "lost_by_shop": self.lost_by_shop,
        }


def run_backtest(case: Case, policies: Iterable[Policy]) -> list[Outcome]:
    """The outcome of each policy on the same demand and the same stock, in the order given."""
    prepared = prepare_case(case)
    return [simulate(prepared, policy) for policy in policies]


@dataclass(slots=True)
class _Goods:
    """All that concerns one SKU. Days and units of `before` by shop; the rest in the order of time."""

    before: list[list[tuple[int, int]]]
    events: list[Event] = field(default_factory=list)
    supplies: list[Supply] = field(default_factory=list)


@dataclass(slots=True)
class Prepared:
    """A case by SKU, and what was asked of each shop by the end of each day."""

    case: Case
    goods: dict[Hashable, _Goods]
    asked_until: list[list[int]]
    # Where all that is asked for is seen, what to expect is the same under every policy.
    expected: dict[tuple[Hashable, int], list[Rate]] = field(default_factory=dict)

    def weights(self, day: int) -> list[int]:
        """What was asked of each shop in the window of the forecasts before this day."""
        first = self.asked_until[max(0, day - HISTORY_DAYS)]
        return [late - early for late, early in zip(self.asked_until[day], first, strict=True)]


def prepare_case(case: Case) -> Prepared:
    """Sort a case for `simulate`; SKUs do not meet, so each is replayed by itself."""
    number = len(case.shops)
    goods: dict[Hashable, _Goods] = defaultdict(lambda: _Goods([[] for _ in range(number)]))
    daily = [[0] * number for _ in range(case.end + 1)]
    for event in case.before:
        _note(goods[event.sku].before[event.shop], int(event.day), event.units)
        daily[int(event.day)][event.shop] += event.units
    for event in sorted(case.events, key=lambda event: event.day):
        goods[event.sku].events.append(event)
        daily[int(event.day)][event.shop] += event.units
    for supply in sorted(case.supplies, key=lambda supply: supply.day):
        goods[supply.sku].supplies.append(supply)
    asked_until = [[0] * number]
    for units in daily:
        asked_until.append([sum(pair) for pair in zip(asked_until[-1], units, strict=True)])
    return Prepared(case, dict(goods), asked_until)


def _note(series: list[tuple[int, int]], day: int, units: int) -> None:
    if series and series[-1][0] == day:
        series[-1] = (day, series[-1][1] + units)
    else:
        series.append((day, units))


def simulate(prepared: Prepared, policy: Policy) -> Outcome:
    """Replay a case: a line gets all that it wants from its shop's quota and then the shared pool, or is lost."""
    outcome = new_outcome(prepared, policy)
    for sku in prepared.goods:
        simulate_sku(prepared, policy, sku, outcome)
    return outcome


def new_outcome(prepared: Prepared, policy: Policy) -> Outcome:
    """Nothing asked and nothing lost yet."""
    return Outcome(policy.name, [0] * len(prepared.case.shops))


def simulate_sku(prepared: Prepared, policy: Policy, sku: Hashable, outcome: Outcome) -> None:
    """Replay one SKU, and add what comes of it."""
    _Shelf(prepared, policy, sku, prepared.goods[sku]).replay(outcome)


class _Shelf:
    """One SKU under one policy: what each shop has as its own, and what is shared."""

    def __init__(self, prepared: Prepared, policy: Policy, sku: Hashable, goods: _Goods) -> None:
        self.prepared, self.policy, self.sku, self.goods = prepared, policy, sku, goods
        self.terms = policy.terms(sku)
        self.history = [list(series) for series in goods.before]
        self.quotas = [0] * len(self.terms)
        self.shared = 0
        self.moved = 0

    def replay(self, outcome: Outcome) -> None:
        case = self.prepared.case
        supplies = iter(self.goods.supplies)
        supply = next(supplies, None)
        every = self.policy.every_days
        divides_at: float = case.begin + every if every else float("inf")
        for event in self.goods.events:
            while True:
                comes = supply.day if supply else float("inf")
                if min(comes, divides_at) > event.day:
                    break
                if comes <= divides_at and supply:
                    self.receive(supply.units, int(supply.day))
                    supply = next(supplies, None)
                else:
                    self.divide(int(divides_at))
                    divides_at += every
            is_sold = self.sell(event.shop, event.units)
            if is_sold or case.sees_lost:
                _note(self.history[event.shop], int(event.day), event.units)
            outcome.units += event.units
            outcome.lines += 1
            outcome.orders.add(event.order)
            if not is_sold:
                outcome.lost_units += event.units
                outcome.lost_lines += 1
                outcome.lost_by_shop[event.shop] += event.units
                outcome.short_orders.add(event.order)
        rest = (supply.units if supply else 0) + sum(late.units for late in supplies)
        outcome.moved_units += self.moved
        outcome.left_units += sum(self.quotas) + self.shared + rest

    def sell(self, shop: int, units: int) -> bool:
        mode = self.terms[shop].mode
        own = self.quotas[shop] if mode != Mode.SHARED else 0
        shared = self.shared if mode != Mode.EXCLUSIVE else 0
        if own + shared < units:
            return False
        from_own = min(own, units)
        self.quotas[shop] -= from_own
        self.shared -= units - from_own
        if self.policy.method == Method.REFILL:
            self.refill()
        return True

    def receive(self, units: int, day: int) -> None:
        self.shared += units
        if units <= 0:
            # A count or a write-off: what is shared goes first, then what the largest quotas have.
            while self.shared < 0 and any(self.quotas):
                richest = max(range(len(self.quotas)), key=self.quotas.__getitem__)
                taken = min(-self.shared, self.quotas[richest])
                self.quotas[richest] -= taken
                self.shared += taken
            self.shared = max(0, self.shared)
            return
        if self.policy.method == Method.NONE:
            return
        if self.policy.every_days:
            self.divide(day)
            return
        for shop, share in enumerate(self.shares(units, self.quotas, day)):
            self.quotas[shop] += share
            self.shared -= share
        if self.policy.method == Method.REFILL:
            self.refill()

    def divide(self, day: int) -> None:
        """Everything that is free is divided anew."""
        total = sum(self.quotas) + self.shared
        if not total or self.policy.method == Method.NONE:
            return
        after = self.shares(total, [0] * len(self.quotas), day)
        self.moved += sum(max(0, had - has) for had, has in zip(self.quotas, after, strict=True))
        self.quotas = after
        self.shared = total - sum(after)

    def shares(self, units: int, kept: Sequence[int], day: int) -> list[int]:
        """How many of these units each shop gets beside what it keeps."""
        own = [shop for shop, terms in enumerate(self.terms) if terms.mode != Mode.SHARED]
        result = [0] * len(self.terms)
        if self.policy.method == Method.DEMAND:
            found = self._by_demand(units, kept, own, day)
        else:
            found = self._by_ratio(units, kept, own)
        for shop, share in zip(own, found, strict=True):
            result[shop] = share
        return result

    def _by_ratio(self, units: int, kept: Sequence[int], own: Sequence[int]) -> list[int]:
        parts = []
        for shop in own:
            terms = self.terms[shop]
            room = None if terms.maximum is None else max(0, terms.maximum - kept[shop])
            floor = max(0, terms.minimum - kept[shop])
            parts.append(Part(terms.ratio or Decimal(0), floor, room))
        return share_by_ratio(units, parts)

    def _by_demand(self, units: int, kept: Sequence[int], own: Sequence[int], day: int) -> list[int]:
        rates = self.expect(day)
        forecasts = []
        for shop in own:
            terms = self.terms[shop]
            mean, variance = rates[shop].over(self.policy.horizon_days)
            forecasts.append(
                Forecast(
                    mean,
                    variance,
                    max(terms.minimum, kept[shop]),
                    terms.maximum if terms.maximum is None else max(terms.maximum, kept[shop]),
                    terms.service_level,
                    terms.priority,
                )
            )
        total = units + sum(kept[shop] for shop in own)
        shares = share_by_demand(total, forecasts).quantities
        if own and sum(shares) < total and all(self.terms[shop].mode == Mode.EXCLUSIVE for shop in own):
            shares = _hand_out_rest(total, shares, forecasts)
        return [share - kept[shop] for shop, share in zip(own, shares, strict=True)]

    def expect(self, day: int) -> list[Rate]:
        """From whole days before this one alone."""
        known = self.prepared.expected.get((self.sku, day))
        if known is not None:
            return known
        first = [series[0][0] for series in self.history if series]
        begin = max(0, day - HISTORY_DAYS, min([*first, day - 1]))
        own = []
        for series in self.history:
            seen = series[bisect_left(series, (begin,)) : bisect_left(series, (day,))]
            window = [(at - begin, units) for at, units in seen]
            own.append(forecast_demand(window, days=max(1, day - begin)))
        rates = expect_demand(own, self.prepared.weights(day))
        if self.prepared.case.sees_lost:
            self.prepared.expected[self.sku, day] = rates
        return rates

    def refill(self) -> None:
        """Whoever is below its minimum gets from the shared pool, then from whoever has most above its own."""
        for shop, terms in enumerate(self.terms):
            lacks = terms.minimum - self.quotas[shop]
            if terms.mode == Mode.SHARED or lacks <= 0:
                continue
            taken = min(lacks, self.shared)
            self.shared -= taken
            self.quotas[shop] += taken
            lacks -= taken
            while lacks:
                spare = [had - of.minimum for had, of in zip(self.quotas, self.terms, strict=True)]
                giver = max(range(len(spare)), key=spare.__getitem__)
                given = min(lacks, spare[giver])
                if given <= 0:
                    break
                self.quotas[giver] -= given
                self.quotas[shop] += given
                self.moved += given
                lacks -= given


def _hand_out_rest(total: int, shares: Sequence[int], forecasts: Sequence[Forecast]) -> list[int]:
    """Where no shop draws on a shared pool, what is beyond all service levels is divided as what each has."""
    granted = sum(shares)
    rest = total - granted
    weights = [Decimal(share) / granted if granted else Decimal(1) / len(shares) for share in shares]
    rooms = [
        None if f.ceiling is None else max(0, f.ceiling - share)
        for f, share in zip(forecasts, shares, strict=True)
    ]
    weights = _cut_to_one(weights)
    more = share_by_ratio(rest, [Part(weight, 0, room) for weight, room in zip(weights, rooms, strict=True)])
    return [share + extra for share, extra in zip(shares, more, strict=True)]


def _cut_to_one(weights: Sequence[Decimal]) -> list[Decimal]:
    """Rounding must not make the parts more than the whole."""
    cut = [weight.quantize(Decimal("0.000001"), rounding="ROUND_DOWN") for weight in weights]
    if cut:
        cut[0] += 1 - sum(cut)
    return cut


def compare(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Outcomes as rows; `lost_against_first`: lost units against the first policy, in percent of its lost units."""
    first = outcomes[0].lost_units if outcomes else 0
    return [
        {
            **outcome.as_json(),
            "lost_against_first": round(100 * (outcome.lost_units - first) / first, 1) if first else None,
        }
        for outcome in outcomes
    ]


def same_terms(terms: Sequence[Terms]) -> Callable[[Hashable], Sequence[Terms]]:
    """The same for every SKU."""

    def of(_sku: Hashable) -> Sequence[Terms]:
        return terms

    return of


def terms_by_sku(
    known: Mapping[Hashable, Sequence[Terms]], others: Sequence[Terms]
) -> Callable[[Hashable], Sequence[Terms]]:
    """Those of each SKU, and of all that have none of their own."""

    def of(sku: Hashable) -> Sequence[Terms]:
        return known.get(sku, others)

    return of

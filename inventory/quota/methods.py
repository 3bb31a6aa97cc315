"""What each method of allocation wants of one SKU, and what of that can be done. Pure: nothing is read or written here.

Hundreds of thousands of SKUs go through here in seconds: what is said of a line is put together by filling numbers into
a text that was written down once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from inventory.models.stock import PoolKind
from inventory.quota.forecast import NO_DEMAND, Rate
from inventory.quota.shares import Forecast, Part, share_by_demand, share_by_ratio
from inventory.quota.shelves import Policy, Quota, Shelf, Term
from omni.kernel.sentences import Sentence, sentence

NO_QUOTA = Quota()
RATIO_INPUTS = (
    '{"supply": %d, "ratio": "%s", "promised": %d, "coming": %d, "minimum": %d, "maximum": %s,'
    ' "priority": %d}'
)
DEMAND_INPUTS = (
    '{"supply": %d, "expected": %.2f, "deviation": %.2f, "days": %d, "level": "%s", "promised": %d, "coming": %d,'
    ' "minimum": %d, "maximum": %s, "priority": %d}'
)
QUOTA_INPUTS = '{"free": %d, "promised": %d, "coming": %d, "minimum": %d, "maximum": %s, "priority": %d}'


class Wish(NamedTuple):
    """What a shop's quota of a SKU should hold, in the end. Only what is to change is wished for."""

    shop_id: int
    code: str
    target: int
    inputs: str
    reason: str


class Line(NamedTuple):
    """One line of a run: what a pool holds and should hold."""

    shop_id: int | None
    kind: str
    label: str
    before: int
    after: int
    inputs: str
    reason: str


Method = Callable[[Shelf], list[Wish]]


def with_holes(text: Sentence, *counts: str, **values: str) -> str:
    """A stored sentence into which `%` fills the counts, in their order."""
    holes = {name: 918_000_000 + number for number, name in enumerate(counts)}
    stored = str(text % {**values, **holes}).replace("%", "%%")
    for number in holes.values():
        stored = stored.replace(str(number), "%d")
    return stored


# By hand -----------------------------------------------------------------------------------------------------


def by_hand(targets: Mapping[int, Sequence[tuple[int, str, int]]]) -> Method:
    """Somebody says what each quota should hold: by SKU, (shop id, its code, units)."""
    said = str(sentence("Set by hand."))

    def decide(shelf: Shelf) -> list[Wish]:
        wishes = []
        for shop_id, code, units in targets.get(shelf.sku_id, ()):
            quota = shelf.quotas.get(code, NO_QUOTA)
            if units != quota.held:
                inputs = json.dumps({"wanted": units, "promised": quota.reserved, "coming": quota.coming})
                wishes.append(Wish(shop_id, code, units, inputs, said))
        return wishes

    return decide


# By ratio ----------------------------------------------------------------------------------------------------


class _Ratios(NamedTuple):
    """What the same rules mean for every SKU for which they hold."""

    terms: tuple[Term, ...]
    parts: tuple[Part, ...]
    plain: tuple[str, ...]
    raised: tuple[str, ...]
    lowered: tuple[str, ...]


def by_ratio(shelf: Shelf) -> list[Wish]:
    """Each shop its part of the supply; its minimum and what is promised at least, its maximum at most.

    Supply is what nobody keeps: base, shared and the quotas of the shops that have a ratio, with what is on its way to
    them. What no ratio takes stays in base and shared; safety stock and the locks of promotions are no supply.
    """
    ratios = _ratios_of(shelf.policy)
    if not ratios.terms:
        return _gone(shelf)
    quotas = [shelf.quotas.get(term.code, NO_QUOTA) for term in ratios.terms]
    supply = shelf.base + shelf.shared + sum([quota.granted + quota.coming for quota in quotas])
    parts: Sequence[Part] = ratios.parts
    if any(quota.reserved > part.floor for quota, part in zip(quotas, parts, strict=True)):
        parts = [_hold(part, quota.reserved) for quota, part in zip(quotas, parts, strict=True)]
    wishes = _gone(shelf)
    for place, target in enumerate(share_by_ratio(supply, parts)):
        quota = quotas[place]
        target = max(target, quota.reserved)
        if target == quota.granted + quota.coming:
            continue
        term = ratios.terms[place]
        due = supply * parts[place].weight
        said = ratios.raised if target > due + 1 else ratios.lowered if target < due - 1 else ratios.plain
        inputs = RATIO_INPUTS % (
            supply,
            term.ratio,
            quota.reserved,
            quota.coming,
            term.minimum,
            "null" if term.maximum is None else term.maximum,
            term.priority,
        )
        wishes.append(Wish(term.shop_id, term.code, target, inputs, said[place] % supply))
    return wishes


@lru_cache(maxsize=8192)
def _ratios_of(policy: Policy) -> _Ratios:
    own = tuple(term for term in policy.terms if term.has_quota and term.ratio)
    texts = {
        "plain": sentence("%(ratio)s %% of %(supply)d units."),
        "raised": sentence(
            "%(ratio)s %% of %(supply)d units would be fewer than its minimum of %(minimum)s, or than is promised."
        ),
        "lowered": sentence(
            "%(ratio)s %% of %(supply)d units would be more than its maximum of %(maximum)s, or than others leave."
        ),
    }
    said = {
        name: tuple(
            with_holes(
                text,
                "supply",
                ratio=_percent(term.ratio),
                minimum=str(term.minimum),
                maximum="–" if term.maximum is None else str(term.maximum),
            )
            for term in own
        )
        for name, text in texts.items()
    }
    parts = tuple(Part(term.ratio or Decimal(0), term.minimum, term.maximum) for term in own)
    return _Ratios(own, parts, **said)


def _percent(ratio: Decimal | None) -> str:
    return f"{(ratio or Decimal(0)) * 100:.2f}".rstrip("0").rstrip(".")


def _hold(part: Part, reserved: int) -> Part:
    ceiling = part.ceiling if part.ceiling is None else max(part.ceiling, reserved)
    return Part(part.weight, max(part.floor, reserved), ceiling)


def _gone(shelf: Shelf) -> list[Wish]:
    """Quotas of shops that share by rule: nobody needs them, so what is not promised goes back."""
    if not shelf.quotas:
        return []
    wishes = []
    for term in shelf.policy.terms:
        if term.has_quota or term.code not in shelf.quotas:
            continue
        quota = shelf.quotas[term.code]
        if quota.held > quota.reserved:
            said = str(sentence("By its rule the shop sells from the shared pool and needs no quota."))
            wishes.append(Wish(term.shop_id, term.code, quota.reserved, _inputs_of(term, quota), said))
    return wishes


def _inputs_of(term: Term, quota: Quota) -> str:
    maximum = "null" if term.maximum is None else term.maximum
    return QUOTA_INPUTS % (quota.free, quota.reserved, quota.coming, term.minimum, maximum, term.priority)


# By demand ---------------------------------------------------------------------------------------------------


def by_demand(rates: Mapping[tuple[int, int], Rate], *, days: int) -> Method:
    """Unit by unit to the shop that is most likely to sell it in so many days: see `share_by_demand`.

    `rates`: by (shop id, SKU id). What is promised already is demand that has come; the forecast comes on top of it.
    """
    said = with_holes(
        sentence("%(expected)d units are expected to be asked for in %(days)d days; %(supply)d are there."),
        "expected",
        "days",
        "supply",
    )

    def decide(shelf: Shelf) -> list[Wish]:
        terms = [term for term in shelf.policy.terms if term.has_quota]
        if not terms:
            return _gone(shelf)
        quotas = [shelf.quotas.get(term.code, NO_QUOTA) for term in terms]
        supply = shelf.base + shelf.shared + sum([quota.held for quota in quotas])
        wanted = [rates.get((term.shop_id, shelf.sku_id), NO_DEMAND).over(days) for term in terms]
        promised = sum([quota.reserved for quota in quotas])
        forecasts = [
            Forecast(
                mean=mean,
                variance=variance,
                floor=term.minimum,
                ceiling=None if term.maximum is None else max(0, term.maximum - quota.reserved),
                service_level=term.service_level,
                priority=term.priority,
            )
            for term, quota, (mean, variance) in zip(terms, quotas, wanted, strict=True)
        ]
        shares = share_by_demand(max(0, supply - promised), forecasts).quantities
        wishes = _gone(shelf)
        for term, quota, (mean, variance), share in zip(terms, quotas, wanted, shares, strict=True):
            target = share + quota.reserved
            if target != quota.held:
                inputs = DEMAND_INPUTS % (
                    supply,
                    mean,
                    variance**0.5,
                    days,
                    term.service_level,
                    quota.reserved,
                    quota.coming,
                    term.minimum,
                    "null" if term.maximum is None else term.maximum,
                    term.priority,
                )
                reason = said % (int(mean + 0.5), days, supply)
                wishes.append(Wish(term.shop_id, term.code, target, inputs, reason))
        return wishes

    return decide


# Filling up --------------------------------------------------------------------------------------------------


def by_refill(shelf: Shelf) -> list[Wish]:
    """Fill quotas with fewer free units than their minimum: from base, from shared, then from whoever needs least.

    Needy shops are served by priority. A shop gives what it has free above its own minimum; the one of least priority
    first, of equals the one that has most.
    """
    terms = [term for term in shelf.policy.terms if term.has_quota]
    needs: list[tuple[Term, Quota, int]] = []
    spare: list[tuple[Term, Quota, int]] = []
    for term in terms:
        quota = shelf.quotas.get(term.code, NO_QUOTA)
        lack = term.minimum - quota.free
        if term.maximum is not None:
            lack = min(lack, term.maximum - quota.held)
        if lack > 0:
            needs.append((term, quota, lack))
        elif quota.free > term.minimum:
            # Units on their way cannot be given away, but they count.
            give = min(quota.free - term.minimum, quota.granted - quota.reserved)
            if give > 0:
                spare.append((term, quota, give))
    if not needs:
        return []
    there = shelf.base_free + shelf.shared_free
    wishes = []
    lacking = 0
    for _term, _quota, lack in needs:
        units = min(lack, there)
        there -= units
        lacking += lack - units
    spare.sort(key=lambda each: (-each[0].priority, -each[2], each[0].shop_id))
    given = 0
    for term, quota, give in spare:
        units = min(give, lacking - given)
        if units <= 0:
            break
        given += units
        said = _GIVES % units
        wishes.append(Wish(term.shop_id, term.code, quota.held - units, _inputs_of(term, quota), said))
    left = shelf.base_free + shelf.shared_free + given
    for term, quota, lack in needs:
        units = min(lack, left)
        left -= units
        if units:
            said = _FILLED % (quota.free, term.minimum)
            wishes.append(Wish(term.shop_id, term.code, quota.held + units, _inputs_of(term, quota), said))
    return wishes


_FILLED = with_holes(sentence("Only %(free)d units are free; its minimum is %(minimum)d."), "free", "minimum")
_GIVES = with_holes(sentence("It has most above its minimum and gives %(units)d units."), "units")


# What can be done of it --------------------------------------------------------------------------------------

_TO_QUOTAS = with_holes(sentence("%(units)d units go to quotas."), "units")
_FROM_QUOTAS = with_holes(sentence("%(units)d units come back from quotas."), "units")
_CUT = sentence("Only %(there)d more units can be given to it.")


def settle(shelf: Shelf, wishes: Sequence[Wish], *, intake: str) -> list[Line]:
    """The lines that the wishes come to: none gives what is promised, and all get no more than is free or given up.

    Where more is wanted than there is, each gets a part of it in the ratio of what it wants. What is granted comes from
    base, then from shared, then from other quotas; what quotas give up beyond that goes where new stock goes.
    """
    if not wishes:
        return []
    more, less = 0, 0
    changes: list[tuple[Wish, Quota, int]] = []
    for wish in wishes:
        quota = shelf.quotas.get(wish.code, NO_QUOTA)
        change = wish.target - quota.granted - quota.coming
        if change < 0:
            change = max(change, quota.reserved - quota.granted)
            less -= change
        else:
            more += change
        changes.append((wish, quota, change))
    free = shelf.base_free + shelf.shared_free
    reasons: dict[str, str] = {}
    if more > free + less:
        changes, reasons = _cut(changes, more, free + less)
        more = free + less
    lines = []
    for wish, quota, change in changes:
        if change:
            held = quota.granted + quota.coming
            reason = reasons.get(wish.code, wish.reason)
            lines.append(
                Line(wish.shop_id, PoolKind.QUOTA.value, wish.code, held, held + change, wish.inputs, reason)
            )
    from_base = min(shelf.base_free, more)
    from_shared = min(shelf.shared_free, more - from_base)
    back = less - (more - from_base - from_shared)
    for kind, granted, taken in (
        (PoolKind.BASE.value, shelf.base, from_base),
        (PoolKind.SHARED.value, shelf.shared, from_shared),
    ):
        change = (back if kind == intake else 0) - taken
        if change:
            reason = _TO_QUOTAS % -change if change < 0 else _FROM_QUOTAS % change
            lines.append(Line(None, kind, "", granted, granted + change, "{}", reason))
    return lines


def _cut(
    changes: Sequence[tuple[Wish, Quota, int]], more: int, there: int
) -> tuple[list[tuple[Wish, Quota, int]], dict[str, str]]:
    """Who wants more gets its part of what is there, by largest remainder."""
    wanting = [change for change in changes if change[2] > 0]
    shares = _divide(there, [change for _wish, _quota, change in wanting], more)
    got = {wish.code: share for (wish, _quota, _change), share in zip(wanting, shares, strict=True)}
    reasons = {
        wish.code: str(_CUT % {"there": got[wish.code]})
        for wish, _quota, change in wanting
        if got[wish.code] < change
    }
    return [(wish, quota, got.get(wish.code, change)) for wish, quota, change in changes], reasons


def _divide(units: int, weights: Sequence[int], whole: int) -> list[int]:
    """`units` in the ratio of the weights, which add up to `whole`, by largest remainder."""
    shares = [units * weight // whole for weight in weights]
    order = sorted(range(len(weights)), key=lambda place: -(units * weights[place] % whole))
    for place in order[: units - sum(shares)]:
        shares[place] += 1
    return shares

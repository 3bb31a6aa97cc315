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
# Reading the value of a member costs as much as the rest of a line.
QUOTA, BASE, SHARED = PoolKind.QUOTA.value, PoolKind.BASE.value, PoolKind.SHARED.value
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


class _Due(NamedTuple):
    """What a shop is due of so many units, with what is said of that where nothing is promised or on its way."""

    term: Term
    target: int
    inputs: str
    reason: str


def by_ratio(shelf: Shelf) -> list[Wish]:
    """Each shop its part of the supply; its minimum and what is promised at least, its maximum at most.

    Supply is what nobody keeps: base, shared and the quotas of the shops that have a ratio, with what is on its way to
    them. What no ratio takes stays in base and shared; safety stock and the locks of promotions are no supply.
    """
    own = _with_ratio(shelf.policy)
    if not own:
        return _gone(shelf)
    supply = shelf.base + shelf.shared
    is_bound = False
    quotas = []
    for term in own:
        quota = shelf.quotas.get(term.code, NO_QUOTA)
        quotas.append(quota)
        supply += quota.granted + quota.coming
        is_bound = is_bound or quota.reserved > term.minimum
    # Of very many SKUs there are as many units: what each shop is due of them is worked out once.
    due = _share(own, supply, tuple([q.reserved for q in quotas])) if is_bound else _due(shelf.policy, supply)
    wishes = _gone(shelf)
    for quota, (term, target, inputs, reason) in zip(quotas, due, strict=True):
        if target != quota.granted + quota.coming:
            if quota.reserved or quota.coming:
                inputs = _ratio_inputs(term, supply, quota)
            wishes.append(Wish(term.shop_id, term.code, target, inputs, reason))
    return wishes


@lru_cache(maxsize=8192)
def _with_ratio(policy: Policy) -> tuple[Term, ...]:
    return tuple(term for term in policy.terms if term.has_quota and term.ratio)


@lru_cache(maxsize=65536)
def _due(policy: Policy, supply: int) -> tuple[_Due, ...]:
    own = _with_ratio(policy)
    return _share(own, supply, (0,) * len(own))


def _share(own: Sequence[Term], supply: int, reserved: Sequence[int]) -> tuple[_Due, ...]:
    parts = [
        Part(
            term.ratio or Decimal(0),
            max(term.minimum, held),
            term.maximum if term.maximum is None else max(term.maximum, held),
        )
        for term, held in zip(own, reserved, strict=True)
    ]
    shares = []
    for term, held, share in zip(own, reserved, share_by_ratio(supply, parts), strict=True):
        target = max(share, held)
        plain = supply * (term.ratio or 0)
        text = _RAISED if target > plain + 1 else _LOWERED if target < plain - 1 else _PLAIN
        values = {
            "ratio": f"{(term.ratio or 0) * 100:.2f}".rstrip("0").rstrip("."),
            "supply": supply,
            "minimum": term.minimum,
            "maximum": "–" if term.maximum is None else str(term.maximum),
        }
        shares.append(_Due(term, target, _ratio_inputs(term, supply, NO_QUOTA), str(text % values)))
    return tuple(shares)


_PLAIN = sentence("%(ratio)s %% of %(supply)d units.")
_RAISED = sentence(
    "%(ratio)s %% of %(supply)d units would be fewer than its minimum of %(minimum)s, or than is promised."
)
_LOWERED = sentence(
    "%(ratio)s %% of %(supply)d units would be more than its maximum of %(maximum)s, or than others leave."
)


def _ratio_inputs(term: Term, supply: int, quota: Quota) -> str:
    maximum = "null" if term.maximum is None else term.maximum
    return RATIO_INPUTS % (
        supply,
        term.ratio,
        quota.reserved,
        quota.coming,
        term.minimum,
        maximum,
        term.priority,
    )


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
    more = less = 0
    lines = []
    for shop_id, code, target, inputs, reason in wishes:
        quota = shelf.quotas.get(code, NO_QUOTA)
        held = quota.granted + quota.coming
        if target < held:
            target = max(target, held - quota.granted + quota.reserved)
            less += held - target
        else:
            more += target - held
        if target != held:
            lines.append(Line(shop_id, QUOTA, code, held, target, inputs, reason))
    there = shelf.base_free + shelf.shared_free + less
    if more > there:
        lines, more = _cut(lines, more, there), there
    from_base = min(shelf.base_free, more)
    from_shared = min(shelf.shared_free, more - from_base)
    back = less - (more - from_base - from_shared)
    for kind, granted, taken in ((BASE, shelf.base, from_base), (SHARED, shelf.shared, from_shared)):
        change = (back if kind == intake else 0) - taken
        if change:
            reason = _TO_QUOTAS % -change if change < 0 else _FROM_QUOTAS % change
            lines.append(Line(None, kind, "", granted, granted + change, "{}", reason))
    return lines


def _cut(lines: Sequence[Line], more: int, there: int) -> list[Line]:
    """Who wants more gets its part of what is there, by largest remainder."""
    wanted = [line.after - line.before for line in lines if line.after > line.before]
    shares = iter(_divide(there, wanted, more))
    settled = []
    for line in lines:
        if line.after > line.before:
            share = next(shares)
            if not share:
                continue
            if share < line.after - line.before:
                line = line._replace(after=line.before + share, reason=str(_CUT % {"there": share}))
        settled.append(line)
    return settled


def _divide(units: int, weights: Sequence[int], whole: int) -> list[int]:
    """`units` in the ratio of the weights, which add up to `whole`, by largest remainder."""
    shares = [units * weight // whole for weight in weights]
    order = sorted(range(len(weights)), key=lambda place: -(units * weights[place] % whole))
    for place in order[: units - sum(shares)]:
        shares[place] += 1
    return shares

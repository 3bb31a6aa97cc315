"""Promise an order what its buyer held, so that nobody can come between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from inventory.advance import Step, advance_parts
from inventory.holds.end import end_holds
from inventory.lock import LockedLines, LockedPool, Part, lock_lines, lock_pools_of_skus
from inventory.models.holds import StockHold, StockHoldLine
from inventory.models.ledger import MovementKind
from inventory.models.promise import Reservation, Shortage
from inventory.record import FILL_SHORTAGES
from inventory.reserve import (
    CLOSE_SHORTAGES,
    Demand,
    Draw,
    Outcome,
    Sources,
    record_release,
    reserve_stock,
    share_out,
)
from omni.kernel import doorbell
from omni.kernel.sql import as_array, as_text_array, execute, fetch_all
from omni.kernel.transactions import joins_transaction


class Fate(StrEnum):
    """What became of a hold that an order named."""

    TAKEN = "taken"  # its units are the order's now; what the order does not want of them is given back
    KEPT = "kept"  # it stays until it expires: the order takes nothing of it, not yet, or not at all
    EXPIRED = "expired"  # its time was over: the order was served as if there had been none
    OVER = "over"  # given back, or taken over before
    UNKNOWN = "unknown"  # the shop has no hold of this key


# In id order, before the pools, as all that end holds do. By the database's clock: a hold that nobody has swept yet
# is over all the same.
LOCK_NAMED = """
    SELECT h.id, h.shop_id, h.key, h.state, h.expires_at <= now()
    FROM inventory_stockhold h JOIN unnest(%s::bigint[], %s::text[]) AS w(shop_id, key)
        ON h.shop_id = w.shop_id AND h.key = w.key
    ORDER BY h.id FOR NO KEY UPDATE OF h
"""


@dataclass(slots=True)
class Held:
    """A hold that may be taken over: its goods, the parts that promise them, and what was given of each.

    `is_taken`: a line of its goods is served, even if by then nothing of it was left to give.
    """

    hold_id: int
    keys: list[UUID] = field(default_factory=list)
    skus: set[int] = field(default_factory=set)
    is_taken: bool = False
    parts: list[Part] = field(default_factory=list)
    given: Counter[int] = field(default_factory=Counter)  # units by id of the part

    def offer(self, sku_id: int, wanted: int) -> list[tuple[Part, int]]:
        """Up to `wanted` units of a SKU that were not given yet, the oldest part first."""
        found = []
        for part in self.parts:
            units = min(wanted, part.quantity - self.given[part.id]) if part.sku_id == sku_id else 0
            if units:
                found.append((part, units))
                wanted -= units
        return found


@joins_transaction
def reserve_from_holds(
    *,
    shop_id: int,
    wanted: Sequence[Demand],
    holds: Mapping[int, str],
    at: datetime,
    by: str,
    refuse_short: bool = False,
    lines_are_new: bool = False,
) -> tuple[list[Outcome], dict[int, Fate]]:
    """`reserve_stock` for orders of a shop of which some name a hold. `holds`: keys, by the `together` of the demands.

    A demand first gets the units of its SKU that the hold has, from the pools in which they are held; the rest from
    what is free. In one transaction and under the locks of the pools the hold lets go and the line is promised. What
    the order does not want is given back; a line that falls short all the same gets nothing, as every line, and with
    `refuse_short` the hold stays as it was.

    Returns the outcomes in the order given, and the fate of each hold. Raises what `reserve_stock` raises.
    """
    fates, live = _lock_named(shop_id, holds)
    keys = [key for held in live.values() for key in held.keys]
    lines: LockedLines | None = None
    if live:
        skus = {sku_id for held in live.values() for sku_id in held.skus}
        lock_pools_of_skus(skus | {demand.sku_id for demand in wanted})
        lines = lock_lines(keys)
        for held in live.values():
            held.parts = [part for key in held.keys for part in lines.live.get(key, ())]

    def share(
        demands: Sequence[Demand],
        *,
        sources: Sources,
        pools: Mapping[int, LockedPool],
        stand_together: bool = False,
    ) -> tuple[list[Draw], list[Demand]]:
        draws, short = _share(demands, live, sources=sources, pools=pools, stand_together=stand_together)
        taken = {number: held for number, held in live.items() if held.is_taken}
        if lines is not None and taken:
            _let_go(list(taken.values()), lines=lines, at=at, by=by)
            fates.update(dict.fromkeys(taken, Fate.TAKEN))
        return draws, short

    outcomes = reserve_stock(
        wanted=wanted, at=at, by=by, refuse_short=refuse_short, lines_are_new=lines_are_new, share=share
    )
    return outcomes, fates


def _lock_named(shop_id: int, holds: Mapping[int, str]) -> tuple[dict[int, Fate], dict[int, Held]]:
    """The fate of each hold so far, and those that can be taken over: by the first order that names them."""
    named = sorted(set(holds.values()))
    rows = fetch_all(LOCK_NAMED, [as_array([shop_id] * len(named)), as_text_array(named)])
    found = {key: (ident, state, is_late) for ident, _shop, key, state, is_late in rows}
    fates: dict[int, Fate] = {}
    live: dict[int, Held] = {}
    for number, key in holds.items():
        ident, state, is_late = found.get(key, (0, "", False))
        if not ident:
            fates[number] = Fate.UNKNOWN
        elif state == StockHold.State.EXPIRED or (state == StockHold.State.HELD and is_late):
            fates[number] = Fate.EXPIRED
        elif state != StockHold.State.HELD or ident in {held.hold_id for held in live.values()}:
            fates[number] = Fate.OVER
        else:
            fates[number] = Fate.KEPT
            live[number] = Held(ident)
    by_id = {held.hold_id: held for held in live.values()}
    for line in StockHoldLine.objects.filter(hold_id__in=by_id).order_by("pk") if by_id else ():
        by_id[line.hold_id].keys.append(line.line_key)
        by_id[line.hold_id].skus.add(line.sku_id)
    return fates, live


def _share(
    demands: Sequence[Demand],
    live: Mapping[int, Held],
    *,
    sources: Sources,
    pools: Mapping[int, LockedPool],
    stand_together: bool,
) -> tuple[list[Draw], list[Demand]]:
    """First what is held, then what is free. What was offered to a line that falls short is not given."""
    offers: dict[UUID, list[tuple[Part, int]]] = {}
    rest: list[Demand] = []
    for demand in demands:
        held = live.get(demand.together)
        offers[demand.line_key] = held.offer(demand.sku_id, demand.quantity) if held else []
        for part, units in offers[demand.line_key]:
            live[demand.together].given[part.id] += units
        lacking = demand.quantity - sum(units for _part, units in offers[demand.line_key])
        if lacking:
            rest.append(replace(demand, quantity=lacking))
    free, lacking_lines = share_out(rest, sources=sources, pools=pools, stand_together=stand_together)
    fallen = {demand.together for demand in lacking_lines} if stand_together else set()
    short_keys = {demand.line_key for demand in lacking_lines}
    drawn: dict[UUID, Counter[int]] = {}
    for draw in free:
        drawn.setdefault(draw.demand.line_key, Counter())[draw.pool_id] += draw.quantity
    draws: list[Draw] = []
    for demand in demands:
        if demand.together in fallen or demand.line_key in short_keys:
            for part, units in offers[demand.line_key]:
                live[demand.together].given[part.id] -= units
            continue
        if demand.together in live and demand.sku_id in live[demand.together].skus:
            live[demand.together].is_taken = True
        by_pool = Counter[int]()
        for part, units in offers[demand.line_key]:
            by_pool[part.pool_id] += units
        by_pool.update(drawn.get(demand.line_key, {}))
        draws += [Draw(demand, pool_id, units) for pool_id, units in by_pool.items()]
    return draws, [demand for demand in demands if demand.line_key in short_keys]


def _let_go(taken: Sequence[Held], *, lines: LockedLines, at: datetime, by: str) -> None:
    """End the holds, and free their units: what was given for the order's promise, which follows, and the rest."""
    steps = [Step(part, part.quantity, Reservation.State.RELEASED) for held in taken for part in held.parts]
    handed = [
        Step(part, held.given[part.id], Reservation.State.RELEASED)
        for held in taken
        for part in held.parts
        if held.given[part.id]
    ]
    back = [
        Step(part, part.quantity - held.given[part.id], Reservation.State.RELEASED)
        for held in taken
        for part in held.parts
        if part.quantity > held.given[part.id]
    ]
    owed = sorted(key for held in taken for key in held.keys if key in lines.owed)
    end_holds([held.hold_id for held in taken], state=StockHold.State.TAKEN)
    if owed:
        execute(CLOSE_SHORTAGES, [as_array(owed), Shortage.State.CANCELLED, at])
    advance_parts(steps, lines=lines, at=at)
    record_release(handed, kind=MovementKind.HAND_OVER, at=at, by=by)
    if back:
        record_release(back, kind=MovementKind.RELEASE, at=at, by=by)
        doorbell.ring_after_commit(FILL_SHORTAGES)

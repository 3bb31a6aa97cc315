"""Promise stock to order lines, and take promises back.

One lock, that of the pool, protects both; so both live here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from inventory.advance import Step, advance_parts
from inventory.lock import (
    LineIsBusy,
    LockDidNotHold,
    LockedLines,
    LockedPool,
    Part,
    lock_levels,
    lock_lines,
)
from inventory.models.ledger import Account, MovementKind
from inventory.models.promise import Reservation, Shortage
from inventory.record import FILL_SHORTAGES, PLAN_PUBLISHED, Movement, mark_changed, record_movements
from omni.kernel import doorbell
from omni.kernel.errors import BadInput
from omni.kernel.sql import as_array, execute, fetch_all
from omni.kernel.transactions import joins_transaction

NO_STOCK = "no_stock"
NO_POOL = "no_pool"


class NothingDemanded(BadInput):
    """A demand or release for less than one unit."""

    code = "nothing_demanded"


@dataclass(frozen=True, slots=True)
class Demand:
    """`quantity` units of a SKU for an order line of a shop. `together`: see `refuse_short` of `reserve_stock`."""

    line_key: UUID
    shop_id: int
    sku_id: int
    quantity: int
    together: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the line holds now. `missing` is what it lacks: 0 if it was refused only for another line's sake."""

    line_key: UUID
    reserved: int
    missing: int
    is_repeat: bool


@dataclass(frozen=True, slots=True)
class Release:
    """Take back `quantity` units of a line; None: all that it holds and all that it is owed."""

    line_key: UUID
    quantity: int | None = None


class Source(NamedTuple):
    """Where a shop draws a SKU: its first group, and its pools in their order."""

    group_id: int
    pool_ids: list[int]


class Standing(NamedTuple):
    """What a line has already: units held or shipped, its highest part number (-1: none), an open shortage."""

    held: int = 0
    last_part: int = -1
    is_owed: bool = False


class Draw(NamedTuple):
    """Units of one pool for one demand."""

    demand: Demand
    pool_id: int
    quantity: int


Sources = Mapping[tuple[int, int], Source]


class ShareOut(Protocol):
    """Says who gets what of the locked pools, as `share_out` does."""

    def __call__(
        self,
        demands: Sequence[Demand],
        *,
        sources: Sources,
        pools: Mapping[int, LockedPool],
        stand_together: bool = False,
    ) -> tuple[list[Draw], list[Demand]]: ...


# No lock: settings, and ids of pools that are never deleted. A shop's rows for one SKU replace those for all.
# Own units go first, whatever the positions: the lock of a promotion, the quota, what is shared; last what is being
# taken back from this very shop, which its channel may have sold before it heard of that.
# Plan: nested loops over shop_pool_by_shop_and_sku and one_pool_per_sku_group_kind_and_label.
RANK = "array_position('{lock,quota,shared,base,revoking}'::text[], s.kind::text)"
FIND_SOURCES = f"""
    SELECT w.shop_id, w.sku_id, s.group_id, p.id
    FROM unnest(%s::bigint[], %s::bigint[]) AS w(shop_id, sku_id)
    JOIN inventory_shoppool s ON s.shop_id = w.shop_id AND (
        s.sku_id = w.sku_id
        OR s.sku_id IS NULL AND NOT EXISTS (
            SELECT FROM inventory_shoppool own WHERE own.shop_id = w.shop_id AND own.sku_id = w.sku_id))
    LEFT JOIN inventory_stockpool p
        ON p.sku_id = w.sku_id AND p.group_id = s.group_id AND p.kind = s.kind AND p.label = s.label
        AND (p.starts_at IS NULL OR p.starts_at <= %s) AND (p.ends_at IS NULL OR p.ends_at > %s)
    WHERE s.kind <> 'safety'
    ORDER BY w.shop_id, w.sku_id, {RANK}, s.position, s.id
"""  # noqa: S608 - put together from constants

# The same for pairs that have pools now, with the pools locked: one after another in id order, as LOCK_POOLS does.
LOCK_SOURCES = f"""
    SELECT w.shop_id, w.sku_id, {RANK}, s.position, s.id,
           p.id, p.group_id, p.sku_id, p.kind, p.label, p.granted, p.reserved, p.target
    FROM unnest(%s::bigint[], %s::bigint[]) AS w(shop_id, sku_id)
    JOIN inventory_shoppool s ON s.shop_id = w.shop_id AND (
        s.sku_id = w.sku_id
        OR s.sku_id IS NULL AND NOT EXISTS (
            SELECT FROM inventory_shoppool own WHERE own.shop_id = w.shop_id AND own.sku_id = w.sku_id))
    JOIN inventory_stockpool p
        ON p.sku_id = w.sku_id AND p.group_id = s.group_id AND p.kind = s.kind AND p.label = s.label
        AND (p.starts_at IS NULL OR p.starts_at <= %s) AND (p.ends_at IS NULL OR p.ends_at > %s)
    WHERE s.kind <> 'safety'
    ORDER BY p.id FOR NO KEY UPDATE OF p
"""  # noqa: S608 - put together from constants

# After the lock: what a line holds or has had shipped, its highest part number, and whether it is owed anything.
FIND_STANDINGS = """
    SELECT line_key, coalesce(sum(quantity) FILTER (WHERE state <> 'released'), 0), max(part), false
    FROM inventory_reservation WHERE line_key = ANY(%(keys)s::uuid[]) GROUP BY line_key
    UNION ALL
    SELECT line_key, 0, -1, true FROM inventory_shortage WHERE line_key = ANY(%(keys)s::uuid[]) AND state = 'open'
"""

# One statement: the promises, their ledger rows, and last the pools, so that a hot row changes for as short as can
# be. Two transactions that promise the same new part meet at a_line_holds_each_part_once, and the second writes
# nothing. The pools are locked already, in id order; the guard is the second net, the table's CHECK the third.
# Accounts: 20 pool free, 21 pool reserved.
WRITE_PROMISES = """
    WITH promised AS (
        INSERT INTO inventory_reservation
            (line_key, part, pool_id, sku_id, shop_id, quantity, created_at, changed_at)
        SELECT v.*, %(at)s, %(at)s
        FROM unnest(%(keys)s::uuid[], %(parts)s::int[], %(pools)s::bigint[], %(skus)s::bigint[],
                    %(shops)s::bigint[], %(quantities)s::int[]) v
        ON CONFLICT (line_key, part) DO NOTHING
        RETURNING line_key, pool_id, sku_id, quantity
    ), moved AS (
        INSERT INTO inventory_stockmovement
            (kind, sku_id, quantity, from_account, from_id, to_account, to_id, line_key, at, by)
        SELECT 'reserve', sku_id, quantity, 20, pool_id, 21, pool_id, line_key, %(at)s, %(by)s FROM promised
    ), taken AS (
        UPDATE inventory_stockpool p SET reserved = p.reserved + v.quantity
        FROM (SELECT pool_id, sum(quantity) AS quantity FROM promised GROUP BY pool_id) v
        WHERE p.id = v.pool_id AND p.granted - p.reserved >= v.quantity
        RETURNING p.sku_id
    ), noted AS (
        INSERT INTO inventory_stockchange (sku_id) SELECT DISTINCT sku_id FROM taken
    )
    SELECT (SELECT count(*) FROM promised), (SELECT count(*) FROM taken)
"""

GIVE_BACK_TO_POOLS = """
    UPDATE inventory_stockpool p SET reserved = p.reserved - v.quantity
    FROM unnest(%s::bigint[], %s::int[]) AS v(id, quantity)
    WHERE p.id = v.id AND p.reserved >= v.quantity
"""

GIVE_BACK_TO_LEVELS = """
    UPDATE inventory_stocklevel l SET committed = l.committed - v.quantity
    FROM unnest(%s::bigint[], %s::int[]) AS v(id, quantity)
    WHERE l.id = v.id AND l.committed >= v.quantity
"""

# One shortage per line for ever: a line that falls short again opens it again, and keeps its place in the queue.
OPEN_SHORTAGES = """
    INSERT INTO inventory_shortage (line_key, sku_id, shop_id, group_id, quantity, reason, created_at)
    SELECT v.*, %s
    FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::bigint[], %s::int[], %s::text[]) v
    ON CONFLICT (line_key) DO UPDATE
    SET quantity = EXCLUDED.quantity, reason = EXCLUDED.reason, state = 'open', closed_at = NULL
"""

# Shortages come after pools in the lock order, among themselves by key.
CLOSE_SHORTAGES = """
    WITH locked AS (
        SELECT id FROM inventory_shortage WHERE line_key = ANY(%s::uuid[]) AND state = 'open'
        ORDER BY line_key FOR NO KEY UPDATE
    )
    UPDATE inventory_shortage s SET state = %s, closed_at = %s FROM locked WHERE s.id = locked.id
"""

# Locked by `lock_lines`.
SHRINK_SHORTAGES = """
    UPDATE inventory_shortage s SET quantity = s.quantity - v.quantity
    FROM unnest(%s::uuid[], %s::int[]) AS v(line_key, quantity) WHERE s.line_key = v.line_key
"""


@joins_transaction
def reserve_stock(
    *,
    wanted: Sequence[Demand],
    at: datetime,
    by: str,
    refuse_short: bool = False,
    lines_are_new: bool = False,
    share: ShareOut | None = None,
) -> list[Outcome]:
    """Promise each demand all that it wants, or nothing of it.

    A demand draws on the pools of its shop in their order. One whose line already holds a promise, or has had
    it shipped, keeps that: asking twice promises once.

    A demand that falls short leaves an open Shortage, which is filled when supply comes. With `refuse_short` it
    leaves no trace instead, and demands with the same `together` stand or fall as one. `lines_are_new`: the caller has
    made these lines in this transaction and knows that nobody ever promised them anything. `share`: who decides, under
    the locks, instead of `share_out`.

    Returns one outcome per demand, in the order given. Takes at most nine statements, however many demands.
    Raises NothingDemanded, and LineIsBusy (nothing was changed; ask again).
    """
    demands = _first_of_each_line(wanted)
    if not demands:
        return []
    sources, pools = lock_sources(demands.values(), at=at)
    standings = dict.fromkeys(demands, Standing()) if lines_are_new else find_standings(demands)
    new = [demand for key, demand in demands.items() if not standings[key].held]
    draws, short = (share or share_out)(new, sources=sources, pools=pools, stand_together=refuse_short)
    write_promises(draws, standings=standings, at=at, by=by)
    if not refuse_short:
        _open_shortages(short, sources=sources, at=at)
    return _outcomes(wanted, standings=standings, draws=draws, short=short)


def find_sources(demands: Iterable[Demand], *, at: datetime) -> Sources:
    """Where each (shop, SKU) may draw at this moment; a pair that is missing may draw nowhere."""
    pairs = sorted({(demand.shop_id, demand.sku_id) for demand in demands})
    shops, skus = as_array(shop for shop, _sku in pairs), as_array(sku for _shop, sku in pairs)
    sources: dict[tuple[int, int], Source] = {}
    for shop_id, sku_id, group_id, pool_id in fetch_all(FIND_SOURCES, [shops, skus, at, at]):
        source = sources.setdefault((shop_id, sku_id), Source(group_id, []))
        if pool_id is not None:
            source.pool_ids.append(pool_id)
    return sources


def lock_sources(demands: Iterable[Demand], *, at: datetime) -> tuple[Sources, dict[int, LockedPool]]:
    """The same, with every pool that may be drawn on locked until the transaction ends."""
    demands = list(demands)
    pairs = sorted({(demand.shop_id, demand.sku_id) for demand in demands})
    shops, skus = as_array(shop for shop, _sku in pairs), as_array(sku for _shop, sku in pairs)
    rows = fetch_all(LOCK_SOURCES, [shops, skus, at, at])
    pools = {row[5]: LockedPool(*row[5:]) for row in rows}
    sources: dict[tuple[int, int], Source] = {}
    for shop_id, sku_id, _rank, _position, _draw_id, pool_id, group_id, *_pool in sorted(rows, key=_in_turn):
        sources.setdefault((shop_id, sku_id), Source(group_id, [])).pool_ids.append(pool_id)
    if len(sources) < len(pairs):
        # Without a pool there is nothing to draw on, but a group that owes it.
        rest = [demand for demand in demands if (demand.shop_id, demand.sku_id) not in sources]
        sources |= {pair: Source(source.group_id, []) for pair, source in find_sources(rest, at=at).items()}
    return sources, pools


def _in_turn(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return row[:5]


def find_standings(line_keys: Iterable[UUID]) -> dict[UUID, Standing]:
    """What each line has already. Only true while the pools from which it could be promised are locked."""
    standings = {key: Standing() for key in line_keys}
    for key, *row in fetch_all(FIND_STANDINGS, {"keys": as_array(standings)}):
        held, last_part, is_owed = standings[key]
        standings[key] = Standing(held + row[0], max(last_part, row[1]), is_owed or row[2])
    return standings


def share_out(
    demands: Sequence[Demand],
    *,
    sources: Sources,
    pools: Mapping[int, LockedPool],
    stand_together: bool = False,
) -> tuple[list[Draw], list[Demand]]:
    """Who gets what of the locked pools: the draws, and the demands that fall short. Decides, writes nothing.

    First come, first served, on a running remainder: two lines of one SKU in one batch cannot both take the last
    unit. What was taken for the companions of a demand that falls is put back before the next are served.
    """
    left = {pool.id: pool.free for pool in pools.values()}
    draws: list[Draw] = []
    short: list[Demand] = []
    for companions in _companions(demands, stand_together=stand_together):
        taken: list[Draw] = []
        lacking: list[Demand] = []
        for demand in companions:
            source = sources.get((demand.shop_id, demand.sku_id))
            drawn = _draw(demand, source.pool_ids if source else [], left)
            taken += drawn
            if not drawn:
                lacking.append(demand)
        if lacking:
            short += lacking
            for draw in taken:
                left[draw.pool_id] += draw.quantity
        else:
            draws += taken
    return draws, short


def _companions(demands: Sequence[Demand], *, stand_together: bool) -> Iterable[list[Demand]]:
    """The demands that stand or fall as one, in the order of the first of each."""
    if not stand_together:
        return ([demand] for demand in demands)
    groups: dict[int, list[Demand]] = {}
    for demand in demands:
        groups.setdefault(demand.together, []).append(demand)
    return groups.values()


def _draw(demand: Demand, pool_ids: Sequence[int], left: dict[int, int]) -> list[Draw]:
    """Take the whole demand from the pools in their order, or nothing."""
    if sum(left[pool_id] for pool_id in pool_ids) < demand.quantity:
        return []
    draws: list[Draw] = []
    wanted = demand.quantity
    for pool_id in pool_ids:
        quantity = min(wanted, left[pool_id])
        if quantity:
            left[pool_id] -= quantity
            wanted -= quantity
            draws.append(Draw(demand, pool_id, quantity))
    return draws


def write_promises(
    draws: Sequence[Draw], *, standings: Mapping[UUID, Standing], at: datetime, by: str
) -> None:
    """Write what was shared out: promises, ledger and pools, and close the shortages that it fills."""
    if not draws:
        return
    demands = [draw.demand for draw in draws]
    promised, pools = fetch_all(
        WRITE_PROMISES,
        {
            "keys": as_array(demand.line_key for demand in demands),
            "parts": as_array(_number_parts(draws, standings)),
            "pools": as_array(draw.pool_id for draw in draws),
            "skus": as_array(demand.sku_id for demand in demands),
            "shops": as_array(demand.shop_id for demand in demands),
            "quantities": as_array(draw.quantity for draw in draws),
            "at": at,
            "by": by,
        },
    )[0]
    if promised != len(draws):
        raise LineIsBusy(_("The order line was promised stock at the same moment: try again."))
    if pools != len({draw.pool_id for draw in draws}):
        raise LockDidNotHold("a pool had less than was counted under its lock")
    owed = sorted({demand.line_key for demand in demands if standings[demand.line_key].is_owed})
    if owed:
        execute(CLOSE_SHORTAGES, [as_array(owed), Shortage.State.FILLED, at])
    doorbell.ring_after_commit(PLAN_PUBLISHED)


def _number_parts(draws: Sequence[Draw], standings: Mapping[UUID, Standing]) -> list[int]:
    """The line's next free part number for each draw: numbers of released parts are not used again."""
    parts: list[int] = []
    before: Demand | None = None
    for demand, _pool_id, _quantity in draws:
        is_next = demand is before  # the draws of a demand follow each other
        parts.append(1 + (parts[-1] if is_next else standings[demand.line_key].last_part))
        before = demand
    return parts


def _open_shortages(short: Sequence[Demand], *, sources: Sources, at: datetime) -> None:
    if not short:
        return
    rows = []
    for demand in sorted(short, key=lambda demand: demand.line_key):
        source = sources.get((demand.shop_id, demand.sku_id))
        group_id, reason = (source.group_id, NO_STOCK) if source else (None, NO_POOL)
        rows.append((demand.line_key, demand.sku_id, demand.shop_id, group_id, demand.quantity, reason))
    execute(OPEN_SHORTAGES, [at, *(list(column) for column in zip(*rows, strict=True))])


def _first_of_each_line(wanted: Sequence[Demand]) -> dict[UUID, Demand]:
    demands: dict[UUID, Demand] = {}
    for demand in wanted:
        if demand.quantity <= 0:
            raise NothingDemanded(
                _("The quantity must be at least 1."), extra={"line_key": str(demand.line_key)}
            )
        demands.setdefault(demand.line_key, demand)
    return demands


def _outcomes(
    wanted: Sequence[Demand],
    *,
    standings: Mapping[UUID, Standing],
    draws: Sequence[Draw],
    short: Sequence[Demand],
) -> list[Outcome]:
    promised = {draw.demand.line_key for draw in draws}
    lacking = {demand.line_key for demand in short}
    seen: set[UUID] = set()
    outcomes = []
    for key, quantity in ((demand.line_key, demand.quantity) for demand in wanted):
        held = standings[key].held
        if held:
            outcome = Outcome(key, held, max(0, quantity - held), is_repeat=True)
        elif key in promised:
            outcome = Outcome(key, quantity, 0, is_repeat=key in seen)
        else:
            outcome = Outcome(key, 0, quantity if key in lacking else 0, is_repeat=key in seen)
        outcomes.append(outcome)
        seen.add(key)
    return outcomes


@transaction.atomic
def release_stock(*, releases: Sequence[Release], at: datetime, by: str) -> dict[UUID, int]:
    """Take promises back: units held or committed become free again, and what a line is still owed is cancelled.

    With a quantity, what is owed goes first, then what is held, then what is committed, of each the newest part.

    Returns the units freed per line. A line that holds nothing frees 0, so a second call for all changes
    nothing. Raises NothingDemanded, and LineIsBusy (nothing was changed; ask again).
    """
    wanted = _add_up(releases)
    if not wanted:
        return {}
    lines = lock_lines(wanted)
    _cancel_owed(wanted, lines=lines, at=at)
    steps: list[Step] = []
    freed: dict[UUID, int] = {}
    for key, quantity in wanted.items():
        rest = None if quantity is None else max(0, quantity - lines.owed.get(key, 0))
        taken = _newest(lines.live.get(key, []), rest)
        freed[key] = sum(step.quantity for step in taken)
        steps += taken
    if steps:
        advance_parts(steps, lines=lines, at=at)
        record_release(steps, kind=MovementKind.RELEASE, at=at, by=by)
        doorbell.ring_after_commit(FILL_SHORTAGES)
    return freed


def _add_up(releases: Sequence[Release]) -> dict[UUID, int | None]:
    """The units to take back per line; None wins: all."""
    wanted: dict[UUID, int | None] = {}
    for release in releases:
        if release.quantity is not None and release.quantity <= 0:
            raise NothingDemanded(
                _("The quantity must be at least 1."), extra={"line_key": str(release.line_key)}
            )
        before = wanted.get(release.line_key, 0)
        if before is None or release.quantity is None:
            wanted[release.line_key] = None
        else:
            wanted[release.line_key] = before + release.quantity
    return wanted


def _cancel_owed(wanted: Mapping[UUID, int | None], *, lines: LockedLines, at: datetime) -> None:
    closed = [key for key, owed in lines.owed.items() if (wanted[key] or owed) >= owed]
    shrunk = {key: wanted[key] for key in lines.owed if key not in closed}
    if closed:
        execute(CLOSE_SHORTAGES, [as_array(closed), Shortage.State.CANCELLED, at])
    if shrunk:
        execute(SHRINK_SHORTAGES, [list(shrunk), list(shrunk.values())])


def _newest(live: Sequence[Part], quantity: int | None) -> list[Step]:
    """Steps that release so many units (None: all): held before committed, the newest parts first."""
    steps: list[Step] = []
    rest = sum(part.quantity for part in live) if quantity is None else quantity
    for part in sorted(live, key=lambda part: (part.state != Reservation.State.HELD, -part.part)):
        taken = min(rest, part.quantity)
        if taken:
            steps.append(Step(part, taken, Reservation.State.RELEASED, part.location_id, part.level_id))
            rest -= taken
    return steps


def record_release(steps: Sequence[Step], *, kind: MovementKind, at: datetime, by: str) -> None:
    """Free the units of these steps in pools and levels, and write the ledger. The pools are locked."""
    pools, levels, movements = Counter[int](), Counter[int](), []
    for part, quantity, *_rest in steps:
        pools[part.pool_id] += quantity
        movements.append(
            Movement(
                part.sku_id,
                quantity,
                Account.POOL_RESERVED,
                part.pool_id,
                Account.POOL_FREE,
                part.pool_id,
                part.line_key,
            )
        )
        if part.state == Reservation.State.COMMITTED and part.level_id is not None:
            levels[part.level_id] += quantity
            movements.append(
                Movement(
                    part.sku_id,
                    quantity,
                    Account.LEVEL_COMMITTED,
                    part.level_id,
                    Account.LEVEL_FREE,
                    part.level_id,
                    part.line_key,
                )
            )
    record_movements(movements, kind=kind, at=at, by=by)
    lock_levels(levels)
    if levels and execute(GIVE_BACK_TO_LEVELS, [list(levels), list(levels.values())]) != len(levels):
        raise LockDidNotHold("a level had less committed than its reservations")
    if execute(GIVE_BACK_TO_POOLS, [list(pools), list(pools.values())]) != len(pools):
        raise LockDidNotHold("a pool had less reserved than its reservations")
    mark_changed(part.sku_id for part, *_rest in steps)

"""Take promised units from a location, and give them back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.db import transaction

from inventory.advance import Step, advance_parts
from inventory.lock import LockDidNotHold, LockedLevel, LockedLines, Part, lock_levels, lock_lines
from inventory.models.ledger import Account, MovementKind
from inventory.models.promise import Reservation
from inventory.record import Movement, record_movements
from inventory.reserve import GIVE_BACK_TO_LEVELS
from omni.kernel.sql import execute, fetch_all

HELD, COMMITTED = Reservation.State.HELD, Reservation.State.COMMITTED


@dataclass(frozen=True, slots=True)
class Commitment:
    """Take `quantity` units of a line's part from a location."""

    line_key: UUID
    part: int
    location_id: int
    quantity: int


@dataclass(frozen=True, slots=True)
class Committed:
    """`part` is the one that holds the units now: another than asked for if it was split. `ok`: taken."""

    line_key: UUID
    part: int
    location_id: int
    quantity: int
    ok: bool


# Without a lock: levels are never deleted and never change their location or SKU. Own stock before others'.
FIND_LEVELS = """
    SELECT s.id
    FROM unnest(%s::bigint[], %s::bigint[]) AS v(location_id, sku_id)
    JOIN inventory_stocklevel s ON s.location_id = v.location_id AND s.sku_id = v.sku_id
    WHERE s.grade = 'good'
"""

# Rows locked before; the guard is the second net, the CHECK the third.
TAKE_FROM_LEVELS = """
    UPDATE inventory_stocklevel l SET committed = l.committed + v.quantity
    FROM unnest(%s::bigint[], %s::int[]) AS v(id, quantity)
    WHERE l.id = v.id AND l.on_hand - l.committed >= v.quantity
"""


@transaction.atomic
def commit_stock(*, commitments: Sequence[Commitment], at: datetime, by: str) -> list[Committed]:
    """Commit held units at the locations that sourcing chose: held → committed.

    A quantity below the part's splits it: the committed units get a new part number, the rest stays held. Several
    commitments may split one part. One that cannot be met is `ok=False` and changes nothing: the part is not
    held, holds less, its pool belongs to another group of locations, or no owner's stock there has enough free.
    A part that is committed there already in that quantity is `ok=True`.

    Returns one result per commitment, in order. Raises LineIsBusy (nothing was changed; ask again).
    """
    if not commitments:
        return []
    lines = lock_lines({wanted.line_key for wanted in commitments})
    levels = _lock_levels_at(commitments, lines)
    steps: list[Step] = []
    results: list[Committed] = []
    stepping: list[int] = []
    left = {part.id: part.quantity for parts in lines.live.values() for part in parts}
    free = {v.id: v.on_hand - v.committed for owners in levels.values() for v in owners}
    for position, wanted in enumerate(commitments):
        part = find_part(lines, wanted.line_key, wanted.part)
        level = _choose_level(wanted, part, lines, levels, left, free) if part else None
        if part and level:
            left[part.id] -= wanted.quantity
            free[level.id] -= wanted.quantity
            steps.append(Step(part, wanted.quantity, COMMITTED, level.location_id, level.id))
            stepping.append(position)
        is_done = level is not None or _is_there_already(wanted, part)
        results.append(Committed(wanted.line_key, wanted.part, wanted.location_id, wanted.quantity, is_done))
    if steps:
        numbers = advance_parts(steps, lines=lines, at=at)
        for position, number in zip(stepping, numbers, strict=True):
            results[position] = replace(results[position], part=number)
        _write_commitments(steps, at=at, by=by)
    return results


def find_part(lines: LockedLines, line_key: UUID, number: int) -> Part | None:
    """The live part of a line with this number."""
    return next((part for part in lines.live.get(line_key, []) if part.part == number), None)


def _lock_levels_at(
    commitments: Sequence[Commitment], lines: LockedLines
) -> dict[tuple[int, int], list[LockedLevel]]:
    """The levels that the commitments could take from, by location and SKU, own stock first."""
    places = sorted(
        {
            (wanted.location_id, parts[0].sku_id)
            for wanted in commitments
            if (parts := lines.live.get(wanted.line_key))
        }
    )
    found = fetch_all(FIND_LEVELS, [[place[0] for place in places], [place[1] for place in places]])
    levels: dict[tuple[int, int], list[LockedLevel]] = {}
    for level in lock_levels(row[0] for row in found).values():
        levels.setdefault((level.location_id, level.sku_id), []).append(level)
    for owners in levels.values():
        owners.sort(key=lambda level: (level.owner != "own", level.id))
    return levels


def _choose_level(
    wanted: Commitment,
    part: Part,
    lines: LockedLines,
    levels: Mapping[tuple[int, int], Sequence[LockedLevel]],
    left: Mapping[int, int],
    free: Mapping[int, int],
) -> LockedLevel | None:
    if part.state != HELD or not 0 < wanted.quantity <= left[part.id]:
        return None
    # Stock of another group would leave this group's pools with more granted than lies there.
    group_id = lines.pools[part.pool_id].group_id
    for level in levels.get((wanted.location_id, part.sku_id), []):
        if level.group_id == group_id and free[level.id] >= wanted.quantity:
            return level
    return None


def _is_there_already(wanted: Commitment, part: Part | None) -> bool:
    return part is not None and (part.state, part.location_id, part.quantity) == (
        COMMITTED.value,
        wanted.location_id,
        wanted.quantity,
    )


def _write_commitments(steps: Sequence[Step], *, at: datetime, by: str) -> None:
    by_level = Counter[int]()
    movements = []
    for part, quantity, _state, _location, level_id in steps:
        level_id = level_id or 0
        by_level[level_id] += quantity
        free, taken = Account.LEVEL_FREE, Account.LEVEL_COMMITTED
        movements.append(Movement(part.sku_id, quantity, free, level_id, taken, level_id, part.line_key))
    record_movements(movements, kind=MovementKind.COMMIT, at=at, by=by)
    if execute(TAKE_FROM_LEVELS, [list(by_level), list(by_level.values())]) != len(by_level):
        raise LockDidNotHold("a level had less free than was counted under its lock")


@transaction.atomic
def uncommit_stock(*, parts: Sequence[tuple[UUID, int]], at: datetime, by: str) -> int:
    """Give committed units back to their location: committed → held, for a warehouse that refused or a new source.

    The order line keeps its promise. Parts that are not committed are left alone. Returns the units given back.
    Raises LineIsBusy (nothing was changed; ask again).
    """
    lines = lock_lines({key for key, _number in parts})
    found = [part for key, number in dict.fromkeys(parts) if (part := find_part(lines, key, number))]
    back = [part for part in found if part.state == COMMITTED]
    if not back:
        return 0
    lock_levels(part.level_id for part in back if part.level_id)
    advance_parts([Step(part, part.quantity, HELD) for part in back], lines=lines, at=at)
    by_level = Counter[int]()
    movements = []
    for part in back:
        level_id = part.level_id or 0
        by_level[level_id] += part.quantity
        taken, free = Account.LEVEL_COMMITTED, Account.LEVEL_FREE
        movements.append(Movement(part.sku_id, part.quantity, taken, level_id, free, level_id, part.line_key))
    record_movements(movements, kind=MovementKind.UNCOMMIT, at=at, by=by)
    if execute(GIVE_BACK_TO_LEVELS, [list(by_level), list(by_level.values())]) != len(by_level):
        raise LockDidNotHold("a level had less committed than its reservations")
    return sum(by_level.values())

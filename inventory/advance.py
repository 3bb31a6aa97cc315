"""Move promised units from one state to the next; a part of which only some units move is split."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from inventory.lock import LockDidNotHold, LockedLines, Part
from inventory.models.promise import Reservation
from omni.kernel.sql import execute


class Step(NamedTuple):
    """`quantity` units of a part go to `state`, at this level of this location (None: at none)."""

    part: Part
    quantity: int
    state: Reservation.State
    location_id: int | None = None
    level_id: int | None = None


# Guarded by what was read under the pool's lock: a part that is no longer so is not touched, and the row count
# tells. Plan: nested loop over the primary key.
CHANGE_PARTS = """
    UPDATE inventory_reservation r
    SET quantity = v.quantity, state = v.state, location_id = v.location_id, level_id = v.level_id, changed_at = %s
    FROM unnest(%s::bigint[], %s::text[], %s::int[], %s::int[], %s::text[], %s::bigint[], %s::bigint[])
        AS v(id, old_state, old_quantity, quantity, state, location_id, level_id)
    WHERE r.id = v.id AND r.state = v.old_state AND r.quantity = v.old_quantity
"""

# The part that is split off keeps the age of the promise: the youngest are withdrawn first.
SPLIT_OFF = """
    INSERT INTO inventory_reservation
        (line_key, part, pool_id, sku_id, shop_id, expires_at, created_at, quantity, state, location_id, level_id,
         changed_at)
    SELECT r.line_key, v.part, r.pool_id, r.sku_id, r.shop_id, r.expires_at, r.created_at, v.quantity, v.state,
           v.location_id, v.level_id, %s
    FROM unnest(%s::bigint[], %s::int[], %s::int[], %s::text[], %s::bigint[], %s::bigint[])
        AS v(id, part, quantity, state, location_id, level_id)
    JOIN inventory_reservation r ON r.id = v.id
"""


def advance_parts(steps: Sequence[Step], *, lines: LockedLines, at: datetime) -> list[int]:
    """Take the steps; the part numbers that now hold the moved units, in order.

    Units that are split off get the line's next free number; the rest of the part keeps its own, or the last
    step does when nothing is left. `lines` is what `lock_lines` returned in this transaction.
    """
    left = {step.part.id: step.part.quantity for step in steps}
    numbers: list[int] = []
    changes: dict[int, tuple[Part, int, str, int | None, int | None]] = {}
    split: list[tuple[int, int, int, str, int | None, int | None]] = []
    for part, quantity, state, location_id, level_id in steps:
        left[part.id] -= quantity
        if left[part.id]:
            lines.last_part[part.line_key] += 1
            numbers.append(lines.last_part[part.line_key])
            split.append((part.id, numbers[-1], quantity, state.value, location_id, level_id))
            changes[part.id] = (part, left[part.id], part.state, part.location_id, part.level_id)
        else:
            numbers.append(part.part)
            changes[part.id] = (part, quantity, state.value, location_id, level_id)
    _change_parts(list(changes.values()), at=at)
    if split:
        execute(SPLIT_OFF, [at, *(list(column) for column in zip(*split, strict=True))])
    return numbers


def _change_parts(changes: Sequence[tuple[Part, int, str, int | None, int | None]], *, at: datetime) -> None:
    if not changes:
        return
    parts = [change[0] for change in changes]
    old = [[part.id for part in parts], [part.state for part in parts], [part.quantity for part in parts]]
    new = [[change[column] for change in changes] for column in range(1, 5)]
    if execute(CHANGE_PARTS, [at, *old, *new]) != len(changes):
        raise LockDidNotHold("a promise changed although its pool was locked")

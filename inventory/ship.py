"""Let committed units leave the house."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from inventory.advance import Step, advance_parts
from inventory.commit import find_part
from inventory.lock import LockDidNotHold, LockedLines, lock_levels, lock_lines
from inventory.models.ledger import Account, MovementKind
from inventory.models.promise import Reservation
from inventory.record import Movement, record_movements
from omni.kernel.errors import DomainError
from omni.kernel.sql import execute


class NotCommitted(DomainError):
    """More units of an order line left than were committed to it."""

    code = "not_committed"


@dataclass(frozen=True, slots=True)
class ShippedPart:
    """`quantity` units of a line's part left its location."""

    line_key: UUID
    part: int
    quantity: int


# What leaves was committed and promised, so free stock does not change: neither the level's nor the pool's. Rows
# locked before; the guards are the second net, the CHECKs the third.
LEAVE_LEVELS = """
    UPDATE inventory_stocklevel l SET on_hand = l.on_hand - v.quantity, committed = l.committed - v.quantity
    FROM unnest(%s::bigint[], %s::int[]) AS v(id, quantity)
    WHERE l.id = v.id AND l.committed >= v.quantity
"""
LEAVE_POOLS = """
    UPDATE inventory_stockpool p SET granted = p.granted - v.quantity, reserved = p.reserved - v.quantity
    FROM unnest(%s::bigint[], %s::int[]) AS v(id, quantity)
    WHERE p.id = v.id AND p.reserved >= v.quantity
"""


@transaction.atomic
def ship_stock(*, shipped: Sequence[ShippedPart], document: str, at: datetime, by: str) -> None:
    """Take shipped units off the books: committed → shipped. All of them, or none.

    When only some units of a part left, those become a new part in state shipped and the rest keeps its number.
    `document` is the shipment that the ledger names. A part that has left cannot leave again.

    Raises NotCommitted if a part has less committed than left, and LineIsBusy (nothing was changed; ask again).
    """
    if not shipped:
        return
    lines = lock_lines({leaving.line_key for leaving in shipped})
    steps = _find_steps(shipped, lines)
    lock_levels(step.level_id for step in steps if step.level_id)
    advance_parts(steps, lines=lines, at=at)
    by_level, by_pool, movements = Counter[int](), Counter[int](), []
    for part, quantity, _state, _location, level_id in steps:
        level = level_id or 0
        by_level[level] += quantity
        by_pool[part.pool_id] += quantity
        sku, key = part.sku_id, part.line_key
        committed, reserved = Account.LEVEL_COMMITTED, Account.POOL_RESERVED
        movements.append(Movement(sku, quantity, committed, level, Account.CUSTOMER, 0, key))
        movements.append(Movement(sku, quantity, reserved, part.pool_id, Account.GRANT, 0, key))
    record_movements(movements, kind=MovementKind.SHIP, at=at, by=by, document=document)
    if execute(LEAVE_LEVELS, [list(by_level), list(by_level.values())]) != len(by_level):
        raise LockDidNotHold("a level had less committed than its reservations")
    if execute(LEAVE_POOLS, [list(by_pool), list(by_pool.values())]) != len(by_pool):
        raise LockDidNotHold("a pool had less reserved than its reservations")


def _find_steps(shipped: Sequence[ShippedPart], lines: LockedLines) -> list[Step]:
    wanted = Counter[tuple[UUID, int]]()
    for leaving in shipped:
        wanted[leaving.line_key, leaving.part] += leaving.quantity
    steps = []
    for (key, number), quantity in wanted.items():
        part = find_part(lines, key, number)
        committed = part.quantity if part and part.state == Reservation.State.COMMITTED else 0
        if part is None or not 0 < quantity <= committed:
            raise NotCommitted(
                _("%(left)s units left, but only %(committed)s are committed to the line.")
                % {"left": quantity, "committed": committed},
                extra={"line_key": str(key), "part": number, "committed": committed, "shipped": quantity},
            )
        steps.append(Step(part, quantity, Reservation.State.SHIPPED, part.location_id, part.level_id))
    return steps

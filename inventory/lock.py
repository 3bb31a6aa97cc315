"""Every lock that this room takes, in the one order that cannot deadlock: pools by id, then what lies behind them.

Locations come before all: bookings share theirs, whoever moves one to another group has it alone.

Whoever changes a reservation, or fills or withdraws it, holds the lock of its pool, so reservations need no
locks of their own. Stock holds come before the pools: whoever makes or ends one locks its row first, several by id.
Levels are locked after the pools, by id; shortages after the pools, by line key. The isolation level is READ COMMITTED:
what is read *after* the lock is what the lock protects.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from django.utils.translation import gettext as _

from omni.kernel.errors import Busy
from omni.kernel.sql import as_array, fetch_all


class LineIsBusy(Busy):
    """Somebody else changed the promises of the same order line meanwhile; asking again will do."""


class LockDidNotHold(RuntimeError):
    """A guarded update met other numbers than the locked ones: a bug, never to be repeated."""


class LockedPool(NamedTuple):
    id: int
    group_id: int
    sku_id: int
    kind: str
    label: str
    granted: int
    reserved: int
    target: int | None

    @property
    def free(self) -> int:
        return self.granted - self.reserved


class LockedLevel(NamedTuple):
    id: int
    location_id: int
    group_id: int
    sku_id: int
    owner: str
    grade: str
    on_hand: int
    committed: int


class Part(NamedTuple):
    """One reservation row."""

    id: int
    line_key: UUID
    part: int
    pool_id: int
    sku_id: int
    shop_id: int | None
    location_id: int | None
    level_id: int | None
    quantity: int
    state: str


@dataclass(frozen=True, slots=True)
class LockedLines:
    """The parts of some order lines, with the pools behind them locked.

    `owed`: units of the open shortages. `live`: held and committed parts by line. `last_part`: the highest part
    number of a line, dead ones too.
    """

    pools: dict[int, LockedPool]
    owed: dict[UUID, int]
    live: dict[UUID, list[Part]]
    last_part: dict[UUID, int]


# Locks the rows one after another in id order: every writer does, so none waits for one who waits for it.
# NO KEY: the foreign key check of a new reservation, which takes KEY SHARE, need not wait.
LOCK_POOLS = """
    SELECT id, group_id, sku_id, kind, label, granted, reserved, target FROM inventory_stockpool
    WHERE id = ANY(%s::bigint[]) ORDER BY id FOR NO KEY UPDATE
"""

POOLS_OF_SKUS = "SELECT id FROM inventory_stockpool WHERE sku_id = ANY(%s::bigint[])"

LOCK_LEVELS = """
    SELECT v.id, v.location_id, l.group_id, v.sku_id, v.owner, v.grade, v.on_hand, v.committed
    FROM inventory_stocklevel v JOIN inventory_location l ON l.id = v.location_id
    WHERE v.id = ANY(%s::bigint[]) ORDER BY v.id FOR NO KEY UPDATE OF v
"""

# Without a lock: which pools could a change of these lines touch? Those of its live parts, and for a line
# that is owed something every pool from which it might be filled at this moment.
POOLS_OF_LINES = """
    SELECT pool_id FROM inventory_reservation WHERE line_key = ANY(%(keys)s::uuid[]) AND state IN ('held', 'committed')
    UNION
    SELECT p.id FROM inventory_shortage s JOIN inventory_stockpool p ON p.sku_id = s.sku_id
    WHERE s.line_key = ANY(%(keys)s::uuid[]) AND s.state = 'open'
"""

# After the pools. Whoever fills one of these holds it until the promise is visible, and we read promises next.
LOCK_SHORTAGES = """
    SELECT line_key, quantity FROM inventory_shortage WHERE line_key = ANY(%s::uuid[]) AND state = 'open'
    ORDER BY line_key FOR NO KEY UPDATE
"""

PARTS_OF_LINES = """
    SELECT id, line_key, part, pool_id, sku_id, shop_id, location_id, level_id, quantity, state
    FROM inventory_reservation WHERE line_key = ANY(%s::uuid[]) ORDER BY line_key, part
"""


# Before the pools. Bookings share it: which group a location belongs to may not change while goods are booked there,
# also of SKUs that nobody sees there yet. NO KEY for whoever changes it: foreign keys that are checked need not wait.
SHARE_LOCATIONS = """
    SELECT id FROM inventory_location WHERE id = ANY(%s::bigint[]) ORDER BY id FOR SHARE
"""
LOCK_LOCATION = "SELECT id FROM inventory_location WHERE id = %s FOR NO KEY UPDATE"


def share_locations(location_ids: Iterable[int]) -> None:
    """Keep these locations in their groups until the transaction ends. Before the pools."""
    fetch_all(SHARE_LOCATIONS, [as_array(sorted(set(location_ids)))])


def lock_location(location_id: int) -> bool:
    """Lock a location against bookings until the transaction ends, to change its group; False: there is none."""
    return bool(fetch_all(LOCK_LOCATION, [location_id]))


def lock_pools(pool_ids: Iterable[int]) -> dict[int, LockedPool]:
    """Lock these pools until the transaction ends; their numbers as of now, by id."""
    ids = sorted(set(pool_ids))
    return {row[0]: LockedPool(*row) for row in fetch_all(LOCK_POOLS, [as_array(ids)])} if ids else {}


def lock_pools_of_skus(sku_ids: Iterable[int]) -> dict[int, LockedPool]:
    """Lock every pool of these SKUs, for callers who change their promises in several steps of one transaction."""
    return lock_pools(row[0] for row in fetch_all(POOLS_OF_SKUS, [as_array(sku_ids)]))


def lock_levels(level_ids: Iterable[int]) -> dict[int, LockedLevel]:
    """Lock these levels until the transaction ends; their numbers as of now, by id. After the pools."""
    ids = sorted(set(level_ids))
    return {row[0]: LockedLevel(*row) for row in fetch_all(LOCK_LEVELS, [as_array(ids)])} if ids else {}


def lock_lines(line_keys: Collection[UUID]) -> LockedLines:
    """Lock the pools behind the promises of these lines and what they are owed, then read the parts.

    Raises LineIsBusy if a line was promised from yet another pool while we waited.
    """
    keys = as_array(line_keys)
    pools = lock_pools(row[0] for row in fetch_all(POOLS_OF_LINES, {"keys": keys}))
    lines = LockedLines(pools, dict(fetch_all(LOCK_SHORTAGES, [keys])), {}, {})
    for row in fetch_all(PARTS_OF_LINES, [keys]):
        part = Part(*row)
        lines.last_part[part.line_key] = part.part
        if part.state in ("held", "committed"):
            if part.pool_id not in pools:
                raise LineIsBusy(_("The order line was promised stock at the same moment: try again."))
            lines.live.setdefault(part.line_key, []).append(part)
    return lines

"""Let a location sell with another group: its goods, what is promised of them and their pools go as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from inventory.book import UnknownPlace, grant_units, take_units
from inventory.events import StockRaised
from inventory.lock import (
    LockDidNotHold,
    LockedPool,
    lock_levels,
    lock_location,
    lock_pools_of_skus,
)
from inventory.models import Location, LocationGroup
from inventory.models.ledger import Account, MovementKind
from inventory.network.pooling import OFF, choose_group, is_sold_online, plan_pooling, read_rules
from inventory.record import FILL_SHORTAGES, Movement, mark_changed, record_movements
from omni.kernel import doorbell
from omni.kernel.audit import changes_by, record_act
from omni.kernel.errors import DomainError
from omni.kernel.events import record_events
from omni.kernel.sql import execute, fetch_all


class SwitchedOff(DomainError):
    """A location that is not sold online would join a group that may be sold."""

    code = "location_is_switched_off"


class PoolingChanged(DomainError):
    """The rules or the locations are no longer as they were when somebody looked at what would move."""

    code = "pooling_changed"


@dataclass(frozen=True, slots=True)
class Regrouped:
    """`units`: good units that changed groups with the location. `committed`: of these promised at this location.

    `withdrawn`: units of promises that the old group could not keep without them.
    """

    location_id: int
    from_group_id: int
    to_group_id: int
    units: int
    committed: int
    withdrawn: int


class Promise(NamedTuple):
    """A part of an order line that is committed at the location."""

    id: int
    sku_id: int
    pool_id: int
    quantity: int
    line_key: UUID


# With the location locked nobody books goods in, so none of its SKUs is missing here.
GOODS_AT = """
    SELECT id, sku_id FROM inventory_stocklevel WHERE location_id = %s AND grade = 'good' AND on_hand > 0
"""
# In key order, as all that create pools do.
CREATE_INTAKE = """
    INSERT INTO inventory_stockpool (sku_id, group_id, kind)
    SELECT w.sku_id, g.id, g.new_stock_goes_to
    FROM unnest(%(skus)s::bigint[]) AS w(sku_id)
    JOIN inventory_locationgroup g ON g.id = %(group)s
    WHERE NOT EXISTS (
        SELECT FROM inventory_stockpool p
        WHERE p.sku_id = w.sku_id AND p.group_id = g.id AND p.kind = g.new_stock_goes_to AND p.label = '')
    ORDER BY 1, 2, 3
    ON CONFLICT DO NOTHING
"""
# Under the pools' locks. Plan: reservation_live_by_sku.
COMMITTED_AT = """
    SELECT id, sku_id, pool_id, quantity, line_key FROM inventory_reservation
    WHERE sku_id = ANY(%s) AND level_id = ANY(%s) AND state IN ('held', 'committed') AND state = 'committed'
    ORDER BY id
"""
MOVE_PROMISES = """
    UPDATE inventory_reservation r SET pool_id = v.pool_id, changed_at = %s
    FROM unnest(%s::bigint[], %s::bigint[]) AS v(id, pool_id)
    WHERE r.id = v.id AND r.state = 'committed'
"""
# Rows locked before; the guard is the second net, the CHECK the third.
CHANGE_POOLS = """
    UPDATE inventory_stockpool p SET granted = p.granted + v.granted, reserved = p.reserved + v.reserved
    FROM unnest(%s::bigint[], %s::int[], %s::int[]) AS v(id, granted, reserved)
    WHERE p.id = v.id AND p.reserved + v.reserved BETWEEN 0 AND p.granted + v.granted
"""


@transaction.atomic
def join_group(*, location_id: int, group_id: int, reason: str, at: datetime, by: str) -> Regrouped | None:
    """Let a location sell with another group of locations; None: it does already.

    Its good units leave the pools of the old group, free ones first in the order of a count, and go to the new
    group's safety pool up to its target and to its intake pool. Promises committed at the location go with their
    units. Held promises that the old group can no longer keep are withdrawn, the youngest first, into shortages.

    Raises UnknownPlace, and SwitchedOff for a location that is not sold online: rules say where such belong.
    """
    location = read_locked(location_id)
    group = LocationGroup.objects.filter(pk=group_id).first()
    if group is None:
        raise UnknownPlace(_("Location group %(group)s does not exist.") % {"group": group_id})
    if not is_sold_online(location) and group.code != OFF:
        raise SwitchedOff(
            _(
                "%(location)s is switched off for online orders: switch it on, or make a pooling rule for locations"
                " that do not ship online."
            )
            % {"location": location}
        )
    return move_location(location, group, before_off_id=None, reason=reason, at=at, by=by)


def read_locked(location_id: int) -> Location:
    """Lock a location and read it. Raises UnknownPlace."""
    if not lock_location(location_id):
        raise UnknownPlace(_("Location %(location)s does not exist.") % {"location": location_id})
    return Location.objects.select_related("group").get(pk=location_id)


def settle_location(location: Location, *, reason: str, at: datetime, by: str) -> Regrouped | None:
    """Move a locked location to where the pooling rules want it; None: it is there.

    It remembers from where it was moved because it is not sold online, and forgets that when it is again.
    """
    group_id = choose_group(location, read_rules()).group_id
    group = LocationGroup.objects.get(pk=group_id) if group_id else _make_off()
    before = None
    if not is_sold_online(location):
        before = location.group_before_off_id or (location.group_id if location.group.code != OFF else None)
    return move_location(location, group, before_off_id=before, reason=reason, at=at, by=by)


def _make_off() -> LocationGroup:
    # What arrives there waits as base, so that not even a shop that draws on everything shared sells it.
    names = {"name": _("Switched off"), "new_stock_goes_to": LocationGroup.Intake.BASE}
    return LocationGroup.objects.get_or_create(code=OFF, defaults=names)[0]


def apply_pooling_rules(
    *,
    location_ids: Collection[int] | None = None,
    expected: Collection[tuple[int, int | None]] | None = None,
    reason: str,
    at: datetime,
    by: str,
) -> list[Regrouped]:
    """Move every location to where the rules want it, all or some of them.

    Location by location, each in its own transaction: the pools of one are not locked while another is moved, and
    what was done stays when it is interrupted. Done twice it moves nothing. `expected`: the moves as (location, group)
    that a person has seen; raises PoolingChanged if others would be made.
    """
    planned = {move.location.pk: move.to_group_id for move in plan_pooling(location_ids)}
    if expected is not None and set(planned.items()) != set(expected):
        raise PoolingChanged(_("The rules or the locations have changed meanwhile: look at the moves again."))
    moved = []
    for location_id in sorted(planned):
        with transaction.atomic():
            done = settle_location(read_locked(location_id), reason=reason, at=at, by=by)
        if done:
            moved.append(done)
    return moved


def move_location(
    location: Location,
    group: LocationGroup,
    *,
    before_off_id: int | None,
    reason: str,
    at: datetime,
    by: str,
) -> Regrouped | None:
    """Move a locked location with all that lies there; None: it is in the group."""
    old = location.group
    if group.pk == old.pk:
        return None
    moved = _move_goods(location, group, at=at, by=by)
    with changes_by(by):
        Location.objects.filter(pk=location.pk).update(group=group, group_before_off=before_off_id)
    location.group, location.group_before_off_id = group, before_off_id
    detail = {"from": old.code, "to": group.code, "units": moved.units, "withdrawn": moved.withdrawn}
    record_act(by=by, action="join_group", subject=location, reason=reason, detail=detail)
    return moved


def _move_goods(location: Location, group: LocationGroup, *, at: datetime, by: str) -> Regrouped:
    old_id, new_id = location.group_id, group.pk
    found = fetch_all(GOODS_AT, [location.pk])
    skus = sorted({sku_id for _level, sku_id in found})
    if not skus:
        return Regrouped(location.pk, old_id, new_id, 0, 0, 0)
    execute(CREATE_INTAKE, {"skus": skus, "group": new_id})
    pools = lock_pools_of_skus(skus)
    levels = lock_levels(level_id for level_id, _sku in found)
    own = _by_group(pools.values())
    intake = {
        sku_id: next(p.id for p in own[new_id, sku_id] if p.kind == group.new_stock_goes_to and not p.label)
        for sku_id in skus
    }
    free = Counter[int]()
    for level in levels.values():
        free[level.sku_id] += level.on_hand - level.committed
    promises = [Promise(*row) for row in fetch_all(COMMITTED_AT, [skus, list(levels)])]
    granted, withdrawn = Counter[int](), 0
    for sku_id, units in free.items():
        givers = own.get((old_id, sku_id), [])
        withdrawn += max(0, units - sum(pool.free for pool in givers))
        granted.update(take_units(givers, units, at=at, by=by))
        granted.update(grant_units(own[new_id, sku_id], units, intake=group.new_stock_goes_to))
    _write(granted, promises, pools=pools, intake=intake, at=at, by=by, document=location.code)
    mark_changed(skus)
    record_events(StockRaised(sku_ids=tuple(skus)))
    doorbell.ring_after_commit(FILL_SHORTAGES)
    committed = sum(promise.quantity for promise in promises)
    return Regrouped(location.pk, old_id, new_id, free.total() + committed, committed, withdrawn)


def _by_group(pools: Iterable[LockedPool]) -> dict[tuple[int, int], list[LockedPool]]:
    found: dict[tuple[int, int], list[LockedPool]] = {}
    for pool in pools:
        found.setdefault((pool.group_id, pool.sku_id), []).append(pool)
    return found


def _write(
    granted: Counter[int],
    promises: list[Promise],
    *,
    pools: dict[int, LockedPool],
    intake: dict[int, int],
    at: datetime,
    by: str,
    document: str,
) -> None:
    reserved, movements = Counter[int](), []
    outside, free, taken = Account.GRANT, Account.POOL_FREE, Account.POOL_RESERVED
    for pool_id, difference in granted.items():
        sku_id = pools[pool_id].sku_id
        if difference > 0:
            movements.append(Movement(sku_id, difference, outside, 0, free, pool_id))
        elif difference < 0:
            movements.append(Movement(sku_id, -difference, free, pool_id, outside, 0))
    for promise in promises:
        into = intake[promise.sku_id]
        movements.append(
            Movement(promise.sku_id, promise.quantity, taken, promise.pool_id, taken, into, promise.line_key)
        )
        reserved[promise.pool_id] -= promise.quantity
        reserved[into] += promise.quantity
    record_movements(movements, kind=MovementKind.REGROUP, at=at, by=by, document=document)
    if promises:
        moving = [[promise.id for promise in promises], [intake[promise.sku_id] for promise in promises]]
        if execute(MOVE_PROMISES, [at, *moving]) != len(promises):
            raise LockDidNotHold("a promise changed although its pool was locked")
    changing = sorted({*granted, *reserved})
    columns = [[granted[ident] + reserved[ident] for ident in changing], [reserved[i] for i in changing]]
    if execute(CHANGE_POOLS, [changing, *columns]) != len(changing):
        raise LockDidNotHold("a pool had less than was counted under its lock")

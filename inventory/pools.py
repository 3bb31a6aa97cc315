"""Set how a group's free units are spread over its pools."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from inventory.book import NotFree as NotFree
from inventory.book import UnknownPlace, refuse_bundles, take_operation
from inventory.events import StockRaised
from inventory.lock import LockDidNotHold, LockedPool, lock_pools
from inventory.models import LocationGroup, PromotionLock
from inventory.models.ledger import Account, MovementKind
from inventory.models.stock import PoolKind
from inventory.record import FILL_SHORTAGES, Movement, mark_changed, record_movements
from omni.kernel import doorbell
from omni.kernel.audit import record_act
from omni.kernel.errors import BadInput
from omni.kernel.events import record_events
from omni.kernel.sql import execute, fetch_all


class NegativeTarget(BadInput):
    """A safety stock of less than no units."""

    code = "negative_target"


class NothingMoved(BadInput):
    """A move of less than one unit, or from a pool to itself."""

    code = "nothing_moved"


class PoolsDiffer(BadInput):
    """Units can only move between two pools of one group and one SKU."""

    code = "pools_differ"


@dataclass(frozen=True, slots=True)
class PoolMove:
    """`quantity` free units from one pool to another of the same group and SKU."""

    from_pool_id: int
    to_pool_id: int
    quantity: int


# In key order, as all that create pools do.
CREATE_SAFETY_POOLS = """
    INSERT INTO inventory_stockpool (sku_id, group_id, kind)
    SELECT k.id, %(group)s, v.kind
    FROM unnest(%(skus)s::bigint[]) AS w(sku_id)
    JOIN products_sku k ON k.id = w.sku_id
    CROSS JOIN (
        VALUES ('safety') UNION SELECT new_stock_goes_to FROM inventory_locationgroup WHERE id = %(group)s
    ) AS v(kind)
    WHERE NOT EXISTS (
        SELECT FROM inventory_stockpool p
        WHERE p.sku_id = k.id AND p.group_id = %(group)s AND p.kind = v.kind AND p.label = '')
    ORDER BY 1, 2, 3
    ON CONFLICT DO NOTHING
"""
FIND_POOLS = "SELECT id FROM inventory_stockpool WHERE group_id = %s AND sku_id = ANY(%s) AND label = ''"
SET_TARGETS = """
    UPDATE inventory_stockpool p SET target = v.target
    FROM unnest(%s::bigint[], %s::int[]) AS v(id, target) WHERE p.id = v.id
"""
# Rows locked before; the guard is the second net, the CHECK the third.
REGRANT = """
    UPDATE inventory_stockpool p SET granted = p.granted + v.difference
    FROM unnest(%s::bigint[], %s::int[]) AS v(id, difference)
    WHERE p.id = v.id AND p.granted + v.difference >= p.reserved
"""


@transaction.atomic
def set_safety_stock(
    *, group_id: int, targets: Mapping[int, int], at: datetime, by: str, reason: str
) -> None:
    """Keep so many units of each SKU (`targets`: by SKU id) from being sold in this group of locations.

    The safety pool is filled at once from what is free in base and shared, and from receipts later; what it holds
    above a lower target goes to the group's intake pool. Promises that were made stay. Setting the same target
    again changes nothing. Raises NegativeTarget, UnknownPlace, BundleHasNoStock.
    """
    if any(target < 0 for target in targets.values()):
        raise NegativeTarget(_("A safety stock is at least 0."))
    group = LocationGroup.objects.filter(pk=group_id).first()
    skus = sorted(targets)
    if group is None:
        raise UnknownPlace(_("Location group %(group)s does not exist.") % {"group": group_id})
    refuse_bundles(skus)
    execute(CREATE_SAFETY_POOLS, {"group": group_id, "skus": skus})
    pools = lock_pools(row[0] for row in fetch_all(FIND_POOLS, [group_id, skus]))
    by_sku: dict[int, dict[str, LockedPool]] = {}
    for pool in pools.values():
        by_sku.setdefault(pool.sku_id, {})[pool.kind] = pool
    if len(by_sku) < len(skus):
        raise UnknownPlace(_("SKU %(sku)s does not exist.") % {"sku": min(set(skus) - set(by_sku))})
    moves: list[PoolMove] = []
    for sku_id, own in by_sku.items():
        moves += _to_target(own, targets[sku_id], intake=group.new_stock_goes_to)
    safety = [own[PoolKind.SAFETY] for own in by_sku.values()]
    execute(SET_TARGETS, [[pool.id for pool in safety], [targets[pool.sku_id] for pool in safety]])
    write_moves(moves, pools=pools, at=at, by=by, document="")
    detail = {"targets": {str(sku_id): target for sku_id, target in targets.items()}}
    record_act(by=by, action="set_safety_stock", subject=group, reason=reason, detail=detail)


def _to_target(own: Mapping[str, LockedPool], target: int, *, intake: str) -> list[PoolMove]:
    safety = own[PoolKind.SAFETY]
    lacking = target - safety.granted
    if lacking < 0:
        return [PoolMove(safety.id, own[intake].id, min(-lacking, safety.free))] if safety.free else []
    moves = []
    for kind in (PoolKind.BASE, PoolKind.SHARED):
        giver = own.get(kind)
        quantity = min(lacking, giver.free) if giver else 0
        if giver and quantity:
            moves.append(PoolMove(giver.id, safety.id, quantity))
            lacking -= quantity
    return moves


@transaction.atomic
def move_between_pools(*, key: str, moves: Sequence[PoolMove], at: datetime, by: str, reason: str) -> bool:
    """Move free units between pools of the same group and SKU, all of the moves or none.

    `key` is the number of the move: False if it was made before, which changes nothing. Raises OperationConflict,
    NothingMoved, PoolsDiffer, NotFree.
    """
    if not moves or any(move.quantity <= 0 or move.from_pool_id == move.to_pool_id for move in moves):
        raise NothingMoved(_("A move needs two pools and at least one unit."))
    content = sorted(astuple(move) for move in moves)
    if not take_operation(key=key, kind=MovementKind.REGRANT, content=content, reason=reason, at=at, by=by):
        return False
    pools = lock_pools(pool_id for move in moves for pool_id in (move.from_pool_id, move.to_pool_id))
    leaving = Counter[int]()
    for move in moves:
        giver, taker = pools.get(move.from_pool_id), pools.get(move.to_pool_id)
        if not giver or not taker or (giver.group_id, giver.sku_id) != (taker.group_id, taker.sku_id):
            raise PoolsDiffer(_("Units can only move between two pools of one group and one SKU."))
        _refuse_kept(giver, taker)
        leaving[giver.id] += move.quantity
    for pool_id, quantity in leaving.items():
        if quantity > pools[pool_id].free:
            raise NotFree(
                _("Only %(free)s units are free in the pool, %(asked)s would leave.")
                % {"free": pools[pool_id].free, "asked": quantity},
                extra={"pool_id": pool_id, "free": pools[pool_id].free},
            )
    write_moves(moves, pools=pools, at=at, by=by, document=key)
    return True


def _refuse_kept(*pools: LockedPool) -> None:
    """Others keep count of what goes in and out of these: taking back from shops, and promotions."""
    if any(pool.kind == PoolKind.REVOKING for pool in pools):
        raise PoolsDiffer(_("What is being taken back from a shop moves when its channel knows of it."))
    locks = [pool.label for pool in pools if pool.kind == PoolKind.LOCK]
    if locks and PromotionLock.objects.filter(code__in=locks).exists():
        raise PoolsDiffer(_("Units of a promotion are moved by the promotion: change it, or end it."))


def write_moves(
    moves: Sequence[PoolMove],
    *,
    pools: Mapping[int, LockedPool],
    at: datetime,
    by: str,
    document: str,
) -> None:
    """Make the moves between pools that the caller has locked and looked into, in the caller's transaction."""
    if not moves:
        return
    differences = Counter[int]()
    movements = []
    for move in moves:
        differences[move.from_pool_id] -= move.quantity
        differences[move.to_pool_id] += move.quantity
        sku, free = pools[move.from_pool_id].sku_id, Account.POOL_FREE
        movements.append(Movement(sku, move.quantity, free, move.from_pool_id, free, move.to_pool_id))
    record_movements(movements, kind=MovementKind.REGRANT, at=at, by=by, document=document)
    if execute(REGRANT, [list(differences), list(differences.values())]) != len(differences):
        raise LockDidNotHold("a pool had less free than was counted under its lock")
    skus = sorted({pools[pool_id].sku_id for pool_id in differences})
    mark_changed(skus)
    record_events(StockRaised(sku_ids=tuple(skus)))
    doorbell.ring_after_commit(FILL_SHORTAGES)

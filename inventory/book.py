"""Book that there is more or less of something somewhere: levels, pools and ledger as one change."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from inventory.events import StockRaised
from inventory.lock import (
    LockDidNotHold,
    LockedLevel,
    LockedPool,
    lock_levels,
    lock_pools,
    share_locations,
)
from inventory.models.ledger import Account, MovementKind
from inventory.models.stock import Grade, PoolKind
from inventory.record import FILL_SHORTAGES, Movement, mark_changed, record_movements
from inventory.withdraw import withdraw_youngest
from omni.kernel import doorbell
from omni.kernel.errors import BadInput, DomainError
from omni.kernel.events import record_events
from omni.kernel.sql import execute, fetch_all
from products.bundles import components_of
from products.models import Sku


class OperationConflict(DomainError):
    """The number of this receipt, count or adjustment was used before, for something else."""

    code = "operation_conflict"


class UnknownPlace(BadInput):
    """A location or SKU that does not exist."""

    code = "unknown_place"


class BundleHasNoStock(BadInput):
    """A bundle is put together of its components when it is sent: only these lie anywhere."""

    code = "bundle_has_no_stock"


class NotOnHand(DomainError):
    """More would leave than lies there."""

    code = "not_on_hand"


class NotFree(DomainError):
    """More would leave than is free of promises."""

    code = "not_free"


class CommittedStock(DomainError):
    """Fewer units would lie there than are committed to orders; `extra` lists the promises."""

    code = "committed_stock"


class Place(NamedTuple):
    """What a stock level is named by."""

    location_id: int
    sku_id: int
    grade: str
    owner: str


@dataclass(frozen=True, slots=True)
class OpenBooks:
    """The levels of some places, and all pools of their SKUs, locked."""

    levels: dict[Place, LockedLevel]
    pools: dict[tuple[int, int], list[LockedPool]]  # by group and SKU
    intake: dict[int, str]  # by group: the kind of pool that new stock goes to


# Units that are missing are taken from whoever has least claim to them.
TAKEN_FIRST = (
    PoolKind.BASE,
    PoolKind.SHARED,
    PoolKind.QUOTA,
    PoolKind.LOCK,
    PoolKind.SAFETY,
    PoolKind.REVOKING,
)

# The unique key makes a second taker of the same number wait for the first, and then write nothing.
TAKE_OPERATION = """
    INSERT INTO inventory_stockoperation (key, kind, fingerprint, reason, by, at) VALUES (%s, %s, %s, %s, %s, %s)
    ON CONFLICT (key) DO NOTHING
"""
FIND_FINGERPRINT = "SELECT kind, fingerprint FROM inventory_stockoperation WHERE key = %s"

# In key order, pools before levels: two that create the same rows cannot wait for each other. Rows that exist are
# not offered again, which would only burn ids.
CREATE_POOLS = """
    INSERT INTO inventory_stockpool (sku_id, group_id, kind)
    SELECT DISTINCT k.id, g.id, g.new_stock_goes_to
    FROM unnest(%s::bigint[], %s::bigint[]) AS v(location_id, sku_id)
    JOIN inventory_location l ON l.id = v.location_id
    JOIN inventory_locationgroup g ON g.id = l.group_id
    JOIN products_sku k ON k.id = v.sku_id
    WHERE NOT EXISTS (
        SELECT FROM inventory_stockpool p
        WHERE p.sku_id = k.id AND p.group_id = g.id AND p.kind = g.new_stock_goes_to AND p.label = '')
    ORDER BY 1, 2, 3
    ON CONFLICT DO NOTHING
"""
CREATE_LEVELS = """
    INSERT INTO inventory_stocklevel (location_id, sku_id, grade, owner)
    SELECT DISTINCT l.id, k.id, v.grade, v.owner
    FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[]) AS v(location_id, sku_id, grade, owner)
    JOIN inventory_location l ON l.id = v.location_id
    JOIN products_sku k ON k.id = v.sku_id
    WHERE NOT EXISTS (
        SELECT FROM inventory_stocklevel s
        WHERE s.location_id = l.id AND s.sku_id = k.id AND s.grade = v.grade AND s.owner = v.owner)
    ORDER BY 1, 2, 3, 4
    ON CONFLICT DO NOTHING
"""
# After the pools were locked: whoever makes a bundle of a SKU holds its pools, so it is none yet or is one already.
FIND_LEVELS = """
    SELECT s.id
    FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[]) AS v(location_id, sku_id, grade, owner)
    JOIN inventory_stocklevel s USING (location_id, sku_id, grade, owner)
    WHERE NOT EXISTS (SELECT FROM products_bundlecomponent c WHERE c.bundle_id = s.sku_id)
"""
FIND_POOLS = "SELECT id FROM inventory_stockpool WHERE sku_id = ANY(%s)"
FIND_INTAKE = "SELECT id, new_stock_goes_to FROM inventory_locationgroup WHERE id = ANY(%s)"

# Rows locked before; the guards are the second net, the CHECKs the third.
CHANGE_LEVELS = """
    UPDATE inventory_stocklevel l SET on_hand = l.on_hand + v.difference
    FROM unnest(%s::bigint[], %s::int[]) AS v(id, difference)
    WHERE l.id = v.id AND l.on_hand + v.difference >= l.committed
"""
CHANGE_POOLS = """
    UPDATE inventory_stockpool p SET granted = p.granted + v.difference
    FROM unnest(%s::bigint[], %s::int[]) AS v(id, difference)
    WHERE p.id = v.id AND p.granted + v.difference >= p.reserved
"""
COMMITTED_AT = """
    SELECT line_key, part, quantity FROM inventory_reservation
    WHERE sku_id = %s AND level_id = %s AND state = 'committed' ORDER BY id LIMIT 20
"""


def take_operation(*, key: str, kind: MovementKind, content: Any, reason: str, at: datetime, by: str) -> bool:
    """Claim the number of an operation; False if it was done before with the same content.

    Raises OperationConflict if it was done before with other content, and BadInput without a number.
    """
    if not key or len(key) > 120:
        raise BadInput(_("A stock operation needs a key of at most 120 characters."))
    fingerprint = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    if execute(TAKE_OPERATION, [key, kind.value, fingerprint, reason[:200], by, at]):
        return True
    if fetch_all(FIND_FINGERPRINT, [key])[0] != (kind.value, fingerprint):
        raise OperationConflict(
            _("%(key)s was booked before with other content; use another number.") % {"key": key}
        )
    return False


def open_books(places: Collection[Place]) -> OpenBooks:
    """Lock the levels of these places, created if need be, and every pool of their SKUs.

    All pools of a SKU, also of other groups: a line whose promise is withdrawn may hold units there too.
    Raises UnknownPlace, BundleHasNoStock.
    """
    locations, skus, grades, owners = (list(column) for column in zip(*sorted(places), strict=True))
    share_locations(locations)
    good = [place for place in places if place.grade == Grade.GOOD]
    if good:
        execute(CREATE_POOLS, [[p.location_id for p in good], [p.sku_id for p in good]])
    execute(CREATE_LEVELS, [locations, skus, grades, owners])
    pools = lock_pools(row[0] for row in fetch_all(FIND_POOLS, [sorted(set(skus))]))
    found = fetch_all(FIND_LEVELS, [locations, skus, grades, owners])
    levels = lock_levels(row[0] for row in found).values()
    by_place = {Place(v.location_id, v.sku_id, v.grade, v.owner): v for v in levels}
    missing = [place for place in places if place not in by_place]
    if missing:
        refuse_bundles(place.sku_id for place in missing)
        raise UnknownPlace(
            _("Location %(location)s or SKU %(sku)s does not exist.")
            % {"location": missing[0].location_id, "sku": missing[0].sku_id}
        )
    groups = sorted({level.group_id for level in levels})
    by_group: dict[tuple[int, int], list[LockedPool]] = {}
    for pool in pools.values():
        by_group.setdefault((pool.group_id, pool.sku_id), []).append(pool)
    return OpenBooks(by_place, by_group, dict(fetch_all(FIND_INTAKE, [groups])))


def refuse_bundles(sku_ids: Iterable[int]) -> None:
    """Raise BundleHasNoStock if any of these SKUs is a bundle."""
    ids = set(sku_ids)
    bundles = components_of(ids)
    if bundles:
        code = Sku.objects.values_list("code", flat=True).get(pk=min(bundles))
        parts = ", ".join(part.code for part in bundles[min(bundles)])
        raise BundleHasNoStock(
            _("%(bundle)s is a bundle and has no stock of its own: book its components, %(parts)s.")
            % {"bundle": code, "parts": parts},
            extra={"sku": code},
        )


def book_differences(
    differences: Mapping[Place, int],
    *,
    books: OpenBooks,
    kind: MovementKind,
    outside: Account,
    at: datetime,
    by: str,
    document: str,
    outside_id: int = 0,
    only_free: bool = False,
) -> None:
    """Change on-hand by the differences, and the pools by the same, so that all that is good stays granted.

    More: the safety pool is topped up to its target, the rest goes to the group's intake pool. Less: free units
    go first, from the pools in the order of TAKEN_FIRST; if that is not enough the youngest held promises are
    withdrawn. Raises NotOnHand and CommittedStock before anything is written.

    `outside_id`: what the outside account belongs to. `only_free`: goods that somebody wants to leave, not goods that
    are gone; no promise is withdrawn for them, and what is being taken back from a shop stays. Raises NotFree then.
    """
    changed = {place: difference for place, difference in differences.items() if difference}
    for place, difference in changed.items():
        check_level(books.levels[place], difference, only_free=only_free)
    by_pool = Counter[int]()
    for (group_id, sku_id), difference in _by_group(changed, books).items():
        pools = books.pools[group_id, sku_id]
        if difference > 0:
            by_pool.update(grant_units(pools, difference, intake=books.intake[group_id]))
        elif difference < 0 and only_free:
            by_pool.update(take_free_units(pools, -difference))
        elif difference < 0:
            by_pool.update(take_units(pools, -difference, at=at, by=by))
    _write(
        changed,
        by_pool,
        books=books,
        kind=kind,
        outside=(outside, outside_id),
        at=at,
        by=by,
        document=document,
    )


def _by_group(changed: Mapping[Place, int], books: OpenBooks) -> dict[tuple[int, int], int]:
    """What the good units of each (group, SKU) change by; what only moves between its locations cancels out."""
    totals: dict[tuple[int, int], int] = {}
    for place, difference in changed.items():
        if place.grade == Grade.GOOD:
            key = (books.levels[place].group_id, place.sku_id)
            totals[key] = totals.get(key, 0) + difference
    return totals


def check_level(level: LockedLevel, difference: int, *, only_free: bool = False) -> None:
    """Refuse a difference that the level cannot bear. Raises NotOnHand, and CommittedStock or NotFree."""
    left = level.on_hand + difference
    if left < 0:
        raise NotOnHand(
            _("Only %(there)s units lie there, %(asked)s would leave.")
            % {"there": level.on_hand, "asked": -difference},
            extra={"location_id": level.location_id, "sku_id": level.sku_id, "on_hand": level.on_hand},
        )
    if left < level.committed and only_free:
        raise NotFree(
            _("%(there)s units lie there, %(free)s of them free: the others are committed to orders.")
            % {"there": level.on_hand, "free": level.on_hand - level.committed},
            extra={
                "location_id": level.location_id,
                "sku_id": level.sku_id,
                "on_hand": level.on_hand,
                "free": level.on_hand - level.committed,
            },
        )
    if left < level.committed:
        promises = fetch_all(COMMITTED_AT, [level.sku_id, level.id])
        raise CommittedStock(
            _(
                "%(left)s units would be left where %(committed)s are committed to orders: take those back first."
            )
            % {"left": left, "committed": level.committed},
            extra={
                "location_id": level.location_id,
                "sku_id": level.sku_id,
                "committed": level.committed,
                "promises": [
                    {"line_key": str(key), "part": part, "quantity": quantity}
                    for key, part, quantity in promises
                ],
            },
        )


def grant_units(pools: Iterable[LockedPool], units: int, *, intake: str) -> dict[int, int]:
    """How new units of a group are shared out: the safety pool up to its target, the rest into its intake pool."""
    granted = {}
    for pool in pools:
        if pool.kind == PoolKind.SAFETY and pool.target is not None:
            granted[pool.id] = min(units, max(0, pool.target - pool.granted))
            units -= granted[pool.id]
    into = next(pool for pool in pools if pool.kind == intake and not pool.label)
    granted[into.id] = granted.get(into.id, 0) + units
    return granted


def take_free_units(pools: Iterable[LockedPool], units: int) -> dict[int, int]:
    """From which pools free units leave, as negative differences. Raises NotFree.

    Not from `revoking`: a channel may still be showing those.
    """
    pools = [pool for pool in pools if pool.kind != PoolKind.REVOKING]
    pools.sort(key=lambda pool: (TAKEN_FIRST.index(PoolKind(pool.kind)), pool.id))
    free = sum(pool.free for pool in pools)
    if free < units:
        raise NotFree(
            _("Only %(free)s units are free of promises, %(asked)s would leave.")
            % {"free": free, "asked": units},
            extra={"sku_id": pools[0].sku_id if pools else None, "free": free, "asked": units},
        )
    taken = {}
    for pool in pools:
        taken[pool.id] = -min(units, pool.free)
        units += taken[pool.id]
    return taken


def take_units(pools: Iterable[LockedPool], units: int, *, at: datetime, by: str) -> dict[int, int]:
    """From which pools units leave, as negative differences: free ones first, then the youngest held promises."""
    pools = sorted(pools, key=lambda pool: (TAKEN_FIRST.index(PoolKind(pool.kind)), pool.id))
    free = {pool.id: pool.free for pool in pools}
    lacking = units - sum(free.values())
    if lacking > 0:
        for pool_id, freed in withdraw_youngest(pools=pools, units=lacking, at=at, by=by).items():
            if pool_id in free:
                free[pool_id] += freed
    taken = {}
    for pool_id, available in free.items():
        taken[pool_id] = -min(units, available)
        units += taken[pool_id]
    if units:
        raise LockDidNotHold("the pools of a group hold less than lies in it")
    return taken


def _write(
    changed: Mapping[Place, int],
    by_pool: Mapping[int, int],
    *,
    books: OpenBooks,
    kind: MovementKind,
    outside: tuple[Account, int],
    at: datetime,
    by: str,
    document: str,
) -> None:
    by_level = {books.levels[place].id: difference for place, difference in changed.items()}
    by_pool = {pool_id: difference for pool_id, difference in by_pool.items() if difference}
    sku_of_pool = {pool.id: pool.sku_id for pools in books.pools.values() for pool in pools}
    movements = [
        _movement(place.sku_id, difference, *outside, Account.LEVEL_FREE, books.levels[place].id)
        for place, difference in changed.items()
    ]
    movements += [
        _movement(sku_of_pool[pool_id], difference, Account.GRANT, 0, Account.POOL_FREE, pool_id)
        for pool_id, difference in by_pool.items()
    ]
    record_movements(movements, kind=kind, at=at, by=by, document=document)
    if by_level and execute(CHANGE_LEVELS, [list(by_level), list(by_level.values())]) != len(by_level):
        raise LockDidNotHold("a level had less than was counted under its lock")
    if by_pool and execute(CHANGE_POOLS, [list(by_pool), list(by_pool.values())]) != len(by_pool):
        raise LockDidNotHold("a pool had less than was counted under its lock")
    raised = sorted({sku_of_pool[pool_id] for pool_id, difference in by_pool.items() if difference > 0})
    mark_changed({place.sku_id for place in changed})
    if raised:
        record_events(StockRaised(sku_ids=tuple(raised)))
        doorbell.ring_after_commit(FILL_SHORTAGES)


def _movement(
    sku_id: int, difference: int, outside: Account, outside_id: int, inside: Account, inside_id: int
) -> Movement:
    """Into the inner account if the difference is positive, out of it if it is negative."""
    if difference > 0:
        return Movement(sku_id, difference, outside, outside_id, inside, inside_id)
    return Movement(sku_id, -difference, inside, inside_id, outside, outside_id)

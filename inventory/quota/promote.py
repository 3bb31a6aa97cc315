"""Set units aside for a promotion: from its start to its end only its shops sell them, and what is unsold goes back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from inventory.book import UnknownPlace, refuse_bundles
from inventory.lock import LockedPool, lock_pools_of_skus
from inventory.models import LocationGroup, PromotionLock, PromotionLockLine
from inventory.models.stock import PoolKind
from inventory.pools import PoolMove, write_moves
from inventory.quota.derive import derive_draws
from inventory.quota.open import PoolName, lock_named, open_pools
from inventory.quota.revoke import TakeBack, take_back
from inventory.record import mark_changed
from omni.kernel.audit import record_act
from omni.kernel.batches import batches
from omni.kernel.errors import BadInput, DomainError
from omni.kernel.sql import as_array, execute, fetch_all
from products.models import Shop, Sku

BATCH = 500
LINES_MAX = 20_000
# Whoever enters one that begins now needs a moment to send it.
LATE = timedelta(minutes=5)
State = PromotionLock.State

# The pools obey the clock by themselves: a sweep that comes late neither begins nor ends a promotion late.
SET_WINDOW = """
    UPDATE inventory_stockpool p SET starts_at = %s, ends_at = %s
    WHERE p.kind = 'lock' AND p.label = %s AND p.group_id = %s
      AND (p.starts_at, p.ends_at) IS DISTINCT FROM (%s, %s)
"""
# Of promotions that run: what is wanted and was never granted, where something is free. Plan: promotion_lock_live.
LACKING = """
    SELECT n.lock_id, n.sku_id FROM inventory_promotionlock l
    JOIN inventory_promotionlockline n ON n.lock_id = l.id
    WHERE l.state = 'active' AND l.ends_at > %s AND n.granted < n.quantity AND EXISTS (
        SELECT FROM inventory_stockpool p
        WHERE p.sku_id = n.sku_id AND p.group_id = l.group_id AND p.kind IN ('base', 'shared')
          AND p.granted > p.reserved)
    ORDER BY n.lock_id, n.sku_id
"""
# What lies free in the locks of promotions that are over: unsold, or promised at the end and released later.
LEFT_OVER = """
    SELECT p.sku_id, p.granted - p.reserved FROM inventory_stockpool p
    WHERE p.kind = 'lock' AND p.label = %s AND p.group_id = %s AND p.granted > p.reserved ORDER BY p.sku_id
"""
OVER_WITH_REST = """
    SELECT DISTINCT l.id FROM inventory_promotionlock l
    JOIN inventory_stockpool p ON p.label = l.code AND p.group_id = l.group_id AND p.kind = 'lock'
    WHERE l.state IN ('ended', 'cancelled') AND p.granted > p.reserved ORDER BY l.id
"""
# Locked by the lock of its promotion; in SKU order all the same.
COUNT_GRANTED = """
    UPDATE inventory_promotionlockline n SET granted = n.granted + v.units
    FROM unnest(%s::bigint[], %s::int[]) AS v(sku_id, units) WHERE n.lock_id = %s AND n.sku_id = v.sku_id
"""
COUNT_RETURNED = """
    UPDATE inventory_promotionlockline n SET returned = n.returned + v.units
    FROM unnest(%s::bigint[], %s::int[]) AS v(sku_id, units) WHERE n.lock_id = %s AND n.sku_id = v.sku_id
"""


class BadLock(BadInput):
    """A promotion lock that contradicts itself or comes too late; `fields` say where."""

    code = "bad_lock"


class LockIsOver(DomainError):
    """The promotion has ended or was cancelled."""

    code = "lock_is_over"


@dataclass(frozen=True, slots=True)
class LockWish:
    """A promotion as somebody entered it; see `PromotionLock`. `units`: by SKU id."""

    code: str
    name: str
    group_id: int
    shop_ids: Collection[int]
    starts_at: datetime
    ends_at: datetime
    units: Mapping[int, int]
    mode: str = PromotionLock.Mode.LOCK_SHARE.value


@transaction.atomic
def plan_lock(*, wish: LockWish, reason: str, at: datetime, by: str) -> PromotionLock:
    """Enter a promotion; its units are set aside when it starts, at once if that is now.

    More than there is may be wanted: what is short is set aside as it comes in, while the promotion runs.
    Raises BadLock, UnknownPlace, BundleHasNoStock.
    """
    _check(wish, at)
    if PromotionLock.objects.filter(code=wish.code).exists():
        _refuse(code=_("There is a promotion with this code."))
    lock = PromotionLock.objects.create(
        code=wish.code,
        name=wish.name,
        group_id=wish.group_id,
        mode=wish.mode,
        starts_at=wish.starts_at,
        ends_at=wish.ends_at,
        created_by=by,
        created_at=at,
    )
    lock.shops.set(sorted(wish.shop_ids))
    _write_lines(lock, wish.units)
    detail = {"units": sum(wish.units.values()), "skus": len(wish.units)}
    record_act(by=by, action="promotion_lock.planned", subject=lock, reason=reason, detail=detail)
    if lock.starts_at <= at:
        _open(lock, at=at, by=by)
    return lock


@transaction.atomic
def change_lock(*, lock_id: int, wish: LockWish, reason: str, at: datetime, by: str) -> PromotionLock:
    """Make it what the wish says; its code and its group stay.

    Of one that runs the start and the mode stay, no shop and no SKU leaves it, and no SKU wants fewer units than were
    set aside already: end it earlier instead. Raises BadLock, LockIsOver, UnknownPlace.
    """
    lock = _lock(lock_id)
    if lock.state in (State.ENDED, State.CANCELLED):
        raise LockIsOver(_("It is over: %s.") % lock.get_state_display())
    is_active = lock.state == State.ACTIVE
    _check(wish, at, running=lock if is_active else None)
    if wish.code != lock.code or wish.group_id != lock.group_id:
        _refuse(code=_("Its code and its group stay what they are."))
    if is_active:
        _refuse_less(lock, wish)
    before = {"starts_at": str(lock.starts_at), "ends_at": str(lock.ends_at)}
    lock.name, lock.mode, lock.starts_at, lock.ends_at = wish.name, wish.mode, wish.starts_at, wish.ends_at
    lock.save(update_fields=["name", "mode", "starts_at", "ends_at"])
    lock.shops.set(sorted(wish.shop_ids))
    _write_lines(lock, wish.units)
    detail = {"before": before, "units": sum(wish.units.values())}
    record_act(by=by, action="promotion_lock.changed", subject=lock, reason=reason, detail=detail)
    if lock.starts_at <= at:
        _open(lock, at=at, by=by)
    return lock


@transaction.atomic
def cancel_lock(*, lock_id: int, reason: str, at: datetime, by: str) -> PromotionLock:
    """End it before its time, or before it began: what is unsold goes back. Raises LockIsOver."""
    lock = _lock(lock_id)
    if lock.state in (State.ENDED, State.CANCELLED):
        raise LockIsOver(_("It is over: %s.") % lock.get_state_display())
    record_act(by=by, action="promotion_lock.cancelled", subject=lock, reason=reason)
    if lock.state == State.ACTIVE:
        lock.ends_at = max(at, lock.starts_at + timedelta(microseconds=1))
        lock.save(update_fields=["ends_at"])
    _close(lock, State.CANCELLED, at=at, by=by)
    return lock


def open_and_close_locks(*, at: datetime, by: str) -> int:
    """Begin and end promotions by the clock, and set aside what those that run still lack. Each in its own transaction.

    Returns how many began or ended.
    """
    turned = 0
    due = PromotionLock.objects.filter(state=State.PLANNED, starts_at__lte=at).order_by("starts_at", "pk")
    for lock_id in list(due.values_list("pk", flat=True)):
        turned += _turn(lock_id, at=at, by=by)
    over = PromotionLock.objects.filter(state=State.ACTIVE, ends_at__lte=at).order_by("ends_at", "pk")
    for lock_id in list(over.values_list("pk", flat=True)):
        turned += _turn(lock_id, at=at, by=by)
    wanting: dict[int, list[int]] = {}
    for lock_id, sku_id in fetch_all(LACKING, [at]):
        wanting.setdefault(lock_id, []).append(sku_id)
    for lock_id, sku_ids in wanting.items():
        for batch in batches(sku_ids, BATCH):
            _top_up(lock_id, batch, at=at, by=by)
    for (lock_id,) in fetch_all(OVER_WITH_REST):
        with transaction.atomic():
            _return_rest(_lock(lock_id), at=at, by=by)
    return turned


@transaction.atomic
def _turn(lock_id: int, *, at: datetime, by: str) -> int:
    lock = _lock(lock_id)
    if lock.state == State.PLANNED and lock.ends_at <= at:
        _close(lock, State.ENDED, at=at, by=by)
    elif lock.state == State.PLANNED and lock.starts_at <= at:
        _open(lock, at=at, by=by)
    elif lock.state == State.ACTIVE and lock.ends_at <= at:
        _close(lock, State.ENDED, at=at, by=by)
    else:
        return 0
    return 1


@transaction.atomic
def _top_up(lock_id: int, sku_ids: Sequence[int], *, at: datetime, by: str) -> None:
    lock = _lock(lock_id)
    if lock.state == State.ACTIVE and lock.ends_at > at:
        _set_aside(lock, sku_ids, at=at, by=by)


def _lock(lock_id: int) -> PromotionLock:
    """Before any pool: whoever changes a promotion or what it holds has this."""
    return PromotionLock.objects.select_for_update(no_key=True, of=("self",)).get(pk=lock_id)


def _open(lock: PromotionLock, *, at: datetime, by: str) -> None:
    lock.state = State.ACTIVE
    lock.save(update_fields=["state"])
    sku_ids = list(lock.lines.order_by("sku_id").values_list("sku_id", flat=True))
    _set_aside(lock, sku_ids, at=at, by=by)
    execute(
        SET_WINDOW, [lock.starts_at, lock.ends_at, lock.code, lock.group_id, lock.starts_at, lock.ends_at]
    )
    _draw_anew(lock, sku_ids, at=at)


def _set_aside(lock: PromotionLock, sku_ids: Sequence[int], *, at: datetime, by: str) -> None:
    """Free units go from base, then from shared, into the lock, as many as it lacks."""
    sources = (PoolKind.BASE, PoolKind.SHARED)
    names = {sku_id: PoolName(lock.group_id, sku_id, PoolKind.LOCK, lock.code) for sku_id in sku_ids}
    open_pools(names.values())
    wanted = {
        *names.values(),
        *(PoolName(lock.group_id, sku_id, kind) for sku_id in sku_ids for kind in sources),
    }
    pools = lock_named(wanted)
    rows = PromotionLockLine.objects.filter(lock=lock, sku_id__in=sku_ids).values_list(
        "sku_id", "quantity", "granted"
    )
    moves: list[PoolMove] = []
    granted = Counter[int]()
    for sku_id, quantity, had in sorted(rows):
        lacking = quantity - had
        for kind in sources:
            giver: LockedPool | None = pools.get(PoolName(lock.group_id, sku_id, kind))
            units = min(lacking, giver.free) if giver else 0
            if giver and units > 0:
                moves.append(PoolMove(giver.id, pools[names[sku_id]].id, units))
                granted[sku_id] += units
                lacking -= units
    if moves:
        by_id = {pool.id: pool for pool in pools.values()}
        write_moves(moves, pools=by_id, at=at, by=by, document=f"promotion:{lock.pk}")
        execute(COUNT_GRANTED, [as_array(granted), as_array(granted.values()), lock.pk])


def _close(lock: PromotionLock, state: PromotionLock.State, *, at: datetime, by: str) -> None:
    lock.state = state
    lock.save(update_fields=["state"])
    sku_ids = list(lock.lines.order_by("sku_id").values_list("sku_id", flat=True))
    # Before the update, which would lock the pools of the promotion in any order, and before those that take back.
    lock_pools_of_skus(sku_ids)
    execute(
        SET_WINDOW, [lock.starts_at, lock.ends_at, lock.code, lock.group_id, lock.starts_at, lock.ends_at]
    )
    _return_rest(lock, at=at, by=by)
    _draw_anew(lock, sku_ids, at=at)


def _return_rest(lock: PromotionLock, *, at: datetime, by: str) -> None:
    """What is unsold is taken back from the lock's shops, each its part, and goes where new stock goes."""
    shops = list(lock.shops.order_by("pk").values_list("pk", flat=True))
    group = LocationGroup.objects.get(pk=lock.group_id)
    # All at once: pools are locked in the order of their ids, and only once in a transaction.
    wanted = [
        TakeBack(sku_id, shop_id, part, group.new_stock_goes_to, "", PoolKind.LOCK.value, lock.code)
        for sku_id, units in fetch_all(LEFT_OVER, [lock.code, lock.group_id])
        for shop_id, part in zip(shops, _parts(units, len(shops)), strict=True)
        if part
    ]
    if not wanted:
        return
    taken = take_back(group_id=lock.group_id, wanted=wanted, reason=lock.name, at=at, by=by, lock_id=lock.pk)
    returned = Counter[int]()
    for each, units in zip(wanted, taken, strict=True):
        returned[each.sku_id] += units
    execute(COUNT_RETURNED, [as_array(returned), as_array(returned.values()), lock.pk])


def _parts(units: int, count: int) -> list[int]:
    """Units in so many parts that differ by one at most."""
    each, more = divmod(units, count)
    return [each + (place < more) for place in range(count)]


def _draw_anew(lock: PromotionLock, sku_ids: Sequence[int], *, at: datetime) -> None:
    derive_draws(shop_ids=list(lock.shops.values_list("pk", flat=True)), at=at)
    mark_changed(sku_ids)


def _write_lines(lock: PromotionLock, units: Mapping[int, int]) -> None:
    lock.lines.exclude(sku_id__in=units).delete()
    PromotionLockLine.objects.bulk_create(
        [
            PromotionLockLine(lock=lock, sku_id=sku_id, quantity=quantity)
            for sku_id, quantity in sorted(units.items())
        ],
        update_conflicts=True,
        update_fields=["quantity"],
        unique_fields=["lock", "sku"],
    )


def _check(wish: LockWish, at: datetime, *, running: PromotionLock | None = None) -> None:
    if not wish.code.strip() or len(wish.code) > 32:
        _refuse(code=_("A promotion has a code of at most 32 characters."))
    if wish.mode not in PromotionLock.Mode.values:
        _refuse(mode=_("There is no such mode."))
    if wish.ends_at <= wish.starts_at:
        _refuse(ends_at=_("It ends before it starts."))
    if wish.ends_at <= at:
        _refuse(ends_at=_("It lies in the past."))
    if not wish.shop_ids:
        _refuse(shops=_("Choose at least one shop."))
    if not 0 < len(wish.units) <= LINES_MAX:
        _refuse(lines=_("Name at least one SKU, at most %d.") % LINES_MAX)
    if any(units <= 0 for units in wish.units.values()):
        _refuse(lines=_("Of each SKU at least one unit is set aside."))
    if running is None and wish.starts_at < at - LATE:
        _refuse(starts_at=_("It starts in the past."))
    if not LocationGroup.objects.filter(pk=wish.group_id).exists():
        raise UnknownPlace(_("Location group %(group)s does not exist.") % {"group": wish.group_id})
    _refuse_unknown(Shop, wish.shop_ids, "shops")
    _refuse_unknown(Sku, wish.units, "lines")
    refuse_bundles(wish.units)


def _refuse_less(lock: PromotionLock, wish: LockWish) -> None:
    if wish.starts_at != lock.starts_at or wish.mode != lock.mode:
        _refuse(starts_at=_("It runs: its start and its mode stay what they are."))
    if set(lock.shops.values_list("pk", flat=True)) - set(wish.shop_ids):
        _refuse(shops=_("It runs: no shop can leave it."))
    for sku_id, code, granted in lock.lines.values_list("sku_id", "sku__code", "granted").order_by("sku_id"):
        if wish.units.get(sku_id, 0) < max(granted, 1):
            _refuse(
                lines=_(
                    "%(granted)d units of %(sku)s are set aside already: end the promotion earlier instead."
                )
                % {"granted": granted, "sku": code}
            )


def _refuse_unknown(model: Any, idents: Collection[int], field: str) -> None:
    missing = set(idents) - set(model._default_manager.filter(pk__in=idents).values_list("pk", flat=True))
    if missing:
        _refuse(
            **{
                field: _("%(what)s %(id)s does not exist.")
                % {"what": model._meta.verbose_name, "id": min(missing)}
            }
        )


def _refuse(**faults: str) -> None:
    raise BadLock(next(iter(faults.values())), fields={name: [fault] for name, fault in faults.items()})

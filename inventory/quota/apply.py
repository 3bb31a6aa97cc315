"""Do what an allocation worked out, drop it, or undo it: lot by lot, each line judged anew on locked numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from inventory.lock import LockedPool
from inventory.models import AllocationLine, AllocationRun
from inventory.models.stock import PoolKind
from inventory.pools import PoolMove, write_moves
from inventory.quota.derive import derive_draws
from inventory.quota.open import PoolName, lock_named, open_pools
from inventory.quota.revoke import TakeBack, record_revocations
from omni.kernel.audit import record_act
from omni.kernel.errors import DomainError
from omni.kernel.jobs import Progress, cancel_job, start_job
from omni.kernel.models import Job
from omni.kernel.sentences import sentence
from omni.kernel.sql import as_array, as_text_array, execute, fetch_all

APPLY = "inventory.quota.apply"
UNDO = "inventory.quota.undo"
BATCH = 500
State = AllocationRun.State
OfLine = AllocationLine.State
# Undone is what was moved: lines that only wait have moved nothing yet, but what they wait for must come back.
TO_UNDO = (OfLine.DONE.value, OfLine.PARTLY.value, OfLine.WAITING.value)

# The next SKUs of the run with lines in a state, after the last one. Plan: allocation_line_by_run.
NEXT_SKUS = """
    SELECT DISTINCT sku_id FROM inventory_allocationline
    WHERE run_id = %s AND sku_id > %s AND state = ANY(%s) ORDER BY sku_id LIMIT %s
"""
# Before the pools: a second worker of the same run waits here, and finds no line in this state any more.
LOCK_LINES = """
    SELECT id, sku_id, shop_id, kind, label, before, after, moved, state FROM inventory_allocationline
    WHERE run_id = %s AND sku_id = ANY(%s::bigint[]) AND state = ANY(%s) ORDER BY id FOR NO KEY UPDATE
"""
CLOSE_LINES = """
    UPDATE inventory_allocationline l
    SET state = v.state, moved = l.moved + v.units, outcome = v.outcome
    FROM unnest(%s::bigint[], %s::text[], %s::int[], %s::text[]) AS v(id, state, units, outcome) WHERE l.id = v.id
"""
# Units on their way to quotas, by SKU and label. Read after the pools are locked: who sends units to a pool that way
# has locked the SKU's pools.
COMING = """
    SELECT sku_id, to_label, sum(quantity - arrived)::int FROM inventory_revocation
    WHERE group_id = %s AND sku_id = ANY(%s::bigint[]) AND state IN ('telling', 'pulling') AND to_kind = 'quota'
    GROUP BY sku_id, to_label
"""
# Before the lines, as all that lock both: what this run is still taking back.
LOCK_OPEN = """
    SELECT r.id, r.sku_id, s.code, r.quantity - r.arrived, r.from_kind, r.from_label
    FROM inventory_revocation r JOIN products_shop s ON s.id = r.shop_id
    WHERE r.run_id = %s AND r.sku_id = ANY(%s::bigint[]) AND r.state IN ('telling', 'pulling')
    ORDER BY r.id FOR NO KEY UPDATE OF r
"""
CALL_OFF = """
    UPDATE inventory_revocation r
    SET state = 'done', arrived = r.arrived + v.units, ended_at = %s, to_kind = r.from_kind, to_label = r.from_label
    FROM unnest(%s::bigint[], %s::int[]) AS v(id, units) WHERE r.id = v.id
"""
COUNT_LINES = "SELECT state, count(*) FROM inventory_allocationline WHERE run_id = %s GROUP BY state"
COUNT_MOVED = "UPDATE inventory_allocationrun SET units_moved = units_moved + %s WHERE id = %s"
# A shop without any rule in the group draws on its first quota only once its rows are derived; so does one that has
# rows of its own for a SKU, on its first quota of that. Few have such rows: the second half begins with them.
NOT_DRAWING = """
    SELECT DISTINCT l.shop_id FROM inventory_allocationline l
    WHERE l.run_id = %(run)s AND l.kind = 'quota' AND l.shop_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM inventory_shoppool p
        WHERE p.shop_id = l.shop_id AND p.group_id = %(group)s AND p.kind = 'quota' AND p.label = l.label
          AND p.sku_id IS NULL)
    UNION
    SELECT DISTINCT own.shop_id FROM inventory_shoppool own
    JOIN inventory_allocationline l ON l.run_id = %(run)s AND l.sku_id = own.sku_id AND l.shop_id = own.shop_id
    WHERE own.sku_id IS NOT NULL AND l.kind = 'quota' AND NOT EXISTS (
        SELECT FROM inventory_shoppool p
        WHERE p.shop_id = own.shop_id AND p.sku_id = own.sku_id AND p.group_id = %(group)s AND p.kind = 'quota'
          AND p.label = l.label)
"""


class NotToApply(DomainError):
    """The run is still being worked out, or is over."""

    code = "not_to_apply"


class NotToDrop(DomainError):
    """The run is being applied, or is over."""

    code = "not_to_drop"


class NotToUndo(DomainError):
    """The run has not been applied, or was undone before."""

    code = "not_to_undo"


class _Line(NamedTuple):
    id: int
    sku_id: int
    shop_id: int | None
    kind: str
    label: str
    before: int
    after: int
    moved: int
    state: str

    @property
    def planned(self) -> int:
        return self.after - self.before


@dataclass(slots=True)
class _Came:
    """What came of one line: units moved now, units on their way to it, and its state."""

    wanted: int
    moved: int = 0
    waiting: int = 0
    note: str = ""


@dataclass(slots=True)
class _Lot:
    """What is to be written for a batch of SKUs. `free`: what is free in each pool after the moves noted so far."""

    free: dict[PoolName, int]
    moves: list[PoolMove] = field(default_factory=list)
    revoked: list[tuple[TakeBack, int, str]] = field(default_factory=list)
    came: dict[int, _Came] = field(default_factory=dict)


# Applying ----------------------------------------------------------------------------------------------------


@transaction.atomic
def start_apply(*, run_id: int, at: datetime, by: str) -> AllocationRun:
    """Have it done in the background. Raises NotToApply: a run is applied once."""
    run = _lock(run_id)
    if run.state != State.PLANNED:
        raise NotToApply(_("It is %s.") % run.get_state_display())
    run.state, run.applied_by, run.applied_at = State.APPLYING, by, at
    title = _("Apply the allocation %s") % run
    run.job = start_job(kind=APPLY, title=title, params={"run": run.pk}, at=at, by=by)
    run.save(update_fields=["state", "applied_by", "applied_at", "job"])
    record_act(by=by, action="allocation.applied", subject=run, detail={"units": run.units_planned})
    return run


def apply_run(job: Job) -> Generator[Progress, None, dict[str, Any]]:
    """The work of a job: the lines of a run, some hundred SKUs in a transaction. Begun again it goes on.

    Of each line is done what can be: promises that were made meanwhile keep their units, and no quota gets more than
    was planned for it, also when another run has granted some of it. More for a quota comes from base and shared at
    once, else from what other quotas give up, and then waits until their channels know.
    """
    run = AllocationRun.objects.select_related("group").get(pk=job.params["run"])
    if run.state != State.APPLYING:
        return {"run": run.pk}
    yield from _work(run, job, states=(OfLine.PLANNED.value,), is_undo=False)
    shops = [row[0] for row in fetch_all(NOT_DRAWING, {"run": run.pk, "group": run.group_id})]
    if shops:
        derive_draws(shop_ids=shops, at=timezone.now())
    return _end(run, State.APPLYING, State.APPLIED)


@transaction.atomic
def drop_run(*, run_id: int, reason: str, at: datetime, by: str) -> AllocationRun:
    """Do nothing of it, also while it is still being worked out. Raises NotToDrop."""
    run = _lock(run_id)
    if run.state not in (State.PLANNED, State.PLANNING):
        raise NotToDrop(_("It is %s.") % run.get_state_display())
    if run.state == State.PLANNING and run.job_id:
        cancel_job(job_id=run.job_id, at=at, by=by)
    run.state = State.DROPPED
    run.save(update_fields=["state"])
    record_act(by=by, action="allocation.dropped", subject=run, reason=reason)
    return run


@transaction.atomic
def undo_run(*, run_id: int, reason: str, at: datetime, by: str) -> AllocationRun:
    """Have the inverse done in the background, of what is still free. Raises NotToUndo.

    What is on its way is called off at once; what quotas were granted is taken back in two phases, as always. Each line
    says what could not be undone.
    """
    run = _lock(run_id)
    if run.state != State.APPLIED:
        raise NotToUndo(_("It is %s.") % run.get_state_display())
    run.state, run.undone_by, run.undone_at = State.UNDOING, by, at
    title = _("Undo the allocation %s") % run
    run.job = start_job(kind=UNDO, title=title, params={"run": run.pk}, at=at, by=by)
    run.save(update_fields=["state", "undone_by", "undone_at", "job"])
    record_act(by=by, action="allocation.undone", subject=run, reason=reason)
    return run


def unapply_run(job: Job) -> Generator[Progress, None, dict[str, Any]]:
    """The work of a job: undo the lines of a run, some hundred SKUs in a transaction. Begun again it goes on."""
    run = AllocationRun.objects.select_related("group").get(pk=job.params["run"])
    if run.state != State.UNDOING:
        return {"run": run.pk}
    yield from _work(run, job, states=TO_UNDO, is_undo=True)
    return _end(run, State.UNDOING, State.UNDONE)


def _lock(run_id: int) -> AllocationRun:
    return AllocationRun.objects.select_for_update(no_key=True).get(pk=run_id)


def _end(run: AllocationRun, before: State, after: State) -> dict[str, Any]:
    AllocationRun.objects.filter(pk=run.pk, state=before).update(state=after)
    return {"run": run.pk, **dict(fetch_all(COUNT_LINES, [run.pk]))}


def _work(
    run: AllocationRun, job: Job, *, states: Sequence[str], is_undo: bool
) -> Generator[Progress, None, None]:
    last, done = 0, 0
    while True:
        skus = [row[0] for row in fetch_all(NEXT_SKUS, [run.pk, last, list(states), BATCH])]
        if not skus:
            return
        with transaction.atomic():
            if is_undo:
                _undo_batch(run, skus, at=timezone.now(), by=job.created_by)
            else:
                _apply_batch(run, skus, at=timezone.now(), by=job.created_by)
        last, done = skus[-1], done + len(skus)
        yield Progress(done=done, total=max(done, run.skus))


def _apply_batch(run: AllocationRun, sku_ids: Sequence[int], *, at: datetime, by: str) -> None:
    lines = _lock_lines(run, sku_ids, [OfLine.PLANNED.value])
    if not lines:
        return
    pools = _lock_pools(run, lines, givers=lambda line: line.planned < 0)
    coming = {
        (sku, label): units for sku, label, units in fetch_all(COMING, [run.group_id, as_array(sku_ids)])
    }
    lot = _Lot({name: pool.free for name, pool in pools.items()})
    for sku_id, of_sku in _by_sku(lines).items():
        wanted = {}
        for line in of_sku:
            wanted[line.id] = line.planned
            pool = pools.get(PoolName(run.group_id, sku_id, line.kind, line.label))
            if line.kind == PoolKind.QUOTA:
                held = (pool.granted if pool else 0) + coming.get((sku_id, line.label), 0)
                # Never past what was planned, whoever has granted or taken some of it meanwhile.
                gap = line.after - held
                wanted[line.id] = (
                    max(0, min(line.planned, gap)) if line.planned > 0 else min(0, max(line.planned, gap))
                )
        _decide(run, sku_id, of_sku, wanted, pools, lot)
    _write(run, lot, pools, lines, at=at, by=by, is_undo=False)


def _undo_batch(run: AllocationRun, sku_ids: Sequence[int], *, at: datetime, by: str) -> None:
    """First what is on its way is given back to whom it was taken from, then the rest is moved the other way."""
    open_ones = fetch_all(LOCK_OPEN, [run.pk, as_array(sku_ids)])
    lines = _lock_lines(run, sku_ids, TO_UNDO)
    if not lines:
        return
    pools = _lock_pools(
        run,
        lines,
        givers=lambda line: line.moved > 0,
        also=[
            PoolName(run.group_id, sku_id, kind, label)
            for _id, sku_id, _code, _units, kind, label in open_ones
        ],
    )
    lot = _Lot({name: pool.free for name, pool in pools.items()})
    back = _call_off(run, open_ones, pools, lot, at=at)
    for sku_id, of_sku in _by_sku(lines).items():
        wanted = {}
        for line in of_sku:
            returned = back.get((sku_id, line.kind, line.label), 0)
            wanted[line.id] = -line.moved - returned
        _decide(run, sku_id, of_sku, wanted, pools, lot)
        for line in of_sku:
            lot.came[line.id].moved += back.get((sku_id, line.kind, line.label), 0)
    _write(run, lot, pools, lines, at=at, by=by, is_undo=True)


def _call_off(
    run: AllocationRun,
    open_ones: Sequence[tuple[Any, ...]],
    pools: Mapping[PoolName, LockedPool],
    lot: _Lot,
    *,
    at: datetime,
) -> dict[tuple[int, str, str], int]:
    """Units of open revocations go back to the pools that they were taken from: (SKU, kind, label) → units."""
    back: dict[tuple[int, str, str], int] = defaultdict(int)
    ids, arrived = [], []
    for ident, sku_id, code, outstanding, kind, label in open_ones:
        holder = PoolName(run.group_id, sku_id, PoolKind.REVOKING, code)
        home = PoolName(run.group_id, sku_id, kind, label)
        units = min(outstanding, lot.free[holder])
        ids.append(ident)
        arrived.append(units)
        if units:
            _move(lot, pools, holder, home, units)
            back[sku_id, kind, label] += units
    if ids:
        execute(CALL_OFF, [at, as_array(ids), as_array(arrived)])
    return back


def _lock_lines(run: AllocationRun, sku_ids: Sequence[int], states: Sequence[str]) -> list[_Line]:
    return [_Line(*row) for row in fetch_all(LOCK_LINES, [run.pk, as_array(sku_ids), list(states)])]


def _by_sku(lines: Iterable[_Line]) -> dict[int, list[_Line]]:
    found: dict[int, list[_Line]] = defaultdict(list)
    for line in lines:
        found[line.sku_id].append(line)
    return found


def _lock_pools(
    run: AllocationRun,
    lines: Sequence[_Line],
    *,
    givers: Callable[[_Line], bool],
    also: Sequence[PoolName] = (),
) -> dict[PoolName, LockedPool]:
    """Base, shared and the quotas of these lines, and where units of shops that give wait; locked."""
    group_id, intake = run.group_id, run.group.new_stock_goes_to
    needed = {PoolName(group_id, line.sku_id, line.kind, line.label) for line in lines}
    needed |= {PoolName(group_id, line.sku_id, intake) for line in lines}
    needed |= {
        PoolName(group_id, line.sku_id, PoolKind.REVOKING, line.label)
        for line in lines
        if line.kind == PoolKind.QUOTA and givers(line)
    }
    open_pools(needed)
    skus = {line.sku_id for line in lines}
    sources = {
        PoolName(group_id, sku_id, kind) for sku_id in skus for kind in (PoolKind.BASE, PoolKind.SHARED)
    }
    holders = {PoolName(name.group_id, name.sku_id, PoolKind.REVOKING, name.label) for name in also}
    return lock_named(needed | sources | holders | set(also))


def _move(
    lot: _Lot, pools: Mapping[PoolName, LockedPool], giver: PoolName, taker: PoolName, units: int
) -> None:
    """Note a move, and the numbers as they will be after it, so that the next sees them."""
    lot.moves.append(PoolMove(pools[giver].id, pools[taker].id, units))
    lot.free[giver] -= units
    lot.free[taker] += units


def _decide(
    run: AllocationRun,
    sku_id: int,
    lines: Sequence[_Line],
    wanted: Mapping[int, int],
    pools: Mapping[PoolName, LockedPool],
    lot: _Lot,
) -> None:
    """What can be done of what these lines of one SKU want: at once from base and shared, the rest in two phases."""
    group_id, intake = run.group_id, run.group.new_stock_goes_to
    home = {line.id: PoolName(group_id, sku_id, line.kind, line.label) for line in lines}
    came = {line.id: _Came(wanted[line.id]) for line in lines}
    lot.came |= came
    takers = [line for line in lines if line.kind == PoolKind.QUOTA and wanted[line.id] > 0]
    givers = [line for line in lines if line.kind == PoolKind.QUOTA and wanted[line.id] < 0]
    common = {line.kind: line for line in lines if line.kind != PoolKind.QUOTA}
    lacking: dict[int, int] = {}
    for line in takers:
        lack = wanted[line.id]
        for kind in (PoolKind.BASE, PoolKind.SHARED):
            giver = PoolName(group_id, sku_id, kind)
            units = min(lack, lot.free.get(giver, 0))
            if units:
                _move(lot, pools, giver, home[line.id], units)
                came[line.id].moved += units
                if kind in common:
                    came[common[kind].id].moved -= units
                lack -= units
        lacking[line.id] = lack
    # What the others lack goes to them, what base and shared are to get back goes there, the rest where new stock goes.
    for line in common.values():
        if wanted[line.id] > 0:
            lacking[line.id] = wanted[line.id] - came[line.id].moved
    waiting_for = [line for line in (*takers, *common.values()) if lacking.get(line.id, 0) > 0]
    for line in reversed(givers):
        units = min(-wanted[line.id], lot.free.get(home[line.id], 0))
        for taker in waiting_for:
            part = min(units, lacking[taker.id])
            if part:
                lacking[taker.id] -= part
                units -= part
                came[taker.id].waiting += part
                _give_up(lot, pools, home[line.id], line, part, taker.kind, taker.label, came)
        if units:
            _give_up(lot, pools, home[line.id], line, units, intake, "", came)
            if intake in common:
                came[common[intake].id].waiting += units


def _give_up(
    lot: _Lot,
    pools: Mapping[PoolName, LockedPool],
    giver: PoolName,
    line: _Line,
    units: int,
    to_kind: str,
    to_label: str,
    came: Mapping[int, _Came],
) -> None:
    holder = PoolName(giver.group_id, giver.sku_id, PoolKind.REVOKING, line.label)
    _move(lot, pools, giver, holder, units)
    came[line.id].moved -= units
    back = TakeBack(line.sku_id, line.shop_id or 0, units, str(to_kind), to_label)
    lot.revoked.append((back, units, line.label))


def _write(
    run: AllocationRun,
    lot: _Lot,
    pools: Mapping[PoolName, LockedPool],
    lines: Sequence[_Line],
    *,
    at: datetime,
    by: str,
    is_undo: bool,
) -> None:
    document = f"allocation:{run.pk}"
    write_moves(lot.moves, pools={pool.id: pool for pool in pools.values()}, at=at, by=by, document=document)
    record_revocations(lot.revoked, group_id=run.group_id, reason=run.reason, by=by, run_id=run.pk)
    close = _closed_undo if is_undo else _closed
    states, outcomes = zip(*(close(line, lot.came[line.id]) for line in lines), strict=True)
    moved = [lot.came[line.id].moved for line in lines]
    idents = as_array(line.id for line in lines)
    execute(CLOSE_LINES, [idents, as_text_array(states), as_array(moved), as_text_array(outcomes)])
    at_once = sum(came.moved for came in lot.came.values() if came.moved > 0)
    if at_once and not is_undo:
        execute(COUNT_MOVED, [at_once, run.pk])


HAS_ALREADY = sentence("It holds what was planned already.")
OTHERWISE = sentence("The quotas took or gave other units than planned.")
NOTHING_FREE = sentence("Nothing was free any more.")
PART_FREE = sentence("Only %(units)d of %(planned)d units were free.")
NOT_UNDONE = sentence("%(units)d of %(moved)d units could not be taken back: they are promised or sold.")


def _closed(line: _Line, came: _Came) -> tuple[str, str]:
    """The state of a line that was applied, and why it is not what was planned."""
    if came.waiting:
        return OfLine.WAITING.value, ""
    if came.moved == line.planned:
        return OfLine.DONE.value, ""
    if line.kind != PoolKind.QUOTA:
        return (OfLine.PARTLY if came.moved else OfLine.SKIPPED).value, str(OTHERWISE)
    if came.moved:
        return OfLine.PARTLY.value, PART_FREE % {"units": abs(came.moved), "planned": abs(line.planned)}
    return OfLine.SKIPPED.value, str(NOTHING_FREE if came.wanted else HAS_ALREADY)


def _closed_undo(line: _Line, came: _Came) -> tuple[str, str]:
    """What is on its way back counts as undone: it arrives, or the shop has sold it."""
    left = line.moved + came.moved + came.waiting
    if not left or line.kind != PoolKind.QUOTA:
        return OfLine.UNDONE.value, ""
    return OfLine.UNDONE.value, NOT_UNDONE % {"units": abs(left), "moved": abs(line.moved)}

"""Take units back from a shop, so that nobody else gets them before its channel has stopped selling them.

Two phases: the units leave the shop's pool at once, so that its number falls; they arrive elsewhere only after the
channel has acknowledged that number *and* the shop's orders were read once after that. Meanwhile they lie in the pool
of kind `revoking` that bears the shop's code, on which the shop's own late orders may still draw. So what a channel
shows, and what it has sold and not told, is covered, also of a channel that never answers again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from django.db import transaction
from django.utils.translation import gettext as _

from inventory.models import Revocation
from inventory.models.stock import PoolKind
from inventory.pools import PoolMove, write_moves
from inventory.quota.derive import draw_on_new_pools
from inventory.quota.open import PoolName, lock_named, open_pools
from omni.kernel.audit import record_act
from omni.kernel.batches import batches
from omni.kernel.errors import BadInput, DomainError, NotFound
from omni.kernel.sentences import sentence
from omni.kernel.sql import as_array, as_text_array, execute, fetch_all

BATCH = 500


class NothingTakenBack(BadInput):
    """Less than one unit, or from a pool that is no shop's own."""

    code = "nothing_taken_back"


class RevocationIsOver(DomainError):
    """The units have gone on already."""

    code = "revocation_is_over"


class ReasonMissing(BadInput):
    """Who goes past the channel has to say why."""

    code = "reason_missing"


@dataclass(frozen=True, slots=True)
class TakeBack:
    """`quantity` units of a SKU from the pool of a shop (`from_kind`: quota or lock), and where they are to go."""

    sku_id: int
    shop_id: int
    quantity: int
    to_kind: str
    to_label: str = ""
    from_kind: str = PoolKind.QUOTA.value
    from_label: str = ""


class _Open(NamedTuple):
    """A revocation, locked."""

    id: int
    group_id: int
    sku_id: int
    shop_code: str
    outstanding: int
    to_kind: str
    to_label: str
    run_id: int | None
    lock_id: int | None
    intake: str
    is_astray: bool  # its lock has ended meanwhile

    @property
    def held_in(self) -> PoolName:
        return PoolName(self.group_id, self.sku_id, PoolKind.REVOKING, self.shop_code)

    @property
    def bound_for(self) -> PoolName:
        if self.is_astray:
            return PoolName(self.group_id, self.sku_id, self.intake)
        return PoolName(self.group_id, self.sku_id, self.to_kind, self.to_label)


# `started_at` is a moment of the database's clock, as those of the changes are: that of the units' leaving was noted
# just before, and while one that is no younger lies there the planner has not looked since.
INSERT_REVOCATIONS = """
    INSERT INTO inventory_revocation
        (group_id, sku_id, shop_id, quantity, from_kind, from_label, to_kind, to_label, run_id, lock_id, state,
         started_at, reason, by)
    SELECT %(group)s, v.*, %(run)s, %(lock)s, 'telling', clock_timestamp(), %(reason)s, %(by)s
    FROM unnest(%(skus)s::bigint[], %(shops)s::bigint[], %(quantities)s::int[], %(from_kinds)s::text[],
                %(from_labels)s::text[], %(to_kinds)s::text[], %(to_labels)s::text[]) v
"""

# What a channel may still sell of revocation `r`: numbers that were ever sent for listings of its SKU, or of a bundle
# of it, in its shop (of a promotion's lock: in all shops that sold from it). A shop whose orders are requests sells
# nothing before we have said yes.
# Plan: the listings of a SKU by its index; few of them are of other shops.
_SHOWN = """
    SELECT FROM (
        SELECT r.sku_id
        UNION ALL SELECT c.bundle_id FROM products_bundlecomponent c WHERE c.component_id = r.sku_id
    ) k
    JOIN products_listing l ON l.sku_id = k.sku_id AND l.state = 'listed'
    JOIN products_shop h ON h.id = l.shop_id AND h.order_policy = 'fact'
    JOIN inventory_publishedstock p ON p.listing_id = l.id AND p.sent_version > 0
    {also}
    WHERE (l.shop_id = r.shop_id OR r.from_kind = 'lock' AND EXISTS (
          SELECT FROM inventory_promotionlock_shops s
          WHERE s.promotionlock_id = r.lock_id AND s.shop_id = l.shop_id))
      AND ({still})
"""
# The channel has acknowledged no more than we want it to show, and no call is under way that would show more. That the
# versions be equal would be too much to ask: of a SKU that sells, a newer one is always due.
_MORE = """p.acked_quantity IS NULL OR p.acked_quantity > p.desired_quantity
          OR p.sent_version > p.acked_version AND p.sent_quantity > p.desired_quantity"""
_UNTOLD = _SHOWN.format(also="", still=f"n.at <= r.started_at OR {_MORE}")
# Numbers are absolute: what the channel had sold and not told yet when it took its number, that number has put on sale
# again. The orders that were read since say how many those are; until the channel shows so many less, they are covered
# by nothing but the units that wait here. So the number is looked at once more, with all that is noted planned.
_SHOWS_MORE = _SHOWN.format(also="", still=f"n.at IS NOT NULL OR {_MORE}")
_UNREAD = _SHOWN.format(
    also="""LEFT JOIN unnest(%(shops)s::bigint[], %(moments)s::timestamptz[]) AS u(shop_id, until)
      ON u.shop_id = l.shop_id""",
    still="u.until IS NULL OR u.until <= r.acked_at",
)
# What is noted for the planner is added up once: there may be as many changes as revocations.
_NOTED = "noted AS MATERIALIZED (SELECT sku_id, min(at) AS at FROM inventory_stockchange GROUP BY sku_id)"
TELL = f"""
    WITH {_NOTED}
    UPDATE inventory_revocation r SET state = 'pulling', acked_at = %(at)s
    FROM (
        SELECT r.id FROM inventory_revocation r LEFT JOIN noted n ON n.sku_id = r.sku_id
        WHERE r.state = 'telling' AND NOT EXISTS ({_UNTOLD})
        ORDER BY r.id FOR NO KEY UPDATE OF r SKIP LOCKED
    ) told
    WHERE r.id = told.id
"""  # noqa: S608 - put together from constants
READY = f"""
    WITH {_NOTED}
    SELECT r.id FROM inventory_revocation r LEFT JOIN noted n ON n.sku_id = r.sku_id
    WHERE r.state = 'pulling' AND NOT EXISTS ({_UNREAD}) AND NOT EXISTS ({_SHOWS_MORE}) ORDER BY r.id
"""  # noqa: S608 - put together from constants
# Promised when the rest went on, and free again since. The channel was told long ago. What is outstanding of those that
# are open is not theirs. Plan: revocation_not_all_arrived.
STRAY = """
    SELECT r.id FROM inventory_revocation r
    JOIN products_shop s ON s.id = r.shop_id
    JOIN inventory_stockpool p
      ON p.sku_id = r.sku_id AND p.group_id = r.group_id AND p.kind = 'revoking' AND p.label = s.code
    WHERE r.state IN ('done', 'forced') AND r.arrived < r.quantity AND p.granted > p.reserved
    ORDER BY r.id LIMIT %s
"""

# Revocations first, then lines of runs, then pools: nobody who holds one of the later waits for an earlier.
LOCK_REVOCATIONS = """
    SELECT r.id, r.group_id, r.sku_id, s.code, r.quantity - r.arrived, r.to_kind, r.to_label, r.run_id, r.lock_id,
           g.new_stock_goes_to,
           r.to_kind = 'lock' AND NOT EXISTS (
               SELECT FROM inventory_promotionlock l
               WHERE l.code = r.to_label AND l.state IN ('planned', 'active') AND l.ends_at > %(at)s)
    FROM inventory_revocation r
    JOIN products_shop s ON s.id = r.shop_id
    JOIN inventory_locationgroup g ON g.id = r.group_id
    WHERE r.id = ANY(%(ids)s::bigint[]) AND r.state = ANY(%(states)s::text[])
    ORDER BY r.id FOR NO KEY UPDATE OF r
"""
LOCK_LINES = """
    SELECT l.id, l.run_id, l.sku_id, l.kind, l.label
    FROM (
        SELECT DISTINCT * FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[])
            AS u(run_id, sku_id, kind, label)
    ) v
    JOIN inventory_allocationline l
      ON l.run_id = v.run_id AND l.sku_id = v.sku_id AND l.kind = v.kind AND l.label = v.label
    ORDER BY l.id FOR NO KEY UPDATE OF l
"""
# All units that are still outstanding in a revoking pool, of revocations that are open.
OUTSTANDING = """
    SELECT r.group_id, r.sku_id, s.code, sum(r.quantity - r.arrived)::int
    FROM inventory_revocation r JOIN products_shop s ON s.id = r.shop_id
    WHERE r.state IN ('telling', 'pulling') AND r.sku_id = ANY(%s::bigint[]) GROUP BY 1, 2, 3
"""
END_REVOCATIONS = """
    UPDATE inventory_revocation r
    SET arrived = r.arrived + v.units, state = coalesce(%(state)s, r.state), ended_at = coalesce(r.ended_at, %(at)s)
    FROM unnest(%(ids)s::bigint[], %(units)s::int[]) AS v(id, units) WHERE r.id = v.id
"""
# A line that waits is over when nothing more is on its way to it.
CLOSE_LINES = """
    UPDATE inventory_allocationline l
    SET moved = l.moved + v.units,
        state = CASE
            WHEN l.state <> 'waiting' OR v.is_more_coming THEN l.state
            WHEN l.moved + v.units = l.after - l.before THEN 'done' ELSE 'partly' END,
        outcome = CASE
            WHEN l.state <> 'waiting' OR v.is_more_coming OR l.moved + v.units = l.after - l.before THEN l.outcome
            ELSE %(outcome)s END
    FROM (
        SELECT u.id, u.units, EXISTS (
            SELECT FROM inventory_revocation r
            WHERE r.run_id = n.run_id AND r.sku_id = n.sku_id AND r.to_kind = n.kind AND r.to_label = n.label
              AND r.state IN ('telling', 'pulling')) AS is_more_coming
        FROM unnest(%(ids)s::bigint[], %(units)s::int[]) AS u(id, units)
        JOIN inventory_allocationline n ON n.id = u.id
    ) v
    WHERE l.id = v.id
"""
LOCK_RUNS = (
    "SELECT id FROM inventory_allocationrun WHERE id = ANY(%s::bigint[]) ORDER BY id FOR NO KEY UPDATE"
)
COUNT_MOVED = """
    UPDATE inventory_allocationrun r SET units_moved = r.units_moved + v.units
    FROM unnest(%s::bigint[], %s::int[]) AS v(id, units) WHERE r.id = v.id AND r.state IN ('applying', 'applied')
"""
COUNT_GRANTED = """
    UPDATE inventory_promotionlockline n SET granted = least(n.quantity, n.granted + v.units)
    FROM unnest(%s::text[], %s::bigint[], %s::int[]) AS v(code, sku_id, units)
    JOIN inventory_promotionlock l ON l.code = v.code
    WHERE n.lock_id = l.id AND n.sku_id = v.sku_id
"""


@transaction.atomic
def take_back(
    *,
    group_id: int,
    wanted: Sequence[TakeBack],
    reason: str,
    at: datetime,
    by: str,
    run_id: int | None = None,
    lock_id: int | None = None,
) -> list[int]:
    """Take these units from the shops' own pools, as far as they are free; they go on when the channels know.

    What is promised stays promised. Returns the units taken for each of `wanted`, in the order given: what is less than
    asked for was promised meanwhile. Raises NothingTakenBack.
    """
    codes = _shop_codes({each.shop_id for each in wanted})
    _check(wanted)
    givers = [
        PoolName(group_id, each.sku_id, each.from_kind, each.from_label or codes[each.shop_id])
        for each in wanted
    ]
    holders = [PoolName(group_id, each.sku_id, PoolKind.REVOKING, codes[each.shop_id]) for each in wanted]
    made = open_pools(holders)
    pools = lock_named([*givers, *holders])
    left = {name: pool.free for name, pool in pools.items()}
    taken, moves = [], []
    for each, giver, holder in zip(wanted, givers, holders, strict=True):
        units = min(each.quantity, left.get(giver, 0))
        taken.append(units)
        if units:
            left[giver] -= units
            moves.append(PoolMove(pools[giver].id, pools[holder].id, units))
    by_id = {pool.id: pool for pool in pools.values()}
    write_moves(moves, pools=by_id, at=at, by=by, document=_document(run_id, lock_id))
    record_revocations(
        [
            (each, units, giver.label)
            for each, units, giver in zip(wanted, taken, givers, strict=True)
            if units
        ],
        group_id=group_id,
        reason=reason,
        by=by,
        run_id=run_id,
        lock_id=lock_id,
    )
    if made:
        draw_on_new_pools(holders, at=at)
    return taken


def record_revocations(
    taken: Sequence[tuple[TakeBack, int, str]],
    *,
    group_id: int,
    reason: str,
    by: str,
    run_id: int | None = None,
    lock_id: int | None = None,
) -> None:
    """Note what has just been moved to the revoking pools, in that transaction: (what, units, label of the giver)."""
    if not taken:
        return
    wishes = [each for each, _units, _label in taken]
    execute(
        INSERT_REVOCATIONS,
        {
            "group": group_id,
            "run": run_id,
            "lock": lock_id,
            "reason": reason[:200],
            "by": by,
            "skus": as_array(each.sku_id for each in wishes),
            "shops": as_array(each.shop_id for each in wishes),
            "quantities": as_array(units for _each, units, _label in taken),
            "from_kinds": as_text_array(each.from_kind for each in wishes),
            "from_labels": as_text_array(label for _each, _units, label in taken),
            "to_kinds": as_text_array(each.to_kind for each in wishes),
            "to_labels": as_text_array(each.to_label for each in wishes),
        },
    )


def advance_revocations(*, pulled: Mapping[int, datetime], at: datetime, by: str) -> int:
    """Let go on what may go on. Returns how many revocations have ended.

    `pulled`: by shop, the moment before which every order of its channel has been read; a shop that is missing is
    waited for. First: what the channel has acknowledged waits for its orders; then: once its orders were read after
    that, and it shows no more than they have left, the units arrive where they were bound for, as far as the shop's own
    late orders have left them. A lock that has ended meanwhile is passed by: its units go where new stock goes.
    """
    with transaction.atomic():
        execute(TELL, {"at": at})
    ready = fetch_all(
        READY, {"shops": as_array(pulled), "moments": [moment.isoformat() for moment in pulled.values()]}
    )
    ended = 0
    for ids in batches([row[0] for row in ready], BATCH):
        ended += _arrive(ids, states=[Revocation.State.PULLING], into=Revocation.State.DONE, at=at, by=by)
    stray = [row[0] for row in fetch_all(STRAY, [BATCH])]
    if stray:
        _arrive(stray, states=[Revocation.State.DONE, Revocation.State.FORCED], into=None, at=at, by=by)
    return ended


@transaction.atomic
def force_revocation(*, revocation_id: int, reason: str, at: datetime, by: str) -> Revocation:
    """Let units go on without the channel: somebody knows that it cannot sell them, or takes the risk.

    Raises RevocationIsOver, ReasonMissing, NotFound.
    """
    if not reason.strip():
        fault = _("Say why.")
        raise ReasonMissing(fault, fields={"reason": [fault]})
    forced = _arrive([revocation_id], states=Revocation.OPEN, into=Revocation.State.FORCED, at=at, by=by)
    revocation = Revocation.objects.filter(pk=revocation_id).first()
    if revocation is None:
        raise NotFound(_("There is no such revocation."))
    if not forced:
        raise RevocationIsOver(_("It is over already: %s.") % revocation.get_state_display())
    detail = {"quantity": revocation.quantity, "arrived": revocation.arrived}
    record_act(by=by, action="revocation.forced", subject=revocation, reason=reason, detail=detail)
    return revocation


@transaction.atomic
def _arrive(
    ids: Sequence[int], *, states: Iterable[str], into: Revocation.State | None, at: datetime, by: str
) -> int:
    """Move on what is left of these. `into` None: they have ended before, and only what has become free is moved."""
    wanted = {"ids": as_array(ids), "states": [str(state) for state in states], "at": at}
    rows = [_Open(*row) for row in fetch_all(LOCK_REVOCATIONS, wanted)]
    if not rows:
        return 0
    lines = _lock_lines(rows)
    safeties = {_safety_of(row) for row in rows if row.bound_for.kind in (PoolKind.SHARED, PoolKind.BASE)}
    made = open_pools(row.bound_for for row in rows)
    pools = lock_named({row.held_in for row in rows} | {row.bound_for for row in rows} | safeties)
    left = {name: pool.free for name, pool in pools.items()}
    if into is None:
        for group_id, sku_id, code, units in fetch_all(OUTSTANDING, [as_array({row.sku_id for row in rows})]):
            name = PoolName(group_id, sku_id, PoolKind.REVOKING, code)
            left[name] = max(0, left.get(name, 0) - units)
    lacking = {
        name: max(0, (pools[name].target or 0) - pools[name].granted) for name in safeties & set(pools)
    }
    arrived: list[int] = []
    moves: dict[str, list[PoolMove]] = defaultdict(list)
    for row in rows:
        on = moves[_document(row.run_id, row.lock_id)]
        units = min(row.outstanding, left[row.held_in])
        arrived.append(units)
        left[row.held_in] -= units
        kept = min(units, lacking.get(_safety_of(row), 0)) if _safety_of(row) in safeties else 0
        if kept:
            lacking[_safety_of(row)] -= kept
            on.append(PoolMove(pools[row.held_in].id, pools[_safety_of(row)].id, kept))
        if units > kept:
            on.append(PoolMove(pools[row.held_in].id, pools[row.bound_for].id, units - kept))
    by_id = {pool.id: pool for pool in pools.values()}
    for document, of_one in moves.items():
        write_moves(of_one, pools=by_id, at=at, by=by, document=document)
    params = {"ids": as_array(row.id for row in rows), "units": as_array(arrived), "at": at}
    execute(END_REVOCATIONS, {**params, "state": into and into.value})
    _count(rows, arrived, lines)
    if made:
        draw_on_new_pools([row.bound_for for row in rows], at=at)
    return len(rows)


def _lock_lines(rows: Sequence[_Open]) -> dict[tuple[int, int, str, str], int]:
    """The ids of the lines of runs to which these units are bound, by run, SKU and pool; locked."""
    of_runs = [row for row in rows if row.run_id]
    if not of_runs:
        return {}
    found = fetch_all(
        LOCK_LINES,
        [
            as_array(row.run_id for row in of_runs),
            as_array(row.sku_id for row in of_runs),
            as_text_array(row.to_kind for row in of_runs),
            as_text_array(row.to_label for row in of_runs),
        ],
    )
    return {(run_id, sku_id, kind, label): ident for ident, run_id, sku_id, kind, label in found}


def _count(
    rows: Sequence[_Open], arrived: Sequence[int], lines: Mapping[tuple[int, int, str, str], int]
) -> None:
    """Note in runs and locks what has arrived for them."""
    by_line, by_run, by_lock = Counter[int](), Counter[int](), Counter[tuple[str, int]]()
    for row, units in zip(rows, arrived, strict=True):
        if row.run_id:
            line = lines.get((row.run_id, row.sku_id, row.to_kind, row.to_label))
            if line is not None:
                by_line[line] += units
            by_run[row.run_id] += units
        if row.bound_for.kind == PoolKind.LOCK:
            by_lock[row.to_label, row.sku_id] += units
    if by_line:
        outcome = sentence("Fewer units arrived than planned: some were promised or sold before.")
        params = {"ids": as_array(by_line), "units": as_array(by_line.values()), "outcome": str(outcome)}
        execute(CLOSE_LINES, params)
    if by_lock:
        codes, skus = zip(*by_lock, strict=True)
        execute(COUNT_GRANTED, [as_text_array(codes), as_array(skus), as_array(by_lock.values())])
    if by_run:
        fetch_all(LOCK_RUNS, [as_array(by_run)])
        execute(COUNT_MOVED, [as_array(by_run), as_array(by_run.values())])


def _safety_of(row: _Open) -> PoolName:
    return PoolName(row.group_id, row.sku_id, PoolKind.SAFETY)


def _shop_codes(shop_ids: Iterable[int]) -> dict[int, str]:
    return dict(
        fetch_all("SELECT id, code FROM products_shop WHERE id = ANY(%s::bigint[])", [as_array(shop_ids)])
    )


def _check(wanted: Sequence[TakeBack]) -> None:
    if any(each.quantity <= 0 or each.from_kind not in (PoolKind.QUOTA, PoolKind.LOCK) for each in wanted):
        raise NothingTakenBack(_("Only units of a shop's quota or lock can be taken back, at least one."))


def _document(run_id: int | None, lock_id: int | None) -> str:
    if run_id:
        return f"allocation:{run_id}"
    return f"promotion:{lock_id}" if lock_id else ""

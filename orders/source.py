"""Choose from where orders ship.

Ranked rules, the first that tells two locations apart decides, and the reason is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from inventory.commit import Commitment, Committed, commit_stock, uncommit_stock
from omni.kernel.events import record_events
from omni.kernel.numbers import document_number, take_ids
from omni.kernel.sentences import sentence
from omni.kernel.sql import execute, fetch_all
from orders.advance import advance_orders
from orders.cancel import DROPPABLE, drop_fulfilments
from orders.events import OrdersSourced
from orders.hold import NewHold, place_holds, resolve_holds
from orders.models import FulfilmentLine, FulfilmentOrder, SalesOrder
from orders.models.review import HoldKind
from orders.record import Happening, record_happenings
from orders.release import advance_released
from orders.states import Stage

# Units of which a warehouse gave some back while another is still asked to stop the rest are not sent anew.
CLAIM = """
    SELECT id, province FROM orders_salesorder o
    WHERE stage = 'approved' AND open_holds = 0 AND short_lines = 0 AND fulfilled_by = 'omni'
      AND (%s::bigint[] IS NULL OR id = ANY(%s::bigint[]))
      AND NOT EXISTS (SELECT FROM orders_salesorderline l WHERE l.order_id = o.id AND l.cancel_wanted > 0)
    ORDER BY id LIMIT %s FOR NO KEY UPDATE SKIP LOCKED
"""
# What is promised to the open lines of these orders and not yet taken from a location.
WANTS = """
    SELECT l.order_id, l.id, r.line_key, r.part, r.sku_id, p.group_id, r.quantity, l.bundle_id, l.bundle_units
    FROM orders_salesorderline l
    JOIN inventory_reservation r ON r.line_key = l.line_key AND r.state = 'held'
    JOIN inventory_stockpool p ON p.id = r.pool_id
    WHERE l.order_id = ANY(%s) ORDER BY l.order_id, l.id, r.part
"""
# Orders of which a promise was withdrawn: their lines will say so when that news has arrived. Sent before, the rest
# would leave alone and what is owed would never be sourced.
OWED = """
    SELECT DISTINCT l.order_id FROM orders_salesorderline l
    JOIN inventory_shortage s ON s.line_key = l.line_key AND s.state = 'open' WHERE l.order_id = ANY(%s)
"""
# What each location that may ship could give. Read without a lock: taking it is guarded, and a lost race is
# tried again.
FREE = """
    SELECT loc.id, loc.code, loc.group_id, loc.province, loc.serves_provinces, loc.priority, s.sku_id,
           sum(s.on_hand - s.committed)
    FROM inventory_location loc
    JOIN inventory_stocklevel s ON s.location_id = loc.id AND s.grade = 'good'
    WHERE loc.is_active AND loc.ships_online AND loc.group_id = ANY(%s) AND s.sku_id = ANY(%s)
      AND s.on_hand > s.committed
    GROUP BY loc.id, s.sku_id
"""
INSERT_DECISIONS = """
    INSERT INTO orders_sourcingdecision (order_id, at, candidates, reason, by)
    SELECT id, %s, candidates, reason, %s
    FROM unnest(%s::bigint[], %s::jsonb[], %s::text[]) AS d(id, candidates, reason)
"""
INSERT_FULFILMENTS = """
    INSERT INTO orders_fulfilmentorder (id, number, location_id, state, created_at, state_at, not_before)
    SELECT id, number, location, 'planned', %s, %s, %s
    FROM unnest(%s::bigint[], %s::text[], %s::bigint[]) AS f(id, number, location)
"""
INSERT_LINES = """
    INSERT INTO orders_fulfilmentline (fulfilment_id, order_line_id, order_id, sku_id, line_key, part, quantity)
    SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::uuid[], %s::int[], %s::int[])
"""
WITH_WAREHOUSES = """
    SELECT DISTINCT l.order_id FROM orders_fulfilmentline l
    JOIN orders_fulfilmentorder f ON f.id = l.fulfilment_id
    WHERE l.order_id = ANY(%s) AND f.state NOT IN ('cancelled', 'shipped')
"""
# A location that refused an order is not asked again by itself; a person may allow it (`orders/allow.py`).
EXCLUDED = """
    SELECT DISTINCT l.order_id, f.location_id FROM orders_fulfilmentline l
    JOIN orders_fulfilmentorder f ON f.id = l.fulfilment_id
    WHERE l.order_id = ANY(%s) AND f.state = 'cancelled' AND f.refusal <> ''
      AND f.allowed_again_at IS NULL
"""
# Names of the rules, best first; the page shows them with each candidate's rank.
RULES = ("units", "serves", "same_province", "priority")


@dataclass(frozen=True, slots=True)
class Want:
    order_id: int
    line_id: int
    line_key: UUID
    part: int
    sku_id: int
    group_id: int
    quantity: int
    bundle_id: int | None = None
    bundle_units: int | None = None


@dataclass(slots=True)
class Place:
    """A location with what it can still give in this run, by SKU."""

    location_id: int
    code: str
    group_id: int
    province: str
    serves: Sequence[str]
    priority: int
    free: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class Choice:
    """What was decided for one order. `missing`: units that no location can give; `left_out`: codes of those that
    have some, but refused the order.
    """

    order_id: int
    takes: list[tuple[Place, Want, int]] = field(default_factory=list)
    candidates: list[dict[str, Any]] = field(default_factory=list)
    reason: str = ""
    missing: int = 0
    left_out: list[str] = field(default_factory=list)


@transaction.atomic
def source_orders(
    *, limit: int, at: datetime, by: str = "system", order_ids: Sequence[int] | None = None
) -> int:
    """Choose locations for up to `limit` approved orders that nothing holds and nothing is short of, oldest
    first.

    One location that can send all of it, if there is one; else as few as possible. Among equals: one that
    serves the receiver's province, one that lies in it, the lower priority number. The stock is taken from
    the location; orders whose stock a rival took meanwhile are left for the next run. Returns the number of
    orders that were looked at.
    """
    claimed = dict(fetch_all(CLAIM, [order_ids, order_ids, limit]))
    if not claimed:
        return 0
    wants = _wants(list(claimed))
    # After what is promised was read: a promise that is withdrawn later makes the commitment fail instead.
    for (ident,) in fetch_all(OWED, [list(claimed)]):
        del claimed[ident]
    places = _places(wants)
    excluded = set(fetch_all(EXCLUDED, [list(claimed)]))
    choices = [
        _choose(ident, province, wants.get(ident, []), places, excluded)
        for ident, province in sorted(claimed.items())
    ]
    _carry_out(choices, at=at, by=by)
    return len(claimed)


def _wants(order_ids: list[int]) -> dict[int, list[Want]]:
    found: dict[int, list[Want]] = {}
    for row in fetch_all(WANTS, [order_ids]):
        found.setdefault(row[0], []).append(Want(*row))
    return found


def _places(wants: dict[int, list[Want]]) -> list[Place]:
    every = [want for rows in wants.values() for want in rows]
    places: dict[int, Place] = {}
    rows = fetch_all(FREE, [sorted({w.group_id for w in every}), sorted({w.sku_id for w in every})])
    for ident, code, group, province, serves, priority, sku, free in rows:
        serves = serves if isinstance(serves, list) else json.loads(serves)
        place = places.setdefault(ident, Place(ident, code, group, province, serves, priority))
        place.free[sku] = int(free)
    return sorted(places.values(), key=lambda place: place.location_id)


def _choose(
    order_id: int, province: str, wants: list[Want], places: list[Place], excluded: set[tuple[Any, ...]]
) -> Choice:
    """Take from the best location, then from the best for the rest, until nothing is missing or nobody can
    give.

    Bundles are taken whole as long as any location has all that lies in one; only what no location can send together
    is then taken apart.
    """
    choice = Choice(order_id)
    left = {(want.line_key, want.part): want.quantity for want in wants}
    open_places = [place for place in places if (order_id, place.location_id) not in excluded]
    choice.left_out = [place.code for place in places if (order_id, place.location_id) in excluded]
    has_bundles = any(want.bundle_id is not None for want in wants)
    for is_whole in (True, False) if has_bundles else (False,):
        _take_from_best(province, wants, left, list(open_places), choice, is_whole=is_whole)
    choice.missing = sum(left.values())
    if has_bundles:
        choice.takes = _add_up(choice.takes)
    return choice


def _add_up(takes: list[tuple[Place, Want, int]]) -> list[tuple[Place, Want, int]]:
    """What one place gives of one promise, whole bundles and pieces of others, as one."""
    found: dict[tuple[int, UUID, int], tuple[Place, Want, int]] = {}
    for place, want, units in takes:
        key = (place.location_id, want.line_key, want.part)
        found[key] = (place, want, units + (found[key][2] if key in found else 0))
    return list(found.values())


def _take_from_best(
    province: str,
    wants: list[Want],
    left: dict[tuple[UUID, int], int],
    places: list[Place],
    choice: Choice,
    *,
    is_whole: bool,
) -> None:
    while any(left.values()):
        can = {place.location_id: _can_give(place, wants, left, is_whole=is_whole) for place in places}
        ranked = sorted(
            (
                (_rank(place, province, sum(can[place.location_id].values())), place)
                for place in places
                if can[place.location_id]
            ),
            key=lambda pair: (pair[0], pair[1].location_id),
        )
        if not ranked:
            return
        best = ranked[0][1]
        if not choice.takes:
            choice.reason = _reason(ranked, sum(left.values()))
            choice.candidates = [_shown(place, rank, sum(left.values())) for rank, place in ranked]
        _take(best, wants, left, can[best.location_id], choice)
        places.remove(best)


def _can_give(
    place: Place, wants: list[Want], left: dict[tuple[UUID, int], int], *, is_whole: bool
) -> dict[tuple[UUID, int], int]:
    """The units of each want that the place has; with `is_whole`, of bundles only what makes whole ones there."""
    free = dict(place.free)
    bundles = _whole_bundles(place, wants, left) if is_whole else {}
    given: dict[tuple[UUID, int], int] = {}
    # Whole bundles first: what else an order wants of the same SKUs may as well come from elsewhere.
    for want in sorted(wants, key=lambda want: want.bundle_id is None) if is_whole else wants:
        if want.group_id != place.group_id:
            continue
        key = (want.line_key, want.part)
        units = min(left[key], free.get(want.sku_id, 0))
        if is_whole and want.bundle_id is not None:
            units = min(units, bundles.get((want.bundle_id, want.line_id), 0))
        if units:
            free[want.sku_id] -= units
            given[key] = units
            if is_whole and want.bundle_id is not None:
                bundles[want.bundle_id, want.line_id] -= units
    return given


def _whole_bundles(
    place: Place, wants: list[Want], left: dict[tuple[UUID, int], int]
) -> dict[tuple[int, int], int]:
    """The units of each component, by (bundle, line), that leave with as many whole bundles as the place can make."""
    free = dict(place.free)
    waiting: dict[tuple[int, int], int] = {}  # units of each component that this place's group has promised
    shape: dict[int, dict[int, Want]] = {}
    for want in wants:
        if want.bundle_id is None:
            continue
        shape.setdefault(want.bundle_id, {}).setdefault(want.line_id, want)
        key = (want.bundle_id, want.line_id)
        units = left[want.line_key, want.part] if want.group_id == place.group_id else 0
        waiting[key] = waiting.get(key, 0) + units
    found: dict[tuple[int, int], int] = {}
    for bundle_id, lines in shape.items():
        count = min(
            min(waiting[bundle_id, line_id], free.get(want.sku_id, 0)) // (want.bundle_units or 1)
            for line_id, want in lines.items()
        )
        for line_id, want in lines.items():
            found[bundle_id, line_id] = count * (want.bundle_units or 1)
            free[want.sku_id] = free.get(want.sku_id, 0) - found[bundle_id, line_id]
    return found


def _rank(place: Place, province: str, units: int) -> tuple[int, int, int, int]:
    """Lower is better; the first number is minus the units that it could send."""
    serves = not place.serves or any(_same(province, name) for name in place.serves)
    return (-units, 0 if serves else 1, 0 if _same(province, place.province) else 1, place.priority)


def _same(one: str, other: str) -> bool:
    """广东 and 广东省 are one province."""
    return bool(one and other) and (one.startswith(other) or other.startswith(one))


def _reason(ranked: list[tuple[tuple[int, int, int, int], Place]], wanted: int) -> str:
    """The rule that told the best from the second best."""
    best = ranked[0][0]
    if len(ranked) == 1:
        return "only_candidate"
    second = ranked[1][0]
    for rule, mine, other in zip(RULES, best, second, strict=True):
        if mine != other:
            return "whole_order" if rule == "units" and -best[0] == wanted else rule
    return "location_id"


def _shown(place: Place, rank: tuple[int, int, int, int], wanted: int) -> dict[str, Any]:
    return {
        "location": place.code,
        "units": -rank[0],
        "of": wanted,
        "serves": rank[1] == 0,
        "same_province": rank[2] == 0,
        "priority": rank[3],
    }


def _take(
    place: Place,
    wants: list[Want],
    left: dict[tuple[UUID, int], int],
    given: dict[tuple[UUID, int], int],
    choice: Choice,
) -> None:
    for want in wants:
        key = (want.line_key, want.part)
        units = given.get(key, 0)
        if units:
            place.free[want.sku_id] -= units
            left[key] -= units
            choice.takes.append((place, want, units))


def _carry_out(choices: list[Choice], *, at: datetime, by: str) -> None:
    waiting = _go_on_with_warehouses(
        [choice.order_id for choice in choices if not choice.takes and not choice.missing], at=at, by=by
    )
    impossible = [
        choice
        for choice in choices
        if choice.missing or (not choice.takes and choice.order_id not in waiting)
    ]
    possible = [choice for choice in choices if choice.takes and not choice.missing]
    _hold(impossible, at=at, by=by)
    if not possible:
        return
    sourced = _commit(possible, at=at, by=by)
    if not sourced:
        return
    _write(sourced, at=at, by=by)
    order_ids = sorted(sourced)
    advance_orders(order_ids=order_ids, to=Stage.SOURCED, at=at, by=by)
    record_events(OrdersSourced(tuple(order_ids)))


def _go_on_with_warehouses(order_ids: list[int], *, at: datetime, by: str) -> set[int]:
    """A part of these was cancelled, and all that is left is with warehouses already: nothing is to be chosen."""
    if not order_ids:
        return set()
    waiting = sorted(row[0] for row in fetch_all(WITH_WAREHOUSES, [order_ids]))
    advance_orders(order_ids=waiting, to=Stage.SOURCED, at=at, by=by)
    advance_released(order_ids=waiting, at=at, by=by)
    return set(waiting)


def _hold(choices: list[Choice], *, at: datetime, by: str) -> None:
    """No location can ship it although the stock is promised.

    A person must look (locations switched off, refusals).
    """
    holds = [NewHold(choice.order_id, HoldKind.SOURCING, _why_impossible(choice)) for choice in choices]
    place_holds(holds=holds, at=at, by=by)


def _why_impossible(choice: Choice) -> str:
    if not choice.missing:
        return sentence("Nothing is promised to it that could be shipped.")
    if not choice.left_out:
        return sentence("No location that may ship has %d of the promised units free.") % choice.missing
    return sentence(
        "No location that may ship has %(units)d of the promised units free."
        " Left out because they refused it: %(locations)s."
    ) % {"units": choice.missing, "locations": ", ".join(sorted(choice.left_out))}


def _commit(
    choices: list[Choice], *, at: datetime, by: str
) -> dict[int, tuple[Choice, list[tuple[Want, Committed]]]]:
    """Take the stock. An order that did not get all of it gives back what it got."""
    asked = [(choice, place, want, units) for choice in choices for place, want, units in choice.takes]
    answers = commit_stock(
        commitments=[
            Commitment(want.line_key, want.part, place.location_id, units) for _c, place, want, units in asked
        ],
        at=at,
        by=by,
    )
    got: dict[int, tuple[Choice, list[tuple[Want, Committed]]]] = {}
    lost: set[int] = set()
    for (choice, _place, want, _units), answer in zip(asked, answers, strict=True):
        got.setdefault(choice.order_id, (choice, []))[1].append((want, answer))
        if not answer.ok:
            lost.add(choice.order_id)
    back = [(a.line_key, a.part) for ident in lost for _w, a in got[ident][1] if a.ok]
    if back:
        uncommit_stock(parts=back, at=at, by=by)
    return {ident: pair for ident, pair in got.items() if ident not in lost}


def _write(sourced: dict[int, tuple[Choice, list[tuple[Want, Committed]]]], *, at: datetime, by: str) -> None:
    pairs = sorted({(ident, a.location_id) for ident, (_c, rows) in sourced.items() for _w, a in rows})
    idents = take_ids(FulfilmentOrder, len(pairs))
    fulfilment = dict(zip(pairs, idents, strict=True))
    execute(
        INSERT_FULFILMENTS,
        [
            at,
            at,
            at,
            idents,
            [document_number("FO", ident) for ident in idents],
            [location for _o, location in pairs],
        ],
    )
    rows = [(fulfilment[ident, a.location_id], w, a) for ident, (_c, got) in sourced.items() for w, a in got]
    execute(
        INSERT_LINES,
        [
            [ident for ident, _w, _a in rows],
            [want.line_id for _i, want, _a in rows],
            [want.order_id for _i, want, _a in rows],
            [want.sku_id for _i, want, _a in rows],
            [answer.line_key for _i, _w, answer in rows],
            [answer.part for _i, _w, answer in rows],
            [answer.quantity for _i, _w, answer in rows],
        ],
    )
    choices = [choice for choice, _rows in sourced.values()]
    execute(
        INSERT_DECISIONS,
        [
            at,
            by,
            [choice.order_id for choice in choices],
            [json.dumps(choice.candidates) for choice in choices],
            [choice.reason for choice in choices],
        ],
    )
    record_happenings(happenings=_happenings(choices), at=at, by=by)


def _happenings(choices: Iterable[Choice]) -> list[Happening]:
    return [
        Happening(
            choice.order_id,
            "sourced",
            {"locations": sorted({place.code for place, _w, _u in choice.takes}), "reason": choice.reason},
        )
        for choice in choices
    ]


@transaction.atomic
def resource_orders(*, order_ids: Sequence[int], at: datetime, by: str) -> dict[int, str]:
    """Take back what no warehouse has accepted and source these orders anew, elsewhere if a warehouse refused
    them.

    Returns a sentence for each order for which that is not possible.
    """
    rows = FulfilmentLine.objects.filter(order_id__in=order_ids, fulfilment__state__in=DROPPABLE)
    drop_fulfilments(fulfilment_ids=sorted(set(rows.values_list("fulfilment_id", flat=True))), at=at, by=by)
    resolve_holds(order_ids=order_ids, kinds=[HoldKind.SOURCING], at=at, by=by)
    ready = set(
        SalesOrder.objects.filter(pk__in=order_ids, stage=Stage.APPROVED).values_list("pk", flat=True)
    )
    return {
        ident: _("A warehouse has it already, or it is not approved.")
        for ident in order_ids
        if ident not in ready
    }

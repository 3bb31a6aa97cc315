"""Compare the books of a location with what a warehouse or an ERP says lies there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from inventory.models import StockBasis, StockComparison
from inventory.models.stock import Grade
from omni.kernel.audit import record_act
from omni.kernel.errors import BadInput, DomainError
from omni.kernel.sentences import sentence
from omni.kernel.sql import as_array, as_text_array, fetch_all
from products.bundles import components_of
from products.models import Sku

# Movements that book a difference carry this and its id: they mend the books as of the cut-off, however late.
BOOKED = "difference:"
UNKNOWN_SHOWN = 1000
UNITS_MAX = 2_000_000_000


class UnknownLocation(BadInput):
    """There is no such location."""

    code = "unknown_location"


class CutOffInTheFuture(BadInput):
    """Nobody knows what will lie there."""

    code = "cut_off_in_the_future"


class OlderThanTheNewest(DomainError):
    """A newer compare of this location was made already: an older one would bring back differences that are over."""

    code = "older_than_the_newest"


class ComparisonConflict(DomainError):
    """The number of this compare was used before, for something else."""

    code = "comparison_conflict"


class NothingCompared(BadInput):
    """A compare without figures that does not say that nothing lies there."""

    code = "nothing_compared"


@dataclass(frozen=True, slots=True)
class Figure:
    """`quantity` units of a SKU, as somebody else's books say."""

    sku_code: str
    quantity: int
    grade: str = Grade.GOOD.value


@dataclass(frozen=True, slots=True)
class Read:
    """Figures by place, and what could not be taken as one: its name with a sentence that says why."""

    figures: dict[tuple[int, str], int] = field(default_factory=dict)
    unknown: list[tuple[str, str]] = field(default_factory=list)


# One compare of a location at a time: two could open the same difference, and an older one close what a newer has
# found. Nothing else takes this lock, and a crash gives it back.
ONE_COMPARE = "SELECT pg_advisory_xact_lock(hashtext('inventory.compare_stock'), %s::int)"
NEWEST = "SELECT max(cut_off_at) FROM inventory_stockcomparison WHERE location_id = %s"

# What the books said at the cut-off: what they say now, less what has moved since. Both are read in one statement and
# so in one snapshot. A movement at the very moment of the cut-off lies before it. What was booked because of a
# difference was true at its cut-off, which is no later than this one. Accounts: 10 level free, 11 level committed.
# Plan: of a few SKUs movement_by_sku; of a whole location one pass over the ledger, as the doctor makes it.
_BOOKS = """
    levels AS MATERIALIZED (
        SELECT id, sku_id, grade, on_hand, committed FROM inventory_stocklevel v
        WHERE v.location_id = %(location)s AND (
            (v.sku_id, v.grade) IN (SELECT s.sku_id, s.grade FROM said s)
            OR %(complete)s AND (%(grades)s::text[] IS NULL OR v.grade = ANY(%(grades)s::text[])))
    ), moved AS (
        SELECT ident, sum(on_hand) AS on_hand, sum(committed) AS committed FROM (
            SELECT m.to_id AS ident, m.quantity AS on_hand,
                   CASE WHEN m.to_account = 11 THEN m.quantity ELSE 0 END AS committed
            FROM inventory_stockmovement m
            WHERE m.sku_id IN (SELECT l.sku_id FROM levels l) AND m.at > %(cut_off)s AND m.to_account IN (10, 11)
              AND m.document NOT LIKE %(booked)s
            UNION ALL
            SELECT m.from_id, -m.quantity, CASE WHEN m.from_account = 11 THEN -m.quantity ELSE 0 END
            FROM inventory_stockmovement m
            WHERE m.sku_id IN (SELECT l.sku_id FROM levels l) AND m.at > %(cut_off)s AND m.from_account IN (10, 11)
              AND m.document NOT LIKE %(booked)s
        ) both_ways GROUP BY ident
    ), books AS (
        SELECT l.sku_id, l.grade,
               sum(l.on_hand - coalesce(m.on_hand, 0))
               - CASE WHEN %(net)s THEN sum(l.committed - coalesce(m.committed, 0)) ELSE 0 END AS units
        FROM levels l LEFT JOIN moved m ON m.ident = l.id GROUP BY l.sku_id, l.grade
    )
"""
# The open differences are locked by id, as whoever decides on them locks them. One pass: what is equal closes, what
# differs still is noted once more, what differs newly is opened with the cut-off as its beginning.
COMPARE = f"""
    WITH said AS (
        SELECT * FROM unnest(%(skus)s::bigint[], %(grade_of)s::text[], %(units)s::int[]) AS v(sku_id, grade, units)
    ), {_BOOKS}, known AS MATERIALIZED (
        SELECT d.id, d.sku_id, d.grade FROM inventory_stockdifference d
        WHERE d.location_id = %(location)s AND d.state = 'open' ORDER BY d.id FOR NO KEY UPDATE
    ), judged AS MATERIALIZED (
        SELECT k.id, sku_id, grade, coalesce(b.units, 0)::int AS ours, coalesce(s.units, 0) AS theirs
        FROM said s
        FULL JOIN books b USING (sku_id, grade)
        FULL JOIN (
            SELECT * FROM known o WHERE (o.sku_id, o.grade) IN (SELECT sku_id, grade FROM said)
                OR %(complete)s AND (%(grades)s::text[] IS NULL OR o.grade = ANY(%(grades)s::text[]))
        ) k USING (sku_id, grade)
    ), closed AS (
        UPDATE inventory_stockdifference d
        SET state = 'gone', ours = j.ours, theirs = j.theirs, basis = %(basis)s, cut_off_at = %(cut_off)s,
            comparison_id = %(comparison)s, closed_at = %(at)s, closed_by = %(by)s
        FROM judged j WHERE d.id = j.id AND j.ours = j.theirs
        RETURNING d.id
    ), seen_again AS (
        UPDATE inventory_stockdifference d
        SET ours = j.ours, theirs = j.theirs, basis = %(basis)s, cut_off_at = %(cut_off)s,
            comparison_id = %(comparison)s, times = d.times + 1
        FROM judged j WHERE d.id = j.id AND j.ours <> j.theirs
        RETURNING d.id
    ), opened AS (
        INSERT INTO inventory_stockdifference
            (location_id, sku_id, grade, ours, theirs, basis, cut_off_at, comparison_id, since)
        SELECT %(location)s, sku_id, grade, ours, theirs, %(basis)s, %(cut_off)s, %(comparison)s, %(cut_off)s
        FROM judged WHERE id IS NULL AND ours <> theirs ORDER BY sku_id, grade
        RETURNING id
    )
    SELECT (SELECT count(*) FROM judged WHERE ours <> 0 OR theirs <> 0 OR id IS NOT NULL),
           (SELECT count(*) FROM opened) + (SELECT count(*) FROM seen_again), (SELECT count(*) FROM closed)
"""  # noqa: S608 - put together from constants


def read_figures(lines: Sequence[Figure], *, visible: Collection[int] | None = None) -> Read:
    """Find the SKUs that figures are said of; lines of the same SKU and grade are added up.

    What cannot be taken is handed back with its reason: a code that nobody knows (or not among the SKUs `visible`), a
    bundle, which lies nowhere as such, a quantity below nothing.
    """
    codes = {line.sku_code for line in lines}
    found = dict(Sku.objects.filter(code__in=codes).values_list("code", "pk"))
    if visible is not None:
        found = {code: pk for code, pk in found.items() if pk in visible}
    bundles = components_of(found.values())
    read = Read()
    for line in lines:
        sku_id = found.get(line.sku_code)
        reason = ""
        if sku_id is None:
            reason = sentence("no SKU has this code")
        elif sku_id in bundles:
            reason = sentence("a bundle has no stock of its own")
        elif line.quantity < 0:
            reason = sentence("fewer than none were said to lie there")
        elif line.quantity > UNITS_MAX:
            reason = sentence("more were said to lie there than can be counted")
        if reason or sku_id is None:
            read.unknown.append((line.sku_code, reason))
        else:
            place = (sku_id, line.grade)
            read.figures[place] = min(read.figures.get(place, 0) + line.quantity, UNITS_MAX)
    return read


@transaction.atomic
def compare_stock(
    *,
    location_id: int,
    figures: Mapping[tuple[int, str], int],
    basis: str,
    cut_off_at: datetime,
    source: str,
    is_complete: bool,
    external_number: str | None = None,
    unknown: Sequence[tuple[str, str]] = (),
    grades: Collection[str] | None = None,
    at: datetime,
    by: str,
) -> StockComparison:
    """Note where the books of a location, for the moment of the cut-off, say something else than `figures`.

    `figures`: units by SKU id and grade. `basis`: `gross`, all that lies there, or `net`, less what is committed to
    open orders. `is_complete`: what it does not name does not lie there; `grades` restricts that to the grades that
    the other side knows. `unknown`: what it named and nobody could place (see `read_figures`), kept with the compare.

    One difference is open per SKU and grade of a location: it is opened, noted once more, or closed when both agree.
    No stock changes. The same external number is compared once: the compare that was made is returned.

    Raises UnknownLocation, NothingCompared, CutOffInTheFuture, OlderThanTheNewest, ComparisonConflict.
    """
    basis = StockBasis(basis).value
    if not figures and not unknown and not is_complete:
        raise NothingCompared(_("A compare needs figures, or must say that nothing lies there."))
    if cut_off_at > at:
        raise CutOffInTheFuture(
            _("The cut-off lies in the future."), fields={"cut_off_at": [_("It lies in the future.")]}
        )
    fetch_all(ONE_COMPARE, [location_id])
    places = sorted(figures)
    said = [location_id, basis, cut_off_at.isoformat(), is_complete, sorted(grades) if grades else None]
    content = [said, [[*place, figures[place]] for place in places], sorted(map(list, unknown))]
    fingerprint = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    if external_number:
        known = StockComparison.objects.filter(external_number=external_number).first()
        if known is not None:
            return _same(known, fingerprint)
    newest = fetch_all(NEWEST, [location_id])[0][0]
    if newest is not None and cut_off_at < newest:
        raise OlderThanTheNewest(
            _("This location was compared as of %(newest)s already, later than this cut-off.")
            % {"newest": newest.isoformat(timespec="seconds")},
            extra={"newest_cut_off_at": newest.isoformat()},
        )
    comparison = _create(
        location_id=location_id,
        source=source,
        external_number=external_number or None,
        basis=basis,
        cut_off_at=cut_off_at,
        is_complete=is_complete,
        unknown=[list(pair) for pair in unknown[:UNKNOWN_SHOWN]],
        fingerprint=fingerprint,
        compared_at=at,
        by=by,
    )
    compared, differing, gone = fetch_all(
        COMPARE,
        {
            "skus": as_array(sku_id for sku_id, _grade in places),
            "grade_of": as_text_array(grade for _sku, grade in places),
            "units": as_array(figures[place] for place in places),
            "location": location_id,
            "complete": is_complete,
            "grades": list(grades) if grades is not None else None,
            "net": basis == StockBasis.NET,
            "basis": basis,
            "cut_off": cut_off_at,
            "booked": f"{BOOKED}%",
            "comparison": comparison.pk,
            "at": at,
            "by": by,
        },
    )[0]
    comparison.compared, comparison.differing = compared, differing
    comparison.save(update_fields=["compared", "differing"])
    detail = {"compared": compared, "differing": differing, "gone": gone, "unknown": len(unknown)}
    record_act(by=by, action="stock.compared", subject=comparison, reason=source, detail=detail)
    return comparison


def _create(**values: object) -> StockComparison:
    """A row of the compare; a location that is not there is told before the key of the table would."""
    known = fetch_all("SELECT 1 FROM inventory_location WHERE id = %s FOR KEY SHARE", [values["location_id"]])
    if not known:
        raise UnknownLocation(_("There is no such location."))
    return StockComparison.objects.create(**values)


def _same(known: StockComparison, fingerprint: str) -> StockComparison:
    if known.fingerprint != fingerprint:
        raise ComparisonConflict(
            _("%(number)s was compared before with other content; use another number.")
            % {"number": known.external_number},
        )
    return known

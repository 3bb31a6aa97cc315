"""Count a location: what was counted is compared with the books of that moment, and booked once a person agrees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from inventory.book import (
    CommittedStock,
    NotOnHand,
    Place,
    UnknownPlace,
    book_differences,
    check_level,
    open_books,
    refuse_bundles,
    take_operation,
)
from inventory.count import NothingCounted
from inventory.lock import LockDidNotHold, LockedLevel, lock_levels
from inventory.models import CountLine, CountSheet, Location
from inventory.models.ledger import Account, MovementKind
from inventory.models.stock import Grade
from omni.kernel.audit import record_act
from omni.kernel.errors import BadInput, DomainError, NotAllowed, NotFound
from omni.kernel.numbers import document_number, take_ids
from omni.kernel.sentences import read_sentence, sentence
from omni.kernel.sql import execute, fetch_all
from products.models import Sku

State = CountSheet.State


class UnknownSheet(NotFound):
    """There is no such count sheet."""

    code = "unknown_count_sheet"


class WrongSheetState(DomainError):
    """The count sheet is not at the step at which this can be done."""

    code = "wrong_count_sheet_state"


class CountedInFuture(BadInput):
    """A count holds for a moment that has not come yet."""

    code = "counted_in_future"


class NotAPerson(NotAllowed):
    """A machine cannot confirm what was counted."""

    code = "not_a_person"


@dataclass(frozen=True, slots=True)
class CountedLine:
    """`counted` units of a SKU lay there: gross, whatever is committed to orders included."""

    sku_id: int
    counted: int
    grade: str = Grade.GOOD.value
    owner: str = "own"


@dataclass(frozen=True, slots=True)
class LeftLine:
    """A line that could not be booked, and why."""

    line_id: int
    sku: str
    text: str


@dataclass(frozen=True, slots=True)
class Confirmation:
    """`posted`: lines whose variance is booked now, those without one included. `left`: those that are not."""

    posted: int
    left: list[LeftLine]


# Before all other locks. A sheet that two people confirm at once is booked once.
LOCK_SHEET = "SELECT id FROM inventory_countsheet WHERE id = %s FOR NO KEY UPDATE"

LEVELS_OF_SHEET = """
    SELECT v.id FROM inventory_countline c
    JOIN inventory_countsheet s ON s.id = c.sheet_id
    JOIN inventory_stocklevel v
      ON v.location_id = s.location_id AND v.sku_id = c.sku_id AND v.grade = c.grade AND v.owner = c.owner
    WHERE c.sheet_id = %s
"""
# With the levels locked: what lies there now, less what the ledger says has come and gone since the count. One
# statement, so that both are of one moment. Plan: movement_by_sku. Accounts: 10 level free, 11 level committed.
WRITE_BOOKED = """
    UPDATE inventory_countline c SET booked = coalesce(v.on_hand, 0) - coalesce(m.since, 0)
    FROM inventory_countline l
    JOIN inventory_countsheet s ON s.id = l.sheet_id
    LEFT JOIN inventory_stocklevel v
      ON v.location_id = s.location_id AND v.sku_id = l.sku_id AND v.grade = l.grade AND v.owner = l.owner
    LEFT JOIN LATERAL (
        SELECT sum(CASE WHEN to_account IN (10, 11) AND to_id = v.id THEN quantity ELSE 0 END
                 - CASE WHEN from_account IN (10, 11) AND from_id = v.id THEN quantity ELSE 0 END) AS since
        FROM inventory_stockmovement WHERE sku_id = v.sku_id AND at > s.counted_at
          AND (to_account IN (10, 11) AND to_id = v.id OR from_account IN (10, 11) AND from_id = v.id)
    ) m ON true
    WHERE c.id = l.id AND l.sheet_id = %s
"""
WRITE_POSTED = """
    UPDATE inventory_countline c SET posted = v.posted, reason = ''
    FROM unnest(%s::bigint[], %s::int[]) AS v(id, posted) WHERE c.id = v.id AND c.posted IS NULL
"""
WRITE_LEFT = """
    UPDATE inventory_countline c SET reason = v.reason FROM unnest(%s::bigint[], %s::text[]) AS v(id, reason)
    WHERE c.id = v.id
"""


@transaction.atomic
def open_count_sheet(
    *,
    location_id: int,
    lines: Sequence[CountedLine],
    counted_at: datetime,
    at: datetime,
    by: str,
    note: str = "",
    external_number: str = "",
) -> CountSheet:
    """Write down what was counted at a location; nothing is booked by it.

    `counted_at`: the moment for which the counts hold. `external_number`: the sender's own; the same number with the
    same content gives the sheet that was opened before. Raises OperationConflict with other content, NothingCounted,
    CountedInFuture, UnknownPlace, BundleHasNoStock.
    """
    _check_lines(lines)
    if counted_at > at:
        raise CountedInFuture(
            _("The count is of %(moment)s, which has not come yet.") % {"moment": counted_at}
        )
    if external_number:
        content = [location_id, counted_at.isoformat(), sorted(astuple(line) for line in lines)]
        key = f"count_sheet:{external_number}"
        if not take_operation(key=key, kind=MovementKind.COUNT, content=content, reason=note, at=at, by=by):
            return CountSheet.objects.get(external_number=external_number)
    if not Location.objects.filter(pk=location_id).exists():
        raise UnknownPlace(_("Location %(location)s does not exist.") % {"location": location_id})
    (ident,) = take_ids(CountSheet, 1)
    sheet = CountSheet.objects.create(
        pk=ident,
        number=document_number("CS", ident),
        external_number=external_number or None,
        location_id=location_id,
        counted_at=counted_at,
        note=note[:200],
        created_by=by,
        created_at=at,
    )
    _write_lines(sheet, lines)
    record_act(by=by, action="open_count_sheet", subject=sheet, reason=note)
    return sheet


def _check_lines(lines: Sequence[CountedLine]) -> None:
    places = {(line.sku_id, line.grade, line.owner) for line in lines}
    if not lines or len(places) < len(lines) or min(line.counted for line in lines) < 0:
        raise NothingCounted(_("A count needs lines, each of other goods and of no less than 0 units."))


def _write_lines(sheet: CountSheet, lines: Sequence[CountedLine]) -> None:
    skus = {line.sku_id for line in lines}
    known = set(Sku.objects.filter(pk__in=skus).values_list("pk", flat=True))
    if known != skus:
        raise UnknownPlace(_("SKU %(sku)s does not exist.") % {"sku": min(skus - known)})
    refuse_bundles(skus)
    CountLine.objects.bulk_create(
        CountLine(sheet=sheet, sku_id=line.sku_id, counted=line.counted, grade=line.grade, owner=line.owner)
        for line in lines
    )


@transaction.atomic
def recount_sheet(*, sheet_id: int, lines: Sequence[CountedLine], at: datetime, by: str) -> None:
    """Take these counts in the place of those that the open sheet has for the same goods, and beside all others.

    Raises UnknownSheet, WrongSheetState, NothingCounted, UnknownPlace, BundleHasNoStock.
    """
    _check_lines(lines)
    sheet = _lock_sheet(sheet_id)
    _expect(sheet, State.OPEN)
    known = {(line.sku_id, line.grade, line.owner): line for line in sheet.lines.all()}
    again, new = [], []
    for line in lines:
        before = known.get((line.sku_id, line.grade, line.owner))
        if before:
            before.counted = line.counted
            again.append(before)
        else:
            new.append(line)
    CountLine.objects.bulk_update(again, ["counted"])
    _write_lines(sheet, new)
    record_act(by=by, action="recount_sheet", subject=sheet, detail={"lines": len(lines)})


def _lock_sheet(sheet_id: int) -> CountSheet:
    if not fetch_all(LOCK_SHEET, [sheet_id]):
        raise UnknownSheet(_("There is no count sheet %(sheet)s.") % {"sheet": sheet_id})
    return CountSheet.objects.select_related("location").get(pk=sheet_id)


def _expect(sheet: CountSheet, state: CountSheet.State) -> None:
    if sheet.state != state:
        raise WrongSheetState(
            _("%(sheet)s is “%(state)s”; this can only be done while it is “%(wanted)s”.")
            % {"sheet": sheet, "state": sheet.get_state_display(), "wanted": state.label},
            extra={"count_sheet": sheet.number, "state": sheet.state},
        )


@transaction.atomic
def submit_count_sheet(*, sheet_id: int, at: datetime, by: str) -> None:
    """End the count: each line is told what the books said at the moment of the count, and waits for a person.

    Nothing is booked. Raises UnknownSheet, WrongSheetState.
    """
    sheet = _lock_sheet(sheet_id)
    _expect(sheet, State.OPEN)
    # Whatever is changing there at this moment is finished first: a half of it would be counted wrongly.
    lock_levels(row[0] for row in fetch_all(LEVELS_OF_SHEET, [sheet.pk]))
    execute(WRITE_BOOKED, [sheet.pk])
    CountSheet.objects.filter(pk=sheet.pk).update(state=State.SUBMITTED)
    record_act(by=by, action="submit_count_sheet", subject=sheet)


@transaction.atomic
def confirm_count_sheet(*, sheet_id: int, reason: str, at: datetime, by: str) -> Confirmation:
    """Book the variances: counted − booked, on top of what lies there today, so that what has moved since stays.

    Missing units are taken from what is free, then from the youngest held promises, as by a count. A line that would
    leave fewer units than are committed to orders is left, says why, and keeps the sheet waiting: confirm it again
    when they are taken back, or reject the rest. Nothing is booked twice.

    Only a person confirms. Raises NotAPerson, UnknownSheet, WrongSheetState.
    """
    _refuse_machines(by)
    sheet = _lock_sheet(sheet_id)
    _expect(sheet, State.SUBMITTED)
    lines = list(sheet.lines.filter(posted__isnull=True).select_related("sku").order_by("pk"))
    places = {line.pk: Place(sheet.location_id, line.sku_id, line.grade, line.owner) for line in lines}
    variances = {line.pk: line.counted - (line.booked or 0) for line in lines}
    changing = [places[pk] for pk, variance in variances.items() if variance]
    left: dict[int, str] = {}
    if changing:
        books = open_books(changing)
        for pk, variance in variances.items():
            if variance and (text := _why_left(books.levels[places[pk]], variance)):
                left[pk] = text
        book_differences(
            {places[pk]: variance for pk, variance in variances.items() if variance and pk not in left},
            books=books,
            kind=MovementKind.COUNT,
            outside=Account.ADJUSTMENT,
            at=at,
            by=by,
            document=sheet.number,
        )
    posted = {pk: variance for pk, variance in variances.items() if pk not in left}
    if posted and execute(WRITE_POSTED, [list(posted), list(posted.values())]) != len(posted):
        raise LockDidNotHold("a line of a count was booked although its sheet was locked")
    if left:
        execute(WRITE_LEFT, [list(left), list(left.values())])
    CountSheet.objects.filter(pk=sheet.pk).update(
        state=State.SUBMITTED if left else State.CONFIRMED,
        decided_by=by,
        decided_at=at,
        reason=reason[:200],
    )
    detail = {"posted": len(posted), "left": len(left)}
    record_act(by=by, action="confirm_count_sheet", subject=sheet, reason=reason, detail=detail)
    codes = {line.pk: line.sku.code for line in lines}
    return Confirmation(
        len(posted), [LeftLine(pk, codes[pk], read_sentence(text)) for pk, text in left.items()]
    )


def _refuse_machines(by: str) -> None:
    if not by.startswith("user:"):
        raise NotAPerson(_("What was counted is confirmed or rejected by a person."))


def _why_left(level: LockedLevel, variance: int) -> str:
    """Why a variance cannot be booked, as a sentence to be kept; empty: it can."""
    try:
        check_level(level, variance)
    except (NotOnHand, CommittedStock):
        facts = {"less": -variance, "there": level.on_hand, "committed": level.committed}
        return str(
            sentence(
                "%(less)d fewer: %(there)d lie there, %(committed)d of them committed to orders. Take those back first."
            )
            % facts
        )
    return ""


@transaction.atomic
def reject_count_sheet(*, sheet_id: int, reason: str, at: datetime, by: str) -> None:
    """Book nothing of a sheet. Of one of which some lines are booked, the rest is dropped and it counts as confirmed.

    Only a person rejects. Raises NotAPerson, UnknownSheet, WrongSheetState.
    """
    _refuse_machines(by)
    sheet = _lock_sheet(sheet_id)
    if sheet.state != State.OPEN:
        _expect(sheet, State.SUBMITTED)
    is_partly_posted = sheet.lines.filter(posted__isnull=False).exists()
    CountSheet.objects.filter(pk=sheet.pk).update(
        state=State.CONFIRMED if is_partly_posted else State.REJECTED,
        decided_by=by,
        decided_at=at,
        reason=reason[:200],
    )
    record_act(by=by, action="reject_count_sheet", subject=sheet, reason=reason)

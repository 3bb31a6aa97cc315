"""Move goods between locations: planned, sent, received in as many parts as they come, and every unit accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from inventory.book import (
    Place,
    UnknownPlace,
    book_differences,
    open_books,
    refuse_bundles,
    take_operation,
)
from inventory.lock import LockDidNotHold
from inventory.models import Location, Transfer, TransferLine
from inventory.models.ledger import Account, MovementKind
from inventory.models.stock import Grade
from inventory.record import Movement, record_movements
from omni.kernel.audit import record_act
from omni.kernel.errors import BadInput, DomainError, NotFound
from omni.kernel.numbers import document_number, take_ids
from omni.kernel.sql import execute, fetch_all
from products.models import Sku

State = Transfer.State
KIND = MovementKind.TRANSFER


class NothingTransferred(BadInput):
    """A transfer without lines, of less than one unit, twice of the same goods, or to the place where it begins."""

    code = "nothing_transferred"


class UnknownTransfer(NotFound):
    """There is no such transfer, or it has no such line."""

    code = "unknown_transfer"


class WrongTransferState(DomainError):
    """The transfer is not at the step at which this can be done."""

    code = "wrong_transfer_state"


class MoreThanPlanned(DomainError):
    """More would leave than the transfer was made for."""

    code = "more_than_planned"


class MoreThanShipped(DomainError):
    """More would arrive or be lost than is under way."""

    code = "more_than_shipped"


class ReasonMissing(BadInput):
    """Units are lost or damaged, and nobody said why."""

    code = "discrepancy_reason_missing"


@dataclass(frozen=True, slots=True)
class TransferItem:
    """`quantity` units of a SKU that are to be moved."""

    sku_id: int
    quantity: int
    grade: str = Grade.GOOD.value
    owner: str = "own"


@dataclass(frozen=True, slots=True)
class Arrival:
    """What came of a line this time.

    `received`: units that arrived, damaged ones included; `damaged` of these arrive as `damaged_grade`. `lost`: units
    that will not come. `reason`: one of TransferLine.Discrepancy; lost units need one.
    """

    line_id: int
    received: int
    damaged: int = 0
    lost: int = 0
    reason: str = ""
    damaged_grade: str = Grade.DEFECTIVE.value


# Before all other locks. Two receipts of one transfer come one after the other, and the second sees what is left.
LOCK_TRANSFER = "SELECT id FROM inventory_transfer WHERE id = %s FOR NO KEY UPDATE"

# The guard is the second net, the CHECK the third.
ADD_ARRIVALS = """
    UPDATE inventory_transferline l
    SET received = l.received + v.received, damaged = l.damaged + v.damaged, lost = l.lost + v.lost,
        reason = CASE WHEN v.reason = '' THEN l.reason ELSE v.reason END
    FROM unnest(%s::bigint[], %s::int[], %s::int[], %s::int[], %s::text[])
        AS v(id, received, damaged, lost, reason)
    WHERE l.id = v.id AND l.shipped - l.received - l.lost >= v.received + v.lost
"""


@transaction.atomic
def plan_transfer(
    *,
    source_id: int,
    destination_id: int,
    items: Sequence[TransferItem],
    at: datetime,
    by: str,
    note: str = "",
    external_number: str = "",
    expected_at: datetime | None = None,
) -> Transfer:
    """Write a transfer down as a draft; nothing moves yet.

    `external_number`: the sender's own; the same number with the same content gives the transfer that was made before.
    Raises OperationConflict with other content, NothingTransferred, UnknownPlace, BundleHasNoStock.
    """
    goods = {(item.sku_id, item.grade, item.owner) for item in items}
    if not items or len(goods) < len(items) or any(item.quantity <= 0 for item in items):
        raise NothingTransferred(_("A transfer needs lines of at least one unit, each of other goods."))
    if source_id == destination_id:
        raise NothingTransferred(_("A transfer goes to another location than the one where it begins."))
    if external_number:
        content = [source_id, destination_id, sorted(astuple(item) for item in items)]
        key = f"transfer:{external_number}"
        if not take_operation(key=key, kind=KIND, content=content, reason=note, at=at, by=by):
            return Transfer.objects.get(external_number=external_number)
    _check_places(source_id, destination_id, sorted({item.sku_id for item in items}))
    (ident,) = take_ids(Transfer, 1)
    transfer = Transfer.objects.create(
        pk=ident,
        number=document_number("TR", ident),
        external_number=external_number or None,
        source_id=source_id,
        destination_id=destination_id,
        note=note[:200],
        created_by=by,
        created_at=at,
        expected_at=expected_at,
    )
    TransferLine.objects.bulk_create(
        TransferLine(
            transfer=transfer, sku_id=item.sku_id, grade=item.grade, owner=item.owner, quantity=item.quantity
        )
        for item in items
    )
    record_act(by=by, action="plan_transfer", subject=transfer, reason=note)
    return transfer


def _check_places(source_id: int, destination_id: int, skus: Sequence[int]) -> None:
    places = Location.objects.in_bulk([source_id, destination_id])
    for ident in (source_id, destination_id):
        if ident not in places:
            raise UnknownPlace(_("Location %(location)s does not exist.") % {"location": ident})
    if not places[destination_id].is_active:
        raise UnknownPlace(
            _("%(location)s is not active: nothing is sent there.") % {"location": places[destination_id]}
        )
    known = set(Sku.objects.filter(pk__in=skus).values_list("pk", flat=True))
    if len(known) < len(skus):
        raise UnknownPlace(_("SKU %(sku)s does not exist.") % {"sku": min(set(skus) - known)})
    refuse_bundles(skus)


def _lock_transfer(transfer_id: int) -> Transfer:
    if not fetch_all(LOCK_TRANSFER, [transfer_id]):
        raise UnknownTransfer(_("There is no transfer %(transfer)s.") % {"transfer": transfer_id})
    return Transfer.objects.select_related("source", "destination").get(pk=transfer_id)


def _expect(transfer: Transfer, state: Transfer.State) -> None:
    if transfer.state != state:
        raise WrongTransferState(
            _("%(transfer)s is “%(state)s”; this can only be done while it is “%(wanted)s”.")
            % {"transfer": transfer, "state": transfer.get_state_display(), "wanted": state.label},
            extra={"transfer": transfer.number, "state": transfer.state},
        )


def _lines(transfer: Transfer, wanted: Sequence[int]) -> dict[int, TransferLine]:
    lines = {line.pk: line for line in transfer.lines.select_related("sku").order_by("pk")}
    missing = sorted(set(wanted) - set(lines))
    if missing:
        raise UnknownTransfer(
            _("%(transfer)s has no line %(line)s.") % {"transfer": transfer, "line": missing[0]}
        )
    return lines


@transaction.atomic
def ship_transfer(
    *, transfer_id: int, at: datetime, by: str, quantities: Mapping[int, int] | None = None
) -> bool:
    """Let the goods of a draft leave: on hand → in transit, and out of the pools of their group.

    Only what is free may leave: no promise is withdrawn for it. `quantities`, by line: what really left, at most what
    was planned, 0 for a line that stays; None: all that was planned.

    False if the same left before. Raises UnknownTransfer, WrongTransferState, MoreThanPlanned, NothingTransferred,
    NotOnHand, NotFree; then nothing has moved.
    """
    transfer = _lock_transfer(transfer_id)
    lines = _lines(transfer, list(quantities or ()))
    leaving = {pk: quantities.get(pk, 0) if quantities else line.quantity for pk, line in lines.items()}
    if transfer.state in (State.SHIPPED, State.CLOSED) and leaving == {
        pk: line.shipped for pk, line in lines.items()
    }:
        return False
    _expect(transfer, State.DRAFT)
    if min(leaving.values()) < 0 or not any(leaving.values()):
        raise NothingTransferred(_("At least one unit has to leave, and no line less than none."))
    for pk, units in leaving.items():
        if units > lines[pk].quantity:
            raise MoreThanPlanned(
                _("%(sku)s: %(units)s units would leave, %(planned)s were planned.")
                % {"sku": lines[pk].sku.code, "units": units, "planned": lines[pk].quantity}
            )
    differences = {
        Place(transfer.source_id, lines[pk].sku_id, lines[pk].grade, lines[pk].owner): -units
        for pk, units in leaving.items()
        if units
    }
    _book(transfer, differences, at=at, by=by)
    for pk, line in lines.items():
        line.shipped = leaving[pk]
    TransferLine.objects.bulk_update(lines.values(), ["shipped"])
    Transfer.objects.filter(pk=transfer.pk).update(state=State.SHIPPED, shipped_at=at)
    record_act(by=by, action="ship_transfer", subject=transfer)
    return True


def _book(transfer: Transfer, differences: Mapping[Place, int], *, at: datetime, by: str) -> None:
    """Between a location and the transfer's own account."""
    book_differences(
        differences,
        books=open_books(differences),
        kind=KIND,
        outside=Account.IN_TRANSIT,
        outside_id=transfer.pk,
        at=at,
        by=by,
        document=transfer.number,
        only_free=True,
    )


@transaction.atomic
def receive_transfer(
    *, key: str, transfer_id: int, arrivals: Sequence[Arrival], at: datetime, by: str, note: str = ""
) -> bool:
    """Put what arrived on hand where it was sent, and account for what did not. In as many parts as it comes.

    Good units go to the pools of the destination's group. Lost units leave the books; if they turn up somewhere they
    are booked there by an adjustment. The transfer closes by itself when nothing is under way any more.

    `key` is the number of the receipt: False if it was taken before, which changes nothing. Raises OperationConflict,
    UnknownTransfer, WrongTransferState, NothingTransferred, ReasonMissing, and MoreThanShipped if more would arrive
    than is under way: what came too much is received as an adjustment, once somebody knows where it came from.
    """
    content = [transfer_id, sorted(astuple(arrival) for arrival in arrivals)]
    if not take_operation(key=key, kind=KIND, content=content, reason=note, at=at, by=by):
        return False
    transfer = _lock_transfer(transfer_id)
    _account_for(transfer, arrivals, at=at, by=by, note=note)
    return True


@transaction.atomic
def close_transfer(*, transfer_id: int, reason: str, at: datetime, by: str, note: str = "") -> int:
    """Give up what is still under way: it is lost for this reason (TransferLine.Discrepancy). Returns the units.

    Raises UnknownTransfer, WrongTransferState, ReasonMissing.
    """
    transfer = _lock_transfer(transfer_id)
    _expect(transfer, State.SHIPPED)
    lines = _lines(transfer, ()).values()
    arrivals = [
        Arrival(line.pk, 0, lost=line.shipped - line.received - line.lost, reason=reason)
        for line in lines
        if line.shipped > line.received + line.lost
    ]
    _account_for(transfer, arrivals, at=at, by=by, note=note)
    return sum(arrival.lost for arrival in arrivals)


@transaction.atomic
def cancel_transfer(*, transfer_id: int, reason: str, at: datetime, by: str) -> None:
    """Drop a draft. What has left can only be received or accounted for. Raises UnknownTransfer, WrongTransferState."""
    transfer = _lock_transfer(transfer_id)
    _expect(transfer, State.DRAFT)
    Transfer.objects.filter(pk=transfer.pk).update(state=State.CANCELLED, closed_at=at)
    record_act(by=by, action="cancel_transfer", subject=transfer, reason=reason)


def _account_for(
    transfer: Transfer, arrivals: Sequence[Arrival], *, at: datetime, by: str, note: str
) -> None:
    _expect(transfer, State.SHIPPED)
    lines = _lines(transfer, [arrival.line_id for arrival in arrivals])
    differences: Counter[Place] = Counter()
    lost = []
    for arrival in arrivals:
        line = lines[arrival.line_id]
        _check_arrival(arrival, line)
        for grade, units in (
            (line.grade, arrival.received - arrival.damaged),
            (arrival.damaged_grade, arrival.damaged),
        ):
            if units:
                differences[Place(transfer.destination_id, line.sku_id, grade, line.owner)] += units
        if arrival.lost:
            gone, under_way = Account.ADJUSTMENT, Account.IN_TRANSIT
            lost.append(Movement(line.sku_id, arrival.lost, under_way, transfer.pk, gone, 0))
    if len({arrival.line_id for arrival in arrivals}) < len(arrivals) or not (differences or lost):
        raise NothingTransferred(_("A receipt names units that came or are lost, and each line once."))
    if differences:
        _book(transfer, differences, at=at, by=by)
    record_movements(lost, kind=KIND, at=at, by=by, document=transfer.number)
    columns = [
        [getattr(arrival, name) for arrival in arrivals]
        for name in ("line_id", "received", "damaged", "lost", "reason")
    ]
    columns[4] = [_reason(arrival) for arrival in arrivals]
    if execute(ADD_ARRIVALS, columns) != len(arrivals):
        raise LockDidNotHold("less of a transfer was under way than was counted under its lock")
    coming = Counter({arrival.line_id: arrival.received + arrival.lost for arrival in arrivals})
    if all(line.shipped == line.received + line.lost + coming[pk] for pk, line in lines.items()):
        Transfer.objects.filter(pk=transfer.pk).update(state=State.CLOSED, closed_at=at)
    came = sum(arrival.received for arrival in arrivals)
    missing = sum(arrival.lost for arrival in arrivals)
    record_act(
        by=by,
        action="receive_transfer",
        subject=transfer,
        reason=note,
        detail={"received": came, "lost": missing},
    )


def _reason(arrival: Arrival) -> str:
    reason = TransferLine.Discrepancy.DAMAGED.value if arrival.damaged and not arrival.lost else ""
    return arrival.reason or reason


def _check_arrival(arrival: Arrival, line: TransferLine) -> None:
    if min(arrival.received, arrival.damaged, arrival.lost) < 0 or arrival.damaged > arrival.received:
        raise NothingTransferred(_("No more units are damaged than came, and none of them fewer than 0."))
    if arrival.damaged and arrival.damaged_grade == line.grade:
        raise NothingTransferred(_("Damaged units arrive in another grade than they left with."))
    if arrival.reason not in ("", *TransferLine.Discrepancy.values):
        raise ReasonMissing(_("“%(reason)s” is no reason of a discrepancy.") % {"reason": arrival.reason})
    if arrival.lost and not arrival.reason:
        raise ReasonMissing(
            _("%(sku)s: say why %(lost)s units did not arrive.")
            % {"sku": line.sku.code, "lost": arrival.lost}
        )
    under_way = line.shipped - line.received - line.lost
    if arrival.received + arrival.lost > under_way:
        raise MoreThanShipped(
            _("%(sku)s: %(came)s units would arrive or be lost, but only %(there)s are under way.")
            % {"sku": line.sku.code, "came": arrival.received + arrival.lost, "there": under_way},
            extra={"sku": line.sku.code, "line": line.pk, "in_transit": under_way},
        )

"""Give units another grade: what was inspected and is good is sold in the same minute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from inventory.book import Place, book_differences, open_books, take_operation
from inventory.models.ledger import Account, MovementKind
from omni.kernel.errors import BadInput


class NothingRegraded(BadInput):
    """A change of grade without lines, of less than one unit, or to the grade that the units have."""

    code = "nothing_regraded"


@dataclass(frozen=True, slots=True)
class Regrade:
    """`quantity` units of a SKU at a location go from one grade to another."""

    location_id: int
    sku_id: int
    quantity: int
    from_grade: str
    to_grade: str
    owner: str = "own"


@transaction.atomic
def regrade_stock(*, key: str, lines: Sequence[Regrade], reason: str, at: datetime, by: str) -> bool:
    """Change the grade of units, all of the lines or none.

    What becomes good is granted to the pools at once, the safety pool up to its target first, and the planner of
    published numbers is woken. What stops being good must be free: no promise is withdrawn for it, and nothing that
    is committed to orders is taken.

    `key` is the number of the change: False if it was made before, which changes nothing. Raises OperationConflict,
    NothingRegraded, UnknownPlace, NotOnHand, NotFree.
    """
    if not lines or any(line.quantity <= 0 or line.from_grade == line.to_grade for line in lines):
        raise NothingRegraded(
            _("A change of grade needs lines of at least one unit and two different grades.")
        )
    content = sorted(astuple(line) for line in lines)
    kind = MovementKind.REGRADE
    if not take_operation(key=key, kind=kind, content=content, reason=reason, at=at, by=by):
        return False
    totals: dict[Place, int] = {}
    for line in lines:
        for grade, units in ((line.from_grade, -line.quantity), (line.to_grade, line.quantity)):
            place = Place(line.location_id, line.sku_id, grade, line.owner)
            totals[place] = totals.get(place, 0) + units
    books = open_books(totals)
    outside = Account.ADJUSTMENT
    book_differences(
        totals, books=books, kind=kind, outside=outside, at=at, by=by, document=key[:80], only_free=True
    )
    return True

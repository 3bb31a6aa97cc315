"""Believe a count: what was counted lies there, whatever the books said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from inventory.book import Place, book_differences, open_books, take_operation
from inventory.models.ledger import Account, MovementKind
from inventory.models.stock import Grade
from omni.kernel.errors import BadInput


class NothingCounted(BadInput):
    """A count without lines, of less than no units, or twice of the same place."""

    code = "nothing_counted"


@dataclass(frozen=True, slots=True)
class StockCount:
    """`counted` units of a SKU lie at a location: gross, whatever is committed to orders included."""

    location_id: int
    sku_id: int
    counted: int
    grade: str = Grade.GOOD.value
    owner: str = "own"


@transaction.atomic
def count_stock(*, key: str, counts: Sequence[StockCount], reason: str, at: datetime, by: str) -> bool:
    """Set on-hand to what was counted, all of the lines or none, and change the pools by the difference.

    A shortfall is taken from free units first (base, shared, quota, lock, safety); if that is not enough the
    youngest held promises are withdrawn into shortages, with the event PromisesWithdrawn.

    `key` is the number of the count: False if it was taken before, which changes nothing. Raises
    OperationConflict, NothingCounted, UnknownPlace, and CommittedStock if less was counted than is committed.
    """
    counted = {
        Place(count.location_id, count.sku_id, count.grade, count.owner): count.counted for count in counts
    }
    if not counts or len(counted) < len(counts) or min(counted.values()) < 0:
        raise NothingCounted(_("A count needs lines, each of another place and of no less than 0 units."))
    content = sorted(astuple(count) for count in counts)
    kind = MovementKind.COUNT
    if not take_operation(key=key, kind=kind, content=content, reason=reason, at=at, by=by):
        return False
    books = open_books(counted)
    # Only here, under the lock, is it known what the books say.
    differences = {place: units - books.levels[place].on_hand for place, units in counted.items()}
    book_differences(
        differences, books=books, kind=kind, outside=Account.ADJUSTMENT, at=at, by=by, document=key
    )
    return True

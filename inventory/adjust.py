"""Correct stock by a difference: written off, found, given away, moved to another grade."""

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


class NothingAdjusted(BadInput):
    """An adjustment without lines, or by nothing."""

    code = "nothing_adjusted"


@dataclass(frozen=True, slots=True)
class StockAdjustment:
    """`quantity` units more (positive) or less (negative) of a SKU at a location."""

    location_id: int
    sku_id: int
    quantity: int
    grade: str = Grade.GOOD.value
    owner: str = "own"


@transaction.atomic
def adjust_stock(
    *, key: str, adjustments: Sequence[StockAdjustment], reason: str, at: datetime, by: str
) -> bool:
    """Change on-hand and the pools by the differences, all of them or none.

    What only changes its location within a group, or its owner, costs no promise. When good units are lost the
    youngest held promises are withdrawn if nothing free is left.

    `key` is the number of the adjustment: False if it was taken before, which changes nothing. Raises
    OperationConflict, NothingAdjusted, UnknownPlace, NotOnHand, CommittedStock.
    """
    if not adjustments or any(not adjustment.quantity for adjustment in adjustments):
        raise NothingAdjusted(_("An adjustment needs lines that change something."))
    content = sorted(astuple(adjustment) for adjustment in adjustments)
    kind = MovementKind.ADJUST
    if not take_operation(key=key, kind=kind, content=content, reason=reason, at=at, by=by):
        return False
    totals: dict[Place, int] = {}
    for adjustment in adjustments:
        place = Place(adjustment.location_id, adjustment.sku_id, adjustment.grade, adjustment.owner)
        totals[place] = totals.get(place, 0) + adjustment.quantity
    books = open_books(totals)
    book_differences(totals, books=books, kind=kind, outside=Account.ADJUSTMENT, at=at, by=by, document=key)
    return True

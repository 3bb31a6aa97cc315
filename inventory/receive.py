"""Take goods in: from suppliers, and back from customers."""

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


class NothingReceived(BadInput):
    """A receipt without lines, or of less than one unit."""

    code = "nothing_received"


@dataclass(frozen=True, slots=True)
class StockReceipt:
    """`quantity` units of a SKU that arrived at a location."""

    location_id: int
    sku_id: int
    quantity: int
    grade: str = Grade.GOOD.value
    owner: str = "own"


@transaction.atomic
def receive_stock(*, key: str, receipts: Sequence[StockReceipt], reason: str, at: datetime, by: str) -> bool:
    """Put received units on hand, and grant the good ones to the pools: the safety pool up to its target first.

    `key` is the number of the receipt: False if it was taken before, which changes nothing. Raises
    OperationConflict if it was taken before with other content, NothingReceived, UnknownPlace.
    """
    if not receipts or any(receipt.quantity <= 0 for receipt in receipts):
        raise NothingReceived(_("A receipt needs lines of at least one unit."))
    content = sorted(astuple(receipt) for receipt in receipts)
    kind = MovementKind.RECEIVE
    if not take_operation(key=key, kind=kind, content=content, reason=reason, at=at, by=by):
        return False
    totals: dict[Place, int] = {}
    for receipt in receipts:
        place = Place(receipt.location_id, receipt.sku_id, receipt.grade, receipt.owner)
        totals[place] = totals.get(place, 0) + receipt.quantity
    books = open_books(totals)
    book_differences(totals, books=books, kind=kind, outside=Account.SUPPLIER, at=at, by=by, document=key)
    return True

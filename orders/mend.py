"""Mend a parked order by hand: say which SKU a line means, correct its numbers, then take it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from omni.kernel.errors import DomainError
from omni.kernel.retry import repeat_on_conflict
from orders.capture import Captured
from orders.models import ParkedOrder
from orders.retry import retry_parked
from products.map import UnknownSkuCode, map_listing
from products.models import Sku


class NotParked(DomainError):
    """It was taken or dismissed meanwhile."""

    code = "not_parked"


@dataclass(frozen=True, slots=True)
class LineMend:
    """What is to change of one line, in the order of the draft's lines; empty and None: nothing."""

    sku_code: str = ""
    quantity: int | None = None
    amount: Decimal | None = None


def mend_parked(
    *, parked_id: int, lines: Sequence[LineMend], total_amount: Decimal | None, at: datetime, by: str
) -> Captured:
    """Apply the mends and capture the order again; what still cannot be taken stays parked, with its present
    reason.

    A SKU that is named for an item of the channel is kept as a listing, so that the next order finds it by itself.
    Raises NotParked, UnknownSkuCode, MappedOtherwise.
    """
    return repeat_on_conflict(partial(_mend, parked_id, lines=lines, total_amount=total_amount, at=at, by=by))


@transaction.atomic
def _mend(
    parked_id: int, *, lines: Sequence[LineMend], total_amount: Decimal | None, at: datetime, by: str
) -> Captured:
    # Not locked before the capture, which locks in the order of all locks (`orders/retry.py`).
    parked = ParkedOrder.objects.filter(pk=parked_id, state=ParkedOrder.State.OPEN).first()
    if parked is None:
        raise NotParked(_("It is not open any more."))
    drafted = [dict(line) for line in (parked.draft or {}).get("lines") or []]
    changes: dict[str, Any] = {}
    for line, mend in zip(drafted, lines, strict=True):
        if mend.sku_code:
            _name_sku(parked, line, mend.sku_code, at=at, by=by)
        if mend.quantity is not None:
            line["quantity"] = mend.quantity
        if mend.amount is not None:
            line["amount"] = str(mend.amount)
    if any(mend != LineMend() for mend in lines):
        changes["lines"] = drafted
    if total_amount is not None:
        changes["total_amount"] = str(total_amount)
    taken = retry_parked(parked_ids=[parked_id], at=at, by=by, changes=changes)
    if parked_id not in taken:
        raise NotParked(_("It is not open any more."))
    return taken[parked_id]


def _name_sku(parked: ParkedOrder, line: dict[str, Any], sku_code: str, *, at: datetime, by: str) -> None:
    if line.get("outer_item_id"):
        map_listing(
            shop_id=parked.shop_id,
            outer_item_id=str(line["outer_item_id"]),
            outer_sku_id=str(line.get("outer_sku_id") or ""),
            sku_code=sku_code,
            title=str(line.get("title") or ""),
            at=at,
            by=by,
        )
        return
    if not Sku.objects.filter(code=sku_code).exists():
        raise UnknownSkuCode(_("There is no SKU %s.") % sku_code)
    line["sku_code"] = sku_code

"""Decide on differences that a compare has found: believe the other side, say why it is none, or look into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from inventory.adjust import StockAdjustment, adjust_stock
from inventory.lock import lock_pools_of_skus
from inventory.models import StockDifference
from inventory.network.compare import BOOKED
from omni.kernel.audit import record_act, record_acts
from omni.kernel.errors import BadInput, DomainError
from omni.kernel.sql import execute, fetch_all
from omni.kernel.transactions import is_in_transaction

State = StockDifference.State


class ReasonMissing(BadInput):
    """A difference does not end without somebody saying why."""

    code = "reason_missing"


@dataclass(frozen=True, slots=True)
class Decided:
    """What came of one difference. `detail`: why nothing was done, or what happened."""

    difference_id: int
    ok: bool
    detail: str = ""


# Locked before the pools and levels, as a compare locks them, by id.
HOLD = """
    SELECT id FROM inventory_stockdifference WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE
"""
OWNERS = """
    SELECT v.owner FROM inventory_stocklevel v
    WHERE v.location_id = %s AND v.sku_id = %s AND v.grade = %s AND v.on_hand > 0 ORDER BY v.owner
"""
END = """
    UPDATE inventory_stockdifference SET state = %s, reason = %s, closed_by = %s, closed_at = %s
    WHERE id = ANY(%s)
"""
TAKE = """
    UPDATE inventory_stockdifference SET owner = %s WHERE id = ANY(%s)
"""


def book_theirs(*, difference_ids: Sequence[int], reason: str, at: datetime, by: str) -> list[Decided]:
    """Believe the other side: stock changes by theirs less ours, as of the cut-off.

    What has moved since the cut-off stays: the difference is booked, not the figure. Each row is booked by itself, or
    refused with its reason (committed to orders, over already, goods of several owners). One result per difference,
    in the order given. Raises ReasonMissing.
    """
    reason = _checked(reason)
    wanted = StockDifference.objects.filter(pk__in=difference_ids).order_by("sku_id", "pk")
    rows = list(wanted.values_list("pk", "sku_id"))
    results: dict[int, Decided] = {}
    with_caller = is_in_transaction()
    if with_caller:
        # Several adjustments of one transaction: in the order in which all others lock, first what decides.
        fetch_all(HOLD, [[pk for pk, _sku in rows]])
        lock_pools_of_skus({sku_id for _pk, sku_id in rows})
    for pk, _sku_id in rows:
        try:
            results[pk] = _book_one(pk, reason, at, by)
        except DomainError as refusal:
            results[pk] = Decided(pk, False, refusal.detail)
    missing = _("It is not there any more.")
    return [results.get(pk, Decided(pk, False, missing)) for pk in difference_ids]


@transaction.atomic
def _book_one(pk: int, reason: str, at: datetime, by: str) -> Decided:
    fetch_all(HOLD, [[pk]])
    difference = StockDifference.objects.select_related("location").get(pk=pk)
    if difference.state != State.OPEN:
        return Decided(pk, False, _is_over(difference))
    owners = [row[0] for row in fetch_all(OWNERS, _place(difference))]
    if len(owners) > 1:
        return Decided(
            pk,
            False,
            _("Goods of several owners lie there (%s): adjust those of the right one by hand.")
            % ", ".join(owners),
        )
    units = difference.theirs - difference.ours
    adjustment = StockAdjustment(
        difference.location_id,
        difference.sku_id,
        units,
        difference.grade,
        owners[0] if owners else difference.location.owner,
    )
    adjust_stock(key=f"{BOOKED}{pk}", adjustments=[adjustment], reason=reason, at=at, by=by)
    execute(END, [State.BOOKED.value, reason, by, at, [pk]])
    detail = {"units": units, "ours": difference.ours, "theirs": difference.theirs}
    record_act(by=by, action="difference.booked", subject=difference, reason=reason, detail=detail)
    return Decided(pk, True, f"{units:+d}")


@transaction.atomic
def explain_differences(
    *, difference_ids: Sequence[int], reason: str, at: datetime, by: str
) -> list[Decided]:
    """Close differences that are none: `reason` says why. No stock changes; a later compare may open them anew.

    One result per difference, in the order given. Raises ReasonMissing.
    """
    reason = _checked(reason)
    results = _hold(difference_ids)
    ids = [each.difference_id for each in results if each.ok]
    execute(END, [State.EXPLAINED.value, reason, by, at, ids])
    record_acts(
        by=by, action="difference.explained", kind=StockDifference, object_ids=ids, reason=reason, at=at
    )
    return results


@transaction.atomic
def take_differences(
    *, difference_ids: Sequence[int], owner: str = "", reason: str = "", at: datetime, by: str
) -> list[Decided]:
    """Say in whose hands open differences are: `owner`, an actor such as `user:7`; empty: whoever asks.

    One result per difference, in the order given.
    """
    results = _hold(difference_ids)
    ids = [each.difference_id for each in results if each.ok]
    execute(TAKE, [owner or by, ids])
    record_acts(
        by=by,
        action="difference.taken",
        kind=StockDifference,
        object_ids=ids,
        reason=reason,
        detail={"owner": owner or by},
        at=at,
    )
    return results


def _place(difference: StockDifference) -> list[object]:
    return [difference.location_id, difference.sku_id, difference.grade]


def _checked(reason: str) -> str:
    reason = reason.strip()[:200]
    if not reason:
        text = _("Say why.")
        raise ReasonMissing(text, fields={"reason": [text]})
    return reason


def _hold(difference_ids: Sequence[int]) -> list[Decided]:
    """Lock them by id; which of them are open."""
    fetch_all(HOLD, [list(difference_ids)])
    found = StockDifference.objects.in_bulk(difference_ids)
    results = []
    for pk in difference_ids:
        row = found.get(pk)
        if row is None:
            results.append(Decided(pk, False, _("It is not there any more.")))
        else:
            is_open = row.state == State.OPEN
            results.append(Decided(pk, is_open, "" if is_open else _is_over(row)))
    return results


def _is_over(difference: StockDifference) -> str:
    return _("It is over: %s.") % difference.get_state_display()

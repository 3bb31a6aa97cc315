"""Give back what a buyer held: because somebody says so, or because its time is over."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from inventory.lock import LockDidNotHold
from inventory.models.holds import StockHold, StockHoldLine
from inventory.reserve import Release, release_stock
from omni.kernel.audit import record_acts
from omni.kernel.errors import DomainError, NotFound
from omni.kernel.sql import as_array, execute, fetch_all


class NoSuchHold(NotFound):
    """The shop has no hold of this key."""


class HoldWasTaken(DomainError):
    """An order has taken the hold over: what it promises is given back by cancelling the order."""

    code = "hold_was_taken"


# The rows of holds come before the pools in the lock order, by id: whoever ends one holds it from here on, and of a
# lapse, a return and an order that come at the same moment the state lets exactly one through.
LOCK_HOLDS = """
    SELECT id FROM inventory_stockhold WHERE id = ANY(%s::bigint[]) AND state = 'held'
    ORDER BY id FOR NO KEY UPDATE
"""
# Without a lock, by the database's clock alone: those of machines differ. Plan: hold_due.
FIND_DUE = """
    SELECT id FROM inventory_stockhold WHERE state = 'held' AND expires_at <= now() ORDER BY expires_at LIMIT %s
"""
# One that an order has under its hands at this moment is left to it; the next sweep looks again.
LOCK_DUE = """
    SELECT id FROM inventory_stockhold WHERE id = ANY(%s::bigint[]) AND state = 'held' AND expires_at <= now()
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
"""
# Locked before; the guard is the second net.
END_HOLDS = """
    UPDATE inventory_stockhold SET state = %s, ended_at = now() WHERE id = ANY(%s::bigint[]) AND state = 'held'
"""


@transaction.atomic
def give_back_hold(*, shop_id: int, key: str, at: datetime, by: str, reason: str = "") -> StockHold:
    """Give back what a hold promises before its time. One that is over already stays as it is.

    Raises NoSuchHold, HoldWasTaken, and LineIsBusy (nothing was changed; ask again).
    """
    hold = StockHold.objects.filter(shop_id=shop_id, key=key).first()
    if hold is None:
        raise NoSuchHold(_("There is no hold “%(key)s”.") % {"key": key})
    if fetch_all(LOCK_HOLDS, [as_array([hold.pk])]):
        _give_back([hold.pk], state=StockHold.State.RELEASED, at=at, by=by)
        record_acts(
            by=by, action="hold.given_back", kind=StockHold, object_ids=[hold.pk], reason=reason, at=at
        )
    hold.refresh_from_db()
    if hold.state == StockHold.State.TAKEN:
        raise HoldWasTaken(
            _("An order has taken the hold “%(key)s” over: cancel the order.") % {"key": key},
            extra={"key": key},
        )
    return hold


@transaction.atomic
def lapse_holds(*, limit: int, at: datetime, by: str) -> int:
    """Give back what up to `limit` holds promise whose time is over. Returns how many it were.

    By the database's clock; `at` is only written down. Raises LineIsBusy (nothing was changed; ask again).
    """
    due = fetch_all(FIND_DUE, [limit])
    if not due:
        return 0
    locked = [row[0] for row in fetch_all(LOCK_DUE, [as_array(row[0] for row in due)])]
    _give_back(locked, state=StockHold.State.EXPIRED, at=at, by=by)
    return len(locked)


def _give_back(hold_ids: Sequence[int], *, state: StockHold.State, at: datetime, by: str) -> None:
    if not hold_ids:
        return
    end_holds(hold_ids, state=state)
    release_stock(releases=[Release(key) for key in line_keys_of(hold_ids)], at=at, by=by)


def end_holds(hold_ids: Collection[int], *, state: StockHold.State) -> None:
    """Mark locked holds as over. Whoever calls gives their promises back in the same transaction."""
    if hold_ids and execute(END_HOLDS, [state.value, as_array(sorted(hold_ids))]) != len(hold_ids):
        raise LockDidNotHold("a hold was over although it was locked")


def line_keys_of(hold_ids: Collection[int]) -> list[UUID]:
    return list(StockHoldLine.objects.filter(hold_id__in=hold_ids).values_list("line_key", flat=True))

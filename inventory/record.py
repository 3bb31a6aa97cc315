"""Write the stock ledger, and mark the SKUs whose sellable stock may have changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from inventory.models.ledger import Account, MovementKind
from omni.kernel import doorbell
from omni.kernel.sql import as_array, execute

PLAN_PUBLISHED = "inventory.tasks.plan_published"
FILL_SHORTAGES = "inventory.tasks.fill_open_shortages"


class Movement(NamedTuple):
    """`quantity` units of a SKU from one account to another; ids are those of the level or pool, else 0."""

    sku_id: int
    quantity: int
    from_account: Account
    from_id: int
    to_account: Account
    to_id: int
    line_key: UUID | None = None


INSERT_MOVEMENTS = """
    INSERT INTO inventory_stockmovement
        (sku_id, quantity, from_account, from_id, to_account, to_id, line_key, kind, document, at, by)
    SELECT v.*, %s, %s, %s, %s
    FROM unnest(%s::bigint[], %s::int[], %s::smallint[], %s::bigint[], %s::smallint[], %s::bigint[], %s::uuid[]) v
"""

INSERT_CHANGES = """
    INSERT INTO inventory_stockchange (sku_id) SELECT DISTINCT * FROM unnest(%s::bigint[])
"""

INSERT_UNTOLD = "INSERT INTO inventory_stockchange (shop_id, sku_id) SELECT %s, * FROM unnest(%s::bigint[])"

INSERT_LISTED = """
    INSERT INTO inventory_stockchange (sku_id)
    SELECT DISTINCT sku_id FROM products_listing
    WHERE shop_id = ANY(%(shops)s) AND state = 'listed'
      AND (%(skus)s::bigint[] IS NULL OR sku_id = ANY(%(skus)s::bigint[]))
"""


def record_movements(
    movements: Sequence[Movement], *, kind: MovementKind, at: datetime, by: str, document: str = ""
) -> None:
    """Append to the ledger, in the transaction that changes the counters. Movements of nothing are left out."""
    moving = [movement for movement in movements if movement.quantity]
    if moving:
        columns = [as_array(column) for column in zip(*moving, strict=True)]
        execute(INSERT_MOVEMENTS, [kind.value, document, at, by, *columns])


def mark_changed(sku_ids: Iterable[int]) -> None:
    """The sellable stock of these SKUs may have changed: the planner looks at them after the commit."""
    ids = list(sku_ids)
    if ids:
        execute(INSERT_CHANGES, [ids])
        doorbell.ring_after_commit(PLAN_PUBLISHED)


def mark_untold(*, shop_id: int, sku_ids: Iterable[int]) -> None:
    """What a shop's channel shows of these is not ours: it is told our number again, even one that has not changed."""
    ids = sorted(set(sku_ids))
    if ids:
        execute(INSERT_UNTOLD, [shop_id, ids])
        doorbell.ring_after_commit(PLAN_PUBLISHED)


def mark_sold(*, shop_id: int, sku_ids: Iterable[int]) -> None:
    """A channel has taken these off its own shelf.

    A platform lowers what it shows with every order, also with one that is never paid. Our number may stay the same:
    nothing was promised, or the part of a shared pool that the shop may show is rounded to the same units.
    """
    mark_untold(shop_id=shop_id, sku_ids=sku_ids)


def mark_shares_changed(*, shop_ids: Iterable[int], sku_ids: Iterable[int] | None = None) -> None:
    """What these shops draw on, or the part of it that they show, is another: for these SKUs, or all that they list."""
    execute(INSERT_LISTED, {"shops": list(shop_ids), "skus": None if sku_ids is None else list(sku_ids)})
    doorbell.ring_after_commit(PLAN_PUBLISHED)

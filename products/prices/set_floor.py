"""Set the amounts below which SKUs are sold nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.utils.translation import gettext as _

from omni.kernel.audit import record_acts
from omni.kernel.display import Money
from omni.kernel.errors import BadInput
from omni.kernel.money import round_money, smallest_unit
from omni.kernel.sql import fetch_all
from products.models import FloorPrice
from products.prices.change import mark_price_changes
from products.prices.floors import BelowFloor, approved_below_floor
from products.prices.lock import lock_skus

UPSERT = """
    INSERT INTO products_floorprice (sku_id, amount, currency, since, reason, set_by, set_at)
    SELECT v.sku_id, v.amount, v.currency, v.since, %(reason)s, %(by)s, %(at)s
    FROM unnest(%(skus)s::bigint[], %(amounts)s::numeric[], %(currencies)s::text[], %(moments)s::timestamptz[])
        AS v(sku_id, amount, currency, since)
    ON CONFLICT (sku_id, currency, since) DO UPDATE
        SET amount = excluded.amount, reason = excluded.reason, set_by = excluded.set_by, set_at = excluded.set_at
    RETURNING id
"""


class BadFloor(BadInput):
    """A floor is below zero, or finer than its money."""

    code = "bad_floor"


@dataclass(frozen=True, slots=True)
class NewFloor:
    """`since` in the past means now: what was sold before was not forbidden then. `amount` 0: no floor from then on."""

    sku_id: int
    amount: Decimal
    currency: str
    since: datetime


@transaction.atomic
def set_floors(*, floors: Sequence[NewFloor], reason: str, at: datetime, by: str) -> list[BelowFloor]:
    """Set floors, each from its moment on; one that begins at the same moment is replaced.

    A floor holds whatever was approved before. Returns the approved prices, in force or scheduled, that it keeps from
    being in force. Raises BadFloor; then none is set.
    """
    for floor in floors:
        if floor.amount < 0 or floor.amount != round_money(floor.amount, unit=smallest_unit(floor.currency)):
            raise BadFloor(
                _("%(amount)s is no floor price: not below zero, and in whole units of its money.")
                % {"amount": Money(floor.amount, floor.currency).text()},
                fields={"amount": [_("Not below zero, and in whole units of its money.")]},
            )
    wanted = {(floor.sku_id, floor.currency, max(floor.since, at)): floor.amount for floor in floors}
    sku_ids = sorted({sku_id for sku_id, _currency, _since in wanted})
    lock_skus(sku_ids)
    rows = fetch_all(
        UPSERT,
        {
            "skus": [sku_id for sku_id, _currency, _since in wanted],
            "amounts": list(wanted.values()),
            "currencies": [currency for _sku, currency, _since in wanted],
            "moments": [since for _sku, _currency, since in wanted],
            "reason": reason[:200],
            "by": by,
            "at": at,
        },
    )
    mark_price_changes(moments=[(sku_id, since) for sku_id, _currency, since in wanted], at=at)
    record_acts(
        by=by,
        action="floor_price.set",
        kind=FloorPrice,
        object_ids=[ident for (ident,) in rows],
        reason=reason,
        at=at,
    )
    return approved_below_floor(at=at, sku_ids=sku_ids)

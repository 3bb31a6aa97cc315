"""How many bundles have left, parcel by parcel: channels hear of bundles, warehouses send what lies in them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from omni.kernel.sql import fetch_all
from orders.dispatch import PART_OF_A_BUNDLE
from orders.models import BundleLine, DispatchNotice, SalesOrderLine

# Of each component of these bundles, how many units left and were cancelled; and how many bundles the channel was told
# of, or is to be told of, in all parcels so far.
STANDINGS = """
    SELECT l.bundle_id, l.id, l.bundle_units, l.shipped_quantity, l.cancelled_quantity, coalesce(t.bundles, 0)
    FROM orders_salesorderline l
    JOIN orders_bundleline b ON b.id = l.bundle_id
    LEFT JOIN LATERAL (
        SELECT sum((line ->> 1)::int) AS bundles FROM orders_dispatchnotice n
        CROSS JOIN LATERAL jsonb_array_elements(n.lines) AS line
        WHERE n.order_id = b.order_id AND line ->> 0 = b.outer_line_id
    ) t ON true
    WHERE l.bundle_id = ANY(%s) ORDER BY l.bundle_id, l.id
"""


@dataclass(slots=True)
class _Standing:
    units: int  # in each bundle
    left: int
    cancelled: int


class BundlesTold:
    """Counts what leaves, parcel after parcel, and says with each how many bundles are complete that were not before.

    `just_left`: the units that this confirmation is about, which the lines count as shipped already. Costs nothing
    where no bundle is concerned.
    """

    def __init__(
        self, bundle_ids: Collection[int], *, just_left: Sequence[tuple[SalesOrderLine, int]] = ()
    ) -> None:
        self._lines: dict[int, dict[int, _Standing]] = {}
        self._told: dict[int, int] = {}
        for bundle_id, line_id, units, left, cancelled, told in _standings(bundle_ids):
            self._lines.setdefault(bundle_id, {})[line_id] = _Standing(units, left, cancelled)
            self._told[bundle_id] = told
        for line, units in just_left:
            self._lines[line.bundle_id or 0][line.pk].left -= units

    def leave(self, line: SalesOrderLine, units: int) -> None:
        self._lines[line.bundle_id or 0][line.pk].left += units

    def complete(self, bundle_id: int) -> int:
        """Bundles of which all has left or never will, without those that were cancelled whole and those told of."""
        lines = self._lines[bundle_id].values()
        settled = min((line.left + line.cancelled) // line.units for line in lines)
        cancelled = min(line.cancelled // line.units for line in lines)
        news = max(settled - cancelled - self._told[bundle_id], 0)
        self._told[bundle_id] += news
        return news


def _standings(bundle_ids: Collection[int]) -> list[tuple[int, int, int, int, int, int]]:
    return fetch_all(STANDINGS, [sorted(bundle_ids)]) if bundle_ids else []


def announce_broken_bundles(*, bundle_ids: Collection[int], at: datetime) -> None:
    """Tell of bundles of which a part has left and the rest was cancelled just now, with the last parcel of theirs.

    Nothing else would: no parcel makes them complete any more. In the caller's transaction, which has locked the
    orders.
    """
    told = BundlesTold(bundle_ids)
    for bundle in BundleLine.objects.filter(pk__in=bundle_ids).order_by("pk"):
        units = told.complete(bundle.pk)
        if not units:
            continue
        silent = Q(state=DispatchNotice.State.NOT_NEEDED, reason=PART_OF_A_BUNDLE)
        notices = DispatchNotice.objects.filter(silent | Q(state=DispatchNotice.State.DUE))
        held_some = [[bundle.outer_line_id, 0]]
        notice = notices.filter(order_id=bundle.order_id, lines__contains=held_some).order_by("-pk").first()
        if notice is not None:
            lines = [[outer, units if outer == bundle.outer_line_id else n] for outer, n in notice.lines]
            DispatchNotice.objects.filter(pk=notice.pk).update(
                lines=lines, state=DispatchNotice.State.DUE, reason="", not_before=at
            )

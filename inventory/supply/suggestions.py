"""What should be ordered, how much of it, and why: reorder points by demand, lead time and safety stock."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from inventory.supply.rules import scoped_rules
from omni.kernel.sql import fetch_all

DAYS = 28

# Demand is told by shop; a shop's demand is that of the group on which it draws first, for the SKU or in general. The
# position of a SKU in a group is what is promised to nobody, safety stock included, less what is owed, plus what is
# under way from elsewhere. `demand` is the sum of the days, so that nothing is rounded before the end:
#   reorder point = demand × lead ÷ days + safety
#   need          = demand × (lead + cover) ÷ days + safety − position
# A transfer within the group was taken off its source when it left, so it is under way whatever its source. Source of
# the formula: the periodic order-up-to policy, as in Silver, Pyke and Thomas, Inventory and Production Management.
SUGGEST = f"""
    WITH scoped AS ({scoped_rules("inventory_supplyrule")}), homes AS MATERIALIZED (
        SELECT DISTINCT ON (shop_id, sku_id) shop_id, sku_id, group_id FROM inventory_shoppool
        ORDER BY shop_id, sku_id, position, id
    ), wanted AS (
        SELECT coalesce(o.group_id, h.group_id) AS group_id, d.sku_id, sum(d.units)::bigint AS units
        FROM (
            SELECT shop_id, sku_id, sum(units) AS units FROM inventory_dailydemand
            WHERE day >= %(since)s AND day < %(until)s
              AND (%(skus)s::bigint[] IS NULL OR sku_id = ANY(%(skus)s::bigint[]))
            GROUP BY shop_id, sku_id
        ) d
        LEFT JOIN homes o ON o.shop_id = d.shop_id AND o.sku_id = d.sku_id
        LEFT JOIN homes h ON h.shop_id = d.shop_id AND h.sku_id IS NULL
        GROUP BY 1, 2
    ), lying AS (
        SELECT group_id, sku_id, sum(granted - reserved)::bigint AS free,
               max(CASE WHEN kind = 'safety' THEN greatest(coalesce(target, granted), 0) ELSE 0 END)::bigint AS safety
        FROM inventory_stockpool
        WHERE %(skus)s::bigint[] IS NULL OR sku_id = ANY(%(skus)s::bigint[])
        GROUP BY group_id, sku_id
    ), owed AS (
        SELECT group_id, sku_id, sum(quantity)::bigint AS units FROM inventory_shortage
        WHERE state = 'open' GROUP BY group_id, sku_id
    ), coming AS (
        SELECT l.group_id, t.sku_id, sum(t.shipped - t.received - t.lost)::bigint AS units
        FROM inventory_transfer h
        JOIN inventory_transferline t ON t.transfer_id = h.id
        JOIN inventory_location l ON l.id = h.destination_id
        WHERE h.state = 'shipped' AND t.grade = 'good' GROUP BY l.group_id, t.sku_id
    ), chosen AS (
        SELECT DISTINCT ON (r.group_id, s.sku_id) r.id, r.group_id, s.sku_id, r.lead_days, r.cover_days, r.pack_size,
               r.order_minimum, s.rank
        FROM scoped s JOIN inventory_supplyrule r ON r.id = s.id
        ORDER BY r.group_id, s.sku_id, s.rank, r.id
    ), summed AS (
        SELECT c.*, coalesce(w.units, 0) AS demand, coalesce(y.safety, 0) AS safety, coalesce(y.free, 0) AS free,
               coalesce(o.units, 0) AS owed, coalesce(m.units, 0) AS coming,
               coalesce(y.free, 0) - coalesce(o.units, 0) + coalesce(m.units, 0) AS position
        FROM chosen c
        LEFT JOIN wanted w ON w.group_id = c.group_id AND w.sku_id = c.sku_id
        LEFT JOIN lying y ON y.group_id = c.group_id AND y.sku_id = c.sku_id
        LEFT JOIN owed o ON o.group_id = c.group_id AND o.sku_id = c.sku_id
        LEFT JOIN coming m ON m.group_id = c.group_id AND m.sku_id = c.sku_id
        WHERE c.rank = 0 OR y.sku_id IS NOT NULL OR w.sku_id IS NOT NULL
    ), needed AS (
        SELECT s.*, s.demand * s.lead_days + (s.safety - s.position) * %(days)s AS below,
               ceil((s.demand * (s.lead_days + s.cover_days))::numeric / %(days)s)::bigint + s.safety - s.position
                   AS need
        FROM summed s
    )
    SELECT n.sku_id, k.code, k.name, n.group_id, g.code, g.name, b.code, b.name, n.demand, n.lead_days, n.cover_days,
           n.pack_size, n.order_minimum, n.safety, n.free, n.owed, n.coming, n.need,
           (ceil(greatest(n.need, n.order_minimum)::numeric / n.pack_size) * n.pack_size)::bigint
    FROM needed n
    JOIN products_sku k ON k.id = n.sku_id
    JOIN products_spu u ON u.id = k.spu_id
    JOIN products_brand b ON b.id = u.brand_id
    JOIN inventory_locationgroup g ON g.id = n.group_id
    WHERE n.below >= 0 AND n.need > 0
      AND (%(groups)s::bigint[] IS NULL OR n.group_id = ANY(%(groups)s::bigint[]))
      AND (%(brands)s::bigint[] IS NULL OR u.brand_id = ANY(%(brands)s::bigint[]))
      AND (n.sku_id, n.group_id) > (%(after_sku)s, %(after_group)s)
    ORDER BY n.sku_id, n.group_id LIMIT %(limit)s
"""  # noqa: S608 - put together from constants


@dataclass(frozen=True, slots=True)
class Suggestion:
    """`suggested` units of a SKU should be ordered into a group, and every number that led to it.

    `demand`: units wanted in the last `DAYS` days. `free`: promised to nobody, safety stock included. `need`: what is
    missing before it is rounded up to the minimum and to whole packs.
    """

    sku_id: int
    sku_code: str
    sku_name: str
    group_id: int
    group_code: str
    group_name: str
    brand_code: str
    brand_name: str
    demand: int
    lead_days: int
    cover_days: int
    pack_size: int
    order_minimum: int
    safety: int
    free: int
    owed: int
    in_transit: int
    need: int
    suggested: int

    @property
    def per_day(self) -> Decimal:
        """Units wanted a day, for people: two decimals."""
        return (Decimal(self.demand) / DAYS).quantize(Decimal("0.01"))

    @property
    def position(self) -> int:
        """What there is and what is coming, less what is owed."""
        return self.free - self.owed + self.in_transit

    @property
    def reorder_point(self) -> int:
        """The position at or below which it is ordered: whole units, as positions are."""
        return self.demand * self.lead_days // DAYS + self.safety

    def terms(self) -> list[str]:
        """Why so many, step by step, in the reader's language."""
        numbers = {
            "per_day": self.per_day,
            "lead": self.lead_days,
            "cover": self.cover_days,
            "safety": self.safety,
            "free": self.free,
            "owed": self.owed,
            "coming": self.in_transit,
            "position": self.position,
            "point": self.reorder_point,
            "need": self.need,
            "pack": self.pack_size,
            "minimum": self.order_minimum,
            "suggested": self.suggested,
        }
        texts = [
            _("There are %(free)d free − %(owed)d owed + %(coming)d in transit = %(position)d."),
            _("Order at %(per_day)s a day × %(lead)d days + %(safety)d safety = %(point)d or fewer."),
            _(
                "Needed: %(per_day)s × (%(lead)d + %(cover)d) days + %(safety)d safety − %(position)d "
                "= %(need)d, rounded up."
            ),
        ]
        if self.suggested != self.need:
            texts.append(
                _("At least %(minimum)d, in packs of %(pack)d: %(suggested)d.")
                if self.order_minimum > self.need
                else _("In packs of %(pack)d: %(suggested)d.")
            )
        return [text % numbers for text in texts]


def suggest_supply(
    *,
    today: date,
    sku_ids: Collection[int] | None = None,
    group_ids: Collection[int] | None = None,
    brand_ids: Collection[int] | None = None,
    after: tuple[int, int] = (0, 0),
    limit: int = 500,
) -> list[Suggestion]:
    """The SKUs at or below their reorder point, by the most specific supply rule of each group, in the order of ids.

    Demand per day is the mean of the `DAYS` days before `today`. None: every SKU, group, brand. `after`: the SKU and
    group of the last row of the page before. Bundles are not ordered: their components are.
    """
    params: dict[str, Any] = {
        "since": today - timedelta(days=DAYS),
        "until": today,
        "days": DAYS,
        "skus": _ids(sku_ids),
        "groups": _ids(group_ids),
        "brands": _ids(brand_ids),
        "after_sku": after[0],
        "after_group": after[1],
        "limit": limit,
    }
    return [Suggestion(*row) for row in fetch_all(SUGGEST, params)]


def all_suggestions(
    *, today: date, group_ids: Collection[int] | None = None, brand_ids: Collection[int] | None = None
) -> Iterator[Suggestion]:
    """Every one of them, read page by page."""
    page, after = 5000, (0, 0)
    while True:
        found = suggest_supply(today=today, group_ids=group_ids, brand_ids=brand_ids, after=after, limit=page)
        yield from found
        if len(found) < page:
            return
        after = (found[-1].sku_id, found[-1].group_id)


def _ids(ids: Collection[int] | None) -> list[int] | None:
    return None if ids is None else list(ids)

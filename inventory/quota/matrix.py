"""What each shop has of each SKU of a group, side by side: pools, the rule that holds, and what the shop shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import NamedTuple

from inventory.availability import SHARES
from inventory.models import QuotaRule
from inventory.models.stock import PoolKind
from inventory.quota.scopes import rules_held
from omni.kernel.sql import fetch_all

# Plan: one_pool_per_sku_group_kind_and_label, SKU by SKU.
POOLS = """
    SELECT id, sku_id, kind, label, granted, reserved FROM inventory_stockpool
    WHERE group_id = %s AND sku_id = ANY(%s::bigint[])
"""
# Plan: level_by_sku.
ON_HAND = """
    SELECT v.sku_id, sum(v.on_hand)::int FROM inventory_stocklevel v
    JOIN inventory_location l ON l.id = v.location_id
    WHERE l.group_id = %s AND v.sku_id = ANY(%s::bigint[]) AND v.grade = 'good' GROUP BY v.sku_id
"""
DRAWN = f"""
    SELECT shop_id, sku_id, pool_id, free, owed, publish_ratio, buffer, maximum, low_water, part_from, part_to
    FROM ({SHARES}) shares
"""  # noqa: S608 - put together from constants
# Units on their way from one shop's quota to another's, and those that a shop gives up.
COMING = """
    SELECT sku_id, to_label, sum(quantity - arrived)::int FROM inventory_revocation
    WHERE group_id = %s AND sku_id = ANY(%s::bigint[]) AND state IN ('telling', 'pulling') AND to_kind = 'quota'
    GROUP BY sku_id, to_label
"""


class Share(NamedTuple):
    """What a shop draws on, as `availability.ShareFact` explains it."""

    pool_id: int
    free: int
    owed: int
    ratio: Decimal
    buffer: int
    maximum: int | None
    low_water: int | None
    part_from: Decimal | None
    part_to: Decimal | None

    def shown(self) -> int:
        """The units of this pool that the shop shows."""
        left = max(self.free - self.owed, 0)
        if self.low_water is None or self.part_from is None or self.part_to is None:
            return _down(left * self.ratio)
        if left < self.low_water and self.ratio > 0:
            return _up(left * self.part_to) - _up(left * self.part_from)
        return _down(left * self.ratio)


def shown_of(shares: Iterable[Share]) -> int:
    """What a shop shows that draws on these: their sum, less what it leaves to others, at most its maximum."""
    known = list(shares)
    if not known:
        return 0
    total = max(sum(share.shown() for share in known) - max(share.buffer for share in known), 0)
    caps = [share.maximum for share in known if share.maximum is not None]
    return min(total, *caps) if caps else total


def _down(units: Decimal) -> int:
    return int(units.to_integral_value(ROUND_FLOOR))


def _up(units: Decimal) -> int:
    return int(units.to_integral_value(ROUND_CEILING))


@dataclass(slots=True)
class Rule:
    """The quota rule that holds for a SKU in a shop, and how far its scope reaches: sku, category, brand or all."""

    rule_id: int
    mode: str
    reach: str
    minimum: int
    maximum: int | None
    publish_ratio: Decimal


@dataclass(slots=True)
class Cell:
    """One SKU in one shop. `coming`: on its way to the quota; `leaving`: taken back, its channel is being told."""

    shop_id: int
    granted: int = 0
    reserved: int = 0
    coming: int = 0
    leaving: int = 0
    rule: Rule | None = None
    shares: list[Share] = field(default_factory=list)

    @property
    def free(self) -> int:
        return self.granted - self.reserved

    @property
    def held(self) -> int:
        """What the quota holds, or will: the number that somebody changes."""
        return self.granted + self.coming

    @property
    def shows(self) -> int:
        return shown_of(self.shares)

    @property
    def is_low(self) -> bool:
        """Whether rebalancing would fill it up."""
        rule = self.rule
        return (
            rule is not None and rule.mode != QuotaRule.Mode.SHARED and self.free + self.coming < rule.minimum
        )


@dataclass(slots=True)
class Row:
    """One SKU in the group. `locked`: in the locks of promotions. Pools by (kind, label): (id, granted, reserved)."""

    sku_id: int
    on_hand: int = 0
    pools: dict[tuple[str, str], tuple[int, int, int]] = field(default_factory=dict)
    cells: dict[int, Cell] = field(default_factory=dict)

    def granted(self, kind: str) -> int:
        return sum(granted for (of, _label), (_id, granted, _reserved) in self.pools.items() if of == kind)

    def free(self, kind: str) -> int:
        found = self.pools.items()
        return sum(granted - reserved for (of, _label), (_id, granted, reserved) in found if of == kind)

    @property
    def safety(self) -> int:
        return self.granted(PoolKind.SAFETY)

    @property
    def base(self) -> int:
        return self.granted(PoolKind.BASE)

    @property
    def shared_free(self) -> int:
        return self.free(PoolKind.SHARED)

    @property
    def locked(self) -> int:
        return self.granted(PoolKind.LOCK)


def read_matrix(
    *, group_id: int, sku_ids: Sequence[int], shops: Sequence[tuple[int, str]], at: datetime
) -> list[Row]:
    """The rows of these SKUs, in this order, with a cell for each of these shops, (id, code).

    The number of statements depends neither on the SKUs nor on the shops. Bundles have no pools: their rows are empty.
    """
    rows = {sku_id: Row(sku_id) for sku_id in sku_ids}
    if not rows:
        return []
    skus = list(sku_ids)
    for row in rows.values():
        row.cells = {shop_id: Cell(shop_id) for shop_id, _code in shops}
    by_code = {code: shop_id for shop_id, code in shops}
    for ident, sku_id, kind, label, granted, reserved in fetch_all(POOLS, [group_id, skus]):
        rows[sku_id].pools[kind, label] = ident, granted, reserved
        cell = rows[sku_id].cells.get(by_code.get(label, 0))
        if cell and kind == PoolKind.QUOTA:
            cell.granted, cell.reserved = granted, reserved
        elif cell and kind == PoolKind.REVOKING:
            cell.leaving = granted - reserved
    for sku_id, on_hand in fetch_all(ON_HAND, [group_id, skus]):
        rows[sku_id].on_hand = on_hand
    for sku_id, label, units in fetch_all(COMING, [group_id, skus]):
        if cell := rows[sku_id].cells.get(by_code.get(label, 0)):
            cell.coming = units
    for shop_id, sku_id, *share in fetch_all(DRAWN, {"skus": skus, "at": at}):
        if cell := rows[sku_id].cells.get(shop_id):
            cell.shares.append(Share(*share))
    _add_rules(rows, group_id)
    return list(rows.values())


def rules_of(sku_ids: Sequence[int]) -> dict[tuple[int, int, int], Rule]:
    """The quota rule that holds with what it says, by (group id, shop id, SKU id)."""
    held = rules_held(list(sku_ids))
    columns = ("id", "mode", "sku_id", "category_id", "brand_id", "minimum", "maximum", "publish_ratio")
    known = {
        ident: Rule(ident, mode, _reach(sku, category, brand), minimum, maximum, ratio)
        for ident, mode, sku, category, brand, minimum, maximum, ratio in QuotaRule.objects.filter(
            pk__in=set(held.values())
        ).values_list(*columns)
    }
    return {place: known[ident] for place, ident in held.items() if ident in known}


def _add_rules(rows: dict[int, Row], group_id: int) -> None:
    for (group, shop_id, sku_id), rule in rules_of(list(rows)).items():
        if group == group_id and (cell := rows[sku_id].cells.get(shop_id)):
            cell.rule = rule


def _reach(sku_id: int | None, category_id: int | None, brand_id: int | None) -> str:
    if sku_id is not None:
        return "sku"
    if category_id is not None:
        return "category"
    return "brand" if brand_id is not None else "all"

"""What quotas set by hand would do to each SKU and to what each shop shows, before anything is moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from inventory.models import LocationGroup, QuotaRule
from inventory.models.stock import PoolKind
from inventory.quota.matrix import Cell, Row, Share, read_matrix, shown_of
from inventory.quota.methods import Line, by_hand, settle
from inventory.quota.shelves import Shelves
from omni.kernel.sql import fetch_all

# Shops that sell a SKU from a promotion's lock alone.
ONLY_FROM_LOCK = """
    SELECT n.sku_id, s.shop_id FROM inventory_promotionlock l
    JOIN inventory_promotionlockline n ON n.lock_id = l.id
    JOIN inventory_promotionlock_shops s ON s.promotionlock_id = l.id
    WHERE l.state = 'active' AND l.mode = 'exclusive' AND l.starts_at <= %(at)s AND l.ends_at > %(at)s
      AND l.group_id = %(group)s AND n.sku_id = ANY(%(skus)s::bigint[])
"""


@dataclass(slots=True)
class CellEffect:
    """One shop: its quota and what it shows, now and in the end. `wanted`: the number that was asked for, if any.

    `waits`: units of it that come only when another shop's channel knows. `promised`: more is promised than wanted, so
    that the quota keeps this. `cut`: there is not enough, it gets no more than `after`. `is_capped`: its rule shows no
    more than a maximum.
    """

    shop_id: int
    before: int
    after: int
    shown_before: int
    shown_after: int
    wanted: int | None = None
    waits: int = 0
    promised: int = 0
    is_cut: bool = False
    capped_at: int | None = None
    is_shared_only: bool = False

    @property
    def has_warning(self) -> bool:
        return bool(self.is_cut or self.promised or self.capped_at is not None or self.is_shared_only)


@dataclass(slots=True)
class SkuEffect:
    """One SKU: base and shared, granted, now and in the end; then each shop that anything changes for.

    `comes_back`: units for base or shared that come only when the channels of those that give them up know.
    """

    sku_id: int
    base: tuple[int, int]
    shared: tuple[int, int]
    cells: list[CellEffect] = field(default_factory=list)
    comes_back: int = 0


Targets = Mapping[tuple[int, int], int]


def foresee_quotas(
    *, group_id: int, targets: Targets, shops: Sequence[tuple[int, str]], at: datetime
) -> list[SkuEffect]:
    """The effect of these quotas, by (SKU id, shop id), on each SKU, seen from these shops, (id, code).

    It is worked out as a run by hand would (`inventory.quota.methods`), on numbers that nobody has locked.
    """
    skus = sorted({sku_id for sku_id, _shop_id in targets})
    group = LocationGroup.objects.get(pk=group_id)
    codes = dict(shops)
    wishes: dict[int, list[tuple[int, str, int]]] = {}
    for (sku_id, shop_id), units in sorted(targets.items()):
        wishes.setdefault(sku_id, []).append((shop_id, codes[shop_id], units))
    decide = by_hand(wishes)
    shelves = Shelves(group_id).read(skus)
    rows = {row.sku_id: row for row in read_matrix(group_id=group_id, sku_ids=skus, shops=shops, at=at)}
    locked = {tuple(row) for row in fetch_all(ONLY_FROM_LOCK, {"at": at, "group": group_id, "skus": skus})}
    effects = []
    for shelf in shelves:
        lines = settle(shelf, decide(shelf), intake=group.new_stock_goes_to)
        row = rows[shelf.sku_id]
        wanted = {shop_id: units for (sku_id, shop_id), units in targets.items() if sku_id == shelf.sku_id}
        kept_to_lock = {shop_id for sku_id, shop_id in locked if sku_id == shelf.sku_id}
        effects.append(_effect_of(row, lines, wanted, codes, kept_to_lock))
    return effects


def _effect_of(
    row: Row, lines: Sequence[Line], wanted: Mapping[int, int], codes: Mapping[int, str], locked: set[int]
) -> SkuEffect:
    change = {(line.kind, line.label): line.after - line.before for line in lines}
    waits = _waiting(row, lines)
    # Units on their way are seen where they will be.
    moved = {row.pools[name][0]: units for name, units in change.items() if name in row.pools}
    effect = SkuEffect(row.sku_id, _ends(row, PoolKind.BASE, change), _ends(row, PoolKind.SHARED, change))
    given_up = sum(max(line.before - line.after, 0) for line in lines if line.kind == PoolKind.QUOTA)
    effect.comes_back = max(given_up - sum(waits.values()), 0)
    for shop_id, cell in row.cells.items():
        own = change.get((PoolKind.QUOTA.value, codes[shop_id]), 0)
        shares = [share._replace(free=share.free + moved.get(share.pool_id, 0)) for share in cell.shares]
        is_new = (PoolKind.QUOTA.value, codes[shop_id]) not in row.pools
        if own and is_new and shop_id not in locked:
            buffer = max((share.buffer for share in shares), default=0)
            maximum = cell.rule.maximum if cell.rule else None
            shares.append(Share(0, own, 0, Decimal(1), buffer, maximum, None, None, None))
        seen = CellEffect(shop_id, cell.held, cell.held + own, cell.shows, shown_of(shares))
        seen.waits = waits.get(codes[shop_id], 0)
        _warn(seen, cell, wanted.get(shop_id))
        if seen.wanted is not None or seen.shown_before != seen.shown_after:
            effect.cells.append(seen)
    return effect


def _ends(row: Row, kind: PoolKind, change: Mapping[tuple[str, str], int]) -> tuple[int, int]:
    granted = row.granted(kind)
    return granted, granted + change.get((kind.value, ""), 0)


def _waiting(row: Row, lines: Sequence[Line]) -> dict[str, int]:
    """By shop code: what is not there at once, because another shop gives it up first."""
    there = row.free(PoolKind.BASE) + row.free(PoolKind.SHARED)
    waits = {}
    for line in lines:
        if line.kind == PoolKind.QUOTA and line.after > line.before:
            at_once = min(line.after - line.before, there)
            there -= at_once
            if line.after - line.before > at_once:
                waits[line.label] = line.after - line.before - at_once
    return waits


def _warn(seen: CellEffect, cell: Cell, wanted: int | None) -> None:
    seen.wanted = wanted
    if wanted is None:
        return
    seen.is_cut = seen.after < wanted
    if seen.after > wanted:
        seen.promised = cell.reserved
    rule = cell.rule
    if rule is not None:
        if rule.maximum is not None and wanted > rule.maximum:
            seen.capped_at = rule.maximum
        seen.is_shared_only = rule.mode == QuotaRule.Mode.SHARED and wanted > cell.held

"""Make the pools that are to be granted units, and lock pools by their names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from inventory.lock import LockedPool, lock_pools
from omni.kernel.sql import as_array, as_text_array, execute, fetch_all


class PoolName(NamedTuple):
    """What a pool is named by; one that does not exist yet has a name too."""

    group_id: int
    sku_id: int
    kind: str
    label: str = ""


# In key order, as all that create pools do. Those that exist are not offered again, which would only burn ids.
OPEN_POOLS = """
    INSERT INTO inventory_stockpool (sku_id, group_id, kind, label)
    SELECT DISTINCT v.sku_id, v.group_id, v.kind, v.label
    FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[]) AS v(group_id, sku_id, kind, label)
    WHERE NOT EXISTS (
        SELECT FROM inventory_stockpool p
        WHERE p.sku_id = v.sku_id AND p.group_id = v.group_id AND p.kind = v.kind AND p.label = v.label)
    ORDER BY 1, 2, 3, 4
    ON CONFLICT DO NOTHING
"""
# Plan: one_pool_per_sku_group_kind_and_label.
FIND_POOLS = """
    SELECT p.id FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[]) AS v(group_id, sku_id, kind, label)
    JOIN inventory_stockpool p
      ON p.sku_id = v.sku_id AND p.group_id = v.group_id AND p.kind = v.kind AND p.label = v.label
"""


def open_pools(names: Iterable[PoolName]) -> int:
    """Make those of these pools that do not exist, empty, before any pool is locked. Returns how many were made."""
    columns = columns_of(names)
    return execute(OPEN_POOLS, columns) if columns else 0


def lock_named(names: Iterable[PoolName]) -> dict[PoolName, LockedPool]:
    """Lock these pools until the transaction ends, in id order; those that do not exist are missing."""
    columns = columns_of(names)
    if not columns:
        return {}
    pools = lock_pools(row[0] for row in fetch_all(FIND_POOLS, columns))
    return {PoolName(pool.group_id, pool.sku_id, pool.kind, pool.label): pool for pool in pools.values()}


def columns_of(names: Iterable[PoolName]) -> list[str]:
    groups, skus, kinds, labels = (
        zip(*sorted(set(names)), strict=True) if (names := list(names)) else ((),) * 4
    )
    if not groups:
        return []
    return [as_array(groups), as_array(skus), as_text_array(kinds), as_text_array(labels)]

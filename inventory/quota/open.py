"""Make the pools that are to be granted units, and lock pools by their names."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from inventory.lock import LockedPool, lock_pools
from omni.kernel.sql import as_array, as_text_array, execute, fetch_all


class PoolName(NamedTuple):
    """What a pool is named by; one that does not exist yet has a name too."""

    group_id: int
    sku_id: int
    kind: str
    label: str = ""


# In key order, as all that create pools do.
OPEN_POOLS = """
    INSERT INTO inventory_stockpool (sku_id, group_id, kind, label)
    SELECT v.sku_id, v.group_id, v.kind, v.label
    FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[]) AS v(group_id, sku_id, kind, label)
    ORDER BY 1, 2, 3, 4
    ON CONFLICT DO NOTHING
"""
# By SKU alone: asked for thousands of names at once, the planner would rather read the whole table.
# Plan: one_pool_per_sku_group_kind_and_label.
FIND_POOLS = """
    SELECT group_id, sku_id, kind, label, id FROM inventory_stockpool
    WHERE sku_id = ANY(%s::bigint[]) AND group_id = ANY(%s::bigint[])
"""


def open_pools(names: Iterable[PoolName]) -> int:
    """Make those of these pools that do not exist, empty, before any pool is locked. Returns how many were made."""
    wanted = set(names)
    # Those that exist are not offered again, which would only burn ids.
    missing = wanted - _find(wanted).keys()
    if not missing:
        return 0
    groups, skus, kinds, labels = zip(*missing, strict=True)
    return execute(
        OPEN_POOLS, [as_array(groups), as_array(skus), as_text_array(kinds), as_text_array(labels)]
    )


def lock_named(names: Iterable[PoolName]) -> dict[PoolName, LockedPool]:
    """Lock these pools until the transaction ends, in id order; those that do not exist are missing."""
    wanted = set(names)
    found = _find(wanted)
    pools = lock_pools(found[name] for name in wanted if name in found)
    return {PoolName(pool.group_id, pool.sku_id, pool.kind, pool.label): pool for pool in pools.values()}


def _find(names: Collection[PoolName]) -> dict[PoolName, int]:
    """The ids of all pools of the SKUs and groups of these."""
    if not names:
        return {}
    skus, groups = {name.sku_id for name in names}, {name.group_id for name in names}
    return {PoolName(*row[:4]): row[4] for row in fetch_all(FIND_POOLS, [as_array(skus), as_array(groups)])}

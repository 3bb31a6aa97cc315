"""Watch for SKUs of which too little is left: alerts open by rule, and close by themselves."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from inventory.availability import SELLABLE
from inventory.supply.rules import scoped_rules
from omni.kernel.sql import as_array, execute, fetch_all

# Nothing is noted where nobody has asked to be told: without rules and open alerts the planner pays one look.
WATCH_SOON = """
    INSERT INTO inventory_stockwatch (sku_id) SELECT DISTINCT v FROM unnest(%s::bigint[]) v
    WHERE EXISTS (SELECT FROM inventory_alertrule r WHERE r.is_active)
       OR EXISTS (SELECT FROM inventory_stockalert a WHERE a.state = 'open')
"""
WATCH_GROUP_SOON = """
    INSERT INTO inventory_stockwatch (sku_id)
    SELECT DISTINCT sku_id FROM (
        SELECT p.sku_id FROM inventory_stockpool p WHERE p.group_id = %(group)s
        UNION ALL SELECT a.sku_id FROM inventory_stockalert a WHERE a.state = 'open' AND a.group_id = %(group)s
        UNION ALL SELECT r.sku_id FROM inventory_alertrule r WHERE r.group_id = %(group)s AND r.sku_id IS NOT NULL
    ) concerned
"""
TAKE_WATCHED = """
    WITH taken AS (
        DELETE FROM inventory_stockwatch WHERE id IN (
            SELECT id FROM inventory_stockwatch ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
        ) RETURNING sku_id
    )
    SELECT sku_id, count(*) FROM taken GROUP BY sku_id
"""

# One watch at a time: an older one could open again what a newer has closed. Nothing else takes this lock.
ONE_WATCH = "SELECT pg_advisory_xact_lock(hashtext('inventory.watch_stock'))"

# Of a group: what is free in the pools from which somebody may sell or to which it may be granted. Of a shop: what it
# may sell. A rule of a single SKU holds wherever it is named; a wider one for what was ever granted in the group, and
# of a shop for what it lists: nobody is told of what was never meant to be sold there.
WATCH = f"""
    WITH scoped AS ({scoped_rules("inventory_alertrule")}), free AS MATERIALIZED (
        SELECT p.group_id, p.sku_id, sum(p.granted - p.reserved)::int AS units
        FROM inventory_stockpool p
        WHERE p.kind IN ('shared', 'quota', 'lock', 'base')
          AND (%(skus)s::bigint[] IS NULL OR p.sku_id = ANY(%(skus)s::bigint[]))
        GROUP BY p.group_id, p.sku_id
    ), sellable AS MATERIALIZED (
        SELECT * FROM ({SELLABLE}) every_shop
        WHERE EXISTS (SELECT FROM inventory_alertrule r WHERE r.is_active AND r.shop_id = every_shop.shop_id)
    ), judged AS MATERIALIZED (
        SELECT DISTINCT ON (r.group_id, r.shop_id, s.sku_id)
               r.group_id, r.shop_id, s.sku_id, r.units AS level,
               coalesce(CASE WHEN r.shop_id IS NULL THEN f.units ELSE w.quantity END, 0) AS units
        FROM scoped s
        JOIN inventory_alertrule r ON r.id = s.id
        LEFT JOIN free f ON f.group_id = r.group_id AND f.sku_id = s.sku_id
        LEFT JOIN sellable w ON w.shop_id = r.shop_id AND w.sku_id = s.sku_id
        WHERE s.rank = 0 OR f.sku_id IS NOT NULL AND (r.shop_id IS NULL OR EXISTS (
            SELECT FROM products_listing l
            WHERE l.sku_id = s.sku_id AND l.shop_id = r.shop_id AND l.state = 'listed'))
        ORDER BY r.group_id, r.shop_id, s.sku_id, s.rank, r.id
    ), known AS MATERIALIZED (
        SELECT a.id, a.group_id, a.shop_id, a.sku_id, a.level, a.sellable FROM inventory_stockalert a
        WHERE a.state = 'open' AND (%(skus)s::bigint[] IS NULL OR a.sku_id = ANY(%(skus)s::bigint[]))
        ORDER BY a.id FOR NO KEY UPDATE
    ), compared AS MATERIALIZED (
        SELECT k.id, coalesce(j.level, k.level) AS level, coalesce(j.units, k.sellable) AS units,
               j.sku_id IS NULL OR j.units >= j.level AS is_over,
               j.units IS DISTINCT FROM k.sellable OR j.level IS DISTINCT FROM k.level AS is_changed
        FROM known k
        LEFT JOIN judged j ON j.group_id = k.group_id AND j.sku_id = k.sku_id
            AND coalesce(j.shop_id, 0) = coalesce(k.shop_id, 0)
    ), closed AS (
        UPDATE inventory_stockalert a
        SET state = 'closed', closed_at = %(at)s, sellable = c.units, level = c.level
        FROM compared c WHERE c.id = a.id AND c.is_over RETURNING a.id
    ), updated AS (
        UPDATE inventory_stockalert a
        SET sellable = c.units, lowest = least(a.lowest, c.units), level = c.level
        FROM compared c WHERE c.id = a.id AND NOT c.is_over AND c.is_changed RETURNING a.id
    ), opened AS (
        INSERT INTO inventory_stockalert (sku_id, group_id, shop_id, level, sellable, lowest, opened_at)
        SELECT j.sku_id, j.group_id, j.shop_id, j.level, j.units, j.units, %(at)s FROM judged j
        WHERE j.units < j.level AND NOT EXISTS (
            SELECT FROM known k WHERE k.group_id = j.group_id AND k.sku_id = j.sku_id
                AND coalesce(k.shop_id, 0) = coalesce(j.shop_id, 0))
        ORDER BY j.sku_id, j.group_id, j.shop_id
        ON CONFLICT DO NOTHING
        RETURNING id
    )
    SELECT (SELECT count(*) FROM opened), (SELECT count(*) FROM updated), (SELECT count(*) FROM closed)
"""  # noqa: S608 - put together from constants


@dataclass(frozen=True, slots=True)
class Watched:
    """How many alerts were opened, have other numbers, and are over."""

    opened: int
    updated: int
    closed: int


@transaction.atomic
def watch_stock(*, sku_ids: Collection[int] | None, at: datetime) -> Watched:
    """Open, update and close the alerts of these SKUs, or of all (None), by the most specific rule that fits each.

    One alert is open per SKU, group and shop. It is over as soon as what can be sold reaches the level, or no rule
    asks for it any more; `lowest` keeps the lowest number that was seen. Bundles are watched by their components.
    """
    fetch_all(ONE_WATCH)
    ids = None if sku_ids is None else as_array(sorted(set(sku_ids)))
    return Watched(*fetch_all(WATCH, {"skus": ids, "at": at})[0])


@transaction.atomic
def watch_changed_stock(*, limit: int, at: datetime) -> int:
    """Take up to `limit` notes of changed SKUs and watch those. Returns how many were taken."""
    # Before the notes are taken: who waits here must see what changed while it waited.
    fetch_all(ONE_WATCH)
    taken = fetch_all(TAKE_WATCHED, [limit])
    if taken:
        watch_stock(sku_ids=[sku_id for sku_id, _count in taken], at=at)
    return sum(count for _sku_id, count in taken)


def watch_soon(sku_ids: Iterable[int]) -> None:
    """Note, in the caller's transaction, that the alerts of these SKUs should be looked at."""
    execute(WATCH_SOON, [as_array(sku_ids)])


def watch_group_soon(*, group_id: int) -> None:
    """The rules of a group are others: note all SKUs that they may concern."""
    execute(WATCH_GROUP_SOON, {"group": group_id})

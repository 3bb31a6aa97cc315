"""What each shop may sell, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.utils import timezone

from inventory.models.ledger import Account, MovementKind
from omni.kernel.sql import fetch_all
from products.bundles import Component, components_of

# Driven from the pools, so that its cost follows their number: each pool meets the few rows that name it for every
# SKU by a hash join, and the rows of its own SKU by their index; a shop's rows for one SKU replace the others. What
# lines are owed in a group comes off its shared pool first, if their shop may draw on it: it is as good as sold. Under
# its low-water mark a shared pool is shown divided, in parts that follow one another and add up to it (see
# `ShopExposure`). Reads only, takes no lock.
SHARES = """
    WITH owed AS (
        SELECT h.sku_id, h.group_id, sum(h.quantity)::int AS quantity FROM inventory_shortage h
        WHERE h.state = 'open' AND (%(skus)s::bigint[] IS NULL OR h.sku_id = ANY(%(skus)s::bigint[]))
          AND (h.shop_id IS NULL OR EXISTS (
            SELECT FROM inventory_shoppool s
            WHERE s.shop_id = h.shop_id AND s.group_id = h.group_id AND s.kind = 'shared' AND (
                s.sku_id = h.sku_id
                OR s.sku_id IS NULL AND NOT EXISTS (
                    SELECT FROM inventory_shoppool own WHERE own.shop_id = h.shop_id AND own.sku_id = h.sku_id))))
        GROUP BY h.sku_id, h.group_id
    ), marks AS (
        SELECT sku_id, group_id, max(low_water) AS low_water FROM inventory_shopexposure
        WHERE %(skus)s::bigint[] IS NULL OR sku_id = ANY(%(skus)s::bigint[])
        GROUP BY sku_id, group_id
    ), pools AS (
        SELECT p.id, p.sku_id, p.group_id, p.kind, p.label, p.granted - p.reserved AS free,
               coalesce(o.quantity, 0) AS owed, m.low_water,
               greatest(p.granted - p.reserved - coalesce(o.quantity, 0), 0) AS available
        FROM inventory_stockpool p
        LEFT JOIN owed o ON p.kind = 'shared' AND o.sku_id = p.sku_id AND o.group_id = p.group_id
        LEFT JOIN marks m ON p.kind = 'shared' AND m.sku_id = p.sku_id AND m.group_id = p.group_id
        WHERE p.kind NOT IN ('safety', 'revoking')
          AND (%(skus)s::bigint[] IS NULL OR p.sku_id = ANY(%(skus)s::bigint[]))
          AND (p.starts_at IS NULL OR p.starts_at <= %(at)s) AND (p.ends_at IS NULL OR p.ends_at > %(at)s)
    ), drawn AS (
        SELECT s.shop_id, s.position, s.publish_ratio, s.buffer, s.maximum, p.*
        FROM pools p
        JOIN inventory_shoppool s
          ON s.group_id = p.group_id AND s.kind = p.kind AND s.label = p.label AND s.sku_id IS NULL
        WHERE NOT EXISTS (
            SELECT FROM inventory_shoppool own WHERE own.shop_id = s.shop_id AND own.sku_id = p.sku_id)
        UNION ALL
        SELECT s.shop_id, s.position, s.publish_ratio, s.buffer, s.maximum, p.*
        FROM pools p
        JOIN inventory_shoppool s
          ON s.group_id = p.group_id AND s.kind = p.kind AND s.label = p.label AND s.sku_id = p.sku_id
    )
    SELECT shop_id, sku_id, id AS pool_id, group_id, position, free, owed, publish_ratio, buffer, maximum, low_water,
           CASE
               WHEN available < low_water AND publish_ratio > 0 THEN coalesce((
                   SELECT ceil(available * x.part_to) - ceil(available * x.part_from) FROM inventory_shopexposure x
                   WHERE x.sku_id = drawn.sku_id AND x.group_id = drawn.group_id AND x.shop_id = drawn.shop_id), 0)
               WHEN publish_ratio = 1 THEN available
               ELSE floor(available * publish_ratio)
           END::int AS sellable
    FROM drawn
"""
# What a shop leaves to the others comes off the sum of its pools; what it shows at most caps it.
SELLABLE = f"""
    SELECT shop_id, sku_id, least(greatest(sum(sellable) - max(buffer), 0), min(maximum))::int AS quantity
    FROM ({SHARES}) shares GROUP BY shop_id, sku_id
"""  # noqa: S608 - put together from constants

# A bundle is sold as often as its scarcest component goes into it; a component that a shop does not draw on is none.
# The components are asked for beside the SKUs, so that their rows are found by their own index. `SELLABLE` stays apart:
# whoever knows that no bundle is among them does not pay for this.
WITH_COMPONENTS = SELLABLE.replace(
    "ANY(%(skus)s::bigint[])",
    "ANY(%(skus)s::bigint[] || ARRAY("
    "SELECT component_id FROM products_bundlecomponent WHERE bundle_id = ANY(%(skus)s::bigint[])))",
)
SELLABLE_WITH_BUNDLES = f"""
    WITH plain AS MATERIALIZED ({WITH_COMPONENTS}), inside AS (
        SELECT bundle_id, component_id, units, count(*) OVER (PARTITION BY bundle_id) AS components
        FROM products_bundlecomponent WHERE %(skus)s::bigint[] IS NULL OR bundle_id = ANY(%(skus)s::bigint[])
    )
    SELECT shop_id, sku_id, quantity FROM plain
    WHERE (%(skus)s::bigint[] IS NULL OR sku_id = ANY(%(skus)s::bigint[]))
      AND sku_id NOT IN (SELECT bundle_id FROM inside)
    UNION ALL
    SELECT p.shop_id, i.bundle_id, CASE WHEN count(*) = i.components THEN min(p.quantity / i.units) ELSE 0 END
    FROM inside i JOIN plain p ON p.sku_id = i.component_id GROUP BY p.shop_id, i.bundle_id, i.components
"""  # noqa: S608 - put together from constants

# Good units that no order has been given yet, where the shops' groups lie. Plan: level_by_sku.
FREE_BY_LOCATION = """
    SELECT s.shop_id, v.sku_id, l.code, sum(v.on_hand - v.committed)::int
    FROM (SELECT DISTINCT shop_id, group_id, sku_id FROM inventory_shoppool WHERE shop_id = ANY(%(shops)s)) s
    JOIN inventory_location l ON l.group_id = s.group_id AND l.is_active
    JOIN inventory_stocklevel v ON v.location_id = l.id AND v.sku_id = ANY(%(skus)s) AND v.grade = 'good'
    WHERE s.sku_id = v.sku_id OR s.sku_id IS NULL AND NOT EXISTS (
        SELECT FROM inventory_shoppool own WHERE own.shop_id = s.shop_id AND own.sku_id = v.sku_id)
    GROUP BY s.shop_id, v.sku_id, l.priority, l.code ORDER BY l.priority, l.code
"""

FILLABLE_SKUS = """
    SELECT s.sku_id FROM inventory_shortage s
    WHERE s.state = 'open' AND s.quantity <= (
        SELECT sum(p.granted - p.reserved) FROM inventory_stockpool p
        WHERE p.sku_id = s.sku_id AND p.kind NOT IN ('safety', 'revoking'))
    GROUP BY s.sku_id ORDER BY min(s.id) LIMIT %s
"""

LEVELS = """
    SELECT l.code, l.name, g.code, v.grade, v.owner, v.on_hand, v.committed, v.on_hand - v.committed
    FROM inventory_stocklevel v
    JOIN inventory_location l ON l.id = v.location_id
    JOIN inventory_locationgroup g ON g.id = l.group_id
    WHERE v.sku_id = %s ORDER BY g.code, l.priority, l.code, v.grade, v.owner
"""
POOLS = """
    SELECT p.id, g.code, p.kind, p.label, p.granted, p.reserved, p.granted - p.reserved, p.target
    FROM inventory_stockpool p JOIN inventory_locationgroup g ON g.id = p.group_id
    WHERE p.sku_id = %s ORDER BY g.code, p.kind, p.label
"""
SHOPS = f"""
    SELECT w.code, w.name, s.pool_id, s.free, s.owed, s.publish_ratio, s.sellable, s.buffer, s.maximum,
           s.low_water, x.part_from, x.part_to
    FROM ({SHARES}) s
    JOIN products_shop w ON w.id = s.shop_id
    LEFT JOIN inventory_shopexposure x
      ON s.low_water IS NOT NULL AND x.sku_id = s.sku_id AND x.group_id = s.group_id AND x.shop_id = s.shop_id
    ORDER BY w.code, s.position, s.pool_id
"""  # noqa: S608 - put together from constants
PUBLISHED = """
    SELECT w.code, l.outer_item_id, l.outer_sku_id, p.desired_quantity, p.sent_quantity, p.acked_quantity, p.acked_at,
           p.last_error
    FROM products_listing l
    JOIN products_shop w ON w.id = l.shop_id
    JOIN inventory_publishedstock p ON p.listing_id = l.id
    WHERE l.sku_id = %s ORDER BY w.code, l.outer_item_id, l.outer_sku_id
"""
# What each shop that draws on any component may sell of each, none where it draws on nothing of it.
INSIDE = f"""
    SELECT w.code, w.name, k.id, k.code, c.units, coalesce(s.quantity, 0), coalesce(s.quantity, 0) / c.units
    FROM products_bundlecomponent c
    JOIN products_sku k ON k.id = c.component_id
    CROSS JOIN (SELECT DISTINCT shop_id FROM ({SELLABLE}) any_of_them) d
    JOIN products_shop w ON w.id = d.shop_id
    LEFT JOIN ({SELLABLE}) s ON s.shop_id = d.shop_id AND s.sku_id = c.component_id
    WHERE c.bundle_id = %(bundle)s ORDER BY w.code, c.id
"""  # noqa: S608 - put together from constants
SHORT = """
    SELECT count(*), coalesce(sum(quantity), 0)::int FROM inventory_shortage WHERE sku_id = %s AND state = 'open'
"""
# Plan: movement_by_sku. What came in and went out of the house, and what was promised: why a number is what it is.
HISTORY = """
    SELECT kind, from_account, to_account, sum(quantity)::int FROM inventory_stockmovement
    WHERE sku_id = %s GROUP BY kind, from_account, to_account ORDER BY kind, from_account, to_account
"""


@dataclass(frozen=True, slots=True)
class LevelFact:
    """What lies at one location. free = on hand − committed."""

    location_code: str
    location_name: str
    group_code: str
    grade: str
    owner: str
    on_hand: int
    committed: int
    free: int


@dataclass(frozen=True, slots=True)
class PoolFact:
    """What may be promised under one heading. free = granted − reserved."""

    pool_id: int
    group_code: str
    kind: str
    label: str
    granted: int
    reserved: int
    free: int
    target: int | None


@dataclass(frozen=True, slots=True)
class ShareFact:
    """What a shop may sell from one pool: ⌊(free − owed) × ratio⌋, never below 0.

    With fewer than `low_water` left in a shared pool: ⌈n × part_to⌉ − ⌈n × part_from⌉. Off the sum of its pools come
    `buffer` units that the shop leaves to others, and `maximum` caps what is left.
    """

    shop_code: str
    shop_name: str
    pool_id: int
    free: int
    owed: int
    publish_ratio: Decimal
    sellable: int
    buffer: int
    maximum: int | None
    low_water: int | None
    part_from: Decimal | None
    part_to: Decimal | None

    @property
    def is_divided(self) -> bool:
        """Whether the pool is so low that each shop shows a part of its own."""
        return self.low_water is not None and max(self.free - self.owed, 0) < self.low_water


@dataclass(frozen=True, slots=True)
class ComponentFact:
    """How often a component of a bundle goes into it in a shop: ⌊sellable / units⌋. `is_limit`: no other goes less."""

    shop_code: str
    shop_name: str
    sku_id: int
    sku_code: str
    units: int
    sellable: int
    bundles: int
    is_limit: bool


@dataclass(frozen=True, slots=True)
class PublishedFact:
    """What a channel was told about one listing."""

    shop_code: str
    outer_item_id: str
    outer_sku_id: str
    desired: int
    sent: int | None
    acknowledged: int | None
    acknowledged_at: datetime | None
    last_error: str


@dataclass(frozen=True, slots=True)
class MovedFact:
    """How many units ever moved between two accounts, by the kind of movement."""

    kind: str
    from_account: Account
    to_account: Account
    quantity: int


@dataclass(frozen=True, slots=True)
class StockExplained:
    """Every number of one SKU with those that it comes from. `components`: of a bundle, which has no stock itself."""

    levels: list[LevelFact]
    pools: list[PoolFact]
    shares: list[ShareFact]
    published: list[PublishedFact]
    short_lines: int
    short_units: int
    history: list[MovedFact]
    components: list[ComponentFact]


def sellable_stock(
    *, sku_ids: Sequence[int], shop_ids: Sequence[int] | None = None, at: datetime | None = None
) -> dict[tuple[int, int], int]:
    """The units of each SKU that each shop may sell, by (shop id, SKU id), 0 where it draws on nothing.

    What its pools have free, less what lines are owed already, each pool times the shop's publish ratio (a low shared
    pool: the shop's part of it), less the shop's buffer, at most its maximum; of a bundle, as many as its scarcest
    component makes. Without `shop_ids`: every shop that draws on any of these SKUs or on a
    component of them.
    """
    rows = fetch_all(SELLABLE_WITH_BUNDLES, {"skus": list(sku_ids), "at": at or timezone.now()})
    found = {(shop_id, sku_id): quantity for shop_id, sku_id, quantity in rows}
    if shop_ids is None:
        return found
    return {(shop, sku): found.get((shop, sku), 0) for shop in shop_ids for sku in sku_ids}


def free_by_location(
    *, sku_ids: Sequence[int], shop_ids: Sequence[int]
) -> dict[tuple[int, int], list[tuple[str, int]]]:
    """By (shop id, SKU id): the locations that serve the shop, by priority, with their good, uncommitted units.

    Promises are made from pools, not from locations: these say where goods lie, not how many may be sold. Of a bundle:
    how many can be put together at each location.
    """
    inside = components_of(sku_ids)
    wanted = {*sku_ids, *(part.sku_id for parts in inside.values() for part in parts)}
    found: dict[tuple[int, int], list[tuple[str, int]]] = {}
    rows = fetch_all(FREE_BY_LOCATION, {"shops": list(shop_ids), "skus": sorted(wanted)})
    for shop_id, sku_id, code, free in rows:
        found.setdefault((shop_id, sku_id), []).append((code, free))
    for shop_id in shop_ids:
        for bundle_id, parts in inside.items():
            found[shop_id, bundle_id] = _together(parts, shop_id, found)
    asked = set(sku_ids)
    return {pair: places for pair, places in found.items() if pair[1] in asked}


def _together(
    parts: Sequence[Component], shop_id: int, free: Mapping[tuple[int, int], Sequence[tuple[str, int]]]
) -> list[tuple[str, int]]:
    """How many bundles lie complete at each location where something of each component lies."""
    of_parts = [dict(free.get((shop_id, part.sku_id), ())) for part in parts]
    return [
        (code, min(places[code] // part.units for part, places in zip(parts, of_parts, strict=True)))
        for code in of_parts[0]
        if all(code in places for places in of_parts)
    ]


def explain_stock(*, sku_id: int, at: datetime | None = None) -> StockExplained:
    """Why each number of this SKU is what it is: what lies where, who may sell it, who was told, and what moved."""
    at = at or timezone.now()
    shares = fetch_all(SHOPS, {"skus": [sku_id], "at": at})
    short_lines, short_units = fetch_all(SHORT, [sku_id])[0]
    return StockExplained(
        levels=[LevelFact(*row) for row in fetch_all(LEVELS, [sku_id])],
        pools=[PoolFact(*row) for row in fetch_all(POOLS, [sku_id])],
        shares=[ShareFact(*row) for row in shares],
        published=[PublishedFact(*row) for row in fetch_all(PUBLISHED, [sku_id])],
        short_lines=short_lines,
        short_units=short_units,
        history=[
            MovedFact(MovementKind(kind), Account(giver), Account(taker), quantity)
            for kind, giver, taker, quantity in fetch_all(HISTORY, [sku_id])
        ],
        components=_explain_bundle(sku_id, at),
    )


def _explain_bundle(sku_id: int, at: datetime) -> list[ComponentFact]:
    """By shop; none where the SKU is no bundle, or no shop draws on what lies in it."""
    skus = [part.sku_id for part in components_of([sku_id]).get(sku_id, ())]
    if not skus:
        return []
    rows = fetch_all(INSIDE, {"bundle": sku_id, "skus": skus, "at": at})
    least: dict[str, int] = {}
    for shop_code, *_rest, bundles in rows:
        least[shop_code] = min(bundles, least.get(shop_code, bundles))
    return [
        ComponentFact(shop, name, ident, code, units, sellable, bundles, is_limit=bundles == least[shop])
        for shop, name, ident, code, units, sellable, bundles in rows
    ]


def fillable_skus(*, limit: int) -> list[int]:
    """SKUs of which a line is owed no more than is free, the longest waiting first."""
    return [row[0] for row in fetch_all(FILLABLE_SKUS, [limit])]

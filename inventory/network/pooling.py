"""Which group each location belongs in by the pooling rules, and what would change if they were applied."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from inventory.models import Location, LocationGroup, PoolingRule
from omni.kernel.sql import fetch_all

# The group of what is not sold online: no shop is to draw on it.
OFF = "off"

# What lies there, what of it orders have been given, and for how many units promises would have to be withdrawn
# because the group that is left has no more free. Plan: the levels of the locations, their pools by SKU.
AT_STAKE = """
    WITH goods AS (
        SELECT v.location_id, l.group_id, v.sku_id, sum(v.on_hand) AS on_hand, sum(v.committed) AS committed
        FROM inventory_stocklevel v JOIN inventory_location l ON l.id = v.location_id
        WHERE v.location_id = ANY(%s) AND v.grade = 'good' AND v.on_hand > 0
        GROUP BY v.location_id, l.group_id, v.sku_id
    )
    SELECT g.location_id, count(*), sum(g.on_hand)::int, sum(g.committed)::int,
           sum(greatest(0, g.on_hand - g.committed - coalesce(p.free, 0)))::int
    FROM goods g LEFT JOIN LATERAL (
        SELECT sum(granted - reserved) AS free FROM inventory_stockpool
        WHERE sku_id = g.sku_id AND group_id = g.group_id
    ) p ON true
    GROUP BY g.location_id
"""


@dataclass(frozen=True, slots=True)
class Choice:
    """Where a location belongs. `group_id` None: in the group of what is off, which is made when it is needed."""

    group_id: int | None
    rule: PoolingRule | None = None


@dataclass(frozen=True, slots=True)
class PlannedMove:
    """A location that would change its group.

    `units`: good units that lie there, of `skus` SKUs. `committed`: of these given to orders; their promises go with
    them. `withdrawn`: units of promises that the old group could not keep.
    """

    location: Location
    to_group_id: int | None
    to_group: str
    rule: PoolingRule | None
    skus: int = 0
    units: int = 0
    committed: int = 0
    withdrawn: int = 0


def is_sold_online(location: Location) -> bool:
    return location.is_active and location.ships_online


def read_rules() -> list[PoolingRule]:
    """The active rules in their order."""
    return list(PoolingRule.objects.filter(is_active=True).select_related("group").order_by("position", "id"))


def choose_group(location: Location, rules: Sequence[PoolingRule]) -> Choice:
    """The group of the first rule that fits.

    What does not ship online fits only rules that say so, for any other group would sell it; without one it is off.
    What ships online and fits none goes back to where it was before it was switched off, or stays.
    """
    if not location.is_active:
        return Choice(None)
    if not location.ships_online:
        rule = next((rule for rule in rules if rule.ships_online is False and fits(rule, location)), None)
        return Choice(rule.group_id if rule else None, rule)
    rule = next((rule for rule in rules if rule.ships_online is not False and fits(rule, location)), None)
    if rule:
        return Choice(rule.group_id, rule)
    return Choice(location.group_before_off_id or location.group_id)


def fits(rule: PoolingRule, location: Location) -> bool:
    """Whether all conditions fit but that of shipping online."""
    asked = (
        (rule.kinds, location.kind),
        (rule.owners, location.owner),
        (rule.provinces, location.province),
    )
    return all(not wanted or value in wanted for wanted, value in asked)


def plan_pooling(location_ids: Collection[int] | None = None) -> list[PlannedMove]:
    """The locations that the rules would move, all or of some. Changes nothing."""
    rules, names = read_rules(), dict(LocationGroup.objects.values_list("pk", "name"))
    off = LocationGroup.objects.filter(code=OFF).first()
    rows = Location.objects.select_related("group").order_by("code")
    if location_ids is not None:
        rows = rows.filter(pk__in=location_ids)
    moves: list[tuple[Location, int | None, PoolingRule | None]] = []
    for location in rows:
        choice = choose_group(location, rules)
        group_id = choice.group_id or (off.pk if off else None)
        if group_id != location.group_id:
            moves.append((location, group_id, choice.rule))
    stakes = {row[0]: row[1:] for row in fetch_all(AT_STAKE, [[location.pk for location, *_ in moves]])}
    return [
        PlannedMove(
            location, group_id, names.get(group_id or 0, OFF), rule, *stakes.get(location.pk, (0, 0, 0, 0))
        )
        for location, group_id, rule in moves
    ]

"""What of each SKU of a group is granted to whom, and by which rules: what an allocation starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any

from inventory.models import QuotaRule
from inventory.quota.scopes import RULES_HELD
from omni.kernel.sql import as_array, fetch_all

# Plan: one_pool_per_sku_group_kind_and_label, SKU by SKU.
POOLS = """
    SELECT sku_id, kind, label, granted, reserved FROM inventory_stockpool
    WHERE group_id = %s AND sku_id = ANY(%s::bigint[]) AND kind IN ('base', 'shared', 'quota')
"""
COMING = """
    SELECT sku_id, to_label, sum(quantity - arrived)::int FROM inventory_revocation
    WHERE group_id = %s AND sku_id = ANY(%s::bigint[]) AND state IN ('telling', 'pulling') AND to_kind = 'quota'
    GROUP BY sku_id, to_label
"""
# The rules that hold of a SKU as one text: very many SKUs have the same.
HELD = f"""
    SELECT sku_id, string_agg(id::text, ',' ORDER BY id) FROM ({RULES_HELD}) held
    WHERE group_id = %(group)s GROUP BY sku_id
"""  # noqa: S608 - put together from constants
WITH_STOCK = """
    SELECT sku_id FROM inventory_stockpool WHERE group_id = %s GROUP BY sku_id HAVING sum(granted) > 0 ORDER BY sku_id
"""
OF_BRAND = """
    SELECT k.id FROM products_sku k JOIN products_spu p ON p.id = k.spu_id WHERE p.brand_id = %s
"""
OF_CATEGORY = """
    SELECT k.id FROM products_sku k JOIN products_spu p ON p.id = k.spu_id
    JOIN products_category c ON c.id = p.category_id
    JOIN products_category top ON top.id = %s AND starts_with(c.path, top.path)
"""


@dataclass(slots=True)
class Quota:
    """What is granted to one shop alone. `coming`: units on their way to it that another shop gives up."""

    granted: int = 0
    reserved: int = 0
    coming: int = 0

    @property
    def held(self) -> int:
        """What it holds, or will."""
        return self.granted + self.coming

    @property
    def free(self) -> int:
        """What it can sell, or will."""
        return self.granted + self.coming - self.reserved


@dataclass(frozen=True)
class Term:
    """How a shop shares in a SKU: its quota rule, as far as an allocation asks."""

    shop_id: int
    code: str
    mode: str
    ratio: Decimal | None
    minimum: int
    maximum: int | None
    service_level: float
    priority: int

    @cached_property
    def has_quota(self) -> bool:
        """Whether units may be granted to it alone."""
        return self.mode != QuotaRule.Mode.SHARED


@dataclass(frozen=True, eq=False)
class Policy:
    """The terms of all shops for a SKU, by priority. One object for all SKUs of which the same rules hold."""

    terms: tuple[Term, ...] = ()


NO_POLICY = Policy()


@dataclass(slots=True)
class Shelf:
    """One SKU in the group. `quotas`: by the shop's code."""

    sku_id: int
    base: int = 0
    base_free: int = 0
    shared: int = 0
    shared_free: int = 0
    quotas: dict[str, Quota] = field(default_factory=dict)
    policy: Policy = NO_POLICY


class Shelves:
    """Reads shelves of one group, and remembers what the rules are."""

    def __init__(self, group_id: int) -> None:
        self.group_id = group_id
        self._policies: dict[str, Policy] = {}
        rows = QuotaRule.objects.filter(group_id=group_id, is_active=True).values_list(
            "pk",
            "shop_id",
            "shop__code",
            "mode",
            "quota_ratio",
            "minimum",
            "maximum",
            "service_level",
            "priority",
        )
        self._rules = {
            pk: Term(shop, code, mode, ratio, minimum, maximum, float(level), priority)
            for pk, shop, code, mode, ratio, minimum, maximum, level, priority in rows
        }

    @property
    def shop_ids(self) -> list[int]:
        """The shops to which some rule may grant units alone."""
        return sorted({term.shop_id for term in self._rules.values() if term.has_quota})

    def read(self, sku_ids: Sequence[int]) -> list[Shelf]:
        """The shelves of these SKUs, in this order."""
        skus = as_array(sku_ids)
        shelves = {sku_id: Shelf(sku_id) for sku_id in sku_ids}
        for sku_id, kind, label, granted, reserved in fetch_all(POOLS, [self.group_id, skus]):
            shelf = shelves[sku_id]
            if kind == "quota":
                shelf.quotas[label] = Quota(granted, reserved)
            elif kind == "shared":
                shelf.shared, shelf.shared_free = granted, granted - reserved
            else:
                shelf.base, shelf.base_free = granted, granted - reserved
        for sku_id, label, units in fetch_all(COMING, [self.group_id, skus]):
            shelves[sku_id].quotas.setdefault(label, Quota()).coming = units
        for sku_id, rules in fetch_all(HELD, {"group": self.group_id, "skus": list(sku_ids)}):
            shelves[sku_id].policy = self._policy_of(rules)
        return list(shelves.values())

    def _policy_of(self, rules: str) -> Policy:
        policy = self._policies.get(rules)
        if policy is None:
            found = [self._rules[int(rule)] for rule in rules.split(",") if int(rule) in self._rules]
            policy = Policy(tuple(sorted(found, key=lambda term: (term.priority, term.shop_id))))
            self._policies[rules] = policy
        return policy


def skus_in_scope(*, group_id: int, scope: Mapping[str, Any]) -> list[int]:
    """The ids, in order, of the SKUs in the scope of which something lies in the group; those named one by one, all."""
    if "skus" in scope:
        return sorted(set(scope["skus"]))
    with_stock = [row[0] for row in fetch_all(WITH_STOCK, [group_id])]
    for name, statement in (("brand", OF_BRAND), ("category", OF_CATEGORY)):
        if name in scope:
            among = {row[0] for row in fetch_all(statement, [scope[name]])}
            return [sku_id for sku_id in with_stock if sku_id in among]
    return with_stock

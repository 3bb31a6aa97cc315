"""Which rules speak for which shops at a moment, the one that decides first."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from omni.kernel.sql import fetch_all

# The order in which they decide; of one priority `exclude` comes before `include`.
IN_FORCE = """
    SELECT r.id, r.kind, r.version, array_agg(s.shop_id ORDER BY s.shop_id)
    FROM products_assortmentrule r JOIN products_assortmentrule_shops s ON s.assortmentrule_id = r.id
    WHERE r.is_active AND (r.starts_at IS NULL OR r.starts_at <= %(at)s) AND (r.ends_at IS NULL OR r.ends_at > %(at)s)
      AND s.shop_id = ANY(%(shops)s::bigint[])
    GROUP BY r.id ORDER BY r.priority DESC, r.kind, r.id
"""
CATALOGUES_OF = """
    SELECT s.shop_id, c.id, c.version FROM products_shopcatalogue s
    JOIN products_catalogue c ON c.id = s.catalogue_id AND c.is_active
    WHERE s.shop_id = ANY(%s::bigint[]) ORDER BY s.shop_id
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule in force. `shop_ids`: of those that were asked for."""

    rule_id: int
    is_include: bool
    version: int
    shop_ids: frozenset[int]


@dataclass(frozen=True, slots=True)
class Say:
    """All that is said for some shops at a moment. `catalogues`: shop → (catalogue, version), where there is one."""

    rules: tuple[Rule, ...]
    catalogues: dict[int, tuple[int, int]]

    def of_shop(self, shop_id: int) -> list[tuple[int, Rule]]:
        """The rules of one shop, each with its place among all."""
        return [(place, rule) for place, rule in enumerate(self.rules) if shop_id in rule.shop_ids]

    def basis(self) -> dict[str, Any]:
        """By what a later moment is compared with this one; as JSON keeps it."""
        return {
            "rules": [[rule.rule_id, rule.version, sorted(rule.shop_ids)] for rule in self.rules],
            "catalogues": [[shop_id, *catalogue] for shop_id, catalogue in sorted(self.catalogues.items())],
        }


def read_say(*, shop_ids: Collection[int], at: datetime) -> Say:
    """The rules and catalogues of these shops, in two statements."""
    shops = sorted(shop_ids)
    rules = tuple(
        Rule(rule_id, kind == "include", version, frozenset(of))
        for rule_id, kind, version, of in fetch_all(IN_FORCE, {"shops": shops, "at": at})
    )
    catalogues = {shop: (ident, version) for shop, ident, version in fetch_all(CATALOGUES_OF, [shops])}
    return Say(rules, catalogues)

"""What lies in the bundles: their components, the weights by which their price is split, and who is part of what."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal

from django.utils.translation import gettext as _

from omni.kernel.money import ZERO
from omni.kernel.sql import as_array, fetch_all

# In the order in which they were put in. Plan: a_bundle_names_each_component_once.
COMPONENTS = """
    SELECT c.bundle_id, c.component_id, k.code, k.name, c.units, c.weight, k.list_price
    FROM products_bundlecomponent c JOIN products_sku k ON k.id = c.component_id
    WHERE c.bundle_id = ANY(%s::bigint[]) ORDER BY c.bundle_id, c.id
"""
# Whoever composes a bundle holds its components: what is found after this lock stays so.
LOCK_SKUS = "SELECT id FROM products_sku WHERE id = ANY(%s::bigint[]) ORDER BY id FOR NO KEY UPDATE"
# Plan: bundles_of_a_component.
ACTIVE_BUNDLES_OF = """
    SELECT c.component_id, k.code FROM products_bundlecomponent c JOIN products_sku k ON k.id = c.bundle_id
    WHERE c.component_id = ANY(%s::bigint[]) AND k.is_active ORDER BY c.component_id, k.code
"""


@dataclass(frozen=True, slots=True)
class Component:
    """`units` of a plain SKU in each bundle; `weight`: the share of them all in its price, in the bundle's measure."""

    sku_id: int
    code: str
    name: str
    units: int
    weight: Decimal


def components_of(sku_ids: Iterable[int]) -> dict[int, list[Component]]:
    """The components of those of these SKUs that are bundles, by the id of the bundle.

    Where no shares are said, the list price of a component times its units is its weight, 0 without a list price.
    """
    found: dict[int, list[Component]] = {}
    for bundle_id, sku_id, code, name, units, weight, list_price in fetch_all(
        COMPONENTS, [as_array(sku_ids)]
    ):
        by_price = (list_price or ZERO) * units
        component = Component(sku_id, code, name, units, by_price if weight is None else weight)
        found.setdefault(bundle_id, []).append(component)
    return found


def bundles_with(sku_ids: Collection[int]) -> dict[int, list[str]]:
    """The codes of the active bundles in which each of these SKUs lies; those that lie in none are left out.

    Locks the SKUs: nobody puts one into a bundle before the transaction ends.
    """
    found: dict[int, list[str]] = {}
    fetch_all(LOCK_SKUS, [as_array(sku_ids)])
    for component_id, code in fetch_all(ACTIVE_BUNDLES_OF, [as_array(sku_ids)]):
        found.setdefault(component_id, []).append(code)
    return found


def lies_in_bundles(code: str, bundles: Collection[str]) -> str:
    """Why a SKU cannot be taken out of sight, for whoever tries."""
    return _("%(sku)s lies in %(bundles)s: take it out of there first.") % {
        "sku": code,
        "bundles": ", ".join(sorted(bundles)[:5]),
    }

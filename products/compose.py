"""Say which SKUs are bundles, and what lies in them: each bundle taken or refused for itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal

from django.db import transaction
from django.utils.translation import gettext as _

from omni.kernel.audit import changes_by, record_act
from omni.kernel.errors import BadInput, DomainError
from omni.kernel.events import record_events
from omni.kernel.sql import execute, fetch_all
from products.events import BundlesChanged, ProductsChanged
from products.models import Sku

COMPONENTS_MAX = 50
UNITS_MAX = 1_000

# In id order, components too: of two who would put one bundle into another, the second sees what the first has done.
# NO KEY: whoever names these SKUs in a foreign key need not wait.
LOCK_SKUS = """
    SELECT k.id, k.code, k.list_price, k.currency, k.is_active, p.brand_id
    FROM products_sku k JOIN products_spu p ON p.id = k.spu_id
    WHERE k.id = ANY(%s) ORDER BY k.id FOR NO KEY UPDATE OF k
"""
AROUND = """
    SELECT bundle_id, component_id, units, weight FROM products_bundlecomponent
    WHERE bundle_id = ANY(%(skus)s) OR component_id = ANY(%(skus)s) ORDER BY id
"""
TAKE_OUT = """
    DELETE FROM products_bundlecomponent c
    WHERE c.bundle_id = ANY(%s) AND NOT EXISTS (
        SELECT FROM unnest(%s::bigint[], %s::bigint[]) AS w(bundle, component)
        WHERE w.bundle = c.bundle_id AND w.component = c.component_id)
"""
PUT_IN = """
    INSERT INTO products_bundlecomponent AS c (bundle_id, component_id, units, weight)
    SELECT w.bundle, w.component, w.units, w.weight
    FROM unnest(%s::bigint[], %s::bigint[], %s::int[], %s::numeric[]) WITH ORDINALITY
        AS w(bundle, component, units, weight, place) ORDER BY w.place
    ON CONFLICT (bundle_id, component_id) DO UPDATE SET units = excluded.units, weight = excluded.weight
    WHERE c.units <> excluded.units OR c.weight IS DISTINCT FROM excluded.weight
"""

# Who objects to SKUs becoming bundles: by the id of each such SKU, a sentence that says why. Called in the
# transaction, and its word must hold until that ends.
Objection = Callable[[Collection[int]], Mapping[int, str]]


class BadBundle(BadInput):
    """A bundle that contradicts itself or another one; `fields` says where."""

    code = "bad_bundle"


class CannotBeBundle(DomainError):
    """The SKU is in use by itself: it lies somewhere, or open orders wait for it."""

    code = "cannot_be_bundle"


@dataclass(frozen=True, slots=True)
class ComponentDraft:
    """So many units of a SKU. `weight`: the share of all of them in the price; None: that of list price × units."""

    sku_id: int
    units: int = 1
    weight: Decimal | None = None


@dataclass(frozen=True, slots=True)
class BundleDraft:
    """All that lies in a bundle from now on. Nothing: the SKU is no bundle any more."""

    sku_id: int
    components: Sequence[ComponentDraft]


@dataclass(frozen=True, slots=True)
class Composed:
    """What came of one draft. `dissolved`: it is a plain SKU now."""

    sku_id: int
    result: Literal["new", "changed", "unchanged", "dissolved", "refused"]
    refusal: DomainError | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    """A locked SKU."""

    code: str
    list_price: Decimal | None
    currency: str
    is_active: bool
    brand_id: int


@dataclass(slots=True)
class _Shelf:
    """What is known of all SKUs concerned, as the drafts before the present one have left it."""

    skus: dict[int, _Known]
    inside: dict[int, list[ComponentDraft]] = field(default_factory=dict)  # by bundle
    around: dict[int, set[int]] = field(default_factory=dict)  # the bundles of a component
    objections: dict[int, str] = field(default_factory=dict)

    def put(self, bundle_id: int, components: Sequence[ComponentDraft]) -> None:
        for bundles in self.around.values():
            bundles.discard(bundle_id)
        self.inside.pop(bundle_id, None)
        if components:
            self.inside[bundle_id] = list(components)
        for component in components:
            self.around.setdefault(component.sku_id, set()).add(bundle_id)


@transaction.atomic
def define_bundles(
    *,
    bundles: Sequence[BundleDraft],
    objections: Sequence[Objection],
    reason: str = "",
    at: datetime,
    by: str,
) -> list[Composed]:
    """Say what lies in these bundles. One that is refused stays as it was, and the others go on.

    Components are plain SKUs of the bundle's own brand: no bundle contains another, nor itself. A SKU becomes a bundle
    only if nobody objects. Saying the same again changes nothing. Orders that were captured keep what they were split
    into. Events tell of all that changed. Returns one result per draft, in the order given; statements do not grow with
    their number, but for one audit entry per change.
    """
    shelf = _look(bundles)
    # Only who is no bundle yet needs leave to become one.
    new = sorted({draft.sku_id for draft in bundles if draft.components and draft.sku_id not in shelf.inside})
    for objection in objections if new else ():
        for sku_id, why in objection(new).items():
            shelf.objections.setdefault(sku_id, why)
    results: list[Composed] = []
    changed: dict[int, Sequence[ComponentDraft]] = {}
    for draft in bundles:
        before = shelf.inside.get(draft.sku_id, [])
        fault = _find_fault(draft, shelf, changed)
        if fault is not None:
            results.append(Composed(draft.sku_id, "refused", fault))
            continue
        if _as_set(before) == _as_set(draft.components):
            results.append(Composed(draft.sku_id, "unchanged"))
            continue
        shelf.put(draft.sku_id, draft.components)
        changed[draft.sku_id] = draft.components
        results.append(
            Composed(draft.sku_id, "new" if not before else "changed" if draft.components else "dissolved")
        )
    if changed:
        _write(changed, shelf, reason=reason, by=by)
    return results


def _as_set(components: Sequence[ComponentDraft]) -> set[ComponentDraft]:
    return set(components)


def _look(bundles: Sequence[BundleDraft]) -> _Shelf:
    concerned = {draft.sku_id for draft in bundles}
    concerned |= {component.sku_id for draft in bundles for component in draft.components}
    skus = sorted(concerned)
    shelf = _Shelf({row[0]: _Known(*row[1:]) for row in fetch_all(LOCK_SKUS, [skus])})
    # After the lock: whoever composed with one of these before has committed.
    for bundle_id, component_id, units, weight in fetch_all(AROUND, {"skus": skus}):
        shelf.inside.setdefault(bundle_id, []).append(ComponentDraft(component_id, units, weight))
        shelf.around.setdefault(component_id, set()).add(bundle_id)
    return shelf


def _find_fault(draft: BundleDraft, shelf: _Shelf, changed: Mapping[int, object]) -> DomainError | None:
    bundle = shelf.skus.get(draft.sku_id)
    if bundle is None:
        return BadBundle(_("There is no such SKU."), fields={"bundle": [_("There is no such SKU.")]})
    if draft.sku_id in changed:
        return _bad(_("%s stands there twice.") % bundle.code)
    if not draft.components:
        return None
    holders = shelf.around.get(draft.sku_id)
    if holders:
        text = _("%(sku)s is a component itself, of %(bundle)s: a bundle holds plain SKUs only.")
        return _bad(text % {"sku": bundle.code, "bundle": _code(shelf, min(holders))})
    fault = _fault_of_components(draft, bundle, shelf) or _fault_of_weights(draft, shelf)
    if fault:
        return _bad(fault)
    if draft.sku_id not in shelf.inside and draft.sku_id in shelf.objections:
        why = shelf.objections[draft.sku_id]
        return CannotBeBundle(why, fields={"components": [why]})
    return None


def _bad(text: str) -> BadBundle:
    return BadBundle(text, fields={"components": [text]})


def _code(shelf: _Shelf, sku_id: int) -> str:
    known = shelf.skus.get(sku_id)
    return known.code if known else Sku.objects.values_list("code", flat=True).get(pk=sku_id)


def _fault_of_components(draft: BundleDraft, bundle: _Known, shelf: _Shelf) -> str:
    if len(draft.components) > COMPONENTS_MAX:
        return _("A bundle holds at most %d components.") % COMPONENTS_MAX
    seen: set[int] = set()
    before = {component.sku_id for component in shelf.inside.get(draft.sku_id, ())}
    for component in draft.components:
        known = shelf.skus.get(component.sku_id)
        if known is None:
            return _("There is no such SKU.")
        if component.sku_id == draft.sku_id:
            return _("%s cannot contain itself.") % bundle.code
        if component.sku_id in seen:
            return _("%s stands there twice.") % known.code
        seen.add(component.sku_id)
        if component.sku_id in shelf.inside:
            return _("%s is a bundle itself: name what lies in it.") % known.code
        if known.brand_id != bundle.brand_id:
            return _("%s belongs to another brand.") % known.code
        if not known.is_active and component.sku_id not in before:
            return _("%s is not active.") % known.code
        if not 1 <= component.units <= UNITS_MAX:
            return _("%(sku)s: from 1 to %(most)d units lie in a bundle.") % {
                "sku": known.code,
                "most": UNITS_MAX,
            }
    return ""


def _fault_of_weights(draft: BundleDraft, shelf: _Shelf) -> str:
    """The price must be divisible: by shares that are said for all, or by list prices of one currency."""
    weights = [component.weight for component in draft.components]
    said = [weight for weight in weights if weight is not None]
    if said:
        if len(said) < len(weights):
            return _("Say the share of every component, or of none.")
        if any(weight < 0 or not weight.is_finite() for weight in said) or not sum(said):
            return _("Shares are not negative, and together more than 0.")
        return ""
    known = [shelf.skus[component.sku_id] for component in draft.components]
    unpriced = [sku.code for sku in known if sku.list_price is None]
    if unpriced:
        return _("%s has no list price: say the shares of the price.") % ", ".join(unpriced)
    if len({sku.currency for sku in known}) > 1:
        return _("The list prices are in several currencies: say the shares of the price.")
    if not any(sku.list_price for sku in known):
        return _("All list prices are 0: say the shares of the price.")
    return ""


def _write(changed: Mapping[int, Sequence[ComponentDraft]], shelf: _Shelf, *, reason: str, by: str) -> None:
    rows = [(bundle_id, part) for bundle_id, parts in changed.items() for part in parts]
    bundle_ids, component_ids = [ident for ident, _part in rows], [part.sku_id for _ident, part in rows]
    with changes_by(by):
        execute(TAKE_OUT, [list(changed), bundle_ids, component_ids])
        if rows:
            units, weights = [part.units for _ident, part in rows], [part.weight for _ident, part in rows]
            execute(PUT_IN, [bundle_ids, component_ids, units, weights])
    skus = Sku.objects.in_bulk(list(changed))
    for bundle_id, parts in changed.items():
        detail = {
            "components": [
                {
                    "sku": shelf.skus[part.sku_id].code,
                    "units": part.units,
                    "weight": None if part.weight is None else str(part.weight),
                }
                for part in parts
            ]
        }
        record_act(by=by, action="bundle.defined", subject=skus[bundle_id], reason=reason, detail=detail)
    sku_ids = tuple(sorted(changed))
    record_events(BundlesChanged(sku_ids), ProductsChanged((), sku_ids))

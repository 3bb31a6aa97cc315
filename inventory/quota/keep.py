"""Say how much of a SKU is kept and not sold, at all locations, at one, or by one shop there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from inventory.book import UnknownPlace, refuse_bundles
from inventory.lock import lock_pools_of_skus
from inventory.models import Location, SafetyRule
from inventory.pools import NegativeTarget, set_safety_stock
from inventory.quota.derive import derive_draws
from inventory.quota.safety import safety_targets
from omni.kernel.audit import record_act
from omni.kernel.errors import BadInput
from omni.kernel.sql import fetch_all
from products.models import Shop, Sku


class SafetyNeedsLocation(BadInput):
    """What a single shop leaves is said for a location."""

    code = "safety_needs_location"


@dataclass(frozen=True, slots=True)
class SafetyWish:
    """`units` of a SKU to be kept; None: no longer by this rule. See `SafetyRule` for what the scopes mean."""

    sku_id: int
    units: int | None
    location_id: int | None = None
    shop_id: int | None = None


# Pools that a rule kept units in, and no rule does any more.
LEFT_OVER = """
    SELECT group_id, sku_id FROM inventory_stockpool
    WHERE kind = 'safety' AND target > 0 AND sku_id = ANY(%s::bigint[])
"""
TARGET_NOW = """
    SELECT group_id, sku_id, target FROM inventory_stockpool WHERE kind = 'safety' AND sku_id = ANY(%s::bigint[])
"""


@transaction.atomic
def keep_safety(*, wishes: Sequence[SafetyWish], at: datetime, by: str, reason: str) -> None:
    """Set safety rules, all of them or none, and keep the units at once from what is free in base and shared.

    The same wish again changes nothing. Promises that were made stay. Raises NegativeTarget, SafetyNeedsLocation,
    UnknownPlace, BundleHasNoStock.
    """
    _check(wishes)
    for wish in wishes:
        scope: dict[str, Any] = {
            "sku_id": wish.sku_id,
            "location_id": wish.location_id,
            "shop_id": wish.shop_id,
        }
        if wish.units is None:
            SafetyRule.objects.filter(**scope).delete()
        else:
            SafetyRule.objects.update_or_create(**scope, defaults={"units": wish.units, "note": reason[:200]})
        subject = Sku.objects.get(pk=wish.sku_id)
        detail = {"location": wish.location_id, "shop": wish.shop_id, "units": wish.units}
        record_act(by=by, action="keep_safety", subject=subject, reason=reason, detail=detail)
    skus = {wish.sku_id for wish in wishes}
    refresh_safety(sku_ids=skus, at=at, by=by, reason=reason)
    # Where one shop leaves another number of units, every rule about the SKU is a rule about what each shop leaves.
    of_shops = SafetyRule.objects.filter(sku_id__in=skus, shop__isnull=False)
    if any(wish.shop_id for wish in wishes) or of_shops.exists():
        derive_draws(at=at)


@transaction.atomic
def refresh_safety(*, sku_ids: Collection[int] | None = None, at: datetime, by: str, reason: str) -> int:
    """Make the targets of the safety pools what the rules say now.

    Rules, locations and where goods lie may have changed since. Without `sku_ids`: of all SKUs that a rule names.
    Returns how many pools got another target.
    """
    skus = sorted(sku_ids) if sku_ids is not None else None
    wanted = safety_targets(skus)
    known = skus if skus is not None else sorted({sku for targets in wanted.values() for sku in targets})
    if skus is not None:
        for group_id, sku_id in fetch_all(LEFT_OVER, [skus]):
            wanted.setdefault(group_id, {}).setdefault(sku_id, 0)
    now = {(group_id, sku_id): target for group_id, sku_id, target in fetch_all(TARGET_NOW, [known])}
    others = {
        group_id: {sku: units for sku, units in targets.items() if units != (now.get((group_id, sku)) or 0)}
        for group_id, targets in sorted(wanted.items())
    }
    # Once for all groups: group after group, they would be locked in another order than everybody else does.
    lock_pools_of_skus({sku for targets in others.values() for sku in targets})
    for group_id, targets in others.items():
        if targets:
            set_safety_stock(group_id=group_id, targets=targets, at=at, by=by, reason=reason)
    return sum(len(targets) for targets in others.values())


def _check(wishes: Sequence[SafetyWish]) -> None:
    if any(wish.units is not None and wish.units < 0 for wish in wishes):
        raise NegativeTarget(_("A safety stock is at least 0."))
    if any(wish.shop_id and not wish.location_id for wish in wishes):
        fault = _("Say at which location the shop leaves units.")
        raise SafetyNeedsLocation(fault, fields={"location": [fault]})
    refuse_bundles(wish.sku_id for wish in wishes)
    for model, idents in (
        (Sku, {wish.sku_id for wish in wishes}),
        (Location, {wish.location_id for wish in wishes if wish.location_id}),
        (Shop, {wish.shop_id for wish in wishes if wish.shop_id}),
    ):
        missing = idents - set(model._default_manager.filter(pk__in=idents).values_list("pk", flat=True))
        if missing:
            raise UnknownPlace(
                _("%(what)s %(id)s does not exist.") % {"what": model._meta.verbose_name, "id": min(missing)}
            )

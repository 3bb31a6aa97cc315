"""Quotas, rules and runs for tests, made through the operations by which they come about."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from inventory.models import AllocationRun, LocationGroup, QuotaRule, StockPool
from inventory.quota.define import QuotaWish, set_quota_rule
from inventory.quota.set_by_hand import set_quotas_by_hand
from products.models import Shop, Sku

BUYER = "user:1"


def quota_rule(group: LocationGroup, shop: Shop, mode: str = "lock_share", **more: Any) -> QuotaRule:
    """The rule of the shop in the group; without more, for every SKU."""
    wish = QuotaWish(group_id=group.pk, shop_id=shop.pk, mode=mode, **more)
    return set_quota_rule(wish=wish, at=timezone.now(), by=BUYER, reason="test")


def set_quota(group: LocationGroup, sku: Sku, shop: Shop, units: int) -> AllocationRun:
    """Bring a quota to so many units, as somebody does by hand."""
    return set_quotas_by_hand(
        group_id=group.pk, targets={(sku.pk, shop.pk): units}, reason="test", at=timezone.now(), by=BUYER
    )


def pool_of(group: LocationGroup, sku: Sku, kind: str, label: str = "") -> tuple[int, int]:
    """What a pool holds: granted and reserved; nothing where there is none."""
    found = StockPool.objects.filter(group=group, sku=sku, kind=kind, label=label)
    return found.values_list("granted", "reserved").first() or (0, 0)

"""Say how a shop shares in the stock of a group: enter, change and end quota rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Sum
from django.utils.translation import gettext as _

from inventory.models import QuotaRule
from inventory.quota.derive import derive_draws
from omni.kernel.audit import record_act
from omni.kernel.errors import BadInput
from products.bundles import components_of


class BadQuota(BadInput):
    """A rule that contradicts itself or another; `fields` say where."""

    code = "bad_quota"


@dataclass(frozen=True, slots=True)
class QuotaWish:
    """One rule as somebody entered it; see `QuotaRule`. Its scope and its shop in the group are what it is named by."""

    group_id: int
    shop_id: int
    mode: str
    sku_id: int | None = None
    category_id: int | None = None
    brand_id: int | None = None
    quota_ratio: Decimal | None = None
    publish_ratio: Decimal = Decimal(1)
    minimum: int = 0
    maximum: int | None = None
    service_level: Decimal = Decimal("0.95")
    priority: int = 100
    note: str = ""


@transaction.atomic
def set_quota_rule(*, wish: QuotaWish, at: datetime, by: str, reason: str) -> QuotaRule:
    """Make it the rule of its scope, and have the shop draw accordingly at once; units move only by an allocation.

    Raises BadQuota: parts beyond 0 to 1, a maximum below the minimum, more than one scope, a bundle, or ratios of the
    same scope that add up to more than the supply.
    """
    _check(wish)
    scope: dict[str, Any] = {
        "group_id": wish.group_id,
        "shop_id": wish.shop_id,
        "sku_id": wish.sku_id,
        "category_id": wish.category_id,
        "brand_id": wish.brand_id,
    }
    values = {
        "mode": wish.mode,
        "quota_ratio": wish.quota_ratio,
        "publish_ratio": wish.publish_ratio,
        "minimum": wish.minimum,
        "maximum": wish.maximum,
        "service_level": wish.service_level,
        "priority": wish.priority,
        "note": wish.note[:200],
        "is_active": True,
    }
    rule, _is_new = QuotaRule.objects.update_or_create(**scope, defaults=values)
    _refuse_too_much(rule)
    detail = {name: str(value) for name, value in values.items() if value not in (None, "")}
    record_act(by=by, action="quota.rule_set", subject=rule, reason=reason, detail=detail)
    derive_draws(shop_ids=[rule.shop_id], at=at)
    return rule


@transaction.atomic
def end_quota_rule(*, rule_id: int, at: datetime, by: str, reason: str) -> QuotaRule:
    """Let it hold no longer: the next less specific rule does, or what was set by hand. Its units stay the shop's until
    an allocation takes them back. Ending it again changes nothing.
    """
    rule = QuotaRule.objects.select_for_update(no_key=True, of=("self",)).get(pk=rule_id)
    if rule.is_active:
        rule.is_active = False
        rule.save(update_fields=["is_active"])
        record_act(by=by, action="quota.rule_ended", subject=rule, reason=reason)
        derive_draws(shop_ids=[rule.shop_id], at=at)
    return rule


def _check(wish: QuotaWish) -> None:
    faults: dict[str, list[str]] = {}
    if wish.mode not in QuotaRule.Mode.values:
        faults["mode"] = [_("There is no such mode.")]
    if sum(scope is not None for scope in (wish.sku_id, wish.category_id, wish.brand_id)) > 1:
        faults["sku"] = [_("Name a SKU, a category or a brand, not several of them.")]
    for name, part in (("quota_ratio", wish.quota_ratio), ("publish_ratio", wish.publish_ratio)):
        if part is not None and not 0 <= part <= 1:
            faults[name] = [_("It is a part, from 0 to 1.")]
    if not 0 < wish.service_level < 1:
        faults["service_level"] = [_("It lies between 0 and 1.")]
    if wish.minimum < 0:
        faults["minimum"] = [_("It is at least 0.")]
    if wish.maximum is not None and wish.maximum < wish.minimum:
        faults["maximum"] = [_("It lies below the minimum.")]
    if wish.sku_id is not None and components_of([wish.sku_id]):
        faults["sku"] = [_("A bundle has no stock of its own: give quotas of its components.")]
    if faults:
        raise BadQuota(next(iter(faults.values()))[0], fields=faults)


def _refuse_too_much(rule: QuotaRule) -> None:
    """The ratios of one scope must not grant more than there is."""
    scope: dict[str, Any] = {name: getattr(rule, name) for name in ("sku_id", "category_id", "brand_id")}
    same = QuotaRule.objects.filter(group_id=rule.group_id, is_active=True, **scope)
    same = same.exclude(mode=QuotaRule.Mode.SHARED)
    total = same.aggregate(total=Sum("quota_ratio"))["total"] or Decimal(0)
    if total > 1:
        fault = _("The quotas of this scope add up to %(total)s %% of the supply.") % {
            "total": f"{total * 100:.0f}"
        }
        raise BadQuota(fault, fields={"quota_ratio": [fault]})

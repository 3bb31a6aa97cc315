"""Enter the rules by which shops get their assortment; what follows from them is a run, looked at and then applied."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from omni.kernel.audit import record_act
from omni.kernel.errors import BadInput
from products.assortment.conditions import Wish, check_wish, foreign_shops
from products.assortment.select import ForeignShop
from products.draft import ReasonMissing
from products.models import AssortmentRule, Shop
from products.request import EndsBeforeItStarts

PRIORITY_MAX = 9999
CONDITIONS = ("brand_id", "category_id", "tags", "seasons", "price_from", "price_to", "currency")


class EmptyRule(BadInput):
    """A rule that asks for nothing would fit the whole master, one without shops nobody."""

    code = "empty_rule"


class BadRule(BadInput):
    """A name, a kind or a priority that no rule can have."""

    code = "bad_rule"


@dataclass(frozen=True, slots=True)
class RuleDraft:
    """A rule as it should be. Window: [starts_at, ends_at); None: since ever, for ever."""

    name: str
    wish: Wish
    shop_ids: Collection[int]
    kind: str = AssortmentRule.Kind.INCLUDE.value
    priority: int = 100
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class Stopped:
    """What came of one rule. `detail`: why it stayed as it was."""

    rule_id: int
    ok: bool
    detail: str = ""


@transaction.atomic
def define_rule(
    *, draft: RuleDraft, rule_id: int | None = None, reason: str = "", at: datetime, by: str
) -> AssortmentRule:
    """Make a rule, or change the one with this id; saying the same again changes nothing.

    An edge of its window that lies ahead makes a run by itself when its time has come; one that has passed does not.
    Raises EmptyRule, BadRule, BadConditions, ForeignShop, EndsBeforeItStarts.
    """
    wish = check_wish(draft.wish)
    shop_ids = sorted(set(draft.shop_ids))
    _check(draft, wish, shop_ids, rule_id)
    values: dict[str, Any] = {
        "name": draft.name.strip(),
        "kind": draft.kind,
        "priority": draft.priority,
        "starts_at": draft.starts_at,
        "ends_at": draft.ends_at,
        "is_active": draft.is_active,
        **{name: getattr(wish, name) for name in CONDITIONS},
    }
    edges = {
        "is_opened": draft.starts_at is None or draft.starts_at <= at,
        "is_closed": draft.ends_at is None or draft.ends_at <= at,
    }
    if rule_id is None:
        rule = AssortmentRule.objects.create(created_at=at, **values, **edges)
        rule.shops.set(shop_ids)
        record_act(
            by=by, action="assortment_rule.defined", subject=rule, reason=reason, detail={"shops": shop_ids}
        )
        return rule
    rule = AssortmentRule.objects.select_for_update(no_key=True).get(pk=rule_id)
    changed = {name: value for name, value in values.items() if getattr(rule, name) != value}
    had = sorted(rule.shops.values_list("pk", flat=True))
    if not changed and had == shop_ids:
        return rule
    for edge, moment in (("is_opened", "starts_at"), ("is_closed", "ends_at")):
        if moment in changed or "is_active" in changed:
            changed[edge] = edges[edge]
    for name, value in changed.items():
        setattr(rule, name, value)
    rule.version += 1
    rule.save(update_fields=[*changed, "version"])
    rule.shops.set(shop_ids)
    record_act(
        by=by,
        action="assortment_rule.changed",
        subject=rule,
        reason=reason,
        detail={"changed": sorted(set(changed) & set(values)), "shops": shop_ids, "had_shops": had},
    )
    return rule


def _check(draft: RuleDraft, wish: Wish, shop_ids: Sequence[int], rule_id: int | None) -> None:
    if wish.is_empty:
        raise EmptyRule(_("Say of which SKUs it speaks: a brand, a category, a tag, a season or a price."))
    if not shop_ids:
        fault = _("Say for which shops it speaks.")
        raise EmptyRule(fault, fields={"shops": [fault]})
    name = draft.name.strip()
    if not name or AssortmentRule.objects.filter(name=name).exclude(pk=rule_id or 0).exists():
        fault = _("There is a rule “%s” already.") % name if name else _("A rule has a name.")
        raise BadRule(fault, fields={"name": [fault]})
    if draft.kind not in AssortmentRule.Kind.values:
        fault = _("A rule includes or excludes.")
        raise BadRule(fault, fields={"kind": [fault]})
    if not 0 <= draft.priority <= PRIORITY_MAX:
        fault = _("A priority is a number from 0 to %d.") % PRIORITY_MAX
        raise BadRule(fault, fields={"priority": [fault]})
    if draft.starts_at is not None and draft.ends_at is not None and draft.ends_at <= draft.starts_at:
        fault = _("The window ends before it begins.")
        raise EndsBeforeItStarts(fault, fields={"ends_at": [_("Not after the beginning.")]})
    if Shop.objects.filter(pk__in=shop_ids).count() < len(shop_ids):
        fault = _("There is no such shop.")
        raise BadRule(fault, fields={"shops": [fault]})
    others = foreign_shops(wish.brand_id, shop_ids)
    if others:
        fault = _("%s is of another brand.") % ", ".join(shop.name for shop in others)
        raise ForeignShop(fault, fields={"shops": [fault]})


@transaction.atomic
def stop_rules(*, rule_ids: Sequence[int], reason: str, at: datetime, by: str) -> list[Stopped]:
    """Have rules speak no more, and say why. What they placed is withdrawn by the next run that somebody applies.

    One result per rule, in the order given. Raises ReasonMissing.
    """
    if not reason.strip():
        raise ReasonMissing(_("Say why."), fields={"reason": [_("Say why.")]})
    rules = AssortmentRule.objects.select_for_update(no_key=True).filter(pk__in=rule_ids).order_by("pk")
    stopped = set()
    for rule in rules:
        if rule.is_active:
            rule.is_active = False
            rule.version += 1
            rule.save(update_fields=["is_active", "version"])
            record_act(by=by, action="assortment_rule.stopped", subject=rule, reason=reason)
            stopped.add(rule.pk)
    no = _("It is not active.")
    return [Stopped(ident, ident in stopped, "" if ident in stopped else no) for ident in rule_ids]

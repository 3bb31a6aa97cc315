"""The facts of one SKU's stock, each number beside those that it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from inventory.admin.matrix import LINE_COLOURS, MODE_COLOURS, why_text
from inventory.admin.revocations import pool_text, waits_text
from inventory.availability import ComponentFact, PoolFact, ShareFact, StockExplained, explain_stock
from inventory.history import stock_history
from inventory.models import (
    AllocationLine,
    AllocationRun,
    LocationGroup,
    PromotionLock,
    PromotionLockLine,
    QuotaRule,
    Revocation,
    SafetyRule,
    Shortage,
    SkuStock,
    StockMovement,
    TransferLine,
)
from inventory.models.ledger import Account
from inventory.models.stock import Grade, PoolKind
from inventory.quota.matrix import Rule, rules_of
from omni.kernel.display import age_text
from omni.kernel.names import name_actors
from omni.kernel.sentences import read_sentence
from products.bundles import components_of
from products.models import Shop
from products.scope import Scope, scope_of

MOVEMENTS_MAX = 40
SHORTAGES_MAX = 20
HISTORY_DAYS = 90
RUNS_LOOKED_AT = 200
LINES_MAX = 10
TURNS = (PoolKind.LOCK, PoolKind.QUOTA, PoolKind.SHARED, PoolKind.BASE)
# Who holds goods, and who holds promises: a movement between an outside account and one of these changes a total.
ON_HAND = frozenset({Account.LEVEL_FREE, Account.LEVEL_COMMITTED})
RESERVED = frozenset({Account.POOL_RESERVED})


@dataclass(frozen=True, slots=True)
class Term:
    """One term of a sum: its units with their sign, what they are, and where that is decided."""

    units: str
    text: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class RuleShown:
    """The quota rule that holds in a group, and why this one."""

    mode: str
    colour: str
    why: str
    url: str


@dataclass(frozen=True, slots=True)
class ShopTotal:
    """What one shop may sell, as a sum that a person can follow."""

    name: str
    sellable: int
    terms: list[Term]
    rules: list[RuleShown]
    published: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Known:
    """What the terms refer to, looked up once: shop ids by code, group ids by code, locks by code."""

    shops: Mapping[str, int]
    groups: Mapping[str, int]
    locks: Mapping[str, int]
    rules: Mapping[tuple[int, int], list[tuple[int, Rule]]]
    safety: Sequence[SafetyRule]


def sku_page(sku: SkuStock, request: HttpRequest) -> dict[str, Any]:
    """The template's context."""
    scope = scope_of(request.user)
    known = explain_stock(sku_id=sku.pk)
    good = [level for level in known.levels if level.grade == Grade.GOOD]
    movements = list(StockMovement.objects.filter(sku=sku).order_by("-id")[:MOVEMENTS_MAX])
    names = name_actors((movement.by for movement in movements), request=request)
    shortages = Shortage.objects.filter(sku=sku, state=Shortage.State.OPEN).select_related("shop", "group")
    if not scope.is_everything:
        shortages = shortages.filter(shop_id__in=scope.shop_ids)
    safety = _safety_rules(sku, scope)
    in_transit = _in_transit(sku)
    return {
        "on_hand": sum(level.on_hand for level in good),
        "committed": sum(level.committed for level in good),
        "reserved": sum(pool.reserved for pool in known.pools),
        "safety": sum(pool.granted for pool in known.pools if pool.kind == PoolKind.SAFETY),
        "transit_units": sum(line.shipped - line.received - line.lost for line in in_transit),
        "short_units": known.short_units,
        "short_lines": known.short_lines,
        "levels": [(level, Grade(level.grade).label) for level in known.levels],
        "pools": [(pool, PoolKind(pool.kind).label) for pool in known.pools],
        "shops": _shops(sku, known, scope, safety),
        "components": components_of([sku.pk]).get(sku.pk, []),
        "why_on_hand": _why(known, ON_HAND),
        "why_reserved": _why(known, RESERVED),
        "movements": [(movement, names.html(movement.by)) for movement in movements],
        "shortages": [(row, age_text(row.created_at)) for row in shortages.order_by("id")[:SHORTAGES_MAX]],
        "safety_rules": safety,
        "revocations": _revocations(sku, scope),
        "locks": _locks(sku),
        "run_lines": _run_lines(sku, scope),
        **_history(sku),
    }


# The sum ------------------------------------------------------------------------------------------------------


def _shops(
    sku: SkuStock, known: StockExplained, scope: Scope, safety: Sequence[SafetyRule]
) -> list[ShopTotal]:
    names = {share.shop_code: share.shop_name for share in known.shares}
    names |= {fact.shop_code: fact.shop_name for fact in known.components}
    codes = sorted({*names, *(row.shop_code for row in known.published)})
    shops = dict(Shop.objects.filter(code__in=codes).values_list("code", "pk"))
    if not scope.is_everything:
        shops = {code: pk for code, pk in shops.items() if pk in scope.shop_ids}
    rules: dict[tuple[int, int], list[tuple[int, Rule]]] = {}
    for (group_id, shop_id, sku_id), rule in rules_of([sku.pk]).items():
        rules.setdefault((shop_id, sku_id), []).append((group_id, rule))
    pools = {pool.pool_id: pool for pool in known.pools}
    facts = Known(
        shops=shops,
        groups=dict(LocationGroup.objects.values_list("code", "pk")),
        locks=_lock_ids(known.pools),
        rules=rules,
        safety=safety,
    )
    totals = []
    for code in codes:
        if code not in shops:
            continue
        shares = [share for share in known.shares if share.shop_code == code]
        published = [
            {"row": row, "age": age_text(row.acknowledged_at), "is_due": row.acknowledged != row.desired}
            for row in known.published
            if row.shop_code == code
        ]
        sellable, terms = sum_of(shares, pools, facts, shops[code], sku.pk)
        inside = [fact for fact in known.components if fact.shop_code == code]
        if inside:
            # Of a bundle nothing lies in pools of its own, whatever did before it became one.
            sellable, terms = min(fact.bundles for fact in inside), [_component_term(fact) for fact in inside]
        shown = [_rule_shown(rule) for _group, rule in rules.get((shops[code], sku.pk), ())]
        totals.append(ShopTotal(names.get(code, code), sellable, terms, shown, published))
    return totals


def sum_of(
    shares: Sequence[ShareFact], pools: Mapping[int, PoolFact], facts: Known, shop_id: int, sku_id: int
) -> tuple[int, list[Term]]:
    """What a shop may sell, and the terms that come to it."""
    in_turn = sorted(shares, key=lambda share: _turn(pools.get(share.pool_id)))
    terms = [_share_term(share, pools.get(share.pool_id), facts, shop_id, sku_id) for share in in_turn]
    total = sum(share.sellable for share in shares)
    buffer = max((share.buffer for share in shares), default=0)
    if buffer:
        own = next((rule for rule in facts.safety if rule.shop_id == shop_id), None)
        url = reverse("admin:inventory_safetyrule_change", args=[own.pk]) if own else ""
        terms.append(Term(f"−{buffer}", _("it leaves to the others by its safety rule"), url))
        total = max(total - buffer, 0)
    caps = [share.maximum for share in shares if share.maximum is not None]
    if caps and min(caps) < total:
        capped = [
            rule for _group, rule in facts.rules.get((shop_id, sku_id), ()) if rule.maximum == min(caps)
        ]
        url = _rule_url(capped[0]) if capped else ""
        text = _("its rule shows at most %(units)d") % {"units": min(caps)}
        terms.append(Term(f"−{total - min(caps)}", text, url))
        total = min(caps)
    return total, terms


def _turn(pool: PoolFact | None) -> int:
    """Own units are sold first, and stand first."""
    return TURNS.index(pool.kind) if pool and pool.kind in TURNS else len(TURNS)


def _share_term(share: ShareFact, pool: PoolFact | None, facts: Known, shop_id: int, sku_id: int) -> Term:
    kind, label, group = (pool.kind, pool.label, pool.group_code) if pool else ("", "", "?")
    numbers = {
        "pool": f"{PoolKind(kind).label} · {group}" if kind else group,
        "free": share.free,
        "owed": share.owed,
    }
    if kind == PoolKind.LOCK:
        url = (
            reverse("admin:inventory_promotionlock_change", args=[facts.locks[label]])
            if label in facts.locks
            else ""
        )
        return Term(f"+{share.sellable}", _("free in the promotion lock %(lock)s") % {"lock": label}, url)
    if kind == PoolKind.QUOTA and pool is not None:
        text = _("quota: %(granted)d granted − %(reserved)d promised") % {
            "granted": pool.granted,
            "reserved": pool.reserved,
        }
        return Term(f"+{share.sellable}", text, _matrix_url(facts.groups.get(group)))
    url = next((_rule_url(rule) for _group, rule in facts.rules.get((shop_id, sku_id), ())), "")
    if share.is_divided and share.publish_ratio > 0:
        part = ((share.part_to or 0) - (share.part_from or 0)) * 100
        text = _(
            "%(pool)s: only %(left)d left, fewer than %(mark)d: the shops divide them, this one has %(percent)s %% by "
            "how fast it sells"
        ) % {
            **numbers,
            "left": max(share.free - share.owed, 0),
            "mark": share.low_water,
            "percent": f"{part:.0f}",
        }
        return Term(f"+{share.sellable}", text, url)
    percent = f"{(share.publish_ratio * 100).normalize():f}"
    if share.owed:
        text = _("%(pool)s: (%(free)d free − %(owed)d owed) × %(percent)s %%") % {
            **numbers,
            "percent": percent,
        }
    else:
        text = _("%(pool)s: %(free)d free × %(percent)s %%") % {**numbers, "percent": percent}
    return Term(f"+{share.sellable}", text, url)


def _component_term(fact: ComponentFact) -> Term:
    facts = {"sku": fact.sku_code, "sellable": fact.sellable, "units": fact.units}
    text = _("%(sku)s: %(sellable)d sellable ÷ %(units)d in each") % facts
    if fact.is_limit:
        text = _("%s, the scarcest") % text
    return Term(str(fact.bundles), text, reverse("admin:inventory_skustock_change", args=[fact.sku_id]))


def _rule_shown(rule: Rule) -> RuleShown:
    mode = QuotaRule.Mode(rule.mode)
    return RuleShown(str(mode.label), MODE_COLOURS[mode], why_text(rule), _rule_url(rule))


def _rule_url(rule: Rule) -> str:
    return reverse("admin:inventory_quotarule_change", args=[rule.rule_id])


def _matrix_url(group_id: int | None) -> str:
    return f"{reverse('admin:inventory_matrix')}?group={group_id}" if group_id else ""


def _lock_ids(pools: Sequence[PoolFact]) -> dict[str, int]:
    codes = {pool.label for pool in pools if pool.kind == PoolKind.LOCK}
    return dict(PromotionLock.objects.filter(code__in=codes).values_list("code", "pk")) if codes else {}


def _why(known: StockExplained, accounts: frozenset[Account]) -> list[tuple[str, int]]:
    """The kinds of movement that changed this total, with their sums; the sums add up to it."""
    sums: dict[str, int] = {}
    for fact in known.history:
        came, went = fact.to_account in accounts, fact.from_account in accounts
        if came != went:
            label = str(fact.kind.label)  # type: ignore[attr-defined]
            sums[label] = sums.get(label, 0) + (fact.quantity if came else -fact.quantity)
    return [(label, total) for label, total in sums.items() if total]


# What is behind it --------------------------------------------------------------------------------------------


def _safety_rules(sku: SkuStock, scope: Scope) -> list[SafetyRule]:
    rules = SafetyRule.objects.filter(sku=sku).select_related("location", "shop").order_by("id")
    if not scope.is_everything:
        rules = rules.filter(Q(shop__isnull=True) | Q(shop__in=scope.shop_ids))
    return list(rules)


def _in_transit(sku: SkuStock) -> list[TransferLine]:
    lines = TransferLine.objects.filter(sku=sku, transfer__state="shipped")
    open_lines = lines.select_related("transfer__source", "transfer__destination").order_by("transfer_id")
    return [line for line in open_lines[:50] if line.shipped > line.received + line.lost]


def _revocations(sku: SkuStock, scope: Scope) -> list[dict[str, Any]]:
    rows = Revocation.objects.filter(sku=sku, state__in=Revocation.OPEN).select_related("shop").order_by("id")
    if not scope.is_everything:
        rows = rows.filter(shop__in=scope.shop_ids)
    return [
        {
            "row": row,
            "age": age_text(row.started_at),
            "waits": waits_text(row),
            "to": pool_text(row.to_kind, row.to_label),
        }
        for row in rows[:50]
    ]


def _locks(sku: SkuStock) -> list[PromotionLockLine]:
    """Promotions that run or will."""
    lines = PromotionLockLine.objects.filter(sku=sku, lock__state__in=["planned", "active"])
    return list(lines.select_related("lock").order_by("lock__starts_at")[:20])


def _run_lines(sku: SkuStock, scope: Scope) -> list[dict[str, Any]]:
    """What the last runs did to it. Lines are found run by run: allocation_line_by_run."""
    runs = list(AllocationRun.objects.order_by("-id").values_list("pk", flat=True)[:RUNS_LOOKED_AT])
    lines = AllocationLine.objects.filter(run__in=runs, sku=sku, kind=PoolKind.QUOTA)
    if not scope.is_everything:
        lines = lines.filter(shop__in=scope.shop_ids)
    found = lines.select_related("run", "shop").order_by("-run_id", "id")[:LINES_MAX]
    return [
        {"line": line, "colour": LINE_COLOURS.get(line.state, ""), "reason": read_sentence(line.reason)}
        for line in found
    ]


def _history(sku: SkuStock) -> dict[str, Any]:
    """For the chart, and for the table beside it: only the days on which something changed."""
    days = stock_history(sku_id=sku.pk, days=HISTORY_DAYS, at=timezone.now())
    changed = [
        day
        for number, day in enumerate(days)
        if number == 0 or (day.on_hand, day.reserved) != (days[number - 1].on_hand, days[number - 1].reserved)
    ]
    return {
        "history": {
            "days": [day.day.isoformat() for day in days],
            "on_hand": [day.on_hand for day in days],
            "reserved": [day.reserved for day in days],
            "words": {"on_hand": _("On hand"), "reserved": _("Reserved for orders")},
        },
        "history_days": HISTORY_DAYS,
        "history_rows": changed[::-1],
    }

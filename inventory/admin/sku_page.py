"""The facts of one SKU's stock, each number beside those that it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _

from inventory.availability import ComponentFact, StockExplained, explain_stock
from inventory.models import Shortage, SkuStock, StockMovement
from inventory.models.ledger import Account
from inventory.models.stock import Grade, PoolKind
from omni.kernel.display import age_text
from omni.kernel.names import name_actors
from products.bundles import components_of
from products.models import Shop
from products.scope import Scope, scope_of

MOVEMENTS_MAX = 40
SHORTAGES_MAX = 20
# Who holds goods, and who holds promises: a movement between an outside account and one of these changes a total.
ON_HAND = frozenset({Account.LEVEL_FREE, Account.LEVEL_COMMITTED})
RESERVED = frozenset({Account.POOL_RESERVED})


@dataclass(frozen=True, slots=True)
class ShopTotal:
    """What one shop may sell, as a sum that a person can follow."""

    name: str
    sellable: int
    terms: list[str]
    published: list[dict[str, Any]]


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
    return {
        "on_hand": sum(level.on_hand for level in good),
        "committed": sum(level.committed for level in good),
        "reserved": sum(pool.reserved for pool in known.pools),
        "safety": sum(pool.granted for pool in known.pools if pool.kind == PoolKind.SAFETY),
        "short_units": known.short_units,
        "short_lines": known.short_lines,
        "levels": [(level, Grade(level.grade).label) for level in known.levels],
        "pools": [(pool, PoolKind(pool.kind).label) for pool in known.pools],
        "shops": _shops(known, scope),
        "components": components_of([sku.pk]).get(sku.pk, []),
        "why_on_hand": _why(known, ON_HAND),
        "why_reserved": _why(known, RESERVED),
        "movements": [(movement, names.html(movement.by)) for movement in movements],
        "shortages": [(row, age_text(row.created_at)) for row in shortages.order_by("id")[:SHORTAGES_MAX]],
    }


def _shops(known: StockExplained, scope: Scope) -> list[ShopTotal]:
    visible = None
    if not scope.is_everything:
        visible = set(Shop.objects.filter(pk__in=scope.shop_ids).values_list("code", flat=True))
    kinds = {pool.pool_id: (PoolKind(pool.kind).label, pool.group_code) for pool in known.pools}
    names = {share.shop_code: share.shop_name for share in known.shares}
    names |= {fact.shop_code: fact.shop_name for fact in known.components}
    codes = sorted({*names, *(row.shop_code for row in known.published)})
    totals = []
    for code in codes:
        if visible is not None and code not in visible:
            continue
        shares = [share for share in known.shares if share.shop_code == code]
        terms = []
        for share in shares:
            label, group = kinds.get(share.pool_id, ("?", "?"))
            facts = {
                "pool": f"{label} · {group}",
                "free": share.free,
                "owed": share.owed,
                "percent": f"{share.publish_ratio * 100:.0f}",
                "sellable": share.sellable,
            }
            terms.append(
                _("%(pool)s: (%(free)d free − %(owed)d owed) × %(percent)s %% = %(sellable)d") % facts
            )
        published = [
            {"row": row, "age": age_text(row.acknowledged_at), "is_due": row.acknowledged != row.desired}
            for row in known.published
            if row.shop_code == code
        ]
        sellable = sum(share.sellable for share in shares)
        inside = [fact for fact in known.components if fact.shop_code == code]
        if inside:
            # Of a bundle nothing lies in pools of its own, whatever did before it became one.
            sellable, terms = min(fact.bundles for fact in inside), [_component_text(fact) for fact in inside]
        totals.append(ShopTotal(names.get(code, code), sellable, terms, published))
    return totals


def _component_text(fact: ComponentFact) -> str:
    facts = {"sku": fact.sku_code, "sellable": fact.sellable, "units": fact.units, "bundles": fact.bundles}
    text = _("%(sku)s: %(sellable)d sellable ÷ %(units)d in each = %(bundles)d") % facts
    return _("%s, the scarcest") % text if fact.is_limit else text


def _why(known: StockExplained, accounts: frozenset[Account]) -> list[tuple[str, int]]:
    """The kinds of movement that changed this total, with their sums; the sums add up to it."""
    sums: dict[str, int] = {}
    for fact in known.history:
        came, went = fact.to_account in accounts, fact.from_account in accounts
        if came != went:
            label = str(fact.kind.label)  # type: ignore[attr-defined]
            sums[label] = sums.get(label, 0) + (fact.quantity if came else -fact.quantity)
    return [(label, total) for label, total in sums.items() if total]

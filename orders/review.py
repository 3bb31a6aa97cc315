"""Look at captured orders by rules that business people wrote, and say which of them a person must see."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from omni.kernel.errors import BadInput
from omni.kernel.events import record_events
from omni.kernel.sql import execute, fetch_all
from orders.advance import advance_orders
from orders.events import OrdersApproved
from orders.hold import NewHold, place_holds, resolve_holds
from orders.models import BundleLine, ReviewRule, SalesOrder, SalesOrderLine
from orders.models.review import HoldKind
from orders.record import Happening, record_happenings
from orders.states import Stage
from products.prices.effective import prices_at

CLAIM = """
    SELECT id FROM orders_salesorder
    WHERE stage = 'captured' AND open_holds = 0 AND fulfilled_by = 'omni'
    ORDER BY id LIMIT %s FOR NO KEY UPDATE SKIP LOCKED
"""
INSERT_DECISIONS = """
    INSERT INTO orders_reviewdecision (order_id, at, is_approved, fired, by)
    SELECT id, %s, approved, fired, %s FROM unnest(%s::bigint[], %s::bool[], %s::jsonb[]) AS d(id, approved, fired)
"""

Facts = Mapping[str, Any]

FIELDS: Mapping[str, Any] = {
    "total_amount": gettext_lazy("total amount"),
    "discount_amount": gettext_lazy("discount"),
    "line_count": gettext_lazy("number of lines"),
    "unit_count": gettext_lazy("number of units"),
    "sku_codes": gettext_lazy("SKU codes"),
    "buyer": gettext_lazy("buyer"),
    "buyer_message": gettext_lazy("buyer message"),
    "seller_memo": gettext_lazy("seller memo"),
    "province": gettext_lazy("province"),
    "city": gettext_lazy("city"),
    "channel": gettext_lazy("channel"),
    "percent_below_price": gettext_lazy("percent below the shop's price"),
}
BELOW_PRICE = "percent_below_price"
NUMBERS = frozenset({"total_amount", "discount_amount", "line_count", "unit_count", BELOW_PRICE})


def _has(value: Any, wanted: Any) -> bool:
    return str(wanted).casefold() in (value if isinstance(value, list) else str(value).casefold())


OPERATORS: Mapping[str, tuple[Any, Callable[[Any, Any], bool]]] = {
    "gt": (gettext_lazy("is more than"), lambda value, wanted: value > Decimal(str(wanted))),
    "gte": (gettext_lazy("is at least"), lambda value, wanted: value >= Decimal(str(wanted))),
    "lt": (gettext_lazy("is less than"), lambda value, wanted: value < Decimal(str(wanted))),
    "lte": (gettext_lazy("is at most"), lambda value, wanted: value <= Decimal(str(wanted))),
    "is": (gettext_lazy("is"), lambda value, wanted: str(value).casefold() == str(wanted).casefold()),
    "is_not": (gettext_lazy("is not"), lambda value, wanted: str(value).casefold() != str(wanted).casefold()),
    "contains": (gettext_lazy("contains"), _has),
    "contains_not": (gettext_lazy("does not contain"), lambda value, wanted: not _has(value, wanted)),
    "is_one_of": (
        gettext_lazy("is one of"),
        lambda value, wanted: str(value) in [str(item) for item in wanted],
    ),
    "is_empty": (gettext_lazy("is empty"), lambda value, _wanted: not value),
    "is_not_empty": (gettext_lazy("is not empty"), lambda value, _wanted: bool(value)),
}


@dataclass(frozen=True, slots=True)
class ReviewResult:
    order_id: int
    is_approved: bool
    fired: Sequence[str]


def check_conditions(conditions: Any) -> None:
    """Raise BadInput with a sentence per condition that no order could be tested with."""
    faults: list[str] = []
    for number, condition in enumerate(conditions if isinstance(conditions, list) else [None], 1):
        if not isinstance(condition, dict) or str(condition.get("field")) not in FIELDS:
            faults.append(_("Condition %d needs a field: one of %s.") % (number, ", ".join(FIELDS)))
        elif str(condition.get("operator")) not in OPERATORS:
            faults.append(_("Condition %d needs an operator: one of %s.") % (number, ", ".join(OPERATORS)))
        elif condition["field"] in NUMBERS and condition["operator"] in ("gt", "gte", "lt", "lte"):
            if not _is_number(condition.get("value")):
                faults.append(_("Condition %d needs a number as its value.") % number)
        elif condition["operator"] in ("gt", "gte", "lt", "lte"):
            faults.append(_("Condition %d compares a text as if it were a number.") % number)
        elif condition["operator"] == "is_one_of" and not isinstance(condition.get("value"), list):
            faults.append(_("Condition %d needs a list as its value.") % number)
    if faults:
        raise BadInput(" ".join(faults), fields={"conditions": faults})


def _is_number(value: Any) -> bool:
    """NaN is none: it cannot be compared, and one rule must not stop the review of every order."""
    try:
        return Decimal(str(value)).is_finite()
    except InvalidOperation:
        return False


def rule_matches(rule: ReviewRule, facts: Facts, shop_id: int) -> bool:
    """Every condition holds, and the rule speaks of this shop or of all."""
    if rule.shop_id not in (None, shop_id):
        return False
    return all(
        OPERATORS[condition["operator"]][1](facts[condition["field"]], condition.get("value"))
        for condition in rule.conditions
    )


@transaction.atomic
def review_captured(*, limit: int, at: datetime, by: str = "system") -> list[ReviewResult]:
    """Review up to `limit` captured orders that nothing holds, oldest first. What fired is recorded for every order.

    A rule that asks for a person wins over rules that approve; an order that no rule speaks of is approved.
    """
    idents = [row[0] for row in fetch_all(CLAIM, [limit])]
    if not idents:
        return []
    rules = [
        rule
        for rule in ReviewRule.objects.filter(is_active=True).order_by("position", "pk")
        if _is_sound(rule)
    ]
    orders = (
        SalesOrder.objects.filter(pk__in=idents)
        .select_related("shop")
        .prefetch_related("lines__sku", "lines__bundle__sku")
        .order_by("pk")
    )
    # Prices are looked up only where a rule asks for them.
    below = percent_below_price(orders) if any(_asks(rule, BELOW_PRICE) for rule in rules) else {}
    results, holds = [], []
    for order in orders:
        facts = {**order_facts(order), BELOW_PRICE: below.get(order.pk, Decimal(0))}
        fired = [rule for rule in rules if rule_matches(rule, facts, order.shop_id)]
        asking = [rule.name for rule in fired if rule.action == ReviewRule.Action.HOLD]
        results.append(ReviewResult(order.pk, not asking, [rule.name for rule in fired]))
        if asking:
            holds.append(NewHold(order.pk, HoldKind.REVIEW, ", ".join(asking)))
    _write(results, at=at, by=by)
    place_holds(holds=holds, at=at, by=by)
    return results


def _is_sound(rule: ReviewRule) -> bool:
    """A rule that was broken behind the form's back must not stop the line; it is left out."""
    try:
        check_conditions(rule.conditions)
    except BadInput:
        return False
    return True


def _asks(rule: ReviewRule, field: str) -> bool:
    return any(condition["field"] == field for condition in rule.conditions)


def percent_below_price(orders: Iterable[SalesOrder]) -> dict[int, Decimal]:
    """By order: how many percent its cheapest line, for what it is, lies below its shop's own price when it was placed.

    The unit price is compared, so what a platform takes off an order is no matter. What has no price there, or is paid
    in other money, is left out; 0: nothing was sold below its price.
    """
    lines = [(order, line) for order in orders for line in sold_lines(order)]
    prices = prices_at(asked=[(order.shop_id, line.sku_id, order.placed_at) for order, line in lines])
    found: dict[int, Decimal] = {}
    for (order, line), price in zip(lines, prices, strict=True):
        if not price.amount or price.currency != order.currency:
            continue
        percent = (price.amount - line.unit_price) / price.amount * 100
        found[order.pk] = max(found.get(order.pk, Decimal(0)), percent)
    return found


def sold_lines(order: SalesOrder) -> list[SalesOrderLine | BundleLine]:
    """The lines as the buyer ordered them: a bundle is one, its components are none."""
    return list({line.outer_line_id: line.bundle or line for line in order.lines.all()}.values())


def order_facts(order: SalesOrder) -> dict[str, Any]:
    """What conditions may ask about an order whose lines, bundles and SKUs are loaded.

    Lines and units are those that the buyer ordered: a bundle is one. Its code is there as well as its components'.
    """
    lines = list(order.lines.all())
    sold = sold_lines(order)
    codes = dict.fromkeys([row.sku.code.casefold() for row in [*sold, *lines]])
    return {
        "total_amount": order.total_amount,
        "discount_amount": order.discount_amount,
        "line_count": len(sold),
        "unit_count": sum(row.quantity for row in sold),
        "sku_codes": list(codes),
        "buyer": order.buyer,
        "buyer_message": order.buyer_message,
        "seller_memo": order.seller_memo,
        "province": order.province,
        "city": order.city,
        "channel": order.shop.channel,
    }


def _write(results: list[ReviewResult], *, at: datetime, by: str) -> None:
    execute(
        INSERT_DECISIONS,
        [
            at,
            by,
            [result.order_id for result in results],
            [result.is_approved for result in results],
            [json.dumps(list(result.fired), ensure_ascii=False) for result in results],
        ],
    )
    details = {result.order_id: {"rules": list(result.fired)} for result in results}
    approved = [result.order_id for result in results if result.is_approved]
    asked = [result.order_id for result in results if not result.is_approved]
    moved = advance_orders(order_ids=approved, to=Stage.APPROVED, at=at, by=by, details=details)
    advance_orders(order_ids=asked, to=Stage.IN_REVIEW, at=at, by=by, details=details)
    if moved:
        record_events(OrdersApproved(tuple(moved)))


@transaction.atomic
def approve_orders(*, order_ids: Sequence[int], note: str, at: datetime, by: str) -> dict[int, str]:
    """A person approves orders that are in review. Returns a sentence for each that could not be approved."""
    resolve_holds(order_ids=order_ids, kinds=[HoldKind.REVIEW], at=at, by=by, note=note)
    in_review = set(
        SalesOrder.objects.filter(pk__in=order_ids, stage=Stage.IN_REVIEW).values_list("pk", flat=True)
    )
    moved = advance_orders(
        order_ids=sorted(in_review),
        to=Stage.APPROVED,
        at=at,
        by=by,
        details={ident: {"note": note} for ident in in_review},
    )
    if moved:
        record_events(OrdersApproved(tuple(moved)))
    return {ident: _("It is not in review.") for ident in order_ids if ident not in moved}


@transaction.atomic
def annotate_orders(*, order_ids: Sequence[int], note: str, at: datetime, by: str) -> None:
    """Put a remark on the timeline."""
    record_happenings(
        happenings=[Happening(ident, "note", {"note": note}) for ident in order_ids], at=at, by=by
    )

"""Record goods that came back, on the order lines with which they went out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal

from django.db import transaction
from django.utils.translation import gettext as _

from omni.kernel.numbers import document_number, take_ids
from omni.kernel.sql import execute, fetch_all
from orders.models import Return, SalesOrderLine
from orders.record import Happening, record_happenings
from orders.shares import amount_to_pay_back
from products.models import Shop

# The shipped lines of these buyers and SKUs of which something is still out; where the SKU was sold as a bundle, the
# lines of what lay in it. Locked in key order, so that two returns of the same line cannot both count its last unit.
CANDIDATES = """
    WITH wanted AS (
        SELECT w.buyer, w.code, s.id AS sku_id
        FROM unnest(%s::text[], %s::text[]) AS w(buyer, code) JOIN products_sku s ON s.code = w.code
    ), found AS (
        SELECT w.buyer, w.code, l.id, false AS is_whole
        FROM wanted w JOIN orders_salesorderline l ON l.sku_id = w.sku_id AND l.returned_quantity < l.shipped_quantity
        UNION ALL
        SELECT w.buyer, w.code, l.id, true
        FROM wanted w JOIN orders_bundleline b ON b.sku_id = w.sku_id JOIN orders_salesorderline l ON l.bundle_id = b.id
    )
    SELECT l.id, l.order_id, o.number, o.buyer, f.code, o.placed_at, l.shipped_quantity - l.returned_quantity,
           l.bundle_id, l.bundle_units, f.is_whole
    FROM found f
    JOIN orders_salesorderline l ON l.id = f.id
    JOIN orders_salesorder o ON o.id = l.order_id AND o.shop_id = %s AND o.buyer = f.buyer
    ORDER BY l.id FOR NO KEY UPDATE OF l
"""
# After the lines were locked.
PAID_BACK = """
    SELECT order_line_id, sum(amount) FROM orders_returnline WHERE order_line_id = ANY(%s) GROUP BY order_line_id
"""
KNOWN = """
    SELECT r.outer_id, l.outer_line_id, o.number
    FROM orders_return r
    JOIN orders_returnline l ON l.return_case_id = r.id
    JOIN orders_salesorder o ON o.id = r.order_id
    WHERE r.shop_id = %s AND r.outer_id = ANY(%s)
"""
INSERT_RETURNS = """
    INSERT INTO orders_return (id, number, shop_id, order_id, outer_id, returned_at, source, recorded_at)
    SELECT id, number, %s, order_id, outer_id, returned_at, %s, %s
    FROM unnest(%s::bigint[], %s::text[], %s::bigint[], %s::text[], %s::timestamptz[])
        AS r(id, number, order_id, outer_id, returned_at)
    ORDER BY outer_id, order_id ON CONFLICT (shop_id, outer_id, order_id) DO NOTHING
"""
RETURN_IDS = """
    SELECT outer_id, order_id, id FROM orders_return WHERE shop_id = %s AND outer_id = ANY(%s)
"""
INSERT_LINES = """
    INSERT INTO orders_returnline (return_case_id, order_line_id, outer_line_id, quantity, amount)
    SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::int[], %s::numeric[])
"""
COUNT_UP = """
    UPDATE orders_salesorderline l SET returned_quantity = l.returned_quantity + v.quantity
    FROM unnest(%s::bigint[], %s::int[]) AS v(id, quantity) WHERE l.id = v.id
"""
COUNT_DOWN = """
    UPDATE orders_salesorderline l SET returned_quantity = l.returned_quantity - v.quantity
    FROM (SELECT order_line_id, sum(quantity) AS quantity FROM orders_returnline
          WHERE return_case_id = ANY(%s) GROUP BY order_line_id) v
    WHERE l.id = v.order_line_id
"""


@dataclass(frozen=True, slots=True)
class ReturnDraft:
    """Units of one SKU that a buyer brought back, without saying which order they are from; of a bundle, whole ones.

    `outer_id`: the number of the return document; `outer_line_id` names the line within it. `unit_price`: what is paid
    back for each. What was sold in a bundle is paid back by its share of what was paid for that, whatever this says.
    """

    outer_id: str
    outer_line_id: str
    buyer: str
    sku_code: str
    quantity: int
    unit_price: Decimal
    returned_at: datetime


@dataclass(frozen=True, slots=True)
class TakenBack:
    """What became of a return draft. `orders`: the numbers of the orders to which its units were linked."""

    result: Literal["new", "unchanged", "refused"]
    orders: Sequence[str] = ()
    return_ids: Sequence[int] = ()
    reason: str = ""
    detail: str = ""


@dataclass(slots=True)
class Candidate:
    """A line that went out, with what is still out of it. `is_bundled`: it is a component of a bundle."""

    line_id: int
    order_id: int
    number: str
    placed_at: datetime
    left: int
    is_bundled: bool


@dataclass(slots=True)
class Source:
    """What one SKU went out as: a line, or with a bundle the lines of all that lay in it, and the units of each."""

    lines: list[tuple[Candidate, int]]

    @property
    def first(self) -> Candidate:
        return self.lines[0][0]

    @property
    def left(self) -> int:
        """How many are still out; of bundles, whole ones."""
        return min(line.left // units for line, units in self.lines)


@dataclass(slots=True)
class Part:
    """Units of one draft that go to one line."""

    draft: ReturnDraft
    line: Candidate
    quantity: int
    amount: Decimal = Decimal(0)


@dataclass(slots=True)
class Plan:
    parts: list[Part] = field(default_factory=list)
    outcomes: list[TakenBack | None] = field(default_factory=list)
    parts_of: dict[int, list[Part]] = field(default_factory=dict)


@transaction.atomic
def take_back_goods(
    *, shop: Shop, drafts: Sequence[ReturnDraft], at: datetime, by: str, source: str
) -> list[TakenBack]:
    """Link each return to the buyer's latest earlier lines of the SKU of which enough is out, over several if need be.

    All units of a draft are linked or none: one that does not fit entirely is refused with its reason. A draft that was
    recorded before is unchanged. Nothing enters the stock: that is for whoever receives the goods.

    Returns one result per draft, in the order given; statements do not grow with their number.
    """
    if not drafts:
        return []
    known = _known(shop, drafts)
    candidates = _candidates(shop, [draft for draft in drafts if draft.buyer])
    plan = Plan()
    for number, draft in enumerate(drafts):
        plan.outcomes.append(_plan_one(number, draft, known, candidates, plan))
    return_ids = _write(shop, plan, at=at, by=by, source=source)
    return [
        outcome
        or TakenBack(
            "new",
            list(dict.fromkeys(part.line.number for part in plan.parts_of[number])),
            sorted({return_ids[part.draft.outer_id, part.line.order_id] for part in plan.parts_of[number]}),
        )
        for number, outcome in enumerate(plan.outcomes)
    ]


def recorded_returns(*, shop_id: int, outer_ids: Sequence[str]) -> dict[tuple[str, str], list[str]]:
    """(document, line) → numbers of the orders to which it was linked."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for outer_id, outer_line_id, number in fetch_all(KNOWN, [shop_id, sorted(set(outer_ids))]):
        found[outer_id, outer_line_id].append(number)
    return dict(found)


def _known(shop: Shop, drafts: Sequence[ReturnDraft]) -> dict[tuple[str, str], list[str]]:
    return recorded_returns(shop_id=shop.pk, outer_ids=[draft.outer_id for draft in drafts])


def _candidates(shop: Shop, drafts: Sequence[ReturnDraft]) -> dict[tuple[str, str], list[Source]]:
    """By buyer and SKU code, the latest first."""
    wanted = sorted({(draft.buyer, draft.sku_code) for draft in drafts})
    if not wanted:
        return {}
    rows = fetch_all(CANDIDATES, [[buyer for buyer, _ in wanted], [code for _, code in wanted], shop.pk])
    found: dict[tuple[str, str], list[Source]] = defaultdict(list)
    # One object per line, also where it may come back alone and with its bundle: what is left of it is counted once.
    lines: dict[int, Candidate] = {}
    bundles: dict[tuple[str, str, int], Source] = {}
    for line_id, order_id, number, buyer, code, placed_at, left, bundle_id, units, is_whole in rows:
        line = lines.setdefault(
            line_id, Candidate(line_id, order_id, number, placed_at, left, bundle_id is not None)
        )
        if not is_whole:
            found[buyer, code].append(Source([(line, 1)]))
        elif (buyer, code, bundle_id) in bundles:
            bundles[buyer, code, bundle_id].lines.append((line, units))
        else:
            bundles[buyer, code, bundle_id] = Source([(line, units)])
            found[buyer, code].append(bundles[buyer, code, bundle_id])
    for sources in found.values():
        sources.sort(key=lambda source: (source.first.placed_at, source.first.line_id), reverse=True)
    return found


def _plan_one(
    number: int,
    draft: ReturnDraft,
    known: dict[tuple[str, str], list[str]],
    candidates: dict[tuple[str, str], list[Source]],
    plan: Plan,
) -> TakenBack | None:
    """Choose the lines for one draft; a result where there is nothing to write."""
    if (draft.outer_id, draft.outer_line_id) in known:
        return TakenBack("unchanged", known[draft.outer_id, draft.outer_line_id])
    if not draft.buyer:
        return TakenBack(
            "refused",
            reason="buyer_unknown",
            detail=_("It does not say who brought the goods back, so no order can be found."),
        )
    earlier = [
        source
        for source in candidates.get((draft.buyer, draft.sku_code), ())
        if source.first.placed_at <= draft.returned_at and source.left > 0
    ]
    out = sum(source.left for source in earlier)
    if not out:
        return TakenBack(
            "refused",
            reason="no_matching_order",
            detail=_("The buyer has no earlier order of %s of which anything is still out.") % draft.sku_code,
        )
    if out < draft.quantity:
        return TakenBack(
            "refused",
            reason="more_than_bought",
            detail=_(
                "%(quantity)d came back, but only %(out)d of all that the buyer ordered before are still out."
            )
            % {"quantity": draft.quantity, "out": out},
        )
    left = draft.quantity
    plan.parts_of[number] = []
    for source in earlier:
        taken = min(left, source.left)
        left -= taken
        for line, units in source.lines if taken else ():
            part = Part(draft, line, taken * units, draft.unit_price * taken * units)
            line.left -= part.quantity
            plan.parts.append(part)
            plan.parts_of[number].append(part)
    return None


def _share_bundles(parts: Sequence[Part]) -> None:
    """What came back of bundles is paid back by its share, reckoned on from what was paid back of the line before."""
    of_bundles = [part for part in parts if part.line.is_bundled]
    if not of_bundles:
        return
    lines = SalesOrderLine.objects.select_related("order").in_bulk({part.line.line_id for part in of_bundles})
    paid_back: dict[int, Decimal] = dict(fetch_all(PAID_BACK, [list(lines)]))
    for part in of_bundles:
        line = lines[part.line.line_id]
        before = paid_back.get(line.pk, Decimal(0))
        part.amount = amount_to_pay_back(
            line, units=part.quantity, paid_back=before, currency=line.order.currency
        )
        paid_back[line.pk] = before + part.amount
        line.returned_quantity += part.quantity


def _write(shop: Shop, plan: Plan, *, at: datetime, by: str, source: str) -> dict[tuple[str, int], int]:
    """Store the returns, their lines and the counters. Returns the ids by document and order."""
    if not plan.parts:
        return {}
    _share_bundles(plan.parts)
    cases = sorted({(part.draft.outer_id, part.line.order_id) for part in plan.parts})
    moments = {part.draft.outer_id: part.draft.returned_at for part in plan.parts}
    ids = take_ids(Return, len(cases))
    execute(
        INSERT_RETURNS,
        [
            shop.pk,
            source,
            at,
            ids,
            [document_number("RT", ident) for ident in ids],
            [order_id for _, order_id in cases],
            [outer_id for outer_id, _ in cases],
            [moments[outer_id] for outer_id, _ in cases],
        ],
    )
    rows = fetch_all(RETURN_IDS, [shop.pk, [outer_id for outer_id, _ in cases]])
    return_ids = {(outer_id, order_id): ident for outer_id, order_id, ident in rows}
    execute(
        INSERT_LINES,
        [
            [return_ids[part.draft.outer_id, part.line.order_id] for part in plan.parts],
            [part.line.line_id for part in plan.parts],
            [part.draft.outer_line_id for part in plan.parts],
            [part.quantity for part in plan.parts],
            [part.amount for part in plan.parts],
        ],
    )
    units: dict[int, int] = defaultdict(int)
    for part in plan.parts:
        units[part.line.line_id] += part.quantity
    execute(COUNT_UP, [list(units), list(units.values())])
    record_happenings(
        happenings=[
            Happening(
                order_id,
                "returned",
                {
                    "return": outer_id,
                    "units": sum(
                        part.quantity
                        for part in plan.parts
                        if (part.draft.outer_id, part.line.order_id) == (outer_id, order_id)
                    ),
                },
            )
            for outer_id, order_id in cases
        ],
        at=at,
        by=by,
    )
    return return_ids


@transaction.atomic
def forget_returns(*, return_ids: Sequence[int], at: datetime, by: str) -> int:
    """Take returns back that should never have been recorded (an import undone). Returns how many there were."""
    cases = list(
        Return.objects.filter(pk__in=return_ids)
        .order_by("pk")
        .select_for_update()
        .values_list("pk", "order_id", "outer_id")
    )
    if not cases:
        return 0
    idents = [ident for ident, _, _ in cases]
    fetch_all(
        "SELECT id FROM orders_salesorderline WHERE id IN"
        " (SELECT order_line_id FROM orders_returnline WHERE return_case_id = ANY(%s))"
        " ORDER BY id FOR NO KEY UPDATE",
        [idents],
    )
    execute(COUNT_DOWN, [idents])
    execute("DELETE FROM orders_returnline WHERE return_case_id = ANY(%s)", [idents])
    execute("DELETE FROM orders_return WHERE id = ANY(%s)", [idents])
    record_happenings(
        happenings=[
            Happening(order_id, "return.forgotten", {"return": outer_id}) for _, order_id, outer_id in cases
        ],
        at=at,
        by=by,
    )
    return len(cases)

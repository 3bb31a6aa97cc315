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
from orders.models import Return
from orders.record import Happening, record_happenings
from products.models import Shop

# The shipped lines of these buyers and SKUs of which something is still out. Locked in key order, so that two
# returns of the same line cannot both count its last unit.
CANDIDATES = """
    SELECT l.id, l.order_id, o.number, o.buyer, s.code, o.placed_at, l.shipped_quantity - l.returned_quantity
    FROM unnest(%s::text[], %s::text[]) AS w(buyer, code)
    JOIN products_sku s ON s.code = w.code
    JOIN orders_salesorderline l ON l.sku_id = s.id AND l.returned_quantity < l.shipped_quantity
    JOIN orders_salesorder o ON o.id = l.order_id AND o.shop_id = %s AND o.buyer = w.buyer
    ORDER BY l.id FOR NO KEY UPDATE OF l
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
    """Units of one SKU that a buyer brought back, without saying which order they are from.

    `outer_id`: the number of the return document; `outer_line_id` names the line within it.
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
    """A line that went out, with what is still out of it."""

    line_id: int
    order_id: int
    number: str
    placed_at: datetime
    left: int


@dataclass(slots=True)
class Part:
    """Units of one draft that go to one line."""

    draft: ReturnDraft
    line: Candidate
    quantity: int


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


def _candidates(shop: Shop, drafts: Sequence[ReturnDraft]) -> dict[tuple[str, str], list[Candidate]]:
    """By buyer and SKU code, the latest first."""
    wanted = sorted({(draft.buyer, draft.sku_code) for draft in drafts})
    if not wanted:
        return {}
    rows = fetch_all(CANDIDATES, [[buyer for buyer, _ in wanted], [code for _, code in wanted], shop.pk])
    found: dict[tuple[str, str], list[Candidate]] = defaultdict(list)
    for line_id, order_id, number, buyer, code, placed_at, left in rows:
        found[buyer, code].append(Candidate(line_id, order_id, number, placed_at, left))
    for lines in found.values():
        lines.sort(key=lambda line: (line.placed_at, line.line_id), reverse=True)
    return found


def _plan_one(
    number: int,
    draft: ReturnDraft,
    known: dict[tuple[str, str], list[str]],
    candidates: dict[tuple[str, str], list[Candidate]],
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
        line
        for line in candidates.get((draft.buyer, draft.sku_code), ())
        if line.placed_at <= draft.returned_at and line.left > 0
    ]
    out = sum(line.left for line in earlier)
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
    for line in earlier:
        if not left:
            break
        part = Part(draft, line, min(left, line.left))
        line.left -= part.quantity
        left -= part.quantity
        plan.parts.append(part)
        plan.parts_of[number].append(part)
    return None


def _write(shop: Shop, plan: Plan, *, at: datetime, by: str, source: str) -> dict[tuple[str, int], int]:
    """Store the returns, their lines and the counters. Returns the ids by document and order."""
    if not plan.parts:
        return {}
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
            [part.draft.unit_price * part.quantity for part in plan.parts],
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

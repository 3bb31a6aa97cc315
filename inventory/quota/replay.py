"""Replay the house's own demand against the present policy of a group and a proposed one, as a job."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Hashable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from inventory.models.allocation import AllocationMethod, RebalancePolicy
from inventory.models.network import LocationGroup
from inventory.models.quota import QuotaRule
from inventory.quota.backtest import (
    HISTORY_DAYS,
    Case,
    Event,
    Method,
    Mode,
    Outcome,
    Policy,
    Prepared,
    Supply,
    Terms,
    compare,
    new_outcome,
    prepare_case,
    same_terms,
    simulate_sku,
    terms_by_sku,
)
from inventory.quota.demand import day_bounds, local_day
from omni.kernel.errors import BadInput
from omni.kernel.jobs import Progress, start_job
from omni.kernel.models import Job
from omni.kernel.sql import fetch_all
from products.models import Category, Sku

BACKTEST = "inventory.quota.backtest"
DAYS_MAX = 180
SKUS_PER_STEP = 200
METHODS = {
    AllocationMethod.HAND: Method.RATIO,
    AllocationMethod.RATIO: Method.RATIO,
    AllocationMethod.DEMAND: Method.DEMAND,
    AllocationMethod.REFILL: Method.REFILL,
}

SHOPS = """
    SELECT w.id, w.code FROM products_shop w
    WHERE w.is_active AND (
        EXISTS (SELECT FROM inventory_quotarule r WHERE r.shop_id = w.id AND r.group_id = %(group)s AND r.is_active)
        OR EXISTS (SELECT FROM inventory_shoppool s WHERE s.shop_id = w.id AND s.group_id = %(group)s))
    ORDER BY w.code
"""
BEFORE = """
    SELECT day, shop_id, sku_id, units FROM inventory_dailydemand
    WHERE day >= %s AND day < %s AND shop_id = ANY(%s) ORDER BY day
"""
# Each line at its first moment, with what it still wants or got; see roll_up.py. Plan: the indexes by time.
LINES = """
    WITH touched AS (
        SELECT line_key FROM inventory_reservation WHERE created_at >= %(since)s AND created_at < %(until)s
        UNION
        SELECT line_key FROM inventory_shortage WHERE created_at >= %(since)s AND created_at < %(until)s
    ), held AS (
        SELECT line_key, min(created_at) AS first_at, min(sku_id) AS sku_id, min(shop_id) AS shop_id,
               coalesce(sum(quantity) FILTER (WHERE state <> 'released'), 0) AS units
        FROM inventory_reservation JOIN touched USING (line_key) GROUP BY line_key
    ), lines AS (
        SELECT line_key, coalesce(h.sku_id, s.sku_id) AS sku_id, coalesce(h.shop_id, s.shop_id) AS shop_id,
               least(h.first_at, s.created_at) AS first_at,
               (coalesce(h.units, 0) + CASE WHEN s.state = 'open' THEN s.quantity ELSE 0 END)::int AS units
        FROM touched LEFT JOIN held h USING (line_key) LEFT JOIN inventory_shortage s USING (line_key)
    )
    SELECT first_at, line_key::text, shop_id, sku_id, units FROM lines
    WHERE first_at >= %(since)s AND first_at < %(until)s AND units > 0 AND shop_id = ANY(%(shops)s)
    ORDER BY first_at, line_key
"""
# What was free to sell when the period began, and what came in (or was lost) while it lasted: both from the ledger of
# the group's pools, so that every policy starts from the stock that there really was. Accounts: 4 grant, 20 pool free.
STOCK = """
    WITH pools AS (
        SELECT id FROM inventory_stockpool WHERE group_id = %(group)s AND kind <> 'safety' AND sku_id = ANY(%(skus)s)
    ), moved AS (
        SELECT m.at, m.sku_id, m.quantity, m.from_account FROM inventory_stockmovement m
        JOIN pools p ON p.id = m.to_id
        WHERE m.to_account = 20 AND m.sku_id = ANY(%(skus)s)
        UNION ALL
        SELECT m.at, m.sku_id, -m.quantity, m.to_account FROM inventory_stockmovement m
        JOIN pools p ON p.id = m.from_id
        WHERE m.from_account = 20 AND m.sku_id = ANY(%(skus)s)
    )
    SELECT NULL::timestamptz, sku_id, sum(quantity)::int FROM moved WHERE at < %(since)s GROUP BY sku_id
    UNION ALL
    SELECT at, sku_id, sum(quantity)::int FROM moved
    WHERE at >= %(since)s AND at < %(until)s AND from_account = 4 GROUP BY at, sku_id
    ORDER BY 1 NULLS FIRST
"""


class BadProposal(BadInput):
    """A proposed policy that says something it cannot mean."""

    code = "bad_proposal"


@transaction.atomic
def start_backtest(*, group_id: int, days: int, proposed: Mapping[str, Any], at: datetime, by: str) -> Job:
    """Have the last `days` whole days replayed in the background against the present policy and a proposed one.

    `proposed`: `method` (ratio, demand, refill or none), and where they shall be other than the rules say `every_days`,
    `horizon_days`, `mode`, `service_level`, `minimum`, and `ratios` by the shop's code. The result of the job has
    `outcomes`, one row per policy: present, proposed, and all shared. Raises BadProposal.
    """
    group = LocationGroup.objects.filter(pk=group_id).first()
    if group is None:
        raise BadProposal(_("There is no such location group."))
    if not 1 <= days <= DAYS_MAX:
        raise BadProposal(
            _("Between 1 and %d days can be replayed.") % DAYS_MAX, fields={"days": [str(days)]}
        )
    read_proposal(proposed, shops=[code for _id, code in _shops(group_id)])
    return start_job(
        kind=BACKTEST,
        title=_("Backtest of %(group)s over %(days)d days") % {"group": group.name, "days": days},
        params={"group": group_id, "days": days, "proposed": dict(proposed), "at": at.isoformat()},
        at=at,
        by=by,
    )


def replay_demand(job: Job) -> Generator[Progress, None, dict[str, Any]]:
    """The work of the job: reads only, so that after a crash it begins again. Steps of some SKUs each."""
    group_id, days = job.params["group"], job.params["days"]
    case, codes = read_case(group_id=group_id, days=days, at=datetime.fromisoformat(job.params["at"]))
    prepared = prepare_case(case)
    policies = read_policies(
        group_id=group_id, codes=codes, proposed=job.params["proposed"], prepared=prepared
    )
    outcomes = [new_outcome(prepared, policy) for policy in policies]
    skus = list(prepared.goods)
    yield Progress(done=0, total=len(skus))
    for start in range(0, len(skus), SKUS_PER_STEP):
        chosen = skus[start : start + SKUS_PER_STEP]
        for policy, outcome in zip(policies, outcomes, strict=True):
            for sku in chosen:
                simulate_sku(prepared, policy, sku, outcome)
        yield Progress(done=start + len(chosen), total=len(skus))
    return describe(case, codes, outcomes, days=days, skus=len(skus))


def describe(
    case: Case, codes: Sequence[str], outcomes: Sequence[Outcome], *, days: int, skus: int
) -> dict[str, Any]:
    """The comparison as JSON: `lost_against_first` is against the present policy."""
    return {
        "days": days,
        "skus": skus,
        "shops": list(codes),
        "stock_units": sum(supply.units for supply in case.supplies),
        "outcomes": compare(outcomes),
    }


def read_case(*, group_id: int, days: int, at: datetime) -> tuple[Case, list[str]]:
    """The last `days` whole days before this moment: demand line by line, the stock at the beginning, what came in.

    What was cancelled since was not wanted. Demand before that comes from the days that were rolled up.
    """
    shops = _shops(group_id)
    number = {shop_id: place for place, (shop_id, _code) in enumerate(shops)}
    today = local_day(at)
    first = today - timedelta(days=days)
    early = first - timedelta(days=HISTORY_DAYS)
    since, until = day_bounds(first)[0], day_bounds(today)[0]
    origin = day_bounds(early)[0]

    def day_of(moment: datetime) -> float:
        return (moment - origin) / timedelta(days=1)

    before = [
        Event((day - early).days, "", number[shop], sku, units)
        for day, shop, sku, units in fetch_all(BEFORE, [early, first, list(number)])
    ]
    events = [
        Event(day_of(moment), key, number[shop], sku, units)
        for moment, key, shop, sku, units in fetch_all(
            LINES, {"since": since, "until": until, "shops": list(number)}
        )
    ]
    skus = list({event.sku for event in events})
    supplies = [
        Supply(HISTORY_DAYS if moment is None else day_of(moment), sku, units)
        for moment, sku, units in fetch_all(
            STOCK, {"group": group_id, "skus": skus, "since": since, "until": until}
        )
        if units
    ]
    codes = [code for _shop, code in shops]
    case = Case(codes, before, events, supplies, HISTORY_DAYS, HISTORY_DAYS + days)
    return case, codes


def _shops(group_id: int) -> list[tuple[int, str]]:
    return [(shop_id, code) for shop_id, code in fetch_all(SHOPS, {"group": group_id})]


def read_policies(
    *, group_id: int, codes: Sequence[str], proposed: Mapping[str, Any], prepared: Prepared
) -> list[Policy]:
    """The policy that holds now, the proposed one, and all shared, which no division of quotas passes by much."""
    terms = terms_of_rules(group_id=group_id, codes=codes, sku_ids=list(prepared.goods))
    nobody = [Terms(Mode.SHARED)] * len(codes)
    holds = terms_by_sku(terms, nobody)
    policy = RebalancePolicy.objects.filter(group=group_id, is_active=True).first()
    minutes = policy.every_minutes if policy else None
    present = Policy(
        "present",
        METHODS[AllocationMethod(policy.method)] if policy else Method.RATIO,
        holds,
        max(1, minutes // 1440) if minutes else 0,
        policy.horizon_days if policy else 7,
    )
    method, every_days, horizon_days, change = read_proposal(proposed, shops=codes)
    changed = {
        sku: [change(code, one) for code, one in zip(codes, of_shops, strict=True)]
        for sku, of_shops in terms.items()
    }
    others = [change(code, Terms(Mode.SHARED)) for code in codes]
    return [
        present,
        Policy("proposed", method, terms_by_sku(changed, others), every_days, horizon_days),
        Policy("all shared", Method.NONE, same_terms(nobody)),
    ]


def read_proposal(proposed: Mapping[str, Any], *, shops: Sequence[str]) -> tuple[Method, int, int, Any]:
    """Method, days between divisions, horizon, and how it changes the terms of a shop. Raises BadProposal."""
    try:
        method = Method(proposed.get("method", Method.DEMAND))
        every_days, horizon_days = int(proposed.get("every_days", 7)), int(proposed.get("horizon_days", 7))
        mode = Mode(proposed["mode"]) if proposed.get("mode") else None
        level = float(proposed["service_level"]) if proposed.get("service_level") else None
        minimum = int(proposed["minimum"]) if proposed.get("minimum") is not None else None
        ratios = {code: Decimal(str(part)) for code, part in (proposed.get("ratios") or {}).items()}
    except (ValueError, TypeError, InvalidOperation, AttributeError) as error:
        raise BadProposal(_("The proposed policy cannot be read: %s.") % error) from error
    unknown = sorted(set(ratios) - set(shops))
    if unknown:
        raise BadProposal(_("These shops do not share in the group: %s.") % ", ".join(unknown))
    if (
        every_days < 0
        or horizon_days < 1
        or (level is not None and not 0 < level < 1)
        or (minimum is not None and minimum < 0)
        or any(not 0 <= ratio <= 1 for ratio in ratios.values())
        or sum(ratios.values()) > 1
    ):
        raise BadProposal(
            _("Parts and service levels lie between 0 and 1, parts add up to 1, days count from 1.")
        )

    def change(code: str, terms: Terms) -> Terms:
        # Who shares everything would have no quota at all, whatever the method: it is tried as lock + share.
        wanted = mode or (
            Mode.LOCK_SHARE if terms.mode == Mode.SHARED and method != Method.NONE else terms.mode
        )
        return replace(
            terms,
            mode=wanted,
            ratio=ratios.get(code, terms.ratio),
            service_level=terms.service_level if level is None else level,
            minimum=terms.minimum if minimum is None else minimum,
        )

    return method, every_days if method != Method.NONE else 0, horizon_days, change


def terms_of_rules(
    *, group_id: int, codes: Sequence[str], sku_ids: Sequence[Hashable]
) -> dict[Hashable, list[Terms]]:
    """What the most specific active quota rule says for each SKU and shop; who has none shares everything."""
    by_scope: dict[tuple[str, str, Any], QuotaRule] = {}
    for rule in QuotaRule.objects.filter(group=group_id, is_active=True).select_related("shop", "category"):
        scope: tuple[str, Any] = ("all", None)
        if rule.sku_id:
            scope = ("sku", rule.sku_id)
        elif rule.category:
            scope = ("category", rule.category.path)
        elif rule.brand_id:
            scope = ("brand", rule.brand_id)
        by_scope[(rule.shop.code, *scope)] = rule
    paths = dict(Category.objects.values_list("pk", "path"))
    found: dict[Hashable, list[Terms]] = defaultdict(list)
    rows = Sku.objects.filter(pk__in=list(sku_ids)).values_list("pk", "spu__category_id", "spu__brand_id")
    for sku_id, category_id, brand_id in rows.iterator():
        scopes: list[tuple[str, Any]] = [("sku", sku_id)]
        path = paths.get(category_id, "")
        while path:
            scopes.append(("category", path))
            path = path[: path.rstrip("/").rfind("/") + 1]
        scopes += [("brand", brand_id), ("all", None)]
        for code in codes:
            rule_of = next((by_scope[code, *scope] for scope in scopes if (code, *scope) in by_scope), None)
            found[sku_id].append(_terms(rule_of))
    return dict(found)


def _terms(rule: QuotaRule | None) -> Terms:
    if rule is None:
        return Terms(Mode.SHARED)
    return Terms(
        Mode(rule.mode),
        rule.quota_ratio,
        rule.minimum,
        rule.maximum,
        float(rule.service_level),
        rule.priority,
    )

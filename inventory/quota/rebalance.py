"""Start allocations without a person: when a quota runs low, when stock comes in, and by the clock."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from django.db import transaction

from inventory.models import AllocationMethod, AllocationRun, RebalancePolicy
from inventory.quota.plan import start_allocation
from inventory.quota.scopes import RULES_HELD
from omni.kernel.sentences import sentence
from omni.kernel.sql import as_array, execute, fetch_all

SKUS_PER_RUN = 5000
Trigger = AllocationRun.Trigger
LIVE = (AllocationRun.State.PLANNING, AllocationRun.State.APPLYING, AllocationRun.State.UNDOING)

# Only one sweep at a time starts runs: two would start the same twice. A crash gives it back.
ONE_AT_A_TIME = "SELECT pg_try_advisory_xact_lock(hashtext('inventory.quota.rebalance'))"

# Quotas that could be too low by any rule of their shop; which rule holds is asked of these alone. Units on their way
# to a quota count. One that was never granted anything has not fallen. Plan: quota_rule_by_shop, then pool_by_label.
LOW = """
    SELECT p.sku_id, s.id AS shop_id, p.granted - p.reserved + coalesce((
        SELECT sum(r.quantity - r.arrived) FROM inventory_revocation r
        WHERE r.sku_id = p.sku_id AND r.group_id = p.group_id AND r.to_kind = 'quota' AND r.to_label = p.label
          AND r.state IN ('telling', 'pulling')), 0) AS free
    FROM (
        SELECT shop_id, max(minimum) AS minimum FROM inventory_quotarule
        WHERE group_id = %(group)s AND is_active AND mode <> 'shared' AND minimum > 0 GROUP BY shop_id
    ) q
    JOIN products_shop s ON s.id = q.shop_id
    JOIN inventory_stockpool p ON p.kind = 'quota' AND p.label = s.code AND p.group_id = %(group)s
    WHERE p.granted - p.reserved < q.minimum
"""
ASKED = "(SELECT coalesce(array_agg(sku_id), '{}') FROM low)::bigint[]"
# What the sweep can do nothing about is left out: where nothing is free and no other quota has any to give.
BELOW = f"""
    WITH low AS MATERIALIZED (
        SELECT * FROM ({LOW}) quotas WHERE EXISTS (
            SELECT FROM inventory_stockpool o
            WHERE o.sku_id = quotas.sku_id AND o.group_id = %(group)s AND o.kind IN ('base', 'shared', 'quota')
              AND o.granted > o.reserved)
    ), held AS MATERIALIZED ({RULES_HELD.replace("%(skus)s::bigint[]", ASKED)})
    SELECT DISTINCT l.sku_id FROM low l
    JOIN held h ON h.sku_id = l.sku_id AND h.shop_id = l.shop_id AND h.group_id = %(group)s
    JOIN inventory_quotarule r ON r.id = h.id AND r.mode <> 'shared' AND l.free < r.minimum
    ORDER BY l.sku_id
"""  # noqa: S608 - put together from constants
# Marks of SKUs of which something lies in the group. Marks that nobody asks about are taken away with the others.
TAKE_MARKS = """
    DELETE FROM inventory_supplymark WHERE id IN (
        SELECT id FROM inventory_supplymark ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
    ) RETURNING sku_id
"""
LYING_IN = """
    SELECT DISTINCT sku_id FROM inventory_stockpool
    WHERE group_id = %s AND sku_id = ANY(%s::bigint[]) AND granted > 0 ORDER BY sku_id
"""
# Only where a policy asks for it. What an allocation grants is marked too; the run that then finds nothing to change
# moves nothing, and that is the end of it.
MARK_SUPPLY = """
    INSERT INTO inventory_supplymark (sku_id)
    SELECT DISTINCT p.sku_id FROM inventory_stockpool p
    JOIN inventory_rebalancepolicy y ON y.group_id = p.group_id AND y.is_active AND y.on_supply
    WHERE p.sku_id = ANY(%s::bigint[])
"""
REASONS = {
    Trigger.THRESHOLD: sentence("A quota fell below its minimum."),
    Trigger.SUPPLY: sentence("New stock has come in."),
    Trigger.TIMER: sentence("By the clock."),
}


@transaction.atomic
def mark_supply(sku_ids: Collection[int]) -> None:
    """More of these SKUs can be promised: where a policy says so, the next sweep grants it."""
    execute(MARK_SUPPLY, [as_array(sku_ids)])


@transaction.atomic
def rebalance_stock(*, at: datetime, by: str) -> list[int]:
    """Start a run in each group whose policy asks for one now: at most one at a time, and none for what was just done.

    A SKU that a run has looked at is left alone for the policy's quiet minutes, and while a run with it waits for a
    person. The clock comes first: it looks at everything. Returns the runs that were started.
    """
    if not fetch_all(ONE_AT_A_TIME)[0][0]:
        return []
    policies = RebalancePolicy.objects.filter(is_active=True)
    active = list(policies.exclude(method=AllocationMethod.HAND).order_by("group_id"))
    marked = {row[0] for row in fetch_all(TAKE_MARKS, [SKUS_PER_RUN])} if active else set()
    put_back: set[int] = set()
    started = []
    for policy in active:
        if AllocationRun.objects.filter(group=policy.group_id, state__in=LIVE).exists():
            put_back |= marked if policy.on_supply else set()
            continue
        wanted = _wanted(policy, marked, at)
        if wanted is not None:
            started.append(_start(policy, *wanted, at=at, by=by))
    if put_back:
        mark_supply(put_back)
    return started


def _wanted(
    policy: RebalancePolicy, marked: Collection[int], at: datetime
) -> tuple[AllocationRun.Trigger, list[int] | None] | None:
    """Why a run is due, and of which SKUs (None: all)."""
    if policy.every_minutes:
        every = timedelta(minutes=policy.every_minutes)
        if policy.last_run_at is None or policy.last_run_at <= at - every:
            return Trigger.TIMER, None
    quiet = _left_alone(policy, at)
    if policy.on_supply and marked:
        rows = fetch_all(LYING_IN, [policy.group_id, as_array(marked)])
        skus = [row[0] for row in rows if row[0] not in quiet]
        if skus:
            return Trigger.SUPPLY, skus
    if policy.on_threshold:
        rows = fetch_all(BELOW, {"group": policy.group_id})
        skus = [row[0] for row in rows if row[0] not in quiet][:SKUS_PER_RUN]
        if skus:
            return Trigger.THRESHOLD, skus
    return None


def _left_alone(policy: RebalancePolicy, at: datetime) -> set[int]:
    """SKUs that a run has looked at lately, or of which one waits for a person."""
    runs = AllocationRun.objects.filter(
        group=policy.group_id, trigger__in=(Trigger.THRESHOLD, Trigger.SUPPLY, Trigger.TIMER)
    )
    lately = runs.filter(created_at__gt=at - timedelta(minutes=policy.quiet_minutes))
    waiting = runs.filter(state=AllocationRun.State.PLANNED)
    found: set[int] = set()
    for of_runs in (lately, waiting):
        for scope in of_runs.values_list("scope", flat=True):
            found.update(scope.get("skus", ()))
    return found


def _start(
    policy: RebalancePolicy,
    trigger: AllocationRun.Trigger,
    sku_ids: list[int] | None,
    *,
    at: datetime,
    by: str,
) -> int:
    if trigger == Trigger.TIMER:
        policy.last_run_at = at
        policy.save(update_fields=["last_run_at"])
    run = start_allocation(
        group_id=policy.group_id,
        method=policy.method,
        scope={} if sku_ids is None else {"skus": sku_ids},
        settings={"days": policy.horizon_days} if policy.method == AllocationMethod.DEMAND else {},
        trigger=trigger.value,
        reason=str(REASONS[trigger]),
        at=at,
        by=by,
    )
    return run.pk

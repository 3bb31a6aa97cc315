"""Rules and runs for tests, made through the operations by which they come about."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from omni.kernel.jobs import claim_job, run_job
from omni.kernel.models import Job
from omni.wiring import JOBS
from products.assortment.apply import start_apply
from products.assortment.conditions import Wish
from products.assortment.define import RuleDraft, define_rule
from products.assortment.plan import start_assortment
from products.models import AssortmentRule, AssortmentRun, Shop
from tests.factories.orders import NOON

BUYER = "user:1"
WINDOW = ("starts_at", "ends_at", "priority", "is_active", "kind")


def a_rule(
    *shops: Shop, name: str = "", rule: AssortmentRule | None = None, at: datetime = NOON, **given: Any
) -> AssortmentRule:
    """A rule that includes, unless `given` says otherwise; what is no part of its window is a condition."""
    more = {key: given.pop(key) for key in WINDOW if key in given}
    draft = RuleDraft(
        name=name or (rule.name if rule else f"Rule {AssortmentRule.objects.count() + 1}"),
        wish=Wish(**given),
        shop_ids=[shop.pk for shop in shops],
        **more,
    )
    return define_rule(draft=draft, rule_id=rule.pk if rule else None, at=at, by=BUYER)


def work_off(at: datetime = NOON) -> None:
    """Do every job that waits."""
    while (job := claim_job(at=at)) is not None:
        done = run_job(job=job, works=JOBS)
        assert done.state == Job.State.DONE, done.message


def planned(*shops: Shop, at: datetime = NOON) -> AssortmentRun:
    """A run for these shops, worked out."""
    run = start_assortment(shop_ids=[shop.pk for shop in shops], at=at, by=BUYER)
    work_off()
    run.refresh_from_db()
    return run


def applied(*shops: Shop, at: datetime = NOON) -> AssortmentRun:
    """The same, and done."""
    run = planned(*shops, at=at)
    start_apply(run_id=run.pk, at=at, by=BUYER)
    work_off()
    run.refresh_from_db()
    return run

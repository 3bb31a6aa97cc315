"""Work out what the rules mean for shops, as a run that people look at before anything is done."""

from __future__ import annotations

from collections.abc import Collection, Generator
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from omni.kernel.actors import SYSTEM
from omni.kernel.audit import record_act
from omni.kernel.errors import BadInput, DomainError
from omni.kernel.jobs import Progress, start_job
from omni.kernel.models import Job
from omni.kernel.sql import execute, fetch_all
from products.assortment.apply import RunIsStale, apply_harmless
from products.assortment.rules import read_say
from products.assortment.verdicts import find_fitting, judge_shop
from products.models import AssortmentRow, AssortmentRule, AssortmentRun, AssortmentShop, Listing, Shop

PLAN = "products.assortment.plan"
# Percent of a shop's listings that runs may withdraw in a day without a person's word.
LOSS_MAX = 30
LOSS_PERIOD = timedelta(hours=24)
COUNTS = {
    "draft": "drafts",
    "publish": "publishes",
    "withdraw": "withdraws",
    "held_back": "held_back",
    "waiting": "waiting",
    "kept": "kept",
}
# Edges of windows that the clock has not seen yet.
DUE = """
    SELECT id FROM products_assortmentrule
    WHERE is_active AND (NOT is_opened AND starts_at <= %(at)s OR NOT is_closed AND ends_at <= %(at)s)
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
"""
SEEN = """
    UPDATE products_assortmentrule SET is_opened = is_opened OR starts_at <= %s, is_closed = is_closed OR ends_at <= %s
    WHERE id = ANY(%s)
"""


class NoShops(BadInput):
    """A run is for at least one shop."""

    code = "no_shops"


class NotToDrop(DomainError):
    """The run is being worked out or applied, or was dropped before."""

    code = "not_to_drop"


@transaction.atomic
def start_assortment(
    *,
    shop_ids: Collection[int],
    source: AssortmentRun.Source = AssortmentRun.Source.PERSON,
    at: datetime,
    by: str,
) -> AssortmentRun:
    """Have it worked out in the background what the rules would change in these shops now. Raises NoShops."""
    shops = list(Shop.objects.filter(pk__in=shop_ids, is_active=True).order_by("pk"))
    if not shops:
        raise NoShops(_("Choose at least one shop."))
    run = AssortmentRun.objects.create(source=source, judged_at=at, created_by=by, created_at=at)
    AssortmentShop.objects.bulk_create(AssortmentShop(run=run, shop=shop) for shop in shops)
    title = ngettext("Assortment of %d shop", "Assortment of %d shops", len(shops)) % len(shops)
    run.job = start_job(kind=PLAN, title=title, params={"run": run.pk}, at=at, by=by)
    run.save(update_fields=["job"])
    return run


def plan_assortment(job: Job) -> Generator[Progress, None, dict[str, Any]]:
    """The work of a job: shop by shop. Begun again after a crash it goes on with the shops that are left, unless the
    rules have changed since: then with all of them.
    """
    run = AssortmentRun.objects.get(pk=job.params["run"])
    shops = list(run.shops.select_related("shop", "run").order_by("shop_id"))
    say = read_say(shop_ids=[row.shop_id for row in shops], at=run.judged_at)
    if run.basis != say.basis():
        _begin_anew(run, say.basis())
        shops = list(run.shops.select_related("shop", "run").order_by("shop_id"))
    find_fitting(say)
    for done, row in enumerate(shops, 1):
        if row.state == AssortmentShop.State.PLANNING:
            with transaction.atomic():
                counts = judge_shop(say, run_id=run.pk, shop_id=row.shop_id, brand_id=row.shop.brand_id)
                _note(row, counts)
        yield Progress(done=done, total=len(shops), message=row.shop.name)
    with transaction.atomic():
        AssortmentRun.objects.filter(pk=run.pk, state=AssortmentRun.State.PLANNING).update(
            state=AssortmentRun.State.PLANNED
        )
        if run.source == AssortmentRun.Source.CLOCK:
            _apply_or_begin_anew(run.pk, timezone.now(), job.created_by)
    return {"run": run.pk}


def _apply_or_begin_anew(run_id: int, at: datetime, by: str) -> None:
    """What the clock asked for is done without a person. Where rules changed meanwhile another run takes its place."""
    try:
        apply_harmless(run_id=run_id, at=at, by=by)
    except RunIsStale as stale:
        run = drop_assortment(run_id=run_id, reason=stale.detail, at=at, by=by)
        shops = list(run.shops.values_list("shop_id", flat=True))
        start_assortment(shop_ids=shops, source=AssortmentRun.Source.CLOCK, at=at, by=by)


@transaction.atomic
def _begin_anew(run: AssortmentRun, basis: dict[str, Any]) -> None:
    AssortmentRow.objects.filter(run=run).delete()
    run.shops.update(state=AssortmentShop.State.PLANNING)
    run.basis = basis
    run.save(update_fields=["basis"])


def _note(row: AssortmentShop, counts: dict[str, int]) -> None:
    for outcome, column in COUNTS.items():
        setattr(row, column, counts.get(outcome, 0))
    row.listed = Listing.objects.filter(shop_id=row.shop_id, state=Listing.State.LISTED).count()
    lost = _lost_lately(row)
    row.is_too_much = row.withdraws > 0 and (row.withdraws + lost) * 100 > (row.listed + lost) * LOSS_MAX
    row.state = AssortmentShop.State.PLANNED
    row.planned_at = timezone.now()
    row.save(update_fields=[*COUNTS.values(), "listed", "is_too_much", "state", "planned_at"])


def _lost_lately(row: AssortmentShop) -> int:
    """What other runs have withdrawn of this shop without a person's word: many small losses are a large one."""
    others = AssortmentShop.objects.filter(
        shop=row.shop_id,
        state__in=(AssortmentShop.State.APPLYING, AssortmentShop.State.APPLIED),
        confirmed_by="",
        run__applied_at__gt=row.run.judged_at - LOSS_PERIOD,
    )
    lost: int | None = others.exclude(run=row.run_id).aggregate(lost=Sum("withdraws"))["lost"]
    return lost or 0


@transaction.atomic
def drop_assortment(*, run_id: int, reason: str = "", at: datetime, by: str) -> AssortmentRun:
    """Do nothing of what was worked out and has not been applied. Raises NotToDrop."""
    run = AssortmentRun.objects.select_for_update(no_key=True).get(pk=run_id)
    left = run.shops.filter(state=AssortmentShop.State.PLANNED)
    if run.state != AssortmentRun.State.PLANNED:
        raise NotToDrop(_("It is %s.") % run.get_state_display())
    is_applied = run.shops.filter(state=AssortmentShop.State.APPLIED).exists()
    left.update(state=AssortmentShop.State.DROPPED)
    run.state = AssortmentRun.State.APPLIED if is_applied else AssortmentRun.State.DROPPED
    run.save(update_fields=["state"])
    record_act(by=by, action="assortment.dropped", subject=run, reason=reason)
    return run


@transaction.atomic
def open_due_windows(*, at: datetime) -> AssortmentRun | None:
    """Where the window of a rule has opened or closed since the clock last looked: one run for all shops concerned.

    What it would withdraw too much of waits for a person, the rest applies itself. None: no window.
    """
    ids = [row[0] for row in fetch_all(DUE, {"at": at})]
    if not ids:
        return None
    execute(SEEN, [at, at, ids])
    shops = AssortmentRule.shops.through.objects.filter(assortmentrule__in=ids).values_list(
        "shop_id", flat=True
    )
    active = Shop.objects.filter(pk__in=shops, is_active=True)
    if not active.exists():
        return None
    return start_assortment(
        shop_ids=set(active.values_list("pk", flat=True)), source=AssortmentRun.Source.CLOCK, at=at, by=SYSTEM
    )

"""Work out what should be granted to whom, as a run that people look at before a unit is moved."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from inventory.book import UnknownPlace, refuse_bundles
from inventory.models import AllocationLine, AllocationMethod, AllocationRun, LocationGroup, RebalancePolicy
from inventory.quota.apply import start_apply
from inventory.quota.demand import expected_demand
from inventory.quota.methods import Line, Method, by_demand, by_hand, by_ratio, by_refill, settle
from inventory.quota.shares import RatiosExceedTheWhole
from inventory.quota.shelves import Shelves, skus_in_scope
from omni.kernel.audit import record_act
from omni.kernel.batches import batches
from omni.kernel.errors import BadInput, DomainError
from omni.kernel.jobs import Progress, start_job
from omni.kernel.models import Job
from products.models import Brand, Category, Shop, Sku

PLAN = "inventory.quota.plan"
BATCH = 5000
NAMED_MAX = 20
TARGETS_MAX = 100_000
HORIZON_DAYS = 7
State = AllocationRun.State

COPY_LINES = """
    COPY inventory_allocationline (run_id, sku_id, shop_id, kind, label, before, after, inputs, reason) FROM STDIN
"""


class BadAllocation(BadInput):
    """A method, scope or setting that does not exist, or contradicts itself; `fields` say where."""

    code = "bad_allocation"


class RatiosExceedAll(DomainError):
    """The parts that rules grant of some SKUs add up to more than there is; `extra` names them."""

    code = "ratios_exceed_all"


@transaction.atomic
def start_allocation(
    *,
    group_id: int,
    method: str,
    scope: Mapping[str, Any],
    settings: Mapping[str, Any],
    trigger: str,
    reason: str,
    at: datetime,
    by: str,
    lock_id: int | None = None,
) -> AllocationRun:
    """Have it worked out in the background what a method would grant to the shops of a group; nothing is moved.

    `scope`: {"skus": [ids]}, {"brand": id}, {"category": id} (with all below it), or {}: all that lies in the group.
    `settings`: of the method by hand {"targets": [[SKU id, shop id, units], ...]}, of demand {"days": n}, else {}.
    Raises BadAllocation, UnknownPlace, BundleHasNoStock.
    """
    if not LocationGroup.objects.filter(pk=group_id).exists():
        raise UnknownPlace(_("Location group %(group)s does not exist.") % {"group": group_id})
    scope, settings = _check(method, scope, settings)
    run = AllocationRun.objects.create(
        group_id=group_id,
        method=method,
        trigger=trigger,
        lock_id=lock_id,
        scope=scope,
        settings=settings,
        reason=reason[:200],
        created_by=by,
        created_at=at,
    )
    title = _("Allocation %(method)s") % {"method": run.get_method_display()}
    run.job = start_job(kind=PLAN, title=title, params={"run": run.pk}, at=at, by=by)
    run.save(update_fields=["job"])
    record_act(by=by, action="allocation.started", subject=run, reason=reason, detail={"method": method})
    return run


def _check(
    method: str, scope: Mapping[str, Any], settings: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    if method not in AllocationMethod.values:
        raise BadAllocation(_("There is no such method."), fields={"method": [_("There is no such method.")]})
    if method == AllocationMethod.HAND:
        targets = _check_targets(settings.get("targets") or [])
        return {"skus": sorted({sku_id for sku_id, _shop_id, _units in targets})}, {"targets": targets}
    if len(scope) > 1 or set(scope) - {"skus", "brand", "category"}:
        fault = _("Name SKUs, a brand or a category, not several of them.")
        raise BadAllocation(fault, fields={"scope": [fault]})
    if "skus" in scope:
        wanted = sorted({int(sku_id) for sku_id in scope["skus"]})
        _refuse_unknown(Sku, wanted, "scope")
        scope = {"skus": wanted}
    elif "brand" in scope:
        _refuse_unknown(Brand, [scope["brand"]], "scope")
    elif "category" in scope:
        _refuse_unknown(Category, [scope["category"]], "scope")
    kept: dict[str, Any] = {}
    if method == AllocationMethod.DEMAND:
        days = settings.get("days", HORIZON_DAYS)
        if not isinstance(days, int) or not 0 < days <= 365:
            fault = _("A quota lasts from 1 to 365 days.")
            raise BadAllocation(fault, fields={"days": [fault]})
        kept = {"days": days}
    return dict(scope), kept


def _check_targets(targets: Sequence[Sequence[int]]) -> list[list[int]]:
    fault = ""
    if not 0 < len(targets) <= TARGETS_MAX:
        fault = _("Say for at least one SKU and shop how many units it should have.")
    elif any(len(target) != 3 or any(not isinstance(value, int) for value in target) for target in targets):
        fault = _("A target is a SKU, a shop and a number of units.")
    elif any(units < 0 for _sku, _shop, units in targets):
        fault = _("A quota is at least 0.")
    elif len({(sku, shop) for sku, shop, _units in targets}) < len(targets):
        fault = _("Say of each SKU and shop once how many units it should have.")
    if fault:
        raise BadAllocation(fault, fields={"targets": [fault]})
    skus = {sku_id for sku_id, _shop_id, _units in targets}
    _refuse_unknown(Sku, skus, "targets")
    _refuse_unknown(Shop, {shop_id for _sku_id, shop_id, _units in targets}, "targets")
    refuse_bundles(skus)
    return sorted([sku_id, shop_id, units] for sku_id, shop_id, units in targets)


def _refuse_unknown(model: Any, idents: Any, field: str) -> None:
    missing = set(idents) - set(model._default_manager.filter(pk__in=idents).values_list("pk", flat=True))
    if missing:
        fault = _("%(what)s %(id)s does not exist.") % {"what": model._meta.verbose_name, "id": min(missing)}
        raise BadAllocation(fault, fields={field: [fault]})


def plan_allocation(job: Job) -> Generator[Progress, None, dict[str, Any]]:
    """The work of a job: the lines of a run, some thousand SKUs at a time. Begun again after a crash it begins anew.

    A run that a policy asked for is applied at once if the policy says so; one that would change nothing is dropped.
    Raises RatiosExceedAll, and then the run is dropped.
    """
    run = AllocationRun.objects.select_related("group").get(pk=job.params["run"])
    if run.state != State.PLANNING:
        return {"run": run.pk}
    AllocationLine.objects.filter(run=run).delete()
    sku_ids = skus_in_scope(group_id=run.group_id, scope=run.scope)
    shelves = Shelves(run.group_id)
    lines, units, done = 0, 0, 0
    for batch in batches(sku_ids, BATCH):
        try:
            with transaction.atomic():
                counts = _plan_batch(run, shelves, batch)
        except RatiosExceedAll:
            AllocationRun.objects.filter(pk=run.pk, state=State.PLANNING).update(state=State.DROPPED)
            raise
        lines, units, done = lines + counts[0], units + counts[1], done + len(batch)
        yield Progress(done=done, total=len(sku_ids))
    is_live = _end(run, skus=len(sku_ids), lines=lines, units=units, by=job.created_by)
    return {"run": run.pk, "skus": len(sku_ids), "lines": lines, "units": units, "dropped": not is_live}


def _plan_batch(run: AllocationRun, shelves: Shelves, sku_ids: Sequence[int]) -> tuple[int, int]:
    """How many lines there are and how many units they would move."""
    method = _method_of(run, shelves, sku_ids)
    intake = run.group.new_stock_goes_to
    refused: list[int] = []
    lines = units = 0
    parts: list[str] = []
    for shelf in shelves.read(sku_ids):
        try:
            found = settle(shelf, method(shelf), intake=intake)
        except RatiosExceedTheWhole:
            refused.append(shelf.sku_id)
            continue
        for line in found:
            lines += 1
            if line.after > line.before:
                units += line.after - line.before
            parts.append(_as_text(run.pk, shelf.sku_id, line))
    if refused:
        _refuse(refused)
    if parts:
        with connection.cursor() as cursor, cursor.copy(COPY_LINES) as copy:
            copy.write("".join(parts))
    return lines, units


def _as_text(run_id: int, sku_id: int, line: Line) -> str:
    """One row for COPY: of what is stored, only texts can hold what has a meaning there."""
    shop_id, kind, label, before, after, inputs, reason = line
    shop = "\\N" if shop_id is None else shop_id
    if "\\" in reason or "\\" in label or "\\" in inputs:
        label, inputs, reason = (text.replace("\\", "\\\\") for text in (label, inputs, reason))
    return f"{run_id}\t{sku_id}\t{shop}\t{kind}\t{label}\t{before}\t{after}\t{inputs}\t{reason}\n"


def _method_of(run: AllocationRun, shelves: Shelves, sku_ids: Sequence[int]) -> Method:
    if run.method == AllocationMethod.RATIO:
        return by_ratio
    if run.method == AllocationMethod.REFILL:
        return by_refill
    if run.method == AllocationMethod.DEMAND:
        days = run.settings.get("days", HORIZON_DAYS)
        shop_ids = shelves.shop_ids
        rates = expected_demand(sku_ids=sku_ids, shop_ids=shop_ids, at=run.created_at)
        return by_demand(rates, days=days)
    asked = set(sku_ids)
    codes = dict(
        Shop.objects.filter(pk__in={row[1] for row in run.settings["targets"]}).values_list("pk", "code")
    )
    targets: dict[int, list[tuple[int, str, int]]] = {}
    for sku_id, shop_id, units in run.settings["targets"]:
        if sku_id in asked:
            targets.setdefault(sku_id, []).append((shop_id, codes[shop_id], units))
    return by_hand(targets)


def _refuse(sku_ids: Sequence[int]) -> None:
    codes = list(Sku.objects.filter(pk__in=sku_ids[:NAMED_MAX]).order_by("pk").values_list("code", flat=True))
    raise RatiosExceedAll(
        ngettext(
            "The parts of the supply add up to more than the whole for %(count)d SKU: %(codes)s.",
            "The parts of the supply add up to more than the whole for %(count)d SKUs: %(codes)s.",
            len(sku_ids),
        )
        % {"count": len(sku_ids), "codes": ", ".join(codes)},
        extra={"skus": codes},
    )


@transaction.atomic
def _end(run: AllocationRun, *, skus: int, lines: int, units: int, by: str) -> bool:
    """False: the run was dropped, by somebody meanwhile or because it would change nothing and nobody waits for it."""
    is_asked = run.trigger == AllocationRun.Trigger.PERSON
    state = State.PLANNED if lines or is_asked else State.DROPPED
    found = AllocationRun.objects.filter(pk=run.pk, state=State.PLANNING).update(
        state=state, skus=skus, lines_planned=lines, units_planned=units
    )
    if not found or state == State.DROPPED:
        return False
    if not is_asked and RebalancePolicy.objects.filter(group=run.group_id, is_automatic=True).exists():
        start_apply(run_id=run.pk, at=timezone.now(), by=by)
    return True

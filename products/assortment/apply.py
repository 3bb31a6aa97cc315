"""Do what a run worked out, line by line: drafts, and requests to put on sale and to take off."""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from omni.kernel.actors import actor
from omni.kernel.audit import record_act
from omni.kernel.errors import BadInput, DomainError
from omni.kernel.jobs import Progress, start_job
from omni.kernel.models import Job
from omni.kernel.sentences import sentence
from omni.kernel.sql import execute, fetch_all
from products.assortment.rules import Say, read_say
from products.assortment.verdicts import find_fitting, judge_skus
from products.draft import ReasonMissing, draft_pairs
from products.models import AssortmentRow, AssortmentRun, AssortmentShop
from products.request import Asked, publish_listings, withdraw_listings

APPLY = "products.assortment.apply"
BATCH = 500

LOCK_RUN = "SELECT id FROM products_assortmentrun WHERE id = %s FOR NO KEY UPDATE"
# In id order: what one batch leaves, the next one finds. Plan: assortment_row.
TAKE = """
    SELECT id, sku_id, listing_id, outcome FROM products_assortmentrow
    WHERE run_id = %s AND shop_id = %s AND state = 'planned' ORDER BY id LIMIT %s FOR NO KEY UPDATE
"""
DRAFTED = "SELECT sku_id, id FROM products_listing WHERE id = ANY(%s)"
PLACE = """
    INSERT INTO products_placedlisting (listing_id, run_id, placed_at)
    SELECT id, %s, %s FROM unnest(%s::bigint[]) AS v(id) ORDER BY id ON CONFLICT (listing_id) DO NOTHING
"""
# Whoever puts it on sale again after this brings it there by hand.
LET_GO = "DELETE FROM products_placedlisting WHERE listing_id = ANY(%s)"
CLOSE = """
    UPDATE products_assortmentrow r
    SET state = v.state, detail = v.detail, listing_id = coalesce(v.listing, r.listing_id)
    FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::bigint[]) AS v(id, state, detail, listing) WHERE r.id = v.id
"""


class RunIsStale(DomainError):
    """The rules, or the catalogues, are others than when it was worked out."""

    code = "run_is_stale"


class NothingToApply(DomainError):
    """The run is still being worked out, or is over."""

    code = "nothing_to_apply"


class WithdrawsTooMuch(DomainError):
    """So much of a shop's listings would be withdrawn that a person has to confirm it, shop by shop."""

    code = "withdraws_too_much"


class WrongName(BadInput):
    """Whoever confirms has to write the name of the shop, so that nobody confirms the wrong one."""

    code = "wrong_name"


@dataclass(frozen=True, slots=True)
class _Line:
    ident: int
    sku_id: int
    listing_id: int | None
    outcome: str


@dataclass(frozen=True, slots=True)
class _Came:
    """What came of one line."""

    ok: bool
    detail: str = ""
    listing_id: int | None = None


@transaction.atomic
def confirm_withdrawals(
    *, run_id: int, shop_id: int, typed_name: str, reason: str, at: datetime, by: str
) -> AssortmentShop:
    """Say that a run may withdraw what it would of this shop, by the shop's name or code, and why.

    Raises WrongName, ReasonMissing, NothingToApply.
    """
    row = AssortmentShop.objects.select_for_update(no_key=True, of=("self",)).select_related("shop", "run")
    found = row.get(run_id=run_id, shop_id=shop_id)
    if found.state != AssortmentShop.State.PLANNED or not found.is_too_much:
        raise NothingToApply(_("There is nothing to confirm."))
    if typed_name.strip() not in (found.shop.name, found.shop.code):
        fault = _("Write the name of the shop: %s") % found.shop.name
        raise WrongName(fault, fields={"typed_name": [fault]})
    if not reason.strip():
        raise ReasonMissing(_("Say why."), fields={"reason": [_("Say why.")]})
    found.confirmed_by, found.confirmed_at, found.reason = by, at, reason.strip()[:200]
    found.save(update_fields=["confirmed_by", "confirmed_at", "reason"])
    record_act(
        by=by,
        action="assortment.confirmed",
        subject=found.run,
        reason=reason,
        detail={"shop": found.shop.code, "withdraws": found.withdraws, "listed": found.listed},
    )
    return found


@transaction.atomic
def start_apply(
    *, run_id: int, shop_ids: Collection[int] | None = None, at: datetime, by: str
) -> AssortmentRun:
    """Have it done in the background, for all shops of the run that are left or only for these.

    Raises NothingToApply, RunIsStale, WithdrawsTooMuch (with the names of the shops that nobody has confirmed).
    """
    fetch_all(LOCK_RUN, [run_id])
    run = AssortmentRun.objects.get(pk=run_id)
    if run.state != AssortmentRun.State.PLANNED:
        raise NothingToApply(_("It is %s.") % run.get_state_display())
    rows = run.shops.filter(state=AssortmentShop.State.PLANNED).select_related("shop").order_by("shop_id")
    if shop_ids is not None:
        rows = rows.filter(shop__in=shop_ids)
    chosen = list(rows)
    if not chosen:
        raise NothingToApply(_("There is no shop left to which it could be applied."))
    refuse_stale(run, at)
    unconfirmed = [row for row in chosen if row.is_too_much and not row.confirmed_by]
    if unconfirmed:
        names = ", ".join(row.shop.name for row in unconfirmed)
        raise WithdrawsTooMuch(
            _("It would take too much off sale: confirm it for %s first.") % names,
            extra={"shops": [row.shop.code for row in unconfirmed]},
        )
    run.shops.filter(pk__in=[row.pk for row in chosen]).update(state=AssortmentShop.State.APPLYING)
    run.state, run.applied_by, run.applied_at = AssortmentRun.State.APPLYING, by, at
    title = _("Apply the assortment run %s") % run
    run.job = start_job(kind=APPLY, title=title, params={"run": run.pk}, at=at, by=by)
    run.save(update_fields=["state", "applied_by", "applied_at", "job"])
    record_act(
        by=by, action="assortment.applied", subject=run, detail={"shops": [row.shop.code for row in chosen]}
    )
    return run


def apply_harmless(*, run_id: int, at: datetime, by: str) -> None:
    """Have done what no person has to confirm; shops of which too much would be withdrawn wait."""
    rows = AssortmentShop.objects.filter(run_id=run_id, state=AssortmentShop.State.PLANNED, is_too_much=False)
    shops = list(rows.values_list("shop_id", flat=True))
    if shops:
        start_apply(run_id=run_id, shop_ids=shops, at=at, by=by)


def refuse_stale(run: AssortmentRun, at: datetime) -> None:
    """Raises RunIsStale if other rules, or other catalogues, speak at this moment than those of the run."""
    shops = list(run.shops.values_list("shop_id", flat=True))
    if read_say(shop_ids=shops, at=at).basis() != run.basis:
        raise RunIsStale(_("Rules or catalogues have changed since this was worked out: work it out anew."))


def apply_assortment(job: Job) -> Generator[Progress, None, dict[str, Any]]:
    """The work of a job: the lines of each shop in batches, each batch judged anew before it is done.

    A line is done once: it is closed in the transaction that does it. What has changed since it was looked at is left
    out, and says so.
    """
    run = AssortmentRun.objects.get(pk=job.params["run"])
    applying = (
        run.shops.filter(state=AssortmentShop.State.APPLYING).select_related("shop").order_by("shop_id")
    )
    shops = list(applying)
    total = sum(row.drafts + row.publishes + row.withdraws for row in shops)
    done, skipped = sum(row.done for row in shops), sum(row.skipped for row in shops)
    for row in shops:
        while True:
            with transaction.atomic():
                counts = _apply_batch(run, row, timezone.now())
                if counts is None:
                    row.state = AssortmentShop.State.APPLIED
                    row.save(update_fields=["state"])
                    break
            done, skipped = done + counts[0], skipped + counts[1]
            yield Progress(done=done + skipped, failed=skipped, total=total, message=row.shop.name)
    is_left = run.shops.filter(state=AssortmentShop.State.PLANNED).exists()
    state = AssortmentRun.State.PLANNED if is_left else AssortmentRun.State.APPLIED
    AssortmentRun.objects.filter(pk=run.pk, state=AssortmentRun.State.APPLYING).update(state=state)
    return {"run": run.pk, "done": done, "skipped": skipped}


def _apply_batch(run: AssortmentRun, row: AssortmentShop, at: datetime) -> tuple[int, int] | None:
    """How many lines were done and skipped; None: there are no more."""
    lines = [_Line(*found) for found in fetch_all(TAKE, [run.pk, row.shop_id, BATCH])]
    if not lines:
        return None
    say = read_say(shop_ids=[row.shop_id], at=at)
    came = _came_of(run, row, say, lines, at)
    execute(
        CLOSE,
        [
            [line.ident for line in lines],
            ["done" if came[line.ident].ok else "skipped" for line in lines],
            [came[line.ident].detail for line in lines],
            [came[line.ident].listing_id for line in lines],
        ],
    )
    done = sum(each.ok for each in came.values())
    row.done += done
    row.skipped += len(lines) - done
    row.save(update_fields=["done", "skipped"])
    return done, len(lines) - done


def _came_of(
    run: AssortmentRun, row: AssortmentShop, say: Say, lines: Sequence[_Line], at: datetime
) -> dict[int, _Came]:
    skus = {line.sku_id for line in lines}
    find_fitting(say, sku_ids=skus)
    judged = judge_skus(say, shop_id=row.shop_id, brand_id=row.shop.brand_id, sku_ids=skus)
    still = [line for line in lines if (line.sku_id, line.listing_id, line.outcome) in judged]
    other = sentence("It has changed since this was worked out, and would not be done now.")
    came = {line.ident: _Came(False, other) for line in lines}
    by, reason = actor("assortment", run.pk), _("Assortment run %s") % run
    drafts = [line for line in still if line.outcome == AssortmentRow.Outcome.DRAFT]
    came |= _draft(run, row.shop_id, drafts, reason=reason, at=at, by=by)
    for outcome, ask in (
        (AssortmentRow.Outcome.PUBLISH, publish_listings),
        (AssortmentRow.Outcome.WITHDRAW, withdraw_listings),
    ):
        asked = {line.listing_id: line for line in still if line.outcome == outcome and line.listing_id}
        if asked:
            _batch, answers = ask(listing_ids=sorted(asked), reason=reason, at=at, by=by)
            came |= {asked[answer.listing_id].ident: _Came(answer.ok, answer.detail) for answer in answers}
            _mark(run, outcome, answers, at)
    return came


def _draft(
    run: AssortmentRun, shop_id: int, lines: Sequence[_Line], *, reason: str, at: datetime, by: str
) -> dict[int, _Came]:
    pairs = [(shop_id, line.sku_id) for line in lines]
    made = dict(fetch_all(DRAFTED, [draft_pairs(pairs=pairs, reason=reason, at=at, by=by)]))
    execute(PLACE, [run.pk, at, sorted(made.values())])
    no = sentence("Somebody has drafted or listed it meanwhile.")
    return {
        line.ident: _Came(True, "", made[line.sku_id]) if line.sku_id in made else _Came(False, no)
        for line in lines
    }


def _mark(run: AssortmentRun, outcome: str, answers: Sequence[Asked], at: datetime) -> None:
    taken = [answer.listing_id for answer in answers if answer.ok]
    if outcome == AssortmentRow.Outcome.PUBLISH:
        execute(PLACE, [run.pk, at, taken])
    else:
        execute(LET_GO, [taken])

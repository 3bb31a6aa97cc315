"""Units being taken back from shops: since when, what they wait for, and the way past the channel."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from inventory.admin.quota_rules import ReasonForm
from inventory.models import Revocation
from inventory.models.stock import PoolKind
from inventory.quota.revoke import force_revocation
from omni.kernel.admin_base import Queue, RowResult, column
from omni.kernel.display import age_text
from omni.kernel.errors import DomainError
from products.admin.scoped import ScopedAdmin, ShopFilter, choice_filter

OLD_AFTER = timedelta(hours=1)
_COLUMNS = ("show_sku", "shop", "quantity", "show_arrived", "show_from", "show_to", "show_waits", "show_age")
REVOCATION_QUEUES = {
    "open": Queue(
        "open",
        _("Units being taken back"),
        _(
            "A channel must have been told the lower number, and its orders read once after that, before another shop "
            "may sell these."
        ),
        Q(state__in=Revocation.OPEN),
        _COLUMNS,
        "assignment_return",
        "started_at",
        ("force",),
        (ShopFilter,),
    ),
    "old": Queue(
        "old",
        _("Units that do not come back"),
        _(
            "For more than an hour a channel has not said that it shows the lower number, or its orders were not read "
            "since. Look at its connection; if you know that it cannot sell them any more, let them go on."
        ),
        Q(state__in=Revocation.OPEN, started_at__lt=Now() - OLD_AFTER),
        _COLUMNS,
        "hourglass_disabled",
        "started_at",
        ("force",),
        (ShopFilter,),
    ),
}


@admin.register(Revocation)
class RevocationAdmin(ScopedAdmin):
    intro = _(
        "Units that were taken from a shop's own pool. They go on only when its channel cannot sell them any more; "
        "until then the shop's own late orders may still draw on them."
    )
    queues = REVOCATION_QUEUES
    shop_path = "shop_id"
    actors = ("by",)
    shown_as = {"by": "show_by"}
    list_display = (
        "show_sku",
        "shop",
        "quantity",
        "show_arrived",
        "show_from",
        "show_to",
        "show_state",
        "started_at",
        "ended_at",
        "show_by",
    )
    list_display_links = ("show_sku",)
    list_select_related = ("sku", "shop", "group")
    list_filter = (ShopFilter, choice_filter("state"))
    search_fields = ("sku__code__exact",)
    search_help_text = _("A whole SKU code")
    actions = ("force",)

    @admin.action(description=_("Let go on without the channel"), permissions=["operate"])
    def force(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        def carry_out(answers: dict[str, Any], rows: list[Any]) -> HttpResponse | None:
            def run(at: datetime, by: str) -> list[RowResult]:
                return [_force(row, answers["reason"], at, by) for row in rows]

            return self.operate(request, _("Let go on without the channel"), run)

        form = ReasonForm(request.POST if "asked" in request.POST else None)
        form.fields["reason"].help_text = gettext(
            "Another shop sells them from then on. If this shop's channel still sells some of them, an order cannot be "
            "served."
        )
        rows = queryset.select_related("sku", "shop").order_by("id")
        title = _("Let go on without the channel")
        return self.ask_first(request, rows, action="force", title=title, form=form, run=carry_out)

    @column(description=_("SKU"))
    def show_sku(self, row: Revocation) -> str:
        return row.sku.code

    @column(description=_("arrived"))
    def show_arrived(self, row: Revocation) -> str:
        return f"{row.arrived} / {row.quantity}"

    @column(description=_("taken from"))
    def show_from(self, row: Revocation) -> str:
        return pool_text(row.from_kind, row.from_label)

    @column(description=_("goes to"))
    def show_to(self, row: Revocation) -> str:
        return pool_text(row.to_kind, row.to_label)

    @column(
        description=_("state"),
        label={"telling": "warning", "pulling": "info", "done": "success", "forced": "danger"},
    )
    def show_state(self, row: Revocation) -> tuple[str, str]:
        return row.state, row.get_state_display()

    @column(description=_("waits for"))
    def show_waits(self, row: Revocation) -> str:
        return waits_text(row)

    @column(description=_("waiting for"))
    def show_age(self, row: Revocation) -> str:
        return age_text(row.started_at)

    @column(description=_("by"))
    def show_by(self, row: Revocation) -> str:
        return self.who(row, row.by)


def pool_text(kind: str, label: str) -> str:
    """A pool by its kind and, where there are several, its label."""
    name = str(PoolKind(kind).label)
    return f"{name} · {label}" if label else name


def waits_text(row: Revocation) -> str:
    """What must happen before the units go on."""
    if row.state == Revocation.State.TELLING:
        return gettext("the channel says that it shows the lower number")
    if row.state == Revocation.State.PULLING:
        return gettext("its orders are read once more")
    return "–"


def _force(row: Revocation, reason: str, at: datetime, by: str) -> RowResult:
    subject = f"{row.sku.code} · {row.shop.name}"
    try:
        force_revocation(revocation_id=row.pk, reason=reason, at=at, by=by)
    except DomainError as refusal:
        return RowResult(subject, False, refusal.detail)
    return RowResult(subject, True)

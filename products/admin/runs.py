"""Runs of the assortment: what the rules would change, shop by shop and line by line; confirmed, applied or dropped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from omni.kernel.actors import user_actor
from omni.kernel.admin_base import Queue, column
from omni.kernel.display import age_text
from omni.kernel.errors import DomainError
from omni.kernel.names import name_actors
from omni.kernel.sentences import read_sentence
from products.admin.rules import condition_texts
from products.admin.scoped import ScopedAdmin, ShopFilter, choice_filter
from products.assortment.apply import RunIsStale, confirm_withdrawals, refuse_stale, start_apply
from products.assortment.plan import LOSS_MAX, drop_assortment, start_assortment
from products.models import AssortmentRow, AssortmentRule, AssortmentRun, AssortmentShop
from products.scope import Scope, visible_shop_ids

Run, Shop = AssortmentRun.State, AssortmentShop.State
STATE_COLOURS = {
    "planning": "info",
    "planned": "warning",
    "applying": "info",
    "applied": "success",
    "dropped": "",
}
# The numbers of a shop, with the outcome whose rows they count; of the others there are no rows.
NUMBERS = (
    ("drafts", "draft"),
    ("publishes", "publish"),
    ("withdraws", "withdraw"),
    ("held_back", "held_back"),
    ("waiting", ""),
    ("kept", ""),
)
HEADINGS = {field.name: field.verbose_name for field in AssortmentShop._meta.concrete_fields}
SHOP_QUEUES = {
    "to_confirm": Queue(
        "to_confirm",
        _("Withdrawals to confirm"),
        _(
            "The rules would take so much of these shops off sale that a person has to confirm it by name, with a "
            "reason. Open the run and look at its lines first."
        ),
        Q(state=Shop.PLANNED, is_too_much=True, confirmed_by=""),
        ("show_run", "shop", "listed", "withdraws", "show_share", "show_waiting"),
        "playlist_remove",
        "planned_at",
        (),
        (ShopFilter,),
    )
}


class ConfirmForm(forms.Form):
    typed_name = forms.CharField(label=_("Name of the shop"), max_length=120)
    reason = forms.CharField(label=_("Reason"), max_length=200)


@admin.register(AssortmentRun)
class AssortmentRunAdmin(ScopedAdmin):
    intro = _("What the rules meant for shops at a moment. Nothing of it is done before somebody applies it.")
    actors = ("created_by", "applied_by")
    list_display = (
        "show_number",
        "show_state",
        "source",
        "created_at",
        "show_by",
        "applied_at",
        "show_applied_by",
    )

    def limit_to_scope(self, queryset: QuerySet[Any], scope: Scope) -> QuerySet[Any]:
        own = AssortmentShop.objects.filter(run=OuterRef("pk"), shop__in=scope.shop_ids)
        return queryset.filter(Q(Exists(own)))

    # --- the page -------------------------------------------------------------------------------------------
    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/apply/", wrap(self.apply_view), name="products_assortmentrun_apply"),
            path("<int:pk>/drop/", wrap(self.drop_view), name="products_assortmentrun_drop"),
            path("<int:pk>/anew/", wrap(self.anew_view), name="products_assortmentrun_anew"),
            path(
                "<int:pk>/shops/<int:shop>/confirm/",
                wrap(self.confirm_view),
                name="products_assortmentrun_confirm",
            ),
            *super().get_urls(),
        ]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        run: AssortmentRun = self.visible_object(request, int(object_id) if object_id.isdigit() else 0)
        return self._page(request, run)

    def _shops(self, request: HttpRequest, run: AssortmentRun) -> QuerySet[AssortmentShop]:
        """Those of the run that the viewer may see."""
        visible = visible_shop_ids(request.user)
        rows = run.shops.select_related("shop").order_by("shop__code")
        return rows if visible is None else rows.filter(shop__in=visible)

    def _page(
        self, request: HttpRequest, run: AssortmentRun, form: ConfirmForm | None = None
    ) -> HttpResponse:
        request.current_app = self.admin_site.name
        shops = list(self._shops(request, run))
        lines = reverse("admin:products_assortmentrow_changelist")
        names = name_actors(
            (by for by in (run.created_by, run.applied_by, *(row.confirmed_by for row in shops)) if by),
            request=request,
        )
        stale = self._why_stale(run)
        unconfirmed = [
            row for row in shops if row.is_too_much and not row.confirmed_by and row.state == Shop.PLANNED
        ]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": run,
            "title": gettext("Assortment run %s") % run,
            "run": run,
            "by": names.html(run.created_by),
            "applied_by": names.html(run.applied_by) if run.applied_by else "",
            "is_live": run.state in (Run.PLANNING, Run.APPLYING),
            "headings": [HEADINGS[name] for name, _outcome in NUMBERS],
            "shops": [
                {
                    "row": row,
                    "state": row.get_state_display(),
                    "numbers": [
                        (
                            getattr(row, name),
                            f"{lines}?run={run.pk}&shop={row.shop_id}&outcome={outcome}" if outcome else "",
                        )
                        for name, outcome in NUMBERS
                    ],
                    "share": share_text(row),
                    "confirmed_by": names.html(row.confirmed_by) if row.confirmed_by else "",
                }
                for row in shops
            ],
            "unconfirmed": [] if stale else unconfirmed,
            "confirm_form": form or ConfirmForm(),
            "loss_max": LOSS_MAX,
            "stale": stale,
            "may_operate": self.has_operate_permission(request),
            "may_apply": run.state == Run.PLANNED and any(row.state == Shop.PLANNED for row in shops),
        }
        return TemplateResponse(request, "products/assortment_run_page.html", context)

    def _why_stale(self, run: AssortmentRun) -> str:
        if run.state != Run.PLANNED:
            return ""
        try:
            refuse_stale(run, timezone.now())
        except RunIsStale as stale:
            return stale.detail
        return ""

    # --- buttons --------------------------------------------------------------------------------------------
    def _act(self, request: HttpRequest, pk: int, act: Callable[[AssortmentRun], str]) -> HttpResponse:
        run: AssortmentRun = self.operable_object(request, pk)
        try:
            messages.success(request, act(run))
        except DomainError as refusal:
            messages.error(request, refusal.detail)
        return redirect("admin:products_assortmentrun_change", run.pk)

    def apply_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        def act(run: AssortmentRun) -> str:
            shops = list(self._shops(request, run).values_list("shop_id", flat=True))
            start_apply(run_id=run.pk, shop_ids=shops, at=timezone.now(), by=user_actor(request.user))
            return gettext("It is being applied.")

        return self._act(request, pk, act)

    def drop_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        def act(run: AssortmentRun) -> str:
            if self._shops(request, run).count() < run.shops.count():
                raise PermissionDenied
            drop_assortment(run_id=run.pk, at=timezone.now(), by=user_actor(request.user))
            return gettext("It is dropped.")

        return self._act(request, pk, act)

    def anew_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The same question for the same shops, asked now."""
        run: AssortmentRun = self.operable_object(request, pk)
        shops = set(self._shops(request, run).values_list("shop_id", flat=True))
        try:
            run = start_assortment(shop_ids=shops, at=timezone.now(), by=user_actor(request.user))
        except DomainError as refusal:
            messages.error(request, refusal.detail)
        return redirect("admin:products_assortmentrun_change", run.pk)

    def confirm_view(self, request: HttpRequest, pk: int, shop: int) -> HttpResponse:
        run: AssortmentRun = self.operable_object(request, pk)
        if not self._shops(request, run).filter(shop=shop).exists():
            raise PermissionDenied
        form = ConfirmForm(request.POST)
        if not form.is_valid():
            return self._page(request, run, form)
        try:
            confirm_withdrawals(
                run_id=run.pk,
                shop_id=shop,
                **form.cleaned_data,
                at=timezone.now(),
                by=user_actor(request.user),
            )
        except DomainError as refusal:
            messages.error(request, refusal.detail)
        else:
            messages.success(request, gettext("Confirmed. Apply the run to have it done."))
        return redirect("admin:products_assortmentrun_change", run.pk)

    # --- columns --------------------------------------------------------------------------------------------
    @column(description=_("assortment run"))
    def show_number(self, run: AssortmentRun) -> str:
        return str(run)

    @column(description=_("state"), label=STATE_COLOURS)
    def show_state(self, run: AssortmentRun) -> tuple[str, str]:
        return run.state, run.get_state_display()

    @column(description=_("asked by"))
    def show_by(self, run: AssortmentRun) -> str:
        return self.who(run, run.created_by)

    @column(description=_("applied by"))
    def show_applied_by(self, run: AssortmentRun) -> str:
        return self.who(run, run.applied_by)


@admin.register(AssortmentShop)
class AssortmentShopAdmin(ScopedAdmin):
    intro = _("What each run meant for each shop, in numbers.")
    queues = SHOP_QUEUES
    shop_path = "shop_id"
    actors = ("confirmed_by",)
    list_display = (
        "show_run",
        "shop",
        "show_state",
        "listed",
        "drafts",
        "publishes",
        "withdraws",
        "held_back",
        "kept",
        "done",
        "skipped",
        "show_confirmed",
    )
    list_display_links = ("show_run",)
    list_select_related = ("shop", "run")
    list_filter = (ShopFilter, choice_filter("state"))
    shown_as = {"confirmed_by": "show_confirmed"}

    @column(description=_("assortment run"))
    def show_run(self, row: AssortmentShop) -> str:
        return str(row.run)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """All shops of a run stand on its page."""
        row: AssortmentShop = self.visible_object(request, int(object_id) if object_id.isdigit() else 0)
        runs: Any = self.admin_site._registry[AssortmentRun]
        answer: HttpResponse = runs.change_view(request, str(row.run_id))
        return answer

    @column(description=_("share"))
    def show_share(self, row: AssortmentShop) -> str:
        return share_text(row)

    @column(description=_("waiting for"))
    def show_waiting(self, row: AssortmentShop) -> str:
        return age_text(row.planned_at) if row.planned_at else "–"

    @column(description=_("state"), label=STATE_COLOURS)
    def show_state(self, row: AssortmentShop) -> tuple[str, str]:
        return row.state, row.get_state_display()

    @column(description=_("confirmed by"))
    def show_confirmed(self, row: AssortmentShop) -> str:
        return self.who(row, row.confirmed_by)


class RunFilter(admin.SimpleListFilter):
    """One run; reached by a link, offered by no list."""

    title = _("assortment run")
    parameter_name = "run"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        value = request.GET.get(self.parameter_name, "")
        return [(value, f"#{value}")] if value.isdigit() and len(value) < 19 else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value() or ""
        return queryset.filter(run_id=int(value)) if value.isdigit() and len(value) < 19 else queryset


@admin.register(AssortmentRow)
class AssortmentRowAdmin(ScopedAdmin):
    intro = _(
        "Line by line: what a run would do or did to a SKU in a shop, which rule decides, and why it fits."
    )
    shop_path = "shop_id"
    list_display = (
        "show_sku",
        "show_name",
        "shop",
        "show_outcome",
        "show_cause",
        "show_rule",
        "show_fits",
        "show_state",
        "show_detail",
        "show_why",
    )
    list_display_links = ("show_sku",)
    list_select_related = ("shop", "sku")
    shown_as = {"detail": "show_detail"}
    list_filter = (RunFilter, ShopFilter, choice_filter("outcome"), choice_filter("state"))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("products.view_assortmentrun"))

    def name_rows(self, request: HttpRequest, rows: Sequence[Any]) -> None:
        """The rules of all rows of the page, in one statement."""
        super().name_rows(request, rows)
        wanted = {ident for row in rows for ident in row.rules or ()}
        rules = AssortmentRule.objects.select_related("brand", "category").in_bulk(wanted)
        for row in rows:
            row.known_rules = [rules[ident] for ident in row.rules or () if ident in rules]

    @column(description=_("SKU"))
    def show_sku(self, row: AssortmentRow) -> str:
        return row.sku.code

    @column(description=_("name"))
    def show_name(self, row: AssortmentRow) -> str:
        return row.sku.name

    @column(
        description=_("what changes"),
        label={"draft": "info", "publish": "success", "withdraw": "danger", "held_back": "warning"},
    )
    def show_outcome(self, row: AssortmentRow) -> tuple[str, str]:
        return row.outcome, row.get_outcome_display()

    @column(description=_("why"))
    def show_cause(self, row: AssortmentRow) -> str:
        return row.get_cause_display()

    @column(description=_("rule that decides"))
    def show_rule(self, row: Any) -> str:
        return row.known_rules[0].name if row.known_rules else "–"

    @column(description=_("fits because of"))
    def show_fits(self, row: Any) -> str:
        """The conditions of the rule that decides, and the other rules that fit."""
        if not row.known_rules:
            return "–"
        first, *others = row.known_rules
        text = "; ".join(condition_texts(first).values())
        also = ", ".join(rule.name for rule in others)
        return f"{text} ({gettext('also')}: {also})" if also else text

    @column(description=_("result"), label={"planned": "info", "done": "success", "skipped": "warning"})
    def show_state(self, row: AssortmentRow) -> tuple[str, str]:
        return row.state, row.get_state_display()

    @column(description=_("what came of it"))
    def show_detail(self, row: AssortmentRow) -> str:
        return read_sentence(row.detail) or "–"

    @column(description=_("all rules"))
    def show_why(self, row: AssortmentRow) -> str:
        page = reverse("admin:products_assortment_why")
        return format_html(
            '<a class="omni-link" href="{}?shop={}&sku={}">{}</a>',
            page,
            row.shop_id,
            row.sku.code,
            gettext("why"),
        )


def share_text(row: AssortmentShop) -> str:
    """How much of what is on sale would be taken off, in percent."""
    return f"{row.withdraws * 100 / row.listed:.0f} %" if row.listed else "–"

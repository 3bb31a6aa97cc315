"""Allocation runs: what would be granted to whom and why, line by line; applied, dropped or undone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget

from inventory.admin.backtests import BacktestPages
from inventory.admin.matrix import LINE_COLOURS, MatrixPages
from inventory.admin.quota_rules import GroupFilter, percent_text
from inventory.admin.revocations import pool_text
from inventory.models import AllocationLine, AllocationMethod, AllocationRun, LocationGroup
from inventory.models.stock import PoolKind
from inventory.quota.apply import drop_run, start_apply, undo_run
from inventory.quota.plan import start_allocation
from omni.kernel.actors import user_actor
from omni.kernel.admin_base import Queue, column, show_faults
from omni.kernel.errors import DomainError
from omni.kernel.names import name_actors
from omni.kernel.sentences import read_sentence
from products.admin.scoped import ScopedAdmin, choice_filter, visible_skus_of
from products.models import Brand, Category, Shop, Sku
from products.scope import Scope, scope_of

Run = AllocationRun.State
LINES_MAX = 50
CODES_MAX = 500
RUN_COLOURS = {
    "planning": "info",
    "planned": "warning",
    "applying": "info",
    "applied": "success",
    "dropped": "",
    "undoing": "info",
    "undone": "",
}
STATE_PILLS = {"planned": "omni-warn", "applied": "omni-good", "dropped": "", "undone": ""}
# The numbers that decided on a line, in the words of the page.
INPUT_WORDS = {
    "wanted": _("wanted"),
    "supply": _("supply"),
    "ratio": _("its part"),
    "expected": _("expected demand"),
    "deviation": _("deviation"),
    "days": _("days"),
    "level": _("service level"),
    "free": _("free"),
    "promised": _("promised"),
    "coming": _("on the way"),
    "minimum": _("minimum"),
    "maximum": _("maximum"),
    "priority": _("priority"),
}
RUN_QUEUES = {
    "planned": Queue(
        "planned",
        _("Allocations to look at"),
        _("Worked out, and nothing of them done yet. Look at the lines, then apply or drop them."),
        Q(state=Run.PLANNED),
        (
            "show_number",
            "group",
            "show_method",
            "show_trigger",
            "skus",
            "units_planned",
            "reason",
            "created_at",
        ),
        "balance",
        "created_at",
    )
}


class NewRunForm(forms.Form):
    """What is to be worked out. By hand is what the matrix is for."""

    group = forms.ModelChoiceField(LocationGroup.objects.none(), label=_("Location group"))
    method = forms.ChoiceField(
        label=_("Method"),
        choices=[choice for choice in AllocationMethod.choices if choice[0] != AllocationMethod.HAND],
        initial=AllocationMethod.REFILL,
        help_text=_(
            "By ratio: each shop its part of the supply, as its rule says. By demand: unit by unit to the shop that is "
            "most likely to sell it. Fill up: what is below its minimum, from whoever needs it least."
        ),
    )
    brand = forms.ModelChoiceField(Brand.objects.none(), label=_("Of a brand"), required=False)
    category = forms.ModelChoiceField(
        Category.objects.none(), label=_("Of a category, with all below it"), required=False
    )
    codes = forms.CharField(
        label=_("Of these SKUs"),
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4, "spellcheck": "false"}),
        help_text=_("One SKU code a line. With brand, category and SKUs empty: all that lies in the group."),
    )
    days = forms.IntegerField(
        label=_("Days that a quota should last"),
        min_value=1,
        max_value=365,
        initial=7,
        required=False,
        help_text=_("Only for the method by demand."),
    )
    reason = forms.CharField(label=_("Reason"), max_length=200)

    def __init__(self, *args: Any, skus: QuerySet[Sku], user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._skus = skus
        self._scope = scope_of(user)
        brands = Brand.objects.order_by("code")
        choices: dict[str, Any] = {
            "group": LocationGroup.objects.order_by("code"),
            "brand": brands if self._scope.is_everything else brands.filter(pk__in=self._scope.brand_ids),
            "category": Category.objects.order_by("path"),
        }
        for name, queryset in choices.items():
            field: Any = self.fields[name]
            field.queryset = queryset

    def clean_codes(self) -> list[int]:
        codes = list(dict.fromkeys(str(self.cleaned_data["codes"]).replace(",", " ").split()))
        if len(codes) > CODES_MAX:
            raise forms.ValidationError(gettext("At most %d SKUs.") % CODES_MAX)
        found = dict(self._skus.filter(code__in=codes).values_list("code", "pk"))
        missing = [code for code in codes if code not in found]
        if missing:
            raise forms.ValidationError(gettext("There is no SKU “%s”.") % "”, “".join(missing[:10]))
        return [found[code] for code in codes]

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        named = [name for name in ("brand", "category", "codes") if given.get(name)]
        if len(named) > 1:
            self.add_error(named[1], gettext("Name SKUs, a brand or a category, not several of them."))
        if not self._scope.is_everything and not given.get("brand") and not given.get("codes"):
            self.add_error("brand", gettext("Choose one of your brands, or name SKUs."))
        return given

    def asked(self) -> dict[str, Any]:
        given = self.cleaned_data
        scope: dict[str, Any] = {}
        if given["codes"]:
            scope = {"skus": given["codes"]}
        elif given["brand"]:
            scope = {"brand": given["brand"].pk}
        elif given["category"]:
            scope = {"category": given["category"].pk}
        is_by_demand = given["method"] == AllocationMethod.DEMAND
        return {
            "group_id": given["group"].pk,
            "method": given["method"],
            "scope": scope,
            "settings": {"days": given["days"] or 7} if is_by_demand else {},
            "reason": given["reason"],
        }


class LineKey(NamedTuple):
    """Where a page of lines ends."""

    sku_id: int
    line_id: int


@admin.register(AllocationRun)
class AllocationRunAdmin(ScopedAdmin):
    intro = _(
        "What should be granted to which shop, worked out at a moment. Nothing of it is done before it is applied; "
        "what was applied can be undone."
    )
    queues = RUN_QUEUES
    actors = ("created_by", "applied_by", "undone_by")
    list_display = (
        "show_number",
        "show_state",
        "group",
        "show_method",
        "show_trigger",
        "skus",
        "lines_planned",
        "units_planned",
        "units_moved",
        "reason",
        "created_at",
        "show_by",
    )
    list_display_links = ("show_number",)
    list_select_related = ("group",)
    list_filter = (GroupFilter, choice_filter("state"), choice_filter("method"), choice_filter("trigger"))

    # --- whose ----------------------------------------------------------------------------------------------
    def limit_to_scope(self, queryset: QuerySet[Any], scope: Scope) -> QuerySet[Any]:
        own = AllocationLine.objects.filter(run=OuterRef("pk"), shop__in=scope.shop_ids)
        return queryset.filter(Q(Exists(own)))

    def limit_to_viewer(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Also what the viewer asked for, which may have no line yet."""
        scope = scope_of(request.user)
        if scope.is_everything:
            return queryset
        own = AllocationLine.objects.filter(run=OuterRef("pk"), shop__in=scope.shop_ids)
        return queryset.filter(Q(Exists(own)) | Q(created_by=user_actor(request.user)))

    def is_wholly_mine(self, request: HttpRequest, run: AllocationRun) -> bool:
        """Whether every unit that it moves is of a shop and a brand of the viewer."""
        scope = scope_of(request.user)
        if scope.is_everything:
            return True
        foreign = Q(shop__isnull=False) & ~Q(shop__in=scope.shop_ids) | ~Q(
            sku__spu__brand__in=scope.brand_ids
        )
        return not AllocationLine.objects.filter(foreign, run=run).exists()

    # --- pages ----------------------------------------------------------------------------------------------
    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        matrix, backtest = MatrixPages(self), BacktestPages(self)
        return [
            path("matrix/", wrap(matrix.matrix_view), name="inventory_matrix"),
            path("matrix/preview/", wrap(matrix.preview_view), name="inventory_matrix_preview"),
            path("matrix/apply/", wrap(matrix.apply_view), name="inventory_matrix_apply"),
            path("backtest/", wrap(backtest.start_view), name="inventory_backtest"),
            path("backtest/<int:pk>/", wrap(backtest.result_view), name="inventory_backtest_result"),
            path("start/", wrap(self.start_view), name="inventory_allocationrun_start"),
            path("<int:pk>/apply/", wrap(self.apply_view), name="inventory_allocationrun_apply"),
            path("<int:pk>/drop/", wrap(self.drop_view), name="inventory_allocationrun_drop"),
            path("<int:pk>/undo/", wrap(self.undo_view), name="inventory_allocationrun_undo"),
            *super().get_urls(),
        ]

    def get_intro(self, request: HttpRequest) -> dict[str, Any] | None:
        intro = super().get_intro(request) or {}
        links = [(reverse("admin:inventory_matrix"), gettext("Quota matrix"))]
        if self.has_operate_permission(request):
            links.insert(0, (reverse("admin:inventory_allocationrun_start"), gettext("New run")))
            if scope_of(request.user).is_everything:
                links.append((reverse("admin:inventory_backtest"), gettext("Backtest")))
        return {**intro, "links": [{"url": url, "label": label} for url, label in links]}

    def start_view(self, request: HttpRequest) -> HttpResponse:
        """Say what is to be worked out; it is a dry run until somebody applies it."""
        if not self.has_operate_permission(request):
            raise PermissionDenied
        skus = visible_skus_of(self, request)
        form = NewRunForm(request.POST if request.method == "POST" else None, skus=skus, user=request.user)
        if form.is_bound and form.is_valid():
            try:
                run = start_allocation(
                    **form.asked(),
                    trigger=AllocationRun.Trigger.PERSON.value,
                    at=timezone.now(),
                    by=user_actor(request.user),
                )
            except DomainError as refusal:
                show_faults(form, refusal)
            else:
                return redirect("admin:inventory_allocationrun_change", run.pk)
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": gettext("New allocation run"),
            "form": form,
        }
        return TemplateResponse(request, "inventory/run_start_page.html", context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        run: AllocationRun = self.visible_object(request, int(object_id) if object_id.isdigit() else 0)
        return self._page(request, run)

    def _page(self, request: HttpRequest, run: AllocationRun) -> HttpResponse:
        request.current_app = self.admin_site.name
        rows = self._lines(request, run)
        shown, rest = rows[:LINES_MAX], rows[LINES_MAX:]
        actors = [by for by in (run.created_by, run.applied_by, run.undone_by) if by]
        names = name_actors(actors, request=request)
        is_mine = self.is_wholly_mine(request, run)
        chosen = {name: request.GET[name][:20] for name in ("shop", "state") if request.GET.get(name)}
        page = reverse("admin:inventory_allocationrun_change", args=[run.pk])
        after = f"{shown[-1].sku_id}.{shown[-1].pk}" if rest else ""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": run,
            "title": gettext("Allocation run %s") % run,
            "run": run,
            "pill": STATE_PILLS.get(run.state, "omni-info"),
            "by": names.html(run.created_by),
            "applied_by": names.html(run.applied_by) if run.applied_by else "",
            "undone_by": names.html(run.undone_by) if run.undone_by else "",
            "scope_text": run_scope_text(run),
            "settings_text": settings_text(run),
            "failure": run.job.message if run.job and run.job.state == "failed" else "",
            "is_live": run.state in (Run.PLANNING, Run.APPLYING, Run.UNDOING)
            and (run.job is None or run.job.state in ("queued", "running")),
            "lines": [line_shown(line) for line in shown],
            "shops": self._shops_of(request, run),
            "states": AllocationLine.State.choices,
            "chosen": chosen,
            "page": page,
            "first": f"{page}?{urlencode(chosen)}" if request.GET.get("after") else "",
            "next": f"{page}?{urlencode(chosen | {'after': after})}" if after else "",
            "is_mine": is_mine,
            "may_operate": self.has_operate_permission(request) and is_mine,
            "may_apply": run.state == Run.PLANNED,
            "may_drop": run.state in (Run.PLANNED, Run.PLANNING),
            "may_undo": run.state == Run.APPLIED,
        }
        return TemplateResponse(request, "inventory/run_page.html", context)

    def _lines(self, request: HttpRequest, run: AllocationRun) -> list[AllocationLine]:
        """One more than a page shows, SKU by SKU; only shops and brands of the viewer. Plan: allocation_line_by_run."""
        scope = scope_of(request.user)
        lines = AllocationLine.objects.filter(run=run).select_related("sku", "shop")
        if not scope.is_everything:
            mine = Q(shop__in=scope.shop_ids) | Q(shop__isnull=True, sku__spu__brand__in=scope.brand_ids)
            lines = lines.filter(mine)
        shop, state = request.GET.get("shop", ""), request.GET.get("state", "")
        if shop.isdigit() and len(shop) < 19:
            lines = lines.filter(shop=int(shop))
        if state in AllocationLine.State.values:
            lines = lines.filter(state=state)
        if key := read_key(request.GET.get("after", "")):
            lines = lines.filter(Q(sku__gt=key.sku_id) | Q(sku=key.sku_id, pk__gt=key.line_id))
        return list(lines.order_by("sku_id", "id")[: LINES_MAX + 1])

    def _shops_of(self, request: HttpRequest, run: AllocationRun) -> list[Shop]:
        scope = scope_of(request.user)
        lines = AllocationLine.objects.filter(run=run, shop=OuterRef("pk"))
        shops = Shop.objects.filter(Exists(lines)).order_by("code")
        return list((shops if scope.is_everything else shops.filter(pk__in=scope.shop_ids))[:200])

    # --- buttons --------------------------------------------------------------------------------------------
    def _act(
        self, request: HttpRequest, pk: int, act: Callable[[AllocationRun, datetime, str], str]
    ) -> HttpResponse:
        run: AllocationRun = self.operable_object(request, pk)
        if not self.is_wholly_mine(request, run):
            raise PermissionDenied
        try:
            messages.success(request, act(run, timezone.now(), user_actor(request.user)))
        except DomainError as refusal:
            messages.error(request, refusal.detail)
        return redirect("admin:inventory_allocationrun_change", run.pk)

    def apply_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        def act(run: AllocationRun, at: datetime, by: str) -> str:
            start_apply(run_id=run.pk, at=at, by=by)
            return gettext("It is being applied.")

        return self._act(request, pk, act)

    def drop_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        def act(run: AllocationRun, at: datetime, by: str) -> str:
            drop_run(run_id=run.pk, reason=request.POST.get("reason", "")[:200], at=at, by=by)
            return gettext("It is dropped.")

        return self._act(request, pk, act)

    def undo_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        def act(run: AllocationRun, at: datetime, by: str) -> str:
            undo_run(run_id=run.pk, reason=request.POST.get("reason", "")[:200], at=at, by=by)
            return gettext("It is being undone, as far as its units are still free.")

        return self._act(request, pk, act)

    # --- columns --------------------------------------------------------------------------------------------
    @column(description=_("run"))
    def show_number(self, run: AllocationRun) -> str:
        return str(run)

    @column(description=_("state"), label=RUN_COLOURS)
    def show_state(self, run: AllocationRun) -> tuple[str, str]:
        return run.state, run.get_state_display()

    @column(description=_("method"))
    def show_method(self, run: AllocationRun) -> str:
        return run.get_method_display()

    @column(description=_("asked for by"))
    def show_trigger(self, run: AllocationRun) -> str:
        return run.get_trigger_display()

    @column(description=_("created by"))
    def show_by(self, run: AllocationRun) -> str:
        return self.who(run, run.created_by)


def read_key(text: str) -> LineKey | None:
    """`<SKU id>.<line id>`, or None."""
    parts = text.split(".")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        return None
    return LineKey(int(parts[0]), int(parts[1]))


def line_shown(line: AllocationLine) -> dict[str, Any]:
    """A line as a difference, with the numbers and the sentence that it comes from."""
    known = line.inputs or {}
    inputs = [
        f"{words} {input_text(name, known[name])}"
        for name, words in INPUT_WORDS.items()
        if known.get(name) is not None and not (name == "coming" and not known[name])
    ]
    return {
        "line": line,
        "pool": line.shop.name if line.shop else pool_text(line.kind, line.label),
        "is_quota": line.kind == PoolKind.QUOTA,
        "change": line.after - line.before,
        "inputs": inputs,
        "reason": read_sentence(line.reason),
        "outcome": read_sentence(line.outcome),
        "colour": LINE_COLOURS.get(line.state, ""),
    }


def input_text(name: str, value: Any) -> str:
    """A number that decided; parts as percent."""
    return percent_text(Decimal(str(value))) if name in ("ratio", "level") else str(value)


def run_scope_text(run: AllocationRun) -> str:
    """For which SKUs it was asked."""
    scope = run.scope or {}
    if "brand" in scope:
        return str(Brand.objects.filter(pk=scope["brand"]).first() or scope["brand"])
    if "category" in scope:
        return str(Category.objects.filter(pk=scope["category"]).first() or scope["category"])
    if "skus" in scope:
        codes = Sku.objects.filter(pk__in=scope["skus"][:6]).order_by("code").values_list("code", flat=True)
        return ", ".join(codes[:5]) + (" …" if len(scope["skus"]) > 5 else "")
    return gettext("all that lies in the group")


def settings_text(run: AllocationRun) -> str:
    """What the method was given."""
    if "days" in run.settings:
        return gettext("for %(days)s days") % {"days": run.settings["days"]}
    targets = run.settings.get("targets")
    return gettext("%(count)d cells") % {"count": len(targets)} if targets else "–"

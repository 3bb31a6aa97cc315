"""The matrix: SKU by SKU, shop by shop, who has which quota; changed as in a spreadsheet, seen before it is done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Q
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from inventory.models import AllocationLine, AllocationRun, LocationGroup, QuotaRule, ShopPool, StockPool
from inventory.models.stock import PoolKind
from inventory.quota.foresight import CellEffect, SkuEffect, foresee_quotas
from inventory.quota.matrix import Cell, Row, Rule, read_matrix
from inventory.quota.rebalance import BELOW
from inventory.quota.set_by_hand import set_quotas_by_hand
from omni.kernel.actors import user_actor
from omni.kernel.admin_base import show_faults
from omni.kernel.errors import DomainError
from omni.kernel.sentences import read_sentence
from omni.kernel.sql import fetch_all
from products.admin.scoped import ScopedAdmin, visible_skus_of
from products.models import Brand, Category, Shop, Sku
from products.scope import scope_of

ROWS_MAX = 50
SHOPS_MAX = 20
UNITS_MAX = 10_000_000
LINES_SHOWN = 200
Asked = dict[tuple[int, int], int]

MODE_COLOURS = {
    QuotaRule.Mode.EXCLUSIVE: "omni-warn",
    QuotaRule.Mode.LOCK_SHARE: "omni-info",
    QuotaRule.Mode.SHARED: "omni-good",
}
REACHES = {
    "sku": _("by a rule for this SKU"),
    "category": _("by the rule of its category"),
    "brand": _("by the rule of its brand"),
    "all": _("by the rule for every SKU"),
}
LINE_COLOURS = {
    "done": "omni-good",
    "partly": "omni-warn",
    "waiting": "omni-info",
    "skipped": "omni-bad",
    "planned": "omni-info",
}


class MatrixFilter(forms.Form):
    """Which rows are looked at. `columns`: the code after which the shops begin."""

    group = forms.ModelChoiceField(
        LocationGroup.objects.none(), label=_("Location group"), required=False, empty_label=None
    )
    q = forms.CharField(label=_("Beginning of a code, or part of a name"), required=False, max_length=64)
    brand = forms.ModelChoiceField(Brand.objects.none(), label=_("Brand"), required=False)
    category = forms.ModelChoiceField(
        Category.objects.none(), label=_("Category, with all below it"), required=False
    )
    only = forms.ChoiceField(
        label=_("Show"),
        required=False,
        choices=[
            ("", _("everything that lies there")),
            ("quota", _("what some shop has a quota of")),
            ("below", _("what is below a minimum")),
        ],
    )

    def __init__(self, data: Any, *, user: Any) -> None:
        super().__init__(data)
        scope = scope_of(user)
        brands = Brand.objects.order_by("code")
        groups: Any = self.fields["group"]
        groups.queryset = LocationGroup.objects.order_by("code")
        chooser: Any = self.fields["brand"]
        chooser.queryset = brands if scope.is_everything else brands.filter(pk__in=scope.brand_ids)
        categories: Any = self.fields["category"]
        categories.queryset = Category.objects.order_by("path")


class ApplyForm(forms.Form):
    reason = forms.CharField(label=_("Reason"), max_length=200)


@dataclass(frozen=True, slots=True)
class ShownCell:
    """A cell with its words."""

    shop: Shop
    cell: Cell
    mode: str
    colour: str
    why: str
    typed: str


@dataclass(frozen=True, slots=True)
class View:
    """What is looked at: the group, its shops from left to right, and the SKUs from top to bottom."""

    form: MatrixFilter
    group: LocationGroup | None
    shops: list[Shop]
    skus: list[Sku]
    next_rows: str
    next_columns: str
    query: dict[str, str]


class MatrixPages:
    """Views of the admin of allocation runs: what is changed here is done as a run by hand."""

    def __init__(self, admin: ScopedAdmin) -> None:
        self.admin = admin

    # --- looking --------------------------------------------------------------------------------------------
    def matrix_view(self, request: HttpRequest) -> HttpResponse:
        """The page; with `run`, what came of the numbers that were just applied."""
        self._must_see(request)
        return self._page(request, self._view_of(request))

    def preview_view(self, request: HttpRequest) -> HttpResponse:
        """The same page with the effect of the numbers typed, before anything is done."""
        self._must_operate(request)
        view = self._view_of(request)
        asked, faults = self._typed(request)
        if faults or not asked:
            for fault in faults or [gettext("Type a number into at least one cell.")]:
                messages.error(request, fault)
            return self._page(request, view, typed=request.POST)
        return self._preview(
            request, view, asked, ApplyForm(initial={"reason": request.POST.get("reason", "")})
        )

    def apply_view(self, request: HttpRequest) -> HttpResponse:
        """Do what the preview showed; if the numbers have changed since, show them anew first."""
        self._must_operate(request)
        view = self._view_of(request)
        form = ApplyForm(request.POST)
        asked = self._asked(request, request.POST.get("targets", ""))
        if not asked or view.group is None:
            messages.error(request, gettext("Type a number into at least one cell."))
            return redirect(self._address(view))
        effects = self._foresee(view, view.group, asked, timezone.now())
        if not form.is_valid():
            return self._preview(request, view, asked, form)
        if request.POST.get("seen") != digest_of(effects):
            messages.warning(request, gettext("Stock has moved since: this is the effect now."))
            return self._preview(request, view, asked, form)
        try:
            run = set_quotas_by_hand(
                group_id=view.group.pk,
                targets=asked,
                reason=form.cleaned_data["reason"],
                at=timezone.now(),
                by=user_actor(request.user),
            )
        except DomainError as refusal:
            show_faults(form, refusal)
            return self._preview(request, view, asked, form)
        return redirect(self._address(view, run=str(run.pk)))

    def preview_of(
        self, request: HttpRequest, asked: Asked, *, group: LocationGroup, code: str, reason: str
    ) -> HttpResponse:
        """The effect of cells that were typed on another page."""
        self._must_operate(request)
        query = QueryDict(mutable=True)
        query.update({"group": str(group.pk), "q": code})
        view = self._view_of(request, query)
        return self._preview(request, view, asked, ApplyForm(initial={"reason": reason}))

    # --- who may --------------------------------------------------------------------------------------------
    def _must_see(self, request: HttpRequest) -> None:
        if not self.admin.has_view_permission(request):
            raise PermissionDenied

    def _must_operate(self, request: HttpRequest) -> None:
        if request.method != "POST" or not self.admin.has_operate_permission(request):
            raise PermissionDenied

    # --- what is looked at ----------------------------------------------------------------------------------
    def _view_of(self, request: HttpRequest, given: QueryDict | None = None) -> View:
        asked = request.GET if given is None else given
        form = MatrixFilter(asked, user=request.user)
        answers: dict[str, Any] = form.cleaned_data if form.is_valid() else {}
        group = answers.get("group") or default_group()
        query = {name: str(asked[name]) for name in ("q", "brand", "category", "only") if asked.get(name)}
        if group is None:
            return View(form, None, [], [], "", "", query)
        query["group"] = str(group.pk)
        # Shown again with what is looked at, also where nobody has chosen it.
        form = MatrixFilter(query, user=request.user)
        shops, next_columns = self._shops(request, group, asked.get("columns", "")[:32])
        skus, next_rows = self._skus(request, group, answers, asked.get("after", "")[:64])
        return View(form, group, shops, skus, next_rows, next_columns, query)

    def _shops(self, request: HttpRequest, group: LocationGroup, after: str) -> tuple[list[Shop], str]:
        """Those of the viewer that sell from the group."""
        scope = scope_of(request.user)
        drawing = ShopPool.objects.filter(group=group).values("shop_id")
        ruled = QuotaRule.objects.filter(group=group, is_active=True).values("shop_id")
        shops = Shop.objects.filter(Q(pk__in=drawing) | Q(pk__in=ruled), is_active=True).order_by("code")
        if not scope.is_everything:
            shops = shops.filter(pk__in=scope.shop_ids)
        if after:
            shops = shops.filter(code__gt=after)
        found = list(shops[: SHOPS_MAX + 1])
        return found[:SHOPS_MAX], found[SHOPS_MAX - 1].code if len(found) > SHOPS_MAX else ""

    def _skus(
        self, request: HttpRequest, group: LocationGroup, answers: Mapping[str, Any], after: str
    ) -> tuple[list[Sku], str]:
        pools = StockPool.objects.filter(group=group, sku=OuterRef("pk"))
        if answers.get("only") == "quota":
            pools = pools.filter(kind=PoolKind.QUOTA, granted__gt=0)
        rows = visible_skus_of(self.admin, request).filter(Exists(pools))
        if answers.get("only") == "below":
            low = [row[0] for row in fetch_all(BELOW, {"group": group.pk})]
            rows = rows.filter(pk__in=low)
        if answers.get("brand"):
            rows = rows.filter(spu__brand=answers["brand"])
        if answers.get("category"):
            rows = rows.filter(spu__category__path__startswith=answers["category"].path)
        if words := (answers.get("q") or "").strip():
            rows = rows.filter(Q(code__startswith=words) | Q(name__icontains=words))
        if after:
            rows = rows.filter(code__gt=after)
        found = list(rows.order_by("code")[: ROWS_MAX + 1])
        return found[:ROWS_MAX], found[ROWS_MAX - 1].code if len(found) > ROWS_MAX else ""

    # --- what was typed -------------------------------------------------------------------------------------
    def _typed(self, request: HttpRequest) -> tuple[Asked, list[str]]:
        """The cells with a number in them, `q-<SKU id>-<shop id>`."""
        asked: list[list[int]] = []
        faults = []
        for name, text in request.POST.items():
            parts = name.split("-")
            if parts[0] != "q" or len(parts) != 3 or not str(text).strip():
                continue
            units = _whole(str(text))
            if units is None or not (parts[1].isdigit() and parts[2].isdigit()):
                faults.append(gettext("“%s” is no number of units.") % str(text)[:40])
            else:
                asked.append([int(parts[1]), int(parts[2]), units])
        return self._mine(request, asked), faults

    def _asked(self, request: HttpRequest, text: str) -> Asked:
        """The cells of a preview."""
        try:
            rows = json.loads(text)
        except ValueError:
            return {}
        if not isinstance(rows, list) or len(rows) > ROWS_MAX * SHOPS_MAX:
            return {}
        return self._mine(request, [row for row in rows if _is_target(row)])

    def _mine(self, request: HttpRequest, asked: Sequence[Sequence[int]]) -> Asked:
        """Only what the viewer may see. Raises PermissionDenied for anything else: no page offers it."""
        scope = scope_of(request.user)
        skus = {sku_id for sku_id, _shop_id, _units in asked}
        shops = {shop_id for _sku_id, shop_id, _units in asked}
        seen = set(visible_skus_of(self.admin, request).filter(pk__in=skus).values_list("pk", flat=True))
        known = set(Shop.objects.filter(pk__in=shops).values_list("pk", flat=True))
        mine = known if scope.is_everything else known & scope.shop_ids
        if skus - seen or shops - mine:
            raise PermissionDenied
        return {(sku_id, shop_id): units for sku_id, shop_id, units in asked}

    # --- the page -------------------------------------------------------------------------------------------
    def _foresee(self, view: View, group: LocationGroup, asked: Asked, at: datetime) -> list[SkuEffect]:
        names = {shop.pk: shop.code for shop in view.shops}
        others = {shop_id for _sku_id, shop_id in asked} - set(names)
        names |= dict(Shop.objects.filter(pk__in=others).values_list("pk", "code")) if others else {}
        return foresee_quotas(group_id=group.pk, targets=asked, shops=list(names.items()), at=at)

    def _preview(self, request: HttpRequest, view: View, asked: Asked, form: ApplyForm) -> HttpResponse:
        effects = self._foresee(view, view.group, asked, timezone.now()) if view.group else []
        kept = {
            "targets": json.dumps([[sku, shop, units] for (sku, shop), units in sorted(asked.items())]),
            "seen": digest_of(effects),
        }
        skus = Sku.objects.in_bulk([effect.sku_id for effect in effects])
        shops = Shop.objects.in_bulk({cell.shop_id for effect in effects for cell in effect.cells})
        shown = [
            {
                "sku": skus[effect.sku_id],
                "effect": effect,
                "cells": [
                    {"shop": shops[cell.shop_id], "cell": cell, "warnings": warning_texts(cell)}
                    for cell in effect.cells
                ],
            }
            for effect in effects
        ]
        typed = {f"q-{sku}-{shop}": str(units) for (sku, shop), units in asked.items()}
        return self._page(request, view, typed=typed, effects=shown, apply_form=form, **kept)

    def _page(
        self, request: HttpRequest, view: View, *, typed: Mapping[str, Any] | None = None, **more: Any
    ) -> HttpResponse:
        request.current_app = self.admin.admin_site.name
        rows = self._rows(view, typed or {})
        run = self._run(request)
        context = {
            **self.admin.admin_site.each_context(request),
            "opts": self.admin.opts,
            "title": gettext("Quota matrix"),
            "is_matrix": True,
            "view": view,
            "rows": rows,
            "may_operate": self.admin.has_operate_permission(request),
            "address": self._address(view),
            "query": urlencode(view.query | self._place(request)),
            "next_rows": self._address(view, after=view.next_rows) if view.next_rows else "",
            "next_columns": self._address(view, columns=view.next_columns) if view.next_columns else "",
            "is_first": not (request.GET.get("after") or request.GET.get("columns")),
            "run": run,
            "run_lines": self._lines(request, run) if run else [],
            **more,
        }
        return TemplateResponse(request, "inventory/matrix_page.html", context)

    def _rows(self, view: View, typed: Mapping[str, Any]) -> list[dict[str, Any]]:
        if view.group is None:
            return []
        shops = [(shop.pk, shop.code) for shop in view.shops]
        sku_ids = [sku.pk for sku in view.skus]
        rows: list[Row] = read_matrix(group_id=view.group.pk, sku_ids=sku_ids, shops=shops, at=timezone.now())
        words = {
            value: (str(label), MODE_COLOURS[QuotaRule.Mode(value)])
            for value, label in QuotaRule.Mode.choices
        }
        found = []
        for sku, row in zip(view.skus, rows, strict=True):
            cells = []
            for shop in view.shops:
                cell = row.cells[shop.pk]
                mode, colour = words[cell.rule.mode] if cell.rule else ("", "")
                text = str(typed.get(f"q-{sku.pk}-{shop.pk}", ""))[:12]
                cells.append(ShownCell(shop, cell, mode, colour, why_text(cell.rule), text))
            found.append({"sku": sku, "row": row, "cells": cells})
        return found

    def _place(self, request: HttpRequest) -> dict[str, str]:
        return {name: request.GET[name][:64] for name in ("after", "columns") if request.GET.get(name)}

    def _address(self, view: View, **more: str) -> str:
        query = urlencode(view.query | more)
        return f"{reverse('admin:inventory_matrix')}?{query}" if query else reverse("admin:inventory_matrix")

    def _run(self, request: HttpRequest) -> AllocationRun | None:
        ident = request.GET.get("run", "")
        if not ident.isdigit() or len(ident) > 18:
            return None
        found: AllocationRun | None = self.admin.get_queryset(request).filter(pk=int(ident)).first()
        return found

    def _lines(self, request: HttpRequest, run: AllocationRun) -> list[dict[str, Any]]:
        """What came of each cell."""
        scope = scope_of(request.user)
        lines = AllocationLine.objects.filter(run=run, kind=PoolKind.QUOTA).select_related("sku", "shop")
        if not scope.is_everything:
            lines = lines.filter(shop__in=scope.shop_ids)
        return [
            {
                "line": line,
                "colour": LINE_COLOURS.get(line.state, ""),
                "outcome": read_sentence(line.outcome) or read_sentence(line.reason),
            }
            for line in lines.order_by("sku_id", "id")[:LINES_SHOWN]
        ]


def default_group() -> LocationGroup | None:
    """The group whose stock most rules are about, else the first."""
    ruled = QuotaRule.objects.filter(group=OuterRef("pk"), is_active=True)
    drawn = ShopPool.objects.filter(group=OuterRef("pk"))
    groups = LocationGroup.objects.annotate(is_ruled=Exists(ruled), is_drawn=Exists(drawn))
    return groups.order_by("-is_ruled", "-is_drawn", "code").first()


def why_text(rule: Rule | None) -> str:
    """Why this mode holds."""
    return str(REACHES[rule.reach]) if rule else gettext("no rule: it sells as was set by hand")


def warning_texts(cell: CellEffect) -> list[str]:
    """What a person should know before pressing Apply."""
    texts = []
    if cell.is_cut:
        texts.append(gettext("There is not enough: it gets %(units)d.") % {"units": cell.after})
    if cell.promised:
        texts.append(gettext("%(units)d are promised to orders and stay.") % {"units": cell.promised})
    if cell.capped_at is not None:
        texts.append(gettext("Its rule shows at most %(units)d.") % {"units": cell.capped_at})
    if cell.is_shared_only:
        texts.append(gettext("By its rule it sells from the shared pool: the next run takes the quota back."))
    return texts


def digest_of(effects: Sequence[SkuEffect]) -> str:
    """What was seen: if it is another one when the person says yes, they are shown the new effect first."""
    text = repr(effects)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _whole(text: str) -> int | None:
    """Whole units, as spreadsheets write them: 1,200 too."""
    digits = text.strip().replace(",", "").replace("\u00a0", "").replace(" ", "")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 9):
        return None
    return int(digits) if int(digits) <= UNITS_MAX else None


def _is_target(row: Any) -> bool:
    return (
        isinstance(row, list)
        and len(row) == 3
        and all(
            isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62 for value in row
        )
        and row[2] <= UNITS_MAX
    )

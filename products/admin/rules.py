"""Assortment rules: which SKUs some shops are meant to sell."""

from __future__ import annotations

from datetime import datetime
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
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextInputWidget

from omni.kernel.actors import user_actor
from omni.kernel.admin_base import RowResult, column
from omni.kernel.display import Money
from omni.kernel.errors import DomainError
from products.admin.catalogues import CONDITIONS, ConditionsAdmin, ConditionsForm
from products.admin.listing_acts import ReasonForm, ShopsForm
from products.admin.scoped import BrandFilter, choice_filter
from products.assortment.define import RuleDraft, define_rule, stop_rules
from products.assortment.plan import start_assortment
from products.assortment.why import RuleVerdict, asked_of, why_assorted
from products.models import AssortmentRule, Catalogue, Shop, Sku
from products.scope import Scope, visible_shop_ids

CONDITION_WORDS = {
    "brand": _("brand"),
    "category": _("category"),
    "tags": _("tags"),
    "seasons": _("season"),
    "price": _("list price"),
}


def condition_texts(row: AssortmentRule | Catalogue) -> dict[str, str]:
    """What a rule or a catalogue asks for, in words, by condition."""
    values = {
        "brand": lambda: str(row.brand),
        "category": lambda: f"{row.category} ({row.category.path if row.category else ''})",
        "tags": lambda: " / ".join(row.tags),
        "seasons": lambda: " / ".join(row.seasons),
        "price": lambda: _range(row),
    }
    return {name: f"{CONDITION_WORDS[name]}: {values[name]()}" for name in asked_of(row)}


def _range(row: AssortmentRule | Catalogue) -> str:
    ends = [row.price_from, row.price_to]
    texts = [Money(end, row.currency).text() if end is not None else "" for end in ends]
    return f"{texts[0]} – {texts[1]}".strip()


class RuleForm(ConditionsForm):
    reason = forms.CharField(
        label=_("Reason"), max_length=200, required=False, widget=UnfoldAdminTextInputWidget
    )

    def run(self, answers: dict[str, Any], *, at: datetime, by: str) -> AssortmentRule:
        draft = RuleDraft(
            name=answers["name"],
            kind=answers["kind"],
            priority=answers["priority"],
            wish=self.wish(answers),
            shop_ids=self.shop_ids(answers),
            starts_at=answers["starts_at"],
            ends_at=answers["ends_at"],
            is_active=answers["is_active"],
        )
        return define_rule(
            draft=draft, rule_id=self.instance.pk, reason=answers.get("reason", ""), at=at, by=by
        )


class WhyForm(forms.Form):
    sku = forms.CharField(label=_("SKU code"), max_length=64)
    shop = forms.ModelChoiceField(Shop.objects.none(), label=_("Shop"))

    def __init__(self, request: HttpRequest, *given: Any) -> None:
        super().__init__(*given)
        shops, visible = Shop.objects.order_by("code"), visible_shop_ids(request.user)
        field: Any = self.fields["shop"]
        field.queryset = shops if visible is None else shops.filter(pk__in=visible)


@admin.register(AssortmentRule)
class AssortmentRuleAdmin(ConditionsAdmin):
    form = RuleForm
    intro = _(
        "Which SKUs shops are meant to sell. Of the rules that fit a SKU the highest priority decides, of equals the "
        "one that excludes. Nothing happens by saving a rule: work out what follows, look at it, then apply it. A "
        "window opens and closes by itself."
    )
    history_ignores = ("version", "is_opened", "is_closed")
    list_display = (
        "name",
        "show_kind",
        "priority",
        "show_conditions",
        "show_shops",
        "show_window",
        "is_active",
    )
    list_select_related = ("brand", "category")
    list_filter = (BrandFilter, choice_filter("kind"))
    search_fields = ("name__startswith",)
    fields = (
        "name",
        "kind",
        "priority",
        "shops",
        *CONDITIONS,
        "starts_at",
        "ends_at",
        "is_active",
        "reason",
        "show_shops",
    )
    readonly_fields = ("show_shops",)
    actions = ("work_out", "stop")

    def limit_to_scope(self, queryset: QuerySet[Any], scope: Scope) -> QuerySet[Any]:
        through = AssortmentRule.shops.through.objects
        own = through.filter(assortmentrule=OuterRef("pk"), shop__in=scope.shop_ids)
        return queryset.filter(Q(Exists(own)))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.prefetch_related("shops")

    def shop_ids_of(self, row: AssortmentRule) -> list[int]:
        return [shop.pk for shop in row.shops.all()]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_fields(request, obj)
        may = self.has_change_permission(request, obj) if obj else True
        return [name for name in fields if name != "reason" or may]

    def get_intro(self, request: HttpRequest) -> dict[str, Any] | None:
        intro = super().get_intro(request) or {}
        links = [(reverse("admin:products_assortment_why"), gettext("Why is it sold there, or not?"))]
        if self.has_run_permission(request):
            links.insert(0, (reverse("admin:products_assortment_start"), gettext("Work out what follows")))
        return {**intro, "links": [{"url": url, "label": label} for url, label in links]}

    def has_run_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("products.change_assortmentrun"))

    # --- buttons --------------------------------------------------------------------------------------------
    @admin.action(description=_("Work out for their shops"), permissions=["run"])
    def work_out(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        visible = visible_shop_ids(request.user)
        shops = {shop for rule in queryset for shop in self.shop_ids_of(rule)}
        return self._start(request, shops if visible is None else shops & visible)

    @admin.action(description=_("Stop"), permissions=["operate"])
    def stop(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        def carry_out(answers: dict[str, Any], rows: list[Any]) -> HttpResponse | None:
            names = {row.pk: row.name for row in rows}
            mine = [row.pk for row in rows if self.is_wholly_mine(request, row)]
            foreign = gettext("It concerns shops that you do not see.")

            def run(at: datetime, by: str) -> list[RowResult]:
                stopped = stop_rules(rule_ids=mine, reason=answers["reason"], at=at, by=by)
                others = [RowResult(name, False, foreign) for pk, name in names.items() if pk not in mine]
                return [RowResult(names[each.rule_id], each.ok, each.detail) for each in stopped] + others

            return self.operate(request, _("Stop"), run)

        form = ReasonForm(request.POST if "asked" in request.POST else None)
        return self.ask_first(request, queryset, action="stop", title=_("Stop"), form=form, run=carry_out)

    def _start(self, request: HttpRequest, shop_ids: set[int]) -> HttpResponse:
        try:
            run = start_assortment(shop_ids=shop_ids, at=timezone.now(), by=user_actor(request.user))
        except DomainError as refusal:
            messages.error(request, refusal.detail)
            return redirect("admin:products_assortmentrule_changelist")
        return redirect("admin:products_assortmentrun_change", run.pk)

    # --- pages ----------------------------------------------------------------------------------------------
    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("start/", wrap(self.start_view), name="products_assortment_start"),
            path("why/", wrap(self.why_view), name="products_assortment_why"),
            *super().get_urls(),
        ]

    def start_view(self, request: HttpRequest) -> HttpResponse:
        """Choose shops, and have it worked out what the rules mean for them."""
        if not self.has_run_permission(request):
            raise PermissionDenied
        form = ShopsForm(request, request.POST if request.method == "POST" else None)
        if form.is_bound and form.is_valid():
            return self._start(request, {shop.pk for shop in form.cleaned_data["shops"]})
        return self._page(request, "assortment_start_page.html", _("Work out what follows"), form=form)

    def why_view(self, request: HttpRequest) -> HttpResponse:
        """What the catalogue and each rule say of one SKU in one shop."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        is_asked = {"sku", "shop"} <= set(request.GET)
        form = WhyForm(request, request.GET if is_asked else None)
        form.initial = {"sku": request.GET.get("sku", "")[:64]}
        context: dict[str, Any] = {"form": form}
        if form.is_bound and form.is_valid():
            page: Any = self.admin_site._registry[Sku]
            rows = page.get_queryset(request).select_related("spu__brand", "spu__category")
            sku = rows.filter(code=form.cleaned_data["sku"].strip()).first()
            if sku is None:
                form.add_error("sku", gettext("There is no such SKU."))
            else:
                context |= self._why(form.cleaned_data["shop"], sku)
        return self._page(request, "assortment_why_page.html", _("Why is it sold there, or not?"), **context)

    def _why(self, shop: Shop, sku: Sku) -> dict[str, Any]:
        why = why_assorted(shop=shop, sku=sku, at=timezone.now())

        def told(row: AssortmentRule | Catalogue, fits: Any) -> list[tuple[str, bool]]:
            return [(text, fits[name]) for name, text in condition_texts(row).items()]

        return {
            "why": why,
            "catalogue": why.catalogue,
            "catalogue_conditions": told(why.catalogue.catalogue, why.catalogue.fits)
            if why.catalogue
            else [],
            "rules": [(each, told(each.rule, each.fits), verdict_text(each)) for each in why.rules],
            "listings": [
                (listing, listing.get_state_display(), listing.pk in why.placed) for listing in why.listings
            ],
        }

    def _page(self, request: HttpRequest, template: str, title: Any, **context: Any) -> HttpResponse:
        request.current_app = self.admin_site.name
        known = {**self.admin_site.each_context(request), "opts": self.opts, "title": title}
        return TemplateResponse(request, f"products/{template}", known | context)

    # --- columns --------------------------------------------------------------------------------------------
    @column(description=_("kind"), label={"include": "success", "exclude": "danger"})
    def show_kind(self, rule: AssortmentRule) -> tuple[str, str]:
        return rule.kind, rule.get_kind_display()

    @column(description=_("conditions"))
    def show_conditions(self, rule: AssortmentRule) -> str:
        return "; ".join(condition_texts(rule).values())

    @column(description=_("shops"))
    def show_shops(self, row: AssortmentRule) -> str:
        names = sorted(shop.name for shop in row.shops.all())
        return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")

    @column(description=_("window"))
    def show_window(self, rule: AssortmentRule) -> str:
        if rule.starts_at is None and rule.ends_at is None:
            return "–"
        ends = (rule.starts_at, rule.ends_at)
        return " – ".join(timezone.localtime(end).strftime("%Y-%m-%d %H:%M") if end else "…" for end in ends)


def verdict_text(verdict: RuleVerdict) -> str:
    """Whether a rule decides, and if not, why."""
    if verdict.is_deciding:
        return gettext("it decides")
    if not verdict.rule.is_active:
        return gettext("it is stopped")
    if not verdict.is_open:
        return gettext("its window is closed")
    if not all(verdict.fits.values()):
        return gettext("it does not fit")
    return gettext("it fits, another one decides")

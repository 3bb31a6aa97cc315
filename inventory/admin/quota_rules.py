"""Quota rules: how each shop shares in a group's stock; entered with a preview of what they are about, and ended."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_lazy as _

from inventory.admin.matrix import MODE_COLOURS
from inventory.models import LocationGroup, QuotaRule
from inventory.quota.define import QuotaWish, end_quota_rule, set_quota_rule
from inventory.quota.reach import Reach, reach_of
from omni.kernel.actors import user_actor
from omni.kernel.admin_base import RowResult, column, show_faults
from omni.kernel.errors import DomainError
from products.admin.scoped import ScopedAdmin, ShopFilter, choice_filter, visible_skus_of
from products.models import Brand, Category, Shop, Sku
from products.scope import scope_of

PILLS = {"omni-warn": "warning", "omni-info": "info", "omni-good": "success"}


class GroupFilter(admin.SimpleListFilter):
    """By location group."""

    title = _("location group")
    parameter_name = "group"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            (str(pk), name)
            for pk, name in LocationGroup.objects.order_by("code").values_list("pk", "name")[:200]
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return (
            queryset.filter(group_id=int(value))
            if value and value.isdigit() and len(value) < 19
            else queryset
        )


class ReasonForm(forms.Form):
    reason = forms.CharField(label=_("Reason"), max_length=200)


class QuotaRuleForm(forms.Form):
    """What is empty of SKU, category and brand: the rule is about every SKU."""

    group = forms.ModelChoiceField(LocationGroup.objects.none(), label=_("Location group"))
    shop = forms.ModelChoiceField(Shop.objects.none(), label=_("Shop"))
    mode = forms.ChoiceField(
        label=_("How it shares"),
        choices=QuotaRule.Mode.choices,
        help_text=_(
            "Exclusive quota: it sells what is granted to it and nothing else. Lock + share: first what is granted to "
            "it, then from the shared pool. Shared ratio: from the shared pool alone."
        ),
    )
    sku = forms.CharField(
        label=_("For one SKU"),
        required=False,
        max_length=64,
        help_text=_("A SKU code. With SKU, category and brand empty the rule is about every SKU."),
    )
    category = forms.ModelChoiceField(
        Category.objects.none(), label=_("For a category, with all below it"), required=False
    )
    brand = forms.ModelChoiceField(Brand.objects.none(), label=_("For a brand"), required=False)
    quota_percent = forms.DecimalField(
        label=_("Part of the supply, in percent"),
        required=False,
        min_value=0,
        max_value=100,
        max_digits=5,
        decimal_places=2,
        help_text=_(
            "What allocation by ratio grants to it: 30 is three units of ten. Empty: by hand or by demand."
        ),
    )
    publish_percent = forms.DecimalField(
        label=_("Shown of the shared pool, in percent"),
        min_value=0,
        max_value=100,
        max_digits=5,
        decimal_places=2,
        initial=100,
        help_text=_("Those of all shops may add up to more than 100: no unit is sold twice all the same."),
    )
    minimum = forms.IntegerField(
        label=_("Minimum"),
        min_value=0,
        max_value=10_000_000,
        initial=0,
        help_text=_("With fewer free units its quota is filled up from whoever needs them least."),
    )
    maximum = forms.IntegerField(
        label=_("Maximum"),
        required=False,
        min_value=0,
        max_value=10_000_000,
        help_text=_("No more is granted to it and no more is shown. Empty: no limit."),
    )
    service_percent = forms.DecimalField(
        label=_("Service level, in percent"),
        min_value=Decimal("0.01"),
        max_value=Decimal("99.99"),
        max_digits=4,
        decimal_places=2,
        initial=95,
        help_text=_("Allocation by demand stops where so many of all periods would be served in full."),
    )
    priority = forms.IntegerField(
        label=_("Priority"),
        min_value=0,
        max_value=32_000,
        initial=100,
        help_text=_("Lower is served first, and gives last."),
    )
    note = forms.CharField(label=_("Note"), required=False, max_length=200)
    reason = forms.CharField(label=_("Reason"), max_length=200)

    def __init__(
        self, *args: Any, skus: QuerySet[Sku], user: Any, rule: QuotaRule | None = None, **kwargs: Any
    ):
        super().__init__(*args, **kwargs)
        self._skus = skus
        self.sku_id: int | None = None
        scope = scope_of(user)
        shops, brands = Shop.objects.filter(is_active=True).order_by("code"), Brand.objects.order_by("code")
        choices: dict[str, Any] = {
            "group": LocationGroup.objects.order_by("code"),
            "shop": shops if scope.is_everything else shops.filter(pk__in=scope.shop_ids),
            "brand": brands if scope.is_everything else brands.filter(pk__in=scope.brand_ids),
            "category": Category.objects.order_by("path"),
        }
        for name, queryset in choices.items():
            field: Any = self.fields[name]
            field.queryset = queryset
        if rule is not None:  # what a rule is named by stays what it is
            for name in ("group", "shop", "sku", "category", "brand"):
                self.fields[name].disabled = True

    def clean_sku(self) -> str:
        code = (self.cleaned_data.get("sku") or "").strip()
        if code:
            sku = self._skus.filter(code=code).first()
            if sku is None:
                raise forms.ValidationError(gettext("There is no such SKU."))
            self.sku_id = sku.pk
        return code

    def wish(self) -> QuotaWish:
        given = self.cleaned_data
        hundred = Decimal(100)
        return QuotaWish(
            group_id=given["group"].pk,
            shop_id=given["shop"].pk,
            mode=given["mode"],
            sku_id=self.sku_id,
            category_id=given["category"].pk if given["category"] else None,
            brand_id=given["brand"].pk if given["brand"] else None,
            quota_ratio=None if given["quota_percent"] is None else given["quota_percent"] / hundred,
            publish_ratio=given["publish_percent"] / hundred,
            minimum=given["minimum"],
            maximum=given["maximum"],
            service_level=given["service_percent"] / hundred,
            priority=given["priority"],
            note=given["note"],
        )

    def reach(self) -> Reach:
        wish = self.wish()
        return reach_of(
            group_id=wish.group_id,
            shop_id=wish.shop_id,
            sku_id=wish.sku_id,
            category_id=wish.category_id,
            brand_id=wish.brand_id,
        )


# The fields of the form under which a refusal of the operation is shown.
FIELDS_OF_REFUSALS = {
    "quota_ratio": "quota_percent",
    "publish_ratio": "publish_percent",
    "service_level": "service_percent",
}


@admin.register(QuotaRule)
class QuotaRuleAdmin(ScopedAdmin):
    intro = _(
        "How shops share in the stock of a group. Of the rules of a shop that fit a SKU the most specific holds: the "
        "SKU, then the deepest category, then the brand, then every SKU. What is shown changes at once; units are only "
        "moved by an allocation run."
    )
    is_editable = True
    shop_path = "shop_id"
    list_display = (
        "show_shop",
        "group",
        "show_scope",
        "show_mode",
        "show_quota",
        "show_publish",
        "minimum",
        "maximum",
        "priority",
        "show_active",
    )
    list_display_links = ("show_shop",)
    list_select_related = ("shop", "group", "sku", "category", "brand")
    list_filter = (ShopFilter, GroupFilter, choice_filter("mode"))
    search_fields = ("sku__code__exact",)
    search_help_text = _("A whole SKU code")
    actions = ("end",)

    # --- the page -------------------------------------------------------------------------------------------
    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        return self._rule_page(request, None)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        rule: QuotaRule = self.visible_object(request, int(object_id) if object_id.isdigit() else 0)
        return self._rule_page(request, rule)

    def _rule_page(self, request: HttpRequest, rule: QuotaRule | None) -> HttpResponse:
        """The form; `preview` shows what the rule is about, without it the rule is set."""
        may = self.has_add_permission(request) if rule is None else self.has_operate_permission(request)
        skus = visible_skus_of(self, request)
        initial = initial_of(rule) if rule else {"group": None, "publish_percent": 100}
        if request.method != "POST":
            form = QuotaRuleForm(initial=initial, skus=skus, user=request.user, rule=rule)
            return self._form_page(request, rule, form, may, reach_of_rule(rule) if rule else None)
        if not may:
            raise PermissionDenied
        form = QuotaRuleForm(request.POST, initial=initial, skus=skus, user=request.user, rule=rule)
        if not form.is_valid():
            return self._form_page(request, rule, form, may, None)
        if "preview" in request.POST:
            return self._form_page(request, rule, form, may, form.reach())
        try:
            saved = set_quota_rule(
                wish=form.wish(),
                at=timezone.now(),
                by=user_actor(request.user),
                reason=form.cleaned_data["reason"],
            )
        except DomainError as refusal:
            refusal.fields = {
                FIELDS_OF_REFUSALS.get(name, name): texts for name, texts in refusal.fields.items()
            }
            show_faults(form, refusal)
            return self._form_page(request, rule, form, may, None)
        messages.success(request, gettext("The rule holds now."))
        return redirect("admin:inventory_quotarule_change", saved.pk)

    def _form_page(
        self,
        request: HttpRequest,
        rule: QuotaRule | None,
        form: QuotaRuleForm,
        may: bool,
        reach: Reach | None,
    ) -> HttpResponse:
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": rule,
            "title": str(rule) if rule else gettext("New quota rule"),
            "rule": rule,
            "scope_text": scope_text(rule) if rule else "",
            "form": form,
            "reach": reach,
            "may": may,
            "history": reverse("admin:inventory_quotarule_history", args=[rule.pk]) if rule else "",
        }
        return TemplateResponse(request, "inventory/quota_rule_page.html", context)

    # --- buttons --------------------------------------------------------------------------------------------
    @admin.action(description=_("End"), permissions=["operate"])
    def end(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """The next less specific rule holds then."""

        def carry_out(answers: dict[str, Any], rows: list[Any]) -> HttpResponse | None:
            def run(at: datetime, by: str) -> list[RowResult]:
                for row in rows:
                    end_quota_rule(rule_id=row.pk, at=at, by=by, reason=answers["reason"])
                return [RowResult(str(row), True) for row in rows]

            return self.operate(request, _("End"), run)

        form = ReasonForm(request.POST if "asked" in request.POST else None)
        rules = queryset.select_related("shop").order_by("id")
        return self.ask_first(
            request, rules, action="end", title=_("End quota rules"), form=form, run=carry_out
        )

    # --- columns --------------------------------------------------------------------------------------------
    @column(description=_("shop"))
    def show_shop(self, rule: QuotaRule) -> str:
        return rule.shop.name

    @column(description=_("for"))
    def show_scope(self, rule: QuotaRule) -> str:
        return scope_text(rule)

    @column(description=_("mode"), label={mode.value: PILLS[colour] for mode, colour in MODE_COLOURS.items()})
    def show_mode(self, rule: QuotaRule) -> tuple[str, str]:
        return rule.mode, rule.get_mode_display()

    @column(description=_("part of the supply"))
    def show_quota(self, rule: QuotaRule) -> str:
        return "–" if rule.quota_ratio is None else percent_text(rule.quota_ratio)

    @column(description=_("shown of the shared pool"))
    def show_publish(self, rule: QuotaRule) -> str:
        return "–" if rule.mode == QuotaRule.Mode.EXCLUSIVE else percent_text(rule.publish_ratio)

    @column(description=_("state"), label={"on": "success", "off": ""})
    def show_active(self, rule: QuotaRule) -> tuple[str, Any]:
        return ("on", pgettext("quota rule", "holds")) if rule.is_active else ("off", _("ended"))


def percent_text(part: Decimal) -> str:
    return f"{(part * 100).normalize():f} %"


def scope_text(rule: QuotaRule) -> str:
    """For which SKUs it is."""
    if rule.sku:
        return rule.sku.code
    if rule.category:
        return f"{rule.category.name} ({rule.category.path})"
    return rule.brand.name if rule.brand else gettext("every SKU")


def initial_of(rule: QuotaRule) -> dict[str, Any]:
    """What the form shows of a rule that is there."""

    def percent(part: Decimal | None) -> str | None:
        return None if part is None else f"{(part * 100).normalize():f}"

    return {
        "group": rule.group_id,
        "shop": rule.shop_id,
        "mode": rule.mode,
        "sku": rule.sku.code if rule.sku else "",
        "category": rule.category_id,
        "brand": rule.brand_id,
        "quota_percent": percent(rule.quota_ratio),
        "publish_percent": percent(rule.publish_ratio),
        "minimum": rule.minimum,
        "maximum": rule.maximum,
        "service_percent": percent(rule.service_level),
        "priority": rule.priority,
        "note": rule.note,
    }


def reach_of_rule(rule: QuotaRule) -> Reach:
    return reach_of(
        group_id=rule.group_id,
        shop_id=rule.shop_id,
        sku_id=rule.sku_id,
        category_id=rule.category_id,
        brand_id=rule.brand_id,
    )

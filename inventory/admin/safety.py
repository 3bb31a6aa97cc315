"""Safety stock by the most specific rule, and when quotas are filled up by themselves."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextInputWidget

from inventory.admin.quota_rules import ReasonForm
from inventory.models import RebalancePolicy, SafetyRule
from inventory.quota.keep import SafetyWish, keep_safety
from omni.kernel.admin_base import RowResult, column
from products.admin.operated import OperatedAdmin, OperatedForm
from products.admin.scoped import ScopedAdmin
from products.scope import visible_shop_ids


class SafetyRuleForm(OperatedForm):
    reason = forms.CharField(label=_("Reason"), max_length=200, widget=UnfoldAdminTextInputWidget)

    def run(self, answers: dict[str, Any], *, at: datetime, by: str) -> SafetyRule:
        known = self.instance
        location = answers.get("location", known.location)
        shop = answers.get("shop", known.shop)
        sku_id = answers["sku"].pk if "sku" in answers else known.sku_id
        scope = {
            "sku_id": sku_id,
            "location_id": location.pk if location else None,
            "shop_id": shop.pk if shop else None,
        }
        keep_safety(
            wishes=[SafetyWish(units=answers["units"], **scope)], at=at, by=by, reason=answers["reason"]
        )
        return SafetyRule.objects.get(**scope)


@admin.register(SafetyRule)
class SafetyRuleAdmin(OperatedAdmin):
    form = SafetyRuleForm
    intro = _(
        "How much of a SKU is kept and not sold: at each location, at one, or by one shop there. The most specific "
        "holds. The units are taken at once from what is free."
    )
    brand_path = "sku__spu__brand_id"
    list_display = ("show_sku", "show_location", "show_shop", "units", "note", "created_at")
    list_display_links = ("show_sku",)
    list_select_related = ("sku", "location", "shop")
    search_fields = ("sku__code__exact",)
    search_help_text = _("A whole SKU code")
    autocomplete_fields = ("sku", "location", "shop")
    fields = ("sku", "location", "shop", "units", "reason")
    fixed_fields = ("sku", "location", "shop")
    actions = ("end",)

    def limit_to_viewer(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """What a single shop leaves is its own business; the other rules belong to the brand."""
        rows = super().limit_to_viewer(request, queryset)
        shops = visible_shop_ids(request.user)
        if shops is None:
            return rows
        return rows.filter(Q(shop__isnull=True) | Q(shop__in=shops))

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        helps = {
            "location": _("Empty: at each location where it lies."),
            "shop": _("Empty: by all shops. With a shop, a location must be named."),
        }
        for name, text in helps.items():
            if name in form.base_fields:
                form.base_fields[name].help_text = text
        return form

    @admin.action(description=_("End"), permissions=["operate"])
    def end(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        def carry_out(answers: dict[str, Any], rows: list[Any]) -> HttpResponse | None:
            wishes = [SafetyWish(row.sku_id, None, row.location_id, row.shop_id) for row in rows]

            def run(at: datetime, by: str) -> list[RowResult]:
                keep_safety(wishes=wishes, at=at, by=by, reason=answers["reason"])
                return [RowResult(str(row), True) for row in rows]

            return self.operate(request, _("End"), run)

        form = ReasonForm(request.POST if "asked" in request.POST else None)
        rules = queryset.select_related("sku").order_by("id")
        return self.ask_first(
            request, rules, action="end", title=_("End safety rules"), form=form, run=carry_out
        )

    @column(description=_("SKU"))
    def show_sku(self, rule: SafetyRule) -> str:
        return rule.sku.code

    @column(description=_("location"))
    def show_location(self, rule: SafetyRule) -> str:
        return rule.location.name if rule.location else gettext("each location")

    @column(description=_("shop"))
    def show_shop(self, rule: SafetyRule) -> str:
        return rule.shop.name if rule.shop else gettext("all shops")


@admin.register(RebalancePolicy)
class RebalancePolicyAdmin(ScopedAdmin):
    intro = _(
        "When units of a group are granted anew without a person: when a quota falls below its minimum, when new stock "
        "comes in, or by the clock. Runs that may not apply themselves wait in the queue of runs to be looked at."
    )
    is_house_wide = True
    is_editable = True
    list_display = (
        "group",
        "show_method",
        "on_threshold",
        "on_supply",
        "every_minutes",
        "quiet_minutes",
        "is_automatic",
        "is_active",
        "last_run_at",
    )
    list_select_related = ("group",)
    autocomplete_fields = ("group",)
    history_ignores = ("last_run_at",)

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "method":  # nobody sets quotas by hand without a person
            kwargs["choices"] = [choice for choice in db_field.choices if choice[0] != "hand"]
        return super().formfield_for_choice_field(db_field, request, **kwargs)

    @column(description=_("method"))
    def show_method(self, policy: RebalancePolicy) -> str:
        return policy.get_method_display()

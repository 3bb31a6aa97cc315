"""The buttons of the SKU page: receive, adjust, count, safety stock and quota, each with its reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from inventory.adjust import StockAdjustment, adjust_stock
from inventory.count import StockCount, count_stock
from inventory.models import Location, LocationGroup, SkuStock
from inventory.models.stock import Grade
from inventory.quota.keep import SafetyWish, keep_safety
from inventory.receive import StockReceipt, receive_stock
from inventory.regrade import Regrade, regrade_stock
from omni.kernel.admin_base import RowResult
from products.models import Shop
from products.scope import scope_of

UNITS_MAX = 10_000_000


class StockForm(forms.Form):
    """`key` is made when the page is shown: the same form sent twice changes stock once."""

    key = forms.CharField(max_length=80, widget=forms.HiddenInput)
    location = forms.ModelChoiceField(Location.objects.none(), label=gettext_lazy("Location"))
    quantity = forms.IntegerField(label=gettext_lazy("Units"), min_value=1, max_value=UNITS_MAX)
    grade = forms.ChoiceField(label=gettext_lazy("Grade"), choices=Grade.choices, initial=Grade.GOOD)
    reason = forms.CharField(label=gettext_lazy("Reason or document"), max_length=200)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        places: Any = self.fields["location"]
        places.queryset = Location.objects.filter(is_active=True).order_by("priority", "code")


class AdjustForm(StockForm):
    quantity = forms.IntegerField(
        label=gettext_lazy("More or less units"),
        min_value=-UNITS_MAX,
        max_value=UNITS_MAX,
        help_text=gettext_lazy("A minus takes away."),
    )


class CountForm(StockForm):
    quantity = forms.IntegerField(
        label=gettext_lazy("Units counted"),
        min_value=0,
        max_value=UNITS_MAX,
        help_text=gettext_lazy("All that lies there, what is taken for orders included."),
    )


class RegradeForm(StockForm):
    grade = forms.ChoiceField(
        label=gettext_lazy("Grade now"), choices=Grade.choices, initial=Grade.INSPECTION
    )
    to_grade = forms.ChoiceField(label=gettext_lazy("New grade"), choices=Grade.choices, initial=Grade.GOOD)
    field_order = ("location", "quantity", "grade", "to_grade", "reason")


class SafetyForm(forms.Form):
    location = forms.ModelChoiceField(
        Location.objects.none(),
        label=gettext_lazy("Location"),
        required=False,
        help_text=gettext_lazy("Empty: at each location where it lies."),
    )
    shop = forms.ModelChoiceField(
        Shop.objects.none(),
        label=gettext_lazy("Shop"),
        required=False,
        help_text=gettext_lazy("Empty: by all shops. With a shop, a location must be named."),
    )
    quantity = forms.IntegerField(
        label=gettext_lazy("Units that nobody may sell"), min_value=0, max_value=UNITS_MAX
    )
    reason = forms.CharField(label=gettext_lazy("Reason"), max_length=200)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        places: Any = self.fields["location"]
        places.queryset = Location.objects.filter(is_active=True).order_by("priority", "code")

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        if given.get("shop") and not given.get("location") and "location" not in self.errors:
            self.add_error("location", _("Say at which location the shop leaves units."))
        return given


class QuotaForm(forms.Form):
    """What it would do is shown before it is done."""

    group = forms.ModelChoiceField(LocationGroup.objects.none(), label=gettext_lazy("Location group"))
    shop = forms.ModelChoiceField(Shop.objects.none(), label=gettext_lazy("Shop"))
    quantity = forms.IntegerField(
        label=gettext_lazy("Units that only this shop may sell"), min_value=0, max_value=UNITS_MAX
    )
    reason = forms.CharField(label=gettext_lazy("Reason"), max_length=200)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        groups: Any = self.fields["group"]
        groups.queryset = LocationGroup.objects.order_by("code")


def offer_shops(form: forms.Form, user: Any) -> forms.Form:
    """Let a form offer the shops that this person sees."""
    if "shop" in form.fields:
        scope, shops = scope_of(user), Shop.objects.filter(is_active=True).order_by("code")
        field: Any = form.fields["shop"]
        field.queryset = shops if scope.is_everything else shops.filter(pk__in=scope.shop_ids)
    return form


Answers = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StockAct:
    code: str
    title: Any
    form: type[forms.Form]
    run: Callable[[SkuStock, Answers, datetime, str], bool]
    icon: str


def _key(code: str, answers: Answers) -> str:
    return f"admin.{code}:{answers['key']}"


def _receive(sku: SkuStock, answers: Answers, at: datetime, by: str) -> bool:
    receipt = StockReceipt(answers["location"].pk, sku.pk, answers["quantity"], answers["grade"])
    key = _key("receive", answers)
    return receive_stock(key=key, receipts=[receipt], reason=answers["reason"], at=at, by=by)


def _adjust(sku: SkuStock, answers: Answers, at: datetime, by: str) -> bool:
    change = StockAdjustment(answers["location"].pk, sku.pk, answers["quantity"], answers["grade"])
    key = _key("adjust", answers)
    return adjust_stock(key=key, adjustments=[change], reason=answers["reason"], at=at, by=by)


def _count(sku: SkuStock, answers: Answers, at: datetime, by: str) -> bool:
    counted = StockCount(answers["location"].pk, sku.pk, answers["quantity"], answers["grade"])
    return count_stock(key=_key("count", answers), counts=[counted], reason=answers["reason"], at=at, by=by)


def _regrade(sku: SkuStock, answers: Answers, at: datetime, by: str) -> bool:
    grades = answers["grade"], answers["to_grade"]
    line = Regrade(answers["location"].pk, sku.pk, answers["quantity"], *grades)
    key = _key("regrade", answers)
    return regrade_stock(key=key, lines=[line], reason=answers["reason"], at=at, by=by)


def _safety(sku: SkuStock, answers: Answers, at: datetime, by: str) -> bool:
    location, shop = answers["location"], answers["shop"]
    wish = SafetyWish(
        sku.pk, answers["quantity"], location.pk if location else None, shop.pk if shop else None
    )
    keep_safety(wishes=[wish], at=at, by=by, reason=answers["reason"])
    return True


def run_act(act: StockAct, sku: SkuStock, answers: Answers, at: datetime, by: str) -> list[RowResult]:
    """One result: done now, or done already by the same form."""
    is_new = act.run(sku, answers, at, by)
    return [RowResult(sku.code, True, "" if is_new else _("It was done before; nothing has changed."))]


STOCK_ACTS: Mapping[str, StockAct] = {
    act.code: act
    for act in (
        StockAct("receive", gettext_lazy("Receive"), StockForm, _receive, "input"),
        StockAct("adjust", gettext_lazy("Adjust"), AdjustForm, _adjust, "tune"),
        StockAct("count", gettext_lazy("Count"), CountForm, _count, "calculate"),
        StockAct("regrade", gettext_lazy("Change grade"), RegradeForm, _regrade, "published_with_changes"),
        StockAct("safety", gettext_lazy("Set safety stock"), SafetyForm, _safety, "shield"),
    )
}

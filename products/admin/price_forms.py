"""The forms in which prices are asked for, floors are set and reasons are asked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget

from products.models import Price, Shop, Sku
from products.prices.faults import PriceDraft
from products.prices.proposal import Method, Proposal, propose_prices
from products.prices.set_floor import NewFloor
from products.scope import scope_of

LINES_MAX = 2000
METHOD_WORDS = (
    (Method.AMOUNT.value, _("the amount itself")),
    (Method.PERCENT.value, _("percent more or less than the regular price")),
    (Method.DIFFERENCE.value, _("an amount more or less than the regular price")),
)


class SkuLinesField(forms.CharField):
    """A SKU code on each line, or a code and an amount: `[(code, amount or None), …]`."""

    widget = UnfoldAdminTextareaWidget(attrs={"rows": 8, "spellcheck": "false"})

    def clean(self, value: Any) -> Any:
        found: dict[str, Decimal | None] = {}
        for line in str(super().clean(value) or "").splitlines():
            parts = line.replace(",", " ").replace(";", " ").split()
            if not parts:
                continue
            try:
                amount = Decimal(parts[1]) if len(parts) == 2 else None
            except InvalidOperation:
                amount = Decimal("NaN")
            if len(parts) > 2 or (amount is not None and not amount.is_finite()):
                raise forms.ValidationError(
                    gettext("“%s” is neither a SKU code nor a code with an amount.") % line.strip()[:80]
                )
            if parts[0] in found:
                raise forms.ValidationError(gettext("%s stands there twice.") % parts[0])
            found[parts[0]] = amount
        if len(found) > LINES_MAX:
            raise forms.ValidationError(gettext("At most %d lines.") % LINES_MAX)
        return list(found.items())


class SkuLinesForm(forms.Form):
    """`skus`: the SKUs that the viewer may see."""

    lines = SkuLinesField(label=_("SKUs"), help_text=_("One SKU code a line; an amount may follow it."))

    def __init__(self, *args: Any, skus: QuerySet[Sku], user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._skus = skus
        self.sku_ids: dict[str, Sku] = {}
        if "shop" in self.fields:
            shops, scope = Shop.objects.filter(is_active=True).order_by("code"), scope_of(user)
            chooser: Any = self.fields["shop"]
            chooser.queryset = shops if scope.is_everything else shops.filter(pk__in=scope.shop_ids)

    def clean_lines(self) -> list[tuple[str, Decimal | None]]:
        lines: list[tuple[str, Decimal | None]] = self.cleaned_data["lines"]
        rows = self._skus.filter(code__in=[code for code, _amount in lines]).select_related("spu")
        self.sku_ids = {sku.code: sku for sku in rows}
        missing = [code for code, _amount in lines if code not in self.sku_ids]
        if missing:
            raise forms.ValidationError(gettext("There is no SKU “%s”.") % "”, “".join(missing[:10]))
        return lines

    def chosen(self) -> list[Sku]:
        return [self.sku_ids[code] for code, _amount in self.cleaned_data["lines"]]


class PriceForm(SkuLinesForm):
    shop = forms.ModelChoiceField(
        Shop.objects.none(), label=_("Shop"), required=False, help_text=_("Empty: not for one shop alone.")
    )
    channel = forms.ChoiceField(
        label=_("Kind of channel"), required=False, help_text=_("Empty: every channel.")
    )
    kind = forms.ChoiceField(
        label=_("Kind of price"),
        choices=Price.Kind.choices,
        help_text=_("A special price has an end, and beats the regular one meanwhile."),
    )
    method = forms.ChoiceField(label=_("The number below is"), choices=METHOD_WORDS)
    value = forms.DecimalField(
        label=_("Number"),
        required=False,
        max_digits=14,
        decimal_places=4,
        help_text=_("−10 percent is a tenth off. Not needed where each line has its amount."),
    )
    starts_at = forms.DateTimeField(
        label=_("Starts at"), widget=forms.DateTimeInput(attrs={"type": "datetime-local"})
    )
    ends_at = forms.DateTimeField(
        label=_("Ends at"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
        help_text=_("Empty: until the next regular price."),
    )
    reason = forms.CharField(label=_("Why"), max_length=200)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        channels = Shop.objects.order_by("channel").values_list("channel", flat=True).distinct()
        chooser: Any = self.fields["channel"]
        chooser.choices = [("", "---------"), *((channel, channel) for channel in channels)]

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = super().clean() or {}
        lines = found.get("lines") or []
        if found.get("value") is None and any(amount is None for _code, amount in lines):
            self.add_error("value", gettext("Say how much, or write an amount on each line."))
        if found.get("shop") and found.get("channel"):
            self.add_error("channel", gettext("A price is for a shop or for a channel, not for both."))
        starts_at, ends_at = found.get("starts_at"), found.get("ends_at")
        if starts_at and ends_at and ends_at <= starts_at:
            self.add_error("ends_at", gettext("It would end before it starts."))
        if found.get("kind") == Price.Kind.SPECIAL and not ends_at and "ends_at" not in self.errors:
            self.add_error("ends_at", gettext("A special price has an end."))
        return found

    def proposals(self) -> list[Proposal]:
        given = self.cleaned_data
        own = {self.sku_ids[code].pk: amount for code, amount in given["lines"] if amount is not None}
        return propose_prices(
            sku_ids=[sku.pk for sku in self.chosen()],
            shop=given["shop"],
            channel=given["channel"],
            method=Method(given["method"]),
            value=given["value"] if given["value"] is not None else Decimal(0),
            own_amounts=own,
            at=given["starts_at"],
        )

    def drafts(self, proposals: Iterable[Proposal]) -> list[PriceDraft]:
        given = self.cleaned_data
        return [
            PriceDraft(
                row.sku_id,
                row.amount,
                given["starts_at"],
                ends_at=given["ends_at"],
                shop_id=given["shop"].pk if given["shop"] else None,
                channel=given["channel"],
                kind=given["kind"],
                currency=row.currency,
            )
            for row in proposals
            if row.amount is not None
        ]


def digest_of(proposals: Sequence[Proposal]) -> str:
    """What was seen: if it is another one when the person says yes, they are shown the new prices first."""
    text = ";".join(f"{row.sku_id}:{row.base}:{row.amount}" for row in proposals)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class FloorForm(SkuLinesForm):
    amount = forms.DecimalField(
        label=_("Floor price"),
        required=False,
        min_value=0,
        max_digits=14,
        decimal_places=4,
        help_text=_(
            "In the currency of each SKU; 0: no floor any more. Not needed where each line has its amount."
        ),
    )
    since = forms.DateTimeField(
        label=_("Since"), widget=forms.DateTimeInput(attrs={"type": "datetime-local"})
    )
    reason = forms.CharField(label=_("Why"), max_length=200)

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = super().clean() or {}
        lines = found.get("lines") or []
        if found.get("amount") is None and any(amount is None for _code, amount in lines):
            self.add_error("amount", gettext("Say how much, or write an amount on each line."))
        return found

    def floors(self) -> list[NewFloor]:
        given = self.cleaned_data
        return [
            NewFloor(
                self.sku_ids[code].pk,
                given["amount"] if amount is None else amount,
                self.sku_ids[code].currency,
                given["since"],
            )
            for code, amount in given["lines"]
        ]


class ReasonForm(forms.Form):
    reason = forms.CharField(label=_("Why"), max_length=200)


class WhyForm(forms.Form):
    shop = forms.ModelChoiceField(Shop.objects.none(), label=_("Shop"))
    sku = forms.CharField(label=_("SKU code"), max_length=64)
    at = forms.DateTimeField(
        label=_("At"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
        help_text=_("Empty: now."),
    )

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        shops, scope = Shop.objects.order_by("code"), scope_of(user)
        chooser: Any = self.fields["shop"]
        chooser.queryset = shops if scope.is_everything else shops.filter(pk__in=scope.shop_ids)

    def moment(self, now: datetime) -> datetime:
        return self.cleaned_data["at"] or now

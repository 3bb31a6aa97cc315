"""What the list of SKUs knows of catalogues: what one holds, and the button that picks SKUs for it by hand."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.db.models.expressions import RawSQL
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from omni.kernel.admin_base import BaseAdmin, RowResult
from products.assortment.holding import HELD_IDS
from products.assortment.select import pick_skus
from products.models import Catalogue

HOW = (("in", _("Stand in it")), ("out", _("Stay out of it")), ("rule", _("As its conditions say")))
PICKS = {"in": True, "out": False, "rule": None}


def visible_catalogues(request: HttpRequest) -> QuerySet[Catalogue]:
    """Those that the viewer may see."""
    page: Any = admin.site._registry[Catalogue]
    found: QuerySet[Catalogue] = page.limit_to_viewer(request, Catalogue.objects.order_by("code"))
    return found


class HeldFilter(admin.SimpleListFilter):
    """The SKUs that a catalogue holds."""

    title = _("sales catalogue")
    parameter_name = "catalogue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(pk), name) for pk, name in visible_catalogues(request).values_list("pk", "name")[:200]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value() or ""
        known = {pk for pk, _name in self.lookup_choices}
        return queryset.filter(Q(pk__in=RawSQL(HELD_IDS, [int(value)]))) if value in known else queryset  # noqa: S611


class PickForm(forms.Form):
    catalogue = forms.ModelChoiceField(Catalogue.objects.none(), label=_("Sales catalogue"))
    how = forms.ChoiceField(label=_("These SKUs shall"), choices=HOW, widget=forms.RadioSelect)
    reason = forms.CharField(label=_("Reason"), max_length=200, required=False)

    def __init__(self, request: HttpRequest, *given: Any) -> None:
        super().__init__(*given)
        page: Any = admin.site._registry[Catalogue]
        field: Any = self.fields["catalogue"]
        mine = [row.pk for row in visible_catalogues(request)[:500] if page.is_wholly_mine(request, row)]
        field.queryset = Catalogue.objects.filter(pk__in=mine).order_by("code")


class PickingActs(BaseAdmin):
    """The button of the list of SKUs: say by hand what a catalogue holds."""

    @admin.action(description=_("Pick for a sales catalogue"), permissions=["pick"])
    def pick_for_catalogue(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        title = _("Pick for a sales catalogue")

        def carry_out(answers: dict[str, Any], rows: list[Any]) -> HttpResponse | None:
            names = {row.pk: str(row) for row in rows}
            return self.operate(
                request,
                title,
                lambda at, by: [
                    RowResult(names[each.sku_id], each.ok, each.detail)
                    for each in pick_skus(
                        catalogue_id=answers["catalogue"].pk,
                        sku_ids=list(names),
                        is_in=PICKS[answers["how"]],
                        reason=answers["reason"],
                        at=at,
                        by=by,
                    )
                ],
            )

        form = PickForm(request, request.POST if "asked" in request.POST else None)
        return self.ask_first(
            request, queryset, action="pick_for_catalogue", title=title, form=form, run=carry_out
        )

    def has_pick_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("products.change_catalogue"))

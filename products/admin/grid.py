"""The page on which the SKUs of a product are made: choose options, look at the grid, make what is missing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from omni.kernel.actors import user_actor
from omni.kernel.admin_base import BaseAdmin, show_faults
from omni.kernel.errors import DomainError
from products.define import grow_grid
from products.grid import Cell, plan_grid
from products.models import CategoryAttribute, Sku, Spu
from products.template import of_sku, option_names, template_of

OPTION = "option_"


class GridForm(forms.Form):
    """One set of check boxes for each attribute that tells SKUs apart, and what all new SKUs have in common."""

    list_price = forms.DecimalField(
        label=_("List price of the new SKUs"),
        required=False,
        min_value=Decimal(0),
        max_digits=20,
        decimal_places=4,
    )
    weight_grams = forms.IntegerField(
        label=_("Weight of each (g)"), required=False, min_value=0, max_value=100_000_000
    )
    seen = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, attributes: Sequence[CategoryAttribute], skus: Sequence[Sku], **more: Any):
        super().__init__(*args, **more)
        for attribute in attributes:
            used = {sku.attributes.get(attribute.code) for sku in skus}
            self.fields[OPTION + attribute.code] = forms.MultipleChoiceField(
                label=attribute.name,
                choices=list(option_names(attribute).items()),
                initial=[code for code in option_names(attribute) if code in used],
                required=attribute.is_required,
                widget=forms.CheckboxSelectMultiple,
            )
        self.order_fields([*(OPTION + attribute.code for attribute in attributes)])

    def choices(self) -> dict[str, list[str]]:
        """Codes of the options by attribute."""
        answers = self.cleaned_data
        return {
            name.removeprefix(OPTION): codes
            for name, codes in answers.items()
            if name.startswith(OPTION) and codes
        }

    def common(self) -> dict[str, Any]:
        values = {name: self.cleaned_data[name] for name in ("list_price", "weight_grams")}
        return {name: value for name, value in values.items() if value is not None}


class GridPage(BaseAdmin):
    """Adds `<product>/grid/` to the pages of products."""

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [path("<int:pk>/grid/", wrap(self.grid_view), name="products_spu_grid"), *super().get_urls()]

    def may_grow(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("products.add_sku"))

    def grid_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show the grid that the options give; made is only what was shown."""
        if not self.may_grow(request):
            raise PermissionDenied
        spu: Spu = self.visible_object(request, pk)
        attributes = of_sku(template_of(spu.category_id))
        skus = list(Sku.objects.filter(spu=spu))
        form = GridForm(request.POST if request.method == "POST" else None, attributes=attributes, skus=skus)
        cells: list[Cell] = []
        if request.method == "POST" and form.is_valid():
            try:
                cells = plan_grid(spu=spu, choices=form.choices())
                if "make" in request.POST and form.cleaned_data["seen"] == _digest(cells):
                    return self._make(request, spu, form)
            except DomainError as refusal:
                refusal.fields = {OPTION + name: texts for name, texts in refusal.fields.items()}
                show_faults(form, refusal)
                cells = []
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("SKU grid"),
            "spu": spu,
            "form": form,
            "attributes": attributes,
            "columns": [row.name for row in attributes if cells and row.code in cells[0].attributes],
            "cells": [(cell, cell.name_for(spu)) for cell in cells],
            "new": sum(cell.sku is None for cell in cells),
            "seen": _digest(cells),
        }
        return TemplateResponse(request, "products/grid_page.html", context)

    def _make(self, request: HttpRequest, spu: Spu, form: GridForm) -> HttpResponse:
        grown = grow_grid(
            spu_id=spu.pk,
            choices=form.choices(),
            values=form.common(),
            at=timezone.now(),
            by=user_actor(request.user),
        )
        made = len(grown.made)
        text = ngettext("%d SKU made.", "%d SKUs made.", made) % made
        messages.success(request, text if made else gettext("All of them were there already."))
        return HttpResponseRedirect(reverse("admin:products_spu_change", args=[spu.pk]))


def _digest(cells: Sequence[Cell]) -> str:
    """What was shown, so that nothing else is made."""
    shown = hashlib.sha256()
    for cell in cells:
        shown.update(cell.key + (b"+" if cell.sku is None else b"="))
    return shown.hexdigest()[:16]

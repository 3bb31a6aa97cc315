"""Find one thing by the number that somebody read out: answered by unique indexes, never by scanning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from unfold.dataclasses import SearchResult

from inventory.models import SkuStock
from orders.models import ChannelOrder, FulfilmentOrder, Parcel, ParkedOrder, SalesOrder

# (model, exact look-ups that an index answers, what it is, icon)
PLACES: tuple[tuple[type[Any], tuple[str, ...], Any, str], ...] = (
    (SalesOrder, ("number", "outer_id"), _("order"), "receipt_long"),
    (FulfilmentOrder, ("number",), _("fulfilment order"), "package_2"),
    (Parcel, ("tracking_no",), _("parcel"), "local_shipping"),
    (SkuStock, ("code", "barcodes__code"), _("SKU"), "inventory_2"),
    (ParkedOrder, ("outer_id",), _("parked order"), "car_crash"),
    (ChannelOrder, ("outer_id",), _("channel order"), "storefront"),
)


def find_anything(request: HttpRequest, term: str) -> list[SearchResult]:
    """What the command box (Ctrl + K) finds: orders, parcels and SKUs by their whole number, in the viewer's scope."""
    # Unfold hands the term over in lower case; numbers of ours are in upper case, those of channels as they are.
    typed = request.GET.get("s", term).strip()
    return list(_find(request, {typed, typed.upper()})) if typed else []


def _find(request: HttpRequest, terms: set[str]) -> Iterator[SearchResult]:
    for model, columns, what, icon in PLACES:
        page: Any = admin.site._registry[model]
        if not page.has_view_permission(request):
            continue
        meta = model._meta
        for column in columns:
            for row in page.get_queryset(request).filter(**{f"{column}__in": sorted(terms)})[:5]:
                link = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
                yield SearchResult(title=str(row), description=str(what), link=link, icon=icon)

"""The button of the list of SKUs that leads to a change of their prices."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from omni.kernel.admin_base import BaseAdmin

# Their codes travel in the address of the page.
CODES_CHARS_MAX = 4_000


class PricingActs(BaseAdmin):
    """Nothing is asked for before the page has shown what the change would make of each price."""

    @admin.action(description=_("Change prices"), permissions=["price"])
    def change_prices(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        codes = "\n".join(queryset.order_by("code").values_list("code", flat=True))
        if len(codes) > CODES_CHARS_MAX:
            messages.error(
                request, gettext("Too many at once: choose fewer, or bring the prices in as a file.")
            )
            return None
        return redirect(f"{reverse('admin:products_price_ask')}?{urlencode({'codes': codes})}")

    def has_price_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("products.change_price"))

"""Floor prices: below them nothing is sold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from omni.kernel.actors import user_actor
from omni.kernel.admin_base import column, show_faults
from omni.kernel.display import Money
from omni.kernel.errors import DomainError
from products.admin.price_forms import FloorForm
from products.admin.scoped import ScopedAdmin, visible_skus_of
from products.models import FloorPrice
from products.prices.floors import BelowFloor
from products.prices.outcome import moment_text
from products.prices.set_floor import set_floors
from products.scope import whole_brand_ids


@admin.register(FloorPrice)
class FloorPriceAdmin(ScopedAdmin):
    intro = _(
        "Below its floor price a SKU is sold nowhere, whatever was approved before. 0: no floor any more."
    )
    brand_path = "sku__spu__brand_id"
    actors = ("set_by",)
    list_display = ("show_sku", "show_amount", "since", "reason", "show_by", "set_at")
    list_display_links = ("show_sku",)
    list_select_related = ("sku",)
    search_fields = ("sku__code__exact",)
    search_help_text = _("A whole SKU code")
    shown_as = {"set_by": "show_by"}

    def get_intro(self, request: HttpRequest) -> dict[str, Any] | None:
        intro = super().get_intro(request) or {}
        if not self.has_operate_permission(request):
            return intro
        link = {"url": reverse("admin:products_floorprice_put"), "label": gettext("Set floor prices")}
        return {**intro, "links": [link]}

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.put_view)
        return [path("set/", view, name="products_floorprice_put"), *super().get_urls()]

    def put_view(self, request: HttpRequest) -> HttpResponse:
        """Set floors for many SKUs, and say which approved prices lie below them now."""
        if not self.has_operate_permission(request):
            raise PermissionDenied
        skus, allowed = visible_skus_of(self, request), whole_brand_ids(request.user)
        if allowed is not None:
            skus = skus.filter(spu__brand_id__in=allowed)
        now = timezone.localtime().strftime("%Y-%m-%dT%H:%M")
        form = FloorForm(request.POST or None, skus=skus, user=request.user, initial={"since": now})
        below: list[BelowFloor] = []
        if request.method == "POST" and form.is_valid():
            try:
                below = set_floors(
                    floors=form.floors(),
                    reason=form.cleaned_data["reason"],
                    at=timezone.now(),
                    by=user_actor(request.user),
                )
            except DomainError as refusal:
                show_faults(form, refusal)
            else:
                messages.success(request, gettext("The floor prices are set."))
                if not below:
                    return redirect("admin:products_floorprice_changelist")
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Set floor prices"),
            "form": form,
            "below": below_rows(below),
        }
        return TemplateResponse(request, "products/floor_page.html", context)

    @column(description=_("SKU"))
    def show_sku(self, floor: FloorPrice) -> str:
        return floor.sku.code

    @column(description=_("floor price"))
    def show_amount(self, floor: FloorPrice) -> str:
        return Money(floor.amount, floor.currency).text()

    @column(description=_("set by"))
    def show_by(self, floor: FloorPrice) -> str:
        return self.who(floor, floor.set_by)


def below_rows(rows: Sequence[BelowFloor]) -> list[dict[str, Any]]:
    """Approved prices that lie below their floor, as the pages show them."""
    return [
        {
            "id": row.price_id,
            "sku": row.sku_code,
            "amount": Money(row.amount, row.currency).text(),
            "floor": Money(row.floor, row.currency).text(),
            "since": moment_text(row.floor_since),
            "period": f"{moment_text(row.starts_at)} – {moment_text(row.ends_at)}",
        }
        for row in rows
    ]

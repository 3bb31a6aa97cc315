"""What the channels were told that they may sell."""

from __future__ import annotations

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

from inventory.models import PublishedStock
from inventory.plan_all import PLAN_ALL, start_plan_all
from omni.kernel.actors import user_actor
from omni.kernel.admin_base import column
from omni.kernel.models import Job
from products.admin.scoped import ScopedAdmin, ShopFilter, UntoldFilter
from products.scope import scope_of


@admin.register(PublishedStock)
class PublishedStockAdmin(ScopedAdmin):
    intro = _("Per listing: what the channel should show, what we sent, and what it said it took.")
    shop_path = "shop_id"
    list_display = (
        "show_sku",
        "shop",
        "show_listing",
        "desired_quantity",
        "sent_quantity",
        "acked_quantity",
        "show_state",
        "acked_at",
        "last_error",
    )
    list_select_related = ("listing__sku", "shop")
    list_filter = (ShopFilter, UntoldFilter)
    search_fields = ("listing__sku__code__exact", "listing__outer_item_id__exact")
    search_help_text = _("A whole SKU code or outer item id")

    # --- all of them anew -----------------------------------------------------------------------------------
    def get_intro(self, request: HttpRequest) -> dict[str, Any] | None:
        intro = super().get_intro(request)
        if intro is None or not self.may_plan_all(request):
            return intro
        url = reverse("admin:inventory_publishedstock_plan_all")
        return {**intro, "links": [{"url": url, "label": _("Compute all numbers anew now")}]}

    def may_plan_all(self, request: HttpRequest) -> bool:
        """The numbers of all shops are computed at once: that is for people who may see all of them."""
        return self.has_operate_permission(request) and scope_of(request.user).is_everything

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.plan_all_view)
        return [path("plan-all/", page, name="inventory_publishedstock_plan_all"), *super().get_urls()]

    def plan_all_view(self, request: HttpRequest) -> HttpResponse:
        if not self.may_plan_all(request):
            raise PermissionDenied
        by = user_actor(request.user)
        if request.method == "POST":
            job = start_plan_all(at=timezone.now(), by=by)
            if job.created_by == by or request.user.is_superuser:
                return redirect("admin:kernel_job_change", job.pk)
            messages.info(request, gettext("Somebody else has them computed at this moment."))
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Compute all numbers anew now"),
            "last": Job.objects.filter(kind=PLAN_ALL).order_by("-pk").first(),
        }
        return TemplateResponse(request, "inventory/plan_all_page.html", context)

    @column(description=_("SKU"))
    def show_sku(self, row: PublishedStock) -> str:
        return row.listing.sku.code

    @column(description=_("listing"))
    def show_listing(self, row: PublishedStock) -> str:
        return str(row.listing)

    @column(description=_("state"), label={"ok": "success", "due": "info", "failing": "danger"})
    def show_state(self, row: PublishedStock) -> tuple[str, Any]:
        if row.desired_version <= row.acked_version:
            return "ok", _("acknowledged")
        if row.last_error:
            return "failing", _("failing")
        return "due", _("due")

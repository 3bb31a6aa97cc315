"""The stock of a SKU: how much, where, for whom, and why each number is what it is."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy as _

from inventory.admin.acts import STOCK_ACTS, QuotaForm, offer_shops, run_act
from inventory.admin.matrix import MatrixPages, default_group
from inventory.admin.sku_page import sku_page
from inventory.models import AllocationRun, Shortage, SkuStock, StockLevel, StockPool
from inventory.models.stock import Grade, PoolKind
from inventory.network.transit import in_transit
from omni.kernel.admin_base import column
from products.admin.scoped import ScopedAdmin


def _total(queryset: QuerySet[Any], column: str) -> Coalesce:
    """One number per SKU of the page, each from the SKU's own few index entries."""
    summed = queryset.filter(sku=OuterRef("pk")).order_by().values("sku").annotate(n=Sum(column)).values("n")
    return Coalesce(Subquery(summed), 0)


@admin.register(SkuStock)
class SkuStockAdmin(ScopedAdmin):
    keyset = "code"
    brand_path = "spu__brand_id"
    list_display = (
        "code",
        "name",
        "show_on_hand",
        "show_committed",
        "show_reserved",
        "show_free",
        "show_safety",
        "show_short",
    )
    search_fields = ("code__startswith", "barcodes__code__exact")
    search_help_text = _("The beginning of a SKU code, or a whole barcode")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        good = StockLevel.objects.filter(grade=Grade.GOOD)
        sold_from = StockPool.objects.exclude(kind__in=[PoolKind.SAFETY, PoolKind.BASE, PoolKind.REVOKING])
        queryset: QuerySet[Any] = super().get_queryset(request)
        match = request.resolver_match
        if match and not (match.url_name or "").endswith("_changelist"):
            return queryset
        annotated: QuerySet[Any] = queryset.annotate(
            n_on_hand=_total(good, "on_hand"),
            n_committed=_total(good, "committed"),
            n_reserved=_total(StockPool.objects.all(), "reserved"),
            n_granted=_total(sold_from, "granted"),
            n_taken=_total(sold_from, "reserved"),
            n_safety=_total(StockPool.objects.filter(kind=PoolKind.SAFETY), "granted"),
            n_short=_total(Shortage.objects.filter(state=Shortage.State.OPEN), "quantity"),
        )
        return annotated

    # --- the page and its buttons ---------------------------------------------------------------------------
    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.act_view)
        quota = self.admin_site.admin_view(self.quota_view)
        return [
            path("<int:pk>/act/<slug:code>/", view, name="inventory_skustock_act"),
            path("<int:pk>/quota/", quota, name="inventory_skustock_quota"),
            *super().get_urls(),
        ]

    def act_view(self, request: HttpRequest, pk: int, code: str) -> HttpResponse:
        """One button. A form with a fault is shown again with what was typed."""
        sku = self.operable_object(request, pk)
        act = STOCK_ACTS.get(code)
        if act is None:
            raise Http404
        form = offer_shops(act.form(request.POST, auto_id=f"{code}-%s"), request.user)
        if not form.is_valid():
            return self._page(request, sku, {code: form})
        self.operate(request, act.title, lambda at, by: run_act(act, sku, form.cleaned_data, at, by))
        return redirect("admin:inventory_skustock_change", sku.pk)

    def quota_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """What the quota of one shop would do, as the matrix shows it; it is applied there."""
        sku = self.visible_object(request, pk)
        runs = self._runs()
        if request.method != "POST" or not runs.has_operate_permission(request):
            raise PermissionDenied
        form = offer_shops(QuotaForm(request.POST, auto_id="quota-%s"), request.user)
        if not form.is_valid():
            return self._page(request, sku, {"quota": form})
        given = form.cleaned_data
        asked = {(sku.pk, given["shop"].pk): given["quantity"]}
        pages = MatrixPages(runs)
        return pages.preview_of(request, asked, group=given["group"], code=sku.code, reason=given["reason"])

    def _runs(self) -> ScopedAdmin:
        page: Any = self.admin_site._registry[AllocationRun]
        found: ScopedAdmin = page
        return found

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if not object_id.isdigit():
            raise Http404
        return self._page(request, self.visible_object(request, int(object_id)), {})

    def _page(self, request: HttpRequest, sku: SkuStock, forms: dict[str, Any]) -> HttpResponse:
        request.current_app = self.admin_site.name
        fresh = {"key": uuid4().hex, "grade": Grade.GOOD.value}
        acts = [
            (act, forms.get(code) or offer_shops(act.form(initial=fresh, auto_id=f"{code}-%s"), request.user))
            for code, act in STOCK_ACTS.items()
            if self.has_operate_permission(request)
        ]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": sku,
            "title": sku.code,
            "sku": sku,
            "acts": acts,
            "quota_form": self._quota_form(request, forms),
            "open_act": next(iter(forms), ""),
            "in_transit": in_transit([sku.pk]).get(sku.pk, []),
            **sku_page(sku, request),
        }
        return TemplateResponse(request, "inventory/sku_page.html", context)

    def _quota_form(self, request: HttpRequest, forms: dict[str, Any]) -> Any:
        """None for those who may not."""
        if not self._runs().has_operate_permission(request):
            return None
        group = default_group()
        fresh = QuotaForm(initial={"group": group.pk if group else None}, auto_id="quota-%s")
        return forms.get("quota") or offer_shops(fresh, request.user)

    # --- columns --------------------------------------------------------------------------------------------
    @column(description=_("on hand"))
    def show_on_hand(self, sku: Any) -> int:
        return int(sku.n_on_hand)

    @column(description=_("committed"))
    def show_committed(self, sku: Any) -> int:
        return int(sku.n_committed)

    @column(description=_("reserved"))
    def show_reserved(self, sku: Any) -> int:
        return int(sku.n_reserved)

    @column(description=_("sellable"))
    def show_free(self, sku: Any) -> int:
        return int(sku.n_granted - sku.n_taken)

    @column(description=_("safety"))
    def show_safety(self, sku: Any) -> int:
        return int(sku.n_safety)

    @column(description=_("owed"), label={"owed": "warning", "none": ""})
    def show_short(self, sku: Any) -> tuple[str, Any]:
        return ("owed", str(sku.n_short)) if sku.n_short else ("none", "0")

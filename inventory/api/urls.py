"""Addresses under /api/v1/."""

from __future__ import annotations

from django.urls import path
from rest_framework.routers import SimpleRouter

from inventory.api import allocation, holds, quotas, views
from inventory.api.compares import CompareView, DifferenceView
from inventory.api.network import CountSheetView, LocationView, TransferView
from inventory.api.supply import AlertView, SuggestionView

router = SimpleRouter(trailing_slash=False)
router.register("locations", LocationView, "location")
router.register("transfers", TransferView, "transfer")
router.register("count-sheets", CountSheetView, "count-sheet")
router.register("allocation-runs", allocation.AllocationRunView, "allocation-run")
router.register("promotion-locks", allocation.PromotionLockView, "promotion-lock")
router.register("quota-rules", quotas.QuotaRuleView, "quota-rule")
router.register("revocations", allocation.RevocationView, "revocation")
router.register("stock/holds", holds.StockHoldView, "stock-hold")
router.register("stock/compares", CompareView, "stock-compare")
router.register("stock/differences", DifferenceView, "stock-difference")
router.register("stock/alerts", AlertView, "stock-alert")

urlpatterns = [
    path("stock/levels", views.StockLevelView.as_view({"get": "list"}), name="stock-levels"),
    path("stock/published", views.PublishedStockView.as_view({"get": "list"}), name="stock-published"),
    path("stock/sellable", views.SellableView.as_view(), name="stock-sellable"),
    path("stock/exposures", quotas.ShopExposureView.as_view({"get": "list"}), name="stock-exposures"),
    path("stock/<str:sku>/why", quotas.WhyStockView.as_view(), name="stock-why"),
    path("availability", views.AvailabilityView.as_view(), name="availability"),
    path("stock/receipts", views.ReceiptView.as_view(), name="stock-receipts"),
    path("stock/counts", views.CountView.as_view(), name="stock-counts"),
    path("stock/adjustments", views.AdjustmentView.as_view(), name="stock-adjustments"),
    path("stock/regrades", views.RegradeView.as_view(), name="stock-regrades"),
    path("stock/in-transit", views.InTransitView.as_view(), name="stock-in-transit"),
    path("stock/suggestions", SuggestionView.as_view(), name="stock-suggestions"),
    *router.urls,
]

"""Addresses under /api/v1/."""

from __future__ import annotations

from django.urls import path
from rest_framework.routers import SimpleRouter

from inventory.api import holds, views

router = SimpleRouter(trailing_slash=False)
router.register("locations", views.LocationView, "location")
router.register("stock/holds", holds.StockHoldView, "stock-hold")

urlpatterns = [
    path("stock/levels", views.StockLevelView.as_view({"get": "list"}), name="stock-levels"),
    path("stock/published", views.PublishedStockView.as_view({"get": "list"}), name="stock-published"),
    path("stock/sellable", views.SellableView.as_view(), name="stock-sellable"),
    path("availability", views.AvailabilityView.as_view(), name="availability"),
    path("stock/receipts", views.ReceiptView.as_view(), name="stock-receipts"),
    path("stock/counts", views.CountView.as_view(), name="stock-counts"),
    path("stock/adjustments", views.AdjustmentView.as_view(), name="stock-adjustments"),
    *router.urls,
]

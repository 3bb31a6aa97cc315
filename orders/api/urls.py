"""Addresses under /api/v1/."""

from __future__ import annotations

from rest_framework.routers import SimpleRouter

from orders.api import views

router = SimpleRouter(trailing_slash=False)
router.register("orders", views.OrderView, "order")
router.register("shipments", views.ShipmentView, "shipment")
router.register("parked-orders", views.ParkedOrderView, "parked-order")

urlpatterns = router.urls

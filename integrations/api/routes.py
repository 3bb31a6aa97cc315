"""Addresses under /api/v1/ for those who have a key."""

from __future__ import annotations

from rest_framework.routers import SimpleRouter

from integrations.api.comparisons import ComparisonView
from integrations.api.drifts import DriftView

router = SimpleRouter(trailing_slash=False)
router.register("drifts", DriftView, "drift")
router.register("comparisons", ComparisonView, "comparison")

urlpatterns = router.urls

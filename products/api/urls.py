"""Addresses under /api/v1/."""

from __future__ import annotations

from django.urls import path
from rest_framework.routers import SimpleRouter

from products.api import views
from products.api.assortment import AssortmentRuleView, AssortmentRunView, CatalogueView
from products.api.images import ImageView
from products.api.listings import ListingRequestView, ListingView
from products.api.outer_items import OuterItemView
from products.api.prices import EffectiveView, PriceRequestView

router = SimpleRouter(trailing_slash=False)
router.register("brands", views.BrandView, "brand")
router.register("categories", views.CategoryView, "category")
router.register("spus", views.SpuView, "spu")
router.register("skus", views.SkuView, "sku")
router.register("images", ImageView, "image")
router.register("shops", views.ShopView, "shop")
router.register("listings", ListingView, "listing")
router.register("listing-requests", ListingRequestView, "listing-request")
router.register("outer-items", OuterItemView, "outer-item")
router.register("price-requests", PriceRequestView, "price-request")
router.register("catalogues", CatalogueView, "catalogue")
router.register("assortment-rules", AssortmentRuleView, "assortment-rule")
router.register("assortment-runs", AssortmentRunView, "assortment-run")

urlpatterns = [path("prices", EffectiveView.as_view(), name="prices"), *router.urls]

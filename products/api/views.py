"""Read and write the product master; read the shops and what they list."""

from __future__ import annotations

from django.db.models import Prefetch, Q, QuerySet

from omni.kernel.api.views import ReadingView
from products.api import filters, serializers
from products.api.define import DefiningView
from products.api.images import IN_ORDER, ShowingView
from products.api.scope import in_shops, visible_brands, visible_skus
from products.models import Brand, BundleComponent, Category, Listing, Shop, Sku, Spu

SCOPES = {"read": "products:read"}
WRITING_SCOPES = {"read": "products:read", "write": "products:write"}


class BrandView(ReadingView):
    """Brands."""

    scopes = SCOPES
    staff_permission = "products.view_brand"
    serializer_class = serializers.BrandOut
    filterset_class = filters.BrandFilter
    lookup_field = "code"
    queryset = Brand.objects.all()

    def get_queryset(self) -> QuerySet[Brand]:
        brands = visible_brands(self.request)
        return self.queryset.filter(Q() if brands is None else Q(pk__in=brands))


class CategoryView(ReadingView):
    """The category tree; it is the same for everybody."""

    scopes = SCOPES
    staff_permission = "products.view_category"
    serializer_class = serializers.CategoryOut
    filterset_class = filters.CategoryFilter
    lookup_field = "code"
    queryset = Category.objects.select_related("parent")


class SpuView(DefiningView, ShowingView):
    """Products as customers see them, with their SKUs."""

    scopes = WRITING_SCOPES
    serializer_class = serializers.SpuOut
    filterset_class = filters.SpuFilter
    lookup_field = "code"
    queryset = Spu.objects.select_related("brand", "category").prefetch_related(IN_ORDER)

    @property
    def staff_permission(self) -> str:
        return "products.view_spu" if self.request.method == "GET" else "products.change_spu"

    def get_queryset(self) -> QuerySet[Spu]:
        brands = visible_brands(self.request)
        if brands is None:
            return self.queryset
        listed = Listing.objects.filter(in_shops(self.request)).values("sku__spu")
        return self.queryset.filter(Q(brand__in=brands) | Q(pk__in=listed))


class SkuView(ShowingView):
    """SKUs, with their barcodes; of bundles, with what lies in them."""

    scopes = WRITING_SCOPES
    serializer_class = serializers.SkuOut
    filterset_class = filters.SkuFilter
    lookup_field = "code"
    queryset = Sku.objects.select_related("spu__brand", "spu__category").prefetch_related(
        "barcodes",
        IN_ORDER,
        Prefetch("components", BundleComponent.objects.select_related("component").order_by("pk")),
    )

    @property
    def staff_permission(self) -> str:
        return "products.view_sku" if self.request.method == "GET" else "products.change_sku"

    def get_queryset(self) -> QuerySet[Sku]:
        return self.queryset.filter(visible_skus(self.request))


class ShopView(ReadingView):
    """Shops: store accounts on channels."""

    scopes = SCOPES
    staff_permission = "products.view_shop"
    serializer_class = serializers.ShopOut
    filterset_class = filters.ShopFilter
    lookup_field = "code"
    queryset = Shop.objects.select_related("brand")

    def get_queryset(self) -> QuerySet[Shop]:
        return self.queryset.filter(in_shops(self.request, "pk"))

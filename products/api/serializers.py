"""Products, shops and listings as the API shows them."""

from __future__ import annotations

from rest_framework import serializers

from products.api.images import image_ids
from products.models import Brand, BundleComponent, Category, Shop, Sku, Spu


class BrandOut(serializers.ModelSerializer[Brand]):
    class Meta:
        model = Brand
        fields = ("code", "name", "is_active")
        read_only_fields = fields


class CategoryOut(serializers.ModelSerializer[Category]):
    parent = serializers.CharField(  # type: ignore[assignment]
        source="parent.code", default=None, read_only=True, allow_null=True
    )

    class Meta:
        model = Category
        fields = ("code", "name", "parent", "path")
        read_only_fields = fields


class SpuOut(serializers.ModelSerializer[Spu]):
    """`images`: the ids of its pictures, in their order."""

    brand = serializers.CharField(source="brand.code", read_only=True)
    category = serializers.CharField(source="category.code", default=None, read_only=True, allow_null=True)
    tags = serializers.ListField(child=serializers.CharField(), read_only=True)
    attributes = serializers.DictField(read_only=True)
    images = serializers.SerializerMethodField()

    def get_images(self, spu: Spu) -> list[int]:
        return image_ids(spu.image_uses.all())

    class Meta:
        model = Spu
        fields = (
            "code",
            "name",
            "brand",
            "category",
            "season",
            "tags",
            "description",
            "attributes",
            "images",
            "created_at",
        )
        read_only_fields = fields


class ComponentOut(serializers.ModelSerializer[BundleComponent]):
    """So many units of a SKU in each bundle. `weight`: its share of the price; null: that of list price × units."""

    sku = serializers.CharField(source="component.code", read_only=True)

    class Meta:
        model = BundleComponent
        fields = ("sku", "units", "weight")
        read_only_fields = fields


class SkuOut(serializers.ModelSerializer[Sku]):
    """`images`: the ids of its own pictures, in their order; without any, those of its product are shown.

    With `components` it is a bundle: it has no stock of its own, they have.
    """

    spu = serializers.CharField(source="spu.code", read_only=True)
    brand = serializers.CharField(source="spu.brand.code", read_only=True)
    category = serializers.CharField(
        source="spu.category.code", default=None, read_only=True, allow_null=True
    )
    barcodes = serializers.SerializerMethodField()
    attributes = serializers.DictField(read_only=True)
    images = serializers.SerializerMethodField()
    components = ComponentOut(many=True, read_only=True)

    class Meta:
        model = Sku
        fields = (
            "code",
            "name",
            "spu",
            "brand",
            "category",
            "barcodes",
            "attributes",
            "images",
            "list_price",
            "currency",
            "weight_grams",
            "is_active",
            "created_at",
            "components",
        )
        read_only_fields = fields

    def get_images(self, sku: Sku) -> list[int]:
        return image_ids(sku.image_uses.all())

    def get_barcodes(self, sku: Sku) -> list[str]:
        return sorted(barcode.code for barcode in sku.barcodes.all())


class ShopOut(serializers.ModelSerializer[Shop]):
    brand = serializers.CharField(source="brand.code", default=None, read_only=True, allow_null=True)

    class Meta:
        model = Shop
        fields = (
            "code",
            "name",
            "channel",
            "brand",
            "currency",
            "order_policy",
            "fulfilled_by",
            "is_active",
        )
        read_only_fields = fields

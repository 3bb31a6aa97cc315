# mypy: disallow-untyped-calls=False
"""Products and shops for tests."""

from __future__ import annotations

from factory.declarations import LazyAttribute, Sequence, SubFactory
from factory.django import DjangoModelFactory

from products.models import Brand, Category, Listing, Shop, Sku, Spu


class BrandFactory(DjangoModelFactory[Brand]):
    class Meta:
        model = Brand

    code = Sequence(lambda n: f"brand-{n}")
    name = Sequence(lambda n: f"Brand {n}")


class CategoryFactory(DjangoModelFactory[Category]):
    """A root; what lies below one is made by `create_category`."""

    class Meta:
        model = Category

    code = Sequence(lambda n: f"category-{n}")
    name = Sequence(lambda n: f"Category {n}")
    path = LazyAttribute(lambda category: f"{category.code}/")


class SpuFactory(DjangoModelFactory[Spu]):
    class Meta:
        model = Spu

    code = Sequence(lambda n: f"spu-{n}")
    name = Sequence(lambda n: f"Product {n}")
    brand = SubFactory(BrandFactory)


class SkuFactory(DjangoModelFactory[Sku]):
    class Meta:
        model = Sku

    code = Sequence(lambda n: f"sku-{n}")
    name = Sequence(lambda n: f"Product {n}, red")
    spu = SubFactory(SpuFactory)


class ShopFactory(DjangoModelFactory[Shop]):
    class Meta:
        model = Shop

    code = Sequence(lambda n: f"shop-{n}")
    name = Sequence(lambda n: f"Shop {n}")
    channel = "top"


class ListingFactory(DjangoModelFactory[Listing]):
    class Meta:
        model = Listing

    shop = SubFactory(ShopFactory)
    sku = SubFactory(SkuFactory)
    outer_item_id = Sequence(lambda n: f"{600000 + n}")
    outer_sku_id = Sequence(lambda n: f"{700000 + n}")

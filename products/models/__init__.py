"""What is sold, where it is offered, and who may see it."""

from products.models.assortment import (
    AssortmentRow,
    AssortmentRule,
    AssortmentRun,
    AssortmentShop,
    Catalogue,
    CataloguePick,
    OutsideListing,
    PlacedListing,
    ShopCatalogue,
)
from products.models.attributes import CategoryAttribute
from products.models.bundles import BundleComponent
from products.models.coding import CodeCounter, CodeRule
from products.models.images import Image, ImageUse
from products.models.master import Barcode, Brand, Category, Sku, Spu
from products.models.offer import Listing, Shop
from products.models.prices import FloorPrice, Price, PriceChange, PublishedPrice
from products.models.publishing import ListingRequest, OuterItem
from products.models.staff import StaffScope

__all__ = [
    "AssortmentRow",
    "AssortmentRule",
    "AssortmentRun",
    "AssortmentShop",
    "Barcode",
    "Brand",
    "BundleComponent",
    "Catalogue",
    "CataloguePick",
    "Category",
    "CategoryAttribute",
    "CodeCounter",
    "CodeRule",
    "FloorPrice",
    "Image",
    "ImageUse",
    "Listing",
    "ListingRequest",
    "OuterItem",
    "OutsideListing",
    "PlacedListing",
    "Price",
    "PriceChange",
    "PublishedPrice",
    "Shop",
    "ShopCatalogue",
    "Sku",
    "Spu",
    "StaffScope",
]

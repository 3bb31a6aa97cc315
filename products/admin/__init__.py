"""The pages of the product master and its shops: edited through its operations, with its history."""

from products.admin.catalogues import CatalogueAdmin, CataloguePickAdmin
from products.admin.floor_prices import FloorPriceAdmin
from products.admin.images import ImageAdmin, ImageUseAdmin
from products.admin.listing_acts import ListingRequestAdmin
from products.admin.mapping import OuterItemAdmin
from products.admin.master import BrandAdmin, CategoryAdmin, SkuAdmin, SpuAdmin
from products.admin.offer import ListingAdmin, ShopAdmin, StaffScopeAdmin
from products.admin.prices import PriceAdmin
from products.admin.published_prices import PublishedPriceAdmin
from products.admin.rules import AssortmentRuleAdmin
from products.admin.runs import AssortmentRowAdmin, AssortmentRunAdmin, AssortmentShopAdmin
from products.admin.template import CategoryAttributeAdmin, CodeRuleAdmin

__all__ = [
    "AssortmentRowAdmin",
    "AssortmentRuleAdmin",
    "AssortmentRunAdmin",
    "AssortmentShopAdmin",
    "BrandAdmin",
    "CatalogueAdmin",
    "CataloguePickAdmin",
    "CategoryAdmin",
    "CategoryAttributeAdmin",
    "CodeRuleAdmin",
    "FloorPriceAdmin",
    "ImageAdmin",
    "ImageUseAdmin",
    "ListingAdmin",
    "ListingRequestAdmin",
    "OuterItemAdmin",
    "PriceAdmin",
    "PublishedPriceAdmin",
    "ShopAdmin",
    "SkuAdmin",
    "SpuAdmin",
    "StaffScopeAdmin",
]

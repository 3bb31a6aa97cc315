"""The pages of the product master and its shops: plain configuration, edited in place, with its history."""

from products.admin.images import ImageAdmin, ImageUseAdmin
from products.admin.mapping import OuterItemAdmin
from products.admin.master import BrandAdmin, CategoryAdmin, SkuAdmin, SpuAdmin
from products.admin.offer import ListingAdmin, ShopAdmin, StaffScopeAdmin

__all__ = [
    "BrandAdmin",
    "CategoryAdmin",
    "ImageAdmin",
    "ImageUseAdmin",
    "ListingAdmin",
    "OuterItemAdmin",
    "ShopAdmin",
    "SkuAdmin",
    "SpuAdmin",
    "StaffScopeAdmin",
]

"""Where people look at stock: the SKU page, the places, the pools, what is owed, and every movement."""

from inventory.admin.counts import CountSheetAdmin
from inventory.admin.network import LocationAdmin, LocationGroupAdmin, PoolingRuleAdmin
from inventory.admin.promise import ReservationAdmin, ShortageAdmin
from inventory.admin.publication import PublishedStockAdmin
from inventory.admin.sku import SkuStockAdmin
from inventory.admin.stock import (
    ShopPoolAdmin,
    StockLevelAdmin,
    StockMovementAdmin,
    StockOperationAdmin,
    StockPoolAdmin,
)
from inventory.admin.transfers import TransferAdmin

__all__ = [
    "CountSheetAdmin",
    "LocationAdmin",
    "LocationGroupAdmin",
    "PoolingRuleAdmin",
    "PublishedStockAdmin",
    "ReservationAdmin",
    "ShopPoolAdmin",
    "ShortageAdmin",
    "SkuStockAdmin",
    "StockLevelAdmin",
    "StockMovementAdmin",
    "StockOperationAdmin",
    "StockPoolAdmin",
    "TransferAdmin",
]

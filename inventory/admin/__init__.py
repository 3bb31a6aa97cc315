"""Where people look at stock: the SKU page, the places, the pools, what is owed, and every movement."""

from inventory.admin.compares import StockComparisonAdmin, StockDifferenceAdmin
from inventory.admin.network import LocationAdmin, LocationGroupAdmin
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
from inventory.admin.supply import AlertRuleAdmin, StockAlertAdmin, SupplyRuleAdmin

__all__ = [
    "AlertRuleAdmin",
    "LocationAdmin",
    "LocationGroupAdmin",
    "PublishedStockAdmin",
    "ReservationAdmin",
    "ShopPoolAdmin",
    "ShortageAdmin",
    "SkuStockAdmin",
    "StockAlertAdmin",
    "StockComparisonAdmin",
    "StockDifferenceAdmin",
    "StockLevelAdmin",
    "StockMovementAdmin",
    "StockOperationAdmin",
    "StockPoolAdmin",
    "SupplyRuleAdmin",
]

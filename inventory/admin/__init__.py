"""Where people look at stock: the SKU page, the places, the pools, what is owed, and every movement."""

from inventory.admin.holds import HoldLimitAdmin, StockHoldAdmin
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

__all__ = [
    "HoldLimitAdmin",
    "LocationAdmin",
    "LocationGroupAdmin",
    "PublishedStockAdmin",
    "ReservationAdmin",
    "ShopPoolAdmin",
    "ShortageAdmin",
    "SkuStockAdmin",
    "StockHoldAdmin",
    "StockLevelAdmin",
    "StockMovementAdmin",
    "StockOperationAdmin",
    "StockPoolAdmin",
]

"""Stock: where it lies, who may sell it, to whom it is promised, and every movement of it."""

from inventory.models.ledger import StockMovement, StockOperation
from inventory.models.network import Location, LocationGroup
from inventory.models.promise import Reservation, Shortage
from inventory.models.publication import PublishedStock, StockChange
from inventory.models.sku import SkuStock
from inventory.models.stock import ShopPool, StockLevel, StockPool

__all__ = [
    "Location",
    "LocationGroup",
    "PublishedStock",
    "Reservation",
    "ShopPool",
    "Shortage",
    "SkuStock",
    "StockChange",
    "StockLevel",
    "StockMovement",
    "StockOperation",
    "StockPool",
]

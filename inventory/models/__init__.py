"""Stock: where it lies, who may sell it, to whom it is promised, and every movement of it."""

from inventory.models.allocation import (
    AllocationLine,
    AllocationMethod,
    AllocationRun,
    DailyDemand,
    RebalancePolicy,
    Revocation,
    SupplyMark,
)
from inventory.models.documents import (
    CountLine,
    CountSheet,
    PoolingRule,
    StockBasis,
    StockComparison,
    StockDifference,
    Transfer,
    TransferLine,
)
from inventory.models.holds import HoldLimit, StockHold, StockHoldLine
from inventory.models.ledger import StockMovement, StockOperation
from inventory.models.network import Location, LocationGroup
from inventory.models.promise import Reservation, Shortage
from inventory.models.publication import PublishedStock, StockChange
from inventory.models.quota import PromotionLock, PromotionLockLine, QuotaRule, SafetyRule, ShopExposure
from inventory.models.sku import SkuStock
from inventory.models.stock import ShopPool, StockLevel, StockPool
from inventory.models.supply import AlertRule, StockAlert, StockWatch, SupplyRule

__all__ = [
    "AlertRule",
    "AllocationLine",
    "AllocationMethod",
    "AllocationRun",
    "CountLine",
    "CountSheet",
    "DailyDemand",
    "HoldLimit",
    "Location",
    "LocationGroup",
    "PoolingRule",
    "PromotionLock",
    "PromotionLockLine",
    "PublishedStock",
    "QuotaRule",
    "RebalancePolicy",
    "Reservation",
    "Revocation",
    "SafetyRule",
    "ShopExposure",
    "ShopPool",
    "Shortage",
    "SkuStock",
    "StockAlert",
    "StockBasis",
    "StockChange",
    "StockComparison",
    "StockDifference",
    "StockHold",
    "StockHoldLine",
    "StockLevel",
    "StockMovement",
    "StockOperation",
    "StockPool",
    "StockWatch",
    "SupplyMark",
    "SupplyRule",
    "Transfer",
    "TransferLine",
]

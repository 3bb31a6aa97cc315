"""Where people look at stock: the SKU page, the places, the pools, quotas, what is owed, and every movement."""

from inventory.admin.locks import PromotionLockAdmin
from inventory.admin.network import LocationAdmin, LocationGroupAdmin
from inventory.admin.promise import ReservationAdmin, ShortageAdmin
from inventory.admin.publication import PublishedStockAdmin
from inventory.admin.quota_rules import QuotaRuleAdmin
from inventory.admin.revocations import RevocationAdmin
from inventory.admin.runs import AllocationRunAdmin
from inventory.admin.safety import RebalancePolicyAdmin, SafetyRuleAdmin
from inventory.admin.sku import SkuStockAdmin
from inventory.admin.stock import (
    ShopPoolAdmin,
    StockLevelAdmin,
    StockMovementAdmin,
    StockOperationAdmin,
    StockPoolAdmin,
)

__all__ = [
    "AllocationRunAdmin",
    "LocationAdmin",
    "LocationGroupAdmin",
    "PromotionLockAdmin",
    "PublishedStockAdmin",
    "QuotaRuleAdmin",
    "RebalancePolicyAdmin",
    "ReservationAdmin",
    "RevocationAdmin",
    "SafetyRuleAdmin",
    "ShopPoolAdmin",
    "ShortageAdmin",
    "SkuStockAdmin",
    "StockLevelAdmin",
    "StockMovementAdmin",
    "StockOperationAdmin",
    "StockPoolAdmin",
]

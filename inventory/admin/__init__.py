"""Where people look at stock and say who may sell it: pages, queues, and the papers of goods that move."""

from inventory.admin.compares import StockComparisonAdmin, StockDifferenceAdmin
from inventory.admin.counts import CountSheetAdmin
from inventory.admin.holds import HoldLimitAdmin, StockHoldAdmin
from inventory.admin.locks import PromotionLockAdmin
from inventory.admin.network import LocationAdmin, LocationGroupAdmin, PoolingRuleAdmin
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
from inventory.admin.supply import AlertRuleAdmin, StockAlertAdmin, SupplyRuleAdmin
from inventory.admin.transfers import TransferAdmin

__all__ = [
    "AlertRuleAdmin",
    "AllocationRunAdmin",
    "CountSheetAdmin",
    "HoldLimitAdmin",
    "LocationAdmin",
    "LocationGroupAdmin",
    "PoolingRuleAdmin",
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
    "StockAlertAdmin",
    "StockComparisonAdmin",
    "StockDifferenceAdmin",
    "StockHoldAdmin",
    "StockLevelAdmin",
    "StockMovementAdmin",
    "StockOperationAdmin",
    "StockPoolAdmin",
    "SupplyRuleAdmin",
    "TransferAdmin",
]

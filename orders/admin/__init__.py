"""Where people work on orders: the queues, the order page, parked orders, and the rows behind them."""

from orders.admin.channel import ChannelOrderAdmin, ChannelRefundAdmin
from orders.admin.fulfilment import FulfilmentOrderAdmin, ParcelAdmin
from orders.admin.notices import DispatchNoticeAdmin
from orders.admin.order import SalesOrderAdmin
from orders.admin.parked import ParkedOrderAdmin
from orders.admin.returns import ReturnAdmin
from orders.admin.rules import OrderHoldAdmin, ReviewRuleAdmin

__all__ = [
    "ChannelOrderAdmin",
    "ChannelRefundAdmin",
    "DispatchNoticeAdmin",
    "FulfilmentOrderAdmin",
    "OrderHoldAdmin",
    "ParcelAdmin",
    "ParkedOrderAdmin",
    "ReturnAdmin",
    "ReviewRuleAdmin",
    "SalesOrderAdmin",
]

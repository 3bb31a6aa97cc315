"""Orders in three layers: what the platform says, what we sell, what the warehouse sends."""

from orders.models.channel import ChannelOrder, ChannelOrderVersion, ChannelRefund, ParkedOrder
from orders.models.dispatch import DispatchNotice
from orders.models.fulfilment import (
    FulfilmentLine,
    FulfilmentOrder,
    Parcel,
    ParcelLine,
    Shipment,
    SourcingDecision,
)
from orders.models.returns import Return, ReturnLine
from orders.models.review import OrderHold, ReviewDecision, ReviewRule
from orders.models.sales import BundleLine, OrderEvent, SalesOrder, SalesOrderLine

__all__ = [
    "BundleLine",
    "ChannelOrder",
    "ChannelOrderVersion",
    "ChannelRefund",
    "DispatchNotice",
    "FulfilmentLine",
    "FulfilmentOrder",
    "OrderEvent",
    "OrderHold",
    "Parcel",
    "ParcelLine",
    "ParkedOrder",
    "Return",
    "ReturnLine",
    "ReviewDecision",
    "ReviewRule",
    "SalesOrder",
    "SalesOrderLine",
    "Shipment",
    "SourcingDecision",
]

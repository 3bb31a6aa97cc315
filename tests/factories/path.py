"""Take an order along its path, as far as a test needs it."""

from __future__ import annotations

from collections.abc import Sequence

from orders.confirm import ConfirmedParcel, confirm_shipment
from orders.models import FulfilmentOrder, SalesOrder
from orders.release import ReleaseAnswer, claim_planned, record_release_answers
from orders.review import review_captured
from orders.source import source_orders
from orders.states import Stage
from tests.factories.orders import NOON


def stage(order: SalesOrder) -> str:
    """The stage as it is now."""
    order.refresh_from_db()
    return order.stage


def approve(order: SalesOrder) -> None:
    review_captured(limit=100, at=NOON)
    assert stage(order) == Stage.APPROVED


def source(order: SalesOrder) -> FulfilmentOrder:
    """Source an order that one location can send."""
    (fulfilment,) = source_split(order)
    return fulfilment


def source_split(order: SalesOrder) -> list[FulfilmentOrder]:
    """Source an order; its fulfilment orders, oldest first."""
    approve(order)
    source_orders(limit=100, at=NOON)
    assert stage(order) == Stage.SOURCED
    return list(FulfilmentOrder.objects.filter(lines__order=order).distinct().order_by("pk"))


def request(fulfilment: FulfilmentOrder) -> None:
    """Hand all that is planned at the location to its warehouse, which has not answered yet."""
    claim_planned(location_id=fulfilment.location_id, limit=10, at=NOON, by="test")


def accept(fulfilment: FulfilmentOrder) -> None:
    request(fulfilment)
    answer = ReleaseAnswer(fulfilment.pk, "accepted", "WMS-1")
    record_release_answers(answers=[answer], at=NOON, by="test")


def release(order: SalesOrder) -> FulfilmentOrder:
    """Bring an order to the warehouse that will send all of it."""
    fulfilment = source(order)
    accept(fulfilment)
    assert stage(order) == Stage.RELEASED
    return FulfilmentOrder.objects.get(pk=fulfilment.pk)


def ship(
    fulfilment: FulfilmentOrder, sku_code: str, units: int, key: str = "K1", is_final: bool = True
) -> bool:
    """The warehouse says that so many units left in one parcel."""
    return ship_parcel(fulfilment, [(sku_code, units)], key, is_final)


def ship_parcel(
    fulfilment: FulfilmentOrder, items: Sequence[tuple[str, int]], key: str, is_final: bool = True
) -> bool:
    """The warehouse says that one parcel with these (SKU code, units) left, under the number `SF<key>`."""
    return confirm_shipment(
        number=fulfilment.number,
        event_key=key,
        parcels=[ConfirmedParcel("SF", f"SF{key}", items)],
        is_final=is_final,
        shipped_at=NOON,
        at=NOON,
        by="test",
    )

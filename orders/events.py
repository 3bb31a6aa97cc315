"""What this room lets the rooms above know."""

from __future__ import annotations

from dataclasses import dataclass

from omni.kernel.events import Event


@dataclass(frozen=True)
class OrdersCaptured(Event):
    """New orders are in, reserved or short."""

    order_ids: tuple[int, ...]


@dataclass(frozen=True)
class OrdersApproved(Event):
    order_ids: tuple[int, ...]


@dataclass(frozen=True)
class OrdersSourced(Event):
    """Locations are chosen; their fulfilment orders wait to be released."""

    order_ids: tuple[int, ...]


@dataclass(frozen=True)
class OrdersShipped(Event):
    """Parcels left; the channels must be told."""

    order_ids: tuple[int, ...]


@dataclass(frozen=True)
class OrdersCancelled(Event):
    order_ids: tuple[int, ...]


@dataclass(frozen=True)
class CancellationsAsked(Event):
    """Warehouses must be asked whether they can still stop these."""

    fulfilment_ids: tuple[int, ...]

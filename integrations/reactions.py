"""Whenever that happens below, wake the sweep that tells the outside world."""

from __future__ import annotations

from omni.kernel import doorbell
from orders.events import CancellationsAsked, OrdersShipped, OrdersSourced


def release_soon(_event: OrdersSourced) -> None:
    doorbell.ring("integrations.tasks.push_releases")


def ask_to_stop_soon(_event: CancellationsAsked) -> None:
    doorbell.ring("integrations.tasks.push_cancel_requests")


def report_parcels_soon(_event: OrdersShipped) -> None:
    doorbell.ring("integrations.tasks.push_due_dispatches")

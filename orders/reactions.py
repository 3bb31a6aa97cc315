"""Whenever that happens below or beside, do this."""

from __future__ import annotations

from uuid import UUID

from django.utils import timezone

from inventory.events import PromisesWithdrawn, ShortagesFilled
from omni.kernel import doorbell
from orders.events import OrdersApproved, OrdersCaptured
from orders.shortage import follow_shortages
from products.events import ListingsChanged


def review_soon(_event: OrdersCaptured) -> None:
    doorbell.ring("orders.tasks.review_captured")


def retry_mapped_soon(_event: ListingsChanged) -> None:
    doorbell.ring("orders.tasks.retry_mapped")


def source_soon(_event: OrdersApproved) -> None:
    doorbell.ring("orders.tasks.source_approved")


def mark_lines_filled(event: ShortagesFilled) -> None:
    follow_shortages(line_keys=[UUID(key) for key in event.line_keys], at=timezone.now(), by="system")


def mark_lines_short(event: PromisesWithdrawn) -> None:
    follow_shortages(line_keys=[UUID(key) for key in event.line_keys], at=timezone.now(), by="system")

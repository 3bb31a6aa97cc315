"""Forget the answers to old POSTs."""

from __future__ import annotations

from datetime import datetime

from omni.kernel.models import IdempotencyKey


def forget_answers(*, before: datetime) -> int:
    """Delete answers that were given before the moment; their keys may be used again. Returns how many."""
    deleted, _by_model = IdempotencyKey.objects.filter(created_at__lt=before).delete()
    return deleted

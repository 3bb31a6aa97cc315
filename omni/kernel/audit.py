"""Write down who did what, and why."""

from __future__ import annotations

from typing import Any

from omni.kernel.models import AuditEntry


def record_act(
    *, by: str, action: str, subject: Any, reason: str = "", detail: dict[str, Any] | None = None
) -> None:
    """Record one act on one object, in the caller's transaction."""
    AuditEntry.objects.create(
        by=by,
        action=action,
        object_kind=subject._meta.label_lower,
        object_id=str(subject.pk),
        reason=reason,
        detail=detail or {},
    )

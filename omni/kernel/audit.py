"""Write down who did what, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pghistory
from django.db.models import Model

from omni.kernel.canonical import dump_json
from omni.kernel.models import AuditEntry
from omni.kernel.sql import execute

# One statement, however many objects.
INSERT_ACTS = """
    INSERT INTO kernel_auditentry (at, by, action, object_kind, object_id, reason, detail)
    SELECT %s, %s, %s, %s, v.object_id, %s, %s::jsonb FROM unnest(%s::text[]) AS v(object_id)
"""


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


def record_acts(
    *,
    by: str,
    action: str,
    kind: type[Model],
    object_ids: Sequence[int],
    reason: str = "",
    detail: dict[str, Any] | None = None,
    at: datetime,
) -> None:
    """Record the same act on many objects of a table, in the caller's transaction."""
    if object_ids:
        idents = [str(ident) for ident in object_ids]
        said = dump_json(detail or {}).decode()
        execute(INSERT_ACTS, [at, by, action, kind._meta.label_lower, reason, said, idents])


@contextmanager
def changes_by(by: str) -> Iterator[None]:
    """Whoever changes master data inside stands in its history. Pages do this by themselves, jobs do not."""
    kind, _colon, ident = by.partition(":")
    with pghistory.context(**({"user": int(ident)} if kind == "user" and ident.isdigit() else {"by": by})):
        yield

"""The cellar's tables."""

from omni.kernel.models.audit import AuditEntry
from omni.kernel.models.idempotency import IdempotencyKey
from omni.kernel.models.imports import Import, ImportMapping, ImportRow
from omni.kernel.models.job import Job
from omni.kernel.models.outbox import OutboxEvent

__all__ = ["AuditEntry", "IdempotencyKey", "Import", "ImportMapping", "ImportRow", "Job", "OutboxEvent"]

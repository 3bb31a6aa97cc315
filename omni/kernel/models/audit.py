"""Who changed what, when and why, for acts that have no ledger or timeline of their own."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from omni.kernel.names import act_text


class AuditEntry(models.Model):
    """One act of a person or a machine on one object. Append-only."""

    at = models.DateTimeField(_("at"), db_default=Now())
    by = models.CharField(_("by"), max_length=80)
    action = models.CharField(_("action"), max_length=80)
    object_kind = models.CharField(_("object kind"), max_length=80)
    object_id = models.CharField(_("object id"), max_length=80)
    reason = models.TextField(_("reason"), blank=True, default="")
    detail = models.JSONField(_("detail"), default=dict)

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")
        indexes = [models.Index(fields=["object_kind", "object_id", "-id"], name="audit_by_object")]

    def __str__(self) -> str:
        return act_text(self.action)

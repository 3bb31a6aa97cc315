"""Events on their way up."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class OutboxEvent(models.Model):
    """One event, written in the transaction of the change that it tells of.

    Claimed by state, never by "id > last seen".
    """

    class State(models.TextChoices):
        READY = "ready", _("ready")
        DONE = "done", _("done")
        DEAD = "dead", _("dead letter")

    kind = models.CharField(_("kind"), max_length=80)
    payload = models.JSONField(_("payload"))
    state = models.CharField(_("state"), max_length=8, choices=State.choices, db_default=State.READY)
    attempts = models.PositiveSmallIntegerField(_("attempts"), db_default=0)
    done_reactions = ArrayField(
        models.CharField(max_length=120), verbose_name=_("reactions done"), db_default=[]
    )
    not_before = models.DateTimeField(_("not before"), db_default=Now())
    last_error = models.TextField(_("last error"), db_default="")
    created_at = models.DateTimeField(_("created at"), db_default=Now())
    done_at = models.DateTimeField(_("done at"), null=True)

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        indexes = [
            models.Index(fields=["not_before", "id"], condition=models.Q(state="ready"), name="outbox_ready"),
            models.Index(fields=["done_at"], condition=models.Q(state="done"), name="outbox_done"),
            models.Index(fields=["id"], condition=models.Q(state="dead"), name="outbox_dead"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} #{self.pk}"

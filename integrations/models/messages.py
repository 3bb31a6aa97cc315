"""What was said between Omni and the outside, without secrets and without personal data."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from integrations.models.connection import Connection
from omni.kernel.crypto import EncryptedJSONField


class MessageLog(models.Model):
    """One call, out or in, with its outcome. Kept for OMNI_KEEP_MESSAGES_DAYS.

    Successful reads are counted, not logged line by line.
    """

    class Direction(models.TextChoices):
        OUT = "out", _("out")
        IN = "in", _("in")

    connection = models.ForeignKey(
        Connection, models.CASCADE, related_name="+", verbose_name=_("connection"), db_index=False
    )
    direction = models.CharField(_("direction"), max_length=3, choices=Direction.choices)
    operation = models.CharField(_("operation"), max_length=80)
    is_ok = models.BooleanField(_("succeeded"))
    subject = models.CharField(_("about"), max_length=120, db_default="")
    detail = models.TextField(_("detail"), db_default="")
    duration_ms = models.PositiveIntegerField(_("duration (ms)"), db_default=0)
    at = models.DateTimeField(_("at"), db_default=Now())

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("message log")
        indexes = [
            models.Index(fields=["connection", "-id"], name="message_by_connection"),
            models.Index(fields=["-id"], condition=models.Q(is_ok=False), name="message_failed"),
            models.Index(fields=["subject"], name="message_by_subject"),
        ]

    def __str__(self) -> str:
        return self.subject or str(self.pk)


class InboundMessage(models.Model):
    """A call-back, stored before it is worked on, so that an answer of success is true.

    The same event is stored once.
    """

    class State(models.TextChoices):
        NEW = "new", pgettext_lazy("inbound message", "new")
        DONE = "done", _("done")
        FAILED = "failed", _("failed: needs a person")

    connection = models.ForeignKey(
        Connection, models.CASCADE, related_name="+", verbose_name=_("connection"), db_index=False
    )
    event_key = models.CharField(_("event key"), max_length=160)
    kind = models.CharField(_("kind"), max_length=40)
    subject = models.CharField(_("about"), max_length=120, db_default="")
    payload = EncryptedJSONField(_("payload"), purpose="integrations.inbound_message.payload")
    state = models.CharField(_("state"), max_length=8, choices=State.choices, db_default=State.NEW)
    attempts = models.PositiveSmallIntegerField(_("attempts"), db_default=0)
    not_before = models.DateTimeField(_("not before"), db_default=Now())
    last_error = models.TextField(_("last error"), db_default="")
    received_at = models.DateTimeField(_("received at"), db_default=Now())
    done_at = models.DateTimeField(_("done at"), null=True)

    class Meta:
        verbose_name = _("inbound message")
        verbose_name_plural = _("inbound messages")
        constraints = [
            models.UniqueConstraint(fields=["connection", "event_key"], name="an_event_is_stored_once")
        ]
        indexes = [
            models.Index(fields=["not_before", "id"], condition=models.Q(state="new"), name="inbound_new"),
            models.Index(fields=["id"], condition=models.Q(state="failed"), name="inbound_failed"),
        ]

    def __str__(self) -> str:
        return self.event_key

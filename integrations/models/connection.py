"""Connections: where, with which credentials, how far they are and how well."""

from __future__ import annotations

import pghistory
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from inventory.models import Location
from omni.kernel.crypto import EncryptedJSONField
from products.models import Shop


@pghistory.track(
    pghistory.UpdateEvent(
        "before",
        row=pghistory.Old,
        condition=pghistory.AnyChange("base_url", "settings", "is_active", "paused_reason"),
    ),
    # What they were is never kept; that they were replaced, and by whom, is.
    pghistory.UpdateEvent("secret", row=pghistory.Old, condition=pghistory.AnyChange("credentials")),
    pghistory.DeleteEvent(),
    exclude=["credentials"],
    model_name="ConnectionHistory",
)
class Connection(models.Model):
    """One account on one outside system: a shop of a channel, or a warehouse. One worker at a time holds its
    lease.

    Credentials are encrypted and never shown. `paused_reason` set: a person must mend it (expired
    authorisation), then resume.
    """

    class Kind(models.TextChoices):
        CHANNEL = "channel", _("channel")
        WAREHOUSE = "warehouse", _("warehouse")

    class Health(models.TextChoices):
        OK = "ok", _("healthy")
        DEGRADED = "degraded", _("troubled")
        PAUSED = "paused", _("paused")
        NEW = "new", _("never used")

    code = models.SlugField(_("code"), max_length=40, unique=True)
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices)
    adapter = models.CharField(_("adapter"), max_length=32)
    shop = models.OneToOneField(
        Shop, models.PROTECT, null=True, blank=True, related_name="connection", verbose_name=_("shop")
    )
    location = models.OneToOneField(
        Location, models.PROTECT, null=True, blank=True, related_name="connection", verbose_name=_("location")
    )
    base_url = models.URLField(_("address"), max_length=300)
    credentials = EncryptedJSONField(_("credentials"), purpose="integrations.connection.credentials")
    settings = models.JSONField(_("settings"), default=dict, blank=True)
    is_active = models.BooleanField(_("active"), default=True)
    pulls_since = models.DateTimeField(_("pulls orders since"), db_default=Now())

    health = models.CharField(
        _("health"), max_length=10, choices=Health.choices, default=Health.NEW, db_default=Health.NEW
    )
    paused_reason = models.TextField(_("paused because"), blank=True, default="", db_default="")
    failures = models.PositiveIntegerField(_("failures in a row"), default=0, db_default=0)
    not_before = models.DateTimeField(_("not before"), db_default=Now())
    last_ok_at = models.DateTimeField(_("last success"), null=True, blank=True)
    last_error_at = models.DateTimeField(_("last error at"), null=True, blank=True)
    last_error = models.TextField(_("last error"), blank=True, default="", db_default="")

    class Meta:
        verbose_name = _("connection")
        verbose_name_plural = _("connections")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind="channel", shop__isnull=False, location__isnull=True)
                | models.Q(kind="warehouse", shop__isnull=True, location__isnull=False),
                name="a_channel_has_a_shop_and_a_warehouse_a_location",
            )
        ]

    def __str__(self) -> str:
        return self.code


class Cursor(models.Model):
    """How far one stream of a connection has been read, and who is working on it now.

    `upto`: everything before it is stored or parked. The lease belongs to `holder` until `lease_until`; a
    worker that dies gives it back by letting it lapse. `window_seconds`: how much is asked for at once, halved
    when the other side cannot bear it; empty: all that it allows.
    """

    connection = models.ForeignKey(
        Connection, models.CASCADE, related_name="cursors", verbose_name=_("connection")
    )
    stream = models.CharField(_("stream"), max_length=20)
    upto = models.DateTimeField(_("read up to"), null=True)
    holder = models.CharField(_("held by"), max_length=80, db_default="")
    lease_until = models.DateTimeField(_("held until"), null=True)
    due_at = models.DateTimeField(_("due at"), db_default=Now())
    last_run_at = models.DateTimeField(_("last run"), null=True)
    last_count = models.PositiveIntegerField(_("rows in last run"), db_default=0)
    failures = models.PositiveIntegerField(_("failures in a row"), db_default=0)
    window_seconds = models.PositiveIntegerField(_("window (s)"), null=True)

    class Meta:
        verbose_name = _("cursor")
        verbose_name_plural = _("cursors")
        constraints = [models.UniqueConstraint(fields=["connection", "stream"], name="one_cursor_per_stream")]

    def __str__(self) -> str:
        return f"{self.connection_id} {self.stream}"

"""What the channels must be told about parcels."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from omni.kernel.sentences import read_sentence
from orders.models.fulfilment import Parcel
from orders.models.sales import SalesOrder
from products.models import Shop


class DispatchNotice(models.Model):
    """Tell the channel that (a part of) an order left in a parcel. One row per order and parcel; sent until
    acknowledged.

    `lines`: [[outer line id, quantity], …]. `reason`: why it is not needed, a stored sentence.
    """

    class State(models.TextChoices):
        DUE = "due", _("due")
        SENT = "sent", _("acknowledged")
        FAILED = "failed", _("failed: needs a person")
        NOT_NEEDED = "not_needed", _("not needed")

    order = models.ForeignKey(
        SalesOrder, models.PROTECT, related_name="dispatch_notices", verbose_name=_("order")
    )
    parcel = models.ForeignKey(
        Parcel, models.PROTECT, related_name="dispatch_notices", verbose_name=_("parcel")
    )
    shop = models.ForeignKey(Shop, models.PROTECT, related_name="+", verbose_name=_("shop"), db_index=False)
    lines = models.JSONField(_("lines"))
    is_whole_order = models.BooleanField(_("whole order"))
    state = models.CharField(_("state"), max_length=12, choices=State.choices, db_default=State.DUE)
    attempts = models.PositiveSmallIntegerField(_("attempts"), db_default=0)
    not_before = models.DateTimeField(_("not before"), db_default=Now())
    last_error = models.TextField(_("last error"), db_default="")
    reason = models.TextField(_("reason"), db_default="")
    created_at = models.DateTimeField(_("created at"), db_default=Now())
    sent_at = models.DateTimeField(_("acknowledged at"), null=True)

    class Meta:
        verbose_name = _("dispatch notice")
        verbose_name_plural = _("dispatch notices")
        constraints = [
            models.UniqueConstraint(fields=["order", "parcel"], name="a_parcel_is_announced_once_per_order")
        ]
        indexes = [
            models.Index(
                fields=["shop", "not_before", "id"], condition=models.Q(state="due"), name="dispatch_due"
            ),
            models.Index(fields=["id"], condition=models.Q(state="failed"), name="dispatch_failed"),
        ]

    def __str__(self) -> str:
        return f"{self.order_id} {self.parcel_id}"

    @property
    def reason_said(self) -> str:
        """Why the channel need not hear of it, in the reader's language."""
        return read_sentence(self.reason)

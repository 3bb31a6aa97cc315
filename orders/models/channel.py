"""What the platforms say, every version of it, as they said it."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from omni.kernel.crypto import EncryptedJSONField
from omni.kernel.sentences import read_sentence
from products.models import Shop


class ChannelOrder(models.Model):
    """An order on its platform. (shop, outer id) exists once.

    `state` is what the newest applied version says.
    """

    shop = models.ForeignKey(Shop, models.PROTECT, related_name="+", verbose_name=_("shop"), db_index=False)
    outer_id = models.CharField(_("outer order id"), max_length=64)
    state = models.CharField(_("state"), max_length=20)
    raw_state = models.CharField(_("platform state"), max_length=64, db_default="")
    outer_modified_at = models.DateTimeField(_("modified on platform"))
    content_hash = models.BinaryField(_("content hash"), max_length=20)
    versions = models.PositiveIntegerField(_("versions"), db_default=1)
    captured_at = models.DateTimeField(_("captured at"), db_default=Now())

    class Meta:
        verbose_name = _("channel order")
        verbose_name_plural = _("channel orders")
        constraints = [
            models.UniqueConstraint(fields=["shop", "outer_id"], name="an_outer_order_exists_once")
        ]

    def __str__(self) -> str:
        return self.outer_id


class ChannelOrderVersion(models.Model):
    """One thing that the platform said about an order. What it said is never changed; `outer_modified_at` is when
    it last said so.

    `content_hash`: SHA-1 of the canonical payload. The same content heard again adds no row. `is_stale`:
    older than what was known when it came; kept, not applied.
    """

    channel_order = models.ForeignKey(ChannelOrder, models.CASCADE, related_name="history", db_index=False)
    content_hash = models.BinaryField(_("content hash"), max_length=20)
    outer_modified_at = models.DateTimeField(_("modified on platform"))
    is_stale = models.BooleanField(_("stale"), db_default=False)
    payload = EncryptedJSONField(_("payload"), purpose="orders.channel_order_version.payload")
    source = models.CharField(_("source"), max_length=40)
    received_at = models.DateTimeField(_("received at"), db_default=Now())

    class Meta:
        verbose_name = _("channel order version")
        verbose_name_plural = _("channel order versions")
        constraints = [
            models.UniqueConstraint(
                fields=["channel_order", "content_hash"], name="a_version_is_stored_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.channel_order_id} {self.outer_modified_at}"


class ParkedOrder(models.Model):
    """Something from a channel that could not be taken, with its reason. A person mends the cause and
    retries; nothing is lost.

    The same order parked again for the same content is the same row. `wants`: what its lines are called that no SKU
    is known for, as `{"item", "sku", "code"}`; empty: it waits for something else. None: parked before this was kept.
    """

    class State(models.TextChoices):
        OPEN = "open", _("open")
        TAKEN = "taken", pgettext_lazy("parked order", "taken")
        DISMISSED = "dismissed", _("dismissed")

    shop = models.ForeignKey(Shop, models.PROTECT, related_name="+", verbose_name=_("shop"), db_index=False)
    outer_id = models.CharField(_("outer order id"), max_length=64)
    content_hash = models.BinaryField(_("content hash"), max_length=20)
    reason = models.CharField(_("reason"), max_length=40)
    detail = models.TextField(_("detail"))
    draft = EncryptedJSONField(_("draft"), purpose="orders.parked_order.draft")
    wants = models.JSONField(_("unknown lines"), null=True, editable=False)
    source = models.CharField(_("source"), max_length=40)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, db_default=State.OPEN)
    attempts = models.PositiveIntegerField(_("attempts"), db_default=1)
    note = models.TextField(_("note"), blank=True, db_default="")
    parked_at = models.DateTimeField(_("parked at"), db_default=Now())
    closed_at = models.DateTimeField(_("closed at"), null=True)
    closed_by = models.CharField(_("closed by"), max_length=80, db_default="")

    class Meta:
        verbose_name = _("parked order")
        verbose_name_plural = _("parked orders")
        constraints = [
            models.UniqueConstraint(
                fields=["shop", "outer_id", "content_hash"], name="an_order_is_parked_once"
            )
        ]
        indexes = [
            models.Index(
                fields=["reason", "-id"], condition=models.Q(state="open"), name="parked_open_by_reason"
            )
        ]

    def __str__(self) -> str:
        return self.outer_id

    @property
    def detail_said(self) -> str:
        """What is wrong, in the reader's language."""
        return read_sentence(self.detail)


class ChannelRefund(models.Model):
    """A refund case on its platform, by its own number.

    The order room holds what must not ship while it is open.
    """

    class State(models.TextChoices):
        OPEN = "open", _("open")
        REFUSED = "refused", _("refused or withdrawn")
        DONE = "done", _("refunded")

    shop = models.ForeignKey(Shop, models.PROTECT, related_name="+", verbose_name=_("shop"), db_index=False)
    outer_refund_id = models.CharField(_("outer refund id"), max_length=64)
    outer_id = models.CharField(_("outer order id"), max_length=64)
    outer_line_id = models.CharField(_("outer line id"), max_length=64, db_default="")
    state = models.CharField(_("state"), max_length=10, choices=State.choices)
    raw_state = models.CharField(_("platform state"), max_length=64)
    amount = models.DecimalField(_("amount"), max_digits=20, decimal_places=4)
    currency = models.CharField(_("currency"), max_length=3)
    outer_modified_at = models.DateTimeField(_("modified on platform"))
    payload = EncryptedJSONField(_("payload"), purpose="orders.channel_refund.payload")
    received_at = models.DateTimeField(_("received at"), db_default=Now())

    class Meta:
        verbose_name = _("channel refund")
        verbose_name_plural = _("channel refunds")
        constraints = [
            models.UniqueConstraint(fields=["shop", "outer_refund_id"], name="an_outer_refund_exists_once")
        ]
        indexes = [models.Index(fields=["shop", "outer_id"], name="refund_by_order")]

    def __str__(self) -> str:
        return self.outer_refund_id

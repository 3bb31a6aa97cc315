"""What the channels were told that they may sell."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from products.models import Listing, Shop, Sku


class StockChange(models.Model):
    """A SKU whose sellable stock may have changed. Append-only for writers; the planner takes rows away.

    `shop` set: that shop's channel has changed its own number, and must be told ours even if it is the same.
    """

    sku = models.ForeignKey(Sku, models.CASCADE, related_name="+", db_index=False, db_constraint=False)
    shop = models.ForeignKey(
        Shop, models.CASCADE, null=True, related_name="+", db_index=False, db_constraint=False
    )
    at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = _("stock change")
        verbose_name_plural = _("stock changes")

    def __str__(self) -> str:
        return str(self.sku_id)


class PublishedStock(models.Model):
    """One listing's number: desired by us, sent to the channel, acknowledged by it. Versions count up; the
    newest wins.

    acked ≤ sent ≤ desired. Due for a push: `desired_version > acked_version` and `not_before` has passed.
    """

    listing = models.OneToOneField(
        Listing, models.PROTECT, related_name="published", verbose_name=_("listing")
    )
    shop = models.ForeignKey(Shop, models.PROTECT, related_name="+", verbose_name=_("shop"), db_index=False)
    desired_quantity = models.IntegerField(_("desired"), db_default=0)
    desired_version = models.BigIntegerField(_("desired version"), db_default=0)
    desired_at = models.DateTimeField(_("desired at"), db_default=Now())
    sent_quantity = models.IntegerField(_("sent"), null=True)
    sent_version = models.BigIntegerField(_("sent version"), db_default=0)
    sent_at = models.DateTimeField(_("sent at"), null=True)
    acked_quantity = models.IntegerField(_("acknowledged"), null=True)
    acked_version = models.BigIntegerField(_("acknowledged version"), db_default=0)
    acked_at = models.DateTimeField(_("acknowledged at"), null=True)
    attempts = models.PositiveSmallIntegerField(_("attempts"), db_default=0)
    not_before = models.DateTimeField(_("not before"), db_default=Now())
    last_error = models.TextField(_("last error"), db_default="")

    class Meta:
        verbose_name = _("published stock")
        verbose_name_plural = _("published stock")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(acked_version__lte=models.F("sent_version"))
                & models.Q(sent_version__lte=models.F("desired_version")),
                name="nothing_is_acknowledged_before_it_is_sent",
            ),
            models.CheckConstraint(
                condition=models.Q(desired_quantity__gte=0), name="no_negative_stock_is_published"
            ),
        ]
        indexes = [
            models.Index(
                fields=["shop", "not_before"],
                condition=models.Q(desired_version__gt=models.F("acked_version")),
                name="published_due",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.listing_id}: {self.desired_quantity}"

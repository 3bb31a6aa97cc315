"""The shops, and what each of them offers."""

from __future__ import annotations

import pghistory
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from products.models.master import Brand, Sku


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old), pghistory.DeleteEvent(), model_name="ShopHistory"
)
class Shop(models.Model):
    """A store account on a channel. Its credentials and cursors live in `integrations`."""

    class OrderPolicy(models.TextChoices):
        FACT = "fact", _("an order is a fact: always taken")
        REQUEST = "request", _("an order is a request: refused when stock is short")

    class FulfilledBy(models.TextChoices):
        OMNI = "omni", _("Omni")
        OUTSIDE = "outside", _("outside Omni")

    code = models.CharField(_("code"), max_length=32, unique=True)
    name = models.CharField(_("name"), max_length=120)
    channel = models.CharField(
        _("channel"), max_length=32, help_text=_("The kind of channel: top, medusa, api, import, …")
    )
    brand = models.ForeignKey(
        Brand, models.PROTECT, null=True, blank=True, related_name="shops", verbose_name=_("brand")
    )
    currency = models.CharField(_("currency"), max_length=3, default="CNY")
    order_policy = models.CharField(
        _("order policy"), max_length=8, choices=OrderPolicy.choices, default=OrderPolicy.FACT
    )
    fulfilled_by = models.CharField(
        _("fulfilled by"), max_length=8, choices=FulfilledBy.choices, default=FulfilledBy.OMNI
    )
    is_active = models.BooleanField(_("active"), default=True, db_default=True)

    class Meta:
        verbose_name = _("shop")
        verbose_name_plural = _("shops")

    def __str__(self) -> str:
        return self.name


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old), pghistory.DeleteEvent(), model_name="ListingHistory"
)
class Listing(models.Model):
    """What a channel calls one of our SKUs: (shop, outer item, outer SKU) ↔ SKU, many to one.

    A channel without SKUs below its items leaves `outer_sku_id` empty. What is only meant to be listed has no outer
    item yet: None, so that there may be many of them, and none that an order could name. Its way is in `states.py`.
    """

    class State(models.TextChoices):
        DRAFT = "draft", _("draft")
        SUBMITTED = "submitted", _("submitted")
        REJECTED = "rejected", _("rejected")
        APPROVED = "approved", _("approved")
        LISTED = "listed", _("listed")
        DELISTED = "delisted", _("delisted")

    shop = models.ForeignKey(Shop, models.PROTECT, related_name="listings", verbose_name=_("shop"))
    sku = models.ForeignKey(Sku, models.PROTECT, related_name="listings", verbose_name=_("SKU"))
    outer_item_id = models.CharField(_("outer item id"), max_length=64, null=True, blank=True, default=None)  # noqa: DJ001 - see above
    outer_sku_id = models.CharField(_("outer SKU id"), max_length=64, blank=True, default="", db_default="")
    title = models.CharField(
        _("title"),
        max_length=240,
        blank=True,
        default="",
        db_default="",
        help_text=_("Empty: the name of the product, or of the SKU where its channel has no SKUs."),
    )
    price = models.DecimalField(_("price"), max_digits=20, decimal_places=4, null=True, blank=True)
    state = models.CharField(
        _("state"), max_length=10, choices=State.choices, default=State.LISTED, db_default=State.LISTED
    )
    state_at = models.DateTimeField(_("state since"), null=True, blank=True, editable=False)
    state_by = models.CharField(
        _("state by"), max_length=80, blank=True, default="", db_default="", editable=False
    )
    state_reason = models.TextField(_("reason"), blank=True, default="", db_default="", editable=False)
    created_at = models.DateTimeField(_("created at"), db_default=Now())

    class Meta:
        verbose_name = _("listing")
        verbose_name_plural = _("listings")
        permissions = [("approve_listing", _("Can approve and reject listings"))]
        constraints = [
            models.UniqueConstraint(
                fields=["shop", "outer_item_id", "outer_sku_id"], name="an_outer_sku_names_one_sku"
            ),
            models.UniqueConstraint(
                fields=["shop", "sku"],
                condition=models.Q(outer_item_id__isnull=True),
                name="a_sku_is_drafted_once_per_shop",
            ),
            models.CheckConstraint(
                condition=~models.Q(state__in=["listed", "delisted"]) | models.Q(outer_item_id__isnull=False),
                name="what_is_on_a_channel_has_an_item_there",
                violation_error_message=_("What is on its channel has an outer item id there."),
            ),
        ]
        indexes = [
            models.Index(fields=["sku", "shop"], name="listing_by_sku"),
            models.Index(fields=["id"], condition=models.Q(state="submitted"), name="listing_submitted"),
            models.Index(fields=["id"], condition=models.Q(state="approved"), name="listing_approved"),
        ]

    def __str__(self) -> str:
        if self.outer_item_id is None:
            return f"{self.sku_id}@{self.shop_id}"
        return f"{self.outer_item_id}/{self.outer_sku_id}" if self.outer_sku_id else self.outer_item_id

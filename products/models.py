"""The product master, and the shops in which it is offered."""

from __future__ import annotations

import pghistory
from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old), pghistory.DeleteEvent(), model_name="BrandHistory"
)
class Brand(models.Model):
    """The tenant: what belongs to a brand carries it."""

    code = models.CharField(_("code"), max_length=32, unique=True)
    name = models.CharField(_("name"), max_length=120)
    is_active = models.BooleanField(_("active"), default=True, db_default=True)

    class Meta:
        verbose_name = _("brand")
        verbose_name_plural = _("brands")

    def __str__(self) -> str:
        return self.name


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old), pghistory.DeleteEvent(), model_name="CategoryHistory"
)
class Category(models.Model):
    """A node of the category tree. `path` is the codes from the root down, each followed by a slash.

    `beauty/serum/`.
    """

    code = models.CharField(_("code"), max_length=32, unique=True)
    name = models.CharField(_("name"), max_length=120)
    parent = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="children", verbose_name=_("parent")
    )
    path = models.CharField(_("path"), max_length=400, unique=True)

    class Meta:
        verbose_name = _("category")
        verbose_name_plural = _("categories")

    def __str__(self) -> str:
        return self.name


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old), pghistory.DeleteEvent(), model_name="SpuHistory"
)
class Spu(models.Model):
    """A product as customers see it; what is stocked and sold is its SKUs."""

    code = models.CharField(_("code"), max_length=64, unique=True)
    name = models.CharField(_("name"), max_length=200)
    brand = models.ForeignKey(Brand, models.PROTECT, related_name="spus", verbose_name=_("brand"))
    category = models.ForeignKey(
        Category, models.PROTECT, null=True, blank=True, related_name="spus", verbose_name=_("category")
    )
    created_at = models.DateTimeField(_("created at"), db_default=Now())

    class Meta:
        verbose_name = _("product (SPU)")
        verbose_name_plural = _("products (SPU)")

    def __str__(self) -> str:
        return f"{self.code} {self.name}"


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old), pghistory.DeleteEvent(), model_name="SkuHistory"
)
class Sku(models.Model):
    """One thing that can be counted, priced and sold. Weights in grams, lengths in millimetres."""

    code = models.CharField(_("SKU code"), max_length=64, unique=True)
    spu = models.ForeignKey(Spu, models.PROTECT, related_name="skus", verbose_name=_("product"))
    name = models.CharField(_("name"), max_length=240)
    attributes = models.JSONField(_("attributes"), default=dict, blank=True)
    list_price = models.DecimalField(_("list price"), max_digits=20, decimal_places=4, null=True, blank=True)
    currency = models.CharField(_("currency"), max_length=3, default="CNY")
    weight_grams = models.PositiveIntegerField(_("weight (g)"), null=True, blank=True)
    is_active = models.BooleanField(_("active"), default=True, db_default=True)
    created_at = models.DateTimeField(_("created at"), db_default=Now())

    class Meta:
        verbose_name = _("SKU")
        verbose_name_plural = _("SKUs")

    def __str__(self) -> str:
        return f"{self.code} {self.name}"


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old), pghistory.DeleteEvent(), model_name="BarcodeHistory"
)
class Barcode(models.Model):
    """A barcode names exactly one SKU; a SKU may have several."""

    code = models.CharField(_("barcode"), max_length=64, unique=True)
    sku = models.ForeignKey(Sku, models.PROTECT, related_name="barcodes", verbose_name=_("SKU"))

    class Meta:
        verbose_name = _("barcode")
        verbose_name_plural = _("barcodes")

    def __str__(self) -> str:
        return self.code


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

    A channel without SKUs below its items leaves `outer_sku_id` empty.
    """

    class State(models.TextChoices):
        LISTED = "listed", _("listed")
        DELISTED = "delisted", _("delisted")

    shop = models.ForeignKey(Shop, models.PROTECT, related_name="listings", verbose_name=_("shop"))
    sku = models.ForeignKey(Sku, models.PROTECT, related_name="listings", verbose_name=_("SKU"))
    outer_item_id = models.CharField(_("outer item id"), max_length=64)
    outer_sku_id = models.CharField(_("outer SKU id"), max_length=64, blank=True, default="", db_default="")
    title = models.CharField(_("title"), max_length=240, blank=True, default="", db_default="")
    price = models.DecimalField(_("price"), max_digits=20, decimal_places=4, null=True, blank=True)
    state = models.CharField(
        _("state"), max_length=10, choices=State.choices, default=State.LISTED, db_default=State.LISTED
    )
    created_at = models.DateTimeField(_("created at"), db_default=Now())

    class Meta:
        verbose_name = _("listing")
        verbose_name_plural = _("listings")
        constraints = [
            models.UniqueConstraint(
                fields=["shop", "outer_item_id", "outer_sku_id"], name="an_outer_sku_names_one_sku"
            ),
        ]
        indexes = [models.Index(fields=["sku", "shop"], name="listing_by_sku")]

    def __str__(self) -> str:
        return f"{self.outer_item_id}/{self.outer_sku_id}" if self.outer_sku_id else self.outer_item_id


class StaffScope(models.Model):
    """What a staff member may see: one row per brand or shop. A superuser needs none.

    Others see nothing without.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", verbose_name=_("user")
    )
    brand = models.ForeignKey(
        Brand, models.CASCADE, null=True, blank=True, related_name="+", verbose_name=_("brand")
    )
    shop = models.ForeignKey(
        Shop, models.CASCADE, null=True, blank=True, related_name="+", verbose_name=_("shop")
    )

    class Meta:
        verbose_name = _("staff scope")
        verbose_name_plural = _("staff scopes")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(brand__isnull=True) ^ models.Q(shop__isnull=True),
                name="a_scope_is_a_brand_or_a_shop",
            ),
            models.UniqueConstraint(
                fields=["user", "brand", "shop"], name="a_scope_is_given_once", nulls_distinct=False
            ),
        ]

    def __str__(self) -> str:
        return str(self.brand or self.shop)

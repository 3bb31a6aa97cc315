"""The product master: what is sold, whoever offers it."""

from __future__ import annotations

import pghistory
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models.functions import LPad, Now, Upper
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
    """A product as customers see it; what is stocked and sold is its SKUs.

    `attributes`: the values of its category's template that do not tell SKUs apart, by code.
    """

    code = models.CharField(_("code"), max_length=64, unique=True)
    name = models.CharField(_("name"), max_length=200)
    brand = models.ForeignKey(Brand, models.PROTECT, related_name="spus", verbose_name=_("brand"))
    category = models.ForeignKey(
        Category, models.PROTECT, null=True, blank=True, related_name="spus", verbose_name=_("category")
    )
    season = models.CharField(_("season"), max_length=32, blank=True, default="", db_default="")
    tags = ArrayField(
        models.CharField(max_length=32),
        verbose_name=_("tags"),
        blank=True,
        default=list,
        db_default=models.Value([], ArrayField(models.CharField(max_length=32))),
    )
    description = models.TextField(_("description"), blank=True, default="", db_default="")
    attributes = models.JSONField(
        _("attributes"), blank=True, default=dict, db_default=models.Value({}, models.JSONField())
    )
    created_at = models.DateTimeField(_("created at"), db_default=Now())

    class Meta:
        verbose_name = _("product (SPU)")
        verbose_name_plural = _("products (SPU)")
        indexes = [
            GinIndex(fields=["tags"], name="spu_by_tag"),
            GinIndex(OpClass(Upper("name"), "gin_trgm_ops"), name="spu_by_part_of_name"),
            GinIndex(OpClass(Upper("code"), "gin_trgm_ops"), name="spu_by_part_of_code"),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.name}"


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old), pghistory.DeleteEvent(), model_name="SkuHistory"
)
class Sku(models.Model):
    """One thing that can be counted, priced and sold. Weights in grams, lengths in millimetres.

    `attributes`: the options that tell it apart from the other SKUs of its product, by the codes of the template.
    """

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
        constraints = [
            models.UniqueConstraint(
                fields=["spu", "attributes"],
                condition=~models.Q(attributes={}),
                name="a_product_has_each_choice_of_options_once",
            ),
        ]
        indexes = [
            GinIndex(OpClass(Upper("name"), "gin_trgm_ops"), name="sku_by_part_of_name"),
            GinIndex(OpClass(Upper("code"), "gin_trgm_ops"), name="sku_by_part_of_code"),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.name}"


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old), pghistory.DeleteEvent(), model_name="BarcodeHistory"
)
class Barcode(models.Model):
    """A barcode names exactly one SKU; a SKU may have several.

    The same number is the same number however many zeros stand before it: the UPC 036000291452 is the EAN-13
    0036000291452. Internal ones are known by their exact text.
    """

    class Kind(models.TextChoices):
        EAN13 = "ean13", _("EAN-13")
        EAN8 = "ean8", _("EAN-8")
        UPC = "upc", _("UPC-A")
        ITF14 = "itf14", _("ITF-14")
        INTERNAL = "internal", _("internal")

    code = models.CharField(_("barcode"), max_length=64, unique=True)
    sku = models.ForeignKey(Sku, models.PROTECT, related_name="barcodes", verbose_name=_("SKU"))
    kind = models.CharField(
        _("kind"), max_length=8, choices=Kind.choices, default=Kind.INTERNAL, db_default=Kind.INTERNAL
    )

    class Meta:
        verbose_name = _("barcode")
        verbose_name_plural = _("barcodes")
        constraints = [
            models.UniqueConstraint(
                LPad("code", 14, models.Value("0")),
                condition=~models.Q(kind="internal"),
                name="a_trade_number_names_one_sku",
            ),
        ]

    def __str__(self) -> str:
        return self.code

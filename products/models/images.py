"""The image library: every picture once, whatever shows it."""

from __future__ import annotations

import pghistory
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from products.models.master import Brand, Sku, Spu
from products.models.offer import Listing


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old), pghistory.DeleteEvent(), model_name="ImageHistory"
)
class Image(models.Model):
    """One picture of a brand's library. The same file is kept once per brand, under whatever name it comes again.

    `sha256`: of the file as it was sent. Kept is what was decoded from it, written anew: none of the bytes that
    somebody sent is ever served, and what cameras write into files (places, faces) is gone. `folder`: where the files
    stand; each of `widths` (pixels) is a WebP there, made in the background.
    """

    class Kind(models.TextChoices):
        JPEG = "jpeg", "JPEG"
        PNG = "png", "PNG"
        WEBP = "webp", "WebP"

    brand = models.ForeignKey(Brand, models.PROTECT, related_name="images", verbose_name=_("brand"))
    sha256 = models.CharField(_("SHA-256"), max_length=64)
    name = models.CharField(_("name"), max_length=120)
    kind = models.CharField(_("kind of file"), max_length=4, choices=Kind.choices)
    width = models.PositiveIntegerField(_("width (pixels)"))
    height = models.PositiveIntegerField(_("height (pixels)"))
    bytes = models.PositiveIntegerField(_("size (bytes)"))
    folder = models.CharField(_("folder"), max_length=80)
    widths = models.JSONField(_("renditions"), default=list, db_default=models.Value([], models.JSONField()))
    created_by = models.CharField(_("created by"), max_length=80)
    created_at = models.DateTimeField(_("created at"), db_default=Now())

    class Meta:
        verbose_name = _("image")
        verbose_name_plural = _("images")
        constraints = [
            models.UniqueConstraint(fields=["brand", "sha256"], name="a_picture_is_kept_once"),
        ]

    def __str__(self) -> str:
        return self.name


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old), pghistory.DeleteEvent(), model_name="ImageUseHistory"
)
class ImageUse(models.Model):
    """A picture at its place (from 0) among those of a product, of a SKU, or of what one shop shows."""

    image = models.ForeignKey(Image, models.PROTECT, related_name="uses", verbose_name=_("image"))
    spu = models.ForeignKey(
        Spu, models.PROTECT, null=True, blank=True, related_name="image_uses", verbose_name=_("product")
    )
    sku = models.ForeignKey(
        Sku, models.PROTECT, null=True, blank=True, related_name="image_uses", verbose_name=_("SKU")
    )
    listing = models.ForeignKey(
        Listing, models.PROTECT, null=True, blank=True, related_name="image_uses", verbose_name=_("listing")
    )
    position = models.PositiveSmallIntegerField(_("position"))

    class Meta:
        verbose_name = _("use of an image")
        verbose_name_plural = _("uses of images")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(spu__isnull=False, sku__isnull=True, listing__isnull=True)
                | models.Q(spu__isnull=True, sku__isnull=False, listing__isnull=True)
                | models.Q(spu__isnull=True, sku__isnull=True, listing__isnull=False),
                name="an_image_is_used_by_one_thing",
            ),
            models.UniqueConstraint(
                fields=["image", "spu", "sku", "listing"],
                name="a_thing_uses_an_image_once",
                nulls_distinct=False,
            ),
            models.UniqueConstraint(
                fields=["spu", "sku", "listing", "position"],
                name="an_image_has_a_place_of_its_own",
                nulls_distinct=False,
                deferrable=models.Deferrable.DEFERRED,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.image_id}:{self.position}"

"""What a shop may sell, and what it is meant to sell: sales catalogues and assortment rules."""

from __future__ import annotations

import pghistory
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from products.models.master import Brand, Category, Sku
from products.models.offer import Listing, Shop


class Conditions(models.Model):
    """What a SKU must be like. What is empty is not asked for; of several tags or seasons one is enough.

    `category`: it and all below it. The list price lies between `price_from` and `price_to`, both included, and counts
    only in `currency`.
    """

    brand = models.ForeignKey(
        Brand, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("brand")
    )
    category = models.ForeignKey(
        Category,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("category"),
        help_text=_("With all categories below it."),
    )
    tags = ArrayField(
        models.CharField(max_length=32),
        verbose_name=_("tags"),
        blank=True,
        default=list,
        db_default=models.Value([], ArrayField(models.CharField(max_length=32))),
    )
    seasons = ArrayField(
        models.CharField(max_length=32),
        verbose_name=_("seasons"),
        blank=True,
        default=list,
        db_default=models.Value([], ArrayField(models.CharField(max_length=32))),
    )
    price_from = models.DecimalField(
        _("list price from"), max_digits=20, decimal_places=4, null=True, blank=True
    )
    price_to = models.DecimalField(_("list price to"), max_digits=20, decimal_places=4, null=True, blank=True)
    currency = models.CharField(_("currency"), max_length=3, default="CNY", db_default="CNY")

    class Meta:
        abstract = True


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old), pghistory.DeleteEvent(), model_name="CatalogueHistory"
)
class Catalogue(Conditions):
    """A sales catalogue: what its shops may sell of the master. It holds the active SKUs that fit its conditions, and
    those picked by hand, but not those kept out by hand; without conditions only what was picked.

    Which SKUs that are is worked out whenever it is asked: nothing is kept that could be behind the master.
    """

    code = models.CharField(_("code"), max_length=32, unique=True)
    name = models.CharField(_("name"), max_length=120)
    note = models.TextField(_("note"), blank=True, default="", db_default="")
    is_active = models.BooleanField(
        _("in force"),
        default=True,
        db_default=True,
        help_text=_("In force, its shops may sell only what it holds."),
    )
    # Counts what changed in it, its picks and its shops: a preview knows by it that it was made with another one.
    version = models.PositiveIntegerField(_("version"), default=1, db_default=1, editable=False)
    created_at = models.DateTimeField(_("created at"), db_default=Now())

    class Meta:
        verbose_name = _("sales catalogue")
        verbose_name_plural = _("sales catalogues")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(price_from__isnull=True)
                | models.Q(price_to__isnull=True)
                | models.Q(price_to__gte=models.F("price_from")),
                name="a_catalogue_asks_for_a_price_that_exists",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.name}"


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old),
    pghistory.DeleteEvent(),
    model_name="CataloguePickHistory",
)
class CataloguePick(models.Model):
    """A SKU that stands in a catalogue, or stays out of it, whatever the conditions say."""

    catalogue = models.ForeignKey(
        Catalogue, models.PROTECT, related_name="picks", verbose_name=_("sales catalogue"), db_index=False
    )
    sku = models.ForeignKey(Sku, models.CASCADE, related_name="+", verbose_name=_("SKU"))
    is_in = models.BooleanField(_("picked"))
    reason = models.CharField(_("reason"), max_length=200, db_default="")
    picked_by = models.CharField(_("picked by"), max_length=80)
    picked_at = models.DateTimeField(_("picked at"), db_default=Now())

    class Meta:
        verbose_name = _("SKU picked by hand")
        verbose_name_plural = _("SKUs picked by hand")
        constraints = [
            models.UniqueConstraint(fields=["catalogue", "sku"], name="a_sku_is_picked_once_per_catalogue"),
        ]

    def __str__(self) -> str:
        return f"{self.catalogue_id}/{self.sku_id}"


class ShopCatalogue(models.Model):
    """The one catalogue of a shop; the audit of the catalogue says who gave it to whom.

    `is_checked`: the listings of the shop have been looked at since the catalogue changed.
    """

    shop = models.OneToOneField(Shop, models.PROTECT, related_name="+", verbose_name=_("shop"))
    catalogue = models.ForeignKey(
        Catalogue, models.PROTECT, related_name="shop_catalogues", verbose_name=_("sales catalogue")
    )
    is_checked = models.BooleanField(_("checked"), db_default=False)

    class Meta:
        verbose_name = _("catalogue of a shop")
        verbose_name_plural = _("catalogues of shops")

    def __str__(self) -> str:
        return f"{self.shop_id}: {self.catalogue_id}"


class OutsideListing(models.Model):
    """A listing that is on sale although the catalogue of its shop does not hold its SKU.

    Only a list for people: whether something may go on sale is asked of the catalogue itself.
    """

    listing = models.OneToOneField(
        Listing, models.CASCADE, primary_key=True, related_name="outside", verbose_name=_("listing")
    )
    catalogue = models.ForeignKey(
        Catalogue, models.PROTECT, related_name="+", verbose_name=_("sales catalogue"), db_index=False
    )
    since = models.DateTimeField(_("since"))

    class Meta:
        verbose_name = _("listing outside its catalogue")
        verbose_name_plural = _("listings outside their catalogues")

    def __str__(self) -> str:
        return str(self.listing_id)

"""How much there is (levels), who may sell it (pools), and which shop draws from where."""

from __future__ import annotations

import pghistory
from django.db import models
from django.utils.translation import gettext_lazy as _

from inventory.models.network import Location, LocationGroup
from products.models import Shop, Sku


class Grade(models.TextChoices):
    """The quality of units. Only `good` units are granted to pools."""

    GOOD = "good", _("good")
    SECONDS = "seconds", _("seconds")
    DEFECTIVE = "defective", _("defective")
    INSPECTION = "inspection", _("awaiting inspection")


class StockLevel(models.Model):
    """On-hand is what a picker can count; committed is the part of it that sourcing has taken for orders."""

    # The two indexes below lead with location and with SKU.
    location = models.ForeignKey(
        Location, models.PROTECT, related_name="+", verbose_name=_("location"), db_index=False
    )
    sku = models.ForeignKey(Sku, models.PROTECT, related_name="+", verbose_name=_("SKU"), db_index=False)
    owner = models.CharField(_("owner"), max_length=32, default="own", db_default="own")
    grade = models.CharField(
        _("grade"), max_length=12, choices=Grade.choices, default=Grade.GOOD, db_default=Grade.GOOD
    )
    on_hand = models.IntegerField(_("on hand"), default=0, db_default=0)
    committed = models.IntegerField(_("committed"), default=0, db_default=0)

    class Meta:
        verbose_name = _("stock level")
        verbose_name_plural = _("stock levels")
        constraints = [
            models.UniqueConstraint(
                fields=["location", "sku", "owner", "grade"], name="one_level_per_place_sku_owner_and_grade"
            ),
            models.CheckConstraint(
                condition=models.Q(committed__gte=0) & models.Q(committed__lte=models.F("on_hand")),
                name="no_more_committed_than_on_hand",
            ),
        ]
        indexes = [models.Index(fields=["sku", "location"], name="level_by_sku")]

    def __str__(self) -> str:
        return f"{self.sku_id}@{self.location_id}: {self.on_hand}"


class PoolKind(models.TextChoices):
    """What a pool is for. All are rows of one table: a quota is a pool, a lock is a pool."""

    BASE = "base", _("base")  # nobody's yet
    SAFETY = "safety", _("safety")  # nobody sells from it
    SHARED = "shared", _("shared")  # every shop that lists it, by its ratio
    QUOTA = "quota", _("quota")  # one shop's own
    LOCK = "lock", _("promotion lock")  # one shop's own until it ends
    REVOKING = "revoking", _("revoking")  # taken back, until the channel has acknowledged


class StockPool(models.Model):
    """Units of one SKU in one group under one heading. Σ granted over the pools = Σ on-hand (good) of the
    group's locations.

    `label` tells pools of the same kind apart (the shop's code of a quota, the promotion of a lock; empty for
    base, safety and shared). `target` is what the pool should hold: the safety stock of a safety pool.
    """

    # Found by SKU. An index on the group alone would tempt the planner to read the whole group for one SKU.
    group = models.ForeignKey(
        LocationGroup, models.PROTECT, related_name="+", verbose_name=_("location group"), db_index=False
    )
    sku = models.ForeignKey(Sku, models.PROTECT, related_name="+", verbose_name=_("SKU"), db_index=False)
    kind = models.CharField(_("kind"), max_length=10, choices=PoolKind.choices)
    label = models.CharField(_("label"), max_length=64, blank=True, default="", db_default="")
    granted = models.IntegerField(_("granted"), default=0, db_default=0)
    reserved = models.IntegerField(_("reserved"), default=0, db_default=0)
    target = models.IntegerField(_("target"), null=True, blank=True)
    priority = models.SmallIntegerField(_("priority"), default=0, db_default=0)
    starts_at = models.DateTimeField(_("starts at"), null=True, blank=True)
    ends_at = models.DateTimeField(_("ends at"), null=True, blank=True)

    class Meta:
        verbose_name = _("stock pool")
        verbose_name_plural = _("stock pools")
        constraints = [
            models.UniqueConstraint(
                fields=["sku", "group", "kind", "label"], name="one_pool_per_sku_group_kind_and_label"
            ),
            models.CheckConstraint(
                condition=models.Q(reserved__gte=0) & models.Q(reserved__lte=models.F("granted")),
                name="no_more_reserved_than_granted",
            ),
        ]
        indexes = [
            models.Index(
                fields=["label", "group", "sku"],
                condition=models.Q(kind__in=["quota", "lock", "revoking"]),
                name="pool_by_label",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.sku_id}"


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old), pghistory.DeleteEvent(), model_name="ShopPoolHistory"
)
class ShopPool(models.Model):
    """From which pools a shop may draw, in which order, and which part of a shared pool it publishes.

    A row names pools by group, kind and label for every SKU, or for one. A SKU with rows of its own in a shop
    uses those alone: so a shop can be kept to its quota. The ratios of several shops over the
    same shared pool may add up to more than 1: reservation, not publication, keeps the promise.

    `origin`: rows of quota rules and promotion locks are derived (`inventory/quota/derive.py`) and nobody edits them.
    `buffer`: units that this shop leaves to the others. `maximum`: what it shows at most.
    """

    class Origin(models.TextChoices):
        HAND = "hand", _("by hand")
        RULE = "rule", _("by rule")

    shop = models.ForeignKey(Shop, models.PROTECT, related_name="+", verbose_name=_("shop"))
    group = models.ForeignKey(
        LocationGroup, models.PROTECT, related_name="+", verbose_name=_("location group")
    )
    kind = models.CharField(_("kind"), max_length=10, choices=PoolKind.choices, default=PoolKind.SHARED)
    label = models.CharField(_("label"), max_length=64, blank=True, default="")
    sku = models.ForeignKey(
        Sku, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("SKU")
    )
    position = models.PositiveSmallIntegerField(_("position"), default=0)
    publish_ratio = models.DecimalField(_("publish ratio"), max_digits=6, decimal_places=4, default=1)
    buffer = models.PositiveIntegerField(_("leaves to others"), default=0, db_default=0)
    maximum = models.PositiveIntegerField(_("shows at most"), null=True, blank=True)
    origin = models.CharField(
        _("set"), max_length=4, choices=Origin.choices, default=Origin.HAND, db_default=Origin.HAND
    )

    class Meta:
        verbose_name = _("shop pool")
        verbose_name_plural = _("shop pools")
        constraints = [
            models.UniqueConstraint(
                fields=["shop", "group", "kind", "label", "sku"],
                name="a_shop_draws_from_a_pool_once",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=models.Q(publish_ratio__gte=0) & models.Q(publish_ratio__lte=1),
                name="a_publish_ratio_is_a_part",
            ),
            models.CheckConstraint(
                condition=~models.Q(kind="safety"),
                name="nobody_sells_safety_stock",
            ),
        ]
        indexes = [models.Index(fields=["shop", "sku"], name="shop_pool_by_shop_and_sku")]

    def __str__(self) -> str:
        return f"{self.shop_id} ← {self.get_kind_display()}"

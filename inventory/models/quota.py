"""How shops share in one stock: the rules, the safety stock, and the locks of promotions."""

from __future__ import annotations

from decimal import Decimal

import pghistory
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from inventory.models.network import Location, LocationGroup
from products.models import Brand, Category, Shop, Sku


class SkuScope(models.Model):
    """For which SKUs something holds: one SKU, a category with all below it, a brand, or (all empty) every SKU.

    Of several that fit, the most specific holds: the SKU, then the deepest category, then the brand, then every SKU.
    """

    sku = models.ForeignKey(
        Sku, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("SKU")
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
    brand = models.ForeignKey(
        Brand, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("brand")
    )

    class Meta:
        abstract = True


def names_one_scope() -> models.Q:
    """The condition of the constraint that every table with a scope has: SKU, category or brand, at most one."""
    return (
        models.Q(sku__isnull=True, category__isnull=True)
        | models.Q(sku__isnull=True, brand__isnull=True)
        | models.Q(category__isnull=True, brand__isnull=True)
    )


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old), pghistory.DeleteEvent(), model_name="QuotaRuleHistory"
)
class QuotaRule(SkuScope):
    """How one shop shares in the stock of a group.

    *exclusive*: it sells its quota and nothing else. *lock + share*: its quota, and then from the shared pool.
    *shared*: from the shared pool alone, of which it shows `publish_ratio`; those of several shops may add up to more
    than 1. `quota_ratio`: the part of the supply that allocation by ratio grants it. Units are whole.
    """

    class Mode(models.TextChoices):
        EXCLUSIVE = "exclusive", _("exclusive quota")
        LOCK_SHARE = "lock_share", _("lock + share")
        SHARED = "shared", _("shared ratio")

    group = models.ForeignKey(
        LocationGroup, models.PROTECT, related_name="+", verbose_name=_("location group")
    )
    shop = models.ForeignKey(Shop, models.PROTECT, related_name="+", verbose_name=_("shop"))
    mode = models.CharField(_("mode"), max_length=10, choices=Mode.choices, default=Mode.SHARED)
    quota_ratio = models.DecimalField(
        _("part of the supply"),
        max_digits=6,
        decimal_places=4,
        null=True,
        blank=True,
        help_text=_("0.3 is 30 %. Empty: by hand or by demand only."),
    )
    publish_ratio = models.DecimalField(
        _("shown of the shared pool"), max_digits=6, decimal_places=4, default=1, db_default=1
    )
    minimum = models.PositiveIntegerField(
        _("minimum"),
        default=0,
        db_default=0,
        help_text=_("With fewer free units the quota is filled up, from whoever has least need of them."),
    )
    maximum = models.PositiveIntegerField(
        _("maximum"), null=True, blank=True, help_text=_("No more is granted to it, and no more is shown.")
    )
    service_level = models.DecimalField(
        _("service level"),
        max_digits=5,
        decimal_places=4,
        default=Decimal("0.95"),
        db_default=Decimal("0.95"),
        help_text=_(
            "Allocation by demand stops where so many of all periods would be served in full. With lock + share 0.5 "
            "loses least."
        ),
    )
    priority = models.PositiveSmallIntegerField(
        _("priority"), default=100, db_default=100, help_text=_("Lower is served first, and gives last.")
    )
    is_active = models.BooleanField(_("active"), default=True, db_default=True)
    note = models.CharField(_("note"), max_length=200, blank=True, default="", db_default="")
    created_at = models.DateTimeField(_("created at"), db_default=Now())

    class Meta:
        verbose_name = _("quota rule")
        verbose_name_plural = _("quota rules")
        constraints = [
            models.UniqueConstraint(
                fields=["group", "shop", "sku", "category", "brand"],
                name="a_shop_has_one_quota_rule_per_scope",
                nulls_distinct=False,
            ),
            models.CheckConstraint(condition=names_one_scope(), name="a_quota_rule_names_one_scope"),
            models.CheckConstraint(
                condition=models.Q(quota_ratio__isnull=True) | models.Q(quota_ratio__range=(0, 1)),
                name="a_quota_ratio_is_a_part",
            ),
            models.CheckConstraint(
                condition=models.Q(publish_ratio__range=(0, 1)), name="what_a_rule_shows_is_a_part"
            ),
            models.CheckConstraint(
                condition=models.Q(service_level__gt=0, service_level__lt=1),
                name="a_service_level_lies_between_none_and_all",
            ),
            models.CheckConstraint(
                condition=models.Q(maximum__isnull=True) | models.Q(maximum__gte=models.F("minimum")),
                name="a_quota_maximum_is_no_less_than_its_minimum",
            ),
        ]
        indexes = [models.Index(fields=["shop", "group"], name="quota_rule_by_shop")]

    def __str__(self) -> str:
        return f"{self.shop} · {self.get_mode_display()}"


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old),
    pghistory.DeleteEvent(),
    model_name="SafetyRuleHistory",
)
class SafetyRule(models.Model):
    """Units of a SKU that are kept at a location and not sold; of several that fit the most specific holds.

    SKU alone: at each location. SKU and location: at that one. SKU, location and shop: what this shop leaves there.
    The safety pool of a group keeps what all of its shops leave; what one shop leaves beyond that is its buffer
    (`ShopPool.buffer`).
    """

    sku = models.ForeignKey(Sku, models.PROTECT, related_name="+", verbose_name=_("SKU"))
    location = models.ForeignKey(
        Location, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("location")
    )
    shop = models.ForeignKey(
        Shop, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("shop")
    )
    units = models.PositiveIntegerField(_("units"))
    note = models.CharField(_("note"), max_length=200, blank=True, default="", db_default="")
    created_at = models.DateTimeField(_("created at"), db_default=Now())

    class Meta:
        verbose_name = _("safety stock rule")
        verbose_name_plural = _("safety stock rules")
        constraints = [
            models.UniqueConstraint(
                fields=["sku", "location", "shop"], name="one_safety_rule_per_scope", nulls_distinct=False
            ),
            models.CheckConstraint(
                condition=models.Q(shop__isnull=True) | models.Q(location__isnull=False),
                name="a_safety_rule_of_a_shop_names_a_location",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.sku}: {self.units}"


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old),
    pghistory.DeleteEvent(),
    model_name="PromotionLockHistory",
)
class PromotionLock(models.Model):
    """Units set aside for some shops while a promotion runs; what is unsold at its end goes back.

    Its units lie in pools of kind `lock` whose label is its code. *exclusive*: its shops sell these SKUs from the lock
    alone while it runs; *lock + share*: from the lock first.
    """

    class Mode(models.TextChoices):
        EXCLUSIVE = "exclusive", _("from the lock alone")
        LOCK_SHARE = "lock_share", _("from the lock first")

    class State(models.TextChoices):
        PLANNED = "planned", _("planned")
        ACTIVE = "active", _("running")
        ENDED = "ended", _("ended")
        CANCELLED = "cancelled", _("cancelled")

    code = models.CharField(_("code"), max_length=32, unique=True)
    name = models.CharField(_("name"), max_length=120)
    group = models.ForeignKey(
        LocationGroup, models.PROTECT, related_name="+", verbose_name=_("location group")
    )
    shops = models.ManyToManyField(Shop, related_name="+", verbose_name=_("shops"))
    mode = models.CharField(_("mode"), max_length=10, choices=Mode.choices, default=Mode.LOCK_SHARE)
    starts_at = models.DateTimeField(_("starts at"))
    ends_at = models.DateTimeField(_("ends at"))
    state = models.CharField(
        _("state"), max_length=9, choices=State.choices, default=State.PLANNED, db_default=State.PLANNED
    )
    created_by = models.CharField(_("created by"), max_length=80)
    created_at = models.DateTimeField(_("created at"), db_default=Now())

    class Meta:
        verbose_name = _("promotion lock")
        verbose_name_plural = _("promotion locks")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(ends_at__gt=models.F("starts_at")),
                name="a_promotion_lock_ends_after_it_starts",
            ),
        ]
        indexes = [
            models.Index(
                fields=["starts_at"],
                condition=models.Q(state__in=["planned", "active"]),
                name="promotion_lock_live",
            )
        ]

    def __str__(self) -> str:
        return self.name


class PromotionLockLine(models.Model):
    """Units of one SKU that a promotion wants; `granted` and `returned` add up over its life."""

    lock = models.ForeignKey(
        PromotionLock, models.PROTECT, related_name="lines", verbose_name=_("promotion lock"), db_index=False
    )
    sku = models.ForeignKey(Sku, models.PROTECT, related_name="+", verbose_name=_("SKU"))
    quantity = models.PositiveIntegerField(_("units wanted"))
    granted = models.PositiveIntegerField(_("granted"), default=0, db_default=0)
    returned = models.PositiveIntegerField(_("returned"), default=0, db_default=0)

    class Meta:
        verbose_name = _("line of a promotion lock")
        verbose_name_plural = _("lines of promotion locks")
        constraints = [
            models.UniqueConstraint(fields=["lock", "sku"], name="a_promotion_locks_a_sku_once"),
            models.CheckConstraint(
                condition=models.Q(quantity__gt=0), name="a_promotion_lock_line_wants_something"
            ),
            models.CheckConstraint(
                condition=models.Q(granted__lte=models.F("quantity")),
                name="a_promotion_is_granted_no_more_than_it_wants",
            ),
            models.CheckConstraint(
                condition=models.Q(returned__lte=models.F("granted")),
                name="a_promotion_returns_no_more_than_it_was_granted",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.lock_id}/{self.sku_id}: {self.quantity}"


class ShopExposure(models.Model):
    """Which part of a shared pool a shop may show while the pool is low. Worked out from demand; no one edits it.

    Below `low_water` free units the pool is shown divided: this shop shows ⌈n·part_to⌉ − ⌈n·part_from⌉ of n. The parts
    of all shops follow one another from 0 to 1, the fastest seller first, so that what they show adds up to n exactly.
    Source: spec reliability 1.6.
    """

    group = models.ForeignKey(
        LocationGroup,
        models.CASCADE,
        related_name="+",
        verbose_name=_("location group"),
        db_index=False,
        db_constraint=False,
    )
    sku = models.ForeignKey(
        Sku, models.CASCADE, related_name="+", verbose_name=_("SKU"), db_index=False, db_constraint=False
    )
    shop = models.ForeignKey(
        Shop, models.CASCADE, related_name="+", verbose_name=_("shop"), db_index=False, db_constraint=False
    )
    units_per_hour = models.FloatField(_("sold per hour"))
    low_water = models.PositiveIntegerField(_("low-water mark"))
    part_from = models.DecimalField(_("part from"), max_digits=9, decimal_places=8)
    part_to = models.DecimalField(_("part to"), max_digits=9, decimal_places=8)
    computed_at = models.DateTimeField(_("worked out at"), db_default=Now())

    class Meta:
        verbose_name = _("exposure of a shop")
        verbose_name_plural = _("exposures of shops")
        constraints = [
            models.UniqueConstraint(
                fields=["sku", "group", "shop"], name="one_exposure_per_sku_group_and_shop"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.sku_id}/{self.shop_id}: {self.low_water}"

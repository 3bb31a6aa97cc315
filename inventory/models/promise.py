"""Promises to orders, and those that could not be made."""

from __future__ import annotations

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from inventory.models.network import Location, LocationGroup
from inventory.models.stock import StockLevel, StockPool
from products.models import Shop, Sku


class Reservation(models.Model):
    """Units of one pool promised to one order line. A line that draws from two pools or locations has two
    parts.

    held → committed (a location is taken) → shipped; or released from held or committed. Whoever changes one
    holds the lock of its pool. `level` is the stock level whose `committed` counts it: it tells owners apart
    that lie at one location.
    """

    class State(models.TextChoices):
        HELD = "held", pgettext_lazy("reservation", "held")
        COMMITTED = "committed", _("committed")
        SHIPPED = "shipped", _("shipped")
        RELEASED = "released", pgettext_lazy("reservation", "released")

    LIVE = (State.HELD, State.COMMITTED)

    line_key = models.UUIDField(_("line key"))
    part = models.PositiveSmallIntegerField(_("part"), default=0, db_default=0)
    # Not indexed one by one: the two indexes below answer all questions, and each more costs every promise. SKU and
    # shop are checked where they come from, by the pool's and the shop pool's own keys, not once more per promise.
    pool = models.ForeignKey(
        StockPool, models.PROTECT, related_name="+", verbose_name=_("pool"), db_index=False
    )
    sku = models.ForeignKey(
        Sku, models.PROTECT, related_name="+", verbose_name=_("SKU"), db_index=False, db_constraint=False
    )
    shop = models.ForeignKey(
        Shop,
        models.PROTECT,
        null=True,
        related_name="+",
        verbose_name=_("shop"),
        db_index=False,
        db_constraint=False,
    )
    location = models.ForeignKey(
        Location, models.PROTECT, null=True, related_name="+", verbose_name=_("location"), db_index=False
    )
    level = models.ForeignKey(
        StockLevel, models.PROTECT, null=True, related_name="+", verbose_name=_("stock level"), db_index=False
    )
    quantity = models.PositiveIntegerField(_("quantity"))
    state = models.CharField(_("state"), max_length=10, choices=State.choices, db_default=State.HELD)
    expires_at = models.DateTimeField(_("expires at"), null=True)
    created_at = models.DateTimeField(_("created at"), db_default=Now())
    changed_at = models.DateTimeField(_("changed at"), db_default=Now())

    class Meta:
        verbose_name = _("reservation")
        verbose_name_plural = _("reservations")
        constraints = [
            models.UniqueConstraint(fields=["line_key", "part"], name="a_line_holds_each_part_once"),
            models.CheckConstraint(condition=models.Q(quantity__gt=0), name="a_reservation_holds_something"),
            models.CheckConstraint(
                condition=~models.Q(state="committed")
                | models.Q(location__isnull=False, level__isnull=False),
                name="what_is_committed_is_at_a_location",
            ),
        ]
        indexes = [
            models.Index(
                fields=["sku", "pool"],
                condition=models.Q(state__in=["held", "committed"]),
                name="reservation_live_by_sku",
            ),
            # Demand is added up day by day. Rows lie in the order in which they were promised, so that a few bytes per
            # megabyte find a day, and an update that stays on its page stays cheap.
            BrinIndex(fields=["created_at", "changed_at"], name="reservation_by_time", pages_per_range=32),
        ]

    def __str__(self) -> str:
        return f"{self.line_key}.{self.part}: {self.quantity}"


class Shortage(models.Model):
    """An order line that is owed more than could be promised.

    It is filled when supply comes, oldest first.
    """

    class State(models.TextChoices):
        OPEN = "open", _("open")
        FILLED = "filled", _("filled")
        CANCELLED = "cancelled", _("cancelled")

    line_key = models.UUIDField(_("line key"), unique=True)
    sku = models.ForeignKey(Sku, models.PROTECT, related_name="+", verbose_name=_("SKU"))
    shop = models.ForeignKey(Shop, models.PROTECT, null=True, related_name="+", verbose_name=_("shop"))
    group = models.ForeignKey(
        LocationGroup, models.PROTECT, null=True, related_name="+", verbose_name=_("location group")
    )
    quantity = models.PositiveIntegerField(_("quantity"))
    reason = models.CharField(_("reason"), max_length=40)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, db_default=State.OPEN)
    created_at = models.DateTimeField(_("created at"), db_default=Now())
    closed_at = models.DateTimeField(_("closed at"), null=True)

    class Meta:
        verbose_name = _("shortage")
        verbose_name_plural = _("shortages")
        indexes = [
            models.Index(fields=["sku", "id"], condition=models.Q(state="open"), name="shortage_open_by_sku"),
            BrinIndex(fields=["created_at", "closed_at"], name="shortage_by_time", pages_per_range=32),
        ]

    def __str__(self) -> str:
        return f"{self.line_key}: {self.quantity}"

"""When stock is too low, and how much should be ordered."""

from __future__ import annotations

import pghistory
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from inventory.models.network import LocationGroup
from inventory.models.quota import SkuScope, names_one_scope
from products.models import Shop, Sku


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old), pghistory.DeleteEvent(), model_name="AlertRuleHistory"
)
class AlertRule(SkuScope):
    """Below how many sellable units somebody is told: of a group, or of one shop in it."""

    group = models.ForeignKey(
        LocationGroup, models.PROTECT, related_name="+", verbose_name=_("location group")
    )
    shop = models.ForeignKey(
        Shop, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("shop")
    )
    units = models.PositiveIntegerField(_("alert below"))
    is_active = models.BooleanField(_("active"), default=True, db_default=True)

    class Meta:
        verbose_name = _("stock alert rule")
        verbose_name_plural = _("stock alert rules")
        constraints = [
            models.UniqueConstraint(
                fields=["group", "shop", "sku", "category", "brand"],
                name="one_alert_rule_per_scope",
                nulls_distinct=False,
            ),
            models.CheckConstraint(condition=names_one_scope(), name="an_alert_rule_names_one_scope"),
        ]

    def __str__(self) -> str:
        return f"{self.group}: {self.units}"


class StockAlert(models.Model):
    """A SKU that is too low in a group, or in one shop of it. One is open per place; it closes itself."""

    class State(models.TextChoices):
        OPEN = "open", pgettext_lazy("stock alert", "open")
        CLOSED = "closed", pgettext_lazy("stock alert", "closed")

    sku = models.ForeignKey(Sku, models.PROTECT, related_name="+", verbose_name=_("SKU"), db_index=False)
    group = models.ForeignKey(
        LocationGroup, models.PROTECT, related_name="+", verbose_name=_("location group"), db_index=False
    )
    shop = models.ForeignKey(
        Shop, models.PROTECT, null=True, related_name="+", verbose_name=_("shop"), db_index=False
    )
    level = models.PositiveIntegerField(_("alert below"))
    sellable = models.IntegerField(_("sellable"))
    lowest = models.IntegerField(_("lowest"))
    state = models.CharField(
        _("state"), max_length=6, choices=State.choices, default=State.OPEN, db_default=State.OPEN
    )
    opened_at = models.DateTimeField(_("opened at"), db_default=Now())
    closed_at = models.DateTimeField(_("closed at"), null=True)
    taken_by = models.CharField(_("in the hands of"), max_length=80, blank=True, default="", db_default="")
    note = models.CharField(_("note"), max_length=200, blank=True, default="", db_default="")

    class Meta:
        verbose_name = _("stock alert")
        verbose_name_plural = _("stock alerts")
        constraints = [
            models.UniqueConstraint(
                fields=["sku", "group", "shop"],
                condition=models.Q(state="open"),
                name="one_open_alert_per_sku_and_place",
                nulls_distinct=False,
            )
        ]
        indexes = [models.Index(fields=["id"], condition=models.Q(state="open"), name="stock_alert_open")]

    def __str__(self) -> str:
        return f"{self.sku.code} @ {(self.shop or self.group).code}: {self.sellable} / {self.level}"


class StockWatch(models.Model):
    """A SKU whose alerts should be looked at. Append-only for the planner; the watch takes rows away."""

    sku = models.ForeignKey(Sku, models.CASCADE, related_name="+", db_index=False, db_constraint=False)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = _("SKU to look at")
        verbose_name_plural = _("SKUs to look at")

    def __str__(self) -> str:
        return str(self.sku_id)


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old),
    pghistory.DeleteEvent(),
    model_name="SupplyRuleHistory",
)
class SupplyRule(SkuScope):
    """How a SKU is replenished into a group.

    Reorder point = demand per day × lead time + safety stock; suggested = demand per day × (lead + cover) + safety
    stock − what is free, in whole packs.
    """

    group = models.ForeignKey(
        LocationGroup, models.PROTECT, related_name="+", verbose_name=_("location group")
    )
    lead_days = models.PositiveSmallIntegerField(_("lead time in days"), default=7, db_default=7)
    cover_days = models.PositiveSmallIntegerField(
        _("days that an order should cover"), default=14, db_default=14
    )
    pack_size = models.PositiveIntegerField(_("units in a pack"), default=1, db_default=1)
    order_minimum = models.PositiveIntegerField(_("fewest units of an order"), default=0, db_default=0)
    is_active = models.BooleanField(_("active"), default=True, db_default=True)

    class Meta:
        verbose_name = _("supply rule")
        verbose_name_plural = _("supply rules")
        constraints = [
            models.UniqueConstraint(
                fields=["group", "sku", "category", "brand"],
                name="one_supply_rule_per_scope",
                nulls_distinct=False,
            ),
            models.CheckConstraint(condition=names_one_scope(), name="a_supply_rule_names_one_scope"),
            models.CheckConstraint(condition=models.Q(pack_size__gt=0), name="a_pack_holds_something"),
        ]

    def __str__(self) -> str:
        return f"{self.group}: {self.lead_days} + {self.cover_days}"

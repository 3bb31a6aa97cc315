"""Stock set aside for a buyer for some minutes, and how much of it one may have."""

from __future__ import annotations

import pghistory
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from products.models import Shop, Sku


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old), pghistory.DeleteEvent(), model_name="HoldLimitHistory"
)
class HoldLimit(models.Model):
    """How long, and how much, buyers of a shop may hold without an order; without a shop: those of every other shop."""

    shop = models.OneToOneField(
        Shop, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("shop")
    )
    minutes_max = models.PositiveSmallIntegerField(_("minutes at most"), default=15, db_default=15)
    units_per_buyer = models.PositiveIntegerField(_("units per buyer and SKU"), default=10, db_default=10)
    holds_per_buyer = models.PositiveIntegerField(_("holds per buyer"), default=5, db_default=5)
    units_per_shop = models.PositiveIntegerField(
        _("units per SKU of all buyers"), null=True, blank=True, help_text=_("Empty: no limit.")
    )

    class Meta:
        verbose_name = _("limit of holds")
        verbose_name_plural = _("limits of holds")
        constraints = [
            models.UniqueConstraint(
                fields=["shop"], name="one_limit_of_holds_per_shop", nulls_distinct=False
            ),
            models.CheckConstraint(condition=models.Q(minutes_max__gt=0), name="a_hold_lasts_a_minute"),
        ]

    def __str__(self) -> str:
        return str(self.shop or _("every other shop"))


class StockHold(models.Model):
    """Units promised to a buyer until `expires_at`; an order may take them over before. By its key it is made once."""

    class State(models.TextChoices):
        HELD = "held", pgettext_lazy("stock hold", "held")
        TAKEN = "taken", _("taken over by an order")
        RELEASED = "released", pgettext_lazy("stock hold", "given back")
        EXPIRED = "expired", _("expired")

    key = models.CharField(_("key"), max_length=120)
    shop = models.ForeignKey(Shop, models.PROTECT, related_name="+", verbose_name=_("shop"), db_index=False)
    buyer = models.CharField(_("buyer"), max_length=120)
    state = models.CharField(
        _("state"), max_length=8, choices=State.choices, default=State.HELD, db_default=State.HELD
    )
    expires_at = models.DateTimeField(_("expires at"))
    created_at = models.DateTimeField(_("created at"), db_default=Now())
    created_by = models.CharField(_("created by"), max_length=80)
    ended_at = models.DateTimeField(_("ended at"), null=True)

    class Meta:
        verbose_name = _("stock hold")
        verbose_name_plural = _("stock holds")
        constraints = [models.UniqueConstraint(fields=["shop", "key"], name="a_shop_makes_a_hold_once")]
        indexes = [
            models.Index(fields=["expires_at"], condition=models.Q(state="held"), name="hold_due"),
            models.Index(fields=["shop", "buyer"], condition=models.Q(state="held"), name="hold_by_buyer"),
        ]

    def __str__(self) -> str:
        return self.key


class StockHoldLine(models.Model):
    """`quantity` units of a SKU that a hold promises; `line_key` names the promise."""

    hold = models.ForeignKey(
        StockHold, models.CASCADE, related_name="lines", verbose_name=_("stock hold"), db_index=False
    )
    sku = models.ForeignKey(Sku, models.PROTECT, related_name="+", verbose_name=_("SKU"), db_index=False)
    quantity = models.PositiveIntegerField(_("units"))
    line_key = models.UUIDField(_("line key"), unique=True)

    class Meta:
        verbose_name = _("line of a stock hold")
        verbose_name_plural = _("lines of stock holds")
        constraints = [
            models.UniqueConstraint(fields=["hold", "sku"], name="a_hold_names_a_sku_once"),
            models.CheckConstraint(condition=models.Q(quantity__gt=0), name="a_hold_line_holds_something"),
        ]

    def __str__(self) -> str:
        return f"{self.hold_id}/{self.sku_id}: {self.quantity}"

"""What the channels show, and the way of a listing onto them."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from products.models.offer import Shop


class OuterItem(models.Model):
    """An item of a shop's channel as the channel last showed it: (shop, outer item, outer SKU) exists once.

    `outer_code`: the seller's own code there. `is_listed`, `price`, `quantity`: None when only an order told of it.
    `unmapped` ones wait for a person to say which SKU they are; `ignored` ones never will be one of ours.
    """

    class State(models.TextChoices):
        UNMAPPED = "unmapped", _("unmapped")
        MAPPED = "mapped", _("mapped")
        IGNORED = "ignored", _("ignored")

    class Source(models.TextChoices):
        CHANNEL = "channel", _("the channel")
        ORDER = "order", _("an order")

    shop = models.ForeignKey(Shop, models.PROTECT, related_name="+", verbose_name=_("shop"), db_index=False)
    outer_item_id = models.CharField(_("outer item id"), max_length=64)
    outer_sku_id = models.CharField(_("outer SKU id"), max_length=64, db_default="")
    title = models.CharField(_("title"), max_length=240, db_default="")
    outer_code = models.CharField(_("seller's code"), max_length=64, db_default="")
    barcode = models.CharField(_("barcode"), max_length=64, db_default="")
    price = models.DecimalField(_("price"), max_digits=20, decimal_places=4, null=True)
    quantity = models.IntegerField(_("quantity"), null=True)
    is_listed = models.BooleanField(_("listed on the channel"), null=True)
    state = models.CharField(
        _("state"), max_length=10, choices=State.choices, db_default=State.UNMAPPED, default=State.UNMAPPED
    )
    source = models.CharField(_("told by"), max_length=10, choices=Source.choices)
    note = models.TextField(_("note"), db_default="")
    first_seen_at = models.DateTimeField(_("first seen"), db_default=Now())
    seen_at = models.DateTimeField(_("last seen"), db_default=Now())

    class Meta:
        verbose_name = _("channel item")
        verbose_name_plural = _("channel items")
        constraints = [
            models.UniqueConstraint(
                fields=["shop", "outer_item_id", "outer_sku_id"], name="an_outer_sku_is_seen_once"
            )
        ]
        indexes = [
            models.Index(fields=["-id"], condition=models.Q(state="unmapped"), name="outer_item_unmapped"),
        ]

    def __str__(self) -> str:
        return f"{self.outer_item_id}/{self.outer_sku_id}" if self.outer_sku_id else self.outer_item_id

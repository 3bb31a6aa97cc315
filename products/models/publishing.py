"""What the channels show, and the way of a listing onto them."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from products.models.offer import Listing, Shop


class OuterItem(models.Model):
    """An item of a shop's channel as the channel last showed it: (shop, outer item, outer SKU) exists once.

    `outer_code`: the seller's own code there. `is_listed`, `price`, `quantity`: None when only an order told of it.
    It is as it was after `asked_at`: what we said later may not show in it. `currency` empty: the shop's.
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
    currency = models.CharField(_("currency"), max_length=3, db_default="")
    quantity = models.IntegerField(_("quantity"), null=True)
    is_listed = models.BooleanField(_("listed on the channel"), null=True)
    state = models.CharField(
        _("state"), max_length=10, choices=State.choices, db_default=State.UNMAPPED, default=State.UNMAPPED
    )
    source = models.CharField(_("told by"), max_length=10, choices=Source.choices)
    note = models.TextField(_("note"), db_default="")
    first_seen_at = models.DateTimeField(_("first seen"), db_default=Now())
    asked_at = models.DateTimeField(_("asked at"), null=True)
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


class ListingRequest(models.Model):
    """Ask a shop's channel to put one listing on sale, to take it off or to call it otherwise, and what came of it.

    `batch`: those that were asked for together. Due when `not_before` has passed: at first the moment for which it
    was planned, later that of the next attempt. An act that waits is not asked for twice. `content`: the title that
    was sent last. `is_overtaken`: asked for anew since it was sent, so that it goes once more whatever the answer.
    """

    class Act(models.TextChoices):
        PUBLISH = "publish", _("put on sale")
        WITHDRAW = "withdraw", _("take off sale")
        UPDATE = "update", _("tell the title")

    class State(models.TextChoices):
        DUE = "due", _("due")
        DONE = "done", _("done")
        REFUSED = "refused", _("refused")
        CANCELLED = "cancelled", _("cancelled")

    listing = models.ForeignKey(
        Listing, models.PROTECT, related_name="requests", verbose_name=_("listing"), db_index=False
    )
    shop = models.ForeignKey(Shop, models.PROTECT, related_name="+", verbose_name=_("shop"), db_index=False)
    batch = models.UUIDField(_("batch"))
    act = models.CharField(_("act"), max_length=10, choices=Act.choices)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, db_default=State.DUE)
    scheduled_at = models.DateTimeField(_("planned for"))
    not_before = models.DateTimeField(_("not before"))
    attempts = models.PositiveSmallIntegerField(_("attempts"), db_default=0)
    content = models.CharField(_("title sent"), max_length=240, db_default="")
    is_overtaken = models.BooleanField(_("asked for anew meanwhile"), db_default=False)
    answer = models.TextField(_("answer"), db_default="")
    reason = models.TextField(_("reason"), db_default="")
    requested_by = models.CharField(_("asked by"), max_length=80)
    requested_at = models.DateTimeField(_("asked at"), db_default=Now())
    answered_at = models.DateTimeField(_("answered at"), null=True)

    class Meta:
        verbose_name = _("listing request")
        verbose_name_plural = _("listing requests")
        constraints = [
            models.UniqueConstraint(
                fields=["listing", "act"],
                condition=models.Q(state="due"),
                name="an_act_that_waits_is_asked_for_once",
            )
        ]
        indexes = [
            models.Index(
                fields=["shop", "not_before"], condition=models.Q(state="due"), name="listing_request_due"
            ),
            models.Index(fields=["id"], condition=models.Q(state="refused"), name="listing_request_refused"),
            models.Index(fields=["listing", "-id"], name="request_by_listing"),
            models.Index(fields=["batch"], name="request_by_batch"),
        ]

    def __str__(self) -> str:
        return f"{self.act} {self.listing_id}"

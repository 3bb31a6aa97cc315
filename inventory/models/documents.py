"""Goods on their way between locations, counts that wait for confirmation, and what others say lies there."""

from __future__ import annotations

from typing import Any

import pghistory
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from inventory.models.network import Location, LocationGroup
from inventory.models.stock import Grade
from products.models import Sku


def _texts(name: Any, size: int) -> ArrayField[list[str], list[str]]:
    """A list of words; empty: not asked for."""
    empty = models.Value([], ArrayField(models.CharField(max_length=size)))
    field = models.CharField(max_length=size)
    return ArrayField(field, verbose_name=name, blank=True, default=list, db_default=empty)


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old),
    pghistory.DeleteEvent(),
    model_name="PoolingRuleHistory",
)
class PoolingRule(models.Model):
    """Which locations join which group: the first rule in the order of `position` whose conditions all fit.

    Empty conditions are not asked. A location that no rule fits stays where it is.
    """

    name = models.CharField(_("name"), max_length=120, unique=True)
    position = models.PositiveSmallIntegerField(_("position"), default=100, db_default=100)
    group = models.ForeignKey(
        LocationGroup, models.PROTECT, related_name="+", verbose_name=_("location group")
    )
    kinds = _texts(_("kinds"), 10)
    owners = _texts(_("owners"), 32)
    provinces = _texts(_("provinces"), 40)
    ships_online = models.BooleanField(
        _("ships online orders"), null=True, blank=True, help_text=_("Unknown: either.")
    )
    is_active = models.BooleanField(_("active"), default=True, db_default=True)

    class Meta:
        verbose_name = _("pooling rule")
        verbose_name_plural = _("pooling rules")

    def __str__(self) -> str:
        return self.name


class Transfer(models.Model):
    """Goods that go from one location to another (调拨).

    What has left and not arrived is in transit, and nobody's to sell. draft → shipped → closed, when every unit has
    arrived or is accounted for; a draft can be cancelled.
    """

    class State(models.TextChoices):
        DRAFT = "draft", _("draft")
        SHIPPED = "shipped", _("in transit")
        CLOSED = "closed", _("closed")
        CANCELLED = "cancelled", _("cancelled")

    number = models.CharField(_("number"), max_length=32, unique=True)
    external_number = models.CharField(
        _("external number"), max_length=80, null=True, blank=True, unique=True
    )
    source = models.ForeignKey(Location, models.PROTECT, related_name="+", verbose_name=_("from"))
    destination = models.ForeignKey(Location, models.PROTECT, related_name="+", verbose_name=_("to"))
    state = models.CharField(
        _("state"), max_length=9, choices=State.choices, default=State.DRAFT, db_default=State.DRAFT
    )
    note = models.CharField(_("note"), max_length=200, blank=True, default="", db_default="")
    created_by = models.CharField(_("created by"), max_length=80)
    created_at = models.DateTimeField(_("created at"), db_default=Now())
    shipped_at = models.DateTimeField(_("shipped at"), null=True)
    expected_at = models.DateTimeField(_("expected at"), null=True, blank=True)
    closed_at = models.DateTimeField(_("closed at"), null=True)

    class Meta:
        verbose_name = _("transfer")
        verbose_name_plural = _("transfers")
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(source=models.F("destination")), name="a_transfer_goes_somewhere_else"
            )
        ]
        indexes = [
            models.Index(
                fields=["id"], condition=models.Q(state__in=["draft", "shipped"]), name="transfer_open"
            )
        ]

    def __str__(self) -> str:
        return self.number


class TransferLine(models.Model):
    """One SKU of a transfer. shipped = received + lost + in transit; `reason`: why what is lost did not arrive.

    `damaged`: the part of what was received that came in another grade than it left with.
    """

    class Discrepancy(models.TextChoices):
        LOST = "lost", _("lost on the way")
        DAMAGED = "damaged", _("damaged on the way")
        MISCOUNTED = "miscounted", _("miscounted when it left")
        WRONG_ITEM = "wrong_item", _("another item was sent")

    transfer = models.ForeignKey(
        Transfer, models.PROTECT, related_name="lines", verbose_name=_("transfer"), db_index=False
    )
    sku = models.ForeignKey(Sku, models.PROTECT, related_name="+", verbose_name=_("SKU"))
    grade = models.CharField(_("grade"), max_length=12, choices=Grade.choices, default=Grade.GOOD)
    owner = models.CharField(_("owner"), max_length=32, default="own", db_default="own")
    quantity = models.PositiveIntegerField(_("units"))
    shipped = models.PositiveIntegerField(_("shipped"), default=0, db_default=0)
    received = models.PositiveIntegerField(_("received"), default=0, db_default=0)
    damaged = models.PositiveIntegerField(_("of these damaged"), default=0, db_default=0)
    lost = models.PositiveIntegerField(_("lost"), default=0, db_default=0)
    reason = models.CharField(
        _("reason of the discrepancy"), max_length=12, choices=Discrepancy.choices, blank=True, db_default=""
    )

    class Meta:
        verbose_name = _("line of a transfer")
        verbose_name_plural = _("lines of transfers")
        constraints = [
            models.UniqueConstraint(
                fields=["transfer", "sku", "grade", "owner"], name="a_transfer_names_a_sku_once"
            ),
            models.CheckConstraint(
                condition=models.Q(quantity__gt=0), name="a_transfer_line_moves_something"
            ),
            models.CheckConstraint(
                condition=models.Q(shipped__gte=models.F("received") + models.F("lost")),
                name="no_more_arrives_than_left",
            ),
            models.CheckConstraint(
                condition=models.Q(damaged__lte=models.F("received")),
                name="no_more_is_damaged_than_was_received",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.transfer_id}/{self.sku_id}: {self.quantity}"


class CountSheet(models.Model):
    """A count of one location (盘点). Its variances change stock only when a person confirms them.

    `counted_at`: the moment for which the counts hold; what has moved since is not counted again.
    """

    class State(models.TextChoices):
        OPEN = "open", pgettext_lazy("count sheet", "being counted")
        SUBMITTED = "submitted", _("to be confirmed")
        CONFIRMED = "confirmed", _("confirmed")
        REJECTED = "rejected", _("rejected")

    number = models.CharField(_("number"), max_length=32, unique=True)
    external_number = models.CharField(
        _("external number"), max_length=80, null=True, blank=True, unique=True
    )
    location = models.ForeignKey(Location, models.PROTECT, related_name="+", verbose_name=_("location"))
    state = models.CharField(
        _("state"), max_length=9, choices=State.choices, default=State.OPEN, db_default=State.OPEN
    )
    counted_at = models.DateTimeField(_("counted at"))
    note = models.CharField(_("note"), max_length=200, blank=True, default="", db_default="")
    created_by = models.CharField(_("created by"), max_length=80)
    created_at = models.DateTimeField(_("created at"), db_default=Now())
    decided_by = models.CharField(_("decided by"), max_length=80, db_default="")
    decided_at = models.DateTimeField(_("decided at"), null=True)
    reason = models.CharField(_("reason"), max_length=200, db_default="")

    class Meta:
        verbose_name = _("count sheet")
        verbose_name_plural = _("count sheets")
        indexes = [
            models.Index(fields=["id"], condition=models.Q(state="submitted"), name="count_sheet_to_confirm")
        ]

    def __str__(self) -> str:
        return self.number


class CountLine(models.Model):
    """`counted` against `booked`, what the books said for the moment of the count; the difference is the variance."""

    sheet = models.ForeignKey(
        CountSheet, models.PROTECT, related_name="lines", verbose_name=_("count sheet"), db_index=False
    )
    sku = models.ForeignKey(Sku, models.PROTECT, related_name="+", verbose_name=_("SKU"))
    grade = models.CharField(_("grade"), max_length=12, choices=Grade.choices, default=Grade.GOOD)
    owner = models.CharField(_("owner"), max_length=32, default="own", db_default="own")
    counted = models.PositiveIntegerField(_("counted"))
    booked = models.IntegerField(_("in the books"), null=True)
    posted = models.IntegerField(_("booked as a difference"), null=True)
    reason = models.CharField(_("reason"), max_length=200, blank=True, default="", db_default="")

    class Meta:
        verbose_name = _("line of a count sheet")
        verbose_name_plural = _("lines of count sheets")
        constraints = [
            models.UniqueConstraint(
                fields=["sheet", "sku", "grade", "owner"], name="a_sheet_counts_a_sku_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.sheet_id}/{self.sku_id}: {self.counted}"


class StockBasis(models.TextChoices):
    """What somebody else's figure means."""

    GROSS = "gross", _("all that lies there")
    NET = "net", _("less what is taken for our open orders")


class StockComparison(models.Model):
    """One compare of a location's books with what a warehouse or ERP says (库存比对), for the moment `cut_off_at`.

    `unknown`: what it named and could not be compared, as pairs of the name and the reason. `fingerprint`: the hash of
    what was sent under an external number.
    """

    location = models.ForeignKey(Location, models.PROTECT, related_name="+", verbose_name=_("location"))
    source = models.CharField(_("said by"), max_length=80)
    external_number = models.CharField(
        _("external number"), max_length=80, null=True, blank=True, unique=True
    )
    basis = models.CharField(_("basis"), max_length=5, choices=StockBasis.choices)
    cut_off_at = models.DateTimeField(_("cut-off"))
    is_complete = models.BooleanField(
        _("complete"), default=True, help_text=_("What it does not name does not lie there.")
    )
    compared = models.PositiveIntegerField(_("figures"), db_default=0)
    differing = models.PositiveIntegerField(_("differing"), db_default=0)
    unknown = models.JSONField(
        _("not compared"), default=list, db_default=models.Value([], models.JSONField())
    )
    fingerprint = models.CharField(_("fingerprint"), max_length=64, default="", db_default="")
    compared_at = models.DateTimeField(_("compared at"), db_default=Now())
    by = models.CharField(_("by"), max_length=80)

    class Meta:
        verbose_name = _("stock compare")
        verbose_name_plural = _("stock compares")
        indexes = [models.Index(fields=["location", "-id"], name="comparison_by_location")]

    def __str__(self) -> str:
        return f"#{self.pk}"


class StockDifference(models.Model):
    """A figure of a location that two books do not agree on.

    Open until a compare finds them equal, or a person decides. One open row per place. `ours` and `theirs` are of the
    newest compare, on its basis.
    """

    class State(models.TextChoices):
        OPEN = "open", pgettext_lazy("stock difference", "open")
        GONE = "gone", _("gone by itself")
        BOOKED = "booked", _("theirs was booked")
        EXPLAINED = "explained", _("explained")

    location = models.ForeignKey(
        Location, models.PROTECT, related_name="+", verbose_name=_("location"), db_index=False
    )
    sku = models.ForeignKey(Sku, models.PROTECT, related_name="+", verbose_name=_("SKU"))
    grade = models.CharField(_("grade"), max_length=12, choices=Grade.choices, default=Grade.GOOD)
    ours = models.IntegerField(_("ours"))
    theirs = models.IntegerField(_("theirs"))
    basis = models.CharField(_("basis"), max_length=5, choices=StockBasis.choices)
    cut_off_at = models.DateTimeField(_("cut-off"))
    comparison = models.ForeignKey(
        StockComparison, models.PROTECT, related_name="+", verbose_name=_("stock compare"), db_index=False
    )
    since = models.DateTimeField(_("since"))
    times = models.PositiveIntegerField(_("times seen"), default=1, db_default=1)
    owner = models.CharField(_("in the hands of"), max_length=80, blank=True, default="", db_default="")
    state = models.CharField(
        _("state"), max_length=9, choices=State.choices, default=State.OPEN, db_default=State.OPEN
    )
    reason = models.CharField(_("reason"), max_length=200, blank=True, default="", db_default="")
    closed_by = models.CharField(_("closed by"), max_length=80, db_default="")
    closed_at = models.DateTimeField(_("closed at"), null=True)

    class Meta:
        verbose_name = _("stock difference")
        verbose_name_plural = _("stock differences")
        constraints = [
            models.UniqueConstraint(
                fields=["location", "sku", "grade"],
                condition=models.Q(state="open"),
                name="one_open_difference_per_place",
            )
        ]
        indexes = [
            models.Index(fields=["id"], condition=models.Q(state="open"), name="stock_difference_open")
        ]

    def __str__(self) -> str:
        return f"{self.sku.code} @ {self.location.code}: {self.ours} / {self.theirs}"

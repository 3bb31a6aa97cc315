"""What things cost: prices with their approval, floors, and what the channels were told."""

from __future__ import annotations

import pghistory
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.db import models
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext_lazy as _

from products.models.master import Sku
from products.models.offer import Listing, Shop
from products.prices.states import PriceState


class TimeRange(models.Func):
    """The half-open period of a price; without an end it never ends."""

    function = "tstzrange"
    output_field = DateTimeRangeField()


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old), pghistory.DeleteEvent(), model_name="PriceHistory"
)
class Price(models.Model):
    """What a SKU costs in one shop, on one kind of channel or everywhere, from a moment on.

    A regular price is in force until the next one; a special price has an end, and beats the regular one of its scope
    meanwhile. Period: [starts_at, ends_at). Only an approved price is ever in force, and of one scope at most one
    regular and one special at a time.
    """

    class Kind(models.TextChoices):
        REGULAR = "regular", _("regular")
        SPECIAL = "special", _("special")

    State = PriceState

    sku = models.ForeignKey(Sku, models.PROTECT, related_name="prices", verbose_name=_("SKU"))
    shop = models.ForeignKey(
        Shop, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("shop"), db_index=False
    )
    channel = models.CharField(
        _("channel"),
        max_length=32,
        blank=True,
        default="",
        db_default="",
        help_text=_("The kind of channel; empty: every channel."),
    )
    kind = models.CharField(
        _("kind of price"), max_length=8, choices=Kind.choices, default=Kind.REGULAR, db_default=Kind.REGULAR
    )
    amount = models.DecimalField(_("price"), max_digits=20, decimal_places=4)
    currency = models.CharField(_("currency"), max_length=3)
    starts_at = models.DateTimeField(_("starts at"))
    ends_at = models.DateTimeField(_("ends at"), null=True, blank=True)
    state = models.CharField(
        _("state"),
        max_length=10,
        choices=PriceState.choices,
        default=PriceState.DRAFT,
        db_default=PriceState.DRAFT,
    )
    reason = models.CharField(_("reason"), max_length=200, blank=True, default="", db_default="")
    requested_by = models.CharField(_("asked for by"), max_length=80)
    requested_at = models.DateTimeField(_("asked for at"), db_default=Now())
    decided_by = models.CharField(_("decided by"), max_length=80, blank=True, default="", db_default="")
    decided_at = models.DateTimeField(_("decided at"), null=True, blank=True)
    decision = models.CharField(
        _("reason of the decision"), max_length=200, blank=True, default="", db_default=""
    )
    # The regular price that took its place: its end is that one's start, and is taken back with it.
    succeeded_by = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("followed by"),
        db_index=False,
    )

    class Meta:
        verbose_name = _("price")
        verbose_name_plural = _("prices")
        permissions = [
            ("approve_price", _("Can approve and reject prices")),
            ("approve_own_price", _("Can approve prices that they asked for themselves")),
        ]
        constraints = [
            models.CheckConstraint(condition=models.Q(amount__gt=0), name="a_price_is_above_zero"),
            models.CheckConstraint(
                condition=models.Q(ends_at__isnull=True) | models.Q(ends_at__gt=models.F("starts_at")),
                name="a_price_ends_after_it_starts",
            ),
            models.CheckConstraint(
                condition=models.Q(kind="regular") | models.Q(ends_at__isnull=False),
                name="a_special_price_has_an_end",
            ),
            models.CheckConstraint(
                condition=models.Q(shop__isnull=True) | models.Q(channel=""),
                name="a_price_is_of_a_shop_or_of_a_channel",
            ),
            models.CheckConstraint(
                condition=~models.Q(state="approved") | models.Q(decided_at__isnull=False),
                name="an_approved_price_says_when_it_was_approved",
            ),
            ExclusionConstraint(
                name="no_two_prices_of_one_scope_overlap",
                expressions=[
                    ("sku", RangeOperators.EQUAL),
                    (Coalesce("shop_id", models.Value(0)), RangeOperators.EQUAL),
                    ("channel", RangeOperators.EQUAL),
                    ("currency", RangeOperators.EQUAL),
                    ("kind", RangeOperators.EQUAL),
                    (TimeRange("starts_at", "ends_at"), RangeOperators.OVERLAPS),
                ],
                condition=models.Q(state="approved"),
            ),
        ]
        indexes = [
            models.Index(fields=["sku"], condition=models.Q(state="approved"), name="price_in_force"),
            models.Index(fields=["id"], condition=models.Q(state="submitted"), name="price_to_approve"),
            models.Index(fields=["starts_at"], condition=models.Q(state="approved"), name="price_calendar"),
            models.Index(
                fields=["ends_at"],
                condition=models.Q(state="approved", ends_at__isnull=False),
                name="price_calendar_ends",
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old),
    pghistory.DeleteEvent(),
    model_name="FloorPriceHistory",
)
class FloorPrice(models.Model):
    """The amount below which a SKU is sold nowhere, from a moment until the next one begins. 0: no floor any more."""

    sku = models.ForeignKey(Sku, models.PROTECT, related_name="floors", verbose_name=_("SKU"), db_index=False)
    amount = models.DecimalField(_("floor price"), max_digits=20, decimal_places=4)
    currency = models.CharField(_("currency"), max_length=3)
    since = models.DateTimeField(_("since"))
    reason = models.CharField(_("reason"), max_length=200, blank=True, default="", db_default="")
    set_by = models.CharField(_("set by"), max_length=80)
    set_at = models.DateTimeField(_("set at"), db_default=Now())

    class Meta:
        verbose_name = _("floor price")
        verbose_name_plural = _("floor prices")
        constraints = [
            models.CheckConstraint(condition=models.Q(amount__gte=0), name="no_floor_is_below_zero"),
            models.UniqueConstraint(fields=["sku", "currency", "since"], name="one_floor_begins_at_a_moment"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"


class PriceChange(models.Model):
    """From `due_at` on the price of a SKU may be another one. The planner takes rows away when their time has come.

    Every start and end of an approved price has one, so that finding what begins now costs what is due now. `shop` set:
    that shop lists the SKU anew, and its channel must be told the price even if it is the same.
    """

    sku = models.ForeignKey(Sku, models.CASCADE, related_name="+", db_index=False, db_constraint=False)
    shop = models.ForeignKey(
        Shop, models.CASCADE, null=True, related_name="+", db_index=False, db_constraint=False
    )
    due_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = _("price change")
        verbose_name_plural = _("price changes")
        indexes = [models.Index(fields=["due_at", "id"], name="price_change_due")]

    def __str__(self) -> str:
        return str(self.sku_id)


class PublishedPrice(models.Model):
    """One listing's price: desired by us, sent to the channel, acknowledged by it. The newest version wins.

    acked ≤ sent ≤ desired. Due for a push: `desired_version > acked_version` and `not_before` has passed. A listing
    has a row from the first approved price on that concerned it; before, its channel's price is the channel's.
    """

    listing = models.OneToOneField(
        Listing, models.PROTECT, related_name="published_price", verbose_name=_("listing")
    )
    shop = models.ForeignKey(Shop, models.PROTECT, related_name="+", verbose_name=_("shop"), db_index=False)
    price = models.ForeignKey(
        Price,
        models.PROTECT,
        null=True,
        related_name="+",
        verbose_name=_("price in force"),
        db_index=False,
    )
    currency = models.CharField(_("currency"), max_length=3)
    desired_amount = models.DecimalField(_("desired"), max_digits=20, decimal_places=4)
    desired_version = models.BigIntegerField(_("desired version"), db_default=1)
    desired_at = models.DateTimeField(_("desired at"), db_default=Now())
    sent_amount = models.DecimalField(_("sent"), max_digits=20, decimal_places=4, null=True)
    sent_version = models.BigIntegerField(_("sent version"), db_default=0)
    sent_at = models.DateTimeField(_("sent at"), null=True)
    acked_amount = models.DecimalField(_("acknowledged"), max_digits=20, decimal_places=4, null=True)
    acked_version = models.BigIntegerField(_("acknowledged version"), db_default=0)
    acked_at = models.DateTimeField(_("acknowledged at"), null=True)
    attempts = models.PositiveSmallIntegerField(_("attempts"), db_default=0)
    not_before = models.DateTimeField(_("not before"), db_default=Now())
    last_error = models.TextField(_("last error"), db_default="")

    class Meta:
        verbose_name = _("published price")
        verbose_name_plural = _("published prices")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(acked_version__lte=models.F("sent_version"))
                & models.Q(sent_version__lte=models.F("desired_version")),
                name="no_price_is_acknowledged_before_it_is_sent",
            ),
        ]
        indexes = [
            models.Index(
                fields=["shop", "not_before", "id"],
                condition=models.Q(desired_version__gt=models.F("acked_version")),
                name="published_price_due",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.listing_id}: {self.desired_amount} {self.currency}"

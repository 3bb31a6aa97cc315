"""Where a channel shows something else than we do."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from products.models import Listing, Shop


class ListingDrift(models.Model):
    """One listing's title, price, stock or state is another on its channel than with us; open until they agree.

    `ours`, `theirs`: as texts, as of the last survey. `version`: of what we said, so that a new word of ours starts the
    watch anew (`held_since`). A difference asks for a person once it was seen twice (`confirmed_at`), and not while
    what they did about it is under way (`pushed_at`).
    """

    class What(models.TextChoices):
        TITLE = "title", _("title")
        PRICE = "price", _("price")
        STOCK = "stock", _("stock")
        STATE = "state", _("state")

    class Cause(models.TextChoices):
        UNSAID = "unsaid", _("never told to the channel")
        UNANSWERED = "unanswered", _("sent, not acknowledged")
        REFUSED = "refused", _("refused by the channel")
        CHANGED = "changed", _("changed on the channel")
        GONE = "gone", _("not on the channel any more")

    class Ending(models.TextChoices):
        EQUAL = "equal", _("both sides agree")
        ACCEPTED = "accepted", _("the channel's word was taken")
        MOOT = "moot", _("not compared any more")

    listing = models.ForeignKey(
        Listing, models.PROTECT, related_name="+", verbose_name=_("listing"), db_index=False
    )
    shop = models.ForeignKey(Shop, models.PROTECT, related_name="+", verbose_name=_("shop"), db_index=False)
    what = models.CharField(_("what differs"), max_length=8, choices=What.choices)
    ours = models.CharField(_("ours"), max_length=240)
    theirs = models.CharField(_("on the channel"), max_length=240)
    version = models.BigIntegerField(_("version"))
    cause = models.CharField(_("cause"), max_length=12, choices=Cause.choices)
    detail = models.TextField(_("the channel's words"), db_default="")
    since = models.DateTimeField(_("since"))
    held_since = models.DateTimeField(_("the same since"))
    seen_at = models.DateTimeField(_("last seen"))
    confirmed_at = models.DateTimeField(_("confirmed at"), null=True)
    pushed_at = models.DateTimeField(_("pushed again at"), null=True)
    pushed_by = models.CharField(_("pushed again by"), max_length=80, db_default="")
    closed_at = models.DateTimeField(_("closed at"), null=True)
    ending = models.CharField(_("how it ended"), max_length=10, choices=Ending.choices, db_default="")
    noted_at = models.DateTimeField(_("noted at"), db_default=Now())

    class Meta:
        verbose_name = _("difference to a channel")
        verbose_name_plural = _("differences to channels")
        constraints = [
            models.UniqueConstraint(
                fields=["listing", "what"],
                condition=models.Q(closed_at__isnull=True),
                name="a_difference_is_open_once",
            ),
            models.CheckConstraint(
                condition=models.Q(closed_at__isnull=True, ending="")
                | models.Q(closed_at__isnull=False) & ~models.Q(ending=""),
                name="a_difference_that_is_over_says_how",
            ),
        ]
        indexes = [
            models.Index(fields=["shop"], condition=models.Q(closed_at__isnull=True), name="drift_open"),
            models.Index(
                fields=["id"],
                condition=models.Q(
                    closed_at__isnull=True, confirmed_at__isnull=False, pushed_at__isnull=True
                ),
                name="drift_asks",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.what} {self.listing_id}"

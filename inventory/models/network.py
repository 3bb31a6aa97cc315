"""The places where stock lies."""

from __future__ import annotations

import pghistory
from django.db import models
from django.utils.translation import gettext_lazy as _


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old),
    pghistory.DeleteEvent(),
    model_name="LocationGroupHistory",
)
class LocationGroup(models.Model):
    """Locations that sell as one.

    Stock is promised from the group's pools, and taken from a location by sourcing.
    """

    class Intake(models.TextChoices):
        SHARED = "shared", _("shared: sold by every shop at once")
        BASE = "base", _("base: held back until someone allots it")

    code = models.CharField(_("code"), max_length=32, unique=True)
    name = models.CharField(_("name"), max_length=120)
    new_stock_goes_to = models.CharField(
        _("new stock goes to"), max_length=8, choices=Intake.choices, default=Intake.SHARED
    )

    class Meta:
        verbose_name = _("location group")
        verbose_name_plural = _("location groups")

    def __str__(self) -> str:
        return self.name


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old), pghistory.DeleteEvent(), model_name="LocationHistory"
)
class Location(models.Model):
    """A warehouse or store. `province` and `city` are those from which it ships, as channels write them."""

    class Kind(models.TextChoices):
        CENTRAL = "central", _("central warehouse")
        BRANCH = "branch", _("branch warehouse")
        STORE = "store", _("store")
        THIRD_PARTY = "3pl", _("third-party warehouse")
        SUPPLIER = "supplier", _("supplier")
        CONSIGNEE = "consignee", _("consignee")

    code = models.CharField(_("code"), max_length=32, unique=True)
    name = models.CharField(_("name"), max_length=120)
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices, default=Kind.CENTRAL)
    group = models.ForeignKey(
        LocationGroup, models.PROTECT, related_name="locations", verbose_name=_("location group")
    )
    # Where it goes back to when it sells online again; empty while it does.
    group_before_off = models.ForeignKey(
        LocationGroup,
        models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
        verbose_name=_("group before it was switched off"),
        db_index=False,
    )
    province = models.CharField(_("province"), max_length=40, blank=True, default="")
    city = models.CharField(_("city"), max_length=40, blank=True, default="")
    serves_provinces = models.JSONField(
        _("serves provinces"),
        default=list,
        blank=True,
        help_text=_("Provinces preferred for this location; empty: all."),
    )
    priority = models.PositiveSmallIntegerField(
        _("priority"), default=100, help_text=_("Lower ships first when all else is equal.")
    )
    owner = models.CharField(
        _("owner"),
        max_length=32,
        default="own",
        db_default="own",
        help_text=_("Whose place it is: “own”, or the code of a partner."),
    )
    # Switched by `inventory/network/switch.py`: what a location is used for may decide in which group it sells.
    ships_online = models.BooleanField(_("ships online orders"), default=True)
    ships_dealers = models.BooleanField(_("ships to dealers"), default=True, db_default=True)
    offers_pickup = models.BooleanField(_("offers pick-up"), default=False, db_default=False)
    takes_returns = models.BooleanField(_("takes returns"), default=True, db_default=True)
    is_active = models.BooleanField(_("active"), default=True)

    class Meta:
        verbose_name = _("location")
        verbose_name_plural = _("locations")

    def __str__(self) -> str:
        return self.name

"""What a location is asked to send, and what it sent."""

from __future__ import annotations

import pgtrigger
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from inventory.models import Location
from orders.models.sales import SalesOrder, SalesOrderLine
from orders.states import NEXT_FULFILMENT, FulfilmentState
from products.models import Sku


class SourcingDecision(models.Model):
    """Why an order ships from where it ships: every candidate with its ranks, and the rule that decided."""

    order = models.ForeignKey(
        SalesOrder, models.CASCADE, related_name="sourcing_decisions", verbose_name=_("order")
    )
    at = models.DateTimeField(_("at"), db_default=Now())
    candidates = models.JSONField(_("candidates"))
    reason = models.CharField(_("reason"), max_length=200)
    by = models.CharField(_("by"), max_length=80)

    class Meta:
        verbose_name = _("sourcing decision")
        verbose_name_plural = _("sourcing decisions")

    def __str__(self) -> str:
        return self.reason


@pgtrigger.register(
    pgtrigger.FSM(
        name="a_fulfilment_takes_only_allowed_steps",
        field="state",
        transitions=[(str(a), str(b)) for a, following in NEXT_FULFILMENT.items() for b in sorted(following)],
    )
)
class FulfilmentOrder(models.Model):
    """A request to one location to send lines, perhaps of several sales orders.

    `warehouse_outer_id`: the WMS's own id of it. A location whose `refusal` was not allowed again is not chosen for
    the same order a second time.
    """

    number = models.CharField(_("number"), max_length=24, unique=True)
    location = models.ForeignKey(
        Location, models.PROTECT, related_name="+", verbose_name=_("location"), db_index=False
    )
    state = models.CharField(
        _("state"), max_length=16, choices=FulfilmentState.choices, default=FulfilmentState.PLANNED
    )
    warehouse_outer_id = models.CharField(_("number at the warehouse"), max_length=80, db_default="")
    refusal = models.TextField(_("refusal"), db_default="")
    allowed_again_at = models.DateTimeField(_("allowed again at"), null=True)
    last_error = models.TextField(_("last error"), db_default="")
    attempts = models.PositiveSmallIntegerField(_("attempts"), db_default=0)
    not_before = models.DateTimeField(_("not before"), db_default=Now())
    created_at = models.DateTimeField(_("created at"), db_default=Now())
    requested_at = models.DateTimeField(_("requested at"), null=True)
    accepted_at = models.DateTimeField(_("accepted at"), null=True)
    state_at = models.DateTimeField(_("in this state since"), db_default=Now())

    class Meta:
        verbose_name = _("fulfilment order")
        verbose_name_plural = _("fulfilment orders")
        indexes = [
            models.Index(
                fields=["location", "not_before", "id"],
                condition=models.Q(state="planned"),
                name="fulfilment_planned",
            ),
            models.Index(fields=["id"], condition=models.Q(state="requested"), name="fulfilment_requested"),
            models.Index(fields=["id"], condition=models.Q(state="refused"), name="fulfilment_refused"),
            models.Index(
                fields=["id"],
                condition=models.Q(state__in=["accepted", "part_shipped"]),
                name="fulfilment_to_ship",
            ),
            models.Index(
                fields=["id"], condition=models.Q(state="cancel_requested"), name="fulfilment_cancelling"
            ),
        ]

    def __str__(self) -> str:
        return self.number


class FulfilmentLine(models.Model):
    """Units of one order line in one fulfilment order, standing on one part of its reservation."""

    fulfilment = models.ForeignKey(
        FulfilmentOrder, models.CASCADE, related_name="lines", verbose_name=_("fulfilment order")
    )
    order_line = models.ForeignKey(
        SalesOrderLine, models.PROTECT, related_name="fulfilment_lines", verbose_name=_("order line")
    )
    order = models.ForeignKey(
        SalesOrder, models.PROTECT, related_name="fulfilment_lines", verbose_name=_("order")
    )
    sku = models.ForeignKey(Sku, models.PROTECT, related_name="+", verbose_name=_("SKU"), db_index=False)
    line_key = models.UUIDField(_("line key"))
    part = models.PositiveSmallIntegerField(_("reservation part"))
    quantity = models.PositiveIntegerField(_("quantity"))
    shipped_quantity = models.PositiveIntegerField(_("shipped"), db_default=0)

    class Meta:
        verbose_name = _("fulfilment line")
        verbose_name_plural = _("fulfilment lines")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(quantity__gt=0), name="a_fulfilment_line_sends_something"
            ),
            models.CheckConstraint(
                condition=models.Q(shipped_quantity__lte=models.F("quantity")),
                name="no_more_shipped_than_asked_for",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.fulfilment_id}: {self.quantity}"


class Shipment(models.Model):
    """One confirmation of the warehouse that goods left.

    The same confirmation heard twice is one shipment.
    """

    fulfilment = models.ForeignKey(
        FulfilmentOrder, models.PROTECT, related_name="shipments", verbose_name=_("fulfilment order")
    )
    event_key = models.CharField(_("event key"), max_length=120)
    shipped_at = models.DateTimeField(_("shipped at"))
    recorded_at = models.DateTimeField(_("recorded at"), db_default=Now())
    by = models.CharField(_("by"), max_length=80)

    class Meta:
        verbose_name = _("shipment")
        verbose_name_plural = _("shipments")
        constraints = [
            models.UniqueConstraint(fields=["fulfilment", "event_key"], name="a_confirmation_counts_once")
        ]

    def __str__(self) -> str:
        return self.event_key


class Parcel(models.Model):
    """A box with a tracking number."""

    shipment = models.ForeignKey(Shipment, models.PROTECT, related_name="parcels", verbose_name=_("shipment"))
    carrier_code = models.CharField(_("carrier"), max_length=32)
    tracking_no = models.CharField(_("tracking number"), max_length=64, db_index=True)
    weight_grams = models.PositiveIntegerField(_("weight (g)"), null=True)

    class Meta:
        verbose_name = _("parcel")
        verbose_name_plural = _("parcels")

    def __str__(self) -> str:
        return self.tracking_no


class ParcelLine(models.Model):
    """Units in a parcel."""

    parcel = models.ForeignKey(Parcel, models.PROTECT, related_name="lines", verbose_name=_("parcel"))
    fulfilment_line = models.ForeignKey(
        FulfilmentLine, models.PROTECT, related_name="parcel_lines", verbose_name=_("fulfilment line")
    )
    quantity = models.PositiveIntegerField(_("quantity"))

    class Meta:
        verbose_name = _("parcel line")
        verbose_name_plural = _("parcel lines")
        constraints = [
            models.CheckConstraint(condition=models.Q(quantity__gt=0), name="a_parcel_line_holds_something")
        ]

    def __str__(self) -> str:
        return f"{self.parcel_id}: {self.quantity}"

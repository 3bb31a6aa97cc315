"""Our own orders, and everything that happened to them."""

from __future__ import annotations

import pgtrigger
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from omni.kernel.crypto import EncryptedJSONField
from orders.models.channel import ChannelOrder
from orders.states import NEXT_STAGE, Stage
from products.models import Shop, Sku


@pgtrigger.register(
    pgtrigger.FSM(
        name="an_order_takes_only_allowed_steps",
        field="stage",
        transitions=[(str(a), str(b)) for a, following in NEXT_STAGE.items() for b in sorted(following)],
    )
)
class SalesOrder(models.Model):
    """An order as we work on it. Money lives on its lines; the totals here are those of the platform, checked
    against them.

    `open_holds` and `short_lines` count what keeps it from moving on: kept by the verbs that place and
    resolve, proven by
    `doctor`. `receiver` is encrypted; `receiver_mask` is what lists show.
    """

    number = models.CharField(_("number"), max_length=24, unique=True)
    shop = models.ForeignKey(Shop, models.PROTECT, related_name="+", verbose_name=_("shop"), db_index=False)
    channel_order = models.OneToOneField(
        ChannelOrder, models.PROTECT, null=True, related_name="sales_order", verbose_name=_("channel order")
    )
    outer_id = models.CharField(_("outer order id"), max_length=64)
    stage = models.CharField(_("stage"), max_length=16, choices=Stage.choices)
    kind = models.CharField(_("kind"), max_length=16, db_default="normal")
    fulfilled_by = models.CharField(_("fulfilled by"), max_length=8, db_default="omni")
    open_holds = models.PositiveSmallIntegerField(_("open holds"), db_default=0)
    short_lines = models.PositiveSmallIntegerField(_("short lines"), db_default=0)
    currency = models.CharField(_("currency"), max_length=3)
    total_amount = models.DecimalField(_("total"), max_digits=20, decimal_places=4)
    freight_amount = models.DecimalField(_("freight"), max_digits=20, decimal_places=4, db_default=0)
    discount_amount = models.DecimalField(_("discount"), max_digits=20, decimal_places=4, db_default=0)
    buyer = models.CharField(_("buyer"), max_length=120, db_default="")
    buyer_message = models.TextField(_("buyer message"), db_default="")
    seller_memo = models.TextField(_("seller memo"), db_default="")
    receiver = EncryptedJSONField(_("receiver"), purpose="orders.sales_order.receiver")
    receiver_mask = models.CharField(_("receiver (masked)"), max_length=160, db_default="")
    province = models.CharField(_("province"), max_length=40, db_default="")
    city = models.CharField(_("city"), max_length=40, db_default="")
    district = models.CharField(_("district"), max_length=40, db_default="")
    placed_at = models.DateTimeField(_("placed at"))
    paid_at = models.DateTimeField(_("paid at"), null=True)
    ship_by = models.DateTimeField(_("ship by"), null=True)
    captured_at = models.DateTimeField(_("captured at"), db_default=Now())
    stage_at = models.DateTimeField(_("in this stage since"), db_default=Now())

    class Meta:
        verbose_name = _("sales order")
        verbose_name_plural = _("sales orders")
        indexes = [
            models.Index(fields=["shop", "-id"], name="order_by_shop"),
            # One small index per queue, holding only the rows that wait in it.
            models.Index(fields=["id"], condition=models.Q(stage="captured"), name="order_queue_captured"),
            models.Index(fields=["id"], condition=models.Q(stage="in_review"), name="order_queue_review"),
            models.Index(fields=["id"], condition=models.Q(stage="approved"), name="order_queue_approved"),
            models.Index(fields=["id"], condition=models.Q(stage="sourced"), name="order_queue_sourced"),
            models.Index(fields=["id"], condition=models.Q(stage="released"), name="order_queue_released"),
            models.Index(
                fields=["id"], condition=models.Q(stage="pending_payment"), name="order_queue_unpaid"
            ),
            models.Index(fields=["id"], condition=models.Q(open_holds__gt=0), name="order_queue_held"),
            models.Index(fields=["id"], condition=models.Q(short_lines__gt=0), name="order_queue_short"),
            models.Index(fields=["outer_id"], name="order_by_outer_id"),
            # Orders come in by time: a few kilobytes say in which blocks the last day lies.
            BrinIndex(fields=["captured_at"], name="order_by_capture_time", autosummarize=True),
        ]

    def __str__(self) -> str:
        return self.number


class BundleLine(models.Model):
    """A line of an order as it was sold where that was a bundle: what the channel says of it, and what was paid.

    What is kept and sent are its components, one SalesOrderLine each; their amounts add up to this one's. `sku`: the
    bundle. What lies in the bundle later changes nothing here.
    """

    order = models.ForeignKey(
        SalesOrder, models.CASCADE, related_name="bundles", verbose_name=_("order"), db_index=False
    )
    outer_line_id = models.CharField(_("outer line id"), max_length=64)
    sku = models.ForeignKey(Sku, models.PROTECT, related_name="+", verbose_name=_("bundle"))
    title = models.CharField(_("title"), max_length=240, db_default="")
    quantity = models.PositiveIntegerField(_("bundles"))
    unit_price = models.DecimalField(_("unit price"), max_digits=20, decimal_places=4)
    amount = models.DecimalField(_("amount"), max_digits=20, decimal_places=4)

    class Meta:
        verbose_name = _("bundle in an order")
        verbose_name_plural = _("bundles in orders")
        constraints = [
            models.UniqueConstraint(
                fields=["order", "outer_line_id"], name="a_bundle_is_one_line_of_its_order"
            ),
            models.CheckConstraint(condition=models.Q(quantity__gt=0), name="a_bundle_line_orders_something"),
        ]

    def __str__(self) -> str:
        return f"{self.outer_line_id}: {self.quantity}"


class SalesOrderLine(models.Model):
    """One line. `amount` is what the buyer pays for all its units. Counters are in units and only ever grow.

    open = quantity − cancelled − shipped. `cancel_wanted`: open units whose cancellation waits for a
    warehouse's answer. `outside_quantity`: shipped units that left in no parcel of ours, by a person's word.
    `short_quantity` is what could not be promised (0 or the whole open quantity).

    `bundle`: the line that was sold as a bundle, of which this is one component; `bundle_units` of it lie in each, and
    `bundle_weight` was its weight when the amount was split. The outer line id is that of the bundle then.
    """

    order = models.ForeignKey(SalesOrder, models.CASCADE, related_name="lines", verbose_name=_("order"))
    line_key = models.UUIDField(_("line key"), unique=True)
    outer_line_id = models.CharField(_("outer line id"), max_length=64)
    sku = models.ForeignKey(Sku, models.PROTECT, related_name="+", verbose_name=_("SKU"))
    title = models.CharField(_("title"), max_length=240, db_default="")
    quantity = models.PositiveIntegerField(_("quantity"))
    unit_price = models.DecimalField(_("unit price"), max_digits=20, decimal_places=4)
    amount = models.DecimalField(_("amount"), max_digits=20, decimal_places=4)
    short_quantity = models.PositiveIntegerField(_("short"), db_default=0)
    cancel_wanted = models.PositiveIntegerField(_("cancellation asked for"), db_default=0)
    cancelled_quantity = models.PositiveIntegerField(_("cancelled"), db_default=0)
    shipped_quantity = models.PositiveIntegerField(_("shipped"), db_default=0)
    outside_quantity = models.PositiveIntegerField(_("shipped outside Omni"), db_default=0)
    returned_quantity = models.PositiveIntegerField(_("returned"), db_default=0)
    # Neither checked nor indexed line by line, which every plain line would pay for: `doctor` does the one, and the
    # index below holds the components alone.
    bundle = models.ForeignKey(
        BundleLine,
        models.CASCADE,
        null=True,
        related_name="lines",
        verbose_name=_("bundle"),
        db_index=False,
        db_constraint=False,
    )
    bundle_units = models.PositiveIntegerField(_("units in each bundle"), null=True)
    bundle_weight = models.DecimalField(_("weight in the bundle"), max_digits=24, decimal_places=4, null=True)

    class Meta:
        verbose_name = _("order line")
        verbose_name_plural = _("order lines")
        constraints = [
            models.CheckConstraint(condition=models.Q(quantity__gt=0), name="a_line_orders_something"),
            models.CheckConstraint(
                condition=models.Q(
                    quantity__gte=models.F("cancelled_quantity") + models.F("shipped_quantity")
                ),
                name="no_more_shipped_and_cancelled_than_ordered",
            ),
            models.CheckConstraint(
                condition=models.Q(returned_quantity__lte=models.F("shipped_quantity")),
                name="no_more_returned_than_shipped",
            ),
        ]
        indexes = [
            models.Index(
                fields=["bundle"], condition=models.Q(bundle__isnull=False), name="order_lines_of_bundles"
            )
        ]

    def __str__(self) -> str:
        return f"{self.outer_line_id}: {self.quantity}"


@pgtrigger.register(pgtrigger.Protect(name="history_is_append_only", operation=pgtrigger.Update))
class OrderEvent(models.Model):
    """One thing that happened to an order, from any side. The order's timeline and its audit trail in one.

    `side`: who made it happen. `kind`: a stable word (`captured`, `reserved`, `held`, `stage.approved`, …)
    that the page translates. `detail`: the facts, never personal data.
    """

    class Side(models.TextChoices):
        CHANNEL = "channel", _("channel")
        OMNI = "omni", _("Omni")
        WAREHOUSE = "warehouse", _("warehouse")
        CARRIER = "carrier", _("carrier")

    order = models.ForeignKey(SalesOrder, models.CASCADE, related_name="events", db_index=False)
    at = models.DateTimeField(_("at"))
    side = models.CharField(_("side"), max_length=10, choices=Side.choices, db_default=Side.OMNI)
    kind = models.CharField(_("kind"), max_length=40)
    by = models.CharField(_("by"), max_length=80)
    detail = models.JSONField(_("detail"), db_default={})

    class Meta:
        verbose_name = _("order event")
        verbose_name_plural = _("order events")
        indexes = [models.Index(fields=["order", "id"], name="event_by_order")]

    def __str__(self) -> str:
        return self.kind

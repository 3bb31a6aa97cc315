"""Runs that grant units to pools, what they take back, and the policy that starts them by itself."""

from __future__ import annotations

import pghistory
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from inventory.models.network import LocationGroup
from inventory.models.quota import PromotionLock
from inventory.models.stock import PoolKind
from products.models import Shop, Sku


class AllocationMethod(models.TextChoices):
    """How a run decides. Each is described in `docs/virtual-inventory.md` with its source."""

    HAND = "hand", _("by hand")
    RATIO = "ratio", _("by ratio")
    DEMAND = "demand", _("by demand")
    REFILL = "refill", _("fill up what is below its minimum")


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old),
    pghistory.DeleteEvent(),
    model_name="RebalancePolicyHistory",
)
class RebalancePolicy(models.Model):
    """When units of a group are granted anew without a person, and how."""

    group = models.OneToOneField(
        LocationGroup, models.PROTECT, related_name="+", verbose_name=_("location group")
    )
    is_active = models.BooleanField(_("active"), default=True, db_default=True)
    method = models.CharField(
        _("method"), max_length=6, choices=AllocationMethod.choices, default=AllocationMethod.REFILL
    )
    on_threshold = models.BooleanField(
        _("when a quota falls below its minimum"), default=True, db_default=True
    )
    on_supply = models.BooleanField(_("when new stock comes in"), default=False, db_default=False)
    every_minutes = models.PositiveIntegerField(
        _("every so many minutes"), null=True, blank=True, help_text=_("Empty: not by the clock.")
    )
    quiet_minutes = models.PositiveIntegerField(
        _("leave a SKU alone for so many minutes after a run"), default=15, db_default=15
    )
    horizon_days = models.PositiveSmallIntegerField(
        _("days that a quota should last"), default=7, db_default=7
    )
    is_automatic = models.BooleanField(
        _("apply by itself"),
        default=True,
        db_default=True,
        help_text=_("Otherwise runs wait for a person to apply them."),
    )
    last_run_at = models.DateTimeField(_("last run by the clock"), null=True, editable=False)

    class Meta:
        verbose_name = _("rebalancing policy")
        verbose_name_plural = _("rebalancing policies")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(every_minutes__isnull=True) | models.Q(every_minutes__gt=0),
                name="a_policy_waits_at_least_a_minute",
            ),
            models.CheckConstraint(
                condition=models.Q(horizon_days__gt=0), name="a_policy_looks_at_least_a_day_ahead"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.group}"


class AllocationRun(models.Model):
    """What units should be granted to whom, worked out at a moment, looked at, then applied or dropped, and undone.

    `scope`: which SKUs, as it was asked for. `settings`: what the method was given. Counts are of its lines.
    """

    class State(models.TextChoices):
        PLANNING = "planning", _("being worked out")
        PLANNED = "planned", _("to be looked at")
        APPLYING = "applying", _("being applied")
        APPLIED = "applied", _("applied")
        DROPPED = "dropped", _("dropped")
        UNDOING = "undoing", _("being undone")
        UNDONE = "undone", _("undone")

    class Trigger(models.TextChoices):
        PERSON = "person", _("a person")
        THRESHOLD = "threshold", _("a quota below its minimum")
        SUPPLY = "supply", _("new stock")
        TIMER = "timer", _("the clock")
        PROMOTION = "promotion", _("a promotion")

    group = models.ForeignKey(
        LocationGroup, models.PROTECT, related_name="+", verbose_name=_("location group")
    )
    method = models.CharField(_("method"), max_length=6, choices=AllocationMethod.choices)
    trigger = models.CharField(_("asked for by"), max_length=9, choices=Trigger.choices)
    state = models.CharField(
        _("state"), max_length=8, choices=State.choices, default=State.PLANNING, db_default=State.PLANNING
    )
    lock = models.ForeignKey(
        PromotionLock,
        models.PROTECT,
        null=True,
        related_name="+",
        verbose_name=_("promotion lock"),
        db_index=False,
    )
    scope = models.JSONField(_("SKUs"), default=dict)
    settings = models.JSONField(_("settings"), default=dict)
    reason = models.CharField(_("reason"), max_length=200, db_default="")
    job = models.ForeignKey(
        "kernel.Job", models.SET_NULL, null=True, related_name="+", verbose_name=_("job"), db_index=False
    )
    skus = models.PositiveIntegerField(_("SKUs looked at"), db_default=0)
    lines_planned = models.PositiveIntegerField(_("lines"), db_default=0)
    units_planned = models.PositiveBigIntegerField(_("units to move"), db_default=0)
    units_moved = models.PositiveBigIntegerField(_("units moved"), db_default=0)
    created_by = models.CharField(_("created by"), max_length=80)
    created_at = models.DateTimeField(_("created at"), db_default=Now())
    applied_by = models.CharField(_("applied by"), max_length=80, db_default="")
    applied_at = models.DateTimeField(_("applied at"), null=True)
    undone_by = models.CharField(_("undone by"), max_length=80, db_default="")
    undone_at = models.DateTimeField(_("undone at"), null=True)

    class Meta:
        verbose_name = _("allocation run")
        verbose_name_plural = _("allocation runs")
        indexes = [
            models.Index(fields=["id"], condition=models.Q(state="planned"), name="allocation_run_to_look_at")
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"


class AllocationLine(models.Model):
    """What a run would change, or changed, of one pool of one SKU; what stays as it is has none.

    Pools are named, not referred to: a run may plan for one that does not exist yet. `shop` is empty for pools that
    are no shop's. `before` and `after`: granted units as planned, with those that are on their way to the pool.
    `moved`: by how much it was changed so far. `inputs`: the numbers that decided; `reason`: the sentence (see
    `omni.kernel.sentences`); `outcome`: why another number was moved than planned, a sentence too. Rows come in
    hundreds of thousands and no key of them is checked by the database.
    """

    class State(models.TextChoices):
        PLANNED = "planned", _("to be done")
        DONE = "done", _("done")
        PARTLY = "partly", _("done in part")
        WAITING = "waiting", _("waits for the channel")
        SKIPPED = "skipped", _("skipped")
        UNDONE = "undone", _("undone")

    run = models.ForeignKey(
        AllocationRun,
        models.DO_NOTHING,
        related_name="lines",
        verbose_name=_("allocation run"),
        db_index=False,
        db_constraint=False,
    )
    sku = models.ForeignKey(
        Sku, models.DO_NOTHING, related_name="+", verbose_name=_("SKU"), db_index=False, db_constraint=False
    )
    shop = models.ForeignKey(
        Shop,
        models.DO_NOTHING,
        null=True,
        related_name="+",
        verbose_name=_("shop"),
        db_index=False,
        db_constraint=False,
    )
    kind = models.CharField(_("pool"), max_length=10, choices=PoolKind.choices)
    label = models.CharField(_("label"), max_length=64, db_default="")
    before = models.IntegerField(_("before"))
    after = models.IntegerField(_("after"))
    moved = models.IntegerField(_("moved"), db_default=0)
    state = models.CharField(_("state"), max_length=7, choices=State.choices, db_default=State.PLANNED)
    inputs = models.JSONField(_("inputs"), default=dict)
    reason = models.TextField(_("reason"), db_default="")
    outcome = models.TextField(_("outcome"), db_default="")

    class Meta:
        verbose_name = _("allocation line")
        verbose_name_plural = _("allocation lines")
        # A run is read and done SKU by SKU.
        indexes = [models.Index(fields=["run", "sku", "id"], name="allocation_line_by_run")]

    def __str__(self) -> str:
        return f"{self.sku_id} {self.kind}: {self.before} → {self.after}"


class Revocation(models.Model):
    """Units taken from a shop's own pool that another may have only when its channel cannot sell them any more.

    They lie in the pool of kind `revoking` whose label is the shop's code: first until the channel has acknowledged the
    lower number, then until the shop's orders were pulled once after that. Meanwhile the shop's own orders may still
    draw on them. Source: spec reliability 1.6, decrease before increase.
    """

    class State(models.TextChoices):
        TELLING = "telling", _("the channel is told")
        PULLING = "pulling", _("its orders are pulled once more")
        DONE = "done", _("done")
        FORCED = "forced", _("done without the channel")

    OPEN = (State.TELLING, State.PULLING)

    group = models.ForeignKey(
        LocationGroup, models.PROTECT, related_name="+", verbose_name=_("location group"), db_index=False
    )
    sku = models.ForeignKey(Sku, models.PROTECT, related_name="+", verbose_name=_("SKU"))
    shop = models.ForeignKey(Shop, models.PROTECT, related_name="+", verbose_name=_("shop"), db_index=False)
    quantity = models.PositiveIntegerField(_("units"))
    from_kind = models.CharField(_("taken from"), max_length=10, choices=PoolKind.choices)
    from_label = models.CharField(_("label"), max_length=64, db_default="")
    to_kind = models.CharField(_("goes to"), max_length=10, choices=PoolKind.choices)
    to_label = models.CharField(_("goes to label"), max_length=64, db_default="")
    # Indexed with the SKU below.
    run = models.ForeignKey(
        AllocationRun,
        models.PROTECT,
        null=True,
        related_name="+",
        verbose_name=_("allocation run"),
        db_index=False,
    )
    lock = models.ForeignKey(
        PromotionLock,
        models.PROTECT,
        null=True,
        related_name="+",
        verbose_name=_("promotion lock"),
        db_index=False,
    )
    state = models.CharField(_("state"), max_length=7, choices=State.choices, db_default=State.TELLING)
    started_at = models.DateTimeField(_("started at"))
    acked_at = models.DateTimeField(_("acknowledged at"), null=True)
    ended_at = models.DateTimeField(_("ended at"), null=True)
    arrived = models.PositiveIntegerField(_("units that arrived"), db_default=0)
    reason = models.CharField(_("reason"), max_length=200, db_default="")
    by = models.CharField(_("by"), max_length=80)

    class Meta:
        verbose_name = _("units being taken back")
        verbose_name_plural = _("units being taken back")
        constraints = [
            models.CheckConstraint(condition=models.Q(quantity__gt=0), name="a_revocation_takes_something"),
            models.CheckConstraint(
                condition=models.Q(arrived__lte=models.F("quantity")),
                name="no_more_arrives_than_was_taken_back",
            ),
        ]
        indexes = [
            models.Index(
                fields=["shop", "id"],
                condition=models.Q(state__in=["telling", "pulling"]),
                name="revocation_open",
            ),
            # Units that were promised when it ended, and may be free again.
            models.Index(
                fields=["id"],
                condition=models.Q(state__in=["done", "forced"], arrived__lt=models.F("quantity")),
                name="revocation_not_all_arrived",
            ),
            models.Index(
                fields=["run", "sku"], condition=models.Q(run__isnull=False), name="revocation_by_run"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.sku_id}/{self.shop_id}: {self.quantity}"


class SupplyMark(models.Model):
    """A SKU of which more can be promised, in a house where that starts an allocation. The sweep takes rows away."""

    sku = models.ForeignKey(Sku, models.CASCADE, related_name="+", db_index=False, db_constraint=False)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = _("mark of new supply")
        verbose_name_plural = _("marks of new supply")

    def __str__(self) -> str:
        return str(self.sku_id)


class DailyDemand(models.Model):
    """What was wanted of a SKU in a shop on a day (of the organisation's time zone) and not cancelled since.

    `units`: all of it; `lost`: the part of it that was short when it was asked for.
    """

    day = models.DateField(_("day"))
    shop = models.ForeignKey(
        Shop, models.CASCADE, related_name="+", verbose_name=_("shop"), db_index=False, db_constraint=False
    )
    sku = models.ForeignKey(
        Sku, models.CASCADE, related_name="+", verbose_name=_("SKU"), db_index=False, db_constraint=False
    )
    units = models.PositiveIntegerField(_("units"))
    lost = models.PositiveIntegerField(_("short"), default=0, db_default=0)

    class Meta:
        verbose_name = _("demand of a day")
        verbose_name_plural = _("demand of days")
        constraints = [
            models.UniqueConstraint(fields=["sku", "shop", "day"], name="one_demand_per_sku_shop_and_day")
        ]
        indexes = [models.Index(fields=["day"], name="demand_by_day")]

    def __str__(self) -> str:
        return f"{self.day} {self.sku_id}/{self.shop_id}: {self.units}"

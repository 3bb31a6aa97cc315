"""What a person or a rule decided about an order before it may ship."""

from __future__ import annotations

import pghistory
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from omni.kernel.sentences import read_sentence
from orders.models.sales import SalesOrder
from products.models import Shop


class HoldKind(models.TextChoices):
    """Why an order must wait. Typed, so that each has its queue, its owner and its way out."""

    REVIEW = "review", _("rule asks for a person")
    REFUND = "refund", _("refund asked for")
    CHANNEL = "channel", _("held by the platform")
    CHANGED = "changed", _("changed by the platform after review")
    ADDRESS = "address", _("address incomplete")
    AMOUNT = "amount", _("amounts do not add up")
    UNKNOWN_STATE = "unknown_state", _("unknown platform state")
    SHIPPED_ELSEWHERE = "shipped_elsewhere", _("platform says shipped")
    WAREHOUSE = "warehouse", _("warehouse reports a problem")
    SOURCING = "sourcing", _("no location can ship it")
    CANCEL_REFUSED = "cancel_refused", _("warehouse could not stop it")
    MANUAL = "manual", _("held by hand")


class OrderHold(models.Model):
    """One reason why an order must wait. Several may be open at once; all must be resolved.

    One open hold per kind.
    """

    class State(models.TextChoices):
        OPEN = "open", _("open")
        RESOLVED = "resolved", _("resolved")

    order = models.ForeignKey(SalesOrder, models.CASCADE, related_name="holds", verbose_name=_("order"))
    kind = models.CharField(_("kind"), max_length=20, choices=HoldKind.choices)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, db_default=State.OPEN)
    reason = models.TextField(_("reason"))
    placed_by = models.CharField(_("placed by"), max_length=80)
    placed_at = models.DateTimeField(pgettext_lazy("hold", "placed at"), db_default=Now())
    resolved_by = models.CharField(_("resolved by"), max_length=80, db_default="")
    resolved_at = models.DateTimeField(_("resolved at"), null=True)
    note = models.TextField(_("note"), db_default="")

    class Meta:
        verbose_name = _("hold")
        verbose_name_plural = _("holds")
        constraints = [
            models.UniqueConstraint(
                fields=["order", "kind"], condition=models.Q(state="open"), name="one_open_hold_per_kind"
            ),
        ]
        indexes = [
            models.Index(fields=["kind", "id"], condition=models.Q(state="open"), name="hold_open_by_kind")
        ]

    def __str__(self) -> str:
        return self.get_kind_display()

    @property
    def reason_said(self) -> str:
        """The reason in the reader's language."""
        return read_sentence(self.reason)

    @property
    def note_said(self) -> str:
        return read_sentence(self.note)


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old),
    pghistory.DeleteEvent(),
    model_name="ReviewRuleHistory",
)
class ReviewRule(models.Model):
    """One rule of the automatic review. Every rule that matches is recorded; any that asks for a person wins
    over approval.

    `conditions`: a list of {"field", "operator", "value"}, all of which must hold (see `orders/review.py` for
    the fields).
    """

    class Action(models.TextChoices):
        HOLD = "hold", _("ask a person")
        APPROVE = "approve", _("approve")

    name = models.CharField(_("name"), max_length=120, unique=True)
    position = models.PositiveSmallIntegerField(_("position"), default=0)
    shop = models.ForeignKey(
        Shop, models.CASCADE, null=True, blank=True, related_name="+", verbose_name=_("shop")
    )
    conditions = models.JSONField(_("conditions"), default=list, blank=True)
    action = models.CharField(_("action"), max_length=10, choices=Action.choices, default=Action.HOLD)
    is_active = models.BooleanField(_("active"), default=True)

    class Meta:
        verbose_name = _("review rule")
        verbose_name_plural = _("review rules")

    def __str__(self) -> str:
        return self.name


class ReviewDecision(models.Model):
    """What the automatic review said of an order, and which rules fired."""

    order = models.ForeignKey(
        SalesOrder, models.CASCADE, related_name="review_decisions", verbose_name=_("order")
    )
    at = models.DateTimeField(_("at"), db_default=Now())
    is_approved = models.BooleanField(_("approved"))
    fired = models.JSONField(_("rules that fired"), db_default=[])
    by = models.CharField(_("by"), max_length=80)

    class Meta:
        verbose_name = _("review decision")
        verbose_name_plural = _("review decisions")

    def __str__(self) -> str:
        return f"{self.order_id}: {self.is_approved}"

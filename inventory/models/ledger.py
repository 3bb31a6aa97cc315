"""The stock ledger: double entry, append-only. Every counter can be rebuilt from it."""

from __future__ import annotations

import pgtrigger
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from products.models import Sku


class Account(models.IntegerChoices):
    """The two sides of a movement. Numbers are stored: never change one.

    Two books in one table. *Goods*: outside accounts ↔ LEVEL_FREE / LEVEL_COMMITTED of a StockLevel.
    *Promises*: GRANT ↔ POOL_FREE / POOL_RESERVED of a StockPool. A receipt is one movement in each.
    """

    SUPPLIER = 1, _("supplier")
    CUSTOMER = 2, _("customer")
    ADJUSTMENT = 3, _("adjustment")
    GRANT = 4, _("grant")
    IN_TRANSIT = 5, _("in transit")
    LEVEL_FREE = 10, _("on hand, free")
    LEVEL_COMMITTED = 11, _("on hand, committed")
    POOL_FREE = 20, _("pool, free")
    POOL_RESERVED = 21, _("pool, reserved")


class MovementKind(models.TextChoices):
    RECEIVE = "receive", _("receive")
    COUNT = "count", _("count")
    ADJUST = "adjust", _("adjust")
    RESERVE = "reserve", _("reserve")
    RELEASE = "release", _("release")
    COMMIT = "commit", _("commit")
    UNCOMMIT = "uncommit", _("give back")
    SHIP = "ship", _("ship")
    REGRANT = "regrant", _("move between pools")
    BUMP = "bump", _("promise withdrawn")
    TRANSFER = "transfer", _("transfer")
    REGRADE = "regrade", _("grade changed")
    REGROUP = "regroup", _("location joined a group")
    HAND_OVER = "hand_over", _("hold taken over")


@pgtrigger.register(
    pgtrigger.Protect(name="ledger_is_append_only", operation=pgtrigger.Update | pgtrigger.Delete)
)
class StockMovement(models.Model):
    """`quantity` units of a SKU from one account to another. `*_id`.

    The StockLevel or StockPool, the Transfer of what is in transit, 0 for other outside accounts.
    """

    at = models.DateTimeField(_("at"), db_default=Now())
    kind = models.CharField(_("kind"), max_length=10, choices=MovementKind.choices)
    # Checked by the key of the level or pool that it moves through, not once more per movement.
    sku = models.ForeignKey(
        Sku, models.PROTECT, related_name="+", verbose_name=_("SKU"), db_index=False, db_constraint=False
    )
    quantity = models.PositiveIntegerField(_("quantity"))
    from_account = models.SmallIntegerField(_("from"), choices=Account.choices)
    from_id = models.BigIntegerField(_("from id"), db_default=0)
    to_account = models.SmallIntegerField(_("to"), choices=Account.choices)
    to_id = models.BigIntegerField(_("to id"), db_default=0)
    line_key = models.UUIDField(_("line key"), null=True)
    document = models.CharField(_("document"), max_length=80, db_default="")
    by = models.CharField(_("by"), max_length=80)

    class Meta:
        verbose_name = _("stock movement")
        verbose_name_plural = _("stock movements")
        constraints = [
            models.CheckConstraint(condition=models.Q(quantity__gt=0), name="a_movement_moves_something")
        ]
        indexes = [models.Index(fields=["sku", "-id"], name="movement_by_sku")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.quantity}"


class StockOperation(models.Model):
    """A receipt, count or adjustment that came from outside, by its own number: the same number changes stock
    once.

    `fingerprint` is the hash of its content: the same number with other content is refused, not ignored.
    """

    key = models.CharField(_("key"), max_length=120, unique=True)
    kind = models.CharField(_("kind"), max_length=10, choices=MovementKind.choices)
    fingerprint = models.CharField(_("fingerprint"), max_length=64)
    reason = models.CharField(_("reason"), max_length=200, db_default="")
    by = models.CharField(_("by"), max_length=80)
    at = models.DateTimeField(_("at"), db_default=Now())

    class Meta:
        verbose_name = _("stock operation")
        verbose_name_plural = _("stock operations")

    def __str__(self) -> str:
        return self.key

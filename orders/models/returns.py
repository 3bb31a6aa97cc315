"""What came back. For now: returns that arrive as facts (imports).

Requests, inspection and refunds come with their issue.
"""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from orders.models.sales import SalesOrder, SalesOrderLine
from products.models import Shop


class Return(models.Model):
    """Goods of one order that came back. `outer_id`: the number under which the channel or file knows it."""

    number = models.CharField(_("number"), max_length=24, unique=True)
    shop = models.ForeignKey(Shop, models.PROTECT, related_name="+", verbose_name=_("shop"), db_index=False)
    order = models.ForeignKey(SalesOrder, models.PROTECT, related_name="returns", verbose_name=_("order"))
    outer_id = models.CharField(_("outer return id"), max_length=64)
    returned_at = models.DateTimeField(_("returned at"))
    source = models.CharField(_("source"), max_length=40)
    recorded_at = models.DateTimeField(_("recorded at"), db_default=Now())

    class Meta:
        verbose_name = _("return")
        verbose_name_plural = _("returns")
        constraints = [
            models.UniqueConstraint(
                fields=["shop", "outer_id", "order"], name="a_return_is_recorded_once_per_order"
            )
        ]

    def __str__(self) -> str:
        return self.number


class ReturnLine(models.Model):
    """Units of one order line that came back, and what is to be paid back for them."""

    return_case = models.ForeignKey(Return, models.CASCADE, related_name="lines", verbose_name=_("return"))
    order_line = models.ForeignKey(
        SalesOrderLine, models.PROTECT, related_name="return_lines", verbose_name=_("order line")
    )
    outer_line_id = models.CharField(_("outer line id"), max_length=64)
    quantity = models.PositiveIntegerField(_("quantity"))
    amount = models.DecimalField(_("amount"), max_digits=20, decimal_places=4)

    class Meta:
        verbose_name = _("return line")
        verbose_name_plural = _("return lines")
        constraints = [
            models.UniqueConstraint(
                fields=["return_case", "outer_line_id", "order_line"], name="a_return_line_counts_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.return_case_id}: {self.quantity}"

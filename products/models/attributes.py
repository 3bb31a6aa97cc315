"""What is said of the products of a category, and in which forms."""

from __future__ import annotations

import pghistory
from django.db import models
from django.utils.translation import gettext_lazy as _

from products.models.master import Category


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old),
    pghistory.DeleteEvent(),
    model_name="CategoryAttributeHistory",
)
class CategoryAttribute(models.Model):
    """One line of a category's template. The categories below inherit it.

    Variant attributes tell the SKUs of a product apart, and their values stand on the SKU; the others are said of the
    product as a whole. `options`, of choices only: `[{"code": "RD", "name": "Red"}, …]`; what is stored of a product
    is the code, so that an option can be called otherwise without touching any product.
    """

    class Kind(models.TextChoices):
        TEXT = "text", _("text")
        NUMBER = "number", _("number")
        CHOICE = "choice", _("choice")
        YES_NO = "yes_no", _("yes or no")

    category = models.ForeignKey(
        Category, models.PROTECT, related_name="attributes", verbose_name=_("category")
    )
    code = models.CharField(_("code"), max_length=32)
    name = models.CharField(_("name"), max_length=120)
    kind = models.CharField(_("kind"), max_length=8, choices=Kind.choices)
    unit = models.CharField(_("unit"), max_length=16, blank=True, default="", db_default="")
    is_required = models.BooleanField(_("required"), default=False, db_default=False)
    is_variant = models.BooleanField(_("tells SKUs apart"), default=False, db_default=False)
    options = models.JSONField(_("options"), default=list, blank=True)
    position = models.PositiveSmallIntegerField(_("position"), default=0, db_default=0)

    class Meta:
        verbose_name = _("category attribute")
        verbose_name_plural = _("category attributes")
        constraints = [
            models.UniqueConstraint(fields=["category", "code"], name="an_attribute_is_defined_once"),
            models.CheckConstraint(
                condition=models.Q(is_variant=False) | models.Q(kind="choice"),
                name="what_tells_skus_apart_is_a_choice",
            ),
            models.CheckConstraint(
                condition=models.Q(kind="choice") & ~models.Q(options=[])
                | ~models.Q(kind="choice") & models.Q(options=[]),
                name="a_choice_and_nothing_else_has_options",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.code})"

"""How the house names its products by itself, and how far it has counted."""

from __future__ import annotations

import pghistory
from django.db import models
from django.utils.translation import gettext_lazy as _

from products.models.master import Brand


class CodeKind(models.TextChoices):
    SPU = "spu", _("product code")
    SKU = "sku", _("SKU code")
    BARCODE = "barcode", _("internal barcode")


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old), pghistory.DeleteEvent(), model_name="CodeRuleHistory"
)
class CodeRule(models.Model):
    """A pattern such as `{brand}-{category}-{number:06}`; the rule of a brand goes before that of all brands."""

    kind = models.CharField(_("kind"), max_length=8, choices=CodeKind.choices)
    brand = models.ForeignKey(
        Brand,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="code_rules",
        verbose_name=_("brand"),
        help_text=_("Empty: every brand without a rule of its own."),
    )
    pattern = models.CharField(_("pattern"), max_length=120)

    class Meta:
        verbose_name = _("code rule")
        verbose_name_plural = _("code rules")
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "brand"], name="a_brand_has_one_rule_a_kind", nulls_distinct=False
            ),
        ]

    def __str__(self) -> str:
        return self.pattern


class CodeCounter(models.Model):
    """The last number that was given out, for all codes that are the same but for their number.

    It outlives the rule: a pattern that is taken up again goes on where it ended.
    """

    kind = models.CharField(_("kind"), max_length=8, choices=CodeKind.choices)
    stem = models.CharField(_("stem"), max_length=200, help_text=_("The code with # for its number."))
    last_number = models.BigIntegerField(_("last number"))

    class Meta:
        verbose_name = _("code counter")
        verbose_name_plural = _("code counters")
        constraints = [models.UniqueConstraint(fields=["kind", "stem"], name="a_stem_is_counted_once")]

    def __str__(self) -> str:
        return f"{self.stem} {self.last_number}"

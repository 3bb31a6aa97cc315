"""Who may see what."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from products.models.master import Brand
from products.models.offer import Shop


class StaffScope(models.Model):
    """What a staff member may see: one row per brand or shop. A superuser needs none.

    Others see nothing without.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", verbose_name=_("user")
    )
    brand = models.ForeignKey(
        Brand, models.CASCADE, null=True, blank=True, related_name="+", verbose_name=_("brand")
    )
    shop = models.ForeignKey(
        Shop, models.CASCADE, null=True, blank=True, related_name="+", verbose_name=_("shop")
    )

    class Meta:
        verbose_name = _("staff scope")
        verbose_name_plural = _("staff scopes")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(brand__isnull=True) ^ models.Q(shop__isnull=True),
                name="a_scope_is_a_brand_or_a_shop",
            ),
            models.UniqueConstraint(
                fields=["user", "brand", "shop"], name="a_scope_is_given_once", nulls_distinct=False
            ),
        ]

    def __str__(self) -> str:
        return str(self.brand or self.shop)

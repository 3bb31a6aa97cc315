"""The SKU as this room sees it: something that lies somewhere and is promised to somebody."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from products.models import Sku


class SkuStock(Sku):
    """A proxy, so that the stock page of a SKU has its own address and its own permission."""

    class Meta:
        proxy = True
        verbose_name = _("SKU stock")
        verbose_name_plural = _("SKU stock")

    def __str__(self) -> str:
        return self.code

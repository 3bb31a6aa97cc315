"""SKUs that are sold as one and kept as several."""

from __future__ import annotations

import pghistory
from django.db import models
from django.utils.translation import gettext_lazy as _

from products.models.master import Sku


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old),
    pghistory.DeleteEvent(),
    model_name="BundleComponentHistory",
)
class BundleComponent(models.Model):
    """So many units of a plain SKU in each bundle. A SKU that has components is a bundle, and has no stock of its own.

    `weight`: the share of all these units in the bundle's price, in any measure that its bundle keeps to; None: that
    of list price × units. All components of a bundle have a weight, or none has.
    """

    bundle = models.ForeignKey(
        Sku, models.PROTECT, related_name="components", verbose_name=_("bundle"), db_index=False
    )
    component = models.ForeignKey(
        Sku, models.PROTECT, related_name="part_of", verbose_name=_("component"), db_index=False
    )
    units = models.PositiveIntegerField(_("units in each bundle"))
    weight = models.DecimalField(_("share of the price"), max_digits=20, decimal_places=4, null=True)

    class Meta:
        verbose_name = _("bundle component")
        verbose_name_plural = _("bundle components")
        constraints = [
            models.UniqueConstraint(
                fields=["bundle", "component"], name="a_bundle_names_each_component_once"
            ),
            models.CheckConstraint(condition=models.Q(units__gt=0), name="a_component_is_in_its_bundle"),
            models.CheckConstraint(
                condition=models.Q(weight__gte=0) | models.Q(weight__isnull=True),
                name="no_share_is_below_zero",
            ),
            models.CheckConstraint(
                condition=~models.Q(bundle=models.F("component")), name="no_bundle_contains_itself"
            ),
        ]
        # Every change of stock asks of which bundles its SKU is a part.
        indexes = [models.Index(fields=["component", "bundle"], name="bundles_of_a_component")]

    def __str__(self) -> str:
        return f"{self.bundle_id}: {self.units} × {self.component_id}"


class Bundle(Sku):
    """A proxy, so that the page of what lies in a SKU has an address of its own."""

    class Meta:
        proxy = True
        verbose_name = _("bundle")
        verbose_name_plural = _("bundles")
        # Whoever may see and change SKUs sees and changes what lies in them.
        default_permissions = ()

    def __str__(self) -> str:
        return self.code

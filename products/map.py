"""Say which of our SKUs a channel's item is."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from omni.kernel.audit import record_act
from omni.kernel.errors import BadInput, DomainError
from omni.kernel.events import record_events
from products.events import ListingsChanged
from products.models import Listing, Sku


class UnknownSkuCode(BadInput):
    """No SKU has this code."""

    code = "unknown_sku"


class MappedOtherwise(DomainError):
    """The channel's item is known as another SKU already: changing that is a decision of its own."""

    code = "mapped_otherwise"


@transaction.atomic
def map_listing(
    *, shop_id: int, outer_item_id: str, outer_sku_id: str, sku_code: str, title: str, at: datetime, by: str
) -> Listing:
    """Map an outer item (and outer SKU) of a shop to the SKU with this code. Saying the same again changes nothing.

    Raises UnknownSkuCode, MappedOtherwise.
    """
    sku = Sku.objects.filter(code=sku_code).first()
    if sku is None:
        raise UnknownSkuCode(_("There is no SKU %s.") % sku_code, fields={"sku_code": [_("Unknown SKU.")]})
    listing, is_new = Listing.objects.get_or_create(
        shop_id=shop_id,
        outer_item_id=outer_item_id,
        outer_sku_id=outer_sku_id,
        defaults={"sku": sku, "title": title[:240], "created_at": at},
    )
    if listing.sku_id != sku.pk:
        raise MappedOtherwise(
            _("%(item)s is mapped to %(sku)s already: change its listing first.")
            % {"item": listing, "sku": listing.sku.code}
        )
    if is_new:
        record_events(ListingsChanged(shop_id, (sku.pk,)))
        record_act(by=by, action="listing.mapped", subject=listing, detail={"sku": sku_code})
    return listing

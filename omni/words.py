"""What was done, in words: every code that `record_act` writes, for the audit and for the history of a thing."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

ACTS: Mapping[str, Promise] = {
    "api_key.issued": _("API key issued"),
    "api_key.revoked": _("API key revoked"),
    "attribute.changed": _("Attribute changed"),
    "attribute.defined": _("Attribute defined"),
    "attribute.dropped": _("Attribute dropped"),
    "barcode.added": _("Barcodes added"),
    "barcode.removed": _("Barcode removed"),
    "catalogue.changed": _("Sales catalogue changed"),
    "catalogue.defined": _("Sales catalogue made"),
    "catalogue.picked": _("SKUs picked for a sales catalogue"),
    "category.created": _("Category created"),
    "category.moved": _("Category moved"),
    "category.renamed": _("Category renamed"),
    "code_rule.set": _("Code rule set"),
    "connection.changed": _("Connection changed"),
    "connection.created": _("Connection set up"),
    "connection.hastened": _("Pull asked for"),
    "connection.paused": _("Connection paused"),
    "connection.probed": _("Connection tested"),
    "connection.resumed": _("Connection resumed"),
    "dismiss_rows": _("Refused rows dismissed"),
    "floor_price.set": _("Floor price set"),
    "import.forgotten": _("Import forgotten"),
    "image.kept": _("Image taken into the library"),
    "image.removed": _("Image removed from the library"),
    "images.shown": _("Shown images changed"),
    "inbound.retried": _("Inbound message retried"),
    "listing.drafted": _("Listing drafted"),
    "listing.mapped": _("Listing mapped to a SKU"),
    "listing.moved": _("Listing moved on"),
    "listing.retitled": _("Listing called otherwise"),
    "listing_request.asked": _("Channel asked to list, delist or change"),
    "listing_request.cancelled": _("Request to the channel cancelled"),
    "listing_request.repeated": _("Channel asked again"),
    "outer_item.ignored": _("Channel item ignored"),
    "price.approved": _("Price approved"),
    "price.ended": _("Price ended"),
    "price.rejected": _("Price rejected"),
    "price.submitted": _("Price submitted for approval"),
    "price.told_again": _("Price told again"),
    "price.withdrawn": _("Price withdrawn"),
    "product.changed": _("Product changed"),
    "product.created": _("Product created"),
    "product.grown": _("SKUs made from a grid"),
    "receiver.read": _("Receiver read in full"),
    "set_safety_stock": _("Safety stock set"),
    "undo_import": _("Import undone"),
}

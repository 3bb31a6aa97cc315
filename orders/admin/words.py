"""The stable words of this room, said in the reader's language."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

# Why an order is parked: what happened, in a few words. The row's own detail says which SKU, which amount.
PARKED_REASONS: dict[str, Promise] = {
    "unknown_sku": _("unknown SKU"),
    "no_lines": _("no lines"),
    "bad_quantity": _("quantity is not positive"),
    "bad_amount": _("amounts do not add up"),
    "bad_time": _("impossible time"),
    "not_readable": _("not readable"),
    "changed_after_shipping": _("changed after shipping"),
}

SHORTAGE_REASONS: dict[str, Promise] = {
    "no_stock": _("not enough stock"),
    "no_pool": _("the shop draws from no pool of this SKU"),
    "withdrawn": _("promise withdrawn: the count was lower"),
}


def reason_text(code: str) -> str:
    """The words for a parking reason; a code that has none yet is shown as it is, readable."""
    known = PARKED_REASONS.get(code)
    return str(known) if known else code.replace("_", " ")


def shortage_text(code: str) -> str:
    known = SHORTAGE_REASONS.get(code)
    return str(known) if known else code.replace("_", " ")

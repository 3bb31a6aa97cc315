"""The stable words of this room, said in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

# What each scope of an API key lets a machine do: (in a few words, what that means).
SCOPE_WORDS: Mapping[str, tuple[Promise, Promise]] = {
    "orders:read": (
        _("Read orders"),
        _("orders with their lines, holds and timeline, and parked orders; receivers are masked"),
    ),
    "orders:write": (_("Send and cancel orders"), _("capture orders, cancel them, retry parked ones")),
    "products:read": (_("Read products"), _("brands, categories, products, SKUs, shops and listings")),
    "products:write": (_("Change products"), _("no address of the API asks for it yet")),
    "stock:read": (_("Read stock"), _("what lies where, what may be sold, what the channels were told")),
    "stock:write": (_("Book stock"), _("receipts, counts and adjustments")),
    "shipments:read": (_("Read shipments"), _("what was sent, in which parcels, with which numbers")),
    "shipments:write": (_("Report shipments"), _("no address of the API asks for it yet")),
}


def scope_text(scope: str) -> str:
    """The few words for a scope; one that has none yet is shown as it is."""
    known = SCOPE_WORDS.get(scope)
    return str(known[0]) if known else scope


def scopes_text(scopes: Sequence[str]) -> str:
    return ", ".join(scope_text(scope) for scope in scopes) or "–"

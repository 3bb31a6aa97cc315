"""How long, and how much, buyers of a shop may hold without an order."""

from __future__ import annotations

from django.db.models import F, Q

from inventory.models.holds import HoldLimit


def limits_of(shop_id: int) -> HoldLimit:
    """The shop's own limits, else those of every other shop, else the built-in ones (a row that is not stored)."""
    rows = HoldLimit.objects.filter(Q(shop_id=shop_id) | Q(shop_id=None))
    return rows.order_by(F("shop_id").asc(nulls_last=True)).first() or HoldLimit()

"""Enter products and shops that a file or another system brings along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.utils.translation import gettext as _

from omni.kernel.errors import BadInput
from omni.kernel.sql import fetch_all
from products.models import Brand, Shop

# Sorted by code, so that two registrations of the same products wait for one another instead of deadlocking.
INSERT_SPUS = """
    INSERT INTO products_spu (code, name, brand_id, created_at)
    SELECT code, name, %s, %s FROM unnest(%s::text[], %s::text[]) AS n(code, name)
    WHERE NOT EXISTS (SELECT 1 FROM products_sku s WHERE s.code = n.code)
    ORDER BY code ON CONFLICT (code) DO NOTHING
"""
INSERT_SKUS = """
    INSERT INTO products_sku (code, spu_id, name, attributes, list_price, currency, is_active, created_at)
    SELECT n.code, p.id, n.name, '{}', n.price, %s, true, %s
    FROM unnest(%s::text[], %s::text[], %s::numeric[]) AS n(code, name, price)
    JOIN products_spu p ON p.code = n.code AND p.brand_id = %s
    ORDER BY n.code ON CONFLICT (code) DO NOTHING RETURNING code
"""


class ShopIsDifferent(BadInput):
    """A shop of this code exists and is another kind of shop."""

    code = "shop_is_different"


@dataclass(frozen=True, slots=True)
class NewSku:
    """A SKU that stands alone: its product has the same code and name."""

    code: str
    name: str
    list_price: Decimal | None = None


@transaction.atomic
def register_skus(*, brand: Brand, skus: Sequence[NewSku], currency: str, at: datetime, by: str) -> list[str]:
    """Enter SKUs, each with a product of its own; those whose code exists already stay as they are.

    Returns the codes that are new.
    """
    if not skus:
        return []
    codes = [sku.code for sku in skus]
    with_names = [codes, [sku.name[:200] for sku in skus]]
    fetch_all(f"{INSERT_SPUS} RETURNING id", [brand.pk, at, *with_names])
    rows = fetch_all(
        INSERT_SKUS,
        [
            currency,
            at,
            codes,
            [sku.name[:240] for sku in skus],
            [sku.list_price for sku in skus],
            brand.pk,
        ],
    )
    return [str(code) for (code,) in rows]


@transaction.atomic
def register_outside_shop(
    *, code: str, name: str, channel: str, currency: str, at: datetime, by: str
) -> tuple[Shop, bool]:
    """A shop, with a brand of the same code, whose orders somebody else has fulfilled. True: it is new.

    Raises ShopIsDifferent where a shop of this code is not such a shop.
    """
    brand, _created = Brand.objects.get_or_create(code=code, defaults={"name": name})
    shop, is_new = Shop.objects.get_or_create(
        code=code,
        defaults={
            "name": name,
            "channel": channel,
            "brand": brand,
            "currency": currency,
            "fulfilled_by": Shop.FulfilledBy.OUTSIDE,
        },
    )
    if shop.fulfilled_by != Shop.FulfilledBy.OUTSIDE or shop.brand_id is None or shop.currency != currency:
        raise ShopIsDifferent(
            _("The shop “%(code)s” exists, but it is not one in %(currency)s that is fulfilled outside Omni.")
            % {"code": code, "currency": currency},
            fields={"shop": [code]},
        )
    return shop, is_new

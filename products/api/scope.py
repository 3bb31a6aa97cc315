"""What the caller of the API may see and touch: the shops of the key, or of the person."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext as _
from rest_framework.request import Request

from omni.kernel.errors import NotFound
from omni.kernel.sql import fetch_models
from products.models import Listing, Shop
from products.scope import visible_brand_ids, visible_shop_ids


class UnknownShop(NotFound):
    """There is no such shop, or not for whoever asks: nobody learns which."""

    code = "unknown_shop"


def visible_brands(request: Request) -> frozenset[int] | None:
    """The brands whose products the caller may see; None: every brand.

    A key without shops is for every shop. A shop without a brand sells all of them.
    """
    key: Any = request.auth
    if key is None:
        return visible_brand_ids(request.user)
    if not key.shop_ids:
        return None
    brands: set[int | None] = set(Shop.objects.filter(pk__in=key.shop_ids).values_list("brand_id", flat=True))
    return None if None in brands else frozenset(brand for brand in brands if brand is not None)


def in_shops(request: Request, path: str = "shop") -> Q:
    """The rows of shops that the caller may see; `path` leads from the row to its shop."""
    shops = _shops_of(request)
    return Q() if shops is None else Q(**{f"{path}__in": shops})


def _shops_of(request: Request) -> Collection[int] | None:
    key: Any = request.auth
    return visible_shop_ids(request.user) if key is None else key.shop_ids or None


def visible_skus(request: Request, path: str = "") -> Q:
    """The SKUs of the caller's brands, and those that its shops list; `path` leads from the row to its SKU."""
    brands = visible_brands(request)
    if brands is None:
        return Q()
    listed = Listing.objects.filter(in_shops(request), sku=OuterRef(path or "pk"))
    brand = f"{path}__spu__brand__in" if path else "spu__brand__in"
    return Q(**{brand: brands}) | Q(Exists(listed))


def shop_of(request: Request, code: str) -> Shop:
    """The shop with this code. Raises UnknownShop if there is none, or none that the caller may use."""
    shops = _shops_of(request)
    found = fetch_models(Shop, "WHERE t.code = %s AND t.is_active", [code])
    if not found or (shops is not None and found[0].pk not in shops):
        raise UnknownShop(
            _("There is no shop “%s”, or this key is not for it.") % code,
            fields={"shop": [_("Not a shop that you may use.")]},
        )
    return found[0]

"""What the caller of the API may see and touch: the shops of the key, or of the person."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext as _
from rest_framework.request import Request

from omni.kernel.errors import NotFound
from products.models import Listing, Shop
from products.scope import EVERYTHING, Scope, scope_of


class UnknownShop(NotFound):
    """There is no such shop, or not for whoever asks: nobody learns which."""

    code = "unknown_shop"


def api_scope(request: Request) -> Scope:
    """The scope of the key or person that calls. A key without shops is for every shop."""
    key: Any = request.auth
    if key is None:
        return scope_of(request.user)
    if not key.shop_ids:
        return EVERYTHING
    shops = frozenset(key.shop_ids)
    brands = Shop.objects.filter(pk__in=shops, brand__isnull=False).values_list("brand_id", flat=True)
    return Scope(shop_ids=shops, brand_ids=frozenset(brands))


def in_shops(request: Request, path: str = "shop") -> Q:
    """The rows of shops that the caller may see; `path` leads from the row to its shop."""
    key: Any = request.auth
    if key is not None:  # the brands of a key are of no use here and cost a statement
        shops = key.shop_ids
        return Q(**{f"{path}__in": shops}) if shops else Q()
    scope = scope_of(request.user)
    return Q() if scope.is_everything else Q(**{f"{path}__in": scope.shop_ids})


def visible_skus(request: Request, path: str = "") -> Q:
    """The SKUs of the caller's brands, and those that its shops list; `path` leads from the row to its SKU."""
    scope = api_scope(request)
    if scope.is_everything:
        return Q()
    listed = Listing.objects.filter(shop__in=scope.shop_ids, sku=OuterRef(f"{path or 'pk'}"))
    brand = f"{path}__spu__brand__in" if path else "spu__brand__in"
    return Q(**{brand: scope.brand_ids}) | Q(Exists(listed))


def shop_of(request: Request, code: str) -> Shop:
    """The shop with this code. Raises UnknownShop if there is none, or none that the caller may use."""
    shop = Shop.objects.filter(in_shops(request, "pk"), code=code, is_active=True).first()
    if shop is None:
        raise UnknownShop(
            _("There is no shop “%s”, or this key is not for it.") % code,
            fields={"shop": [_("Not a shop that you may use.")]},
        )
    return shop

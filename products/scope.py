"""What a person may see: the shops and the brands of their scopes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from products.models import Shop, StaffScope


@dataclass(frozen=True, slots=True)
class Scope:
    """The shops and brands that may be seen, or everything; then the sets say nothing."""

    shop_ids: frozenset[int] = frozenset()
    brand_ids: frozenset[int] = frozenset()
    is_everything: bool = False


EVERYTHING = Scope(is_everything=True)
NOTHING = Scope()


def scope_of(user: Any) -> Scope:
    """The scope of a user, in two statements at most; remembered on the user object, so once per request.

    A brand scope covers every shop of the brand. A shop scope covers the brand's products too, because the
    shop sells them, but not the brand's other shops.
    """
    if not getattr(user, "is_authenticated", False) or not user.is_active:
        return NOTHING
    if user.is_superuser:
        return EVERYTHING
    remembered: Scope | None = getattr(user, "_omni_scope", None)
    if remembered is None:
        remembered = user._omni_scope = _read_scope(user.pk)
    return remembered


def _read_scope(user_id: int) -> Scope:
    rows = StaffScope.objects.filter(user_id=user_id).values_list("brand_id", "shop_id", "shop__brand_id")
    whole_brands: set[int] = set()
    shops: set[int] = set()
    brands_of_shops: set[int] = set()
    for brand_id, shop_id, brand_of_shop_id in rows:
        if brand_id is not None:
            whole_brands.add(brand_id)
        if shop_id is not None:
            shops.add(shop_id)
            if brand_of_shop_id is not None:
                brands_of_shops.add(brand_of_shop_id)
    if whole_brands:
        shops.update(Shop.objects.filter(brand_id__in=whole_brands).values_list("pk", flat=True))
    return Scope(frozenset(shops), frozenset(whole_brands | brands_of_shops))


def scope_of_brand(brand_id: int) -> Scope:
    """What somebody would see who was given this brand alone."""
    shops = Shop.objects.filter(brand_id=brand_id).values_list("pk", flat=True)
    return Scope(frozenset(shops), frozenset({brand_id}))


def visible_shop_ids(user: Any) -> frozenset[int] | None:
    """The shops whose orders and listings the user may see; None: every shop."""
    scope = scope_of(user)
    return None if scope.is_everything else scope.shop_ids


def visible_brand_ids(user: Any) -> frozenset[int] | None:
    """The brands whose products and stock the user may see; None: every brand."""
    scope = scope_of(user)
    return None if scope.is_everything else scope.brand_ids


def whole_brand_ids(user: Any) -> frozenset[int] | None:
    """The brands all of whose shops the person sees, because they were given the brand; None: all."""
    if scope_of(user).is_everything:
        return None
    given = StaffScope.objects.filter(user_id=user.pk, brand__isnull=False)
    return frozenset(brand_id for brand_id in given.values_list("brand_id", flat=True) if brand_id)

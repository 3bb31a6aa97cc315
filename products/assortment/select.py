"""Say what a sales catalogue holds, and which shops sell by it."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from omni.kernel.audit import record_act
from omni.kernel.errors import BadInput, DomainError
from omni.kernel.sql import fetch_all
from products.assortment.conditions import Wish, check_wish, foreign_shops
from products.assortment.notice import lock_outside, note_outside_listings, recheck_catalogues
from products.models import Catalogue, ShopCatalogue, Sku

CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}", re.ASCII)
FIELDS = (
    "name",
    "note",
    "is_active",
    "brand_id",
    "category_id",
    "tags",
    "seasons",
    "price_from",
    "price_to",
    "currency",
)

# In the order of their ids: two who give the same shops a catalogue wait for one another; the later one sees it.
LOCK_SHOPS = "SELECT id FROM products_shop WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
# What stands there already in the same way is not picked again.
PICK = """
    INSERT INTO products_cataloguepick AS t (catalogue_id, sku_id, is_in, reason, picked_by, picked_at)
    SELECT %(catalogue)s, sku_id, %(is_in)s, %(reason)s, %(by)s, %(at)s FROM unnest(%(skus)s::bigint[]) AS v(sku_id)
    ORDER BY sku_id
    ON CONFLICT (catalogue_id, sku_id) DO UPDATE SET is_in = EXCLUDED.is_in, reason = EXCLUDED.reason,
        picked_by = EXCLUDED.picked_by, picked_at = EXCLUDED.picked_at WHERE t.is_in <> EXCLUDED.is_in
    RETURNING sku_id
"""
UNPICK = "DELETE FROM products_cataloguepick WHERE catalogue_id = %s AND sku_id = ANY(%s) RETURNING sku_id"


class BadCatalogue(BadInput):
    """A code or a name that no catalogue can have."""

    code = "bad_catalogue"


class ForeignShop(BadInput):
    """A shop of another brand: nothing of this one is sold there."""

    code = "foreign_shop"


class HasCatalogue(DomainError):
    """The shop sells by another catalogue: it has one at most, and changing it is said there."""

    code = "has_catalogue"


@dataclass(frozen=True, slots=True)
class CatalogueDraft:
    """A catalogue as it should be. `code` None: as it is."""

    name: str
    wish: Wish
    code: str | None = None
    note: str = ""
    is_active: bool = True
    shop_ids: Collection[int] = ()


@dataclass(frozen=True, slots=True)
class Picked:
    """What came of one SKU. `detail`: why it stayed as it was."""

    sku_id: int
    ok: bool
    detail: str = ""


@transaction.atomic
def define_catalogue(
    *, draft: CatalogueDraft, catalogue_id: int | None = None, at: datetime, by: str
) -> Catalogue:
    """Make a catalogue, or change the one with this id; saying the same again changes nothing.

    What is on sale in its shops and not in it is put on the list of listings outside their catalogue; nothing is
    withdrawn. Raises BadCatalogue, BadConditions, ForeignShop, HasCatalogue.
    """
    wish = check_wish(draft.wish)
    if not draft.name.strip():
        raise BadCatalogue(_("A catalogue has a name."), fields={"name": [_("A catalogue has a name.")]})
    _check_shops(wish.brand_id, draft.shop_ids)
    values = {"name": draft.name.strip(), "note": draft.note.strip(), "is_active": draft.is_active} | {
        name: getattr(wish, name) for name in FIELDS if hasattr(wish, name)
    }
    if catalogue_id is None:
        catalogue = Catalogue.objects.create(code=_check_code(draft.code), created_at=at, **values)
        was: dict[str, object] = {}
    else:
        catalogue = Catalogue.objects.select_for_update(no_key=True).get(pk=catalogue_id)
        was = {name: getattr(catalogue, name) for name in FIELDS if getattr(catalogue, name) != values[name]}
    shops = _give_to_shops(catalogue, draft.shop_ids, at)
    if catalogue_id is not None:
        if not was and not shops:
            return catalogue
        for name in was:
            setattr(catalogue, name, values[name])
        catalogue.version += 1
        catalogue.save(update_fields=[*was, "version"])
    said = {"changed": sorted(was), "shops": sorted(draft.shop_ids)}
    if catalogue_id is None:
        record_act(by=by, action="catalogue.defined", subject=catalogue, detail=said)
    else:
        record_act(by=by, action="catalogue.changed", subject=catalogue, detail=said)
    recheck_catalogues([catalogue.pk])
    return catalogue


def _check_code(code: str | None) -> str:
    fault = ""
    if code is None or not CODE.fullmatch(code):
        fault = _("A catalogue code is letters, digits, dots and dashes, at most 32.")
    elif Catalogue.objects.filter(code=code).exists():
        fault = _("There is a catalogue “%s” already.") % code
    if fault:
        raise BadCatalogue(fault, fields={"code": [fault]})
    return code or ""


def _check_shops(brand_id: int | None, shop_ids: Collection[int]) -> None:
    others = foreign_shops(brand_id, shop_ids)
    if others:
        fault = _("%s is of another brand.") % ", ".join(shop.name for shop in others)
        raise ForeignShop(fault, fields={"shops": [fault]})


def _give_to_shops(catalogue: Catalogue, shop_ids: Collection[int], at: datetime) -> bool:
    """The shops of the catalogue from now on. Whether that changed anything."""
    fetch_all(LOCK_SHOPS, [list(shop_ids)])
    taken = ShopCatalogue.objects.filter(shop__in=shop_ids).exclude(catalogue=catalogue)
    for row in taken.select_related("shop", "catalogue")[:1]:
        fault = _("%(shop)s sells by the catalogue %(catalogue)s: take it off there first.") % {
            "shop": row.shop.name,
            "catalogue": row.catalogue.name,
        }
        raise HasCatalogue(fault, fields={"shops": [fault]})
    had = set(catalogue.shop_catalogues.values_list("shop_id", flat=True))
    left = sorted(had - set(shop_ids))
    if left:
        lock_outside()
        ShopCatalogue.objects.filter(catalogue=catalogue, shop__in=left).delete()
        note_outside_listings(shop_ids=left, at=at)  # nothing binds them any more
    new = sorted(set(shop_ids) - had)
    ShopCatalogue.objects.bulk_create(ShopCatalogue(shop_id=shop, catalogue=catalogue) for shop in new)
    return bool(new or left)


@transaction.atomic
def pick_skus(
    *,
    catalogue_id: int,
    sku_ids: Sequence[int],
    is_in: bool | None,
    reason: str = "",
    at: datetime,
    by: str,
) -> list[Picked]:
    """Have SKUs stand in a catalogue (True) or stay out of it (False), whatever its conditions say; None: these decide.

    A SKU of another brand than the catalogue's is never in it. One result per SKU, in the order given.
    """
    catalogue = Catalogue.objects.select_for_update(no_key=True).get(pk=catalogue_id)
    brands = dict(Sku.objects.filter(pk__in=sku_ids).values_list("pk", "spu__brand_id"))
    refused = {sku: _why_not(catalogue, brands.get(sku), is_in) for sku in sku_ids}
    wanted = sorted({sku for sku, why in refused.items() if not why})
    if is_in is None:
        changed = {row[0] for row in fetch_all(UNPICK, [catalogue_id, wanted])}
    else:
        values = {"catalogue": catalogue_id, "is_in": is_in, "reason": reason.strip()[:200]}
        changed = {row[0] for row in fetch_all(PICK, {**values, "skus": wanted, "at": at, "by": by})}
    if changed:
        Catalogue.objects.filter(pk=catalogue_id).update(version=catalogue.version + 1)
        record_act(
            by=by,
            action="catalogue.picked",
            subject=catalogue,
            reason=reason,
            detail={"is_in": is_in, "skus": sorted(changed)},
        )
        shops = list(catalogue.shop_catalogues.values_list("shop_id", flat=True))
        note_outside_listings(shop_ids=shops, sku_ids=changed, at=at)
    same = _("It stands so already.")
    return [Picked(sku, sku in changed, refused[sku] or ("" if sku in changed else same)) for sku in sku_ids]


def _why_not(catalogue: Catalogue, brand_id: int | None, is_in: bool | None) -> str:
    if brand_id is None:
        return _("There is no such SKU.")
    if is_in and catalogue.brand_id is not None and brand_id != catalogue.brand_id:
        return _("It is of another brand than the catalogue.")
    return ""

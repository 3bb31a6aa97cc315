"""When a SKU fits the conditions of a catalogue or of a rule: said once as SQL, and checked before they are kept."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal

from django.utils.translation import gettext as _

from omni.kernel.errors import BadInput
from products.models import Brand, Category, Shop

TAGS_MAX = 50
TAG_LENGTH = 32

# Each condition with the columns that it reads: `w` what is wished for (with the `path` of its category), `k` the SKU,
# `p` its product, `c` the category of that (may be missing). In the order in which they are told.
FITTING = {
    "brand": "(w.brand_id IS NULL OR w.brand_id = p.brand_id)",
    "category": "(w.path IS NULL OR coalesce(starts_with(c.path, w.path), false))",
    "tags": "(w.tags = '{}' OR w.tags && p.tags)",
    "seasons": "(w.seasons = '{}' OR p.season = ANY (w.seasons))",
    "price": """(w.price_from IS NULL AND w.price_to IS NULL OR k.currency = w.currency AND k.list_price IS NOT NULL
        AND (w.price_from IS NULL OR k.list_price >= w.price_from)
        AND (w.price_to IS NULL OR k.list_price <= w.price_to))""",
}
FITS_PRODUCT = " AND ".join(FITTING[name] for name in ("brand", "category", "tags", "seasons"))
FITS_SKU = FITTING["price"]
ASKS = """(w.brand_id IS NOT NULL OR w.path IS NOT NULL OR w.tags <> '{}' OR w.seasons <> '{}'
    OR w.price_from IS NOT NULL OR w.price_to IS NOT NULL)"""
# Of a catalogue as `w`, with the pick `x` that it may have of the SKU.
HOLDS = f"(k.is_active AND coalesce(x.is_in, {ASKS} AND {FITS_PRODUCT} AND {FITS_SKU}))"


class BadConditions(BadInput):
    """Conditions that no SKU can meet, or that ask for something that there is not."""

    code = "bad_conditions"


@dataclass(frozen=True, slots=True)
class Wish:
    """The conditions as somebody entered them; see `products.models.assortment.Conditions`."""

    brand_id: int | None = None
    category_id: int | None = None
    tags: Collection[str] = ()
    seasons: Collection[str] = ()
    price_from: Decimal | None = None
    price_to: Decimal | None = None
    currency: str = "CNY"

    @property
    def is_empty(self) -> bool:
        """Whether it asks for nothing at all."""
        asked = (self.brand_id, self.category_id, self.price_from, self.price_to)
        return not (self.tags or self.seasons) and all(one is None for one in asked)


def check_wish(wish: Wish) -> Wish:
    """The wish with its texts trimmed and each once. Raises BadConditions."""
    if wish.price_from is not None and wish.price_to is not None and wish.price_to < wish.price_from:
        fault = _("It lies below the price from which it begins.")
        raise BadConditions(fault, fields={"price_to": [fault]})
    for name, price in (("price_from", wish.price_from), ("price_to", wish.price_to)):
        if price is not None and price < 0:
            fault = _("A price is not below zero.")
            raise BadConditions(fault, fields={name: [fault]})
    if wish.brand_id is not None and not Brand.objects.filter(pk=wish.brand_id).exists():
        fault = _("There is no such brand.")
        raise BadConditions(fault, fields={"brand": [fault]})
    if wish.category_id is not None and not Category.objects.filter(pk=wish.category_id).exists():
        fault = _("There is no such category.")
        raise BadConditions(fault, fields={"category": [fault]})
    return Wish(
        brand_id=wish.brand_id,
        category_id=wish.category_id,
        tags=_texts("tags", wish.tags),
        seasons=_texts("seasons", wish.seasons),
        price_from=wish.price_from,
        price_to=wish.price_to,
        currency=wish.currency,
    )


def _texts(name: str, texts: Collection[str]) -> list[str]:
    found = list(dict.fromkeys(text.strip() for text in texts if text.strip()))
    if len(found) > TAGS_MAX or any(len(text) > TAG_LENGTH for text in found):
        fault = _("At most %(count)d, of at most %(length)d characters each.") % {
            "count": TAGS_MAX,
            "length": TAG_LENGTH,
        }
        raise BadConditions(fault, fields={name: [fault]})
    return found


def foreign_shops(brand_id: int | None, shop_ids: Collection[int]) -> list[Shop]:
    """Of these shops, those of another brand: nothing of this brand is ever sold there."""
    if brand_id is None:
        return []
    others = Shop.objects.filter(pk__in=shop_ids, brand__isnull=False).exclude(brand_id=brand_id)
    return list(others.order_by("code"))

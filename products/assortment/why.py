"""Why a SKU is, or is not, on sale in a shop: what its catalogue and each of the shop's rules say of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from omni.kernel.sql import fetch_all
from products.assortment.conditions import FITTING, HOLDS
from products.assortment.holding import CATALOGUES, GOODS, PICK
from products.models import AssortmentRule, Catalogue, CataloguePick, Listing, PlacedListing, Shop, Sku

_EACH = ", ".join(FITTING.values())
RULES = f"""
    SELECT w.id, {_EACH}
    FROM (SELECT r.*, t.path FROM products_assortmentrule r LEFT JOIN products_category t ON t.id = r.category_id) w
    JOIN products_assortmentrule_shops s ON s.assortmentrule_id = w.id AND s.shop_id = %(shop)s
    CROSS JOIN ({GOODS}) WHERE k.id = %(sku)s
    ORDER BY w.priority DESC, w.kind, w.id
"""  # noqa: S608 - constants
CATALOGUE = f"""
    SELECT w.id, {HOLDS}, {_EACH} FROM ({CATALOGUES}) w
    JOIN products_shopcatalogue s ON s.catalogue_id = w.id AND s.shop_id = %(shop)s
    CROSS JOIN ({GOODS}) LEFT JOIN {PICK} WHERE k.id = %(sku)s
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """What one rule says. `fits`: condition → whether the SKU meets it, of those that the rule asks for."""

    rule: AssortmentRule
    fits: Mapping[str, bool]
    is_open: bool
    is_deciding: bool = False

    @property
    def speaks(self) -> bool:
        return self.is_open and self.rule.is_active and all(self.fits.values())


@dataclass(frozen=True, slots=True)
class CatalogueVerdict:
    """What the catalogue of the shop says. `pick`: what was said by hand, before all conditions."""

    catalogue: Catalogue
    is_held: bool
    fits: Mapping[str, bool]
    pick: CataloguePick | None


@dataclass(frozen=True, slots=True)
class Why:
    """`is_wanted`: a rule includes it, the catalogue (if any) holds it, it is sold, and it is of the shop's brand."""

    shop: Shop
    sku: Sku
    catalogue: CatalogueVerdict | None
    rules: Sequence[RuleVerdict]
    listings: Sequence[Listing]
    placed: Collection[int]
    is_foreign: bool

    @property
    def deciding(self) -> RuleVerdict | None:
        return next((verdict for verdict in self.rules if verdict.is_deciding), None)

    @property
    def is_wanted(self) -> bool:
        decided = self.deciding
        is_included = decided is not None and decided.rule.kind == AssortmentRule.Kind.INCLUDE
        is_allowed = (
            self.catalogue is None or not self.catalogue.catalogue.is_active or self.catalogue.is_held
        )
        return is_included and is_allowed and self.sku.is_active and not self.is_foreign


def why_assorted(*, shop: Shop, sku: Sku, at: datetime) -> Why:
    """The verdicts of a moment, in the order in which the rules decide."""
    which = {"shop": shop.pk, "sku": sku.pk}
    listings = list(Listing.objects.filter(shop=shop, sku=sku).order_by("-id"))
    placed = PlacedListing.objects.filter(listing__in=listings).values_list("listing_id", flat=True)
    brand_id = sku.spu.brand_id
    return Why(
        shop=shop,
        sku=sku,
        catalogue=_catalogue(which),
        rules=_rules(which, at),
        listings=listings,
        placed=frozenset(placed),
        is_foreign=shop.brand_id is not None and shop.brand_id != brand_id,
    )


def _rules(which: Mapping[str, int], at: datetime) -> list[RuleVerdict]:
    found = fetch_all(RULES, which)
    rules = AssortmentRule.objects.select_related("brand", "category").in_bulk([row[0] for row in found])
    verdicts: list[RuleVerdict] = []
    is_decided = False
    for ident, *fits in found:
        rule = rules[ident]
        is_open = (rule.starts_at is None or rule.starts_at <= at) and (
            rule.ends_at is None or rule.ends_at > at
        )
        verdict = RuleVerdict(rule, _asked(rule, fits), is_open)
        if verdict.speaks and not is_decided:
            verdict, is_decided = RuleVerdict(rule, verdict.fits, is_open, is_deciding=True), True
        verdicts.append(verdict)
    return verdicts


def _catalogue(which: Mapping[str, int]) -> CatalogueVerdict | None:
    found = fetch_all(CATALOGUE, which)
    if not found:
        return None
    ((ident, is_held, *fits),) = found
    catalogue = Catalogue.objects.select_related("brand", "category").get(pk=ident)
    pick = CataloguePick.objects.filter(catalogue=catalogue, sku=which["sku"]).first()
    return CatalogueVerdict(catalogue, bool(is_held), _asked(catalogue, fits), pick)


def asked_of(row: AssortmentRule | Catalogue) -> list[str]:
    """The conditions that are asked for, by their names in FITTING."""
    given = {
        "brand": row.brand_id is not None,
        "category": row.category_id is not None,
        "tags": bool(row.tags),
        "seasons": bool(row.seasons),
        "price": row.price_from is not None or row.price_to is not None,
    }
    return [name for name in FITTING if given[name]]


def _asked(row: AssortmentRule | Catalogue, fits: Sequence[bool | None]) -> dict[str, bool]:
    told = dict(zip(FITTING, fits, strict=True))
    return {name: bool(told[name]) for name in asked_of(row)}

"""Enter many SKUs at once, with their products and barcodes; those whose code is known are changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import transaction
from django.utils.translation import gettext as _

from omni.kernel.audit import changes_by
from omni.kernel.errors import DomainError
from omni.kernel.events import record_events
from omni.kernel.sql import as_array, as_text_array, execute, fetch_all
from products.barcodes import kind_of, resolve_barcodes
from products.bundles import bundles_with, lies_in_bundles
from products.events import ProductsChanged
from products.models import Barcode, Category, Sku, Spu
from products.template import hold_templates, of_product, of_sku, templates_of

# Rows are locked and inserted in the order of their codes, so that two batches wait for one another instead of
# deadlocking.
INSERT_SPUS = """
    INSERT INTO products_spu (code, name, brand_id, category_id, season, tags, created_at)
    SELECT n.code, n.name, b.id, c.id, n.season, n.tags::text[], %s
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
        AS n(code, name, brand, category, season, tags)
    JOIN products_brand b ON b.code = n.brand
    LEFT JOIN products_category c ON c.code = n.category
    ORDER BY n.code ON CONFLICT (code) DO NOTHING RETURNING id, code
"""
# Of a product or of one of its SKUs something is said in the words of its category.
SAYS_ATTRIBUTES = """
    (p.attributes <> '{}' OR EXISTS (SELECT 1 FROM products_sku k WHERE k.spu_id = p.id AND k.attributes <> '{}'))
"""
LOCK_SPUS = f"""
    SELECT p.code, p.id, p.name, b.code, c.code, {SAYS_ATTRIBUTES}, p.season, p.tags FROM products_spu p
    JOIN products_brand b ON b.id = p.brand_id LEFT JOIN products_category c ON c.id = p.category_id
    WHERE p.code = ANY(%s::text[]) ORDER BY p.code FOR NO KEY UPDATE OF p
"""  # noqa: S608 - a constant
UPDATE_SPUS = """
    UPDATE products_spu p SET name = n.name, category_id = c.id, season = n.season, tags = n.tags::text[]
    FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[])
        AS n(id, name, category, season, tags)
    LEFT JOIN products_category c ON c.code = n.category
    WHERE p.id = n.id
"""
SPUS_OF = """
    SELECT s.code, p.code FROM products_sku s JOIN products_spu p ON p.id = s.spu_id WHERE s.code = ANY(%s)
"""
INSERT_SKUS = """
    INSERT INTO products_sku
        (code, spu_id, name, attributes, list_price, currency, weight_grams, is_active, created_at)
    SELECT n.code, n.spu_id, n.name, '{}', n.price, n.currency, n.weight, n.is_active, %s
    FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::numeric[], %s::text[], %s::int[], %s::bool[])
        AS n(code, spu_id, name, price, currency, weight, is_active)
    ORDER BY n.code ON CONFLICT (code) DO NOTHING RETURNING id, code
"""
LOCK_SKUS = """
    SELECT code, id, spu_id, name, list_price, currency, weight_grams, is_active FROM products_sku
    WHERE code = ANY(%s::text[]) ORDER BY code FOR NO KEY UPDATE
"""
UPDATE_SKUS = """
    UPDATE products_sku s
    SET name = n.name, list_price = n.price, currency = n.currency, weight_grams = n.weight, is_active = n.is_active
    FROM unnest(%s::bigint[], %s::text[], %s::numeric[], %s::text[], %s::int[], %s::bool[])
        AS n(id, name, price, currency, weight, is_active)
    WHERE s.id = n.id
"""
INSERT_BARCODES = """
    INSERT INTO products_barcode (code, kind, sku_id)
    SELECT n.code, n.kind, n.sku_id FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS n(code, kind, sku_id)
    ORDER BY n.code ON CONFLICT DO NOTHING RETURNING id, code
"""

SPU_COLUMNS = ("name", "category", "season", "tags")
SKU_COLUMNS = ("name", "list_price", "currency", "weight_grams", "is_active")


class ChangedMeanwhile(DomainError):
    """What was compared is not what is there now: somebody else was faster. Looking again says what is."""

    code = "changed_meanwhile"


class SkuEntry(NamedTuple):
    """One SKU as somebody describes it. None: nothing is said of it, and what is known stays.

    `spu`, `brand`, `category`: codes. A product of the code `spu` is made where there is none, and needs a brand then.
    A new SKU of which no product is said has one of its own code.
    """

    code: str
    spu: str | None = None
    name: str | None = None
    spu_name: str | None = None
    brand: str | None = None
    category: str | None = None
    barcodes: Sequence[str] | None = None
    list_price: Decimal | None = None
    currency: str | None = None
    weight_grams: int | None = None
    is_active: bool | None = None
    season: str | None = None
    tags: Sequence[str] | None = None


@dataclass(slots=True)
class Entered:
    """What entering one SKU did, enough to take it back.

    `was`, `spu_was`: the columns that were changed, as they were; None: it is new. `spu_now`: the same columns of the
    product, as they are now. `barcode_ids`: those added.
    """

    sku_id: int
    spu_id: int
    was: dict[str, Any] | None = field(default_factory=dict)
    spu_was: dict[str, Any] | None = field(default_factory=dict)
    spu_now: dict[str, Any] = field(default_factory=dict)
    barcode_ids: list[int] = field(default_factory=list)


@transaction.atomic
def enter_skus(*, entries: Sequence[SkuEntry], at: datetime, by: str) -> list[Entered]:
    """Make or change SKUs by their codes, each code at most once; entering the same again changes nothing.

    A product's columns are taken from the first entry that says them. Barcodes are added, none is taken away. One event
    tells of all. Returns one result per entry, in the order given. Raises ChangedMeanwhile where an entry cannot stand:
    its product belongs to another brand, its SKU to another product, a barcode to another SKU, or the category wants
    attributes, of which entries say nothing.
    """
    hold_templates()
    with changes_by(by):
        codes = _spu_codes(entries)
        spus = _enter_spus(entries, codes, at=at)
        entered = _enter_skus(entries, [spus.get(code) for code in codes], at=at)
        _enter_barcodes(entries, entered)
    _tell(entered)
    return entered


def _tell(entered: Sequence[Entered]) -> None:
    spus = {one.spu_id for one in entered if one.spu_was != {}}
    skus = {one.sku_id for one in entered if one.was != {} or one.barcode_ids}
    if spus or skus:
        record_events(ProductsChanged(tuple(sorted(spus)), tuple(sorted(skus))))


@dataclass(frozen=True, slots=True)
class Wanted:
    """The names of the attributes without which nothing can stand in a category."""

    of_product: Sequence[str]
    of_sku: Sequence[str]


def wanted_attributes(codes: Collection[str]) -> dict[str, Wanted]:
    """What each category requires to be said, by its code."""
    categories = dict(Category.objects.filter(code__in=codes).values_list("pk", "code"))
    return {
        categories[ident]: Wanted(
            [attribute.name for attribute in of_product(template) if attribute.is_required],
            [attribute.name for attribute in of_sku(template) if attribute.is_required],
        )
        for ident, template in templates_of(categories).items()
        if ident is not None
    }


@dataclass(slots=True)
class _Product:
    ident: int
    was: dict[str, Any] | None
    now: dict[str, Any] = field(default_factory=dict)
    wants_of_skus: bool = False


def _spu_codes(entries: Sequence[SkuEntry]) -> list[str]:
    """The code of each entry's product: as said, as known, or the SKU's own."""
    unsaid = [entry.code for entry in entries if entry.spu is None]
    known = dict(fetch_all(SPUS_OF, [unsaid])) if unsaid else {}
    return [known.get(entry.code, entry.code) if entry.spu is None else entry.spu for entry in entries]


def _enter_spus(
    entries: Sequence[SkuEntry], spu_codes: Sequence[str], *, at: datetime
) -> dict[str, _Product]:
    """The products of the entries by code: made, changed, or as they were; locked."""
    firsts: dict[str, dict[str, Any]] = {}
    for entry, spu_code in zip(entries, spu_codes, strict=True):
        said = firsts.setdefault(
            spu_code,
            {
                "name": None,
                "brand": None,
                "category": None,
                "of_sku": entry.name,
                "season": None,
                "tags": None,
            },
        )
        said["name"] = said["name"] or entry.spu_name
        said["brand"] = said["brand"] or entry.brand
        said["category"] = said["category"] or entry.category
        said["season"] = said["season"] or entry.season
        said["tags"] = said["tags"] or entry.tags
    codes = list(firsts)
    with_brand = [(code, said) for code, said in firsts.items() if said["brand"]]
    new_ids = fetch_all(
        INSERT_SPUS,
        [
            at,
            as_text_array(code for code, _said in with_brand),
            as_text_array((said["name"] or said["of_sku"] or code)[:200] for code, said in with_brand),
            as_text_array(said["brand"] for _code, said in with_brand),
            as_text_array(said["category"] for _code, said in with_brand),
            as_text_array(said["season"] or "" for _code, said in with_brand),
            as_text_array(as_text_array(said["tags"] or ()) for _code, said in with_brand),
        ],
    )
    new = {code for _ident, code in new_ids}
    products: dict[str, _Product] = {}
    changed: list[tuple[int, str, str | None, str, str]] = []
    rows = fetch_all(LOCK_SPUS, [as_text_array(codes)])
    wanted_by = wanted_attributes(
        {row[4] for row in rows} | {said["category"] or "" for said in firsts.values()}
    )
    for code, ident, name, brand, category, says_attributes, season, tags in rows:
        said = firsts[code]
        wanted_here = wanted_by.get(said["category"] or category or "")
        is_moved = said["category"] not in (None, category)
        # A product that moves takes its SKUs along, of which nothing is said in the new category's words.
        lacks_words = wanted_here is not None and bool(
            (wanted_here.of_product and (code in new or is_moved)) or (wanted_here.of_sku and is_moved)
        )
        if lacks_words or (is_moved and says_attributes and code not in new):
            raise ChangedMeanwhile(_("The category of the product %s wants attributes.") % code)
        if said["brand"] not in (None, brand):
            raise ChangedMeanwhile(_("The product %s belongs to another brand.") % code)
        if code in new:
            products[code] = _Product(ident, None, wants_of_skus=bool(wanted_here and wanted_here.of_sku))
            continue
        is_was = {"name": name, "category": category, "season": season, "tags": tags}
        wanted = {column: said[column] or value for column, value in is_was.items()}
        was = {column: is_was[column] for column in SPU_COLUMNS if is_was[column] != wanted[column]}
        products[code] = _Product(
            ident,
            was,
            {column: wanted[column] for column in was},
            wants_of_skus=bool(wanted_here and wanted_here.of_sku),
        )
        if was:
            changed.append(
                (ident, wanted["name"], wanted["category"], wanted["season"], as_text_array(wanted["tags"]))
            )
    if changed:
        execute(UPDATE_SPUS, [list(column) for column in zip(*changed, strict=True)])
    return products


def _enter_skus(
    entries: Sequence[SkuEntry], found: Sequence[_Product | None], *, at: datetime
) -> list[Entered]:
    products = [product for product in found if product is not None]
    if len(products) < len(entries):
        orphan = entries[found.index(None)]
        raise ChangedMeanwhile(_("The SKU %s has no product, and its brand is not known.") % orphan.code)
    nameless = {entry.code for entry in entries if not entry.name}
    known = {row[0]: row for row in fetch_all(LOCK_SKUS, [as_text_array(entry.code for entry in entries)])}
    lacking = nameless - set(known)
    if lacking:
        raise ChangedMeanwhile(_("There is no SKU %s, and its name is not known.") % min(lacking))
    pairs = list(zip(entries, products, strict=True))
    new = [(entry, product) for entry, product in pairs if entry.code not in known]
    for entry, product in new:
        if product.wants_of_skus:
            raise ChangedMeanwhile(_("The category of the SKU %s wants attributes.") % entry.code)
    rows = fetch_all(
        INSERT_SKUS,
        [
            at,
            as_text_array(entry.code for entry, _product in new),
            as_array(product.ident for _entry, product in new),
            as_text_array(entry.name for entry, _product in new),
            as_array(entry.list_price for entry, _product in new),
            as_text_array(entry.currency or "CNY" for entry, _product in new),
            as_array(entry.weight_grams for entry, _product in new),
            as_array(entry.is_active is not False for entry, _product in new),
        ],
    )
    ids = {code: ident for ident, code in rows}
    told: set[int] = set()
    entered: list[Entered] = []
    changed: list[list[Any]] = []
    for entry, product in pairs:
        # The first entry of a product answers for what was done to it.
        spu_was, spu_now = (product.was, product.now) if product.ident not in told else ({}, {})
        told.add(product.ident)
        if entry.code in ids:
            entered.append(Entered(ids[entry.code], product.ident, None, spu_was, spu_now))
            continue
        row = known.get(entry.code)
        if row is None or row[2] != product.ident:
            raise ChangedMeanwhile(_("The SKU %s belongs to another product.") % entry.code)
        said = [getattr(entry, column) for column in SKU_COLUMNS]
        wanted = [old if value is None else value for value, old in zip(said, row[3:], strict=True)]
        was = {c: old for c, old, value in zip(SKU_COLUMNS, row[3:], wanted, strict=True) if old != value}
        entered.append(Entered(row[1], product.ident, was, spu_was, spu_now))
        if was:
            changed.append([row[1], *wanted])
    _refuse_archiving(entries, entered)
    if changed:
        execute(UPDATE_SKUS, [list(column) for column in zip(*changed, strict=True)])
    return entered


def _refuse_archiving(entries: Sequence[SkuEntry], entered: Sequence[Entered]) -> None:
    """What lies in a bundle that is sold does not go out of sight in silence."""
    codes = {
        one.sku_id: entry.code
        for entry, one in zip(entries, entered, strict=True)
        if entry.is_active is False and one.was and "is_active" in one.was
    }
    for sku_id, bundles in (bundles_with(codes) if codes else {}).items():
        raise ChangedMeanwhile(lies_in_bundles(codes[sku_id], bundles))


def _enter_barcodes(entries: Sequence[SkuEntry], entered: Sequence[Entered]) -> None:
    pairs = {code: place for place, entry in enumerate(entries) for code in entry.barcodes or ()}
    if not pairs:
        return
    rows = fetch_all(
        INSERT_BARCODES,
        [
            as_text_array(pairs),
            as_text_array(kind_of(code).value for code in pairs),
            as_array(entered[place].sku_id for place in pairs.values()),
        ],
    )
    for ident, code in rows:
        entered[pairs[code]].barcode_ids.append(ident)
    if len(rows) == len(pairs):
        return
    # Not written: the SKU has it already, perhaps with other zeros before it; or another one has.
    for code, sku_id in resolve_barcodes(list(pairs)).items():
        if sku_id != entered[pairs[code]].sku_id:
            raise ChangedMeanwhile(_("The barcode %s belongs to another SKU.") % code)


# --- taking back ----------------------------------------------------------------------------------------------


@transaction.atomic
def take_back_skus(*, entered: Sequence[Entered], by: str) -> None:
    """Undo what `enter_skus` did, the last first. What is new goes, what was changed is as it was.

    Nobody may have used it since: a protecting foreign key stops the whole.
    """
    with changes_by(by):
        Barcode.objects.filter(pk__in=[ident for one in entered for ident in one.barcode_ids]).delete()
        Sku.objects.filter(pk__in=[one.sku_id for one in entered if one.was is None]).delete()
        _restore_skus([one for one in entered if one.was])
        Spu.objects.filter(pk__in=[one.spu_id for one in entered if one.spu_was is None]).delete()
        _restore_spus([one for one in entered if one.spu_was])
    spus = tuple(sorted(one.spu_id for one in entered if one.spu_was))
    skus = tuple(sorted(one.sku_id for one in entered if one.was))
    if spus or skus:
        record_events(ProductsChanged(spus, skus))


def _restore_skus(changed: Sequence[Entered]) -> None:
    skus = Sku.objects.in_bulk([one.sku_id for one in changed])
    for one in changed:
        for column, value in (one.was or {}).items():
            setattr(skus[one.sku_id], column, value)
    Sku.objects.bulk_update(skus.values(), SKU_COLUMNS, batch_size=1_000)


def _restore_spus(changed: Iterable[Entered]) -> None:
    for one in changed:
        was = dict(one.spu_was or {})
        if "category" in was:
            was["category"] = Category.objects.filter(code=was["category"]).first()
        Spu.objects.filter(pk=one.spu_id).update(**was)

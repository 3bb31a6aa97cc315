"""SKUs with their products, barcodes, weights and list prices: one row per SKU, known by its code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from omni.kernel.imports.export import yes_or_no
from omni.kernel.imports.fields import Field
from omni.kernel.imports.refuse import refuse_row
from omni.kernel.imports.target import Conflict, Context, Obstacle, Row, Taken, Target, Verdict
from omni.kernel.references import find_references
from omni.kernel.sql import as_text_array, fetch_all
from products.barcodes import BadBarcode, owners_of_barcodes, read_barcode
from products.define import TAGS_MAX
from products.enter import (
    SAYS_ATTRIBUTES,
    SKU_COLUMNS,
    Entered,
    SkuEntry,
    Wanted,
    enter_skus,
    take_back_skus,
    wanted_attributes,
)
from products.models import Barcode, Brand, Category, Sku, Spu

TAKEN, REFUSED = "taken", "refused"
BETWEEN_TAGS = re.compile(r"[,;|\n，；、]")
TAG_CHARS_MAX = 32
EXPORT_PAGE = 5_000
OFFERED_MAX = 5_000

KNOWN_SKUS = f"""
    SELECT s.code, s.name, s.list_price, s.currency, s.weight_grams, s.is_active, p.code, p.name, b.code, c.code,
        {SAYS_ATTRIBUTES}, p.season, p.tags
    FROM products_sku s JOIN products_spu p ON p.id = s.spu_id JOIN products_brand b ON b.id = p.brand_id
    LEFT JOIN products_category c ON c.id = p.category_id WHERE s.code = ANY(%s::text[])
"""  # noqa: S608 - a constant
KNOWN_SPUS = f"""
    SELECT p.code, p.name, b.code, c.code, {SAYS_ATTRIBUTES}, p.season, p.tags
    FROM products_spu p JOIN products_brand b ON b.id = p.brand_id
    LEFT JOIN products_category c ON c.id = p.category_id WHERE p.code = ANY(%s::text[])
"""  # noqa: S608 - a constant
SAID = """
    SELECT r.id, r.line_no, r.status, r."values"->>'code' AS code, r."values"->'barcodes' AS barcodes,
        COALESCE(r."values"->>'spu', r."values"->>'code') AS spu, r."values"->>'spu_name' AS spu_name,
        r."values"->>'brand' AS brand, r."values"->>'category' AS category,
        r."values"->>'season' AS season, r."values"->>'tags' AS tags, r."values" AS said
    FROM kernel_importrow r WHERE r.run_id = %(run)s AND r."values" IS NOT NULL
"""
# First what is said twice at all, mostly nothing; only then who says it. Both in one statement were planned as a loop
# in a loop when the statistics did not know the rows of this import yet, and they never do.
TWICE = f"""
    SELECT s.code, min(s.line_no) FROM ({SAID}) s GROUP BY s.code HAVING count(*) > 1
"""  # noqa: S608 - constants
SAYING_CODES = f"""
    SELECT s.id, s.line_no, s.code, s.said FROM ({SAID}) s WHERE s.code = ANY(%(keys)s) AND s.status = ANY(%(open)s)
"""  # noqa: S608 - constants
BARCODES = f"""
    SELECT s.id, s.line_no, s.status, s.said, b.barcode
    FROM ({SAID} AND r."values" ? 'barcodes') s, jsonb_array_elements_text(s.barcodes) AS b(barcode)
"""  # noqa: S608 - constants
BARCODE_TWICE = f"""
    SELECT s.barcode, min(s.line_no) FROM ({BARCODES}) s GROUP BY s.barcode HAVING count(*) > 1
"""  # noqa: S608 - constants
SAYING_BARCODES = f"""
    SELECT s.id, s.line_no, s.barcode, s.said FROM ({BARCODES}) s
    WHERE s.barcode = ANY(%(keys)s) AND s.status = ANY(%(open)s)
"""  # noqa: S608 - constants
TORN = f"""
    SELECT s.spu FROM ({SAID}) s GROUP BY s.spu HAVING count(*) > 1 AND
        (min(s.spu_name) <> max(s.spu_name) OR min(s.brand) <> max(s.brand) OR min(s.category) <> max(s.category)
            OR min(s.season) <> max(s.season) OR min(s.tags) <> max(s.tags))
"""  # noqa: S608 - constants
SAYING_PRODUCTS = f"""
    SELECT s.id, s.line_no, s.status, s.spu, s.spu_name, s.brand, s.category, s.season, s.tags, s.said FROM ({SAID}) s
    WHERE s.spu = ANY(%(keys)s) ORDER BY s.line_no
"""  # noqa: S608 - constants
# Keyed by the code, so that a page begins where the last one ended, however far down.
EXPORT = """
    SELECT s.code, s.name, p.code, p.name, b.code, c.code,
        (SELECT string_agg(k.code, ' ' ORDER BY k.id) FROM products_barcode k WHERE k.sku_id = s.id),
        s.weight_grams, s.list_price, s.currency, p.season, array_to_string(p.tags, ', '), s.is_active
    FROM products_sku s JOIN products_spu p ON p.id = s.spu_id JOIN products_brand b ON b.id = p.brand_id
    LEFT JOIN products_category c ON c.id = p.category_id
    WHERE s.code > %(after)s AND (%(brands)s::text[] IS NULL OR b.code = ANY(%(brands)s::text[]))
    ORDER BY s.code LIMIT %(limit)s
"""
SKUS_UNDER = "SELECT spu_id, id, code FROM products_sku WHERE spu_id = ANY(%s)"
OWN_SKUS = """
    SELECT (undo->>'sku')::bigint FROM kernel_importrow WHERE run_id = %s AND status = 'done'
"""
OPEN = ["new", "changed", "unchanged"]
NEW = Verdict("new", TAKEN)
UNCHANGED = Verdict("unchanged", TAKEN)
SAID_OF_ENTRY = itemgetter(*SkuEntry._fields)
OF_THE_PRODUCT = ("spu_name", "brand", "category", "season", "tags")


class Skus(Target):
    """`params`: `brands`, the codes of the brands whose products may be touched; absent: all.

    An empty cell says nothing: what is known stays. Barcodes are added, none is taken away.
    """

    name = "products.skus"
    label = gettext_lazy("Products and SKUs")
    group_by = ""
    whole_groups = False
    chunk_rows = 5_000
    can_undo = True
    error_outcome = REFUSED
    permission = "products.change_sku"
    belongs_to = "brands"
    is_exported = True
    reasons: Mapping[str, Promise] = {
        "duplicate_sku": gettext_lazy("SKU named twice in the file"),
        "duplicate_barcode": gettext_lazy("barcode named twice in the file"),
        "contradiction": gettext_lazy("the product's rows contradict one another"),
        "unknown_brand": gettext_lazy("unknown brand"),
        "unknown_category": gettext_lazy("unknown category"),
        "attributes_wanted": gettext_lazy("attributes missing"),
        "bad_barcode": gettext_lazy("not a barcode"),
        "bad_tags": gettext_lazy("too many or too long tags"),
        "foreign_barcode": gettext_lazy("barcode of another SKU"),
        "bad_currency": gettext_lazy("not a currency"),
        "other_brand": gettext_lazy("product of another brand"),
        "other_product": gettext_lazy("SKU of another product"),
        "missing_value": gettext_lazy("empty"),
        "changed_meanwhile": gettext_lazy("changed by somebody else meanwhile"),
    }
    fields = (
        Field(
            "code",
            gettext_lazy("SKU code"),
            "code",
            True,
            ("sku", "商家编码", "货号", "规格编码"),
            64,
            note=gettext_lazy("A SKU whose code is known is changed, any other is made."),
            example="SERUM-30",
        ),
        Field(
            "name",
            gettext_lazy("SKU name"),
            "text",
            False,
            ("name", "名称", "商品名称"),
            240,
            note=gettext_lazy("A new SKU needs it. In every column: an empty cell leaves what is known."),
            example="Serum 30 ml",
        ),
        Field(
            "spu",
            gettext_lazy("Product code (SPU)"),
            "code",
            False,
            ("product code", "spu code", "款号", "产品编码"),
            64,
            note=gettext_lazy("Empty: the SKU stands alone, and its product has the same code."),
            example="SERUM",
        ),
        Field(
            "spu_name",
            gettext_lazy("Product name"),
            "text",
            False,
            ("款名", "产品名称"),
            200,
            note=gettext_lazy("Empty: a new product is called like its first SKU."),
            example="Serum",
        ),
        Field(
            "brand",
            gettext_lazy("Brand code"),
            "code",
            False,
            ("brand", "品牌"),
            32,
            note=gettext_lazy("A new product needs it; it stays as it is afterwards."),
        ),
        Field(
            "category",
            gettext_lazy("Category code"),
            "code",
            False,
            ("category", "类目", "分类"),
            32,
        ),
        Field(
            "barcodes",
            gettext_lazy("Barcodes"),
            "codes",
            False,
            ("barcode", "ean", "gtin", "条码", "69码"),
            64,
            note=gettext_lazy("Those named are added, none is taken away. Check digits are checked."),
            example="6901234567892",
        ),
        Field(
            "weight_grams",
            gettext_lazy("Weight (g)"),
            "integer",
            False,
            ("weight", "重量", "重量(克)"),
            minimum=0,
            maximum=1_000_000_000,
            example="120",
        ),
        Field(
            "list_price",
            gettext_lazy("List price"),
            "decimal",
            False,
            ("price", "吊牌价", "标价"),
            minimum=0,
            example="129.00",
        ),
        Field(
            "currency",
            gettext_lazy("Currency"),
            "code",
            False,
            ("币种",),
            3,
            note=gettext_lazy("Three letters, such as CNY; a new SKU without one gets CNY."),
            example="CNY",
        ),
        Field(
            "season",
            gettext_lazy("Season"),
            "text",
            False,
            ("季节", "波段"),
            32,
            note=gettext_lazy("Of the product."),
            example="2026AW",
        ),
        Field(
            "tags",
            gettext_lazy("Tags"),
            "text",
            False,
            ("标签",),
            1_000,
            note=gettext_lazy("Of the product, between commas; they take the place of those that it has."),
            example="new, gift",
        ),
        Field(
            "is_active",
            gettext_lazy("Active"),
            "boolean",
            False,
            ("启用", "是否启用"),
            note=gettext_lazy("A new SKU is active unless it says no."),
        ),
    )

    def check_params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        brands = params.get("brands")
        return {} if brands is None else {"brands": sorted(str(code) for code in brands)}

    # --- what each row would do -------------------------------------------------------------------------------

    def diff(self, rows: Sequence[Row], context: Context) -> Sequence[Verdict]:
        """SKUs that are new, changed with what is, the same, or at fault with the column that is."""
        known = _Known.of(rows, context.run.params.get("brands"))
        return [_judge(row.values, known) for row in rows]

    def find_conflicts(self, context: Context) -> Sequence[Conflict]:
        """A code or a barcode that an earlier line names already, and products about which lines disagree."""
        where = {"run": context.run.pk, "open": OPEN}
        conflicts: dict[int, Conflict] = {}
        for row_id, line, _code, said in _said_again(TWICE, SAYING_CODES, where):
            detail = _("Line %d of the file names this SKU already.") % line
            conflicts[row_id] = Conflict(row_id, _fault("duplicate_sku", "code", detail, json.loads(said)))
        for row_id, line, code, said in _said_again(BARCODE_TWICE, SAYING_BARCODES, where):
            detail = _("Line %(line)d of the file gives the barcode %(code)s to another SKU.") % {
                "line": line,
                "code": code,
            }
            fault = _fault("duplicate_barcode", "barcodes", detail, json.loads(said))
            conflicts.setdefault(row_id, Conflict(row_id, fault))
        for conflict in _contradictions(where):
            conflicts.setdefault(conflict.row_id, conflict)
        return list(conflicts.values())

    # --- taking them ------------------------------------------------------------------------------------------

    def prepare_commit(self, context: Context, *, at: datetime, by: str) -> Mapping[str, int]:
        return {}

    def commit(
        self, rows: Sequence[Row], context: Context, *, at: datetime, by: str
    ) -> tuple[Sequence[Taken], Mapping[str, int]]:
        entered = enter_skus(entries=[_entry_of(row.values) for row in rows], at=at, by=by)
        made = {
            "skus": sum(one.was is None for one in entered),
            "skus_changed": sum(bool(one.was) for one in entered),
            "products": sum(one.spu_was is None for one in entered),
            "products_changed": sum(bool(one.spu_was) for one in entered),
            "barcodes": sum(len(one.barcode_ids) for one in entered),
        }
        return [Taken("done", TAKEN, undo=_as_undo(one)) for one in entered], made

    # --- taking them back -------------------------------------------------------------------------------------

    def find_obstacles(self, rows: Sequence[Row], context: Context) -> Sequence[Obstacle]:
        """A new SKU that something refers to by now, and a changed one that was changed again since."""
        entered = {row.line_no: _entered_of(row.undo) for row in rows}
        new = {one.sku_id for one in entered.values() if one.was is None}
        used = find_references(Sku, new, ignoring=(Barcode,))
        barcodes = set(Barcode.objects.filter(sku_id__in=new).values_list("pk", "sku_id"))
        own = {ident for one in entered.values() for ident in one.barcode_ids}
        used |= {
            sku_id: str(Barcode._meta.verbose_name_plural) for ident, sku_id in barcodes if ident not in own
        }
        skus = Sku.objects.select_for_update().in_bulk([one.sku_id for one in entered.values()])
        obstacles: list[Obstacle] = []
        for row in rows:
            one = entered[row.line_no]
            sku = skus.get(one.sku_id)
            if one.sku_id in used:
                detail = _("The SKU %(sku)s is used by now (%(what)s).") % {
                    "sku": row.values["code"],
                    "what": used[one.sku_id],
                }
                obstacles.append(Obstacle(row.line_no, "in_use", detail))
            elif sku is None or _is_changed_since(sku, one, row.values):
                detail = _("The SKU %s was changed again since.") % row.values["code"]
                obstacles.append(Obstacle(row.line_no, "changed_since", detail))
        return [*obstacles, *_products_in_use(rows, entered, context)]

    def undo(self, rows: Sequence[Row], context: Context, *, at: datetime, by: str) -> None:
        take_back_skus(entered=[_entered_of(row.undo) for row in rows], by=by)

    # --- going out --------------------------------------------------------------------------------------------

    def offered(self, params: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
        brands = Brand.objects.filter(is_active=True)
        if params.get("brands") is not None:
            brands = brands.filter(code__in=params["brands"])
        return {
            "brand": list(brands.order_by("code").values_list("code", flat=True)[:OFFERED_MAX]),
            "category": list(Category.objects.order_by("path").values_list("code", flat=True)[:OFFERED_MAX]),
        }

    def export(self, params: Mapping[str, Any]) -> Iterator[Sequence[Any]]:
        """Every SKU of the brands, in the order of the codes."""
        # The words now: an answer is streamed after the middleware has put the reader's language away.
        return _export(params.get("brands"), {True: yes_or_no(True), False: yes_or_no(False)})


SKUS = Skus()


def _export(brands: Sequence[str] | None, words: Mapping[bool, str]) -> Iterator[Sequence[Any]]:
    """Page by page, so that memory stays flat."""
    after = ""
    while True:
        page = fetch_all(EXPORT, {"after": after, "brands": brands, "limit": EXPORT_PAGE})
        for *cells, is_active in page:
            yield [*cells, words[is_active]]
        if len(page) < EXPORT_PAGE:
            return
        after = page[-1][0]


# --- one row against what is known ----------------------------------------------------------------------------


class _Product(NamedTuple):
    code: str
    name: str
    brand: str
    category: str | None
    says_attributes: bool
    season: str
    tags: Sequence[str]


@dataclass(slots=True)
class _Known:
    """What is there already of what a chunk names. `brands` are those that may be touched.

    `skus`: name, list price, currency, weight and whether it is active, with the product.
    """

    skus: Mapping[str, tuple[tuple[Any, ...], _Product]]
    spus: Mapping[str, _Product]
    barcodes: Mapping[str, str]
    brands: frozenset[str]
    wanted: Mapping[str, Wanted]

    @classmethod
    def of(cls, rows: Sequence[Row], allowed: Sequence[str] | None) -> _Known:
        values = [row.values for row in rows]
        brands = Brand.objects.filter(code__in={v["brand"] for v in values if v["brand"]} | {""})
        wanted = as_text_array({v["spu"] or v["code"] for v in values})
        spus = {row[0]: _Product(*row) for row in fetch_all(KNOWN_SPUS, [wanted])}
        skus = {
            code: ((*columns,), _Product(*product))
            for code, *rest in fetch_all(KNOWN_SKUS, [as_text_array(v["code"] for v in values)])
            for columns, product in [(rest[: len(SKU_COLUMNS)], rest[len(SKU_COLUMNS) :])]
        }
        named = [code for v in values for code in v["barcodes"] or ()]
        found = set(brands.values_list("code", flat=True))
        found |= {spu.brand for spu in spus.values()} | {spu.brand for _columns, spu in skus.values()}
        categories = {v["category"] for v in values if v["category"]}
        categories |= {spu.category for spu in spus.values() if spu.category}
        return cls(
            skus=skus,
            spus=spus,
            barcodes=owners_of_barcodes(named) if named else {},
            brands=frozenset(found if allowed is None else found & set(allowed)),
            wanted=wanted_attributes(categories),
        )


def _judge(values: Mapping[str, Any], known: _Known) -> Verdict:
    fault = _find_fault(values, known)
    if fault is not None:
        reason, column, detail = fault
        return _fault(reason, column, detail, values)
    sku = known.skus.get(values["code"])
    if sku is None:
        return NEW
    changes = _changes(values, *sku, known)
    return Verdict("changed", TAKEN, changes=changes) if changes else UNCHANGED


def _find_fault(values: Mapping[str, Any], known: _Known) -> tuple[str, str, str] | None:
    """What is wrong with a row: reason, field and a sentence."""
    code, brand, category = values["code"], values["brand"], values["category"]
    sku = known.skus.get(code)
    spu = sku[1] if sku else known.spus.get(values["spu"] or code)
    if brand is not None and brand not in known.brands:
        return "unknown_brand", "brand", _("There is no brand %s, or it is not yours.") % brand
    if spu is not None and (spu.brand not in known.brands or brand not in (None, spu.brand)):
        return "other_brand", "brand", _("The product %s belongs to another brand.") % spu.code
    if spu is not None and values["spu"] not in (None, spu.code):
        detail = _("The SKU %(sku)s belongs to the product %(spu)s.") % {"sku": code, "spu": spu.code}
        return "other_product", "spu", detail
    if spu is None and brand is None:
        return "missing_value", "brand", _("A new product needs its brand.")
    if sku is None and not values["name"]:
        return "missing_value", "name", _("A new SKU needs a name.")
    if category is not None and category not in known.wanted:
        return "unknown_category", "category", _("There is no category %s.") % category
    lacking = _find_lacking(category, sku is None, spu, known)
    if lacking:
        return "attributes_wanted", "category", lacking
    currency = values["currency"]
    if currency is not None and not _is_currency(currency):
        return "bad_currency", "currency", _("“%s” is not a currency such as CNY.") % currency
    tags = values["tags"] and _read_tags(values["tags"])
    if tags and (len(tags) > TAGS_MAX or max(map(len, tags)) > TAG_CHARS_MAX):
        detail = _("At most %(count)d tags of at most %(length)d characters.")
        return "bad_tags", "tags", detail % {"count": TAGS_MAX, "length": TAG_CHARS_MAX}
    for barcode in values["barcodes"] or ():
        try:
            read_barcode(barcode)
        except BadBarcode as bad:
            return "bad_barcode", "barcodes", bad.detail
        if known.barcodes.get(barcode, code) != code:
            return "foreign_barcode", "barcodes", _("The barcode %s belongs to another SKU.") % barcode
    return None


def _find_lacking(category: str | None, is_new_sku: bool, spu: _Product | None, known: _Known) -> str:
    """Why a row cannot stand in its category: a file says no attributes. Empty: it can."""
    is_moved = spu is not None and category not in (None, spu.category)
    if is_moved and spu is not None and spu.says_attributes:
        return _("Attributes are said of the product %s: move it on its page.") % spu.code
    wanted = known.wanted.get(category or (spu.category if spu else None) or "")
    names: list[str] = []
    if wanted and (spu is None or is_moved):
        names += wanted.of_product
    if wanted and (is_new_sku or is_moved):
        names += wanted.of_sku
    return (
        _("The category wants %s, which files do not say: make it on its page.") % ", ".join(names)
        if names
        else ""
    )


@lru_cache(maxsize=64)
def _is_currency(text: str) -> bool:
    return len(text) == 3 and text.isascii() and text.isalpha() and text.isupper()


def _changes(
    values: Mapping[str, Any], sku: tuple[Any, ...], spu: _Product, known: _Known
) -> dict[str, list[Any]]:
    """Field → [old, new], of what the row says otherwise."""
    was = dict(zip(SKU_COLUMNS, sku, strict=True))
    was |= {"spu_name": spu.name, "category": spu.category, "season": spu.season}
    changes = {
        name: [_shown(old), _shown(values[name])]
        for name, old in was.items()
        if values[name] is not None and values[name] != old
    }
    tags = values["tags"] and _read_tags(values["tags"])
    if tags and tags != list(spu.tags):
        changes["tags"] = [", ".join(spu.tags), ", ".join(tags)]
    added = [code for code in values["barcodes"] or () if code not in known.barcodes]
    if added:
        changes["barcodes"] = ["", " ".join(added)]
    return changes


def _shown(value: Any) -> Any:
    return f"{value.normalize():f}" if isinstance(value, Decimal) else value


def _fault(reason: str, field: str, detail: str, values: Mapping[str, Any]) -> Verdict:
    return refuse_row(outcome=REFUSED, reason=reason, column=str(LABELS[field]), detail=detail, values=values)


LABELS = {field.name: field.label for field in SKUS.fields}


def _said_again(twice: str, saying: str, where: Mapping[str, Any]) -> Iterator[tuple[int, int, str, str]]:
    """The rows that name what an earlier line names: row, that line, what is named, and all that the row says."""
    firsts = dict(fetch_all(twice, where))
    if firsts:
        for row_id, line_no, key, said in fetch_all(saying, {**where, "keys": list(firsts)}):
            if line_no > firsts[key]:
                yield row_id, firsts[key], key, said


def _contradictions(where: Mapping[str, Any]) -> Iterator[Conflict]:
    """The lines that say of a product something else than the first line that says anything of it."""
    said: dict[tuple[str, str], tuple[str, int]] = {}
    torn = [spu for (spu,) in fetch_all(TORN, where)]
    rows = fetch_all(SAYING_PRODUCTS, {**where, "keys": torn}) if torn else []
    for row_id, line, status, spu, *columns, values in rows:
        for name, value in zip(OF_THE_PRODUCT, columns, strict=True):
            if value is None:
                continue
            first, first_line = said.setdefault((spu, name), (value, line))
            if first != value and status in OPEN:
                detail = _("Line %(line)d says %(first)s for the same product, this one %(value)s.") % {
                    "line": first_line,
                    "first": first,
                    "value": value,
                }
                yield Conflict(row_id, _fault("contradiction", name, detail, json.loads(values)))
                break


# --- rows and entries -----------------------------------------------------------------------------------------


def _entry_of(values: Mapping[str, Any]) -> SkuEntry:
    entry = SkuEntry._make(SAID_OF_ENTRY(values))
    return entry._replace(tags=_read_tags(values["tags"])) if values["tags"] else entry


def _read_tags(text: str) -> list[str]:
    """As they are stored: each once, in order."""
    return sorted({tag for part in BETWEEN_TAGS.split(text) if (tag := part.strip())})


def _as_undo(one: Entered) -> dict[str, Any]:
    return {
        "sku": one.sku_id,
        "spu": one.spu_id,
        "was": one.was,
        "spu_was": one.spu_was,
        "spu_now": one.spu_now,
        "barcodes": one.barcode_ids,
    }


def _entered_of(undo: Mapping[str, Any]) -> Entered:
    was = undo["was"]
    if was and was.get("list_price") is not None:
        was = was | {"list_price": Decimal(was["list_price"])}
    return Entered(undo["sku"], undo["spu"], was, undo["spu_was"], undo["spu_now"], undo["barcodes"])


def _is_changed_since(sku: Sku, one: Entered, values: Mapping[str, Any]) -> bool:
    """What the import wrote is not what is there: taking it back would take back somebody else's change too."""
    written = SKU_COLUMNS if one.was is None else tuple(one.was)
    return any(values[name] is not None and getattr(sku, name) != values[name] for name in written)


def _products_in_use(
    rows: Sequence[Row], entered: Mapping[int, Entered], context: Context
) -> Iterator[Obstacle]:
    """New products to which something refers besides the SKUs of this import, and changed ones changed since."""
    touched = {row.line_no: entered[row.line_no] for row in rows if entered[row.line_no].spu_was != {}}
    new = {one.spu_id for one in touched.values() if one.spu_was is None}
    used = find_references(Spu, new, ignoring=(Sku,))
    used |= {
        spu: code for spu, sku, code in fetch_all(SKUS_UNDER, [list(new)]) if sku not in _own_skus(context)
    }
    spus = (
        Spu.objects.select_for_update(of=("self",))
        .select_related("category")
        .in_bulk([o.spu_id for o in touched.values()])
    )
    for line_no, one in touched.items():
        spu = spus.get(one.spu_id)
        if one.spu_id in used:
            detail = _("The product %(spu)s is used by now (%(what)s).") % {
                "spu": spu,
                "what": used[one.spu_id],
            }
            yield Obstacle(line_no, "in_use", detail)
        elif spu is None or any(_of_product(spu)[name] != value for name, value in one.spu_now.items()):
            yield Obstacle(line_no, "changed_since", _("The product of this row was changed again since."))


def _own_skus(context: Context) -> set[int]:
    """The SKUs that this import has entered: whatever else stands under its products, somebody else put there."""
    if "own" not in context.memory:
        context.memory["own"] = {ident for (ident,) in fetch_all(OWN_SKUS, [context.run.pk])}
    own: set[int] = context.memory["own"]
    return own


def _of_product(spu: Spu) -> dict[str, Any]:
    category = spu.category.code if spu.category else None
    return {"name": spu.name, "category": category, "season": spu.season, "tags": spu.tags}

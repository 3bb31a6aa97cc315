"""Say what is sold: products with their SKUs, made or changed, each for itself and each of them whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from omni.kernel.audit import record_act
from omni.kernel.errors import BadInput, DomainError
from omni.kernel.events import record_events
from products.bundles import bundles_with, lies_in_bundles
from products.codes import CODE_MAX
from products.events import ProductsChanged
from products.grid import Cell, Choices, options_key, plan_grid
from products.label import Label, add_barcodes
from products.models import Brand, Category, CategoryAttribute, Sku, Spu
from products.models.coding import CodeKind
from products.number import Nameless, give_codes
from products.template import hold_templates, of_product, of_sku, option_names, read_values, template_of

TAGS_MAX = 50
SPU_FIELDS = frozenset({"name", "brand_id", "category_id", "season", "tags", "description", "attributes"})
SKU_FIELDS = frozenset({"name", "attributes", "list_price", "currency", "weight_grams", "is_active"})

Values = Mapping[str, Any]


class BadProduct(BadInput):
    """A product or SKU that contradicts itself; `fields` says where."""

    code = "bad_product"


class SkuElsewhere(DomainError):
    """The SKU belongs to another product: a SKU stays with its own."""

    code = "sku_elsewhere"


class SameOptions(DomainError):
    """Another SKU of the product has the same options already."""

    code = "same_options"


@dataclass(frozen=True, slots=True)
class SkuDraft:
    """What is said of a SKU; what `values` does not name stays as it is. `code` empty: the code rule gives one.

    `barcodes`: those that it has too; others stay on it.
    """

    code: str = ""
    values: Values = field(default_factory=dict)
    barcodes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ProductDraft:
    """What is said of a product; what `values` does not name stays as it is. `code` empty: a new one, named by rule.

    `values`: of SPU_FIELDS. SKUs that are not named stay as they are too.
    """

    code: str = ""
    values: Values = field(default_factory=dict)
    skus: Sequence[SkuDraft] = ()


@dataclass(frozen=True, slots=True)
class Defined:
    """What came of one draft: new, changed, unchanged or refused. `skus`: (code, result) in the order of the draft."""

    code: str
    result: str
    spu_id: int | None = None
    skus: Sequence[tuple[str, str]] = ()
    refusal: DomainError | None = None


@dataclass(frozen=True, slots=True)
class Grown:
    """What a grid has become: the SKUs that were made, and how many of it were there already."""

    made: Sequence[Sku]
    there: int


@dataclass(slots=True)
class _News:
    """What goes into the event: products of which all SKUs are concerned, and SKUs of their own."""

    spus: set[int] = field(default_factory=set)
    skus: set[int] = field(default_factory=set)


@transaction.atomic
def define_products(*, products: Sequence[ProductDraft], at: datetime, by: str) -> list[Defined]:
    """Make or change products, known by their codes. One that is refused leaves no trace, and the others go on.

    Saying the same again changes nothing, except that drafts without a code are new each time. Returns one result for
    each, in the order given. One event tells of all.
    """
    hold_templates()
    news = _News()
    # In the order of their codes, so that two batches of the same products wait for each other.
    results: dict[int, Defined] = {}
    for place in sorted(range(len(products)), key=lambda place: products[place].code):
        draft = products[place]
        own = _News()
        try:
            with transaction.atomic():
                results[place] = _define(draft, own, at, by)
        except DomainError as refusal:
            results[place] = Defined(draft.code, "refused", refusal=refusal)
        else:
            news.spus |= own.spus
            news.skus |= own.skus
    _tell(news)
    return [results[place] for place in range(len(products))]


@transaction.atomic
def grow_grid(*, spu_id: int, choices: Choices, at: datetime, by: str, values: Values | None = None) -> Grown:
    """Make the SKUs of the grid that are not there yet; asking again makes none. `values`: of all that are new.

    Raises BadGrid, CannotMakeCode, CodeTaken, BadProduct.
    """
    hold_templates()
    # Whoever else makes SKUs of this product waits, and then finds ours.
    spu = (
        Spu.objects.select_for_update(of=("self",), no_key=True)
        .select_related("brand", "category")
        .get(pk=spu_id)
    )
    cells = plan_grid(spu=spu, choices=choices)
    missing = [cell for cell in cells if cell.sku is None]
    if not missing:
        return Grown([], len(cells))
    template = of_sku(template_of(spu.category_id))
    codes = give_codes(
        kind=CodeKind.SKU, things=[_nameless_sku(spu, cell.attributes, template, at) for cell in missing]
    )
    common = _read_sku(values or {})
    made = Sku.objects.bulk_create(
        [_new_sku(spu, code, cell, common, at) for code, cell in zip(codes, missing, strict=True)]
    )
    record_act(by=by, action="product.grown", subject=spu, detail={"skus": codes[:100], "count": len(codes)})
    _tell(_News(skus={sku.pk for sku in made}))
    return Grown(made, len(cells) - len(made))


def _new_sku(spu: Spu, code: str, cell: Cell, common: Values, at: datetime) -> Sku:
    values = {"name": cell.name_for(spu), **common, "attributes": cell.attributes}
    return Sku(spu=spu, code=code, created_at=at, **values)


def _tell(news: _News) -> None:
    if news.spus or news.skus:
        record_events(ProductsChanged(tuple(sorted(news.spus)), tuple(sorted(news.skus))))


# --- one product --------------------------------------------------------------------------------------------


def _define(draft: ProductDraft, news: _News, at: datetime, by: str) -> Defined:
    spu = _lock(draft.code) if draft.code else None
    values = _read_spu(draft.values, spu)
    before = spu
    if spu is None:
        spu = _make_spu(draft.code, values, at)
        result = "new"
    else:
        result = "changed" if _change_spu(spu, values) else "unchanged"
    template = template_of(spu.category_id)
    skus = [_define_sku(spu, sku, template, news, at, by) for sku in draft.skus]
    if before is not None and "category_id" in values:
        _check_old_skus(spu, template)
    if result != "unchanged":
        news.spus.add(spu.pk)
    elif any(told != "unchanged" for _code, told in skus):
        result = "changed"
    if result == "new":
        record_act(
            by=by, action="product.created", subject=spu, detail={"skus": [code for code, _told in skus]}
        )
    elif result == "changed":
        changed = [code for code, told in skus if told != "unchanged"]
        record_act(by=by, action="product.changed", subject=spu, detail={"skus": changed})
    return Defined(spu.code, result, spu.pk, skus)


def _lock(code: str) -> Spu | None:
    rows = Spu.objects.select_for_update(of=("self",), no_key=True).select_related("brand", "category")
    return rows.filter(code=code).first()


def _read_spu(values: Values, spu: Spu | None) -> dict[str, Any]:
    """The values that were given, checked and in the form in which they are stored; attributes against the template."""
    _refuse_unknown(values, SPU_FIELDS)
    found = dict(values)
    faults: dict[str, list[str]] = {}
    if "name" in found or spu is None:
        found["name"] = str(found.get("name", "")).strip()
        if not 0 < len(found["name"]) <= 200:
            faults["name"] = [_("A name has 1 to %d characters.") % 200]
    if (spu is None or "brand_id" in found) and not found.get("brand_id"):
        faults["brand"] = [_("A product needs its brand.")]
    if "season" in found:
        found["season"] = found["season"].strip()
        if len(found["season"]) > 32:
            faults["season"] = [_("At most %d characters.") % 32]
    if "tags" in found:
        found["tags"] = sorted({tag.strip() for tag in found["tags"] if tag.strip()})
        if len(found["tags"]) > TAGS_MAX or any(len(tag) > 32 for tag in found["tags"]):
            faults["tags"] = [_("At most %d tags of at most 32 characters.") % TAGS_MAX]
    if faults:
        raise BadProduct(next(iter(faults.values()))[0], fields=faults)
    if "attributes" in found or "category_id" in found or spu is None:
        # Another category has another template: what is said already has to fit it as well.
        category_id = found.get("category_id", spu.category_id if spu else None)
        said = found.get("attributes", spu.attributes if spu else {})
        found["attributes"] = read_values(of_product(template_of(category_id)), said)
    return found


def _make_spu(code: str, values: dict[str, Any], at: datetime) -> Spu:
    brand = Brand.objects.get(pk=values["brand_id"])
    category_id: int | None = values.get("category_id")
    category = Category.objects.get(pk=category_id) if category_id is not None else None
    if not code:
        parts = _common_parts(brand, category, values.get("season", ""), at)
        [code] = give_codes(kind=CodeKind.SPU, things=[Nameless(brand.pk, parts)])
    _check_code(code)
    spu = Spu(code=code, created_at=at, **values)
    spu.brand, spu.category = brand, category
    _save_new(spu, _("There is a product %s already.") % code)
    return spu


def _change_spu(spu: Spu, values: dict[str, Any]) -> bool:
    changed = _apply(spu, values)
    if changed:
        spu.save(update_fields=changed)
    return bool(changed)


def _check_old_skus(spu: Spu, template: Sequence[CategoryAttribute]) -> None:
    """In another category the SKUs must have a meaning too."""
    attributes = of_sku(template)
    for sku in Sku.objects.filter(spu=spu).order_by("code"):
        known = {attribute.code for attribute in attributes}
        lost = sorted(set(sku.attributes) - known)
        if lost:
            fault = _("SKU %(sku)s says “%(code)s”, which the new category does not know.") % {
                "sku": sku.code,
                "code": lost[0],
            }
            raise BadProduct(fault, fields={"category": [fault]})
        read_values(attributes, sku.attributes)


# --- one SKU ------------------------------------------------------------------------------------------------


def _define_sku(
    spu: Spu, draft: SkuDraft, template: Sequence[CategoryAttribute], news: _News, at: datetime, by: str
) -> tuple[str, str]:
    values = _read_sku(draft.values)
    sku = Sku.objects.filter(code=draft.code).first() if draft.code else None
    if sku is not None and sku.spu_id != spu.pk:
        raise SkuElsewhere(_("SKU %s belongs to another product.") % draft.code, extra={"sku": draft.code})
    attributes = of_sku(template)
    if sku is None or "attributes" in values:
        values["attributes"] = _read_options(draft, attributes, values.get("attributes", {}))
    result = "unchanged"
    if sku is None:
        sku = _make_sku(spu, draft.code, values, attributes, at)
        result = "new"
    elif changed := _apply(sku, values):
        _refuse_same_options(sku)
        if "is_active" in changed and not sku.is_active:
            _refuse_archiving(sku)
        sku.save(update_fields=changed)
        result = "changed"
    if _add_barcodes(sku, draft.barcodes, by) and result == "unchanged":
        result = "changed"
    if result != "unchanged":
        news.skus.add(sku.pk)
    return sku.code, result


def _add_barcodes(sku: Sku, codes: Sequence[str], by: str) -> bool:
    if not codes:
        return False
    results, changed = add_barcodes(labels=[Label(sku.pk, code) for code in codes], by=by)
    faults = [told.refusal.detail for told in results if told.refusal is not None]
    if faults:
        raise BadProduct(
            _("SKU %(sku)s: %(fault)s") % {"sku": sku.code, "fault": faults[0]},
            fields={"skus.barcodes": faults},
        )
    return bool(changed)


def _read_options(draft: SkuDraft, attributes: Sequence[CategoryAttribute], said: Values) -> dict[str, Any]:
    try:
        return read_values(attributes, said)
    except BadInput as refusal:
        raise BadProduct(
            _("SKU %(sku)s: %(fault)s") % {"sku": draft.code or "–", "fault": refusal.detail},
            fields={f"skus.{name}": texts for name, texts in refusal.fields.items()},
        ) from None


def _read_sku(values: Values) -> dict[str, Any]:
    _refuse_unknown(values, SKU_FIELDS)
    found = dict(values)
    faults: dict[str, list[str]] = {}
    if "name" in found:
        found["name"] = str(found["name"]).strip()
        if not 0 < len(found["name"]) <= 240:
            faults["skus.name"] = [_("A name has 1 to %d characters.") % 240]
    price = found.get("list_price")
    if price is not None and price < 0:
        faults["skus.list_price"] = [_("A price is not negative.")]
    weight = found.get("weight_grams")
    if weight is not None and not 0 <= weight <= 100_000_000:
        faults["skus.weight_grams"] = [_("A weight is not negative, in grams.")]
    if "currency" in found and not (len(found["currency"]) == 3 and found["currency"].isupper()):
        faults["skus.currency"] = [_("A currency is three capital letters, such as CNY.")]
    if faults:
        raise BadProduct(next(iter(faults.values()))[0], fields=faults)
    return found


def _make_sku(
    spu: Spu, code: str, values: dict[str, Any], attributes: Sequence[CategoryAttribute], at: datetime
) -> Sku:
    if not code:
        [code] = give_codes(
            kind=CodeKind.SKU, things=[_nameless_sku(spu, values["attributes"], attributes, at)]
        )
    _check_code(code)
    names = _said_options(attributes, values["attributes"])
    sku = Sku(spu=spu, code=code, created_at=at, **{"name": " ".join([spu.name, *names])[:240], **values})
    _refuse_same_options(sku)
    _save_new(sku, _("There is a SKU %s already.") % code)
    return sku


def _refuse_same_options(sku: Sku) -> None:
    if not sku.attributes:
        return
    for other in Sku.objects.filter(spu_id=sku.spu_id).exclude(pk=sku.pk):
        if options_key(other.attributes) == options_key(sku.attributes):
            raise SameOptions(
                _("SKU %(other)s of this product has the same options as %(sku)s.")
                % {"other": other.code, "sku": sku.code},
                extra={"sku": other.code},
            )


def _refuse_archiving(sku: Sku) -> None:
    """What lies in a bundle that is sold does not go out of sight in silence."""
    bundles = bundles_with([sku.pk]).get(sku.pk)
    if bundles:
        fault = lies_in_bundles(sku.code, bundles)
        raise BadProduct(fault, fields={"skus.is_active": [fault]})


def _nameless_sku(
    spu: Spu, attributes: Values, template: Sequence[CategoryAttribute], at: datetime
) -> Nameless:
    parts = _common_parts(spu.brand, spu.category, spu.season, at)
    options = "-".join(str(attributes[row.code]) for row in template if row.code in attributes)
    return Nameless(spu.brand_id, {**parts, "spu": spu.code, "options": options})


def _common_parts(brand: Brand, category: Category | None, season: str, at: datetime) -> dict[str, str]:
    return {
        "brand": brand.code,
        "category": category.code if category else "",
        "season": season,
        "year": f"{at.year}",
    }


def _said_options(attributes: Sequence[CategoryAttribute], values: Values) -> list[str]:
    return [option_names(row)[values[row.code]] for row in attributes if row.code in values]


# --- common -------------------------------------------------------------------------------------------------


def _refuse_unknown(values: Values, known: frozenset[str]) -> None:
    if unknown := sorted(set(values) - known):
        raise TypeError(f"no such values: {unknown}")


def _check_code(code: str) -> None:
    if not (0 < len(code) <= CODE_MAX and code.isprintable() and code == code.strip()):
        fault = _("A code has 1 to %d visible characters.") % CODE_MAX
        raise BadProduct(fault, fields={"code": [fault]})


def _apply(row: Any, values: Values) -> list[str]:
    changed = [name for name, value in values.items() if getattr(row, name) != value]
    for name in changed:
        setattr(row, name, values[name])
    return changed


def _save_new(row: Any, taken: str) -> None:
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:
        # Somebody else was quicker with the same code.
        raise BadProduct(taken, fields={"code": [taken]}) from None

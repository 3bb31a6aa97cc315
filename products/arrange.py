"""Arrange the category tree and the templates of its categories: one lock protects them, because they are inherited."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from omni.kernel.audit import record_act
from omni.kernel.errors import BadInput, DomainError
from omni.kernel.sql import execute, fetch_all
from products.assortment.notice import recheck_catalogues
from products.models import Catalogue, Category, CategoryAttribute
from products.template import option_names

PATH_MAX = 400
OPTIONS_MAX = 500
CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}", re.ASCII)
# An option's code stands in SKU codes, and may be in Chinese there.
OPTION_CODE = re.compile(r"[\w.+-]{1,32}")

# Two rearrangements wait for one another, so that no two of them make a circle together; and they wait for whoever
# is writing values of attributes (template.py: hold_templates). Readers, and rows that only refer to a category, go on.
LOCK_TREE = "LOCK TABLE products_category IN SHARE ROW EXCLUSIVE MODE"
MOVE_PATHS = """
    UPDATE products_category SET path = %(new)s || substr(path, length(%(old)s) + 1) WHERE starts_with(path, %(old)s)
"""
LONGEST_PATH = "SELECT max(length(path)) FROM products_category WHERE starts_with(path, %s)"
# What the products below a path say, and how many say it: by attribute, and of choices by option.
USES = """
    SELECT said.code, said.value #>> '{}', count(*) FROM (
        SELECT v.key, v.value FROM products_category c JOIN products_spu p ON p.category_id = c.id
        CROSS JOIN LATERAL jsonb_each(p.attributes) v
        WHERE starts_with(c.path, %(path)s) AND v.key = ANY(%(codes)s)
        UNION ALL
        SELECT v.key, v.value FROM products_category c JOIN products_spu p ON p.category_id = c.id
        JOIN products_sku s ON s.spu_id = p.id CROSS JOIN LATERAL jsonb_each(s.attributes) v
        WHERE starts_with(c.path, %(path)s) AND v.key = ANY(%(codes)s)
    ) said(code, value) GROUP BY 1, 2
"""


class BadCategory(BadInput):
    """A code or a place in the tree that no category can have."""

    code = "bad_category"


class CategoryCircle(BadInput):
    """A category would come to lie below itself."""

    code = "category_circle"


class AttributeTaken(BadInput):
    """The same code is defined above or below in the tree already, and would mean two things."""

    code = "attribute_taken"


class AttributeInUse(DomainError):
    """Products have values that the change would leave without a meaning; `extra` says how many have which."""

    code = "attribute_in_use"


class BadAttribute(BadInput):
    """A template line that contradicts itself."""

    code = "bad_attribute"


@dataclass(frozen=True, slots=True)
class AttributeDraft:
    """One line of a template. `options`: (code, name) of a choice, in the order in which people see them."""

    code: str
    name: str
    kind: str
    unit: str = ""
    is_required: bool = False
    is_variant: bool = False
    options: Sequence[tuple[str, str]] = field(default=())
    position: int = 0


@transaction.atomic
def create_category(*, code: str, name: str, parent_id: int | None, at: datetime, by: str) -> Category:
    """A new leaf of the tree. Raises BadCategory."""
    execute(LOCK_TREE)
    if not CODE.fullmatch(code):
        fault = _("A category code is letters, digits, dots and dashes, at most 32.")
        raise BadCategory(fault, fields={"code": [fault]})
    if Category.objects.filter(code=code).exists():
        fault = _("There is a category “%s” already.") % code
        raise BadCategory(fault, fields={"code": [fault]})
    parent = _find(parent_id, "parent") if parent_id is not None else None
    path = f"{parent.path if parent else ''}{code}/"
    _check_length(len(path))
    category = Category.objects.create(code=code, name=_name(name), parent=parent, path=path)
    record_act(by=by, action="category.created", subject=category, detail={"path": path})
    return category


@transaction.atomic
def rename_category(*, category_id: int, name: str, at: datetime, by: str) -> bool:
    """Call a category otherwise; its code stays. False: it is called so already. Raises BadCategory."""
    category = Category.objects.select_for_update(no_key=True).filter(pk=category_id).first()
    if category is None:
        raise _unknown("category")
    if category.name == _name(name):
        return False
    category.name = _name(name)
    category.save(update_fields=["name"])
    record_act(by=by, action="category.renamed", subject=category)
    return True


@transaction.atomic
def move_category(
    *, category_id: int, parent_id: int | None, at: datetime, by: str, reason: str = ""
) -> bool:
    """Hang a category, with all that is below it, under another one (None: make it a root). False: it hangs there.

    Raises BadCategory, CategoryCircle; AttributeTaken when a template above the new place has a code that one below
    has too; AttributeInUse when products would keep values of a template that they no longer inherit.
    """
    execute(LOCK_TREE)
    category = _find(category_id, "category")
    if category.parent_id == parent_id:
        return False
    parent = _find(parent_id, "parent") if parent_id is not None else None
    if parent is not None and parent.path.startswith(category.path):
        fault = _("%(parent)s lies below %(category)s: it cannot come to lie above it too.") % {
            "parent": parent.name,
            "category": category.name,
        }
        raise CategoryCircle(fault, fields={"parent": [fault]})
    old = category.path
    new = f"{parent.path if parent else ''}{category.code}/"
    longest: int = fetch_all(LONGEST_PATH, [old])[0][0]
    _check_length(longest - len(old) + len(new))
    _check_inheritance(category, parent)
    category.parent = parent
    category.save(update_fields=["parent"])
    execute(MOVE_PATHS, {"old": old, "new": new})
    recheck_catalogues(Catalogue.objects.filter(category__isnull=False).values_list("pk", flat=True))
    record_act(
        by=by, action="category.moved", subject=category, reason=reason, detail={"from": old, "to": new}
    )
    return True


@transaction.atomic
def define_attribute(*, category_id: int, draft: AttributeDraft, at: datetime, by: str) -> CategoryAttribute:
    """A new line in the template of a category. Raises BadAttribute, AttributeTaken, BadCategory.

    One that is required is asked for when a product is next saved; those that are there stay as they are.
    """
    execute(LOCK_TREE)
    category = _find(category_id, "category")
    _check_draft(draft)
    taken = CategoryAttribute.objects.filter(code=draft.code).select_related("category")
    for other in taken:
        if category.path.startswith(other.category.path) or other.category.path.startswith(category.path):
            raise _taken(draft.code, other.category.name)
    attribute = CategoryAttribute.objects.create(category=category, **_columns(draft))
    record_act(
        by=by,
        action="attribute.defined",
        subject=attribute,
        detail={"category": category.code, "code": draft.code},
    )
    return attribute


@transaction.atomic
def change_attribute(*, attribute_id: int, draft: AttributeDraft, at: datetime, by: str) -> bool:
    """Change a line of a template; its code and category stay. False: nothing was different.

    Raises BadAttribute; AttributeInUse when products have values that would then not fit: of another kind, of an
    option that is taken away, or on SKUs where they would belong to the product.
    """
    execute(LOCK_TREE)
    attribute = CategoryAttribute.objects.select_related("category").filter(pk=attribute_id).first()
    if attribute is None:
        raise BadAttribute(_("There is no such attribute."))
    _check_draft(draft)
    if draft.code != attribute.code:
        raise BadAttribute(
            _("The code of an attribute stays."), fields={"code": [_("The code of an attribute stays.")]}
        )
    wanted = _columns(draft)
    changed = {name: value for name, value in wanted.items() if getattr(attribute, name) != value}
    if not changed:
        return False
    lost = set(option_names(attribute)) - {code for code, _name_of in draft.options}
    if "kind" in changed or "is_variant" in changed or lost:
        is_redefined = "kind" in changed or "is_variant" in changed
        _refuse_uses(attribute.category.path, {attribute.code: None if is_redefined else lost})
    for name, value in changed.items():
        setattr(attribute, name, value)
    attribute.save(update_fields=sorted(changed))
    record_act(by=by, action="attribute.changed", subject=attribute, detail={"fields": sorted(changed)})
    return True


@transaction.atomic
def drop_attribute(*, attribute_id: int, at: datetime, by: str, reason: str = "") -> bool:
    """Take a line out of a template. False: it is gone already. Raises AttributeInUse while a product has a value."""
    execute(LOCK_TREE)
    attribute = CategoryAttribute.objects.select_related("category").filter(pk=attribute_id).first()
    if attribute is None:
        return False
    _refuse_uses(attribute.category.path, {attribute.code: None})
    record_act(
        by=by,
        action="attribute.dropped",
        subject=attribute.category,
        reason=reason,
        detail={"code": attribute.code, "name": attribute.name},
    )
    attribute.delete()
    return True


def _find(category_id: int, field_name: str) -> Category:
    # Nobody else changes the tree while it is locked.
    category = Category.objects.filter(pk=category_id).first()
    if category is None:
        raise _unknown(field_name)
    return category


def _unknown(field_name: str) -> BadCategory:
    fault = _("There is no such category.")
    return BadCategory(fault, fields={field_name: [fault]})


def _name(name: str) -> str:
    if not 0 < len(name.strip()) <= 120:
        fault = _("A name has 1 to 120 characters.")
        raise BadCategory(fault, fields={"name": [fault]})
    return name.strip()


def _check_length(length: int) -> None:
    if length > PATH_MAX:
        fault = _("The tree would be too deep: a path has at most %d characters.") % PATH_MAX
        raise BadCategory(fault, fields={"parent": [fault]})


def _check_inheritance(category: Category, parent: Category | None) -> None:
    """What is inherited at the new place must not meet the same codes below, nor leave values without a template."""
    lines = list(CategoryAttribute.objects.select_related("category"))
    below = {row.code: row for row in lines if row.category.path.startswith(category.path)}
    before = [
        row
        for row in lines
        if category.path.startswith(row.category.path) and row.category.path != category.path
    ]
    after = {row.code: row for row in lines if parent and parent.path.startswith(row.category.path)}
    for code in sorted(below.keys() & after.keys()):
        raise _taken(code, after[code].category.name, field_name="parent")
    lost: dict[str, set[str] | None] = {}
    for row in before:
        heir = after.get(row.code)
        if heir is None or (heir.kind, heir.is_variant) != (row.kind, row.is_variant):
            lost[row.code] = None
        elif gone := set(option_names(row)) - set(option_names(heir)):
            lost[row.code] = gone
    _refuse_uses(category.path, lost)


def _refuse_uses(path: str, lost: Mapping[str, set[str] | None]) -> None:
    """Refuse when a product below the path says anything of these attributes, or chose one of these options."""
    uses: dict[str, int] = {}
    for code, value, count in fetch_all(USES, {"path": path, "codes": sorted(lost)}):
        options = lost[code]
        if options is None or value in options:
            name = code if options is None else f"{code} = {value}"
            uses[name] = uses.get(name, 0) + count
    if uses:
        told = ", ".join(f"{name} ({count})" for name, count in sorted(uses.items())[:10])
        raise AttributeInUse(
            _("Products have values that would lose their meaning: %s. Change those first.") % told,
            extra={"uses": uses},
        )


def _taken(code: str, place: str, field_name: str = "code") -> AttributeTaken:
    fault = _("“%(code)s” is an attribute of %(category)s already, on the same path of the tree.") % {
        "code": code,
        "category": place,
    }
    return AttributeTaken(fault, fields={field_name: [fault]})


def _check_draft(draft: AttributeDraft) -> None:
    faults: dict[str, list[str]] = {}
    is_choice = draft.kind == CategoryAttribute.Kind.CHOICE
    if not CODE.fullmatch(draft.code):
        faults["code"] = [_("An attribute code is letters, digits, dots and dashes, at most 32.")]
    if not 0 < len(draft.name.strip()) <= 120:
        faults["name"] = [_("A name has 1 to 120 characters.")]
    if draft.kind not in CategoryAttribute.Kind.values:
        faults["kind"] = [_("There is no such kind of attribute.")]
    if draft.is_variant and not is_choice:
        faults["is_variant"] = [_("Only a choice can tell SKUs apart.")]
    if fault := _options_fault(draft.options, is_choice=is_choice):
        faults["options"] = [fault]
    if faults:
        raise BadAttribute(next(iter(faults.values()))[0], fields=faults)


def _options_fault(options: Sequence[tuple[str, str]], *, is_choice: bool) -> str:
    codes = [code for code, _name_of in options]
    if not is_choice:
        return _("Only a choice has options.") if options else ""
    if not 0 < len(options) <= OPTIONS_MAX:
        return _("A choice has 1 to %d options.") % OPTIONS_MAX
    for code, name in options:
        if not OPTION_CODE.fullmatch(code):
            return (
                _("“%s” is no option code: letters, digits, dots, plus signs and dashes, at most 32.") % code
            )
        if not 0 < len(name) <= 60:
            return _("The option “%s” needs a name of at most 60 characters.") % code
    twice = sorted({code for code in codes if codes.count(code) > 1})
    return _("The option “%s” stands there twice.") % twice[0] if twice else ""


def _columns(draft: AttributeDraft) -> dict[str, Any]:
    return {
        "code": draft.code,
        "name": draft.name.strip(),
        "kind": draft.kind,
        "unit": draft.unit.strip()[:16],
        "is_required": draft.is_required,
        "is_variant": draft.is_variant,
        "options": [{"code": code, "name": name} for code, name in draft.options],
        "position": draft.position,
    }

"""What may be said of the products of a category: its own attributes and those that it inherits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from omni.kernel.errors import BadInput
from omni.kernel.sql import execute
from products.models import CategoryAttribute

TEXT_MAX = 200
NUMBER = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,6})?", re.ASCII)

# Whoever writes values of attributes holds this until they are committed; whoever changes templates waits for them
# and keeps them waiting (arrange.py). Writers do not wait for one another, and reading waits for nobody.
HOLD_TEMPLATES = "LOCK TABLE products_category IN ROW EXCLUSIVE MODE"
# From the root down, so that what is common to many comes first.
TEMPLATES = """
    SELECT t.*, c.id AS heir_id FROM products_categoryattribute t
    JOIN products_category own ON own.id = t.category_id
    JOIN products_category c ON starts_with(c.path, own.path)
    WHERE c.id = ANY(%s)
    ORDER BY length(own.path), t.position, t.id
"""

Values = Mapping[str, Any]


class AttributesDoNotFit(BadInput):
    """A value that the template does not know or does not allow, or one that is missing; `fields` says which."""

    code = "attributes_do_not_fit"


def hold_templates() -> None:
    """Keep every template as it is until the transaction ends."""
    execute(HOLD_TEMPLATES)


def templates_of(category_ids: Iterable[int | None]) -> dict[int | None, list[CategoryAttribute]]:
    """The template of each category, in one statement. Without a category there is nothing to say: an empty one."""
    wanted = set(category_ids)
    found: dict[int | None, list[CategoryAttribute]] = {category: [] for category in wanted}
    known = sorted(category for category in wanted if category is not None)
    if known:
        for row in CategoryAttribute.objects.raw(TEMPLATES, [known]):
            found[row.heir_id].append(row)  # type: ignore[attr-defined]
    return found


def template_of(category_id: int | None) -> list[CategoryAttribute]:
    """The attributes of one category, from the root down."""
    return templates_of([category_id])[category_id]


def of_product(template: Sequence[CategoryAttribute]) -> list[CategoryAttribute]:
    """The attributes that are said of a product as a whole."""
    return [attribute for attribute in template if not attribute.is_variant]


def of_sku(template: Sequence[CategoryAttribute]) -> list[CategoryAttribute]:
    """The attributes that tell the SKUs of a product apart."""
    return [attribute for attribute in template if attribute.is_variant]


def read_values(attributes: Sequence[CategoryAttribute], values: Values) -> dict[str, Any]:
    """The values as they are stored: texts trimmed, numbers as plain text (`"30.5"`), choices by their option's code.

    What is None or an empty text is not said. Raises AttributesDoNotFit with every fault at once.
    """
    known = {attribute.code: attribute for attribute in attributes}
    faults = {code: [_("The category has no such attribute.")] for code in values if code not in known}
    found: dict[str, Any] = {}
    for code, attribute in known.items():
        value = values.get(code)
        if value is None or (isinstance(value, str) and not value.strip()):
            if attribute.is_required:
                faults[code] = [_("%s is required.") % attribute.name]
            continue
        read = READERS[attribute.kind](attribute, value)
        if read is None:
            faults[code] = [_fault(attribute, value)]
        else:
            found[code] = read
    if faults:
        first = next(iter(faults))
        detail = _("Attribute “%(code)s”: %(fault)s") % {"code": first, "fault": faults[first][0]}
        raise AttributesDoNotFit(detail, fields={f"attributes.{code}": told for code, told in faults.items()})
    return found


def option_names(attribute: CategoryAttribute) -> dict[str, str]:
    """The options of a choice: names by code, in their order."""
    return {option["code"]: option["name"] for option in attribute.options}


def say_values(attributes: Sequence[CategoryAttribute], values: Values) -> list[tuple[str, str]]:
    """(name, value) for people, in the order of the template; what the template does not know comes last."""
    said = []
    for attribute in attributes:
        if attribute.code in values:
            said.append((attribute.name, _say(attribute, values[attribute.code])))
    known = {attribute.code for attribute in attributes}
    return said + [(code, str(value)) for code, value in values.items() if code not in known]


def _say(attribute: CategoryAttribute, value: Any) -> str:
    if attribute.kind == CategoryAttribute.Kind.CHOICE:
        return option_names(attribute).get(value, str(value))
    if attribute.kind == CategoryAttribute.Kind.YES_NO:
        return _("yes") if value else _("no")
    return f"{value} {attribute.unit}".strip()


def _read_text(_attribute: CategoryAttribute, value: Any) -> str | None:
    if not isinstance(value, str) or len(value.strip()) > TEXT_MAX or "\x00" in value:
        return None
    return value.strip()


def _read_number(_attribute: CategoryAttribute, value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        return None
    text = str(value).strip()
    if not NUMBER.fullmatch(text[:40]):
        return None
    # Of one number there is one text: 30, 30.0 and 030 are the same.
    plain = f"{Decimal(text):f}"
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return "0" if plain == "-0" else plain


def _read_choice(attribute: CategoryAttribute, value: Any) -> str | None:
    return value if isinstance(value, str) and value in option_names(attribute) else None


def _read_yes_no(_attribute: CategoryAttribute, value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


READERS = {
    CategoryAttribute.Kind.TEXT.value: _read_text,
    CategoryAttribute.Kind.NUMBER.value: _read_number,
    CategoryAttribute.Kind.CHOICE.value: _read_choice,
    CategoryAttribute.Kind.YES_NO.value: _read_yes_no,
}


def _fault(attribute: CategoryAttribute, value: Any) -> str:
    shown = str(value)[:40]
    if attribute.kind == CategoryAttribute.Kind.NUMBER:
        return _("“%s” is not a number such as 30 or 0.5.") % shown
    if attribute.kind == CategoryAttribute.Kind.CHOICE:
        codes = ", ".join(list(option_names(attribute))[:20])
        return _("“%(value)s” is none of: %(options)s.") % {"value": shown, "options": codes}
    if attribute.kind == CategoryAttribute.Kind.YES_NO:
        return _("It is true or false.")
    return _("A text of at most %d characters.") % TEXT_MAX

"""What a code will look like: the pattern that holds for a product, and the code but for its number."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from string import Formatter

from django.utils.translation import gettext as _

from omni.kernel.errors import BadInput
from products.models import CodeRule
from products.models.coding import CodeKind

CODE_MAX = 64
DIGITS_MAX = 18
NUMBER = "number"
CHECK = "check"
PLAIN = re.compile(r"[A-Za-z0-9._+/-]*", re.ASCII)
# What a code is made of, beside the number, by kind.
PARTS: Mapping[str, frozenset[str]] = {
    CodeKind.SPU.value: frozenset({"brand", "category", "season", "year"}),
    CodeKind.SKU.value: frozenset({"brand", "category", "season", "year", "spu", "options"}),
    CodeKind.BARCODE.value: frozenset({CHECK}),
}
# Without a rule. Barcodes that begin with 2 are free for use inside a company: they are nobody's product elsewhere.
USUAL: Mapping[str, str] = {
    CodeKind.SPU.value: "{brand}-{number:06}",
    CodeKind.SKU.value: "{spu}-{number:02}",
    CodeKind.BARCODE.value: "21{number:010}{check}",
}


class BadPattern(BadInput):
    """A code rule that names unknown parts, or would give the same code twice."""

    code = "bad_pattern"


class CannotMakeCode(BadInput):
    """The pattern asks for something that this product has not, or the code becomes too long."""

    code = "cannot_make_code"


def check_pattern(kind: str, pattern: str) -> None:
    """Raises BadPattern."""
    parts = _parse(pattern)
    names = [name for _text, name, _digits in parts if name]
    unknown = sorted(set(names) - PARTS[kind] - {NUMBER})
    fault = ""
    if unknown:
        known = ", ".join(f"{{{name}}}" for name in sorted(PARTS[kind]))
        fault = _("There is no {%(part)s} here; there are {number:06}, %(known)s.") % {
            "part": unknown[0],
            "known": known,
        }
    elif names.count(NUMBER) > 1 or names.count(CHECK) > 1:
        fault = _("A number or a check digit stands there once.")
    elif NUMBER not in names and not (kind == CodeKind.SKU and {"spu", "options"} <= set(names)):
        fault = _("Without {number} two products would get the same code.")
    elif kind == CodeKind.BARCODE and (
        not "".join(text for text, _name, _digits in parts).isdigit() or parts[-1][1] != CHECK
    ):
        fault = _("A barcode is made of digits, and its last is {check}.")
    elif kind == CodeKind.BARCODE and sum(len(text) + digits for text, _name, digits in parts) not in (7, 12):
        fault = _("An internal barcode has 8 or 13 digits with its check digit.")
    if fault:
        raise BadPattern(fault, fields={"pattern": [fault]})


def patterns_of(kind: str, brand_ids: Collection[int]) -> dict[int, str]:
    """The pattern that holds for each brand."""
    rules: dict[int | None, str] = dict(CodeRule.objects.filter(kind=kind).values_list("brand_id", "pattern"))
    usual = rules.get(None, USUAL[kind])
    return {brand: rules.get(brand, usual) for brand in brand_ids}


def stem_of(pattern: str, values: Mapping[str, str]) -> tuple[str, int]:
    """The code with `#` for its number, and the least digits that this has; 0: the code has no number.

    Raises CannotMakeCode.
    """
    told, width = [], 0
    for text, name, digits in _parse(pattern):
        told.append(text)
        if name == NUMBER:
            told.append("#")
            width = digits or 1
        elif name == CHECK:
            continue
        elif name:
            value = values.get(name, "")
            if not value:
                raise CannotMakeCode(
                    _("The code rule %(pattern)s asks for {%(part)s}, which this product has not.")
                    % {"pattern": pattern, "part": name}
                )
            told.append(value.replace("#", ""))
    stem = "".join(told)
    if len(stem) + max(width - 1, 0) > CODE_MAX:
        raise CannotMakeCode(_("The code would be longer than %d characters.") % CODE_MAX)
    return stem, width


def _parse(pattern: str) -> list[tuple[str, str, int]]:
    """(text, name of the part after it, least digits) all along the pattern. Raises BadPattern."""
    fault = ""
    found = []
    try:
        for text, name, digits, conversion in Formatter().parse(pattern):
            if conversion or (digits and not (name == NUMBER and digits.isascii() and digits.isdigit())):
                fault = _("Only {number} says how many digits it has: {number:06}.")
            elif digits and not 1 <= int(digits) <= DIGITS_MAX:
                fault = _("A number has 1 to %d digits.") % DIGITS_MAX
            elif not PLAIN.fullmatch(text):
                fault = _("Between the parts stand letters, digits, dots, dashes and slashes.")
            else:
                found.append((text, name or "", int(digits or 0)))
    except ValueError:
        fault = _("A part stands in braces: {brand}.")
    if fault or not found:
        fault = fault or _("A pattern is not empty.")
        raise BadPattern(fault, fields={"pattern": [fault]})
    return found

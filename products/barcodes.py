"""Which barcodes there can be, and which SKU one names."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from django.utils.translation import gettext as _
from stdnum import ean

from omni.kernel.errors import BadInput
from omni.kernel.sql import as_text_array, fetch_all
from products.models import Barcode

DIGITS: Mapping[int, Barcode.Kind] = {
    8: Barcode.Kind.EAN8,
    12: Barcode.Kind.UPC,
    13: Barcode.Kind.EAN13,
    14: Barcode.Kind.ITF14,
}
# GS1 leaves these to whoever wants them inside a company: EAN-8 that begin with 0 or 2, UPC with 2 or 4, EAN-13 with 2.
OURS = re.compile(r"[02][0-9]{7}|[24][0-9]{11}|2[0-9]{12}", re.ASCII)
SHAPE = re.compile(r"[!-~]([ -~]{0,62}[!-~])?", re.ASCII)
# Internal ones by their text, the others by their number. Both are answered by a unique index.
RESOLVE = """
    SELECT w.code, b.sku_id FROM unnest(%s::text[]) AS w(code) JOIN products_barcode b ON b.code = w.code
    UNION
    SELECT w.code, b.sku_id FROM unnest(%s::text[]) AS w(code)
    JOIN products_barcode b ON lpad(b.code, 14, '0') = lpad(w.code, 14, '0') AND NOT b.kind = 'internal'
"""
OWNERS = f"SELECT r.code, s.code FROM ({RESOLVE}) r JOIN products_sku s ON s.id = r.sku_id"  # noqa: S608 - a constant


class BadBarcode(BadInput):
    """A number with a wrong check digit, of a wrong length, or a text that no scanner reads."""

    code = "bad_barcode"


def has_its_check_digit(code: str) -> bool:
    """Whether the last of these 8 to 14 digits follows from the others. As `stdnum.ean`, in a tenth of its time."""
    digits = code.encode()
    zeros = ord("0") * (len(digits) + 2 * (len(digits) // 2))
    return (sum(digits[-1::-2]) + 3 * sum(digits[-2::-2]) - zeros) % 10 == 0


def kind_of(code: str) -> Barcode.Kind:
    """What a code is by its digits, its check digit being right: a trade number, or internal."""
    is_number = code.isascii() and code.isdigit() and len(code) in DIGITS
    return DIGITS[len(code)] if is_number and not OURS.fullmatch(code) else Barcode.Kind.INTERNAL


def read_barcode(code: str, kind: str = "") -> tuple[str, str]:
    """(code, kind) as they are stored. Without a kind it follows from the digits; what is no trade number is internal.

    A number of 8, 12, 13 or 14 digits has to have its check digit: one that is wrong is a slip, never an internal code.
    Raises BadBarcode.
    """
    code = code.strip()
    is_number = code.isascii() and code.isdigit() and len(code) in DIGITS
    if not SHAPE.fullmatch(code):
        raise _bad(_("“%s” is no barcode: 1 to 64 visible ASCII characters.") % code[:64])
    if kind and kind not in Barcode.Kind.values:
        raise _bad(_("There is no such kind of barcode."))
    if is_number and not has_its_check_digit(code):
        right = f"{code[:-1]}{ean.calc_check_digit(code[:-1])}"
        raise _bad(
            _("The check digit of %(code)s is wrong: with these digits it would be %(right)s.")
            % {"code": code, "right": right}
        )
    if not kind:
        kind = kind_of(code)
    if kind == Barcode.Kind.INTERNAL:
        if is_number and not OURS.fullmatch(code):
            raise _bad(_("%s is a trade number, not an internal code.") % code)
    elif not is_number or DIGITS[len(code)] != kind:
        label = Barcode.Kind(kind).label
        raise _bad(_("%(code)s is not of the kind %(kind)s.") % {"code": code, "kind": label})
    return code, str(kind)


def resolve_barcodes(codes: Collection[str]) -> dict[str, int]:
    """The id of the SKU that each code names, in one statement; unknown codes are not in it."""
    return dict(fetch_all(RESOLVE, _asked(codes)))


def owners_of_barcodes(codes: Collection[str]) -> dict[str, str]:
    """The code of the SKU that each barcode names, in one statement; unknown barcodes are not in it."""
    return dict(fetch_all(OWNERS, _asked(codes)))


def _asked(codes: Collection[str]) -> list[str]:
    numbers = (code for code in codes if code.isascii() and code.isdigit() and len(code) <= 14)
    return [as_text_array(codes), as_text_array(numbers)]


def _bad(fault: str) -> BadBarcode:
    return BadBarcode(fault, fields={"barcode": [fault]})

"""What a column may hold, and how its text is understood."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Literal
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import override

from omni.kernel.imports.faults import BadCell
from omni.kernel.imports.lines import Lossy
from omni.kernel.imports.options import Options

Text = str | Promise
Parser = Callable[[str], Any]

DANGEROUS_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
LOSSLESS = ("text", "code", "codes")  # kinds of which no digit may be lost
INTEGER_MAX = 2**53
DECIMAL_DIGITS_MAX = 16
YEARS = range(1970, 2101)
ZERO_HOURS, FARTHEST_ZONE = timedelta(0), timedelta(hours=14)
WHOLE = re.compile(r"[+-]?[0-9]+(?:\.0*)?", re.ASCII)
POINTED = re.compile(r"[+-]?(?:[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.[0-9]*)?|[+-]?\.[0-9]+", re.ASCII)
COMMAED = re.compile(r"[+-]?(?:[0-9]+|[0-9]{1,3}(?:\.[0-9]{3})+)(?:,[0-9]*)?|[+-]?,[0-9]+", re.ASCII)
# Letters that are not seen and make two codes out of what looks like one.
UNSEEN = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\u00ad]")
BETWEEN_CODES = re.compile(r"[\s,;|，；、]+")
CODES_MAX = 50
YES = frozenset({"true", "yes", "y", "1", "是", "x"})
NO = frozenset({"false", "no", "n", "0", "否"})


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that a target wants to know of a row.

    `aliases`: headings by which it is recognised, besides its name and label. `scale`: decimals at most.
    `max_length` concerns text and codes; a longer text is refused, never cut. `codes`: several in one cell, each as
    long as that. `words`: what people call the choices; a cell may hold the choice itself or its word, in any language
    of the house.
    """

    name: str
    label: Text
    kind: Literal["text", "code", "codes", "integer", "decimal", "moment", "date", "boolean", "choice"] = (
        "text"
    )
    is_required: bool = False
    aliases: Sequence[str] = ()
    max_length: int = 240
    minimum: int | None = None
    maximum: int | None = None
    scale: int = 4
    choices: Sequence[str] = ()
    words: Mapping[str, Text] = field(default_factory=dict)
    note: Text = ""
    example: str = ""


def spoken_choices(field: Field) -> list[str]:
    """The choices as the reader calls them."""
    return [str(field.words.get(choice, choice)) for choice in field.choices]


def parser_of(field: Field, options: Options) -> Parser:
    """A function from the text of a cell to a value that JSON takes: decimals and moments as text, empty as None.

    It raises BadCell.
    """
    parse = _PARSERS[field.kind](field, options)

    def parse_cell(text: str) -> Any:
        text = text.strip()
        if text[:1] == "'" and text[1:2] in DANGEROUS_STARTS:
            text = text[1:].strip()  # put there by our own export, against formulas
        if not text:
            if field.is_required:
                raise BadCell("missing_value", _("It is empty, and must not be."))
            return None
        return parse(text)

    def parse_lossy(text: str) -> Any:
        if type(text) is Lossy:
            raise BadCell(
                "rounded_number",
                _("Excel keeps 15 digits of a number and has lost the rest: format the column as text."),
            )
        return parse_cell(text)

    return parse_lossy if field.kind in LOSSLESS else parse_cell


def _text(field: Field, options: Options) -> Parser:
    longest = field.max_length

    def parse(text: str) -> str:
        if len(text) > longest:
            raise BadCell(
                "too_long",
                _("It has %(n)d characters; at most %(max)d fit.") % {"n": len(text), "max": longest},
            )
        return text

    return parse


def _code(field: Field, options: Options) -> Parser:
    check = _text(field, options)

    def parse(text: str) -> Any:
        if not text.isascii() and (UNSEEN.search(text) or unicodedata.normalize("NFC", text) != text):
            raise BadCell("odd_letters", _("It holds letters that cannot be seen: type it again."))
        if not text.isprintable():
            raise BadCell("odd_letters", _("It holds a tab, a line break or a control character."))
        return check(text)

    return parse


def _codes(field: Field, options: Options) -> Parser:
    check = _code(field, options)

    def parse(text: str) -> list[str] | None:
        codes = list(dict.fromkeys(check(part) for part in BETWEEN_CODES.split(text) if part))
        if len(codes) > CODES_MAX:
            raise BadCell("too_long", _("It holds more than %d codes.") % CODES_MAX)
        return codes or None

    return parse


def _integer(field: Field, options: Options) -> Parser:
    low = -INTEGER_MAX if field.minimum is None else field.minimum
    high = INTEGER_MAX if field.maximum is None else field.maximum

    def parse(text: str) -> int:
        if not WHOLE.fullmatch(text) or len(text) > 20:
            raise BadCell("bad_number", _("“%s” is not a whole number in plain digits.") % text[:40])
        number = int(text.partition(".")[0])
        if not low <= number <= high:
            raise BadCell(
                "out_of_range",
                _("%(number)d is not between %(low)d and %(high)d.")
                % {"number": number, "low": low, "high": high},
            )
        return number

    return parse


def _decimal(field: Field, options: Options) -> Parser:
    pattern = POINTED if options.decimal == "." else COMMAED
    thousands = "," if options.decimal == "." else "."
    scale = -field.scale

    def parse(text: str) -> str:
        if not pattern.fullmatch(text) or len(text) > 40:
            raise BadCell("bad_number", _("“%s” is not a number in plain digits.") % text[:40])
        try:
            number = Decimal(text.replace(thousands, "").replace(",", "."))
        except InvalidOperation as error:
            raise BadCell("bad_number", _("“%s” is not a number in plain digits.") % text[:40]) from error
        number = number.normalize() if number else Decimal(0)
        exponent = number.as_tuple().exponent
        if isinstance(exponent, int) and exponent < scale:
            raise BadCell("too_fine", _("It has more than %d decimals.") % field.scale)
        if number.adjusted() >= DECIMAL_DIGITS_MAX:
            raise BadCell("out_of_range", _("It has more digits than any amount."))
        if (field.minimum is not None and number < field.minimum) or (
            field.maximum is not None and number > field.maximum
        ):
            raise BadCell("out_of_range", _("%s is out of range.") % text[:40])
        return f"{number:f}"

    return lru_cache(maxsize=4096)(parse)


def _moment(field: Field, options: Options) -> Parser:
    zone = ZoneInfo(options.time_zone)

    def parse(text: str) -> str:
        moment = _read_moment(text, options)
        if moment.year not in YEARS:
            raise BadCell("out_of_range", _("The year %d is not between 1970 and 2100.") % moment.year)
        if abs(moment.utcoffset() or ZERO_HOURS) > FARTHEST_ZONE:
            raise BadCell("bad_moment", _("No place on Earth has the zone of “%s”.") % text[:40])
        if moment.tzinfo is None:
            aware = moment.replace(tzinfo=zone)
            if aware.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != moment:
                raise BadCell(
                    "no_such_time",
                    _("The clocks of %(zone)s skipped %(moment)s.")
                    % {"zone": options.time_zone, "moment": text},
                )
            moment = aware
        return moment.astimezone(UTC).isoformat()

    # The lines of one order share its moment.
    return lru_cache(maxsize=4096)(parse)


def _read_moment(text: str, options: Options) -> datetime:
    try:
        return datetime.fromisoformat(text.replace("/", "-") if text[4:5] == "/" else text)
    except ValueError:
        pass
    for pattern in options.date_formats:
        try:
            return datetime.strptime(text, pattern)  # noqa: DTZ007 - the zone comes with the options
        except ValueError:
            continue
    raise BadCell("bad_moment", _("“%s” is not a date and time such as 2026-01-31 14:05.") % text[:40])


def _date(field: Field, options: Options) -> Parser:
    def parse(text: str) -> str:
        day: date = _read_moment(text, options).date()
        if day.year not in YEARS:
            raise BadCell("out_of_range", _("The year %d is not between 1970 and 2100.") % day.year)
        return day.isoformat()

    return lru_cache(maxsize=4096)(parse)


def _boolean(field: Field, options: Options) -> Parser:
    def parse(text: str) -> bool:
        if text.lower() in YES:
            return True
        if text.lower() in NO:
            return False
        raise BadCell("bad_choice", _("“%s” is neither yes nor no.") % text[:40])

    return parse


def _choice(field: Field, options: Options) -> Parser:
    by_folded: dict[str, str] = {}
    for language, _name in settings.LANGUAGES:
        with override(language):
            by_folded |= {str(word).casefold(): choice for choice, word in field.words.items()}
    by_folded |= {choice.casefold(): choice for choice in field.choices}

    def parse(text: str) -> str:
        found = by_folded.get(text.casefold())
        if found is None:
            raise BadCell(
                "bad_choice",
                _("“%(text)s” is not one of %(choices)s.")
                % {"text": text[:40], "choices": ", ".join(spoken_choices(field))},
            )
        return found

    return parse


_PARSERS: dict[str, Callable[[Field, Options], Parser]] = {
    "text": _text,
    "code": _code,
    "codes": _codes,
    "integer": _integer,
    "decimal": _decimal,
    "moment": _moment,
    "date": _date,
    "boolean": _boolean,
    "choice": _choice,
}


def revivers_of(fields: Sequence[Field]) -> dict[str, Callable[[Any], Any]]:
    """How stored values become typed ones again, for the kinds that JSON does not have."""
    readers: dict[str, Callable[[Any], Any]] = {
        "decimal": Decimal,
        "moment": datetime.fromisoformat,
        "date": date.fromisoformat,
    }
    return {field.name: readers[field.kind] for field in fields if field.kind in readers}

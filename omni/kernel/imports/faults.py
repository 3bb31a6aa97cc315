"""What can be wrong with one row, said so that whoever sent the file can mend it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a row cannot be taken. `reason`: a stable word. `column`: the heading, where one cell is at fault."""

    reason: str
    detail: str
    column: str = ""


class BadCell(Exception):
    """One cell cannot be understood."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@cache
def reason_words() -> Mapping[str, Promise]:
    """The engine's own reasons in a few words; a row's detail says the rest."""
    return {
        "ragged": _("wrong number of cells"),
        "unclosed_quote": _("unclosed quotation mark"),
        "overlong_line": _("line too long"),
        "nul": _("damaged file"),
        "bad_encoding": _("damaged letters"),
        "bad_row": _("unreadable row"),
        "missing_value": _("empty"),
        "too_long": _("too long"),
        "odd_letters": _("letters that cannot be seen"),
        "bad_number": _("not a number"),
        "rounded_number": _("rounded by the spreadsheet"),
        "out_of_range": _("out of range"),
        "too_fine": _("too many decimals"),
        "bad_moment": _("not a date and time"),
        "no_such_time": _("a time that does not exist"),
        "bad_choice": _("not one of the choices"),
        "group_incomplete": _("another row of the group has an error"),
        "refused_by_database": _("refused by the database"),
    }

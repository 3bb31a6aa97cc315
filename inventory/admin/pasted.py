"""Lines that people paste from a sheet: a code, a number of units, and perhaps a grade."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from inventory.models.stock import Grade
from products.models import Barcode, Sku

LINES_MAX = 2000
BREAK = re.compile(r"\t|,|，|;|；|\s{2,}|\s(?=\d+\s*$)")


class PastedLine(NamedTuple):
    sku_id: int
    units: int
    grade: str


class PastedLines(forms.CharField):
    """`code<TAB>units` or `code<TAB>units<TAB>grade`, one a line. `code`: of a SKU that the viewer sees, or a barcode.

    `skus` is set by the form: those that the viewer may see.
    """

    widget = forms.Textarea(attrs={"rows": 8, "spellcheck": "false"})
    skus: QuerySet[Sku]

    def __init__(self, *, units_min: int, **kwargs: Any) -> None:
        self.units_min = units_min
        self.skus = Sku.objects.none()
        super().__init__(
            label=_("Goods"),
            help_text=_(
                "One a line: SKU code or barcode, then the units, with a tab between, as copied from a sheet."
                " A grade may stand behind."
            ),
            **kwargs,
        )

    def clean(self, value: Any) -> Any:
        rows = [
            (number, [part.strip() for part in BREAK.split(line.strip()) if part.strip()])
            for number, line in enumerate(str(super().clean(value) or "").splitlines(), 1)
            if line.strip()
        ]
        if len(rows) > LINES_MAX:
            raise forms.ValidationError(gettext("At most %d lines.") % LINES_MAX)
        known = self._find({parts[0] for _number, parts in rows})
        lines, faults, seen = [], [], set()
        for number, parts in rows:
            line, fault = self._read(parts, known)
            if line and (line.sku_id, line.grade) in seen:
                fault = gettext("it stands there twice")
            if fault or line is None:
                faults.append(gettext("Line %(number)d: %(fault)s.") % {"number": number, "fault": fault})
                continue
            seen.add((line.sku_id, line.grade))
            lines.append(line)
        if faults:
            raise forms.ValidationError(faults[:20])
        return lines

    def _find(self, codes: set[str]) -> dict[str, int]:
        known = dict(Barcode.objects.filter(code__in=codes, sku__in=self.skus).values_list("code", "sku_id"))
        return known | dict(self.skus.filter(code__in=codes).values_list("code", "pk"))

    def _read(self, parts: list[str], known: dict[str, int]) -> tuple[PastedLine | None, str]:
        if len(parts) not in (2, 3):
            return None, gettext("it needs a code and a number of units")
        if parts[0] not in known:
            return None, gettext("there is no SKU “%s”") % parts[0]
        if not (parts[1].isascii() and parts[1].isdigit() and self.units_min <= int(parts[1]) < 10**7):
            return None, gettext("“%s” is no number of units") % parts[1]
        grades = dict(_grades())
        grade = grades.get(parts[2].lower()) if len(parts) == 3 else Grade.GOOD.value
        if grade is None:
            return None, gettext("“%s” is no grade") % parts[2]
        return PastedLine(known[parts[0]], int(parts[1]), grade), ""


def _grades() -> Iterator[tuple[str, str]]:
    """By the stored word and by what the reader calls it."""
    for grade in Grade:
        yield grade.value, grade.value
        yield str(grade.label).lower(), grade.value

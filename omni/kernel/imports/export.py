"""The one writer of tables that leave the house: nothing that it writes is taken for a formula."""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import xlsxwriter
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import pgettext
from xlsxwriter.utility import xl_col_to_name

from omni.kernel.imports.fields import DANGEROUS_STARTS, Field, spoken_choices

SHEET_ROWS_MAX = 1_048_575
CELL_CHARS_MAX = 32_767
LIST_CHARS_MAX = 255  # what Excel takes as a drop-down list, unless the list stands in cells
LIST_ROWS = 100_000  # how far down a template offers its lists


def disarm(text: str) -> str:
    """Text that no spreadsheet takes for a formula. Our own import takes the apostrophe off again."""
    return f"'{text}" if text.startswith(DANGEROUS_STARTS) else text


def as_cell(value: Any) -> str:
    """A value as CSV text. Numbers stay numbers, moments are ISO 8601."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    return disarm(str(value))


def csv_chunks(
    header: Sequence[str], rows: Iterable[Sequence[Any]], *, chunk_rows: int = 1_000
) -> Iterator[bytes]:
    """A CSV with BOM, as Excel opens it in any language, in chunks: for streaming answers and files alike."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    buffer.write("\ufeff")
    writer.writerow([as_cell(cell) for cell in header])
    for number, row in enumerate(rows, 1):
        writer.writerow([as_cell(cell) for cell in row])
        if number % chunk_rows == 0:
            yield buffer.getvalue().encode("utf-8", "replace")
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode("utf-8", "replace")


def write_xlsx(
    file: Path | IO[bytes], header: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str = ""
) -> int:
    """A workbook with one sheet. Texts are texts whatever they begin with. Returns the number of rows written.

    Memory stays flat. Rows beyond what a sheet holds go on in a second sheet.
    """
    count = 0
    with _workbook(file) as book:
        bold = book.add_format({"bold": True})
        sheet: Any = None
        for row in rows:
            if count % SHEET_ROWS_MAX == 0:
                sheet = _add_sheet(book, title, header, bold, count // SHEET_ROWS_MAX)
            _write_row(sheet, count % SHEET_ROWS_MAX + 1, row)
            count += 1
        if sheet is None:
            _add_sheet(book, title, header, bold, 0)
    return count


def write_template(
    file: Path | IO[bytes],
    fields: Sequence[Field],
    *,
    title: str,
    offered: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """An empty table to fill in: headings, one sample row, drop-down lists, and a sheet of notes.

    `offered`: what there is to choose from, by field, besides the fixed choices; in a sheet of its own.
    """
    lists = {name: values for name, values in (offered or {}).items() if values}
    with _workbook(file) as book:
        bold = book.add_format({"bold": True})
        text = book.add_format({"num_format": "@"})
        sheet = _add_sheet(book, title, [str(field.label) for field in fields], bold, 0)
        for column, field in enumerate(fields):
            is_text = field.kind in ("text", "code", "codes")
            sheet.set_column(column, column, max(12, len(str(field.label)) + 4), text if is_text else None)
            source = _list_source(field, lists)
            if source:
                # A word that is not on the list yet is no mistake here: the import says what it does not know.
                rule = {"validate": "list", "source": source, "error_type": "warning"}
                sheet.data_validation(1, column, LIST_ROWS, column, rule)
        _write_row(sheet, 1, [field.example for field in fields])
        notes = book.add_worksheet(_("Notes"))
        notes.set_column(0, 3, 28)
        for column, heading in enumerate(
            (_("Column"), _("Required"), pgettext("template sheet", "Holds"), _("Note"))
        ):
            notes.write_string(0, column, heading, bold)
        for row, field in enumerate(fields, 1):
            required = _("yes") if field.is_required else _("no")
            _write_row(notes, row, [str(field.label), required, _kind_label(field), str(field.note)])
        _write_lists(book, fields, lists, bold)


def _list_source(field: Field, lists: Mapping[str, Sequence[str]]) -> list[str] | str:
    """What Excel is told of a column's drop-down list: the words, or the cells where they stand; empty: none."""
    if field.kind == "boolean":
        return [yes_or_no(True), yes_or_no(False)]
    if field.name in lists:
        letter = xl_col_to_name(list(lists).index(field.name))
        return f"='{_('Lists')}'!${letter}$2:${letter}${len(lists[field.name]) + 1}"
    spoken = spoken_choices(field)
    return spoken if len(",".join(spoken)) <= LIST_CHARS_MAX else ""


def _write_lists(book: Any, fields: Sequence[Field], lists: Mapping[str, Sequence[str]], bold: Any) -> None:
    if not lists:
        return
    labels = {field.name: str(field.label) for field in fields}
    sheet = _add_sheet(book, _("Lists"), [labels[name] for name in lists], bold, 0)
    longest = max(len(values) for values in lists.values())
    for row in range(longest):  # row by row: a sheet in constant memory is written from top to bottom
        _write_row(sheet, row + 1, [values[row] if row < len(values) else "" for values in lists.values()])


def yes_or_no(value: bool) -> str:
    """As people write it in a table, in their language; the import reads both languages."""
    return pgettext("cell of a table", "yes") if value else pgettext("cell of a table", "no")


def moment_cell(moment: datetime.datetime | None) -> str | None:
    """A moment as people write it, with its zone: a sheet knows no zones, and would be read in another one."""
    return localtime(moment).isoformat(sep=" ", timespec="seconds") if moment else None


def template_csv(fields: Sequence[Field]) -> bytes:
    """The same as CSV: headings and one sample row."""
    return b"".join(csv_chunks([str(field.label) for field in fields], [[field.example for field in fields]]))


def _kind_label(field: Field) -> str:
    names: dict[str, str] = {
        "text": _("text"),
        "code": _("code"),
        "codes": _("codes, separated by commas or blanks"),
        "integer": _("whole number"),
        "decimal": _("decimal number"),
        "moment": _("date and time"),
        "date": _("date"),
        "boolean": _("yes or no"),
        "choice": _("one of %s") % ", ".join(spoken_choices(field)),
    }
    return names[field.kind]


def _workbook(file: Path | IO[bytes]) -> Any:
    options: Mapping[str, Any] = {
        "constant_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
        "default_date_format": "yyyy-mm-dd hh:mm:ss",
    }
    return xlsxwriter.Workbook(str(file) if isinstance(file, Path) else file, options)


def _add_sheet(book: Any, title: str, header: Sequence[str], bold: Any, number: int) -> Any:
    clean = "".join(c for c in title if c not in "[]:*?/\\'")[:25] or "Table"
    sheet = book.add_worksheet(f"{clean} {number + 1}" if number else clean)
    sheet.freeze_panes(1, 0)
    for column, heading in enumerate(header):
        sheet.write_string(0, column, heading[:CELL_CHARS_MAX], bold)
    return sheet


def _write_row(sheet: Any, number: int, row: Sequence[Any]) -> None:
    for column, cell in enumerate(row):
        if cell is None or cell == "":
            continue
        if isinstance(cell, bool):
            sheet.write_boolean(number, column, cell)
        elif isinstance(cell, (int, float, Decimal)) and -(10**15) < cell < 10**15:
            sheet.write_number(number, column, cell)
        elif isinstance(cell, datetime.datetime):
            sheet.write_datetime(number, column, cell.replace(tzinfo=None))
        else:
            text = cell.isoformat() if isinstance(cell, datetime.date) else str(cell)
            sheet.write_string(number, column, text[:CELL_CHARS_MAX])

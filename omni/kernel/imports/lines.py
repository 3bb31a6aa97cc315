"""The rows of a file, one after the other, with what is wrong with those that cannot be read."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from django.utils.translation import gettext as _

from omni.kernel.imports.container import Kind, UnreadableFile
from omni.kernel.imports.faults import Fault
from omni.kernel.imports.limits import Limits
from omni.kernel.imports.options import Options, open_bytes

SHEET_CHILD = Path(__file__).with_name("sheet_child.py")
SHOWN_CHARS = 2_000


class Lossy(str):
    """A number that the spreadsheet has rounded: the digits after the fifteenth are lost."""

    __slots__ = ()


@dataclass(slots=True)
class Line:
    """One row: its line in the file (of its first line, where cells hold line breaks), its cells, or its fault."""

    number: int
    cells: list[str]
    fault: Fault | None = None


def read_lines(path: Path, kind: Kind, options: Options, *, limits: Limits) -> Iterator[Line]:
    """Every row that is not empty, the heading first. Memory does not grow with the file.

    Raises UnreadableFile where the file as a whole cannot be read.
    """
    if kind == "xlsx":
        return _read_sheet(path, options, limits)
    return _read_csv(path, kind, options, limits)


# --- CSV ------------------------------------------------------------------------------------------------------


class PhysicalLines:
    """The lines of a text, pulled one by one by the CSV reader, so that we know how many a record took.

    A record that wants more lines than it may, or than there are, has an unclosed quote: it is let go, and reading
    begins again at its second line.
    """

    def __init__(self, text: io.TextIOBase, limits: Limits) -> None:
        self._text = text
        self._limits = limits
        self._again: list[str] = []
        self._number = 0
        self.pulled: list[str] = []
        self.is_cut = False  # the record wanted a line that it did not get

    def begin(self) -> int:
        """A new record begins; returns the number of its first line."""
        self.pulled = []
        self.is_cut = False
        return self._number + 1

    def let_go(self) -> None:
        """Give back all lines of this record but the first."""
        self._again = self.pulled[1:] + self._again
        self._number -= len(self.pulled) - 1
        del self.pulled[1:]

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if len(self.pulled) >= self._limits.record_lines:
            self.is_cut = True
            raise StopIteration
        line = self._again.pop(0) if self._again else self._read()
        if not line:
            self.is_cut = bool(self.pulled)
            raise StopIteration
        self._number += 1
        self.pulled.append(line)
        return line

    def _read(self) -> str:
        line = self._text.readline(self._limits.line_chars + 1)
        if len(line) > self._limits.line_chars:
            # Longer than any row: skip its rest without keeping it, and leave enough for the fault to show.
            rest = line
            while rest and not rest.endswith(("\n", "\r")):
                rest = self._text.readline(self._limits.line_chars + 1)
            return line[: self._limits.line_chars + 1].replace('"', "'").rstrip("\r\n") + "\n"
        return line


def _read_csv(path: Path, kind: Kind, options: Options, limits: Limits) -> Iterator[Line]:
    csv.field_size_limit(limits.line_chars * 2)
    errors = "surrogateescape" if options.encoding in ("utf-8-sig", "gb18030") else "replace"
    with open_bytes(path, kind, limits=limits) as file:
        text = io.TextIOWrapper(file, options.encoding, errors, newline="")
        yield from _records(text, options, limits)


def _records(text: io.TextIOBase, options: Options, limits: Limits) -> Iterator[Line]:
    source = PhysicalLines(text, limits)
    reader = csv.reader(source, delimiter=options.separator or ",")
    width = count = 0
    while True:
        number = source.begin()
        fault: Fault | None
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            cells, fault = [], Fault("bad_row", str(error))
        else:
            fault = _fault_of_record(source, cells, width, limits)
        if fault is not None and fault.reason == "unclosed_quote":
            source.let_go()
            reader = csv.reader(source, delimiter=options.separator or ",")
        if fault is not None:
            yield Line(number, _salvage(source, cells, fault, options), fault)
        elif any(cells):
            count += 1
            if count > limits.rows + 1:
                raise UnreadableFile(_("The file has more than %d rows: split it.") % limits.rows)
            if not width:
                width = len(cells)
                if width > limits.columns:
                    raise UnreadableFile(
                        _("The file has %(n)d columns; at most %(max)d are taken. Is the separator right?")
                        % {"n": width, "max": limits.columns}
                    )
            yield Line(number, cells)


def _fault_of_record(source: PhysicalLines, cells: list[str], width: int, limits: Limits) -> Fault | None:
    """What makes a record unreadable; None: nothing."""
    pulled = source.pulled
    if source.is_cut or (len(pulled) > 1 and width and len(cells) != width):
        return Fault("unclosed_quote", _("A quotation mark is opened here and not closed."))
    if len(pulled) == 1 and len(pulled[0]) > limits.line_chars:
        return Fault("overlong_line", _("The line has more than %d characters.") % limits.line_chars)
    for line in pulled:
        if "\0" in line:
            return Fault("nul", _("The line holds a NUL byte: the file is damaged here."))
        if not line.isascii() and not _is_whole(line):
            return Fault("bad_encoding", _("Some bytes of the line are not in the encoding of the file."))
    if width and len(cells) != width and any(cells):
        return Fault(
            "ragged",
            _("The row has %(n)d cells, the heading has %(width)d.") % {"n": len(cells), "width": width},
        )
    return None


def _salvage(source: PhysicalLines, cells: list[str], fault: Fault, options: Options) -> list[str]:
    """What can be shown of a broken record, cut roughly into its cells."""
    if fault.reason != "ragged":
        shown = source.pulled[0][:SHOWN_CHARS].rstrip("\r\n") if source.pulled else ""
        cells = shown.split(options.separator or ",")
    return [_printable(cell[:SHOWN_CHARS]) for cell in cells]


def _is_whole(line: str) -> bool:
    if "\ufffd" in line:
        return False
    try:
        line.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _printable(text: str) -> str:
    """Text that PostgreSQL and JSON take."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


# --- workbooks ------------------------------------------------------------------------------------------------


def _read_sheet(path: Path, options: Options, limits: Limits) -> Iterator[Line]:
    command = [
        sys.executable,
        "-I",
        str(SHEET_CHILD),
        str(path),
        options.sheet,
        str(limits.sheet_memory_bytes),
        str(limits.sheet_cpu_seconds),
    ]
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL)  # noqa: S603
        try:
            assert child.stdout is not None  # noqa: S101
            yield from _sheet_rows(child.stdout, limits)
            child.stdout.close()
            if child.wait() != 0:
                raise UnreadableFile(
                    _(
                        "The workbook cannot be read within the limits: it is damaged, or a cell lies far outside."
                    )
                )
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()


def _sheet_rows(stream: Iterable[bytes], limits: Limits) -> Iterator[Line]:
    lines = iter(stream)
    first = json.loads(next(lines, b"{}") or b"{}")
    if "missing" in first:
        raise UnreadableFile(
            _("The workbook has no sheet “%(name)s”; it has: %(sheets)s.")
            % {"name": first["missing"], "sheets": ", ".join(first["sheets"])}
        )
    width = count = 0
    for number, text in enumerate(lines, 1):
        cells = [cell if isinstance(cell, str) else Lossy(cell["lossy"]) for cell in json.loads(text)]
        if not any(cells):
            continue
        if not width:
            while cells and not cells[-1]:
                cells.pop()
            width = len(cells)
            if width > limits.columns:
                raise UnreadableFile(
                    _("The sheet has %(n)d columns; at most %(max)d are taken.")
                    % {"n": width, "max": limits.columns}
                )
        elif any(cells[width:]):
            yield Line(
                number, cells, Fault("ragged", _("The row has cells to the right of the last heading."))
            )
            continue
        del cells[width:]
        count += 1
        if count > limits.sheet_rows + 1:
            raise UnreadableFile(
                _("The sheet has more than %d rows: split it, or send a CSV.") % limits.sheet_rows
            )
        yield Line(number, cells, _fault_of_cells(cells))


def _fault_of_cells(cells: list[str]) -> Fault | None:
    for cell in cells:
        if not cell.isascii() and not _is_whole(cell):
            return Fault("bad_encoding", _("A cell holds half a character: the file is damaged here."))
        if "\0" in cell:
            return Fault("nul", _("A cell holds a NUL byte: the file is damaged here."))
    return None

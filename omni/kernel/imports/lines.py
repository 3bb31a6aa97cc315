"""The rows of a file, one after the other, with what is wrong with those that cannot be read."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
from django.utils.translation import gettext as _

from omni.kernel.imports.container import Kind, UnreadableFile
from omni.kernel.imports.faults import Fault
from omni.kernel.imports.limits import Limits
from omni.kernel.imports.options import Options, open_bytes

SHEET_CHILD = Path(__file__).with_name("sheet_child.py")
SHOWN_CHARS = 2_000
BLOCK_CHARS = 128 * 1024


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
        self._ahead: deque[str] = deque()  # read and not pulled yet, or given back
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
        self._ahead.extendleft(reversed(self.pulled[1:]))
        self._number -= len(self.pulled) - 1
        del self.pulled[1:]

    def read_block(self) -> list[str]:
        """Many lines at once; none where some wait to be pulled, or there are no more.

        `pass_by` says that they are read, `give_back` that they are not.
        """
        if self._ahead:
            return []
        block = self._text.read(BLOCK_CHARS)
        if block and not block.endswith("\n"):
            block += self._read()
        return list(io.StringIO(block, newline=""))

    def pass_by(self, count: int) -> None:
        """So many lines of the block are read."""
        self._number += count

    def give_back(self, lines: Iterable[str]) -> None:
        """The lines of the block are to be pulled one by one."""
        self._ahead.extend(self._cut(line) for line in lines)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if len(self.pulled) >= self._limits.record_lines:
            self.is_cut = True
            raise StopIteration
        line = self._ahead.popleft() if self._ahead else self._read()
        if not line:
            self.is_cut = bool(self.pulled)
            raise StopIteration
        self._number += 1
        self.pulled.append(line)
        return line

    def _read(self) -> str:
        line = self._text.readline(self._limits.line_chars + 1)
        # Longer than any row: skip its rest without keeping it.
        rest = line if len(line) > self._limits.line_chars else ""
        while rest and not rest.endswith(("\n", "\r")):
            rest = self._text.readline(self._limits.line_chars + 1)
        return self._cut(line)

    def _cut(self, line: str) -> str:
        """Of a line that is longer than any row, enough for the fault to show."""
        if len(line) <= self._limits.line_chars:
            return line
        return line[: self._limits.line_chars + 1].replace('"', "'").rstrip("\r\n") + "\n"


def _read_csv(path: Path, kind: Kind, options: Options, limits: Limits) -> Iterator[Line]:
    csv.field_size_limit(limits.line_chars * 2)
    errors = "surrogateescape" if options.encoding in ("utf-8-sig", "gb18030") else "replace"
    with open_bytes(path, kind, limits=limits) as file:
        text = io.TextIOWrapper(file, options.encoding, errors, newline="")
        yield from Records(text, options, limits)


class Records:
    """The records of a CSV: block by block where everything is in order, one by one where something is not.

    What is said of a record does not depend on the way: a test reads garbage both ways.
    """

    def __init__(self, text: io.TextIOBase, options: Options, limits: Limits) -> None:
        self._source = PhysicalLines(text, limits)
        self._separator = options.separator or ","
        self._reader = csv.reader(self._source, delimiter=self._separator)
        self._limits = limits
        self._width = self._count = 0

    def __iter__(self) -> Iterator[Line]:
        while True:
            block = self._source.read_block() if self._width else []
            lines = self._read_together(block) if block else None
            if lines is not None:
                self._source.pass_by(len(block))
                yield from lines
                continue
            self._source.give_back(block)
            one = self._read_one()
            if one is None:
                return
            yield from one

    def _read_together(self, block: list[str]) -> list[Line] | None:
        """The records of whole lines; None: they want a closer look."""
        text = "".join(block)
        if (
            "\0" in text
            or not (text.isascii() or _is_whole(text))
            or max(map(len, block)) > self._limits.line_chars
        ):
            return None
        begin, before = self._source.begin(), 0
        found, count = [], self._count
        # Strict, it complains of a quote that is not closed before the block ends, and of others that a person opens
        # in earnest: both are looked at closely.
        reader = csv.reader(block, delimiter=self._separator, strict=True)
        try:
            for cells in reader:
                taken = reader.line_num - before
                is_ragged = len(cells) != self._width and any(cells)
                if taken > 1 and (is_ragged or taken > self._limits.record_lines):
                    return None
                if is_ragged:
                    found.append(Line(begin + before, _shown(cells), _ragged(cells, self._width)))
                elif any(cells):
                    found.append(Line(begin + before, cells))
                    count += 1
                before = reader.line_num
        except csv.Error:
            return None
        if count > self._limits.rows + 1:
            return None
        self._count = count
        return found

    def _read_one(self) -> list[Line] | None:
        """The next record, none where it is empty; None: the text is over."""
        source = self._source
        number = source.begin()
        fault: Fault | None
        try:
            cells = next(self._reader)
        except StopIteration:
            return None
        except csv.Error as error:
            cells, fault = [], Fault("bad_row", str(error))
        else:
            fault = _fault_of_record(source, cells, self._width, self._limits)
        if fault is not None and fault.reason == "unclosed_quote":
            source.let_go()
            self._reader = csv.reader(source, delimiter=self._separator)
        if fault is not None:
            return [Line(number, _salvage(source, cells, fault, self._separator), fault)]
        if not any(cells):
            return []
        self._count += 1
        if self._count > self._limits.rows + 1:
            raise UnreadableFile(_("The file has more than %d rows: split it.") % self._limits.rows)
        if not self._width:
            self._width = len(cells)
            if self._width > self._limits.columns:
                raise UnreadableFile(
                    _("The file has %(n)d columns; at most %(max)d are taken. Is the separator right?")
                    % {"n": self._width, "max": self._limits.columns}
                )
        return [Line(number, cells)]


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
        return _ragged(cells, width)
    return None


def _ragged(cells: list[str], width: int) -> Fault:
    return Fault(
        "ragged", _("The row has %(n)d cells, the heading has %(width)d.") % {"n": len(cells), "width": width}
    )


def _salvage(source: PhysicalLines, cells: list[str], fault: Fault, separator: str) -> list[str]:
    """What can be shown of a broken record, cut roughly into its cells."""
    if fault.reason != "ragged":
        shown = source.pulled[0][:SHOWN_CHARS].rstrip("\r\n") if source.pulled else ""
        cells = shown.split(separator)
    return _shown(cells)


def _shown(cells: list[str]) -> list[str]:
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
    first = orjson.loads(next(lines, b"{}") or b"{}")
    if "missing" in first:
        raise UnreadableFile(
            _("The workbook has no sheet “%(name)s”; it has: %(sheets)s.")
            % {"name": first["missing"], "sheets": ", ".join(first["sheets"])}
        )
    width = count = 0
    for number, text in enumerate(lines, 1):
        cells = orjson.loads(text)
        if b'{"lossy":' in text:
            cells = [cell if isinstance(cell, str) else Lossy(cell["lossy"]) for cell in cells]
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
            right = Fault("ragged", _("The row has cells to the right of the last heading."))
            yield Line(number, _shown(cells), right)
            continue
        del cells[width:]
        count += 1
        if count > limits.sheet_rows + 1:
            raise UnreadableFile(
                _("The sheet has more than %d rows: split it, or send a CSV.") % limits.sheet_rows
            )
        fault = _fault_of_cells(cells)
        yield Line(number, _shown(cells) if fault else cells, fault)


def _fault_of_cells(cells: list[str]) -> Fault | None:
    for cell in cells:
        if not cell.isascii() and not _is_whole(cell):
            return Fault("bad_encoding", _("A cell holds half a character: the file is damaged here."))
        if "\0" in cell:
            return Fault("nul", _("A cell holds a NUL byte: the file is damaged here."))
    return None

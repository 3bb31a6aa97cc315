"""Files as people and programs really write them, and files that nobody should open."""

from __future__ import annotations

import contextlib
import gzip
import io
import random
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter

from omni.kernel.imports.container import UnreadableFile, find_kind
from omni.kernel.imports.limits import MB, UPLOAD, Limits
from omni.kernel.imports.lines import Line, read_lines
from omni.kernel.imports.options import Options, sniff
from omni.kernel.imports.upload import clean_file_name, unique_headings

pytestmark = pytest.mark.capability("O2")


def read(path: Path, *, limits: Limits = UPLOAD, **options: Any) -> list[Line]:
    kind = find_kind(path, limits=limits)
    if kind != "xlsx":
        encoding, separator = sniff(path, kind, limits=limits)
        options = {"encoding": encoding, "separator": separator} | options
    return list(read_lines(path, kind, Options(**options), limits=limits))


@pytest.fixture
def file(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(data: bytes) -> Path:
        path = tmp_path / "file"
        path.write_bytes(data)
        return path

    return write


Write = Callable[[bytes], Path]


# --- CSV ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "separator"),
    [
        ("utf-8", ","),
        ("utf-8-sig", ";"),
        ("gb18030", ","),
        ("gb18030", "\t"),
        ("utf-16", "\t"),
        ("utf-16", "|"),
    ],
)
def test_encoding_and_separator_are_found_by_looking(file: Write, encoding: str, separator: str) -> None:
    text = "".join(separator.join(row) + "\r\n" for row in (["编号", "名称", "价"], ["1", "口红, 正红", "9"]))
    text = text.replace("口红, 正红", '"口红, 正红"')

    lines = read(file(text.encode(encoding)))

    assert [line.cells for line in lines] == [["编号", "名称", "价"], ["1", "口红, 正红", "9"]]


def test_a_letter_near_the_end_decides_the_encoding_too(file: Write) -> None:
    text = "a,b\n" + "1,2\n" * 400_000 + "3,口红\n"

    lines = read(file(text.encode("gb18030")))

    assert lines[-1].cells == ["3", "口红"]


def test_one_damaged_row_of_a_utf8_file_is_one_faulty_row(file: Write) -> None:
    text = "a,b\n" + "1,口红\n" * 30
    data = text.encode() + b"2,\xff\xfe\n3,ok\n"

    lines = read(file(data))

    assert [(line.number, line.fault.reason) for line in lines if line.fault] == [(32, "bad_encoding")]
    assert lines[-1].cells == ["3", "ok"]


def test_who_knows_better_may_say_how_the_file_is_written(file: Write) -> None:
    lines = read(file("a;b\n1;caf\xe9\n".encode("cp1252")), encoding="cp1252", separator=";")

    assert lines[1].cells == ["1", "café"]


def test_an_unclosed_quote_costs_its_own_row_only(file: Write) -> None:
    lines = read(file(b'a,b,c\n1,2,3\n"open,2,3\n4,5,6\n7,"8 ""inch""",9\n"10","x\ny",12\n13,"end,15\n'))

    assert [(line.number, line.fault.reason) for line in lines if line.fault] == [
        (3, "unclosed_quote"),
        (8, "unclosed_quote"),
    ]
    assert [line.cells for line in lines if not line.fault] == [
        ["a", "b", "c"],
        ["1", "2", "3"],
        ["4", "5", "6"],
        ["7", '8 "inch"', "9"],
        ["10", "x\ny", "12"],
    ]


def test_a_quote_that_is_never_closed_does_not_swallow_the_file(file: Write) -> None:
    data = b'a,b\n"open,1\n' + b"1,2\n" * 1_000

    lines = read(file(data))

    assert [line.number for line in lines if line.fault] == [2]
    assert len(lines) == 1_002


def test_a_quote_in_the_middle_of_a_cell_is_a_letter(file: Write) -> None:
    lines = read(file(b'a,b\n15" screen,1\nRETRO "TEA FOR ONE",2\n'))

    assert [line.cells for line in lines[1:]] == [['15" screen', "1"], ['RETRO "TEA FOR ONE"', "2"]]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"1,2,3\n", "ragged"),
        (b"1\n", "ragged"),
        (b"1,\x00\n", "nul"),
        (b"1," + b"x" * 1_500_000 + b"\n", "overlong_line"),
    ],
)
def test_a_broken_row_is_named_and_the_next_is_read(file: Write, row: bytes, reason: str) -> None:
    lines = read(file(b"a,b\n1,2\n" + row + b"3,4\n"))

    assert [line.fault.reason if line.fault else None for line in lines] == [None, None, reason, None]
    assert lines[2].number == 3
    assert lines[-1].cells == ["3", "4"]


def test_empty_rows_are_no_rows_and_keep_the_count_of_lines(file: Write) -> None:
    lines = read(file(b"\n\na,b\n,\n\n1,2\n  \n"))

    assert [(line.number, line.cells) for line in lines if not line.fault] == [
        (3, ["a", "b"]),
        (6, ["1", "2"]),
    ]


def test_no_garbage_crashes_the_reader(file: Write) -> None:
    chance = random.Random(7)
    alphabet = [
        b'"',
        b",",
        b"\n",
        b"\r",
        b"\0",
        b"a",
        b"1",
        b"\xff",
        "口".encode(),
        "口".encode("gb18030"),
        b";",
        b"\t",
    ]

    for _ in range(300):
        data = b"a,b\n" + b"".join(chance.choice(alphabet) for _ in range(chance.randrange(1, 120)))
        with contextlib.suppress(UnreadableFile):
            numbers = [line.number for line in read(file(data))]
            assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("block_chars", [1, 7, 40, 128 * 1024])
def test_what_is_read_does_not_depend_on_how_much_is_read_at_once(
    file: Write, monkeypatch: pytest.MonkeyPatch, block_chars: int
) -> None:
    chance = random.Random(block_chars)
    pieces = ["a,b\n", '"x, y",2\r\n', '"two\nlines",3\n', "ragged\n", "1,2,3\r", "\n", ",\n", '"open,4\n']
    pieces += [
        "口红,5\n",
        "\0,6\n",
        'say "hi",7\n',
        '"a""b",8\n',
        "9,9\n",
        '"late" quote,1\n',
        "\r\n",
        '"",""\n',
    ]
    texts = ["".join(chance.choice(pieces) for _ in range(chance.randrange(1, 12))) for _ in range(60)]
    files = [("head,line\n" + text).encode() for text in texts]
    limits = Limits(record_lines=3, line_chars=30)
    monkeypatch.setattr("omni.kernel.imports.lines.BLOCK_CHARS", block_chars)
    together = [read(file(data), limits=limits, encoding="utf-8-sig", separator=",") for data in files]

    monkeypatch.setattr("omni.kernel.imports.lines.Records._read_together", lambda *_: None)
    carefully = [read(file(data), limits=limits, encoding="utf-8-sig", separator=",") for data in files]

    assert together == carefully


def test_a_damaged_character_between_good_rows_costs_one_row(file: Write) -> None:
    lines = read(file(b"a,b\n1,2\n\xff,3\n4,5\n"), encoding="utf-8-sig", separator=",")

    assert [(line.number, line.fault.reason if line.fault else "") for line in lines] == [
        (1, ""),
        (2, ""),
        (3, "bad_encoding"),
        (4, ""),
    ]


def test_a_packed_csv_is_read_as_it_comes(file: Write) -> None:
    lines = read(file(gzip.compress("a,b\n1,口红\n".encode())))

    assert lines[1].cells == ["1", "口红"]


@pytest.mark.parametrize(
    "data",
    [gzip.compress(b"a,b\n" + b"0" * 300_000_000, 9), gzip.compress(b"a,b\n1,2\n" * 100)[:-20]],
    ids=["bomb", "cut off"],
)
def test_a_packed_bomb_or_torso_is_refused(file: Write, data: bytes) -> None:
    with pytest.raises(UnreadableFile):
        read(file(data))


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "empty"),
        (b"%PDF-1.7 ...", "PDF"),
        (b"MZ\x90\x00", "EXE"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1....", "encrypted"),
        (b"<!DOCTYPE html><table></table>", "web page"),
        (b"\xef\xbb\xbf<html>", "web page"),
        (b"PK\x03\x04garbage", "damaged"),
        (b"\x01\x00\x02\x00" * 100, "not a text"),
    ],
)
def test_what_is_not_a_table_is_refused_by_its_bytes(file: Write, data: bytes, word: str) -> None:
    with pytest.raises(UnreadableFile) as refusal:
        read(file(data))

    assert word in refusal.value.detail


def test_ten_thousand_columns_are_refused(file: Write) -> None:
    with pytest.raises(UnreadableFile, match="columns"):
        read(file(b",".join(b"c%d" % n for n in range(10_000)) + b"\n"))


def test_a_file_larger_than_allowed_is_not_opened(file: Write) -> None:
    with pytest.raises(UnreadableFile, match="at most 10 MB"):
        read(file(b"a,b\n" + b"1,2\n" * (3 * MB)))


# --- workbooks ----------------------------------------------------------------------------------------------------


def workbook(fill: Callable[[Any, Any], None]) -> bytes:
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer) as book:
        fill(book, book.add_worksheet("Data"))
    return buffer.getvalue()


def test_a_workbook_gives_what_was_typed(file: Write) -> None:
    day = datetime(2026, 1, 2, 3, 4)  # noqa: DTZ001 - a sheet knows no zones

    def fill(book: Any, sheet: Any) -> None:
        sheet.write_row(0, 0, ["text", "whole", "part", "day", "yes", "code"])
        sheet.write_row(1, 0, ["口红", 6, 2.55])
        sheet.write_datetime(1, 3, day, book.add_format({"num_format": "yyyy-mm-dd"}))
        sheet.write_boolean(1, 4, True)
        sheet.write_string(1, 5, "00123")

    lines = read(file(workbook(fill)))

    assert lines[1].cells == ["口红", "6", "2.55", "2026-01-02 03:04:00", "true", "00123"]


def test_formula_cells_give_their_value_and_text_that_looks_like_one_stays_text(file: Write) -> None:
    def fill(book: Any, sheet: Any) -> None:
        sheet.write_row(0, 0, ["a", "b"])
        sheet.write_formula(1, 0, "=1+1", value=2)
        sheet.write_string(1, 1, "=cmd|' /C calc'!A0")

    lines = read(file(workbook(fill)))

    assert lines[1].cells == ["2", "=cmd|' /C calc'!A0"]


def test_a_number_that_excel_has_rounded_is_known_as_such(file: Write) -> None:
    def fill(book: Any, sheet: Any) -> None:
        sheet.write_row(0, 0, ["a"])
        sheet.write_number(1, 0, 123456789012345678)

    (_, line) = read(file(workbook(fill)))

    assert type(line.cells[0]).__name__ == "Lossy"


def test_rows_keep_their_numbers_and_the_sheet_can_be_named(file: Write) -> None:
    def fill(book: Any, sheet: Any) -> None:
        sheet.write_row(0, 0, ["other"])
        second = book.add_worksheet("Orders")
        second.write_row(2, 0, ["a", "b"])
        second.write_row(5, 0, ["1", "2"])
        second.write_row(6, 0, ["3", "4", "too far right"])

    path = file(workbook(fill))
    lines = read(path, sheet="Orders")

    assert [line.cells for line in read(path)] == [["other"]]
    assert [(line.number, line.cells) for line in lines if not line.fault] == [
        (3, ["a", "b"]),
        (6, ["1", "2"]),
    ]
    assert [line.fault.reason for line in lines if line.fault] == ["ragged"]
    with pytest.raises(UnreadableFile, match="Data, Orders"):
        read(path, sheet="Nowhere")


def test_what_a_database_cannot_hold_is_shown_and_costs_its_row(file: Write) -> None:
    def fill(book: Any, sheet: Any) -> None:
        sheet.write_row(0, 0, ["a", "b"])
        sheet.write_row(1, 0, ["x_NUL_y", "1"])
        sheet.write_row(2, 0, ["fine", "2"])

    data = workbook(fill)
    with zipfile.ZipFile(io.BytesIO(data)) as book:
        strings = book.read("xl/sharedStrings.xml").replace(b"x_NUL_y", b"x_x0000_y")

    lines = read(file(rezipped(data, xl__sharedStrings_DOT_xml=strings)))

    assert [(line.cells[0], line.fault.reason if line.fault else "") for line in lines[1:]] == [
        ("x\ufffdy", "nul"),
        ("fine", ""),
    ]


def rezipped(data: bytes, **changed: bytes) -> bytes:
    """The workbook with parts replaced or added; `__` stands for a slash, `_DOT_` for a dot."""
    names = {name.replace("__", "/").replace("_DOT_", "."): part for name, part in changed.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, names.pop(entry.filename, old.read(entry.filename)))
        for name, part in names.items():
            new.writestr(name, part)
    return buffer.getvalue()


def plain(book: Any, sheet: Any) -> None:
    sheet.write_row(0, 0, ["a", "b"])
    sheet.write_row(1, 0, ["1", "2"])


BOOK = workbook(plain)
LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;">]>'
    b"<sst><si><t>&lol2;</t></si></sst>"
)
FAR = (
    b'<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
    b'<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    b"</sheetData></worksheet>"
)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (rezipped(BOOK, xl__vbaProject_DOT_bin=b"x"), "macros"),
        (rezipped(BOOK, xl__externalLinks__externalLink1_DOT_xml=b"<x/>"), "links"),
        (rezipped(BOOK, xl__embeddings__inner_DOT_xlsx=BOOK), "links"),
        (rezipped(BOOK, inner_DOT_zip=b"PK"), "links"),
        (rezipped(BOOK, xl__sharedStrings_DOT_xml=LAUGHS), "entities"),
        (rezipped(BOOK, xl__worksheets__sheet9_DOT_xml=b"0" * 50_000_000), "bomb"),
        (rezipped(BOOK, **{f"p{n}": b"" for n in range(2_000)}), "parts"),
        (rezipped(BOOK, xl__worksheets__sheet1_DOT_xml=FAR), "within the limits"),
        (BOOK[: len(BOOK) // 2], "damaged"),
        (rezipped(BOOK, xl__worksheets__sheet1_DOT_xml=b"<worksheet><sheetData><row"), "within the limits"),
    ],
    ids=[
        "macro",
        "link",
        "embedded",
        "nested zip",
        "laughs",
        "bomb",
        "many parts",
        "far cell",
        "cut off",
        "bad xml",
    ],
)
def test_a_workbook_that_could_do_harm_is_refused(file: Write, data: bytes, word: str) -> None:
    with pytest.raises(UnreadableFile) as refusal:
        read(file(data))

    assert word in refusal.value.detail


def test_a_zip_that_points_outside_of_itself_is_refused(file: Write) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(BOOK)) as old, zipfile.ZipFile(buffer, "w") as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry.filename))
        new.writestr("../../etc/cron.d/x", b"x")

    with pytest.raises(UnreadableFile, match="outside"):
        read(file(buffer.getvalue()))


def test_an_archive_that_is_no_workbook_is_refused(file: Write) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as new:
        new.writestr("a.csv", b"a,b\n1,2\n")

    with pytest.raises(UnreadableFile, match=r"not an \.xlsx"):
        read(file(buffer.getvalue()))


# --- names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\orders.csv", "orders.csv"),
        ("con", "file-con"),
        ("a.csv\0.exe", "a.csv"),
        ("订单 😀.xlsx", "订单 😀.xlsx"),
        ("a\r\nb.csv", "ab.csv"),
        ("", "file"),
        ("..", "file"),
        ("x" * 300 + ".csv", "x" * 116 + ".csv"),
        ("\ud800.csv", "csv"),
    ],
)
def test_file_names_are_shown_without_what_could_do_harm(name: str, clean: str) -> None:
    assert clean_file_name(name) == clean


def test_headings_are_told_apart() -> None:
    assert unique_headings(["Price", " price ", "Price", "", "Price"]) == [
        "Price",
        "price",
        "Price (2)",
        "Column 4",
        "Price (3)",
    ]

"""What the text of a cell means, and what it cannot mean."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni.kernel.imports.container import find_kind
from omni.kernel.imports.export import as_cell, csv_chunks, disarm, template_csv, write_template, write_xlsx
from omni.kernel.imports.faults import BadCell
from omni.kernel.imports.fields import Field, parser_of, revivers_of
from omni.kernel.imports.limits import UPLOAD
from omni.kernel.imports.lines import Lossy, read_lines
from omni.kernel.imports.options import Options

pytestmark = pytest.mark.capability("O2")


def parse(text: str, kind: Any, *, decimal: str = ".", zone: str = "Asia/Shanghai", **field: Any) -> Any:
    options = Options(decimal=decimal, time_zone=zone, date_formats=["%d.%m.%Y"])
    return parser_of(Field("x", "X", kind, **field), options)(text)


def reason(text: str, kind: Any, **more: Any) -> str:
    with pytest.raises(BadCell) as refusal:
        parse(text, kind, **more)
    assert refusal.value.detail
    return refusal.value.reason


@pytest.mark.parametrize(
    ("text", "value"), [("6", 6), (" -2 ", -2), ("17850.0", 17850), ("+3", 3), ("", None)]
)
def test_whole_numbers(text: str, value: int | None) -> None:
    assert parse(text, "integer") == value


@pytest.mark.parametrize(
    "text", ["1.5", "１", "1e3", "0x10", "1 000", "٣", "true", "1,000", "NaN", "--1", "9" * 30]
)
def test_what_is_no_whole_number(text: str) -> None:
    assert reason(text, "integer") == "bad_number"


def test_whole_numbers_out_of_range_are_refused() -> None:
    assert reason("0", "integer", minimum=1) == "out_of_range"
    assert reason("1000000000000", "integer", maximum=1_000_000) == "out_of_range"
    assert reason("9" * 17, "integer") == "out_of_range"


@pytest.mark.parametrize(
    ("text", "mark", "value"),
    [
        ("2.55", ".", "2.55"),
        ("1,234.50", ".", "1234.5"),
        ("1.234,50", ",", "1234.5"),
        ("-0.01", ".", "-0.01"),
        (".5", ".", "0.5"),
        ("100", ",", "100"),
        ("0.00", ".", "0"),
    ],
)
def test_amounts(text: str, mark: str, value: str) -> None:
    assert parse(text, "decimal", decimal=mark) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1e-9", "bad_number"),
        ("0.00001", "too_fine"),
        ("1" + "0" * 18, "out_of_range"),
        ("Infinity", "bad_number"),
        ("1,23", "bad_number"),
        ("12,34,567.0", "bad_number"),
        ("£2.55", "bad_number"),
        ("2.5５", "bad_number"),
    ],
)
def test_what_is_no_amount(text: str, why: str) -> None:
    assert reason(text, "decimal") == why


@given(st.decimals(min_value=-(10**12), max_value=10**12, places=4))
def test_every_amount_survives_the_way_through_a_file(amount: Decimal) -> None:
    text = parse(as_cell(amount), "decimal")

    assert revivers_of([Field("x", "X", "decimal")])["x"](text) == amount


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2010-12-01 08:26:00", "2010-12-01T00:26:00+00:00"),
        ("2010/12/01 08:26", "2010-12-01T00:26:00+00:00"),
        ("2010-12-01T08:26:00+00:00", "2010-12-01T08:26:00+00:00"),
        ("01.12.2010", "2010-11-30T16:00:00+00:00"),
    ],
)
def test_moments_are_those_of_the_zone_unless_they_say_their_own(text: str, value: str) -> None:
    assert parse(text, "moment") == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("yesterday", "bad_moment"),
        ("2026-02-30", "bad_moment"),
        ("1969-12-31", "out_of_range"),
        ("2150-01-01", "out_of_range"),
        ("2026-01-01T00:00:00+14:61", "bad_moment"),
        ("45992", "bad_moment"),
    ],
)
def test_what_is_no_moment(text: str, why: str) -> None:
    assert reason(text, "moment") == why


def test_a_time_that_the_clocks_skipped_does_not_exist() -> None:
    assert reason("2011-03-27 01:30", "moment", zone="Europe/London") == "no_such_time"
    assert parse("2011-03-27 02:30", "moment", zone="Europe/London") == "2011-03-27T01:30:00+00:00"


def test_codes_hold_nothing_that_cannot_be_seen() -> None:
    assert parse("ＡＢ-１", "code") == "ＡＢ-１"
    assert reason("AB\u200b1", "code") == "odd_letters"
    assert reason("AB\u202e1", "code") == "odd_letters"
    assert reason("A\tB", "code") == "odd_letters"
    assert reason("e\u0301", "code") == "odd_letters"
    assert reason("x" * 300, "code") == "too_long"


def test_a_rounded_number_is_no_code_but_may_be_an_amount() -> None:
    assert reason(Lossy("123456789012345700"), "code") == "rounded_number"
    assert parse(Lossy("1000000000000000"), "decimal") == "1000000000000000"


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("6901", ["6901"]),
        ("A-1, B-2;C-3", ["A-1", "B-2", "C-3"]),
        ("一，二、三；四", ["一", "二", "三", "四"]),
        (" A-1\nB-2  A-1 ", ["A-1", "B-2"]),
        (" , ", None),
    ],
)
def test_several_codes_stand_in_one_cell_each_once(text: str, codes: list[str] | None) -> None:
    assert parse(text, "codes") == codes


def test_codes_too_long_or_too_many_are_refused() -> None:
    assert reason("A B" + "C" * 70, "codes", max_length=64) == "too_long"
    assert reason(" ".join(map(str, range(60))), "codes") == "too_long"


def test_choices_and_yes_and_no() -> None:
    assert parse("GOOD", "choice", choices=("good", "bad")) == "good"
    assert reason("so-so", "choice", choices=("good", "bad")) == "bad_choice"
    assert parse("是", "boolean") is True
    assert parse("No", "boolean") is False
    assert reason("maybe", "boolean") == "bad_choice"
    assert parse("2026-01-31", "date") == "2026-01-31"


def test_a_required_cell_must_not_be_empty() -> None:
    assert reason("  ", "text", is_required=True) == "missing_value"
    assert parse("  ", "text") is None


# --- the way out ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+49 30", "-5 °C", "@home", "\tx", "\rx", "＝1", "＋1", "－1", "＠x", "=cmd|' /C calc'!A0"],
)
def test_no_text_leaves_as_a_formula_and_ours_comes_back_as_it_was(text: str) -> None:
    (data,) = csv_chunks(["a", "b"], [[text, "x"]])

    cell = next(csv.reader(io.StringIO(data.decode("utf-8-sig").split("\n", 1)[1])))[0]

    assert cell == f"'{text}"
    assert parse(cell, "text") == text.strip()


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40))
def test_text_survives_the_way_out_and_in(text: str) -> None:
    if text.startswith("'"):
        return
    expected = text.strip() or None

    assert parse(disarm(text), "text") == expected


def test_an_apostrophe_of_its_own_stays() -> None:
    assert parse("'tis", "text") == "'tis"
    assert parse("'=1", "text") == "=1"


def test_numbers_stay_numbers_and_moments_are_unmistakable() -> None:
    row = [Decimal("-2.50"), -3, True, None, datetime(2026, 1, 2, 3, 4, tzinfo=UTC), date(2026, 1, 2)]

    assert [as_cell(value) for value in row] == [
        "-2.50",
        "-3",
        "true",
        "",
        "2026-01-02T03:04:00+00:00",
        "2026-01-02",
    ]


def test_a_workbook_holds_formulas_as_text(tmp_path: Any) -> None:
    path = tmp_path / "out.xlsx"

    count = write_xlsx(
        path, ["a", "b", "c"], [["=1+1", 2, Decimal("3.50")], ["http://x", "", None]], title="T/1"
    )
    lines = list(read_lines(path, find_kind(path, limits=UPLOAD), Options(), limits=UPLOAD))

    assert count == 2
    assert [line.cells for line in lines] == [["a", "b", "c"], ["=1+1", "2", "3.5"], ["http://x", "", ""]]


def test_a_template_can_be_filled_in_and_read(tmp_path: Any) -> None:
    fields = (
        Field("code", "Code", "code", is_required=True, example="A-1"),
        Field("grade", "Grade", "choice", choices=("good", "bad"), example="good", note="As inspected."),
    )
    path = tmp_path / "template.xlsx"

    write_template(path, fields, title="Orders")
    lines = list(read_lines(path, find_kind(path, limits=UPLOAD), Options(), limits=UPLOAD))
    notes = list(read_lines(path, "xlsx", Options(sheet="Notes"), limits=UPLOAD))

    assert [line.cells for line in lines] == [["Code", "Grade"], ["A-1", "good"]]
    assert notes[2].cells == ["Grade", "no", "one of good, bad", "As inspected."]
    assert template_csv(fields) == b"\xef\xbb\xbfCode,Grade\r\nA-1,good\r\n"

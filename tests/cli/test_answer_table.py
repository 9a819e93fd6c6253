"""Rows as a table for people, at every width."""

from decimal import Decimal

import pytest

from cli.answer_table import as_table
from pipeline.inspection.query import Found, Value

WIDE = tuple(f"column_{number}" for number in range(24))


def found(*rows: tuple[Value, ...], columns: tuple[str, ...] = ("a",)) -> Found:
    return Found(columns, (False,) * len(columns), rows, cut=False)


def cells(*values: Value) -> list[str]:
    """How the values look in one column."""
    return [line.strip() for line in as_table(found(*((value,) for value in values))).text.splitlines()[2:]]


def test_a_table_lines_up_and_cannot_garble_the_terminal() -> None:
    shown = as_table(found((1234567, "\x1b[31mred", None), (5, "[b]x", True), columns=("count", "name", "flag")))
    assert shown.text.splitlines() == [
        "    count   name          flag",
        "─" * 30,
        r"1,234,567   \x1b[31mred",
        "        5   [b]x          true",
    ]
    assert shown.left_out == ""


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ((1234567, -1234, 0, 2**70), ["1,234,567", "-1,234", "0", "1,180,591,620,717,411,303,424"]),
        ((4216491.128763, 5.1), ["4,216,491.13", "5.10"]),
        ((2.0, 17.0), ["2", "17"]),
        ((0.5, 1.25), ["0.50", "1.25"]),
        ((0.0123456,), ["0.01235"]),
        ((12.3456, 0.0001), ["12.35", "0.0001"]),  # not 0.00: that is another number
        ((0.0, 12.5), ["0.0", "12.5"]),
        ((Decimal("1234.5678"),), ["1,234.57"]),
        ((float("nan"), float("-inf"), 1.5), ["nan", "-inf", "1.5"]),
        (("007", "1234567"), ["007", "1234567"]),  # text stays as it is
    ],
)
def test_numbers_are_rounded_and_thousands_are_separated(values: tuple[Value, ...], shown: list[str]) -> None:
    assert cells(*values) == shown


def test_few_rows_of_a_wide_answer_are_blocks() -> None:
    row = (*range(1000, 1023), "text that goes on below itself where the line ends")
    shown = as_table(found(row, row, columns=WIDE), 40)
    first, second = shown.text.split("\n\n")
    assert first.splitlines()[:2] == ["column_0   1,000", "column_1   1,001"]
    assert first.splitlines()[-2:] == ["column_23  text that goes on below", "           itself where the line ends"]
    assert second.splitlines() == first.splitlines()
    assert shown.left_out == ""
    assert max(map(len, shown.text.splitlines())) <= 40


def test_a_long_value_of_a_block_is_cut() -> None:
    shown = as_table(found(("x" * 5000,)), 80)
    assert shown.text.count("x") == 999
    assert shown.left_out == "long texts are cut: --format csv shows all"


def test_long_texts_of_many_rows_are_cut_and_numbers_are_not() -> None:
    row = ("f" * 100, 123456789012, "r" * 10)
    shown = as_table(found(*[row] * 9, columns=("file", "bytes_read_altogether", "reason")), 60)
    lines = shown.text.splitlines()
    assert len(lines) == 2 + 9
    assert max(map(len, lines)) <= 60
    assert "123,456,789,012" in lines[2]
    assert lines[2].startswith("f" * 19 + "…")
    assert shown.left_out == "long texts are cut: --format csv shows all"


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_columns_of_the_middle_are_left_out_where_too_many_do_not_fit(width: int) -> None:
    shown = as_table(found(*[tuple(range(10**6, 10**6 + 24))] * 9, columns=WIDE), width)
    lines = shown.text.splitlines()
    assert len(lines) == 2 + 9, "a row is a line"
    assert max(map(len, lines)) <= width
    names = lines[0].split()
    assert names[0] == "column_0"
    assert names[-1] == "column_23"
    assert "…" in names
    kept = (width - 4 + 3) // 12  # each of 9 characters and three spaces; the gap is one and three
    assert abs(len(names) - 1 - kept) <= 1
    assert shown.left_out == (
        f"{len(names) - 1} of 24 columns are shown, and long texts are cut: --format csv shows all"
    )


@pytest.mark.parametrize("width", range(12, 40))
def test_no_width_breaks_a_line(width: int) -> None:
    row = ("ü漢字" * 20, 10**15, "x", 0.5)
    lines = as_table(found(*[row] * 7, columns=("name", "a_long_title_of_numbers", "c", "d")), width).text.splitlines()
    assert len(lines) == 9 or width < 25
    assert max(map(len, lines)) <= max(width, 24)


@pytest.mark.parametrize(
    ("title", "shown"), [("year", "2026"), ("date_key", "2026"), ("years", "2,026"), ("n", "2,026")]
)
def test_numbers_that_are_names_have_no_separators(title: str, shown: str) -> None:
    assert as_table(Found((title,), (False,), ((2026,),), cut=False)).text.split()[-1] == shown

"""Which names are one name, what a header line says, and how the records behind it change that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import FileRefused
from pipeline.reading.column_names import (
    WHITE_SPACE,
    Layout,
    alike,
    find_columns,
    fit_to_records,
    layout_of,
    layouts_alike,
    match_line,
    shown,
)
from tests import reference

WANTED = {"log_id": ("log_id", "id"), "user_id": ("user_id",), "watch_time": ("minutes",)}


def test_white_space_is_that_of_the_reference() -> None:
    assert sorted(WHITE_SPACE) == sorted(reference.WHITE_SPACE)
    assert not set("\x1c\x1f\u200b\ufeff") & set(WHITE_SPACE)


@pytest.mark.parametrize(
    "name", ["log_id", "LOG_ID", " log_id\t", "\xa0log_id\u3000", "#log_id", "# Log_ID", "\ufefflog_id"]
)
def test_spellings_of_one_name(name: str) -> None:
    assert alike(name) == "log_id"


@pytest.mark.parametrize("name", ["log id", "logid", "log_id#", "\u200blog_id", "\x1clog_id"])
def test_other_names_are_other_names(name: str) -> None:
    assert alike(name) != "log_id"


@given(st.text())
def test_a_name_that_is_shown_has_nothing_more_to_take_off(name: str) -> None:
    assert shown(name).strip(reference.WHITE_SPACE) == shown(name)


@pytest.mark.parametrize(
    ("line", "delimiter", "columns"),
    [
        (b"log_id,user_id,minutes\n", ",", (0, 1, 2)),
        (b"Minutes;x;USER_ID; Log_Id \r\n", ";", (3, 2, 0)),
        (b'\xef\xbb\xbf"user_id"\t"ID"\t"minutes"', "\t", (1, 0, 2)),
        (b"log_id user_id minutes", " ", (0, 1, 2)),
        (b"#Fields: date log_id user_id minutes\n", " ", (1, 2, 3)),
        (b"#fields:\tlog_id  user_id\tminutes\n", " ", (0, 1, 2)),
        (b"#Fields: log_id,user_id,minutes\n", ",", (0, 1, 2)),
        (b"LOG_ID,log_id,user_id,minutes", ",", (1, 2, 3)),
    ],
)
def test_what_a_header_line_says(line: bytes, delimiter: str, columns: tuple[int, ...]) -> None:
    layout = match_line(line, WANTED, {})
    assert layout
    assert layout.delimiter == delimiter
    assert layout.columns == dict(zip(WANTED, columns, strict=True))


@pytest.mark.parametrize("line", [b"", b"log_id,user_id\n", b'"log_id,user_id,minutes\n', b"log id,user id,minutes\n"])
def test_what_is_no_header(line: bytes) -> None:
    assert match_line(line, WANTED, {}) is None


@pytest.mark.parametrize("names", [["LOG_ID", "Log_Id", "user_id", "minutes"], ["ID", "log_id ", "user_id", "minutes"]])
def test_two_columns_that_are_only_alike_are_refused(names: list[str]) -> None:
    with pytest.raises(FileRefused, match="more than one column for log_id"):
        find_columns(names, WANTED, {})


def test_one_column_that_two_roles_accept_is_refused() -> None:
    wanted = {"log_id": ("id",), "user_id": ("ID",)}
    assert find_columns(["ID", "id"], wanted, {}) == {"log_id": 1, "user_id": 0}
    with pytest.raises(FileRefused, match="accepted for log_id and for user_id"):
        find_columns(["Id", "x"], wanted, {})


THREE = Layout(",", ("a", "b", "c"), {"log_id": 0})


@pytest.mark.parametrize(
    ("names", "lines", "expected"),
    [
        ("abc", [b"1,2,3\n"], "abc"),
        ("abc", [b"1,2,3,\n"], "abc+"),
        ("abc", [b"1,2,3,\r\n", b"1,2,3\n", b"1,2,3,\n"], "abc+"),
        ("abc", [b"1,2,3,\n", b"1,2,3\n"], "abc"),
        ("abc", [b"1,2,3,4\n", b'1,"2\n', b"1,2,3,,\n"], "abc"),
        ("abc", [b"#1,2,3,\n", b"\n", b"\r\n"], "abc"),
        ("abc", [b'1,"2,",3,\n'], "abc+"),
        ("abc+", [b"1,2,3,\n"], "abc+"),
        ("abc+", [b"1,2,3\n"], "abc"),
        ("abc+", [b"1,2,3\n", b"1,2,3,\n"], "abc+"),
        ("abc", [], "abc"),
    ],
)
def test_records_may_end_with_a_delimiter(names: str, lines: list[bytes], expected: str) -> None:
    def names_of(text: str) -> tuple[str, ...]:
        return tuple(text.replace("+", " ").replace(" ", "\0")) if "+" not in text else (*text[:-1], "")

    found = fit_to_records(THREE._replace(names=names_of(names)), lines)
    assert found == THREE._replace(names=names_of(expected))


def test_records_behind_a_directive_may_be_divided_by_tabs() -> None:
    layout = THREE._replace(delimiter=" ")
    assert fit_to_records(layout, [b"1\t2 2\t3\n"]).delimiter == "\t"
    assert fit_to_records(layout, [b"1 2 3\n"]).delimiter == " "
    assert fit_to_records(THREE, [b"1\t2\t3\n"]).delimiter == ","


def test_the_delimiter_of_a_log_without_a_header() -> None:
    names = ("id", "user_id", "minutes")
    assert layout_of(names, [b"1;2,2;3\n", b"1;2;3\n"], WANTED, {}).delimiter == ";"
    assert layout_of(names, [b"1 2 3 \n"], WANTED, {}) == Layout(
        " ", names, {"log_id": 0, "user_id": 1, "watch_time": 2}
    )
    another_log = [b"minutes,user_id,id\n", *[b"1,2,3\n"] * 9]
    assert layout_of(names, [b"1;2;3\n", *another_log], WANTED, {}).delimiter == ";", "lines behind it are of that log"
    with pytest.raises(FileRefused, match="none of its first lines has the 3 fields of COLUMNS"):
        layout_of(names, [b"1,2,3,4\n"], WANTED, {})
    with pytest.raises(FileRefused, match="COLUMNS lacks 'minutes'"):
        layout_of(("id", "user_id"), [b"1,2\n"], WANTED, {})


def test_columns_that_nobody_needs_may_have_other_names() -> None:
    other = ("a", "x", "c")
    assert layouts_alike(THREE, THREE._replace(names=other))
    assert not layouts_alike(THREE, THREE._replace(names=("A", "b", "c")))
    assert not layouts_alike(THREE, THREE._replace(names=("a", "b", "c", "")))
    assert not layouts_alike(THREE, THREE._replace(delimiter=";"))

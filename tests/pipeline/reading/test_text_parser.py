"""The text parser gives what Python's csv module reads, as text, or nothing."""

import csv
import io

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.reading.header import Header
from pipeline.reading.text_parser import NO_REJECTED, REJECTED, TextColumns, check, no_columns, parse, rejected_frame

NAMES = ("log_id", "user_id", "ip_address", "watch_time", "title")
COLUMNS = {"watch_time": 3, "log_id": 0, "user_id": 1, "ip_address": 2}
HEADER = Header(",", NAMES, COLUMNS, 0, 2, 10.0)
VALUES = st.text("ab 1.-é\t;'\\#", max_size=5)
LINES = st.lists(st.lists(st.tuples(VALUES, st.booleans()), min_size=5, max_size=5), min_size=1, max_size=6)


def write(lines: list[list[tuple[str, bool]]], end: str) -> bytes:
    fields = ([f'"{value}"' if quoted else value for value, quoted in line] for line in lines)
    return "".join(",".join(line) + end for line in fields).encode()


@given(LINES, st.sampled_from(["\n", "\r\n"]))
@example([[("", False)] * 5], "\n")
@example([[("1", False), ("007", False), ("", True), ("1e5", False), ("null", False)]], "\n")
def test_values_are_the_text_of_their_fields(lines: list[list[tuple[str, bool]]], end: str) -> None:
    data = write(lines, end)
    texts = parse(data, HEADER)
    assert texts is not None
    expected = list(csv.reader(io.StringIO(data.decode(), newline="")))
    for role, index in COLUMNS.items():
        assert texts[role].dtype == pl.String
        assert texts[role].to_list() == [line[index] for line in expected]


def test_the_delimiter_is_that_of_the_header() -> None:
    header = Header("|", ("log_id", "x"), {"log_id": 0}, 0, 2, 10.0)
    texts = parse(b"a,b|c\nd|e,f\n", header)
    assert texts is not None
    assert texts["log_id"].to_list() == ["a,b", "d"]


@pytest.mark.parametrize("data", [b"a,b,c,1,t,more\n", b"\xff\xfe,b,c,1,t\n"], ids=["too many fields", "not UTF-8"])
def test_what_polars_refuses_or_the_scanner_does_not_find_is_nothing(data: bytes) -> None:
    texts = parse(data, HEADER)
    assert texts is None or check(data, texts, HEADER, 1024) is None


def test_the_check_gives_the_start_of_every_record() -> None:
    data = b'a,b,c,1,t\r\n"x","y",z,22,\r\n,,,,\r\n'
    texts = parse(data, HEADER)
    assert texts is not None
    starts = check(data, texts, HEADER, 1024)
    assert starts is not None
    assert starts.tolist() == [0, data.index(b'"x"'), data.index(b",,,,")]
    for role in COLUMNS:
        changed = texts | {role: pl.Series(["?", *texts[role].to_list()[1:]])}
        assert check(data, changed, HEADER, 1024) is None
    assert check(data, texts, HEADER, 10) is None, "the second record has 15 bytes"


def test_no_columns_have_all_roles_and_no_rows() -> None:
    nothing = no_columns(HEADER)
    assert nothing.records == 0
    assert nothing.texts.keys() == COLUMNS.keys()
    assert all(text.dtype == pl.String and not len(text) for text in nothing.texts.values())


def test_records_are_those_of_the_columns_and_the_rejected_ones() -> None:
    three, texts = np.arange(3), {"log_id": pl.Series(["a", "b", "c"])}
    rejected = pl.concat([NO_REJECTED, NO_REJECTED.clear(2)])
    assert TextColumns(texts, three, three, three).records == 3
    assert TextColumns(texts, three, three, three, rejected).records == 5


def test_a_rejected_record_has_its_bytes_and_its_value() -> None:
    data = b"good\nbad one\nworse\n"
    lines, starts, stops = np.array([1, 2]), np.array([5, 13]), np.array([12, 18])
    reasons = pl.Series(["odd", "odder"])
    bare = rejected_frame(data, lines, starts, stops, reasons)
    assert bare.schema == REJECTED
    assert bare.rows() == [(1, 5, "odd", None, None, b"bad one"), (2, 13, "odder", None, None, b"worse")]
    columns, values = pl.Series(["user_id", None], dtype=pl.String), pl.Series(["", None], dtype=pl.String)
    named = rejected_frame(data, lines, starts, stops, reasons, columns, values)
    assert [row[3:5] for row in named.rows()] == [("user_id", ""), (None, None)]
    none = np.empty(0, np.int64)
    assert rejected_frame(data, none, none, none, pl.Series([], dtype=pl.String)).equals(NO_REJECTED)

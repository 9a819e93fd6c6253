"""The scanner by itself: what it counts, and that the check passes nothing but what the bytes say."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reading.scanner import check, tally
from tests.examples import tries

COMMA = ord(",")
MAX = 64


def column(*values: str | None) -> pl.Series:
    return pl.Series(values, dtype=pl.String)


def passes(data: bytes, *columns: pl.Series, max_record: int = MAX) -> list[int] | None:
    starts = check(data, COMMA, len(columns), dict(enumerate(columns)), max_record)
    return None if starts is None else starts.tolist()


@pytest.mark.parametrize(
    ("data", "columns", "starts"),
    [
        (b"a,b\n", [["a"], ["b"]], [0]),
        (b",\n,\r\n", [["", ""], ["", ""]], [0, 2]),
        (b"a,b\r\nc,d\n", [["a", "c"], ["b", "d"]], [0, 5]),
        (b'"a,b",c\nd,"e"\r\n', [["a,b", "d"], ["c", "e"]], [0, 8]),
        (b"abcdefghijklm,b\n", [["abcdefghijklm"], ["b"]], [0]),
        ("é漢😀,b\n".encode(), [["é漢😀"], ["b"]], [0]),
    ],
)
def test_passed(data: bytes, columns: list[list[str]], starts: list[int]) -> None:
    assert passes(data, *(column(*values) for values in columns)) == starts


@pytest.mark.parametrize(
    "data",
    [
        *(b"a,b,c\n", b"a\n", b"a,b\n\n", b"a,b\0\n", b"a,\xff\n"),
        *(b'a,"b""c"\n', b'a,"b\nc"\n', b'a"",b\n', b"a," + b"b" * MAX + b"\n"),
    ],
)
def test_stretches_in_doubt_are_never_passed(data: bytes) -> None:
    """Whatever the parser found: these are for the careful path."""
    for values in (["a"], ["b"]), (["a"], ["b" * MAX]), (["a"], ['b"c']), (['a""'], ["b"]), (["a"], ["b\0"]):
        assert passes(data, *(column(*one) for one in values)) is None


@tries(200)
@given(st.lists(st.tuples(*[st.text("abc0é漢", max_size=18)] * 2), min_size=1, max_size=12), st.data())
def test_any_difference_in_length_or_at_either_end_is_seen(rows: list[tuple[str, str]], data: st.DataObject) -> None:
    raw = "".join(f"{a},{b}\n" for a, b in rows).encode()
    values = [list(one) for one in zip(*rows, strict=True)]
    assert passes(raw, *(column(*one) for one in values), max_record=256) is not None
    place, row = data.draw(st.integers(0, 1)), data.draw(st.integers(0, len(rows) - 1))
    old = values[place][row]
    new = data.draw(st.sampled_from([old + "a", old[:-1] + "z", "z" + old[1:], old[1:], old[:-1], "", None]))
    values[place][row] = new
    if new != old:
        assert passes(raw, *(column(*one) for one in values), max_record=256) is None


def test_columns_in_slices_and_many_buffers() -> None:
    """Polars hands out views into shared buffers: offsets and buffer numbers must be followed."""
    texts = [f"user_{number:020d}" if number % 3 else f"u{number:013d}" for number in range(5000)]
    parts = [column(*texts[a : a + 700]) for a in range(0, 5000, 700)]
    joined = pl.concat(parts, rechunk=True)
    for first, last in ((0, 5000), (1, 4999), (1234, 1240)):
        raw = "".join(f"{text},x\n" for text in texts[first:last]).encode()
        part, xs = joined[first:last], column(*["x"] * (last - first))
        assert passes(raw, part, xs) is not None
        assert passes(raw, pl.concat([part[1:], part[:1]]), xs) is None
        assert passes(raw, pl.concat([part[:1], part[2:3], part[1:2], part[3:]]), xs) is None


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a,b\nc,d\n", (2, 0, 2)),
        (b"\n\r\na,b\n\n", (1, 3, 4)),
        (b'"a\nb",c\nd,e\n', (2, 0, 3)),
        (b'"a\n\nb",c\n\n', (1, 1, 4)),
        (b'"a\nb,c\nd,e\n', (3, 0, 3)),
        (b'"a\nb",c,d\n', (2, 0, 2)),
        (b'a"b,"c\nd"\n', (1, 0, 2)),
        (b'"a""\nb",c\n', (1, 0, 2)),
        (b'a,b"\nc,d"\n', (2, 0, 2)),
        (b'"' + b"\n" * (MAX - 4) + b'",c\n', (1, 0, MAX - 3)),
        (b'"' + b"\n" * (MAX - 3) + b'",c\n', (2, MAX - 4, MAX - 2)),
        (b"x" * 200 + b"\n", (1, 0, 1)),
    ],
)
def test_counts_by_the_contract_of_records(data: bytes, expected: tuple) -> None:
    found = tally(data, len(data), COMMA, 2, MAX)
    assert (found.records, found.blank_lines, found.lines, found.length) == (*expected, len(data))


def test_a_record_belongs_where_it_begins() -> None:
    data = b'a,b\n"c\n\nd",e\nf,g\n'
    found = tally(data, 7, COMMA, 2, MAX)
    assert (found.records, found.blank_lines, found.lines, found.length) == (2, 0, 4, 13)


def test_a_column_without_rows_is_not_the_bytes() -> None:
    assert check(b"a,b\n", COMMA, 2, {0: column()}, MAX) is None
    assert np.array_equal(check(b"a,b\n", COMMA, 2, {}, MAX), [0])

"""CSV files become typed rows; every record that is none is rejected with line, reason and bytes."""

import gzip
import re
from collections.abc import Sequence
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.sources import csv_file
from pipeline.sources.columns import Date, Int, Money, Text
from pipeline.sources.contract import Contract
from pipeline.sources.csv_file import extract_csv
from pipeline.sources.extracted import ExtractWriter, Privacy, Stamp
from pipeline.sources.source import csv

STAMP = Stamp("a.csv", datetime(2026, 1, 1), "run")


class Row(Contract):
    a = Text("text", nullable=True)
    b = Int("number", nullable=True)
    c = Text("more", nullable=True)


def extract(
    tmp_path: Path, data: bytes, contract: type[Contract] = Row, name: str = "a.csv", threads: int = 1
) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """(rows, rejected as line, reason and bytes)"""
    path = tmp_path / name
    path.write_bytes(data)
    folder = tmp_path / "rows"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    writer = ExtractWriter(folder, "rows", contract, Privacy())
    found = extract_csv(csv(name, contract), str(path), STAMP, writer, threads)
    rows = [row for file in found.files for row in pl.read_parquet(folder / file).select(list(contract.columns)).rows()]
    rejects = [
        row for file in found.rejects for row in pl.read_parquet(folder / file).select("line", "check", "raw").rows()
    ]
    assert found.rows == len(rows)
    assert sum(found.rejected.values()) == len(rejects)
    return rows, rejects


@pytest.mark.parametrize(
    ("data", "rows", "rejects"),
    [
        (b"a,b,c\nx,1,y\n", [("x", 1, "y")], []),
        (b"\xef\xbb\xbfc;b;a\r\ny;1;x", [("x", 1, "y")], []),
        (b'a,b,c\n"x,\n""z""",1,\n', [('x,\n"z"', 1, None)], []),
        (b"a,b,c\nx,1\nx,2,y\n", [("x", 2, "y")], [(2, "2 fields instead of 3", b"x,1\n")]),
        (b'a,b,c\n"x,1,y\nx,2,y\n', [("x", 2, "y")], [(2, "a quoted field does not close", b'"x,1,y\n')]),
        (b'a,b,c\n"x"z,1,y\nx,2,y\n', [("x", 2, "y")], [(2, "a quoted field does not close", b'"x"z,1,y\n')]),
        (b'a,b,c\n5" x,1,y\n', [('5" x', 1, "y")], []),
        (b"a,b,c\nx,\xff,y\nx,2,y\n", [("x", 2, "y")], [(2, "invalid UTF-8", b"x,\xff,y\n")]),
        (b"a,b,c\nx\0,1,y\nx,2,y\n", [("x", 2, "y")], [(2, "a NUL byte", b"x\0,1,y\n")]),
        (b"a,b,c\nx\ry,1,z\n", [("x\ry", 1, "z")], []),
        (b'a,b,c\n"p\nq",1,y\n\nx,two,y\n', [("p\nq", 1, "y")], [(5, "not a whole number", b"x,two,y\n")]),
        (b"a,b,c,d\nx,1,y,further\n", [("x", 1, "y")], []),
        (b"a,b,c\n", [], []),
    ],
)  # fmt: skip
def test_records_follow_the_contract(
    data: bytes, rows: list[tuple[object, ...]], rejects: list[tuple[object, ...]], tmp_path: Path
) -> None:
    assert extract(tmp_path, data) == (rows, rejects)


def test_compressed_files_are_read(tmp_path: Path) -> None:
    assert extract(tmp_path, gzip.compress(b"a,b,c\nx,1,y\n"), name="a.csv.gz")[0] == [("x", 1, "y")]


def test_a_header_without_a_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the header lacks c\. Add the column"):
        extract(tmp_path, b"a,b\nx,1\n")
    with pytest.raises(InputError, match="names a 2 times"):
        extract(tmp_path, b"a,a,b,c\nx,x,1,2\n")


FIELD = st.text(st.sampled_from('ab,"\n\r\0é'), max_size=6)


def as_csv(records: Sequence[Sequence[str]]) -> bytes:
    """RFC 4180, all fields quoted that need it."""
    lines = [",".join(f'"{field.replace(chr(34), chr(34) * 2)}"' for field in record) for record in records]
    return ("\n".join(["a,b,c", *lines]) + "\n").encode()


class Texts(Contract):
    a = Text("text", nullable=True)
    b = Text("text", nullable=True)
    c = Text("text", nullable=True)


@settings(max_examples=40)
@given(st.lists(st.tuples(FIELD, FIELD, FIELD), max_size=12), st.integers(8, 60), st.integers(1, 2))
def test_quoted_fields_come_back_whatever_they_hold(
    tmp_path_factory: pytest.TempPathFactory, records: list[tuple[str, str, str]], size: int, threads: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_file, "BLOCK_BYTES", size)
        patch.setattr(csv_file, "_LEAST_BYTES", size)
        rows, rejects = extract(tmp_path_factory.mktemp("csv"), as_csv(records), Texts, threads=threads)
    good = [
        tuple(field or None for field in record) for record in records if not any("\0" in field for field in record)
    ]
    assert rows == good
    assert len(rejects) == len(records) - len(good)


class Typed(Contract):
    day = Date("day", formats=("%Y-%m-%d", "%d/%m/%Y"), nullable=True)
    cents = Money("amount", currency="EUR", nullable=True)
    yen = Money("amount", currency="JPY", nullable=True, rounds=True)


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("2026-01-02,1.5,1.5", (date(2026, 1, 2), 150, 2)),
        ("3/1/2026,-0.01,-1.5", (date(2026, 1, 3), -1, -2)),
        (",.5,1.49999", (None, 50, 1)),
        ("2026-01-02,1.500,0", (date(2026, 1, 2), 150, 0)),
        ("2026-01-02,12345678901234567.89,9", (date(2026, 1, 2), 1234567890123456789, 9)),
    ],
)
@pytest.mark.parametrize("times", [1, 9])
def test_texts_become_values(times: int, line: str, row: tuple[object, ...], tmp_path: Path) -> None:
    """Also where they are so many that different ones are parsed once."""
    lines = f"{line}\n" * times
    assert extract(tmp_path, f"day,cents,yen\n{lines}".encode(), Typed) == ([row] * times, [])


_AMOUNTS = st.lists(
    st.one_of(st.none(), st.from_regex(r"[+-]?([0-9]{1,9}\.?[0-9]{0,5}|\.[0-9]{1,4})|x|1e2|", fullmatch=True))
)


@given(texts=_AMOUNTS)
def test_amounts_are_rounded_as_python_does(texts: list[str | None]) -> None:
    """Also beside amounts that need no rounding, and beside texts that are none."""
    found = pl.Series("text", texts, pl.String).to_frame().select(Typed.columns["yen"].parse(pl.col("text")))
    assert found.to_series().to_list() == [_rounded(text) for text in texts]


def _rounded(text: str | None) -> int | None:
    if not text or text in ("x", "1e2"):
        return None
    return int(Decimal(text).quantize(Decimal(1), ROUND_HALF_UP))


@pytest.mark.parametrize("line", ["2026-02-30,1,1", "1/1/26,1,1", "2026-01-01,1.005,1", "2026-01-01,1e3,1", "x,1,1",
                                  "2026-01-01,999999999999999999,1", "2026-01-01, 1,1"])  # fmt: skip
@pytest.mark.parametrize("times", [1, 9])
def test_texts_that_are_no_values_are_rejected(times: int, line: str, tmp_path: Path) -> None:
    lines = f"{line}\n" * times
    rows, rejects = extract(tmp_path, f"day,cents,yen\n{lines}".encode(), Typed)
    assert rows == []
    assert [reject[0] for reject in rejects] == list(range(2, 2 + times))


def test_rejected_records_are_in_the_order_of_the_file_however_it_is_divided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some are no records, others have a value that does not fit."""
    bad = {3: b"x,1", 50: b"x,one,y", 51: b"x\0,1,y", 120: b"x,two,y", 200: b"x,1,y,z"}
    lines = [bad.get(number, b"x,1,y") for number in range(2, 300)]
    data = b"a,b,c\n" + b"\n".join(lines) + b"\n"
    monkeypatch.setattr(csv_file, "_LEAST_BYTES", 100)
    monkeypatch.setattr(csv_file, "_LINE_BYTES", 0)
    for threads in (1, 2, 5):
        _, rejects = extract(tmp_path, data, threads=threads)
        assert [reject[0] for reject in rejects] == sorted(bad)


@pytest.mark.parametrize(
    ("size", "threads", "blocks"),
    [(0, 2, 1), (1_000, 2, 1), (18_000_000, 2, 2), (43_000_000, 2, 4), (43_000_000, 1, 3), (640_000_000, 2, 40)],
)
def test_all_threads_have_as_many_bytes_to_read(size: int, threads: int, blocks: int) -> None:
    each = csv_file._block_bytes(size, threads)
    assert each <= csv_file.BLOCK_BYTES
    assert max(1, -(-size // each)) == blocks


@given(st.lists(st.text("057.+- ", max_size=8), max_size=20), st.sampled_from([("JPY", 0), ("USD", 2), ("KWD", 3)]))
def test_amounts_are_numbers_with_no_more_digits_than_their_currency(
    texts: list[str], currency: tuple[str, int]
) -> None:
    name, digits = currency
    expected: list[int | None] = []
    for text in texts:
        units = Decimal(text).scaleb(digits) if re.fullmatch(r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)", text) else None
        expected.append(int(units) if units is not None and units == int(units) else None)
    parse = Money("amount", currency=name).parse(pl.col("text"))
    assert pl.DataFrame({"text": texts}, schema={"text": pl.String}).select(parse)["text"].to_list() == expected

"""Losers that compiled code writes are read by pyarrow, Polars and DuckDB as they were handed over."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.preprocess.reject_writer import SCHEMA
from pipeline.publish import conflict_records, quarantine_parts
from pipeline.publish.conflict_records import ConflictRecords, RecordWriter
from pipeline.publish.quarantine_parts import Piece, TableWriter
from tests.harness import library

LIBRARY = Path(library())
TEXTS = [b"", b"a", b"evt-0001,ann", b"evt-0001,bob", b"evt-0002,ann,8.8.8.8,2", b"\xff\x00", b"x" * 700]
RAWS = st.lists(st.sampled_from(TEXTS), min_size=1, max_size=9)
PIECES = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(["a.csv", "é.csv"]), RAWS, st.booleans()), min_size=1, max_size=8
)
Row = tuple[Any, ...]


def records_of(
    file: str, raws: list[bytes], kept: bool, front: bytes = b"header\n"
) -> tuple[ConflictRecords, list[Row]]:
    """Records between other bytes of a text, and the rows that readers are to find."""
    begins = np.cumsum([len(front), *(len(raw) + 1 for raw in raws)])[:-1]
    stops = begins + [len(raw) for raw in raws]
    lines, offsets = np.arange(len(raws)) * 3 + 2, begins + 10**10
    text = front + b"".join(raw + b"\n" for raw in raws)
    rows = [
        (file, int(line), int(offset), "conflict", None, None, raw if kept else None)
        for line, offset, raw in zip(lines, offsets, raws, strict=True)
    ]
    return ConflictRecords(file, lines, offsets, begins if kept else None, stops, text), rows


def expected_groups(pieces: list[tuple[int, int]], most: int) -> Iterator[int]:
    """The rows of each row group, if each is filled before the next one begins."""
    rows = sum(count for _, count in pieces)
    yield from [most] * (rows // most)
    if rows % most:
        yield rows % most


@settings(deadline=None)
@given(pieces=PIECES, most=st.integers(1, 20))
def test_every_reader_finds_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[tuple[int, str, list[bytes], bool]], most: int
) -> None:
    path = tmp_path_factory.mktemp("records") / "part.parquet"
    expected: list[Row] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quarantine_parts, "GROUP_ROWS", most)
        patch.setattr(conflict_records, "GROUP_ROWS", most)
        with RecordWriter(path, LIBRARY) as writer:
            for split, file, raws, kept in pieces:
                records, rows = records_of(file, raws, kept)
                writer.add(split, "mark", records)
                expected += rows
    part = writer.part()
    assert part
    assert part.rows == len(expected)
    sizes = [(split, len(raws)) for split, _, raws, _ in pieces]
    assert [sum(piece.rows for piece in group) for group in part.groups] == list(expected_groups(sizes, most))
    splits = [split for split, count in sizes for _ in range(count)]
    assert [piece.split for group in part.groups for piece in group for _ in range(piece.rows)] == splits
    table = pq.read_table(path)
    assert table.schema.equals(SCHEMA)
    assert [tuple(row.values()) for row in table.to_pylist()] == expected
    assert pl.read_parquet(path).rows() == expected
    assert duckdb.sql(f"from '{path}'").fetchall() == expected


def test_the_footer_tells_what_that_of_pyarrow_does(tmp_path: Path) -> None:
    raws = [b"%d,ann,8.8.8.8,%d" % (number, number) for number in range(500)]
    records, rows = records_of("a.csv", raws, True)
    with RecordWriter(tmp_path / "own.parquet", LIBRARY) as writer:
        writer.add(7, "mark", records)
    with TableWriter(tmp_path / "pyarrow.parquet") as tables:
        tables.add(7, "mark", pa.Table.from_arrays([pa.array(c) for c in zip(*rows, strict=True)], schema=SCHEMA))
    assert writer.groups == tables.groups == [(Piece(7, 500, "mark"),)]
    own, others = (pq.ParquetFile(tmp_path / f"{name}.parquet").metadata for name in ("own", "pyarrow"))
    assert own.schema.equals(others.schema)
    for number in range(len(SCHEMA)):
        mine, other = own.row_group(0).column(number), others.row_group(0).column(number)
        names = ("path_in_schema", "physical_type", "num_values", "is_stats_set")
        assert {name: getattr(mine, name) for name in names} == {name: getattr(other, name) for name in names}
        if mine.is_stats_set:
            told = [statistics.to_dict() for statistics in (mine.statistics, other.statistics)]
            assert told[0] == told[1]


def test_no_file_is_made_of_no_records_and_none_stays_where_writing_fails(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "a.parquet", LIBRARY) as writer:
        pass
    assert writer.part() is None
    records, _ = records_of("a.csv", [b"1,2"], True)
    with pytest.raises(OSError, match="lost"):
        write_and_fail(tmp_path / "a.parquet", records)
    assert not list(tmp_path.iterdir())


def write_and_fail(path: Path, records: ConflictRecords) -> None:
    with RecordWriter(path, LIBRARY) as writer:
        writer.add(1, "mark", records)
        writer.end_group()
        raise OSError("the log is lost")

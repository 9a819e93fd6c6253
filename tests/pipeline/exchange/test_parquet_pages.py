"""Row groups of pages that were encoded here, as pyarrow, Polars and DuckDB read them."""

import struct
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.exchange.parquet_footer import MAGIC, footer_of, with_row_groups
from pipeline.exchange.parquet_pages import (
    BYTE_ARRAY,
    INT64,
    PLAIN,
    Column,
    data_page,
    levels,
    missing_column,
    repeated_texts,
    row_group,
)

SCHEMA = pa.schema([("name", pa.string()), ("number", pa.int64()), ("none", pa.string())])
RUNS = st.lists(st.tuples(st.text(max_size=9), st.integers(1, 300)), min_size=1, max_size=12)


def plain_numbers(numbers: list[int], codec: str) -> Column:
    pages = [numbers[:5], numbers[5:]]
    bodies = [(len(page), levels(len(page)) + struct.pack(f"<{len(page)}q", *page)) for page in pages if page]
    return Column("number", INT64, tuple(data_page(rows, PLAIN, body, codec) for rows, body in bodies), codec=codec)


def write_groups(path: Path, groups: list[list[tuple[str, int]]], codec: str = "zstd") -> None:
    empty = pa.BufferOutputStream()
    pq.ParquetWriter(empty, SCHEMA, store_schema=False).close()
    entries, data, rows = [], MAGIC, 0
    for runs in groups:
        count = sum(length for _, length in runs)
        columns = [
            repeated_texts("name", [(text.encode(), length) for text, length in runs]),
            plain_numbers(list(range(count)), codec),
            missing_column("none", BYTE_ARRAY, count, told=True),
        ]
        entry, parts = row_group(columns, count, len(data))
        data += b"".join(bytes(part) for part in parts)
        entries.append(entry)
        rows += count
    path.write_bytes(data + with_row_groups(footer_of(empty.getvalue().to_pybytes()), entries, rows))


@given(groups=st.lists(RUNS, min_size=1, max_size=3), codec=st.sampled_from(["snappy", "zstd"]))
def test_every_reader_finds_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, groups: list[list[tuple[str, int]]], codec: str
) -> None:
    path = tmp_path_factory.mktemp("pages") / "a.parquet"
    write_groups(path, groups, codec)
    expected = [
        (name, number, None)
        for runs in groups
        for number, name in enumerate(text for text, length in runs for _ in range(length))
    ]
    assert [tuple(row.values()) for row in pq.read_table(path).to_pylist()] == expected
    assert pl.read_parquet(path).rows() == expected
    assert duckdb.sql(f"from '{path}'").fetchall() == expected
    for number, runs in enumerate(groups):
        group = pq.ParquetFile(path).metadata.row_group(number)
        names, none = group.column(0).statistics, group.column(2).statistics
        assert names.min.encode() == min(text.encode() for text, _ in runs)
        assert names.max.encode() == max(text.encode() for text, _ in runs)
        assert (names.null_count, none.null_count) == (0, group.num_rows)
        assert not none.has_min_max


def test_texts_are_referred_to_by_as_many_bytes_as_their_number_needs(tmp_path: Path) -> None:
    runs = [(f"text-{number % 300}", 1 + number % 2) for number in range(900)]
    write_groups(tmp_path / "a.parquet", [runs])
    expected = [text for text, length in runs for _ in range(length)]
    assert pq.read_table(tmp_path / "a.parquet")["name"].to_pylist() == expected
    assert pl.read_parquet(tmp_path / "a.parquet")["name"].to_list() == expected
    assert [name for (name,) in duckdb.sql(f"select name from '{tmp_path}/a.parquet'").fetchall()] == expected

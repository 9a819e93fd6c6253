"""Copied row groups are read by DuckDB, Polars and PyArrow as the rows that they were."""

import errno
import io
import os
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.exchange import row_group_copies
from pipeline.exchange.parquet_footer import read_footer
from pipeline.exchange.row_group_copies import GroupsOf, bytes_of_groups, join_row_groups, key_values_of, rows_of_groups

SCHEMA = pa.schema([("n", pa.int64()), ("text", pa.string()), ("bytes", pa.binary())])


def write(path: Path, first: int, rows: int, **options: object) -> GroupsOf:
    numbers = range(first, first + rows)
    columns = [list(numbers), [None if n % 3 else f"text {n % 7}" for n in numbers], [b"%d" % n * 50 for n in numbers]]
    table = pa.Table.from_arrays(
        [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )
    pq.write_table(table, path, row_group_size=10, **options)
    return GroupsOf(path)


def check(path: Path, expected: list[int]) -> None:
    rows = [(n, None if n % 3 else f"text {n % 7}", b"%d" % n * 50) for n in expected]
    assert duckdb.execute(f"select * from '{path}'").fetchall() == rows
    assert pl.read_parquet(path).rows() == rows
    assert [tuple(row.values()) for row in pq.read_table(path).to_pylist()] == rows
    assert pl.scan_parquet(path).filter(pl.col("n") == expected[-1]).collect()["n"].to_list() == expected[-1:]


@pytest.mark.parametrize("system_copies", [True, False])
def test_row_groups_of_several_files_in_any_choice_and_order(
    system_copies: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not system_copies:
        monkeypatch.setattr(row_group_copies, "_copy_range", None)
    one = write(tmp_path / "1.parquet", 0, 45, compression="zstd")
    other = write(tmp_path / "2.parquet", 100, 20, compression="none", use_dictionary=False, write_page_index=True)
    target = tmp_path / "joined.parquet"
    with target.open("xb") as stream:
        parts = [GroupsOf(one.path, (4, 1)), other, GroupsOf(one.path, (0,))]
        assert join_row_groups(stream, parts, {b"key": b"value"}) == 45
    check(target, [*range(40, 45), *range(10, 20), *range(100, 120), *range(10)])
    footer = read_footer(target)
    assert key_values_of(footer)[b"key"] == b"value"
    assert rows_of_groups(footer) == [5, 10, 10, 10, 10]
    assert bytes_of_groups(footer)[1] == bytes_of_groups(read_footer(one.path))[1]
    with (tmp_path / "again.parquet").open("xb") as stream:
        join_row_groups(stream, [GroupsOf(target, (3, 0))], {})
    check(tmp_path / "again.parquet", [*range(110, 120), *range(40, 45)])


def test_where_the_system_does_not_copy_the_bytes_are_read_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(row_group_copies, "_copy_range", refuse)
    part = write(tmp_path / "1.parquet", 0, 12)
    with (tmp_path / "2.parquet").open("xb") as stream:
        join_row_groups(stream, [part], {})
    check(tmp_path / "2.parquet", list(range(12)))


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(row_group_copies, "_copy_range", refuse)
    part = write(tmp_path / "1.parquet", 0, 12)
    with (tmp_path / "2.parquet").open("xb") as stream, pytest.raises(OSError, match="No space left"):
        join_row_groups(stream, [part], {})


def test_files_of_other_columns_are_not_joined(tmp_path: Path) -> None:
    part = write(tmp_path / "1.parquet", 0, 12)
    pq.write_table(pa.table({"m": [1]}), tmp_path / "2.parquet")
    with (tmp_path / "3.parquet").open("xb") as stream, pytest.raises(ValueError, match=r"2\.parquet.* other columns"):
        join_row_groups(stream, [part, GroupsOf(tmp_path / "2.parquet")], {})


def test_a_file_that_was_cut_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_group_copies, "_copy_range", None)
    source = io.BytesIO(b"short")
    source.fileno = lambda: 0  # type: ignore[method-assign]
    with (tmp_path / "target").open("xb") as target, pytest.raises(ValueError, match="ends before"):
        row_group_copies._copy(source, target, 2, 10, 0)

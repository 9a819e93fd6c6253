"""Rows of buckets: what is read of a file is what pyarrow finds in it, whoever wrote it."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.exchange import bucket_rows
from pipeline.exchange.bucket_rows import read_buckets, read_columns, read_rows, read_together
from pipeline.exchange.row_files import write_rows
from pipeline.exchange.split_rows import SplitRows
from pipeline.staging import attempting
from tests.exchanges import FolderExchange
from tests.harness import library


def make_file(path: Path, bucket_rows: list[int], timestamps: bool = False, *, compiled: bool = True) -> SplitRows:
    """A rows file with so many rows in each bucket."""
    total = sum(bucket_rows)
    users = [f"u{number}" for number in range(total)]
    texts = "".join(users).encode()
    columns = {
        "id_hi": np.arange(total, dtype=np.uint64) << np.uint64(40),
        "id_lo": np.arange(total, dtype=np.uint64),
        "user_hash": np.arange(total, dtype=np.uint64),
        "region": (np.arange(total) % 7).astype(np.uint16),
        "micro_minutes": np.arange(total, dtype=np.int64) * 1_000_003,
        "offset": np.arange(total, dtype=np.uint32) * np.uint32(90),
    }
    if timestamps:
        columns["timestamp"] = np.arange(total, dtype=np.int64)
    rows = SplitRows.of(
        columns, np.cumsum([0, *map(len, users)]).astype(np.int64), np.frombuffer(texts or b"\0", np.uint8)
    )
    write_rows(path, rows, np.array(bucket_rows), Path(library()) if compiled else None)
    return rows


def expected(path: Path, bucket_rows: list[int], first: int, stop: int) -> list[dict]:
    """By pyarrow alone: the rows that lie behind those of the buckets before."""
    skipped = sum(bucket_rows[:first])
    return pq.read_table(path).drop_columns(["content"]).slice(skipped, sum(bucket_rows[first:stop])).to_pylist()


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    with mock.patch.dict(bucket_rows._kept, clear=True):
        yield


@given(
    counts=st.sampled_from([1, 2, 8, 32, 64]).flatmap(lambda n: st.lists(st.integers(0, 3), min_size=n, max_size=n)),
    data=st.data(),
    timestamps=st.booleans(),
    compiled=st.booleans(),
)
def test_any_buckets_are_read_as_pyarrow_reads_them(
    counts: list[int], data: st.DataObject, timestamps: bool, compiled: bool
) -> None:
    step = data.draw(st.sampled_from([step for step in (1, 2, 4, 64) if step <= len(counts)]))
    buckets = len(counts) // step
    first = data.draw(st.integers(0, buckets - 1))
    count = data.draw(st.integers(1, buckets - first))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "split-000001.parquet"
        bucket_rows._kept.clear()
        make_file(path, counts, timestamps, compiled=compiled or not sum(counts))
        wanted = expected(path, counts, first * step, (first + count) * step)
        for with_library in (True, False, True):
            found, sizes = read_buckets(path, first, count, buckets, library=Path(library()) if with_library else None)
            assert found.to_pylist() == wanted
            assert not sizes or found["id_hi"].num_chunks == 1
            in_bucket = {bucket: sum(counts[bucket * step :][:step]) for bucket in range(first, first + count)}
            assert sizes == {bucket: rows for bucket, rows in in_bucket.items() if rows}


def test_only_the_wanted_columns(tmp_path: Path) -> None:
    make_file(tmp_path / "x.parquet", [2, 3])
    found = read_rows(tmp_path / "x.parquet", 1, 2, ["id_hi"], library=Path(library()))
    assert found is not None
    assert found.column_names == ["id_hi"]
    assert found.num_rows == 3


def test_a_file_that_took_another_ones_place_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    make_file(path, [2, 3])
    assert read_rows(path, 1, 2, library=Path(library())).num_rows == 3
    make_file(path, [0, 1])
    os.utime(path, ns=(1, 1))
    assert read_rows(path, 0, 2, library=Path(library())) is None
    assert read_rows(path, 1, 2, library=Path(library())).num_rows == 1


def test_groups_beyond_those_that_are_kept_are_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_rows, "_MOST_KEPT", 1)
    for name in ("a", "b", "a", "b"):
        make_file(tmp_path / name, [1, 2])
        assert read_rows(tmp_path / name, 1, 2, library=Path(library())).num_rows == 2
    assert list(bucket_rows._kept) == [tmp_path / "a"]


def test_what_is_kept_of_a_file_takes_little_memory(tmp_path: Path) -> None:
    """A process keeps it of a thousand files, each with a row group for each of up to 1,024 buckets."""
    make_file(tmp_path / "x", [1] * 1024)
    read_rows(tmp_path / "x", 5, 1024, library=Path(library()))
    ((_, kept),) = bucket_rows._kept.values()
    assert kept.groups is not None
    assert kept.groups.nbytes + kept.used.nbytes < 40_000


@pytest.mark.parametrize("compiled", [True, False])
def test_of_a_file_elsewhere_the_wanted_row_groups_are_read(compiled: bool, tmp_path: Path) -> None:
    counts = [40_000] * 16
    path = tmp_path / "split-000001.parquet"
    make_file(path, counts, compiled=compiled)
    wanted = read_rows(path, 5, 16, library=Path(library()))
    ids, contents = read_columns(path, ["id_hi", "content"], Path(library()))
    exchange = FolderExchange(Path("/between"), tmp_path)
    with attempting(tmp_path / "attempt", exchange):
        elsewhere = Path("/between") / path.name
        found = read_rows(elsewhere, 5, 16, library=Path(library()))
        read = sum(size for _, size in exchange.reads)
        (together,) = read_together([(1, elsewhere)], 5, 16, 2**40, Path(library()))
        columns = read_columns(elsewhere, ["id_hi", "content"], Path(library()))
    assert found == wanted
    assert together["place"].to_pylist() == [2**32 + offset for offset in wanted["offset"].to_pylist()]
    assert all(map(np.array_equal, columns, (ids, contents)))
    assert read < path.stat().st_size / 4

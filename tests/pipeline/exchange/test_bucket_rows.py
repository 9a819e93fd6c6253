"""Rows of buckets: what is read of a file is what pyarrow finds in it, whoever wrote it."""

import gc
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.exchange import row_groups
from pipeline.exchange.bucket_rows import read_buckets, read_columns, read_rows, read_together
from pipeline.exchange.row_files import write_rows
from pipeline.exchange.row_groups import find_groups
from pipeline.exchange.split_rows import SplitRows
from pipeline.native.pages import Group
from pipeline.planning.cluster_prediction import FOOTER_REQUESTS, count_footers
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
    with mock.patch.dict(row_groups._kept, clear=True):
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
        row_groups._kept.clear()
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
    """As the prediction of requests on a cluster counts them: of those that are kept once, of the others each time."""
    monkeypatch.setattr(row_groups, "_KEPT_BYTES", 5 * (1024 + 8 * 8))
    found: list[Path] = []
    read_metadata = row_groups._read_metadata
    monkeypatch.setattr(row_groups, "_read_metadata", lambda path: found.append(path) or read_metadata(path))
    paths = [tmp_path / f"{number}" for number in range(20)]
    for path in paths:
        make_file(path, [1] * 8)
    for bucket in range(8):
        for path in paths:
            assert read_rows(path, bucket, 8, library=Path(library())).num_rows == 1
    assert list(row_groups._kept) == paths[:5]
    assert len(found) == 5 + 15 * 8 == count_footers(20, 8, 1)


def test_what_is_kept_of_a_file_takes_little_memory() -> None:
    """Of the size of a split of 96 MiB with 1,024 buckets: a process keeps it of ten thousand files."""
    groups = 1024
    lengths, rows = np.arange(groups) % 30_000 + 40_000, np.arange(groups) % 300 + 700
    stops = 4 + np.cumsum(lengths)
    tracemalloc.start()
    try:
        kept = []
        for _ in range(20):
            start, packed = row_groups._packed(np.array([stops - lengths, stops, rows, rows * 10]).tolist())
            kept.append(row_groups.RowGroups(groups, row_groups._every(groups), start, packed, False))
        gc.collect()
        memory = tracemalloc.get_traced_memory()[0] / 20
    finally:
        tracemalloc.stop()
    assert memory < 1024 + 8 * groups
    assert kept[0].memory <= 1024 + 8 * groups
    assert row_groups.count_kept(groups) > 10_000
    assert kept[0].at(range(5, 7)) == [
        Group(int(stops[n - 1]), int(stops[n]), int(rows[n]), 10 * int(rows[n])) for n in (5, 6)
    ]


def test_the_end_of_a_file_elsewhere_is_two_requests(tmp_path: Path) -> None:
    """As the prediction of requests on a cluster counts them."""
    make_file(tmp_path / "x", [1] * 1024)
    exchange = FolderExchange(Path("/between"), tmp_path)
    with attempting(tmp_path / "attempt", exchange):
        find_groups(Path("/between/x"))
    assert len(exchange.reads) == FOOTER_REQUESTS


def test_row_groups_with_a_gap_are_damage() -> None:
    with pytest.raises(ValueError, match="row groups do not follow each other"):
        row_groups._packed([[4, 11], [10, 20], [1, 1], [1, 1]])


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

"""Marks of contents: equal for copies alone, and found in a file wherever its pages end."""

from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.exchange import row_files
from pipeline.exchange.bucket_rows import read_columns
from pipeline.exchange.row_files import content_marks, write_rows
from pipeline.exchange.split_rows import SplitRows

MOST_MICRO = 10**15  # a watch time is at most 10^9 minutes
CONTENT = st.tuples(st.integers(0, MOST_MICRO), st.integers(0, 2**14 - 1))


def rows_of(columns: dict[str, list[int]]) -> SplitRows:
    count = len(columns["id_hi"])
    arrays = {name: np.array(columns[name], np.uint64) for name in ("id_hi", "id_lo", "user_hash")}
    arrays |= {"region": np.array(columns["region"], np.uint16), "offset": np.arange(count, dtype=np.uint32)}
    arrays |= {"micro_minutes": np.array(columns["micro_minutes"], np.int64)}
    return SplitRows.of(arrays, np.arange(count + 1), np.full(count, ord("u"), np.uint8))


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), CONTENT, CONTENT)
def test_contents_of_one_user_and_id_never_have_one_mark(user: int, id_lo: int, one: tuple, other: tuple) -> None:
    both = {"id_hi": [7, 7], "id_lo": [id_lo] * 2, "user_hash": [user] * 2}
    rows = rows_of(both | {"micro_minutes": [one[0], other[0]], "region": [one[1], other[1]]})
    before = {name: column.copy() for name, column in rows.columns.items()}
    marks = content_marks(rows)
    assert rows.columns.keys() == before.keys()
    assert all(np.array_equal(rows.columns[name], column) for name, column in before.items())
    expected = [(user + id_lo + micro * 2**14 + region) % 2**64 for micro, region in (one, other)]
    assert marks.view(np.uint64).tolist() == expected
    assert (marks[0] == marks[1]) == (one == other)


@pytest.mark.parametrize("page_bytes", [1, 8, 64, 1 << 22])
def test_columns_are_found_wherever_pages_end(tmp_path: Path, page_bytes: int) -> None:
    dice = np.random.default_rng(5)
    counts = np.array([1, 0, 2, 3, 0, 500, 17, 1])
    columns = {name: dice.integers(0, 2**63, counts.sum()).tolist() for name in ("id_hi", "id_lo", "user_hash")}
    rows = rows_of(columns | {"micro_minutes": [5] * counts.sum(), "region": [3] * counts.sum()})
    path = tmp_path / "rows.parquet"
    with patch.object(row_files, "_PAGE_BYTES", page_bytes):
        write_rows(path, rows, counts)
    table = pq.read_table(path)
    for name, found in zip(("id_hi", "content"), read_columns(path, ["id_hi", "content"]), strict=True):
        assert found.view(np.int64).tolist() == table[name].to_pylist()

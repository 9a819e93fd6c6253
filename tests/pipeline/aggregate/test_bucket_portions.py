"""Portions of a bucket: every row counts once, and the rows of one id are compared in one portion."""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.aggregate.bucket_portions import Portion, portions
from tests.examples import tries
from tests.pipeline.aggregate.by_hand import OFFSET, Row, Splits, bucket_of, make_context, write_splits
from tests.pipeline.aggregate.strategies import splits


def rows_at(portion: Portion, positions: np.ndarray) -> list[tuple[int, int]]:
    """(split, offset) of the rows at these positions."""
    rows = [divmod(place, 2**32) for table in portion.tables for place in table["place"].to_pylist()]
    assert portion.size == len(rows)
    return [rows[position] for position in positions.tolist()]


@tries(30)
@given(
    splits=splits,
    buckets=st.sampled_from((1, 4)),
    bucket_rows=st.sampled_from((1, 4, 1000)),
    compiled=st.booleans(),
    crossing=st.booleans(),
)
def test_every_row_counts_once_and_copies_meet(
    splits: Splits, buckets: int, bucket_rows: int, compiled: bool, crossing: bool
) -> None:
    with TemporaryDirectory() as folder:
        context = make_context(Path(folder), buckets=buckets, bucket_rows=bucket_rows, compiled=compiled)
        write_splits(context, splits)
        in_bucket = {
            (number, i * OFFSET): row
            for number, rows in splits.items()
            for i, row in enumerate(rows)
            if bucket_of(row.user, buckets) == 0
        }
        copies = Counter(row.id_hi >> 10 << 10 for row in in_bucket.values())
        repeated = {prefix for prefix, count in copies.items() if count > 1} | set(
            sorted(copies)[:1] if crossing else []
        )
        keys = np.array(sorted(repeated), np.uint64)
        filled = tuple(number for number, rows in splits.items() if rows)
        found = list(portions(context, 0, filled, len(in_bucket), keys))

        counted: Counter[tuple[int, int]] = Counter()
        compared: list[list[tuple[int, int]]] = []
        for portion in found:
            everything = rows_at(portion, np.arange(portion.size))
            elsewhere = set(rows_at(portion, portion.elsewhere))
            counted.update(row for row in everything if row not in elsewhere)
            compared.append(rows_at(portion, portion.compare))
        assert counted == Counter(dict.fromkeys(in_bucket, 1))
        wanted = {place for place, row in in_bucket.items() if row.id_hi >> 10 << 10 in repeated}
        assert sorted(place for places in compared for place in places) == sorted(wanted)
        where = {(in_bucket[place].id_hi, n) for n, places in enumerate(compared) for place in places}
        assert len(where) == len({id_hi for id_hi, _ in where}), "all copies of an id are in one portion"


@pytest.mark.parametrize("compiled", [True, False])
def test_a_large_bucket_comes_split_after_split(tmp_path: Path, compiled: bool) -> None:
    """Besides one split, a portion has the rows of so many ids as fit, about."""
    context = make_context(tmp_path, buckets=1, bucket_rows=50, compiled=compiled)
    twins = [Row(number << 44, 0, "u", 0, 1) for number in range(1, 2**20, 8000)]
    splits = {n: [*twins, *(Row((n * 999 + i) << 50 | 5 << 12, i, "u", 0, 1) for i in range(60))] for n in range(3)}
    write_splits(context, splits)
    rows = sum(map(len, splits.values()))
    found = list(portions(context, 0, (0, 1, 2), rows, np.array([twin.id_hi for twin in twins], np.uint64)))
    single = [portion for portion in found if len(portion.tables) == 1]
    gathered = [portion for portion in found if len(portion.tables) > 1]
    assert [portion.tables[0]["place"][0].as_py() // 2**32 for portion in single] == [0, 1, 2]
    assert len(gathered) == 8, "396 rows, less than 64 a round"
    assert sum(portion.size for portion in gathered) == 3 * len(twins)
    assert max(portion.size for portion in gathered) < 2 * 50


def test_a_bucket_without_rows_is_one_empty_portion(tmp_path: Path) -> None:
    (portion,) = portions(make_context(tmp_path), 0, (), 0, np.empty(0, np.uint64))
    assert (portion.size, len(portion.compare), len(portion.elsewhere)) == (0, 0, 0)

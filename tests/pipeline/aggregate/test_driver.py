"""Phase 2 over all rows: what dicts find, whatever the buckets, the portions and the copies between them."""

from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.aggregate import bucket_totals, driver
from pipeline.aggregate.aggregator import join_indexes
from pipeline.aggregate.driver import aggregate_all, count_ranges, fewest_buckets, largest_bucket
from pipeline.engines import no_advance
from pipeline.errors import BalanceError
from pipeline.preprocess.ledger import FileLedger, Phase1Result
from pipeline.reading.input_files import InputFile
from tests.examples import tries
from tests.pipeline.aggregate.by_hand import (
    Inline,
    Row,
    Splits,
    bucket_of,
    check,
    make_context,
    read_losers,
    write_split,
    write_splits,
)
from tests.pipeline.aggregate.strategies import bucket_counts, keeps, splits


@tries(30)
@given(
    splits=splits,
    keep=keeps,
    buckets=bucket_counts,
    bucket_rows=st.sampled_from((1, 3, 1000)),
    bucket_bytes=st.sampled_from((1, 9000, 2**40)),
    workers=st.sampled_from((1, 3)),
    compiled=st.booleans(),
    few=st.sampled_from((0, 256)),
    joined=st.booleans(),
)
def test_totals_losers_and_counts_are_those_of_dicts(
    splits: Splits,
    keep: str,
    buckets: int,
    bucket_rows: int,
    bucket_bytes: int,
    workers: int,
    compiled: bool,
    few: int,
    joined: bool,
) -> None:
    with (
        TemporaryDirectory() as folder,
        mock.patch.object(bucket_totals, "_PARTS", 4),
        mock.patch.multiple(driver, _FEW_SPLITS=few, MOST_INDEX_READS=0 if joined else 10**6, JOINED_SPLITS=2),
    ):
        context = make_context(
            Path(folder),
            keep=keep,
            buckets=buckets,
            bucket_rows=bucket_rows,
            bucket_bytes=bucket_bytes,
            compiled=compiled,
        )
        advanced: list[int] = []
        placed = write_splits(context, splits)
        result = aggregate_all(Inline(), context, placed, workers, advanced.append)
        check(context, result, splits)
        assert sum(advanced) == sum(map(len, splits.values()))


def test_an_id_of_two_buckets_has_one_winner_and_the_other_is_a_conflict(tmp_path: Path) -> None:
    context = make_context(tmp_path, buckets=64)
    assert bucket_of("u", 64) != bucket_of("v", 64)
    rows = {3: [Row(5, 6, "u", 0, 1)], 7: [Row(9, 9, "u", 0, 4), Row(5, 6, "v", 1, 2)]}
    result = aggregate_all(Inline(), context, write_splits(context, rows), 2, no_advance)
    assert {bucket.bucket: (bucket.rows, bucket.kept, bucket.conflicts) for bucket in result.buckets} == {
        bucket_of("u", 64): (2, 1, 1),
        bucket_of("v", 64): (1, 1, 0),
    }
    assert read_losers(context) == {3 << 32}, "the longer one wins"


def test_a_row_that_is_missing_is_a_fault(tmp_path: Path) -> None:
    context = make_context(tmp_path, buckets=1, compiled=False)
    placed = write_splits(context, {0: [Row(1, 1, "u", 0, 1)], 1: [Row(2, 2, "u", 0, 1)]})
    write_split(context, 1, [Row(2, 2, "u", 0, 1), Row(3, 3, "u", 0, 1)])
    with pytest.raises(BalanceError, match="bucket 0 does not balance: 2 rows handed over"):
        aggregate_all(Inline(), context, placed, 1, no_advance)


class Joining(Inline):
    """Notes how many keys are in memory at a time while indexes are joined."""

    def __init__(self) -> None:
        self.keys: list[int] = []

    def map(self, kernel, context, tasks, advance):
        return super().map(kernel, context, tasks, self.keys.append if kernel is join_indexes else advance)


def test_indexes_of_large_splits_among_very_many_small_ones_are_joined_in_pieces(tmp_path: Path) -> None:
    sizes = [1] * 30 + [300, 250]
    ids = iter(range(0, 2**64, 2**64 // sum(sizes)))
    rows = {number: [Row(next(ids), 1, "u", 0, 1) for _ in range(size)] for number, size in enumerate(sizes)}
    context, engine = make_context(tmp_path, bucket_rows=50, bucket_bytes=1), Joining()
    with mock.patch.multiple(driver, MOST_INDEX_READS=0, JOINED_SPLITS=2):
        check(context, aggregate_all(engine, context, write_splits(context, rows), 2, no_advance), rows)
    assert sum(engine.keys) == sum(sizes)
    assert max(engine.keys) <= 2 * 50, "so many keys of a range are held, too"
    assert list((tmp_path / "joined").iterdir()) == [], "the folder of the run stays until the next one"


def test_no_rows_make_no_buckets(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    result = aggregate_all(Inline(), context, write_splits(context, {0: []}), 2, no_advance)
    assert (result.buckets, result.duplicates, result.conflicts) == ((), 0, 0)
    assert read_losers(context) == set()


def test_buckets_of_splits_that_were_written_with_more_or_fewer(tmp_path: Path) -> None:
    rows = [Row(n, n, f"u{n}", 0, 1) for n in range(40)]
    placed = [
        *write_splits(make_context(tmp_path, buckets=4), {0: rows}),
        *write_splits(make_context(tmp_path, buckets=16), {1: rows, 2: []}),
    ]
    phase1 = Phase1Result((FileLedger(InputFile("f", (1, 1, 1), None), tuple(placed)),))
    assert fewest_buckets(phase1, 64) == 4
    assert fewest_buckets(Phase1Result(), 64) == 64
    of_buckets = [2 * sum(bucket_of(row.user, 4) == bucket for row in rows) for bucket in range(4)]
    assert largest_bucket(phase1, 4) == max(of_buckets)
    assert largest_bucket(phase1, 1) == 80
    assert largest_bucket(Phase1Result(), 4) == 0
    context = make_context(tmp_path, buckets=4)
    check(context, aggregate_all(Inline(), context, placed, 2, no_advance), {0: rows, 1: rows})


@pytest.mark.parametrize(
    ("rows", "bucket_bytes", "most_keys"),
    [
        (18_000_000, 2**40, 4_000_000),
        (182_000_000, 2**40, 4_000_000),
        (9_100_000_000, 2**40, 9_100_000_000 // 64),
        (9_100_000_000, 32 * 2**20, 2**20),
    ],
)
def test_ranges_of_ids_are_short_unless_they_are_very_many(rows: int, bucket_bytes: int, most_keys: int) -> None:
    """Ample memory is no reason to take it; little memory is one for very many ranges."""
    ranges = count_ranges(rows, 1_000, bucket_bytes, workers=2)
    assert rows / ranges <= most_keys
    assert ranges == 2 or rows / (ranges / 4) > most_keys

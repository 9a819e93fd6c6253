"""The kernels of Phase 2, one by one: keys between buckets, one bucket, decisions between buckets, corrections."""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.aggregate import aggregator
from pipeline.aggregate.aggregator import aggregate, correct, decide_cross_bucket, find_repeated_ids
from pipeline.aggregate.context import AggregateContext
from pipeline.aggregate.tasks import BucketTask, CorrectTask, DecideTask, FindRepeatedTask
from pipeline.engines import no_advance
from pipeline.exchange.id_index import write_index
from tests.examples import tries
from tests.pipeline.aggregate.by_hand import (
    OFFSET,
    Row,
    Splits,
    bucket_of,
    make_context,
    read_losers,
    read_totals,
    write_splits,
)
from tests.pipeline.aggregate.strategies import splits

U, V = (bucket_of(user, 64) for user in "uv")


def find_all(context: AggregateContext, splits: Splits, ranges: int) -> dict[int, tuple[int, int]]:
    """(Cross-bucket ids, other repeated ids) that were found by number of the range."""
    context = replace(context, splits=tuple(number for number, rows in splits.items() if rows))
    width = 2**64 // ranges
    return {
        n: find_repeated_ids(context, FindRepeatedTask(n, n * width, (n + 1) * width - 1), no_advance)
        for n in range(ranges)
    }


@tries(30)
@given(splits=splits, ranges=st.sampled_from((1, 4)), at_once=st.sampled_from((1, 3, 1 << 16)), compiled=st.booleans())
def test_repeated_ids_are_those_of_several_fine_buckets_and_others_that_occur_again(
    splits: Splits, ranges: int, at_once: int, compiled: bool
) -> None:
    by_prefix: dict[int, list[int]] = defaultdict(list)
    for rows in splits.values():
        for row in rows:
            by_prefix[row.id_hi >> 10].append(row.key)
    groups = [sorted(keys) for prefix, keys in sorted(by_prefix.items()) if len(keys) > 1]
    crossing = [sorted(set(keys)) for keys in groups if len(set(keys)) > 1]
    again = [[keys[0]] for keys in groups if len(set(keys)) == 1]
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(aggregator, "_SORTED_KEYS", at_once)
        context = make_context(Path(folder), buckets=64, compiled=compiled)
        write_splits(context, splits)
        counts = find_all(context, splits, ranges)
        for kind, expected, found in zip(
            ("merge", "repeated"), (crossing, again), zip(*counts.values(), strict=True), strict=True
        ):
            paths = [context.workspace.path(kind, f"split-{n:06d}.npy") for n in range(ranges)]
            assert [path.exists() for path in paths] == [count > 0 for count in found]
            files = [np.load(path).tolist() for path in paths if path.exists()]
            assert files == [sorted(keys) for keys in files]
            keys = sorted((key & (2**54 - 1)) << 10 | key >> 54 for file in files for key in file)
            assert keys == [key for group in expected for key in group]
            assert sum(found) == len(expected)


def test_the_first_and_the_last_fine_bucket_differ_and_neighbouring_ids_do_not_meet(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    keys = [5 << 10, 5 << 10 | 1023, 6 << 10 | 3, 6 << 10 | 3, 7 << 10 | 1022, 8 << 10 | 1, 9 << 10 | 1, 9 << 10 | 1023]
    write_index(context.workspace.path("index", "split-000000.npy"), np.array(keys, np.uint64))
    assert find_repeated_ids(replace(context, splits=(0,)), FindRepeatedTask(0, 0, 2**64 - 1), no_advance) == (2, 1)
    found = np.load(context.workspace.path("merge", "split-000000.npy")).tolist()
    assert found == [5, 1 << 54 | 9, 1023 << 54 | 5, 1023 << 54 | 9], "in order of bucket"
    assert np.load(context.workspace.path("repeated", "split-000000.npy")).tolist() == [3 << 54 | 6]


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("bucket_rows", [2, 1000])
def test_one_bucket_drops_copies_and_keeps_the_winner_of_a_cross_bucket_id_pending(
    tmp_path: Path, compiled: bool, bucket_rows: int
) -> None:
    context = make_context(tmp_path, buckets=64, bucket_rows=bucket_rows, compiled=compiled)
    rows = {
        0: [Row(1 << 50, 1, "u", 0, 5), Row(2 << 50, 2, "u", 1, 6), Row(3 << 50, 3, "u", 0, 7)],
        1: [Row(1 << 50, 1, "u", 0, 5), Row(2 << 50, 2, "u", 1, 8), Row(3 << 50, 3, "v", 2, 9)],
    }
    write_splits(context, rows)
    (found,) = find_all(context, rows, 1).values()
    assert found == (1, 2)
    context = replace(context, cross_bucket=(0,), repeated=(0,))
    result = aggregate(context, BucketTask(U, 5, (0, 1)), no_advance)
    assert (result.rows, result.kept, result.duplicates, result.conflicts, result.pending) == (5, 3, 1, 1, 1)
    assert result.balances()
    assert result.regions == {0: (1, 2, 12), 1: (1, 1, 8)}
    assert read_totals(context, [result]) == {("u", 0): (12, 2), ("u", 1): (8, 1)}
    assert read_losers(context) == {OFFSET}, "of the id with two watch times the shorter one"
    (pending,) = pl.read_parquet(context.workspace.path("pending", f"bucket-{U:04d}.parquet")).rows(named=True)
    assert (pending["id_hi"], pending["micro_minutes"], pending["place"]) == (3 << 50, 7, 2 * OFFSET)


def test_the_loser_between_buckets_leaves_its_totals(tmp_path: Path) -> None:
    context = make_context(tmp_path, buckets=64)
    rows = {0: [Row(3 << 50, 3, "u", 0, 7), Row(4 << 50, 4, "u", 0, 1)], 1: [Row(3 << 50, 3, "v", 2, 9)]}
    write_splits(context, rows)
    find_all(context, rows, 1)
    context = replace(context, cross_bucket=(0,))
    of_u = aggregate(context, BucketTask(U, 2, (0,)), no_advance)
    of_v = aggregate(context, BucketTask(V, 1, (1,)), no_advance)
    losers = [decide_cross_bucket(context, DecideTask(n, 2, (U, V)), no_advance) for n in range(2)]
    assert losers == [1, 0], "3 * 2^50 is in the lower half of the ids"
    assert not context.workspace.path("corrections", "split-000001.parquet").exists()
    after = correct(context, CorrectTask(of_u, (0,)), no_advance)
    assert (after.kept, after.conflicts, after.users, after.regions) == (1, 1, 1, {0: (1, 1, 1)})
    assert after.balances()
    unchanged = correct(context, CorrectTask(of_v, (0,)), no_advance)
    assert unchanged == of_v
    assert read_totals(context, [after, unchanged]) == {("u", 0): (1, 1), ("v", 2): (9, 1)}
    assert read_losers(context) == {0}

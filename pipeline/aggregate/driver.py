"""Phase 2 over all rows: finds ids with copies in several buckets, aggregates every bucket, decides those ids."""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.aggregate.aggregator import aggregate, correct, decide_cross_bucket, find_repeated_ids, join_indexes
from pipeline.aggregate.context import AggregateContext
from pipeline.aggregate.tasks import (
    BucketResult,
    BucketTask,
    CorrectTask,
    DecideTask,
    FindRepeatedTask,
    JoinTask,
    Phase2Result,
    sum_buckets,
)
from pipeline.engines import Advance, Engine, no_advance, run_all, run_tasks
from pipeline.errors import BalanceError
from pipeline.exchange.id_index import key_ranges
from pipeline.exchange.row_files import coarser
from pipeline.exchange.workspace import split_file
from pipeline.preprocess.ledger import Phase1Result, PlacedSplit
from pipeline.staging import remove


def fewest_buckets(phase1: Phase1Result, buckets: int) -> int:
    """The number of buckets in which all splits can be read: an earlier run may have written some splits with fewer."""
    return min((len(split.result.bucket_rows) for split in phase1.splits), default=buckets)


def largest_bucket(phase1: Phase1Result, buckets: int) -> int:
    """The number of rows of the largest of ``buckets`` buckets; 0 without rows."""
    rows = np.zeros(buckets, np.int64)
    for _, counts in _rows_of(phase1.splits, buckets):
        rows += counts
    return int(rows.max())


def aggregate_all(
    engine: Engine, context: AggregateContext, splits: Iterable[PlacedSplit], workers: int, advance: Advance
) -> Phase2Result:
    """Deduplicate and add up all rows of ``splits``; writes totals/ and conflicts/ (``aggregator.aggregate``).

    ``advance`` gets rows. Raises BalanceError where a count does not add up or a sum passes int64.
    """
    filled, numbers, sizes = _filled_buckets(splits, context.buckets)
    context = _find_all_repeated(engine, replace(context, splits=numbers), sizes, workers)
    tasks = [BucketTask(bucket, rows, of_bucket) for bucket, (of_bucket, rows) in filled.items()]
    tasks.sort(key=lambda task: -task.rows)
    results = run_all(engine, aggregate, context, tasks, advance)
    if context.cross_bucket:
        results = _decide_all(engine, context, results)
    for result in results:
        _, rows = filled[result.bucket]
        if not result.balances() or result.rows != rows:
            raise BalanceError(
                f"bucket {result.bucket} does not balance: {rows} rows handed over, {result}. "
                "Nothing was published. This is a fault in the program; please report it."
            )
    return sum_buckets(results)


_FEW_SPLITS = 256
MOST_INDEX_READS, JOINED_SPLITS = 1_000_000, 64
"""Where splits × ranges are more, so many splits have their indexes joined, for which all keys are written again."""
_FEW_KEYS, _MANY_RANGES = 4_000_000, 64
"""Ranges of no more keys are short; more ranges than that are many, because each is read from every split."""
_KEY_BYTES = 32
"""Memory of a key while repeated ones are looked for: 8, twice where small indexes are joined, and room to spare."""


def _filled_buckets(
    splits: Iterable[PlacedSplit], buckets: int
) -> tuple[dict[int, tuple[tuple[int, ...] | None, int]], "array[int]", "array[int]"]:
    """(Bucket → the numbers of the splits that have rows there, sorted, and how many rows; the numbers of all splits
    with rows, sorted; the rows of each of these). ``splits`` are gone over twice.

    Where most of very many splits have rows in most buckets, None stands for their numbers: a split without rows in a
    bucket costs little there.
    """
    numbers, sizes, rows, pairs = array("q"), array("q"), np.zeros(buckets, np.int64), 0
    for number, counts in _rows_of(splits, buckets):
        numbers.append(number)
        sizes.append(int(counts.sum()))
        rows += counts
        pairs += int(np.count_nonzero(counts))
    order = np.argsort(numbers)
    numbers, sizes = (array("q", np.array(column, np.int64)[order].tolist()) for column in (numbers, sizes))
    filled = np.flatnonzero(rows).tolist()
    if len(numbers) > _FEW_SPLITS and 2 * pairs > len(numbers) * buckets:
        return {bucket: (None, int(rows[bucket])) for bucket in filled}, numbers, sizes
    bucket_of, number_of = array("q"), array("q")
    for number, counts in _rows_of(splits, buckets):
        used = np.flatnonzero(counts).tolist()
        bucket_of.extend(used)
        number_of.extend([number] * len(used))
    order = np.lexsort((number_of, bucket_of))
    ordered, split_of = (np.array(column, np.int64)[order] for column in (bucket_of, number_of))
    bounds = np.searchsorted(ordered, [*filled, buckets]).tolist()
    return (
        {
            bucket: (tuple(split_of[first:stop].tolist()), int(rows[bucket]))
            for bucket, first, stop in zip(filled, bounds[:-1], bounds[1:], strict=True)
        },
        numbers,
        sizes,
    )


def _rows_of(splits: Iterable[PlacedSplit], buckets: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """(Number, rows in each bucket) of every split that has rows."""
    for result in (split.result for split in splits if split.result.handed_over):
        yield result.split.number, coarser(result.bucket_rows, buckets)


def _join_all(engine: Engine, context: AggregateContext, sizes: "array[int]", ranges: int) -> AggregateContext:
    """Join the indexes of very many splits, so that not every range is read from every split; returns the context with
    their numbers. ``sizes``: the rows of each split."""
    splits = context.splits
    if len(splits) * ranges <= MOST_INDEX_READS:
        return context
    tasks: list[JoinTask] = []
    for first in range(0, len(splits), JOINED_SPLITS):
        group = slice(first, first + JOINED_SPLITS)
        pieces = count_pieces(sum(sizes[group]), context.bucket_rows, context.bucket_bytes)
        tasks.append(JoinTask(len(tasks), tuple(splits[group]), pieces))
    run_all(engine, join_indexes, context, tasks, no_advance)
    return replace(context, joined=range(len(tasks)))


def count_pieces(rows: int, bucket_rows: int, bucket_bytes: int) -> int:
    """The number of pieces in which indexes of so many rows are joined: half of what fits into memory, because ids are
    not spread quite evenly."""
    return 1 + 2 * rows // _fitting_keys(bucket_rows, bucket_bytes)


def _fitting_keys(bucket_rows: int, bucket_bytes: int) -> int:
    return max(2 * bucket_rows, bucket_bytes // _KEY_BYTES)


def count_ranges(rows: int, bucket_rows: int, bucket_bytes: int, workers: int) -> int:
    """The number of id ranges: enough for all workers, and so many that the keys of each fit into memory.

    Where they are not very many, ranges are short: otherwise a run would take as much memory as the limit allows.
    ``bucket_rows``, ``bucket_bytes``: as in ``AggregateContext``.
    """
    keys = min(_fitting_keys(bucket_rows, bucket_bytes), max(_FEW_KEYS, rows // _MANY_RANGES))
    return 1 << max(workers - 1, rows // keys).bit_length()


def _find_all_repeated(
    engine: Engine, context: AggregateContext, sizes: "array[int]", workers: int
) -> AggregateContext:
    """Find the repeated ids of all splits; returns the context with the ranges in which there are some."""
    ranges = count_ranges(sum(sizes), context.bucket_rows, context.bucket_bytes, workers)
    context = _join_all(engine, context, sizes, ranges)
    tasks = [FindRepeatedTask(number, low, high) for number, (low, high) in enumerate(key_ranges(ranges))]
    found = sorted(
        (task.number, *counts) for task, counts in run_tasks(engine, find_repeated_ids, context, tasks, no_advance)
    )
    for number in context.joined:
        remove(context.workspace.path("joined", split_file(number, "npy")))
    crossing = array("q", (number for number, cross, _ in found if cross))
    repeated = array("q", (number for number, _, again in found if again))
    return replace(context, cross_bucket=crossing, repeated=repeated)


def _decide_all(engine: Engine, context: AggregateContext, results: list[BucketResult]) -> list[BucketResult]:
    """Compare the winners of cross-bucket ids between buckets, and correct the buckets that lose one."""
    pending = sum(result.pending for result in results)
    if not pending:
        return results
    buckets = tuple(result.bucket for result in results if result.pending)
    ranges = 1 << (pending // context.bucket_rows).bit_length()
    tasks = [DecideTask(number, ranges, buckets) for number in range(ranges)]
    losers = run_tasks(engine, decide_cross_bucket, context, tasks, no_advance)
    corrections = tuple(sorted(task.number for task, count in losers if count))
    if not corrections:
        return results
    wrong = [CorrectTask(result, corrections) for result in results if result.pending]
    corrected = run_all(engine, correct, context, wrong, no_advance)
    return corrected + [result for result in results if not result.pending]

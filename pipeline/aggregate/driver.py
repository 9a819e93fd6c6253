"""Phase 2 over all rows: finds ids with copies in several buckets, aggregates every bucket, decides those ids."""

from array import array
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pipeline.aggregate.aggregator import aggregate, correct, decide_cross_bucket, find_repeated_ids
from pipeline.aggregate.context import AggregateContext
from pipeline.aggregate.tasks import (
    BucketResult,
    BucketTask,
    CorrectTask,
    DecideTask,
    FindRepeatedTask,
    Phase2Result,
    sum_buckets,
)
from pipeline.engines import Advance, Engine, no_advance, run_all, run_tasks
from pipeline.errors import BalanceError
from pipeline.exchange.row_files import coarser
from pipeline.preprocess.ledger import Phase1Result, PlacedSplit


def fewest_buckets(phase1: Phase1Result, buckets: int) -> int:
    """The number of buckets in which all splits can be read: an earlier run may have written some splits with fewer."""
    return min((len(split.result.bucket_rows) for split in phase1.splits), default=buckets)


def largest_bucket(phase1: Phase1Result, buckets: int) -> int:
    """The number of rows of the largest of ``buckets`` buckets; 0 without rows."""
    rows = np.zeros(buckets, np.int64)
    for split in phase1.splits:
        if split.result.handed_over:
            rows += coarser(split.result.bucket_rows, buckets)
    return int(rows.max())


def aggregate_all(
    engine: Engine, context: AggregateContext, splits: Iterable[PlacedSplit], workers: int, advance: Advance
) -> Phase2Result:
    """Deduplicate and add up all rows of ``splits``; writes totals/ and conflicts/ (``aggregator.aggregate``).

    ``advance`` gets rows. Raises BalanceError where a count does not add up or a sum passes int64.
    """
    filled = _filled_buckets(splits, context.buckets)
    numbers = np.unique(np.concatenate([np.empty(0, np.int64), *(numbers for numbers, _ in filled.values())]))
    total = sum(rows for _, rows in filled.values())
    cross_bucket, repeated = _find_all_repeated(engine, context, tuple(numbers.tolist()), total, workers)
    tasks = [
        BucketTask(bucket, rows, tuple(of_bucket.tolist()), cross_bucket, repeated)
        for bucket, (of_bucket, rows) in filled.items()
    ]
    tasks.sort(key=lambda task: -task.rows)
    results = run_all(engine, aggregate, context, tasks, advance)
    if cross_bucket:
        results = _decide_all(engine, context, results)
    for result in results:
        _, rows = filled[result.bucket]
        if not result.balances() or result.rows != rows:
            raise BalanceError(
                f"bucket {result.bucket} does not balance: {rows} rows handed over, {result}. "
                "Nothing was published. This is a fault in the program; please report it."
            )
    return sum_buckets(results)


def _filled_buckets(splits: Iterable[PlacedSplit], buckets: int) -> dict[int, tuple[NDArray[np.int64], int]]:
    """(Numbers of the splits that have rows there, sorted; how many rows) of every bucket that has rows.

    They are numbers in arrays, because there may be very many splits, each with rows in few buckets.
    """
    bucket_of, number_of, rows_of = array("q"), array("q"), array("q")
    for split in splits:
        if split.result.handed_over:
            for bucket, rows in enumerate(coarser(split.result.bucket_rows, buckets)):
                if rows:
                    bucket_of.append(bucket)
                    number_of.append(split.result.split.number)
                    rows_of.append(rows)
    order = np.lexsort((number_of, bucket_of))
    ordered, numbers, counts = (np.array(column, np.int64)[order] for column in (bucket_of, number_of, rows_of))
    filled, first = np.unique(ordered, return_index=True)
    bounds = [*first.tolist(), len(ordered)]
    return {
        bucket: (numbers[begin:stop], int(counts[begin:stop].sum()))
        for bucket, begin, stop in zip(filled.tolist(), bounds[:-1], bounds[1:], strict=True)
    }


def _find_all_repeated(
    engine: Engine, context: AggregateContext, splits: tuple[int, ...], rows: int, workers: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(Numbers of the id ranges in which there are cross-bucket ids, of those in which there are other repeated ids)"""
    ranges = 1 << max(workers - 1, rows // (2 * context.bucket_rows)).bit_length()
    width = (1 << 64) // ranges
    tasks = [FindRepeatedTask(n, n * width, (n + 1) * width - 1, splits) for n in range(ranges)]
    found = sorted(
        (task.number, *counts) for task, counts in run_tasks(engine, find_repeated_ids, context, tasks, no_advance)
    )
    return tuple(number for number, cross, _ in found if cross), tuple(number for number, _, again in found if again)


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

"""Phase 2 by the kernel: settle ids across buckets, aggregate every bucket, and fetch what lost for the quarantine."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import polars as pl

from pipeline.aggregate.aggregator import aggregate, correct, find_contested, settle
from pipeline.aggregate.tasks import BucketResult, BucketTask, ContestedTask, CorrectTask, SettleTask
from pipeline.engines import Engine, run_all
from pipeline.errors import BalanceError
from pipeline.exchange.row_files import PLACE_UNIT, coarser
from pipeline.exchange.workspace import Workspace, read_frame
from pipeline.preprocess.context import Job
from pipeline.preprocess.ledger import Phase1, PlacedSplit


@dataclass(frozen=True)
class Totals:
    """The result of Phase 2: one BucketResult for each bucket that has rows; copies that were dropped, and contents
    that lost."""

    buckets: tuple[BucketResult, ...]
    duplicates: int
    conflicts: int

    @property
    def kept(self) -> int:
        """Events that count."""
        return sum(bucket.kept for bucket in self.buckets)

    @property
    def users(self) -> int:
        """Distinct users; each lies in one bucket."""
        return sum(bucket.users for bucket in self.buckets)


def fewest_buckets(outcome: Phase1, buckets: int) -> int:
    """The number of buckets in which all splits can be read: another run may have written some with fewer."""
    return min((len(split.result.bucket_rows) for split in outcome.splits), default=buckets)


def largest_bucket(outcome: Phase1, buckets: int) -> int:
    """Rows of the largest of ``buckets`` buckets."""
    rows = (coarser(split.result.bucket_rows, buckets) for split in outcome.splits if split.result.handed_over)
    return max((sum(counts) for counts in zip(*rows, strict=True)), default=0)


def aggregate_all(
    engine: Engine, job: Job, splits: list[PlacedSplit], workers: int, advance: Callable[[int], None]
) -> Totals:
    """Deduplicate and add up all rows. ``advance`` gets rows. Raises BalanceError where a count does not add up."""
    filled = [split.result for split in splits if split.result.handed_over]
    numbers = tuple(result.split.number for result in filled)
    by_split = {result.split.number: coarser(result.bucket_rows, job.buckets) for result in filled}
    rows = [sum(counts) for counts in zip(*by_split.values(), strict=True)]
    contested = _find_all_contested(engine, job, numbers, sum(rows), workers)
    tasks = [
        BucketTask(bucket, count, tuple(number for number in numbers if by_split[number][bucket]), contested)
        for bucket, count in enumerate(rows)
        if count
    ]
    tasks.sort(key=lambda task: -task.rows)
    results = run_all(engine, aggregate, tasks, advance)
    if contested:
        results = _settle_all(engine, job, results)
    for result in results:
        if not result.balances() or result.rows != rows[result.bucket]:
            raise BalanceError(
                f"bucket {result.bucket} does not balance: {rows[result.bucket]} rows handed over, {result}. "
                "Nothing was published. This is a fault in the program; please report it."
            )
    return sum_up(results)


def sum_up(results: Iterable[BucketResult]) -> Totals:
    """Totals of buckets that know their duplicates and conflicts."""
    buckets = tuple(sorted(results, key=lambda result: result.bucket))
    duplicates = sum(bucket.duplicates for bucket in buckets)
    return Totals(buckets, duplicates, sum(bucket.conflicts for bucket in buckets))


def _find_all_contested(engine: Engine, job: Job, splits: tuple[int, ...], rows: int, workers: int) -> tuple[int, ...]:
    """Numbers of the id ranges in which ids have copies in more than one bucket."""
    ranges = 1 << max(workers - 1, rows // (2 * job.bucket_rows)).bit_length()
    width = (1 << 64) // ranges
    tasks = [ContestedTask(n, n * width, (n + 1) * width - 1, splits) for n in range(ranges)]
    found = []
    for task, count in engine.map(find_contested, tasks, lambda _: None):
        if isinstance(count, Exception):
            raise count
        if count:
            found.append(task.number)
    return tuple(sorted(found))


def _settle_all(engine: Engine, job: Job, results: list[BucketResult]) -> list[BucketResult]:
    """Compare the winners of contested ids between buckets, and correct the buckets that lose one."""
    aside = sum(result.contested for result in results)
    if not aside:
        return results
    buckets = tuple(result.bucket for result in results if result.contested)
    ranges = 1 << (aside // job.bucket_rows).bit_length()
    tasks = [SettleTask(number, ranges, buckets) for number in range(ranges)]
    losers = {}
    for task, count in engine.map(settle, tasks, lambda _: None):
        if isinstance(count, Exception):
            raise count
        losers[task.number] = count
    corrections = tuple(sorted(number for number, count in losers.items() if count))
    if not corrections:
        return results
    corrected = run_all(engine, correct, [CorrectTask(r, corrections) for r in results if r.contested], lambda _: None)
    return corrected + [result for result in results if not result.contested]


def conflict_places(job: Job) -> pl.DataFrame:
    """(split, offset) of every conflict loser, sorted."""
    return (
        places_of_losers(job.workspace)
        .to_frame()
        .select(split=pl.col("place") // PLACE_UNIT, offset=pl.col("place") % PLACE_UNIT)
        .sort("split", "offset")
    )


def places_of_losers(workspace: Workspace) -> pl.Series:
    """The places of all conflict losers."""
    paths = sorted(workspace.path("conflicts", "x").parent.glob("*.parquet"))
    none = pl.Series("place", [], pl.Int64)
    return pl.concat([none, *(read_frame(path)["place"] for path in paths)])

"""Phase 2 in the way that suits the run: only what changed, all rows by the kernels, or all rows by the SQL plan."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from pipeline.aggregate.context import AggregateContext
from pipeline.aggregate.driver import aggregate_all, fewest_buckets, largest_bucket
from pipeline.aggregate.incremental.driver import (
    MOST_CHANGED,
    Change,
    PreviousVersion,
    aggregate_changes,
    find_change,
)
from pipeline.aggregate.spark_plan import aggregate_by_sql
from pipeline.aggregate.tasks import Phase2Result
from pipeline.engines import Engine
from pipeline.engines.spark import SparkEngine
from pipeline.exchange.row_memory import row_memory
from pipeline.preprocess.ledger import Phase1Result
from pipeline.preprocess.tasks import SplitResult
from pipeline.timing import Progress

Way = Literal["changes", "kernels", "sql"]
"""``changes``: aggregate.incremental; ``kernels``: aggregate.driver; ``sql``: aggregate.spark_plan."""


@dataclass(frozen=True)
class Phase2Plan:
    """The way that Phase 2 takes, and what it needs for it.

    ============  =============================================================================
    ``context``   with the number of buckets of that way
    ``previous``  the version before, if its totals could be used
    ``change``    what is added to those totals and subtracted; None where that is too much
    ``rows``      rows that the way goes over, for the progress
    ============  =============================================================================
    """

    way: Way
    context: AggregateContext
    previous: PreviousVersion | None
    change: Change | None
    rows: int


@dataclass(frozen=True)
class AddedUp:
    """What Phase 2 did.

    ============  =====================================================================================
    ``result``    the counts
    ``context``   the context that the totals were made with
    ``way``       the way that was taken at last
    ``buckets``   the number of buckets that the totals are in; None where they are Spark's partitions
    ``why_anew``  why all rows were added up although there is a version before, else empty
    ============  =====================================================================================
    """

    result: Phase2Result
    context: AggregateContext
    way: Way
    buckets: int | None
    why_anew: str = ""


def plan_phase2(
    context: AggregateContext,
    previous: PreviousVersion | None,
    phase1: Phase1Result,
    *,
    spark: bool,
    spark_plan: str,
    task_rows: int,
) -> Phase2Plan:
    """Choose the way of Phase 2.

    ``spark``: whether Spark runs it. ``spark_plan``: the setting SPARK_PLAN; auto takes the SQL plan where a bucket has
    more rows than ``task_rows``, which is what fits into a worker's memory.
    """
    context = replace(context, bucket_rows=_fitting_rows(context, phase1))
    by_sql = spark and spark_plan == "sql"
    previous = None if by_sql else previous
    change = find_change(previous, phase1.splits)
    if previous and change:
        return Phase2Plan("changes", replace(context, buckets=previous.buckets), previous, change, change.rows)
    buckets = fewest_buckets(phase1, context.buckets)
    too_large = spark and spark_plan == "auto" and largest_bucket(phase1, buckets) > task_rows
    way: Way = "sql" if by_sql or too_large else "kernels"
    return Phase2Plan(way, replace(context, buckets=buckets), previous, None, phase1.counts.handed_over)


def _fitting_rows(context: AggregateContext, phase1: Phase1Result) -> int:
    """How many rows fit into memory at a time: fewer than planned where user ids are longer than sampled lines."""
    widths = (row_memory(result.handed_over, result.text_bytes) / result.handed_over for result in _filled(phase1))
    longest = max(widths, default=1.0)
    return max(1, min(context.bucket_rows, int(context.bucket_bytes / longest)))


def _filled(phase1: Phase1Result) -> Iterator[SplitResult]:
    return (split.result for split in phase1.splits if split.result.handed_over)


def add_up(
    engine: Engine,
    plan: Phase2Plan,
    phase1: Phase1Result,
    *,
    workers: int,
    shuffle_partitions: int,
    progress: Progress,
) -> AddedUp:
    """Deduplicate and add up the rows of ``phase1`` in the way of ``plan``.

    Where so many ids are affected that a task might not hold them, all rows are added up instead of the changes.
    ``shuffle_partitions``: the setting SPARK_SHUFFLE_PARTITIONS. Raises BalanceError where a count does not add up.
    """
    progress.phase("Phase 2: deduplicate, add up", plan.rows, "rows")
    context, splits = plan.context, phase1.splits
    if plan.way == "sql":
        assert isinstance(engine, SparkEngine), "only Spark has a plan of its own"
        result = aggregate_by_sql(engine, context, splits, shuffle_partitions, progress.advance)
        return AddedUp(result, context, "sql", None, _why_anew(plan))
    if plan.previous and plan.change:
        changed = aggregate_changes(engine, context, plan.previous, plan.change, workers, progress.advance)
        if changed:
            return AddedUp(changed, context, "changes", context.buckets)
    result = aggregate_all(engine, context, splits, workers, progress.advance)
    return AddedUp(result, context, "kernels", context.buckets, _why_anew(plan))


def _why_anew(plan: Phase2Plan) -> str:
    if not plan.previous:
        return ""
    if plan.change:
        return "ids that changed occur so often in one split that its rows might not fit into memory"
    return f"more than {MOST_CHANGED:.0%} of them changed, or buckets did"

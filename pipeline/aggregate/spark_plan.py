"""Phase 2 as a Spark SQL plan over the same intermediate files, with Spark's own shuffle and spill.

    rows of all splits            repartitioned by id
    -> contents, with copies      groupBy id and content
    -> rank of each in its id     window by id, in the order of dedupe.resolve
    -> totals, and each loser     repartitioned by user, groupBy user, region and loser
    -> the files of the run       written by Spark, then a kernel for each: totals/, conflicts/ and a BucketResult

The plan is one pass: a loser is a group of its own in the last step, so that the winners are not computed twice. Spark
hands its result over in files, because every way to give Arrow batches to Python asks for pandas.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pipeline.aggregate.context import AggregateContext
from pipeline.aggregate.tasks import BucketResult, PartTask, Phase2Result, sum_buckets
from pipeline.aggregate.totals import merge_totals, order_totals
from pipeline.engines import Advance, no_advance, run_all
from pipeline.errors import BalanceError
from pipeline.exchange.bucket_totals import write_totals
from pipeline.exchange.loser_places import write_places
from pipeline.exchange.row_files import PLACE_UNIT
from pipeline.exchange.workspace import bucket_file, split_file
from pipeline.preprocess.ledger import PlacedSplit
from pipeline.timing import in_stage, stage

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import Column, DataFrame, SparkSession

    from pipeline.engines.spark import SparkEngine

_ROWS = (
    "id_hi bigint, id_lo bigint, user_id string, region int, micro_minutes bigint, `offset` bigint, timestamp bigint"
)
"""The columns of rows files that the plan reads."""
_PARTITION_ROWS = 500_000
"""A partition of this many rows is sorted and hashed in about 100 MB."""
_OVERFLOW = "ARITHMETIC_OVERFLOW"
"""Spark's name for a sum that passes int64."""


def aggregate_by_sql(
    engine: "SparkEngine",
    context: AggregateContext,
    splits: Iterable[PlacedSplit],
    shuffle_partitions: int,
    advance: Advance,
) -> Phase2Result:
    """Deduplicate and add up all rows by the plan; writes totals/ and conflicts/ as the kernels do.

    ``shuffle_partitions``: partitions of each shuffle, 0 to choose. ``advance`` gets rows. Returns one BucketResult for
    each partition of users that has rows: ``rows`` is Spark's count of the rows that it read; kept, conflicts and
    regions are counted in what was written.

    Raises BalanceError where a count does not add up or a sum passes int64, EnvironmentFault where Spark fails.
    """
    rows = sum(split.result.handed_over for split in splits)
    if not rows:
        return sum_buckets(())
    partitions = shuffle_partitions or _choose_partitions(rows, context.bucket_rows, engine.workers)
    with stage("spark sql", rows):
        paths = engine.run(lambda spark: _run_plan(spark, context, splits, partitions), rows, advance)
    tasks = [PartTask(int(path.name.split("-")[1]), str(path)) for path in paths]
    results = [result for result in run_all(engine, write_partition, context, tasks, no_advance) if result.rows]
    results.sort(key=lambda result: result.bucket)
    read = sum(result.rows for result in results)
    wrong = [result for result in results if not result.balances()]
    if read != rows or wrong:
        raise BalanceError(
            f"the SQL plan does not balance: {rows} rows handed over, {read} read, in parts {wrong[:3]}. "
            "Nothing was published. This is a fault in the program; please report it."
        )
    return sum_buckets(results)


def _choose_partitions(rows: int, bucket_rows: int, workers: int) -> int:
    """The number of partitions of each shuffle: so many that each fits a task."""
    return max(2 * workers, -(-rows // min(_PARTITION_ROWS, bucket_rows)))


def _run_plan(
    spark: "SparkContext", context: AggregateContext, splits: Iterable[PlacedSplit], partitions: int
) -> list[Path]:
    """Run the plan; returns the files that Spark wrote, one for each partition of users, in the columns of ``_totals``.

    Raises BalanceError where a sum passes int64.
    """
    from pyspark.sql import SparkSession

    folder = context.workspace.path("sql", "totals")
    plan = _totals(_winners(_read(SparkSession(spark), context, splits), context, partitions), partitions)
    try:
        plan.write.mode("overwrite").option("compression", "snappy").parquet(f"file:{folder}")
    except Exception as fault:
        if _OVERFLOW in str(fault):
            raise BalanceError(
                "The watch times of one user add up to more than 9.2e12 minutes, which exceeds a 64-bit sum of "
                "micro-minutes. Nothing was published. Look for absurd watch times in the input."
            ) from fault
        raise
    return sorted(folder.glob("part-*.parquet"))


def _read(session: "SparkSession", context: AggregateContext, splits: Iterable[PlacedSplit]) -> "DataFrame":
    """All rows with their ``place``, for which the number of the split is in the file's name."""
    from pyspark.sql import functions as F

    numbers = [split.result.split.number for split in splits if split.result.handed_over]
    paths = [_literal(str(context.workspace.path("rows", split_file(number)))) for number in numbers]
    schema = _ROWS if context.keep != "longest" else _ROWS.removesuffix(", timestamp bigint")
    number = F.regexp_extract(F.col("_metadata.file_name"), r"split-(\d+)", 1).cast("bigint")
    place = number * F.lit(PLACE_UNIT) + F.col("offset")
    return session.read.schema(schema).parquet(*paths).withColumn("place", place).drop("offset")


def _literal(path: str) -> str:
    """The URL of a path in which Hadoop finds no pattern."""
    return "file:" + "".join(f"\\{char}" if char in "{}[]*?\\^" else char for char in path)


def _winners(rows: "DataFrame", context: AggregateContext, partitions: int) -> "DataFrame":
    """One row for each content: user_id, region, micro_minutes, copies, and ``loser`` (its place; null if it wins)."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    aggregates = [F.count("*").alias("copies"), F.min("place").alias("place")]
    if context.keep != "longest":
        aggregates.append((F.min if context.keep == "first" else F.max)("timestamp").alias("timestamp"))
    content = ["id_hi", "id_lo", "user_id", "region", "micro_minutes"]
    contents = rows.repartition(partitions, "id_hi", "id_lo").groupBy(*content).agg(*aggregates)
    rank = F.row_number().over(Window.partitionBy("id_hi", "id_lo").orderBy(*_order(context)))
    loser = F.when(rank > 1, F.col("place"))
    return contents.withColumn("loser", loser).select("user_id", "region", "micro_minutes", "copies", "loser")


def _order(context: AggregateContext) -> "list[Column]":
    """The order of ``dedupe.resolve``, in which the first content of an id wins."""
    from pyspark.sql import functions as F

    names = context.region_names
    ranks = np.argsort(np.argsort(np.array([name.encode() for name in names], dtype=object))).tolist()
    region_order = F.get(F.array(*(F.lit(rank) for rank in ranks)), F.col("region"))
    order = [F.desc("micro_minutes"), F.asc("user_id"), region_order.asc()]
    if context.keep == "first":
        return [F.asc_nulls_last("timestamp"), *order]
    if context.keep == "last":
        return [F.desc_nulls_last("timestamp"), *order]
    return order


def _totals(contents: "DataFrame", partitions: int) -> "DataFrame":
    """One row for each user and region, and one for each loser (``loser``: its place, else null), by user.

    =================  =====================================================
    ``micro_minutes``  sum of the contents' watch times
    ``event_count``    number of contents
    ``copies``         rows that were read
    ``surplus``        copies less one for each content: the duplicates
    =================  =====================================================
    """
    from pyspark.sql import functions as F

    return (
        contents.repartition(partitions, "user_id")
        .groupBy("user_id", "region", "loser")
        .agg(
            F.sum("micro_minutes").alias("micro_minutes"),
            F.count("*").alias("event_count"),
            F.sum("copies").alias("copies"),
            F.sum(F.col("copies") - 1).alias("surplus"),
        )
    )


@in_stage("spark sql")
def write_partition(context: AggregateContext, task: PartTask, _: Advance) -> BucketResult:
    """Write the totals and the losers of one partition (columns of ``_totals``), under the names of a bucket's files.

    Raises BalanceError where a sum passes int64.
    """
    number = task.number
    rows = pl.read_parquet(task.path, glob=False)
    winners = rows.filter(pl.col("loser").is_null())
    total, users = order_totals(
        merge_totals(winners.select("user_id", pl.col("region").cast(pl.UInt16), "micro_minutes", "event_count"))
    )
    regions = write_totals(context.workspace.path("totals", bucket_file(number)), total)
    losers = rows.select(place="loser").drop_nulls()
    if len(losers):
        write_places(context.workspace.path("conflicts", bucket_file(number, "npy")), losers["place"])
    return BucketResult(
        bucket=number,
        rows=int(rows["copies"].sum()),
        kept=sum(events for _, events, _ in regions.values()),
        duplicates=int(rows["surplus"].sum()),
        conflicts=len(losers),
        pending=0,
        users=users,
        regions=regions,
    )

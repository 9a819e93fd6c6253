"""The last kernels of an incremental Phase 2: they decide ambiguous ids and change the totals of the version before.

All kernels of this way, in order; the first four are in ``affected_ids`` and ``compare_copies``:

    find_affected_ids   id indexes of all splits, one range of ids   -> ids of changed splits with further copies
    fetch_marks         some splits                                  -> ids and content marks of their affected rows
    compare_copies      the affected ids of one range                -> those whose copies differ: the ambiguous ones
    pick_rows           one split                                    -> its rows of ambiguous ids
    decide_changes      the ambiguous ids of one range               -> how their winners and losers change
    apply_changes       some buckets                                 -> their new totals

An id that comes adds its event, one that goes subtracts it, and further copies are duplicates. An ambiguous id is
decided twice, among the rows that counted before and among those that count now, and the difference changes the totals.
Sums of integers make this exact.
"""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import polars_hash as plh

from pipeline.aggregate.bucket_totals import BucketTotals
from pipeline.aggregate.context import AggregateContext
from pipeline.aggregate.incremental.affected_ids import prefixes_of, rows_with_prefixes
from pipeline.aggregate.incremental.tasks import Applied, ApplyTask, BucketGroup, Decided, DecideTask
from pipeline.aggregate.portion_decision import resolve_rows
from pipeline.aggregate.tasks import BucketResult
from pipeline.aggregate.totals import merge_totals
from pipeline.dedupe import Keys
from pipeline.engines import Advance
from pipeline.exchange.bucket_rows import read_pieces
from pipeline.exchange.bucket_totals import read_all_in_pieces
from pipeline.exchange.id_index import FINE_BUCKET_BITS
from pipeline.exchange.loser_places import without_places, write_places
from pipeline.exchange.workspace import bucket_file, count_rows, read_frame, read_id_range, split_file, write_frame
from pipeline.native.arrow import column
from pipeline.staging import staged
from pipeline.timing import in_stage

_ADDED = ["id_hi", "user_id", "region", "micro_minutes"]
"""Columns of rows that are added to totals."""
_CHANGES = {"user_id": pl.String, "region": pl.UInt16, "micro_minutes": pl.Int64, "event_count": pl.Int64}
"""What ``decide_changes`` changes in totals."""


@in_stage("dedupe")
def decide_changes(context: AggregateContext, task: DecideTask, advance: Advance) -> Decided:
    """Decide the ambiguous ids of a range among the rows before and now. Writes to delta/, by number of the range:

    ===========  ===================================================================================
    changes-*    the totals of the winners now less those of the winners before, where they differ
    came-*       the places of the losers now that are not among those before (``exchange.loser_places``)
    went-*       the places of the losers before that are not among those now
    ===========  ===================================================================================

    ``advance`` gets rows.
    """
    picked = []
    for split in task.splits:
        path = context.workspace.path("delta", f"ambiguous-{split_file(split)}")
        picked.append(read_id_range(path, task.number, task.ranges))
    rows = pl.concat(picked)
    before = resolve_rows(context, rows.filter("before").drop("before", "now"))
    now = resolve_rows(context, rows.filter("now").drop("before", "now"))
    changes = merge_totals(pl.concat([_signed(_events(now.winners), 1), _signed(_events(before.winners), -1)]))
    changes = changes.filter((pl.col("micro_minutes") != 0) | (pl.col("event_count") != 0))
    write_frame(context.workspace.path("delta", f"changes-{split_file(task.number)}"), changes)
    lost_now, lost_before = (np.sort(side.losers["place"].to_numpy().astype(np.uint64)) for side in (now, before))
    came, went = without_places(lost_now, lost_before), without_places(lost_before, lost_now)
    for name, places in (("came", came), ("went", went)):
        write_places(context.workspace.path("delta", f"{name}-{split_file(task.number, 'npy')}"), places)
    advance(len(rows))
    return Decided(now.duplicates - before.duplicates, len(came), len(went))


@in_stage("group")
def apply_changes(context: AggregateContext, task: ApplyTask, advance: Advance) -> Applied:
    """Write the new totals of a group of buckets (totals/): those before, less what went, plus what came.

    ``advance`` gets rows of changed splits. Raises BalanceError where a sum passes int64.
    """
    buckets = range(task.group.first, task.group.first + task.group.count)
    excluded = dict(prefixes_of(context, "excluded", task.affected, (*task.added, *task.removed)))
    changes = _changes(context, task.decided).filter(pl.col("bucket").is_in(buckets))
    results, events = [], 0
    with ExitStack() as opened:
        totals = _Tables(context, task.group, opened)
        for bucket in buckets:
            path = Path(task.previous) / "totals" / bucket_file(bucket)
            if path.exists():
                expected = count_rows(path) * 5 // 4
                opened_totals = totals.open(bucket, expected)
                for before in read_all_in_pieces(path):
                    opened_totals.add_totals(before)
        # Subtract first, so that no sum passes int64 between the two.
        for sign, splits in ((-1, task.removed), (1, task.added)):
            for split in splits:
                events += sign * _add_rows(context, task.group, split, sign, excluded[split], totals)
            of_sign = changes.filter((pl.col("micro_minutes") < 0) == (sign < 0))
            for (bucket,), rows in of_sign.partition_by("bucket", as_dict=True, include_key=False).items():
                totals[int(bucket)].add_totals(rows.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()))
        for bucket in sorted(totals):
            regions, users = totals[bucket].write()
            if regions:
                kept = sum(found for _, found, _ in regions.values())
                results.append(BucketResult(bucket, kept, kept, 0, 0, 0, users, regions))
            else:
                staged(context.workspace.path("totals", bucket_file(bucket))).unlink()
    advance(task.rows)
    return Applied(tuple(results), events)


class _Tables(dict[int, BucketTotals]):
    """Bucket → its totals. They are opened at their first use at the latest and stay open until ``opened`` ends.

    All of them together take no more memory than those of one bucket may.
    """

    def __init__(self, context: AggregateContext, group: BucketGroup, opened: ExitStack) -> None:
        super().__init__()
        self._context = replace(context, bucket_bytes=context.bucket_bytes // group.count)
        self._opened = opened

    def open(self, bucket: int, expected: int) -> BucketTotals:
        totals = self[bucket] = self._opened.enter_context(BucketTotals(self._context, bucket, expected))
        return totals

    def __missing__(self, bucket: int) -> BucketTotals:
        return self.open(bucket, expected=0)


def _add_rows(
    context: AggregateContext, group: BucketGroup, split: int, sign: int, excluded: Keys, totals: _Tables
) -> int:
    """Add or subtract the rows of a split whose ids are not ``excluded``; returns the number of rows added."""
    path = context.workspace.path("rows", split_file(split))
    added = 0
    for rows, sizes in read_pieces(path, group.first, group.count, context.buckets, _ADDED, context.library):
        skipped = np.zeros(len(rows), bool)
        skipped[rows_with_prefixes(context, [column(rows, "id_hi").view(np.uint64)], excluded)[0]] = True
        first = 0
        for bucket, size in sizes.items():
            totals[bucket].add(rows.slice(first, size), skipped[first : first + size], sign)
            first += size
        added += len(rows) - int(skipped.sum())
    return added


def _events(rows: pl.DataFrame) -> pl.DataFrame:
    """One event for each row, in columns of totals."""
    return rows.select("user_id", "region", "micro_minutes", pl.lit(1, dtype=pl.Int64).alias("event_count"))


def _signed(totals: pl.DataFrame, sign: int) -> pl.DataFrame:
    return totals.with_columns(pl.col("micro_minutes", "event_count") * sign)


def _changes(context: AggregateContext, ranges: tuple[int, ...]) -> pl.DataFrame:
    """The changes that were decided in ``ranges``, with ``bucket``."""
    found = [read_frame(context.workspace.path("delta", f"changes-{split_file(number)}")) for number in ranges]
    changes = pl.concat(found) if found else pl.DataFrame(schema=_CHANGES)
    return changes.with_columns(bucket=_bucket(context))


def _bucket(context: AggregateContext) -> pl.Expr:
    """The bucket of a user."""
    if context.buckets == 1:
        return pl.lit(0, pl.UInt64)
    leading: pl.Expr = plh.col("user_id").nchash.xxh3_64() // 2 ** (64 - FINE_BUCKET_BITS + context.bucket_shift)
    return leading

"""The kernels of Phase 2: buckets of rows become totals per user; ids with copies in several buckets are decided.

    find_cross_bucket_ids   id indexes of all splits, one range of ids   -> ids that occur in more than one bucket
    aggregate               one bucket                                   -> totals per user and region, conflict losers
    decide_cross_bucket     the cross-bucket ids of one range            -> winners that lose after all
    correct                 one bucket                                   -> its totals without those winners

A bucket decides each of its ids as if it had all copies. Where it has not, the winner is pending: it is compared with
those of the other buckets in ``decide_cross_bucket``, and ``correct`` subtracts the losers. Sums of integers make this
exact.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from pipeline.aggregate.bucket_portions import Portion, portions
from pipeline.aggregate.context import AggregateContext
from pipeline.aggregate.tasks import BucketResult, BucketTask, CorrectTask, DecideTask, FindCrossBucketTask
from pipeline.aggregate.totals import TotalsAdder, merge_totals, open_totals, order_totals
from pipeline.dedupe import Keys, Positions, in_range, resolve, rows_with_keys
from pipeline.engines import Advance
from pipeline.exchange.bucket_totals import write_totals
from pipeline.exchange.id_index import FINE_MASK, cut_index, read_keys
from pipeline.exchange.row_files import placed_rows
from pipeline.exchange.workspace import bucket_file, read_frame, save_array, split_file, write_frame
from pipeline.native.arrow import column, to_arrow
from pipeline.native.copies import Part, judge_copies
from pipeline.timing import count, in_stage, stage

_SORTED_KEYS = 1 << 16
"""So many keys are sorted at a time: they stay in the processor's cache, which makes sorting eight times as fast."""


@in_stage("merge")
def find_cross_bucket_ids(context: AggregateContext, task: FindCrossBucketTask, advance: Advance) -> int:
    """Write the keys of ids that occur in more than one fine bucket (merge/, one uint64 a key, sorted); returns how
    many ids they are. ``advance`` gets keys."""
    paths = [context.workspace.path("index", split_file(split, "npy")) for split in task.splits]
    indexes = [read_keys(path, *cut_index(path, [task.low, task.high + 1])) for path in paths]
    total = sum(map(len, indexes))
    if not total:
        return 0
    pieces = total // _SORTED_KEYS + 1
    width = (task.high - task.low) // pieces + 1
    bounds = np.array([task.low + width * piece for piece in range(1, pieces)], np.uint64) & ~FINE_MASK
    cuts = [[0, *np.searchsorted(keys, bounds).tolist(), len(keys)] for keys in indexes]
    found = []
    for piece in range(pieces):
        keys = np.concatenate([index[cut[piece] : cut[piece + 1]] for index, cut in zip(indexes, cuts, strict=True)])
        keys.sort()
        # Copies of a prefix are neighbours now: two that differ in the fine bucket alone lie in different buckets.
        differs = (keys[1:] ^ keys[:-1]) - np.uint64(1) < FINE_MASK
        if differs.any():
            cross_bucket = np.unique(keys[1:][differs] & ~FINE_MASK)
            found.append(np.unique(keys[rows_with_keys(keys & ~FINE_MASK, cross_bucket)]))
    if found:
        save_array(context.workspace.path("merge", split_file(task.number, "npy")), np.concatenate(found))
    advance(total)
    count(total)
    return sum(len(np.unique(keys & ~FINE_MASK)) for keys in found)


@in_stage("group")
def aggregate(context: AggregateContext, task: BucketTask, advance: Advance) -> BucketResult:
    """Deduplicate a bucket and add it up, in portions where it has more than ``context.bucket_rows`` rows.

    Writes, by bucket (``exchange.workspace.bucket_file``):

    ============  ======================================================================================
    totals/       user_id, region, micro_minutes, event_count; in order of region
    conflicts/    losers: CONTENT, copies, place, timestamp if it decides; no file where there are none
    pending/      winners of cross-bucket ids, in the same columns; no file where there are none
    ============  ======================================================================================

    ``advance`` gets rows. Raises BalanceError where a sum passes int64.
    """
    cross_bucket = _cross_bucket_keys(context, task)
    losers: list[pl.DataFrame] = []
    pending: list[pl.DataFrame] = []
    rows = kept = duplicates = 0
    with open_totals(context.library) as totals:
        for portion in portions(context, task.bucket, task.splits, task.rows, cross_bucket):
            with stage("dedupe"):
                copies, ambiguous = _judge(context, portion, cross_bucket)
            own_rows = portion.size - len(portion.elsewhere)
            rows += own_rows
            kept += own_rows - len(copies) - len(ambiguous)
            duplicates += len(copies)
            if len(ambiguous):
                with stage("dedupe"):
                    resolution = resolve(_take(portion, ambiguous), context.keep, context.region_names)
                kept += len(resolution.winners)
                duplicates += resolution.duplicates
                losers.append(resolution.losers)
                pending.append(_rows_of_ids(resolution.winners, cross_bucket))
                totals.add_frame(resolution.winners)
            _add_others(totals, portion, (copies, ambiguous, portion.elsewhere))
        total, users = totals.ordered()
    regions = write_totals(context.workspace.path("totals", bucket_file(task.bucket)), total)
    conflicts = _write_if_any(context, "conflicts", task.bucket, losers)
    pending_count = _write_if_any(context, "pending", task.bucket, pending)
    advance(rows)
    count(rows)
    return BucketResult(task.bucket, rows, kept, duplicates, conflicts, pending_count, users, regions)


@in_stage("merge")
def decide_cross_bucket(context: AggregateContext, task: DecideTask, advance: Advance) -> int:
    """Decide pending winners between buckets; returns how many of them lose.

    Writes their rows, with ``bucket`` (Int32), to corrections/, by the number of the range; no file where none loses.
    ``advance`` gets pending winners.
    """
    pending = []
    for bucket in task.buckets:
        frame = read_frame(context.workspace.path("pending", bucket_file(bucket)))
        frame = frame.filter(pl.Series(in_range(frame["id_hi"].to_numpy(), task.number, task.ranges)))
        pending.append(frame.with_columns(pl.lit(bucket).alias("bucket")))
    rows = pl.concat(pending)
    losers = resolve(rows, context.keep, context.region_names).losers
    if len(losers):
        losers = losers.join(rows.select("place", "bucket"), on="place", how="left")
        write_frame(context.workspace.path("corrections", split_file(task.number)), losers)
    advance(len(rows))
    return len(losers)


@in_stage("merge")
def correct(context: AggregateContext, task: CorrectTask, advance: Advance) -> BucketResult:
    """Subtract from a bucket's totals what ``decide_cross_bucket`` found to lose; write these losers to conflicts/.

    Returns the bucket's counts after it; ``pending`` stays. ``advance`` gets losers.
    """
    before = task.before
    found = [read_frame(context.workspace.path("corrections", split_file(n))) for n in task.corrections]
    losers = pl.concat(found).filter(pl.col("bucket") == before.bucket)
    minus = losers.select(
        "user_id", "region", -pl.col("micro_minutes"), pl.lit(-1, dtype=pl.Int64).alias("event_count")
    )
    path = context.workspace.path("totals", bucket_file(before.bucket))
    total, users = order_totals(merge_totals(pl.concat([read_frame(path), minus])))
    regions = write_totals(path, total)
    if len(losers):
        write_frame(context.workspace.path("conflicts", f"settled-{bucket_file(before.bucket)}"), losers.drop("bucket"))
    advance(len(losers))
    return replace(
        before,
        kept=before.kept - len(losers),
        conflicts=before.conflicts + len(losers),
        users=users,
        regions=regions,
    )


def _judge(context: AggregateContext, portion: Portion, cross_bucket: Keys) -> tuple[Positions, Positions]:
    """Positions of (copies, rows that ``resolve`` must decide) among the rows that may have copies.

    Rows of cross-bucket ids go to ``resolve`` in any case, which keeps what decides between buckets.
    """
    rows = portion.compare
    if context.library is None or not len(rows):
        return rows[:0], rows
    names = ("id_hi", "id_lo", "region", "micro_minutes")
    filled = [
        Part(user_id=table["user_id"].chunk(0), **{name: column(table, name) for name in names})
        for _, table in portion.tables
        if len(table)
    ]
    ids = np.concatenate([part.id_hi.view(np.uint64) for part in filled])
    crossing = rows[rows_with_keys(ids[rows] & ~FINE_MASK, cross_bucket)]
    rows = np.setdiff1d(rows, crossing, assume_unique=True) if len(crossing) else rows
    judged = judge_copies(context.library, filled, rows)
    return rows[judged.copies], np.union1d(rows[judged.ambiguous], crossing)


def _rows_of_ids(rows: pl.DataFrame, prefixes: Keys) -> pl.DataFrame:
    """The rows whose ids have one of ``prefixes``."""
    return rows[rows_with_keys(rows["id_hi"].to_numpy().view(np.uint64) & ~FINE_MASK, prefixes)]


def _add_others(totals: TotalsAdder, portion: Portion, decided: Sequence[Positions]) -> None:
    """Add the rows that are in none of ``decided``."""
    skipped = np.zeros(portion.size, bool)
    for positions in decided:
        skipped[positions] = True
    first = 0
    for _, table in portion.tables:
        totals.add(table, skipped[first : first + len(table)])
        first += len(table)


def _take(portion: Portion, positions: Positions) -> pl.DataFrame:
    """The rows at ``positions`` (ascending), with ``place``."""
    frames, first = [], 0
    for split, table in portion.tables:
        wanted = positions[np.searchsorted(positions, first) : np.searchsorted(positions, first + len(table))]
        frames.append(placed_rows(table.take(to_arrow(wanted - first)), split))
        first += len(table)
    return pl.concat(frames)


def _cross_bucket_keys(context: AggregateContext, task: BucketTask) -> Keys:
    """The prefixes of cross-bucket ids with a copy in this bucket, sorted."""
    found = [np.empty(0, np.uint64)]
    for number in task.cross_bucket:
        keys = np.load(context.workspace.path("merge", split_file(number, "npy")), mmap_mode="r")
        in_bucket = (keys & FINE_MASK) >> np.uint64(context.bucket_shift) == task.bucket
        found.append(np.unique(keys[in_bucket] & ~FINE_MASK))
    return np.concatenate(found)  # sorted, because the ranges are


def _write_if_any(context: AggregateContext, kind: str, bucket: int, frames: list[pl.DataFrame]) -> int:
    """Write the rows of all ``frames`` if there are any; returns how many."""
    frame = pl.concat(frames) if frames else pl.DataFrame()
    if len(frame):
        write_frame(context.workspace.path(kind, bucket_file(bucket)), frame)
    return len(frame)

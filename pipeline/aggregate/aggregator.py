"""The kernels of Phase 2: buckets of rows become totals per user; ids with copies in several buckets are decided.

    find_cross_bucket_ids   id indexes of all splits, one range of ids   -> ids that occur in more than one bucket
    aggregate               one bucket                                   -> totals per user and region, conflict losers
    decide_cross_bucket     the cross-bucket ids of one range            -> winners that lose after all
    correct                 one bucket                                   -> its totals without those

A bucket decides each of its ids as if it had all copies. Where it has not, the winner is pending: it is compared with
those of the other buckets in ``decide_cross_bucket``, and ``correct`` subtracts the losers. Sums of integers make this
exact.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.aggregate.bucket_portions import Places, Portion, portions
from pipeline.aggregate.context import AggregateContext
from pipeline.aggregate.tasks import BucketResult, BucketTask, CorrectTask, DecideTask, FindCrossBucketTask
from pipeline.aggregate.totals import TotalsAdder, merge_totals, open_totals, order_totals
from pipeline.dedupe import Keys, in_range, resolve, rows_with_keys
from pipeline.engines import Advance
from pipeline.exchange.bucket_totals import write_totals
from pipeline.exchange.id_index import FINE_MASK, cut_index, read_keys
from pipeline.exchange.row_files import placed_rows
from pipeline.exchange.workspace import bucket_file, read_frame, save_array, split_file, write_frame
from pipeline.native.arrow import column, to_arrow
from pipeline.native.copies import Part, judge_copies
from pipeline.timing import count, in_stage, stage

_SORTED_KEYS = 1 << 16
"""So many keys are sorted at a time: they stay in the processor's cache, which makes it eight times as fast."""


@in_stage("merge")
def find_cross_bucket_ids(context: AggregateContext, task: FindCrossBucketTask, advance: Advance) -> int:
    """Write the keys that occur in more than one fine bucket (merge/, one uint64 a key); returns how many ids."""
    paths = [context.workspace.path("index", split_file(split, "npy")) for split in task.splits]
    parts = [read_keys(path, *cut_index(path, [task.low, task.high + 1])) for path in paths]
    total = sum(map(len, parts))
    if not total:
        return 0
    pieces = total // _SORTED_KEYS + 1
    width = (task.high - task.low) // pieces + 1
    bounds = np.array([task.low + width * piece for piece in range(1, pieces)], np.uint64) & ~FINE_MASK
    cuts = [[0, *np.searchsorted(part, bounds).tolist(), len(part)] for part in parts]
    found = []
    for piece in range(pieces):
        keys = np.concatenate([part[cut[piece] : cut[piece + 1]] for part, cut in zip(parts, cuts, strict=True)])
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

    Writes totals/ (user_id, region, micro_minutes, event_count; in order of region), and, where there are any,
    conflicts/ and pending/ (CONTENT, place, timestamp if it decides). ``place``: split * 2^32 + offset.
    """
    cross_bucket = _cross_bucket_keys(context, task)
    losers: list[pl.DataFrame] = []
    pending: list[pl.DataFrame] = []
    rows = kept = duplicates = 0
    with open_totals(context.library) as totals:
        for portion in portions(context, task.bucket, task.splits, task.rows, cross_bucket):
            here = sum(len(part) for _, part in portion.parts) - len(portion.left)
            with stage("dedupe"):
                copies, ambiguous = _judge(context, portion, cross_bucket)
            rows += here
            kept += here - len(copies) - len(ambiguous)
            duplicates += len(copies)
            if len(ambiguous):
                with stage("dedupe"):
                    resolution = resolve(_take(portion.parts, ambiguous), context.keep, context.region_names)
                winners = resolution.winners
                duplicates += resolution.duplicates
                losers.append(resolution.losers)
                kept += len(winners)
                if len(cross_bucket):
                    prefix = winners["id_hi"].to_numpy().view(np.uint64) & ~FINE_MASK
                    pending.append(winners[rows_with_keys(prefix, cross_bucket)])
                totals.add_frame(winners)
            _add_others(totals, portion, (copies, ambiguous, portion.left))
        total, users = totals.ordered()
    regions = write_totals(context.workspace.path("totals", bucket_file(task.bucket)), total)
    conflicts = _write_if_any(context, "conflicts", task.bucket, losers)
    pending_count = _write_if_any(context, "pending", task.bucket, pending)
    advance(rows)
    count(rows)
    return BucketResult(task.bucket, rows, kept, duplicates, conflicts, pending_count, users, regions)


@in_stage("merge")
def decide_cross_bucket(context: AggregateContext, task: DecideTask, advance: Advance) -> int:
    """Decide pending winners between buckets; writes corrections/ (the rows of winners that lose, with ``bucket``)."""
    parts = []
    for bucket in task.buckets:
        frame = read_frame(context.workspace.path("pending", bucket_file(bucket)))
        frame = frame.filter(pl.Series(in_range(frame["id_hi"].to_numpy(), task.number, task.ranges)))
        parts.append(frame.with_columns(pl.lit(bucket).alias("bucket")))
    rows = pl.concat(parts)
    losers = resolve(rows, context.keep, context.region_names).losers
    if len(losers):
        losers = losers.join(rows.select("place", "bucket"), on="place", how="left")
        write_frame(context.workspace.path("corrections", split_file(task.number)), losers)
    advance(len(rows))
    return len(losers)


@in_stage("merge")
def correct(context: AggregateContext, task: CorrectTask, advance: Advance) -> BucketResult:
    """Subtract a bucket's losers from its totals; they become conflicts."""
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


def _judge(context: AggregateContext, portion: Portion, cross_bucket: Keys) -> tuple[Places, Places]:
    """(copies that go, rows that ``resolve`` must decide) among the rows that may have copies."""
    rows = portion.compare
    if context.library is None or not len(rows):
        return rows[:0], rows
    names = ("id_hi", "id_lo", "region", "micro_minutes")
    filled = [
        Part(user_id=part["user_id"].chunk(0), **{name: column(part, name) for name in names})
        for _, part in portion.parts
        if len(part)
    ]
    ids = np.concatenate([part.id_hi.view(np.uint64) for part in filled])
    elsewhere = rows[rows_with_keys(ids[rows] & ~FINE_MASK, cross_bucket)]
    rows = np.setdiff1d(rows, elsewhere, assume_unique=True) if len(elsewhere) else rows
    judged = judge_copies(context.library, filled, rows)
    return rows[judged.copies], np.union1d(rows[judged.ambiguous], elsewhere)


def _add_others(totals: TotalsAdder, portion: Portion, decided: Sequence[Places]) -> None:
    """Add the rows that are in none of ``decided``."""
    skipped = np.zeros(sum(len(part) for _, part in portion.parts), bool)
    for places in decided:
        skipped[places] = True
    first = 0
    for _, part in portion.parts:
        totals.add(part, skipped[first : first + len(part)])
        first += len(part)


def _take(parts: list[tuple[int, pa.Table]], places: NDArray[np.int64]) -> pl.DataFrame:
    """The rows at ``places`` of all parts, with ``place``: split * 2^32 + offset."""
    frames, first = [], 0
    for split, part in parts:
        here = places[np.searchsorted(places, first) : np.searchsorted(places, first + len(part))]
        frames.append(placed_rows(part.take(to_arrow(here - first)), split))
        first += len(part)
    return pl.concat(frames)


def _cross_bucket_keys(context: AggregateContext, task: BucketTask) -> Keys:
    """Contested id prefixes with a copy in this bucket, sorted."""
    found = [np.empty(0, np.uint64)]
    for number in task.cross_bucket:
        keys = np.load(context.workspace.path("merge", split_file(number, "npy")), mmap_mode="r")
        here = (keys & FINE_MASK) >> np.uint64(context.bucket_shift) == task.bucket
        found.append(np.unique(keys[here] & ~FINE_MASK))
    return np.concatenate(found)  # sorted, because the ranges are


def _write_if_any(context: AggregateContext, kind: str, bucket: int, frames: list[pl.DataFrame]) -> int:
    frame = pl.concat(frames) if frames else pl.DataFrame()
    if len(frame):
        write_frame(context.workspace.path(kind, bucket_file(bucket)), frame)
    return len(frame)

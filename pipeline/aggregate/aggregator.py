"""The Phase 2 kernels: buckets of rows become per-user totals, and ids with copies in several buckets are settled.

    find_contested   id indexes of all splits, one range of ids   -> ids that occur in more than one bucket
    aggregate        one bucket                                   -> totals per user and region, conflict losers
    settle           the contested ids of one range               -> winners that lose after all
    correct          one bucket                                   -> its totals without those

A bucket decides each of its ids as if it had all copies. Where it has not, its winner is compared with those of the
other buckets in ``settle``, and ``correct`` takes the losers out again: sums of integers make this exact.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.aggregate.bucket_portions import Places, Portion, portions
from pipeline.aggregate.tasks import BucketResult, BucketTask, ContestedTask, CorrectTask, SettleTask
from pipeline.aggregate.totals import Totals, merge_totals, open_totals, order_totals
from pipeline.dedupe import Keys, in_range, resolve, rows_with_keys
from pipeline.exchange.bucket_totals import write_totals
from pipeline.exchange.id_index import FINE_MASK, cut_index, read_keys
from pipeline.exchange.row_files import placed_rows
from pipeline.exchange.workspace import bucket_file, read_frame, save_array, split_file, write_frame
from pipeline.native.arrow import column, to_arrow
from pipeline.native.copies import Part, judge_copies
from pipeline.preprocess.context import Job
from pipeline.timing import count, stage

_SORTED_KEYS = 1 << 16
"""So many keys are sorted at a time: they stay in the processor's cache, which makes it eight times as fast."""


def find_contested(job: Job, task: ContestedTask, report: Callable[[int], None]) -> int:
    """Write the keys that occur in more than one fine bucket (merge/, one uint64 a key); returns how many ids."""
    paths = [job.workspace.path("index", split_file(split, "npy")) for split in task.splits]
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
        # Sorted: copies of a prefix are neighbours, and two that differ only in the fine bucket betray it.
        betrayed = (keys[1:] ^ keys[:-1]) - np.uint64(1) < FINE_MASK
        if betrayed.any():
            contested = np.unique(keys[1:][betrayed] & ~FINE_MASK)
            found.append(np.unique(keys[rows_with_keys(keys & ~FINE_MASK, contested)]))
    if found:
        save_array(job.workspace.path("merge", split_file(task.number, "npy")), np.concatenate(found))
    report(total)
    count(total)
    return sum(len(np.unique(keys & ~FINE_MASK)) for keys in found)


def aggregate(job: Job, task: BucketTask, report: Callable[[int], None]) -> BucketResult:
    """Deduplicate a bucket and add it up, in portions where it has more than ``job.bucket_rows`` rows.

    Writes totals/ (user_id, region, micro_minutes, event_count; in order of region), and, where there are any,
    conflicts/ and contested/ (CONTENT, place, timestamp if it decides). ``place``: split * 2^32 + offset.
    """
    contested = _contested_keys(job, task)
    losers: list[pl.DataFrame] = []
    set_aside: list[pl.DataFrame] = []
    rows = kept = duplicates = 0
    with open_totals(job.library) as totals:
        for portion in portions(job, task.bucket, task.splits, task.rows, contested):
            here = sum(len(part) for _, part in portion.parts) - len(portion.left)
            with stage("dedupe"):
                copies, disputed = _judge(job, portion, contested)
            rows += here
            kept += here - len(copies) - len(disputed)
            duplicates += len(copies)
            if len(disputed):
                with stage("dedupe"):
                    resolution = resolve(_take(portion.parts, disputed), job.keep, job.geo().names)
                winners = resolution.winners
                duplicates += resolution.duplicates
                losers.append(resolution.losers)
                kept += len(winners)
                if len(contested):
                    prefix = winners["id_hi"].to_numpy().view(np.uint64) & ~FINE_MASK
                    set_aside.append(winners[rows_with_keys(prefix, contested)])
                totals.add_frame(winners)
            _add_others(totals, portion, (copies, disputed, portion.left))
        total, users = totals.ordered()
    regions = write_totals(job.workspace.path("totals", bucket_file(task.bucket)), total)
    conflicts = _write_if_any(job, "conflicts", task.bucket, losers)
    aside = _write_if_any(job, "contested", task.bucket, set_aside)
    report(rows)
    count(rows)
    return BucketResult(task.bucket, rows, kept, duplicates, conflicts, aside, users, regions)


def settle(job: Job, task: SettleTask, report: Callable[[int], None]) -> int:
    """Decide contested ids between buckets; writes corrections/ (the rows of winners that lose, with ``bucket``)."""
    parts = []
    for bucket in task.buckets:
        frame = read_frame(job.workspace.path("contested", bucket_file(bucket)))
        frame = frame.filter(pl.Series(in_range(frame["id_hi"].to_numpy(), task.number, task.ranges)))
        parts.append(frame.with_columns(pl.lit(bucket).alias("bucket")))
    rows = pl.concat(parts)
    losers = resolve(rows, job.keep, job.geo().names).losers
    if len(losers):
        losers = losers.join(rows.select("place", "bucket"), on="place", how="left")
        write_frame(job.workspace.path("corrections", split_file(task.number)), losers)
    report(len(rows))
    return len(losers)


def correct(job: Job, task: CorrectTask, report: Callable[[int], None]) -> BucketResult:
    """Subtract a bucket's losers from its totals; they become conflicts."""
    before = task.before
    found = [read_frame(job.workspace.path("corrections", split_file(n))) for n in task.corrections]
    losers = pl.concat(found).filter(pl.col("bucket") == before.bucket)
    minus = losers.select(
        "user_id", "region", -pl.col("micro_minutes"), pl.lit(-1, dtype=pl.Int64).alias("event_count")
    )
    path = job.workspace.path("totals", bucket_file(before.bucket))
    total, users = order_totals(merge_totals(pl.concat([read_frame(path), minus])))
    regions = write_totals(path, total)
    if len(losers):
        write_frame(job.workspace.path("conflicts", f"settled-{bucket_file(before.bucket)}"), losers.drop("bucket"))
    report(len(losers))
    return replace(
        before,
        kept=before.kept - len(losers),
        conflicts=before.conflicts + len(losers),
        users=users,
        regions=regions,
    )


def _judge(job: Job, portion: Portion, contested: Keys) -> tuple[Places, Places]:
    """(copies that go, rows that ``resolve`` must decide) among the rows that may have copies."""
    rows = portion.compare
    if job.library is None or not len(rows):
        return rows[:0], rows
    names = ("id_hi", "id_lo", "region", "micro_minutes")
    filled = [
        Part(user_id=part["user_id"].chunk(0), **{name: column(part, name) for name in names})
        for _, part in portion.parts
        if len(part)
    ]
    ids = np.concatenate([part.id_hi.view(np.uint64) for part in filled])
    elsewhere = rows[rows_with_keys(ids[rows] & ~FINE_MASK, contested)]
    rows = np.setdiff1d(rows, elsewhere, assume_unique=True) if len(elsewhere) else rows
    judged = judge_copies(job.library, filled, rows)
    return rows[judged.copies], np.union1d(rows[judged.disputed], elsewhere)


def _add_others(totals: Totals, portion: Portion, decided: Sequence[Places]) -> None:
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


def _contested_keys(job: Job, task: BucketTask) -> Keys:
    """Contested id prefixes with a copy in this bucket, sorted."""
    found = [np.empty(0, np.uint64)]
    for number in task.contested:
        keys = np.load(job.workspace.path("merge", split_file(number, "npy")), mmap_mode="r")
        here = (keys & FINE_MASK) >> np.uint64(job.bucket_shift) == task.bucket
        found.append(np.unique(keys[here] & ~FINE_MASK))
    return np.concatenate(found)  # sorted, because the ranges are


def _write_if_any(job: Job, kind: str, bucket: int, frames: list[pl.DataFrame]) -> int:
    frame = pl.concat(frames) if frames else pl.DataFrame()
    if len(frame):
        write_frame(job.workspace.path(kind, bucket_file(bucket)), frame)
    return len(frame)

"""The kernels of an incremental Phase 2: the totals of the version before, and what other splits change in them.

    find_touched     id indexes of all splits, one range of ids   -> ids of changed splits with further copies
    collect          one bucket                                   -> rows of touched ids; totals of other changed rows
    settle_changes   the touched ids of one range                 -> how their winners and losers change
    apply_changes    one bucket                                   -> its new totals

An id that occurs once, in a changed split, adds or subtracts its event. A touched id is decided twice, among the rows
that counted before and among those that count now; the difference is what changes. Sums of integers make this exact.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import polars_hash as plh
from numpy.typing import NDArray

from pipeline.aggregator import TOTALS, BucketResult, SettleTask, count_regions
from pipeline.dedupe import in_range, repeated_keys, resolve, rows_with_keys
from pipeline.intermediate import (
    FINE_BUCKET_BITS,
    FINE_MASK,
    bucket_file,
    keys_with_prefixes,
    placed_rows,
    read_frame,
    read_index,
    read_rows,
    save_array,
    split_file,
    write_frame,
)
from pipeline.job import Job
from pipeline.totals import merge_totals


@dataclass(frozen=True)
class TouchTask:
    """Find touched ids among those whose key is in ``low <= key <= high``; ``splits``: all that counted or count."""

    number: int
    low: int
    high: int
    splits: tuple[int, ...]
    changed: frozenset[int]


@dataclass(frozen=True)
class CollectTask:
    """Collect a bucket's rows; ``added`` and ``removed`` splits have rows in it; ``ranges``: numbers of ranges with
    touched ids; ``rows`` of the changed splits, for the progress."""

    bucket: int
    added: tuple[int, ...]
    removed: tuple[int, ...]
    ranges: tuple[int, ...]
    rows: int


@dataclass(frozen=True)
class Settled:
    """By how much a range changes the duplicates, and how many losers came and went."""

    duplicates: int
    new_losers: int
    old_losers: int


@dataclass(frozen=True)
class ApplyTask:
    """Make a bucket's new totals from those in the workspace ``base`` and the changes of ``ranges``."""

    bucket: int
    base: str
    ranges: tuple[int, ...]


def find_touched(job: Job, task: TouchTask, report: Callable[[int], None]) -> list[int]:
    """Write where touched ids occur (merge/: a row for each, [split, key]); returns how many there are by bucket."""
    parts = {
        split: read_index(job.workspace.path("index", split_file(split, "npy")), task.low, task.high)
        for split in task.splits
    }
    changed = np.sort(
        np.concatenate([_NO_KEYS, *(parts[split] & ~FINE_MASK for split in parts if split in task.changed)])
    )
    # What occurs in changed splits is a small part of all: the rest need not be sorted.
    near = {split: part[rows_with_keys(part & ~FINE_MASK, changed)] for split, part in parts.items()}
    touched = repeated_keys(np.sort(np.concatenate(list(near.values())) & ~FINE_MASK))
    places = np.concatenate([_occurrences(split, part, touched) for split, part in near.items()])
    if len(places):
        save_array(job.workspace.path("merge", split_file(task.number, "npy")), places)
    report(sum(map(len, parts.values())))
    bucket = (places[:, 1] & FINE_MASK) >> np.uint64(job.bucket_shift)
    counts: list[int] = np.bincount(bucket.astype(np.int64), minlength=job.buckets).tolist()
    return counts


def collect(job: Job, task: CollectTask, report: Callable[[int], None]) -> int:
    """Write a bucket's rows of touched ids, with ``before`` and ``now`` (whether they counted and count), and the
    signed totals of its other changed rows (both in delta/); returns how many events these add."""
    touched = _touched_keys(job, task)
    alone: list[pl.DataFrame] = []
    aside: list[pl.DataFrame] = []
    events = 0
    signs = dict.fromkeys(task.added, 1) | dict.fromkeys(task.removed, -1)
    for split in sorted({*signs, *touched}):
        table = read_rows(job.workspace.path("rows", split_file(split)), task.bucket, job.buckets)
        if table is None:
            continue
        rows = placed_rows(table, split)
        sign = signs.get(split, 0)
        wanted = rows_with_keys(rows["id_hi"].to_numpy().view(np.uint64) & ~FINE_MASK, touched.get(split, _NO_KEYS))
        now, before = pl.lit(sign >= 0).alias("now"), pl.lit(sign <= 0).alias("before")
        aside.append(rows[wanted].drop("offset").with_columns(now, before))
        if sign:
            others = np.ones(len(rows), bool)
            others[wanted] = False
            alone.append(_signed(rows.filter(pl.Series(others)), sign))
            events += sign * int(others.sum())
    if alone:
        write_frame(job.workspace.path("delta", f"alone-{bucket_file(task.bucket)}"), merge_totals(pl.concat(alone)))
    if aside:
        write_frame(job.workspace.path("delta", f"aside-{bucket_file(task.bucket)}"), pl.concat(aside))
    report(task.rows)
    return events


def settle_changes(job: Job, task: SettleTask, report: Callable[[int], None]) -> Settled:
    """Write the signed totals of winners that changed, and the places of losers that came and went (delta/)."""
    parts = []
    for bucket in task.buckets:
        frame = read_frame(job.workspace.path("delta", f"aside-{bucket_file(bucket)}"))
        parts.append(frame.filter(pl.Series(in_range(frame["id_hi"].to_numpy(), task.number, task.ranges))))
    rows = pl.concat(parts)
    names = job.geo().names
    before = resolve(rows.filter("before").drop("before", "now"), job.keep, names)
    now = resolve(rows.filter("now").drop("before", "now"), job.keep, names)
    changes = merge_totals(pl.concat([_signed(now.winners, 1), _signed(before.winners, -1)]))
    changes = changes.filter((pl.col("micro_minutes") != 0) | (pl.col("event_count") != 0))
    write_frame(job.workspace.path("delta", f"changes-{split_file(task.number)}"), changes)
    for name, losers in (("came", now.losers), ("went", before.losers)):
        write_frame(job.workspace.path("delta", f"{name}-{split_file(task.number)}"), losers.select("place"))
    report(len(rows))
    return Settled(now.duplicates - before.duplicates, len(now.losers), len(before.losers))


def apply_changes(job: Job, task: ApplyTask, report: Callable[[int], None]) -> BucketResult:
    """Write a bucket's new totals. Its result has only what totals tell: duplicates and conflicts are the run's."""
    sources = (
        Path(task.base) / "totals" / bucket_file(task.bucket),
        job.workspace.path("delta", f"alone-{bucket_file(task.bucket)}"),
    )
    parts = [read_frame(path) for path in sources if path.exists()]
    parts += [change.filter(_in_bucket(job, task.bucket)) for change in _changes(job, task.ranges)]
    total = merge_totals(pl.concat(parts)) if parts else TOTALS.to_frame(eager=True)
    total = total.filter(pl.col("event_count") != 0).sort("region", maintain_order=True)
    write_frame(job.workspace.path("totals", bucket_file(task.bucket)), total)
    kept = int(total["event_count"].sum())
    report(1)
    return BucketResult(task.bucket, kept, kept, 0, 0, 0, total["user_id"].n_unique(), count_regions(total))


_NO_KEYS: NDArray[np.uint64] = np.empty(0, np.uint64)


def _occurrences(split: int, index: NDArray[np.uint64], touched: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A row [split, key] for each key of a sorted index whose prefix is touched."""
    keys = keys_with_prefixes(index, touched)
    return np.column_stack([np.full(len(keys), split, np.uint64), keys])


def _touched_keys(job: Job, task: CollectTask) -> dict[int, NDArray[np.uint64]]:
    """For each split, the touched id prefixes that it has in the bucket, sorted and distinct."""
    found = [np.empty((0, 2), np.uint64)]
    for number in task.ranges:
        places = np.load(job.workspace.path("merge", split_file(number, "npy")), mmap_mode="r")
        here = (places[:, 1] & FINE_MASK) >> np.uint64(job.bucket_shift) == task.bucket
        found.append(places[here])
    places = np.concatenate(found)
    return {int(split): np.unique(places[places[:, 0] == split, 1] & ~FINE_MASK) for split in np.unique(places[:, 0])}


def _signed(rows: pl.DataFrame, sign: int) -> pl.DataFrame:
    """One event for each row, or minus one: the columns of totals, added up."""
    events = pl.lit(sign, dtype=pl.Int64).alias("event_count")
    return merge_totals(rows.select("user_id", "region", pl.col("micro_minutes") * sign, events))


def _changes(job: Job, ranges: tuple[int, ...]) -> Iterator[pl.DataFrame]:
    for number in ranges:
        yield read_frame(job.workspace.path("delta", f"changes-{split_file(number)}"))


def _in_bucket(job: Job, bucket: int) -> pl.Expr:
    if job.buckets == 1:
        return pl.lit(True)
    shift = 64 - FINE_BUCKET_BITS + job.bucket_shift
    leading: pl.Expr = plh.col("user_id").nchash.xxh3_64() // 2**shift
    return leading == bucket

"""The kernels of an incremental Phase 2: the totals of the version before, and what other splits change in them.

    find_touched     id indexes of all splits, one range of ids   -> ids of changed splits with further copies
    pick_rows        one split that did not change                -> its rows of touched ids
    collect          some buckets of the changed splits           -> rows of touched ids; totals of the others
    settle_changes   the touched ids of one range                 -> how their winners and losers change
    apply_changes    some buckets                                 -> their new totals

An id that occurs once, in a changed split, adds or subtracts its event. A touched id is decided twice, among the rows
that counted before and among those that count now; the difference is what changes. Sums of integers make this exact.
The first two are in ``touched``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import polars_hash as plh

from pipeline.aggregator import BucketResult
from pipeline.arrow import to_arrow
from pipeline.bucket_rows import read_rows
from pipeline.bucket_totals import write_totals
from pipeline.dedupe import in_range, resolve, rows_with_keys
from pipeline.intermediate import (
    FINE_BUCKET_BITS,
    FINE_MASK,
    bucket_file,
    placed_rows,
    read_frame,
    split_file,
    write_frame,
)
from pipeline.job import Job
from pipeline.totals import column, merge_totals, open_totals
from pipeline.touched import touched_prefixes


@dataclass(frozen=True)
class BucketGroup:
    """``count`` buckets from ``first`` on: many small ones are read and written together."""

    first: int
    count: int

    @property
    def file(self) -> str:
        """Name of its file in delta/."""
        return bucket_file(self.first)


@dataclass(frozen=True)
class CollectTask:
    """Collect rows of ``added`` and ``removed`` splits, which have some in these buckets; ``ranges``: numbers of ranges
    with touched ids; ``rows`` of the splits, for the progress."""

    group: BucketGroup
    added: tuple[int, ...]
    removed: tuple[int, ...]
    ranges: tuple[int, ...]
    rows: int


@dataclass(frozen=True)
class SettleTask:
    """Settle the touched ids of range ``number`` of ``ranges``; ``aside``: the files in delta/ that have some."""

    number: int
    ranges: int
    aside: tuple[str, ...]


@dataclass(frozen=True)
class Settled:
    """By how much a range changes the duplicates, and how many losers came and went."""

    duplicates: int
    new_losers: int
    old_losers: int


@dataclass(frozen=True)
class ApplyTask:
    """Make new totals from those in the workspace ``base`` and the changes of ``ranges``."""

    group: BucketGroup
    base: str
    ranges: tuple[int, ...]


def collect(job: Job, task: CollectTask, report: Callable[[int], None]) -> int:
    """Write the rows of touched ids, with ``before`` and ``now`` (whether they counted and count), and the signed
    totals of the others (both in delta/); returns how many events these add."""
    touched = touched_prefixes(job, task.ranges, (*task.added, *task.removed))
    alone: list[pl.DataFrame] = []
    aside: list[pl.DataFrame] = []
    events = 0
    for sign, splits in ((1, task.added), (-1, task.removed)):
        if not splits:
            continue
        with open_totals(job.library) as totals:
            for split in splits:
                path = job.workspace.path("rows", split_file(split))
                rows = read_rows(path, task.group.first, job.buckets, count=task.group.count, library=job.library)
                assert rows is not None, "the splits of a task have rows in its buckets"
                wanted = rows_with_keys(column(rows, "id_hi").view(np.uint64) & ~FINE_MASK, touched[split])
                skipped = np.zeros(len(rows), bool)
                skipped[wanted] = True
                totals.add(rows, skipped)
                events += sign * (len(rows) - len(wanted))
                picked = placed_rows(rows.take(to_arrow(wanted)), split).drop("offset")
                aside.append(picked.with_columns(before=pl.lit(sign < 0), now=pl.lit(sign > 0)))
            alone.append(_signed(totals.frame(), sign))
    write_frame(job.workspace.path("delta", f"alone-{task.group.file}"), pl.concat(alone))
    write_frame(job.workspace.path("delta", f"aside-{task.group.file}"), pl.concat(aside))
    report(task.rows)
    return events


def settle_changes(job: Job, task: SettleTask, report: Callable[[int], None]) -> Settled:
    """Write the signed totals of winners that changed, and the places of losers that came and went (delta/)."""
    parts = []
    for name in task.aside:
        frame = read_frame(job.workspace.path("delta", f"aside-{name}"))
        parts.append(frame.filter(pl.Series(in_range(frame["id_hi"].to_numpy(), task.number, task.ranges))))
    rows = pl.concat(parts)
    names = job.geo().names
    before = resolve(rows.filter("before").drop("before", "now"), job.keep, names)
    now = resolve(rows.filter("now").drop("before", "now"), job.keep, names)
    changes = merge_totals(pl.concat([_signed(_events(now.winners), 1), _signed(_events(before.winners), -1)]))
    changes = changes.filter((pl.col("micro_minutes") != 0) | (pl.col("event_count") != 0))
    write_frame(job.workspace.path("delta", f"changes-{split_file(task.number)}"), changes)
    for name, losers in (("came", now.losers), ("went", before.losers)):
        write_frame(job.workspace.path("delta", f"{name}-{split_file(task.number)}"), losers.select("place"))
    report(len(rows))
    return Settled(now.duplicates - before.duplicates, len(now.losers), len(before.losers))


def apply_changes(job: Job, task: ApplyTask, report: Callable[[int], None]) -> list[BucketResult]:
    """Write the buckets' new totals. The results of those that have any tell of totals alone: duplicates and conflicts
    are the run's."""
    buckets = range(task.group.first, task.group.first + task.group.count)
    sources = [Path(task.base) / "totals" / bucket_file(bucket) for bucket in buckets]
    sources.append(job.workspace.path("delta", f"alone-{task.group.file}"))
    parts = [read_frame(path) for path in sources if path.exists()]
    parts += [change.filter(_bucket(job).is_in(buckets)) for change in _changes(job, task.ranges)]
    if not parts:
        return []
    total = merge_totals(pl.concat(parts)).filter(pl.col("event_count") != 0)
    total = total.with_columns(bucket=_bucket(job))
    results = []
    for (bucket,), part in total.partition_by("bucket", as_dict=True, include_key=False).items():
        regions = write_totals(job.workspace.path("totals", bucket_file(int(bucket))), part)
        kept, users = int(part["event_count"].sum()), part["user_id"].n_unique()
        results.append(BucketResult(int(bucket), kept, kept, 0, 0, 0, users, regions))
    report(len(buckets))
    return results


def _events(rows: pl.DataFrame) -> pl.DataFrame:
    """One event for each row, in columns of totals."""
    return rows.select("user_id", "region", "micro_minutes", pl.lit(1, dtype=pl.Int64).alias("event_count"))


def _signed(totals: pl.DataFrame, sign: int) -> pl.DataFrame:
    return totals.with_columns(pl.col("micro_minutes", "event_count") * sign)


def _changes(job: Job, ranges: tuple[int, ...]) -> Iterator[pl.DataFrame]:
    for number in ranges:
        yield read_frame(job.workspace.path("delta", f"changes-{split_file(number)}"))


def _bucket(job: Job) -> pl.Expr:
    """The bucket of a user."""
    if job.buckets == 1:
        return pl.lit(0, pl.UInt64)
    leading: pl.Expr = plh.col("user_id").nchash.xxh3_64() // 2 ** (64 - FINE_BUCKET_BITS + job.bucket_shift)
    return leading

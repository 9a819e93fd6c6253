"""Phase 2 of a run that changes little: the totals of the version before plus or minus what changed."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from pipeline.aggregate.driver import Totals, aggregate_all, places_of_losers
from pipeline.aggregate.incremental.affected_ids import find_touched, pick_rows
from pipeline.aggregate.incremental.apply_changes import apply_changes, settle_changes
from pipeline.aggregate.incremental.compare_copies import compare_contents, mark_contents
from pipeline.aggregate.incremental.tasks import (
    ApplyTask,
    BucketGroup,
    Compared,
    CompareTask,
    MarkTask,
    PickTask,
    Settled,
    SettleTask,
    TouchTask,
)
from pipeline.engines import Engine, run_all
from pipeline.errors import BalanceError
from pipeline.exchange.row_files import coarser
from pipeline.exchange.workspace import Workspace, bucket_file, count_rows, read_frame, split_file, write_frame
from pipeline.preprocess.context import Job
from pipeline.preprocess.ledger import PlacedSplit
from pipeline.preprocess.tasks import SplitResult

MOST_CHANGED = 0.25
"""Share of changed rows above which everything is added up anew, which then costs as much."""
_GROUPS_PER_WORKER = 4


@dataclass(frozen=True)
class Base:
    """What the version before left: its workspace, its number of buckets, its counts, and the splits it counted."""

    root: str
    buckets: int
    kept: int
    duplicates: int
    conflicts: int
    splits: Mapping[int, SplitResult]


@dataclass(frozen=True)
class Change:
    """Splits with rows that count now and did not before, and the other way round, by number."""

    added: Mapping[int, SplitResult]
    removed: Mapping[int, SplitResult]
    stayed: Mapping[int, SplitResult]

    @property
    def rows(self) -> int:
        """Rows of the changed splits."""
        return sum(result.handed_over for result in (*self.added.values(), *self.removed.values()))

    @property
    def changed(self) -> dict[int, SplitResult]:
        """All changed splits."""
        return {**self.added, **self.removed}


def aggregate_from(
    engine: Engine,
    job: Job,
    base: Base | None,
    change: Change | None,
    splits: list[PlacedSplit],
    workers: int,
    advance: Callable[[int], None],
) -> tuple[Totals, bool]:
    """(The totals of all ``splits``, whether from ``base``): where there is a ``change`` since; else anew. ``advance``
    gets rows.

    ``job`` has the buckets of ``base`` then.
    """
    totals = aggregate_changes(engine, job, base, change, workers, advance) if base and change else None
    return (totals, True) if totals else (aggregate_all(engine, job, splits, workers, advance), False)


def compare(base: Base | None, splits: list[PlacedSplit], most_changed: float = MOST_CHANGED) -> Change | None:
    """What changed since ``base``; None where there is none, or so much that all had better be added up anew.

    ``most_changed``: changed rows for each that counts now.
    """
    if not base:
        return None
    now = {split.result.split.number: split.result for split in splits if split.result.handed_over}
    before = {number: result for number, result in base.splits.items() if result.handed_over}
    change = Change(
        added={number: result for number, result in now.items() if number not in before},
        removed={number: result for number, result in before.items() if number not in now},
        stayed={number: result for number, result in now.items() if number in before},
    )
    all_rows = sum(result.handed_over for result in now.values())
    fine = all(len(result.bucket_rows) >= base.buckets for result in (*now.values(), *before.values()))
    return change if fine and change.rows <= most_changed * all_rows else None


def aggregate_changes(
    engine: Engine, job: Job, base: Base, change: Change, workers: int, advance: Callable[[int], None]
) -> Totals | None:
    """The totals of all rows that count now; ``job`` has the buckets of ``base``. ``advance`` gets changed rows.

    None, with nothing to use, where so many ids are touched that a bucket might not fit. Raises BalanceError where a
    count does not add up.
    """
    found = _find_all_touched(engine, job, change, workers)
    ranges, touched = found.numbers, found.rows
    if max(touched.values(), default=0) > job.bucket_rows:
        return None
    by_split = sorted(touched.items())
    parts = min(len(by_split), _GROUPS_PER_WORKER * workers)
    marked = [MarkTask(dict(by_split[number::parts]), ranges) for number in range(parts)]
    run_all(engine, mark_contents, marked, lambda _: None)
    compared = _compare_all(engine, change, found)
    disputed = sum((Counter(part.disputed) for part in compared), Counter[int]())
    picked = [
        PickTask(number, count, ranges, before=number not in change.added, now=number not in change.removed)
        for number, count in sorted(disputed.items())
    ]
    run_all(engine, pick_rows, picked, lambda _: None)
    settled = _settle_all(engine, job, tuple(task.split for task in picked), disputed.total(), workers)
    numbers = tuple(sorted(settled))
    groups = _group_buckets(job, base, change, workers)
    applied = run_all(engine, apply_changes, list(_apply_tasks(job, base, change, groups, ranges, numbers)), advance)
    events = sum(part.events for part in applied)
    buckets = [result for part in applied for result in part.buckets]
    duplicates = base.duplicates + sum(part.duplicates for part in compared)
    duplicates += sum(part.duplicates for part in settled.values())
    conflicts = _write_losers(job, base, numbers)
    expected = base.conflicts + sum(found.new_losers - found.old_losers for found in settled.values())
    winners = _winner_events(job, numbers)
    totals = Totals(tuple(sorted(buckets, key=lambda result: result.bucket)), duplicates, conflicts)
    if conflicts != expected or totals.kept != base.kept + events + winners:
        raise BalanceError(
            f"the changes do not balance: {conflicts} conflicts, expected {expected}; {totals.kept} events, expected "
            f"{base.kept + events + winners}. Nothing was published. This is a fault in the program; please report it, "
            "and run again with --full-refresh."
        )
    return totals


@dataclass(frozen=True)
class Touched:
    """``numbers`` of the ranges, of ``ranges``, that have touched ids; ``rows`` with these by split."""

    ranges: int
    numbers: tuple[int, ...]
    rows: Counter[int]


def _find_all_touched(engine: Engine, job: Job, change: Change, workers: int) -> Touched:
    ranges = 1 << max(workers - 1, change.rows // (2 * job.bucket_rows)).bit_length()
    width = (1 << 64) // ranges
    numbers, changed = tuple(sorted({**change.stayed, **change.changed})), frozenset(change.changed)
    tasks = [TouchTask(n, n * width, (n + 1) * width - 1, numbers, changed) for n in range(ranges)] if changed else []
    found: list[int] = []
    counts: Counter[int] = Counter()
    for task, result in engine.map(find_touched, tasks, lambda _: None):
        if isinstance(result, Exception):
            raise result
        if result:
            found.append(task.number)
            counts.update(result)
    return Touched(ranges, tuple(sorted(found)), counts)


def _compare_all(engine: Engine, change: Change, touched: Touched) -> list[Compared]:
    splits = tuple(sorted(touched.rows))
    added, removed = frozenset(change.added), frozenset(change.removed)
    tasks = [CompareTask(number, touched.ranges, splits, added, removed) for number in touched.numbers]
    return run_all(engine, compare_contents, tasks, lambda _: None)


def _group_buckets(job: Job, base: Base, change: Change, workers: int) -> list[BucketGroup]:
    """All buckets in groups of nearly equal work, each of as many rows and totals as one task may hold."""
    rows = [0] * job.buckets
    for result in change.changed.values():
        rows = [a + b for a, b in zip(rows, coarser(result.bucket_rows, job.buckets), strict=True)]
    for bucket in range(job.buckets):
        rows[bucket] += count_rows(Path(base.root) / "totals" / bucket_file(bucket))
    share = sum(rows) // (_GROUPS_PER_WORKER * workers)
    limit = min(job.bucket_rows, share + max(rows) // 2)
    groups = [BucketGroup(0, 0)]
    filled = 0
    for bucket in range(job.buckets):
        if filled and filled + rows[bucket] > limit:
            groups.append(BucketGroup(bucket, 0))
            filled = 0
        groups[-1] = replace(groups[-1], count=groups[-1].count + 1)
        filled += rows[bucket]
    return groups


def _apply_tasks(
    job: Job,
    base: Base,
    change: Change,
    groups: list[BucketGroup],
    touched: tuple[int, ...],
    settled: tuple[int, ...],
) -> Iterator[ApplyTask]:
    rows = {number: coarser(result.bucket_rows, job.buckets) for number, result in change.changed.items()}
    for group in groups:
        here = {number: sum(counts[group.first : group.first + group.count]) for number, counts in rows.items()}
        added = tuple(number for number in change.added if here[number])
        removed = tuple(number for number in change.removed if here[number])
        yield ApplyTask(group, base.root, added, removed, touched, settled, sum(here.values()))


def _settle_all(engine: Engine, job: Job, picked: tuple[int, ...], touched: int, workers: int) -> dict[int, Settled]:
    if not touched:
        return {}
    ranges = 1 << max(workers - 1, touched // job.bucket_rows).bit_length()
    tasks = [SettleTask(number, ranges, picked) for number in range(ranges)]
    settled = {}
    for task, result in engine.map(settle_changes, tasks, lambda _: None):
        if isinstance(result, Exception):
            raise result
        settled[task.number] = result
    return settled


def _write_losers(job: Job, base: Base, ranges: tuple[int, ...]) -> int:
    """Write the places of all losers to conflicts/; returns how many."""
    before = places_of_losers(Workspace(base.root))

    def places(name: str) -> pl.Series:
        paths = [job.workspace.path("delta", f"{name}-{split_file(number)}") for number in ranges]
        return pl.concat([read_frame(path)["place"] for path in paths]) if paths else before.clear()

    stayed = before.filter(~before.is_in(places("went").to_list()))
    losers = pl.concat([stayed, places("came")]).sort().to_frame("place")
    if len(losers):
        write_frame(job.workspace.path("conflicts", "all.parquet"), losers)
    return len(losers)


def _winner_events(job: Job, ranges: tuple[int, ...]) -> int:
    """By how many events the changes of winners add up."""
    paths = [job.workspace.path("delta", f"changes-{split_file(number)}") for number in ranges]
    return sum(int(read_frame(path)["event_count"].sum()) for path in paths)


def base_of(root: Path, counts: Mapping[str, int], splits: Mapping[int, SplitResult]) -> Base | None:
    """The base that a version left in ``root``; None where it left none (Spark's own plan has other buckets)."""
    if "buckets" not in counts or not (root / "totals").is_dir():
        return None
    return Base(str(root), counts["buckets"], counts["kept"], counts["duplicates"], counts["conflicts"], splits)

"""Phase 2 of a run that changes little: the totals of the version before plus or minus what changed."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from pipeline.aggregate.context import AggregateContext
from pipeline.aggregate.driver import places_of_losers
from pipeline.aggregate.incremental.affected_ids import find_affected_ids, pick_rows
from pipeline.aggregate.incremental.apply_changes import apply_changes, decide_changes
from pipeline.aggregate.incremental.compare_copies import compare_copies, fetch_marks
from pipeline.aggregate.incremental.tasks import (
    ApplyTask,
    BucketGroup,
    CompareCopiesTask,
    ComparedCopies,
    Decided,
    DecideTask,
    FetchMarksTask,
    FindAffectedTask,
    PickTask,
)
from pipeline.aggregate.tasks import Phase2Result
from pipeline.engines import Advance, Engine, no_advance, run_all
from pipeline.errors import BalanceError
from pipeline.exchange.row_files import coarser
from pipeline.exchange.workspace import Workspace, bucket_file, count_rows, read_frame, split_file, write_frame
from pipeline.preprocess.ledger import PlacedSplit
from pipeline.preprocess.tasks import SplitResult

MOST_CHANGED = 0.25
"""Share of changed rows above which everything is added up anew, which then costs as much."""
_GROUPS_PER_WORKER = 4


@dataclass(frozen=True)
class PreviousVersion:
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


def find_change(
    previous: PreviousVersion | None, splits: Sequence[PlacedSplit], most_changed: float = MOST_CHANGED
) -> Change | None:
    """What changed since ``previous``; None where there is none, or so much that all had better be added up anew.

    ``most_changed``: changed rows for each that counts now.
    """
    if not previous:
        return None
    now = {split.result.split.number: split.result for split in splits if split.result.handed_over}
    before = {number: result for number, result in previous.splits.items() if result.handed_over}
    change = Change(
        added={number: result for number, result in now.items() if number not in before},
        removed={number: result for number, result in before.items() if number not in now},
        stayed={number: result for number, result in now.items() if number in before},
    )
    all_rows = sum(result.handed_over for result in now.values())
    fine = all(len(result.bucket_rows) >= previous.buckets for result in (*now.values(), *before.values()))
    return change if fine and change.rows <= most_changed * all_rows else None


def aggregate_changes(
    engine: Engine, context: AggregateContext, previous: PreviousVersion, change: Change, workers: int, advance: Advance
) -> Phase2Result | None:
    """The totals of all rows that count now; ``context`` has as many buckets as ``previous``.

    None, with nothing to use, where so many ids are affected that a bucket might not fit. Raises BalanceError where a
    count does not add up.
    """
    found = _find_all_affected(engine, context, change, workers)
    ranges, affected = found.numbers, found.rows
    if max(affected.values(), default=0) > context.bucket_rows:
        return None
    by_split = sorted(affected.items())
    parts = min(len(by_split), _GROUPS_PER_WORKER * workers)
    marked = [FetchMarksTask(dict(by_split[number::parts]), ranges) for number in range(parts)]
    run_all(engine, fetch_marks, context, marked, no_advance)
    compared = _compare_all(engine, context, change, found)
    ambiguous = sum((Counter(part.ambiguous) for part in compared), Counter[int]())
    picked = [
        PickTask(number, count, ranges, before=number not in change.added, now=number not in change.removed)
        for number, count in sorted(ambiguous.items())
    ]
    run_all(engine, pick_rows, context, picked, no_advance)
    decided = _decide_all(engine, context, tuple(task.split for task in picked), ambiguous.total(), workers)
    numbers = tuple(sorted(decided))
    groups = _group_buckets(context, previous, change, workers)
    applied = run_all(
        engine, apply_changes, context, list(_apply_tasks(context, previous, change, groups, ranges, numbers)), advance
    )
    events = sum(part.events for part in applied)
    buckets = [result for part in applied for result in part.buckets]
    duplicates = previous.duplicates + sum(part.duplicates for part in compared)
    duplicates += sum(part.duplicates for part in decided.values())
    conflicts = _write_losers(context, previous, numbers)
    expected = previous.conflicts + sum(found.new_losers - found.old_losers for found in decided.values())
    winners = _winner_events(context, numbers)
    totals = Phase2Result(tuple(sorted(buckets, key=lambda result: result.bucket)), duplicates, conflicts)
    if conflicts != expected or totals.kept != previous.kept + events + winners:
        raise BalanceError(
            f"the changes do not balance: {conflicts} conflicts, expected {expected}; {totals.kept} events, expected "
            f"{previous.kept + events + winners}. Nothing was published. This is a fault in the program; please report "
            "it, and run again with --full-refresh."
        )
    return totals


@dataclass(frozen=True)
class AffectedIds:
    """``numbers`` of the ranges, of ``ranges``, that have affected ids; ``rows`` with these by split."""

    ranges: int
    numbers: tuple[int, ...]
    rows: Counter[int]


def _find_all_affected(engine: Engine, context: AggregateContext, change: Change, workers: int) -> AffectedIds:
    ranges = 1 << max(workers - 1, change.rows // (2 * context.bucket_rows)).bit_length()
    width = (1 << 64) // ranges
    numbers, changed = tuple(sorted({**change.stayed, **change.changed})), frozenset(change.changed)
    tasks = (
        [FindAffectedTask(n, n * width, (n + 1) * width - 1, numbers, changed) for n in range(ranges)]
        if changed
        else []
    )
    found: list[int] = []
    counts: Counter[int] = Counter()
    for task, result in engine.map(find_affected_ids, context, tasks, no_advance):
        if isinstance(result, Exception):
            raise result
        if result:
            found.append(task.number)
            counts.update(result)
    return AffectedIds(ranges, tuple(sorted(found)), counts)


def _compare_all(
    engine: Engine, context: AggregateContext, change: Change, affected: AffectedIds
) -> list[ComparedCopies]:
    splits = tuple(sorted(affected.rows))
    added, removed = frozenset(change.added), frozenset(change.removed)
    tasks = [CompareCopiesTask(number, affected.ranges, splits, added, removed) for number in affected.numbers]
    return run_all(engine, compare_copies, context, tasks, no_advance)


def _group_buckets(
    context: AggregateContext, previous: PreviousVersion, change: Change, workers: int
) -> list[BucketGroup]:
    """All buckets in groups of nearly equal work, each of as many rows and totals as one task may hold."""
    rows = [0] * context.buckets
    for result in change.changed.values():
        rows = [a + b for a, b in zip(rows, coarser(result.bucket_rows, context.buckets), strict=True)]
    for bucket in range(context.buckets):
        rows[bucket] += count_rows(Path(previous.root) / "totals" / bucket_file(bucket))
    share = sum(rows) // (_GROUPS_PER_WORKER * workers)
    limit = min(context.bucket_rows, share + max(rows) // 2)
    groups = [BucketGroup(0, 0)]
    filled = 0
    for bucket in range(context.buckets):
        if filled and filled + rows[bucket] > limit:
            groups.append(BucketGroup(bucket, 0))
            filled = 0
        groups[-1] = replace(groups[-1], count=groups[-1].count + 1)
        filled += rows[bucket]
    return groups


def _apply_tasks(
    context: AggregateContext,
    previous: PreviousVersion,
    change: Change,
    groups: list[BucketGroup],
    affected: tuple[int, ...],
    decided: tuple[int, ...],
) -> Iterator[ApplyTask]:
    rows = {number: coarser(result.bucket_rows, context.buckets) for number, result in change.changed.items()}
    for group in groups:
        here = {number: sum(counts[group.first : group.first + group.count]) for number, counts in rows.items()}
        added = tuple(number for number in change.added if here[number])
        removed = tuple(number for number in change.removed if here[number])
        yield ApplyTask(group, previous.root, added, removed, affected, decided, sum(here.values()))


def _decide_all(
    engine: Engine, context: AggregateContext, picked: tuple[int, ...], affected: int, workers: int
) -> dict[int, Decided]:
    if not affected:
        return {}
    ranges = 1 << max(workers - 1, affected // context.bucket_rows).bit_length()
    tasks = [DecideTask(number, ranges, picked) for number in range(ranges)]
    decided = {}
    for task, result in engine.map(decide_changes, context, tasks, no_advance):
        if isinstance(result, Exception):
            raise result
        decided[task.number] = result
    return decided


def _write_losers(context: AggregateContext, previous: PreviousVersion, ranges: tuple[int, ...]) -> int:
    """Write the places of all losers to conflicts/; returns how many."""
    before = places_of_losers(Workspace(previous.root))

    def places(name: str) -> pl.Series:
        paths = [context.workspace.path("delta", f"{name}-{split_file(number)}") for number in ranges]
        return pl.concat([read_frame(path)["place"] for path in paths]) if paths else before.clear()

    stayed = before.filter(~before.is_in(places("went").to_list()))
    losers = pl.concat([stayed, places("came")]).sort().to_frame("place")
    if len(losers):
        write_frame(context.workspace.path("conflicts", "all.parquet"), losers)
    return len(losers)


def _winner_events(context: AggregateContext, ranges: tuple[int, ...]) -> int:
    """By how many events the changes of winners add up."""
    paths = [context.workspace.path("delta", f"changes-{split_file(number)}") for number in ranges]
    return sum(int(read_frame(path)["event_count"].sum()) for path in paths)


def previous_version(
    folder: Path, counts: Mapping[str, int], splits: Mapping[int, SplitResult] | None
) -> PreviousVersion | None:
    """What the run in ``folder`` left for an incremental Phase 2. ``counts`` and ``splits``: of the current version.

    None where it left no totals (Spark's own plan has other buckets), or its splits cannot be used.
    """
    if splits is None or "buckets" not in counts or not (folder / "totals").is_dir():
        return None
    return PreviousVersion(
        str(folder), counts["buckets"], counts["kept"], counts["duplicates"], counts["conflicts"], splits
    )

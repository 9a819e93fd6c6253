"""Phase 2 of a run that changes little: finds what changed since the version before and changes its totals."""

from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.aggregate.context import AggregateContext
from pipeline.aggregate.incremental.affected_ids import find_affected_ids, pick_rows
from pipeline.aggregate.incremental.apply_changes import apply_changes, decide_changes
from pipeline.aggregate.incremental.compare_copies import compare_copies, fetch_marks
from pipeline.aggregate.incremental.tasks import (
    Applied,
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
from pipeline.engines import Advance, Engine, no_advance, run_all, run_tasks
from pipeline.errors import BalanceError
from pipeline.exchange.id_index import key_ranges
from pipeline.exchange.loser_places import count_places, place_files, update_places
from pipeline.exchange.row_files import coarser
from pipeline.exchange.workspace import Workspace, bucket_file, count_rows, read_frame, split_file
from pipeline.preprocess.ledger import PlacedSplit
from pipeline.preprocess.tasks import SplitResult

MOST_CHANGED = 0.25
"""Changed rows for each row that counts now, above which all rows are added up anew: that costs no more then."""
_COUNTS = {"buckets", "kept", "duplicates", "conflicts"}
_GROUPS_PER_WORKER = 4
"""Groups of buckets or splits for each worker, so that the last to finish is small."""


@dataclass(frozen=True)
class PreviousVersion:
    """What the version before left.

    ==============  =========================================================
    ``root``        its workspace, with totals/ and conflicts/
    ``buckets``     the number of its buckets
    ``kept``        events that count
    ``duplicates``  duplicates that Phase 2 dropped
    ``conflicts``   losers
    ``splits``      the splits that it counted, by number
    ==============  =========================================================
    """

    root: str
    buckets: int
    kept: int
    duplicates: int
    conflicts: int
    splits: Mapping[int, SplitResult]


@dataclass(frozen=True)
class Change:
    """The splits with rows: ``added`` count now only, ``removed`` counted before only, both by number; ``stayed`` are
    the numbers of those that count in both, of which there may be very many."""

    added: Mapping[int, SplitResult]
    removed: Mapping[int, SplitResult]
    stayed: Collection[int]

    @property
    def rows(self) -> int:
        """Rows of the changed splits."""
        return sum(result.handed_over for result in (*self.added.values(), *self.removed.values()))

    @property
    def changed(self) -> dict[int, SplitResult]:
        """The added and the removed splits."""
        return {**self.added, **self.removed}


def find_change(
    previous: PreviousVersion | None, splits: Iterable[PlacedSplit], most_changed: float = MOST_CHANGED
) -> Change | None:
    """Find what changed since ``previous``, of the ``splits`` that count now, which are gone over twice.

    None where there is no previous version, where changed rows are more than ``most_changed`` for each row that counts
    now, or where a split was written with fewer buckets than that version has.
    """
    if not previous:
        return None
    most = most_changed * sum(split.result.handed_over for split in splits)
    added: dict[int, SplitResult] = {}
    stayed, gone = array("q"), set(previous.splits)
    changed = 0
    for result in (split.result for split in splits if split.result.handed_over):
        if len(result.bucket_rows) < previous.buckets:
            return None
        if result.split.number in gone:
            gone.remove(result.split.number)
            stayed.append(result.split.number)
        else:
            added[result.split.number] = result
            changed += result.handed_over
        if changed > most:
            return None
    before = ((number, previous.splits[number]) for number in sorted(gone))
    removed = {number: result for number, result in before if result.handed_over}
    if any(len(result.bucket_rows) < previous.buckets for result in removed.values()):
        return None
    change = Change(added, removed, stayed)
    return change if change.rows <= most else None


def aggregate_changes(
    engine: Engine, context: AggregateContext, previous: PreviousVersion, change: Change, workers: int, advance: Advance
) -> Phase2Result | None:
    """Make the totals of all rows that count now from those of ``previous``; writes totals/ and conflicts/.

    ``context`` has as many buckets as ``previous``. ``advance`` gets rows of changed splits. None, with nothing to use,
    where so many ids are affected that the rows of a split might not fit into memory. Raises BalanceError where a count
    does not add up or a sum passes int64.
    """
    affected = _find_all_affected(engine, context, change, workers)
    if max(affected.rows.values(), default=0) > context.bucket_rows:
        return None
    compared = _compare_all(engine, context, change, affected, workers)
    ambiguous = sum((Counter(copies.ambiguous) for copies in compared), Counter[int]())
    picked = _pick_all(engine, context, change, affected, ambiguous)
    decided = _decide_all(engine, context, picked, ambiguous.total(), workers)
    numbers = tuple(sorted(decided))
    applied = _apply_all(engine, context, previous, change, affected, numbers, workers, advance)
    conflicts = _write_losers(context, previous)
    duplicates = sum(copies.duplicates for copies in compared)
    duplicates += sum(found.duplicates for found in decided.values())
    buckets = sorted((result for group in applied for result in group.buckets), key=lambda result: result.bucket)
    phase2 = Phase2Result(tuple(buckets), previous.duplicates + duplicates, conflicts)
    _check(
        phase2,
        kept=previous.kept + sum(group.events for group in applied) + _winner_events(context, numbers),
        conflicts=previous.conflicts + sum(found.new_losers - found.old_losers for found in decided.values()),
    )
    return phase2


def _check(phase2: Phase2Result, *, kept: int, conflicts: int) -> None:
    """Raise BalanceError where what was written differs from what the changes add up to."""
    if phase2.conflicts != conflicts or phase2.kept != kept:
        raise BalanceError(
            f"the changes do not balance: {phase2.conflicts} conflicts, expected {conflicts}; {phase2.kept} events, "
            f"expected {kept}. Nothing was published. This is a fault in the program; please report it, and run again "
            "with --full-refresh."
        )


@dataclass(frozen=True)
class _Affected:
    """``numbers`` of those of ``ranges`` id ranges that have affected ids; ``rows``: split → its rows of such ids."""

    ranges: int
    numbers: tuple[int, ...]
    rows: Counter[int]


def _find_all_affected(engine: Engine, context: AggregateContext, change: Change, workers: int) -> _Affected:
    ranges = 1 << max(workers - 1, change.rows // (2 * context.bucket_rows)).bit_length()
    splits, changed = tuple(sorted([*change.stayed, *change.changed])), frozenset(change.changed)
    bounds = key_ranges(ranges) if changed else []
    tasks = [FindAffectedTask(number, low, high, splits, changed) for number, (low, high) in enumerate(bounds)]
    numbers: list[int] = []
    rows: Counter[int] = Counter()
    for task, result in run_tasks(engine, find_affected_ids, context, tasks, no_advance):
        if result:
            numbers.append(task.number)
            rows.update(result)
    return _Affected(ranges, tuple(sorted(numbers)), rows)


def _compare_all(
    engine: Engine, context: AggregateContext, change: Change, affected: _Affected, workers: int
) -> list[ComparedCopies]:
    """Fetch the content marks of all affected rows, and compare them."""
    by_split = sorted(affected.rows.items())
    groups = min(len(by_split), _GROUPS_PER_WORKER * workers)
    fetches = [FetchMarksTask(dict(by_split[number::groups]), affected.numbers) for number in range(groups)]
    run_all(engine, fetch_marks, context, fetches, no_advance)
    splits = tuple(number for number, _ in by_split)
    added, removed = frozenset(change.added), frozenset(change.removed)
    tasks = [CompareCopiesTask(number, affected.ranges, splits, added, removed) for number in affected.numbers]
    return run_all(engine, compare_copies, context, tasks, no_advance)


def _pick_all(
    engine: Engine, context: AggregateContext, change: Change, affected: _Affected, ambiguous: Counter[int]
) -> tuple[int, ...]:
    """Pick the ``ambiguous`` rows (number by split); returns the splits that have some."""
    tasks = [
        PickTask(number, count, affected.numbers, before=number not in change.added, now=number not in change.removed)
        for number, count in sorted(ambiguous.items())
    ]
    run_all(engine, pick_rows, context, tasks, no_advance)
    return tuple(task.split for task in tasks)


def _apply_all(
    engine: Engine,
    context: AggregateContext,
    previous: PreviousVersion,
    change: Change,
    affected: _Affected,
    decided: tuple[int, ...],
    workers: int,
    advance: Advance,
) -> list[Applied]:
    """Make the new totals of all buckets; ``decided``: numbers of the ranges in which ambiguous ids were decided."""
    rows = {number: coarser(result.bucket_rows, context.buckets).tolist() for number, result in change.changed.items()}
    tasks = []
    for group in _group_buckets(context, previous, change, workers):
        in_group = {number: sum(counts[group.first : group.first + group.count]) for number, counts in rows.items()}
        added = tuple(number for number in change.added if in_group[number])
        removed = tuple(number for number in change.removed if in_group[number])
        tasks.append(ApplyTask(group, previous.root, added, removed, affected.numbers, decided, sum(in_group.values())))
    return run_all(engine, apply_changes, context, tasks, advance)


def _group_buckets(
    context: AggregateContext, previous: PreviousVersion, change: Change, workers: int
) -> list[BucketGroup]:
    """Group all buckets so that groups cost nearly the same, and none has more rows and totals than fit into memory."""
    rows = [0] * context.buckets
    for result in change.changed.values():
        more = coarser(result.bucket_rows, context.buckets).tolist()
        rows = [total + added for total, added in zip(rows, more, strict=True)]
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


def _decide_all(
    engine: Engine, context: AggregateContext, picked: tuple[int, ...], rows: int, workers: int
) -> dict[int, Decided]:
    """Decide all ambiguous ids, whose ``rows`` rows were picked from the splits ``picked``; by number of the range."""
    if not rows:
        return {}
    ranges = 1 << max(workers - 1, rows // context.bucket_rows).bit_length()
    tasks = [DecideTask(number, ranges, picked) for number in range(ranges)]
    return {task.number: found for task, found in run_tasks(engine, decide_changes, context, tasks, no_advance)}


def _write_losers(context: AggregateContext, previous: PreviousVersion) -> int:
    """Write the places of all losers now (conflicts/) from those before; returns how many they are."""
    came, went = (loser_changes(context.workspace, name) for name in ("came", "went"))
    files = place_files(Workspace(previous.root))
    update_places(files, came, went, context.workspace.path("conflicts", ""))
    return count_places(place_files(context.workspace))


def loser_changes(workspace: Workspace, name: str) -> list[Path]:
    """The files of the places of losers that ``came`` since the version before, or that ``went``."""
    return sorted(workspace.path("delta", "").glob(f"{name}-*.npy"))


def _winner_events(context: AggregateContext, ranges: tuple[int, ...]) -> int:
    """By how many events the decided ids change the totals."""
    paths = [context.workspace.path("delta", f"changes-{split_file(number)}") for number in ranges]
    return sum(int(read_frame(path)["event_count"].sum()) for path in paths)


def previous_version(
    folder: Path, counts: Mapping[str, int], splits: Mapping[int, SplitResult] | None
) -> PreviousVersion | None:
    """What the run in ``folder`` left for an incremental Phase 2; None where that is not enough.

    ``counts``: buckets, kept, duplicates and conflicts of the current version; buckets is missing where the SQL plan
    made its totals. ``splits``: those that it counted, by number; None where they cannot be used.
    """
    if splits is None or not counts.keys() >= _COUNTS or not (folder / "totals").is_dir():
        return None
    if count_places(place_files(Workspace(str(folder)))) != counts["conflicts"]:
        return None  # an earlier release wrote them in another form
    return PreviousVersion(
        str(folder), counts["buckets"], counts["kept"], counts["duplicates"], counts["conflicts"], splits
    )

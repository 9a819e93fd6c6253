"""The quarantine of a version: what does not count, as Parquet that Polars and DuckDB can read.

=====================  =======================================================
``rejected.parquet``   records that are no good
``conflicts.parquet``  records that lost against another one with the same id
``refused.parquet``    files that were refused whole
=====================  =======================================================

Each file has the same columns; a refused file has only ``file`` and ``reason``:

===============  =======  ===============================================================================
``file``         string   name of the log
``line``         int64    physical line on which the record begins, from 1
``byte_offset``  int64    byte at which the record begins, from 0
``reason``       string   why the record does not count
``column``       string   name of the column with the value that is wrong; null where no value is
``value``        string   that value, its addresses cut to their networks
``raw``          binary   the record's bytes without the line end; null where the settings do not keep them
===============  =======  ===============================================================================

Folder and files belong to their owner alone (0700, 0600), because raw records hold personal data.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.aggregate.incremental.driver import loser_changes
from pipeline.aggregate.tasks import Phase2Result
from pipeline.engines import Engine, no_advance, run_all
from pipeline.errors import BalanceError
from pipeline.exchange.loser_places import count_between, place_files
from pipeline.exchange.row_files import PLACE_UNIT
from pipeline.exchange.row_group_copies import GroupsOf, join_row_groups
from pipeline.faults import point
from pipeline.machine import display_name, writing
from pipeline.native.arrow import to_table
from pipeline.preprocess.ledger import Phase1Result
from pipeline.preprocess.reject_writer import SCHEMA
from pipeline.privacy import mask_addresses
from pipeline.publish.conflicts import fetch_conflicts
from pipeline.publish.context import PublishContext
from pipeline.publish.kept_records import copy_rejected, keep_conflicts
from pipeline.publish.quarantine_parts import (
    EarlierTable,
    Group,
    QuarantinePart,
    describe_groups,
    open_writer,
    read_earlier_table,
)
from pipeline.publish.tasks import ConflictTask, KeepTask, QuarantineSource, RejectTask
from pipeline.timing import stage

_ROWS_OF_TASK = 100_000
"""Rows of the quarantine in a task, about: much less than a worker's memory holds."""
_MOST_BLOCKS = 4096
"""Neighbouring splits are counted together where there are more of them."""


@dataclass(frozen=True)
class EarlierRecords:
    """What the previous version still knows of records, and how long their texts may be kept.

    ===============  =====================================================================================
    ``quarantine``   folder of the previous version's quarantine; None where there is none
    ``oldest_kept``  records of files that were read before this time (epoch seconds) lose value and raw
    ``conflicts``    its number of conflict losers, if Phase 2 noted which of them came and went since then
                     (``aggregate.incremental``); else None
    ===============  =====================================================================================
    """

    quarantine: Path | None = None
    oldest_kept: float = 0
    conflicts: int | None = None


NO_EARLIER_RECORDS = EarlierRecords()


def write_quarantine(
    engine: Engine,
    context: PublishContext,
    folder: Path,
    phase1: Phase1Result,
    phase2: Phase2Result,
    earlier: EarlierRecords = NO_EARLIER_RECORDS,
) -> None:
    """Write the quarantine below ``folder``, which must have none.

    Rows that stand in the quarantine of the previous version, and would be the same, are taken from there as bytes.
    Raises BalanceError where a record is missing, EnvironmentFault where a log with a conflict loser is.
    """
    with stage("publish"):
        quarantine = Quarantine(folder / "quarantine", earlier.quarantine)
        quarantine.write_refused(phase1.refused)
        numbers = np.sort(np.fromiter((split.result.split.number for split in phase1.splits), np.int64))
        counts = {split.result.split.number: split.result.rejected for split in phase1.splits if split.result.rejected}
        tables = quarantine.earlier_table("rejected"), quarantine.earlier_table("conflicts")
        wanted = set(counts)
        wanted |= {piece.split for table in tables if table for group in table.groups for piece in group}
        wanted |= _splits_near(place_files(context.workspace), numbers)
        sources = _sources(phase1, earlier.oldest_kept, wanted)
        marks = {number: source.mark for number, source in sources.items()}
    rejected = _write_rejected(engine, context, quarantine, counts, tables[0], sources, marks)
    conflicts = _write_conflicts(engine, context, quarantine, tables[1], sources, marks, earlier.conflicts)
    expected = sum(counts.values()), phase2.conflicts
    if (rejected, conflicts) != expected:
        raise BalanceError(
            f"the quarantine holds {rejected} rejected records and {conflicts} conflicts, expected {expected[0]} and "
            f"{expected[1]}. Nothing was published. This is a fault in the program; please report it."
        )


class Quarantine:
    """Writes the files of one quarantine into a new folder; raises FileExistsError where it is there already.

    ``earlier``: folder of the previous version's quarantine, which need not exist.
    """

    def __init__(self, folder: Path, earlier: Path | None = None) -> None:
        folder.mkdir(parents=True, mode=0o700)
        self._folder = folder
        self._earlier = earlier

    def earlier_table(self, name: str) -> EarlierTable | None:
        """The file ``name`` of the previous quarantine, if its row groups can be taken over."""
        if self._earlier is None:
            return None
        return read_earlier_table(self._earlier / f"{name}.parquet", self._folder / "refused.parquet")

    def write(
        self, name: str, before: EarlierTable | None, kept: Sequence[int], parts: Iterable[QuarantinePart]
    ) -> int:
        """Write the row groups ``kept`` of the file ``before``, then those of ``parts``, which are removed.

        Where nothing changed, the file only gets a second name. Returns how many rows there are.
        """
        written = sorted(parts, key=lambda part: part.path)
        path = self._folder / f"{name}.parquet"
        if before and not written and len(kept) == len(before.groups) and _link(before.path, path):
            return before.rows
        copies = [GroupsOf(before.path, tuple(kept))] if before and kept else []
        copies += [GroupsOf(part.path) for part in written]
        groups: list[Group] = [before.groups[number] for number in kept] if before else []
        groups += [group for part in written for group in part.groups]
        with self._open(name) as stream:
            if not copies:
                open_writer(stream).close()
                return 0
            rows = join_row_groups(stream, copies, describe_groups(groups))
        for part in written:
            part.path.unlink()  # a copy would outlive the retention of this one
        return rows

    def write_refused(self, reasons: Mapping[str, str]) -> None:
        """Write the files that were refused whole, with their ``reasons`` by path, addresses cut to their networks."""
        rows: dict[str, list[object]] = {name: [None] * len(reasons) for name in SCHEMA.names}
        rows["file"] = [display_name(path) for path in sorted(reasons)]
        rows["reason"] = [mask_addresses(reasons[path]) for path in sorted(reasons)]
        with self._open("refused") as stream:
            pq.write_table(
                to_table(rows, SCHEMA) if reasons else pa.Table.from_batches([], SCHEMA), stream, compression="zstd"
            )

    @contextmanager
    def _open(self, name: str) -> Iterator[BinaryIO]:
        path = self._folder / f"{name}.parquet"
        with writing(path), open(path, "xb", opener=lambda path, how: os.open(path, how, 0o600)) as stream:
            yield stream


def _link(path: Path, name: Path) -> bool:
    """Give a file a second name. Returns whether the file system can."""
    try:
        os.link(path, name)
    except FileExistsError:
        raise
    except OSError:
        return False
    return True


def _splits_near(files: Sequence[Path], numbers: NDArray[np.int64]) -> set[int]:
    """Those of the splits with these ``numbers``, which ascend, that have places in files, and some neighbours."""
    step = max(1, -(-len(numbers) // _MOST_BLOCKS))
    bounds = [number * PLACE_UNIT for number in numbers[::step].tolist()] + [2**64]
    found: set[int] = set()
    for path in files:
        for block in np.flatnonzero(count_between(path, bounds)).tolist():
            found |= set(numbers[block * step : (block + 1) * step].tolist())
    return found


def _sources(phase1: Phase1Result, oldest_kept: float, wanted: Collection[int]) -> dict[int, QuarantineSource]:
    """The ``wanted`` ones of the splits that count, by number, in order. There may be very many others."""
    sources = {
        placed.result.split.number: QuarantineSource(
            split=placed.result.split,
            name=display_name(file.file.path),
            start=placed.result.start,
            first_line=placed.first_line,
            at_hand=file.at_hand,
            forgotten=file.read_at < oldest_kept,
            changes=placed.result.changes,
        )
        for file in phase1.ledgers
        for placed in file.splits
        if placed.result.split.number in wanted
    }
    return dict(sorted(sources.items()))


def _write_rejected(
    engine: Engine,
    context: PublishContext,
    quarantine: Quarantine,
    counts: Mapping[int, int],
    before: EarlierTable | None,
    sources: Mapping[int, QuarantineSource],
    marks: Mapping[int, str],
) -> int:
    """Write the rejected records of all splits; returns how many. ``counts``: by number of a split that has some."""
    kept = _keep_splits(before, before.keep_groups(marks)) if before else []
    done = {piece.split for number in kept for piece in before.groups[number]} if before else set()
    rest = [(number, count) for number, count in sorted(counts.items()) if number not in done]
    tasks = [
        RejectTask(number, tuple(sources[split] for split in splits)) for number, splits in enumerate(_batches(rest))
    ]
    parts = run_all(engine, copy_rejected, context, tasks, no_advance)
    with stage("publish"):
        return quarantine.write("rejected", before, kept, [part for part in parts if part])


def _keep_splits(before: EarlierTable, kept: Sequence[int]) -> list[int]:
    """Those of the row groups ``kept`` that have no split in common with another row group."""
    stay = set(kept)
    again = {piece.split for number, group in enumerate(before.groups) if number not in stay for piece in group}
    while True:
        torn = [number for number in kept if any(piece.split in again for piece in before.groups[number])]
        if not torn:
            return list(kept)
        again |= {piece.split for number in torn for piece in before.groups[number]}
        gone = set(torn)
        kept = [number for number in kept if number not in gone]


def _write_conflicts(
    engine: Engine,
    context: PublishContext,
    quarantine: Quarantine,
    before: EarlierTable | None,
    sources: Mapping[int, QuarantineSource],
    marks: Mapping[int, str],
    expected: int | None,
) -> int:
    """Write all conflict losers; returns how many. ``expected``: as ``EarlierRecords.conflicts``."""
    losers = tuple(place_files(context.workspace))
    kept: list[int] = []
    if before and expected == before.rows:
        came, went = (tuple(loser_changes(context.workspace, name)) for name in ("came", "went"))
        touched = _splits_of(went, sources)
        kept = [
            number
            for number in before.keep_groups(marks)
            if not any(piece.split in touched for piece in before.groups[number])
        ]
        tasks = _keep_tasks(before, set(kept), sources, None, went)
        found = run_all(engine, keep_conflicts, context, tasks, no_advance)
        fetched = _conflict_tasks(sources, came, ())
    elif before:
        found = run_all(engine, keep_conflicts, context, _keep_tasks(before, set(), sources, losers), no_advance)
        fetched = _conflict_tasks(sources, losers, tuple(kept.places for kept in found if kept.places))
    else:
        found, fetched = [], _conflict_tasks(sources, losers, ())
    parts = [part for part in run_all(engine, fetch_conflicts, context, fetched, no_advance) if part]
    with stage("publish"):
        point("quarantine.write")
        kept = sorted([*kept, *(number for result in found for number in result.whole)])
        parts += [result.part for result in found if result.part]
        return quarantine.write("conflicts", before, kept, parts)


def _splits_of(files: Sequence[Path], sources: Mapping[int, QuarantineSource]) -> set[int]:
    """The splits, of ``sources``, of the places in files."""
    numbers = list(sources)
    found: set[int] = set()
    for path in files:
        bounds = [bound * PLACE_UNIT for number in numbers for bound in (number, number + 1)]
        counts = count_between(path, bounds)[::2]
        found |= {numbers[position] for position in np.flatnonzero(counts).tolist()}
    return found


def _keep_tasks(
    before: EarlierTable,
    kept: set[int],
    sources: Mapping[int, QuarantineSource],
    losers: tuple[Path, ...] | None,
    gone: tuple[Path, ...] = (),
) -> list[KeepTask]:
    """Tasks for the row groups that are not ``kept``."""
    rest = [
        ((number, group), sum(piece.rows for piece in group))
        for number, group in enumerate(before.groups)
        if number not in kept
    ]
    tasks: list[KeepTask] = []
    for groups in _batches(rest):
        splits = sorted({piece.split for _, group in groups for piece in group} & sources.keys())
        of_task = tuple(sources[split] for split in splits)
        tasks.append(KeepTask(len(tasks), str(before.path), tuple(groups), of_task, losers, gone))
    return tasks


def _conflict_tasks(
    sources: Mapping[int, QuarantineSource], losers: tuple[Path, ...], kept: tuple[Path, ...]
) -> list[ConflictTask]:
    """Tasks for the losers in the files ``losers``: those of neighbouring splits, about ``_ROWS_OF_TASK``, in each."""
    if not losers or not sources:
        return []
    numbers = list(sources)
    step = -(-len(numbers) // _MOST_BLOCKS)
    firsts = list(range(0, len(numbers), step))
    bounds = [numbers[first] * PLACE_UNIT for first in firsts] + [(numbers[-1] + 1) * PLACE_UNIT]
    counts = sum(count_between(path, bounds) for path in losers)
    filled = [(first, count) for first, count in zip(firsts, np.atleast_1d(counts).tolist(), strict=True) if count]
    tasks: list[ConflictTask] = []
    for batch in _batches(filled):
        of_task = tuple(sources[number] for first in batch for number in numbers[first : first + step])
        tasks.append(ConflictTask(len(tasks), of_task, losers, kept))
    return tasks


_Item = TypeVar("_Item")


def _batches(items: Iterable[tuple[_Item, int]]) -> list[list[_Item]]:
    """Items, given with their rows, in batches of about ``_ROWS_OF_TASK`` rows."""
    batches: list[list[_Item]] = []
    filled = 0
    for item, rows in items:
        if not batches or filled + rows > _ROWS_OF_TASK:
            batches.append([])
            filled = 0
        batches[-1].append(item)
        filled += rows
    return batches

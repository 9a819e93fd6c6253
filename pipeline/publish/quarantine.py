"""Rejected records and conflict losers: kept as Parquet, readable by Polars and DuckDB.

Columns: file, line (from 1), byte_offset, reason, column, value, raw; of a refused file only file and reason. Addresses
in values are cut to their networks. Folder and files belong to their owner alone (0700, 0600), because raw records
hold personal data.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.aggregate.driver import conflict_places
from pipeline.aggregate.tasks import Phase2Result
from pipeline.engines import Engine, no_advance, run_all
from pipeline.errors import BalanceError
from pipeline.exchange.workspace import Workspace
from pipeline.faults import point
from pipeline.machine import display_name
from pipeline.native.arrow import to_table
from pipeline.preprocess.ledger import Phase1Result
from pipeline.preprocess.reject_writer import GROUP_ROWS, SCHEMA, reject_file
from pipeline.privacy import mask_addresses
from pipeline.publish.conflicts import conflict_file, fetch_conflicts
from pipeline.publish.context import PublishContext
from pipeline.publish.tasks import ConflictTask
from pipeline.reading.splits import Split
from pipeline.timing import stage

_GROUP_BYTES = 16 * 2**20


class Quarantine:
    """The quarantine of one published version: ``rejected``, ``conflicts`` and ``refused.parquet`` in its folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, mode=0o700)
        self._folder = folder

    def write_rejected(self, parts: Iterable[tuple[Split, int, int, Path]]) -> int:
        """Bring the splits' rejected records into their files' coordinates; returns how many.

        ``parts``: (split, byte where its records begin, line there from 1, the split's file of rejected records).
        """
        count = 0
        with self._open("rejected") as stream, pq.ParquetWriter(stream, SCHEMA, compression="zstd") as writer:
            for split, start, first_line, path in parts:
                for table in _row_groups(path):
                    frame = pl.DataFrame(table).with_columns(
                        pl.lit(display_name(split.path)).alias("file"),
                        pl.col("line") + first_line,
                        pl.col("byte_offset") + start,
                    )
                    writer.write_table(frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(SCHEMA))
                    count += len(frame)
        return count

    def write_conflicts(self, parts: Iterable[Path]) -> int:
        """Move the records of the files of ``fetch_conflicts`` here; returns how many."""
        count = 0
        point("quarantine.write")
        with self._open("conflicts") as stream, pq.ParquetWriter(stream, SCHEMA, compression="zstd") as writer:
            for path in parts:
                table = pq.read_table(path)
                writer.write_table(table)
                count += table.num_rows
                path.unlink()  # or a copy would outlive this one
        return count

    def write_refused(self, reasons: Mapping[str, str]) -> None:
        """Name the files that were refused whole; ``reasons`` by path."""
        rows: dict[str, list[object]] = {name: [None] * len(reasons) for name in SCHEMA.names}
        rows["file"] = [display_name(path) for path in sorted(reasons)]
        rows["reason"] = [mask_addresses(reasons[path]) for path in sorted(reasons)]
        with self._open("refused") as stream:
            pq.write_table(
                to_table(rows, SCHEMA) if reasons else pa.Table.from_batches([], SCHEMA), stream, compression="zstd"
            )

    def _open(self, name: str) -> BinaryIO:
        return open(self._folder / f"{name}.parquet", "xb", opener=lambda path, how: os.open(path, how, 0o600))


def _row_groups(path: Path) -> Iterator[pa.Table]:
    """The rows of a file, about ``_GROUP_BYTES`` or ``GROUP_ROWS`` at a time: every row group written has a price."""
    file = pq.ParquetFile(path)
    some: list[int] = []
    size = rows = 0
    for number in range(file.num_row_groups):
        some.append(number)
        size += file.metadata.row_group(number).total_byte_size
        rows += file.metadata.row_group(number).num_rows
        if size > _GROUP_BYTES or rows > GROUP_ROWS or number == file.num_row_groups - 1:
            yield file.read_row_groups(some, use_threads=False)
            some, size, rows = [], 0, 0


_CONFLICTS_AT_ONCE = 20_000


@dataclass(frozen=True)
class EarlierRecords:
    """``quarantine``: that of the version before, for records whose source is no longer at hand. Texts of records whose
    file was read before ``oldest_kept`` (epoch seconds) are no longer kept."""

    quarantine: Path | None = None
    oldest_kept: float = 0


NO_EARLIER_RECORDS = EarlierRecords()


def write_quarantine(
    engine: Engine,
    context: PublishContext,
    folder: Path,
    phase1: Phase1Result,
    phase2: Phase2Result,
    earlier: EarlierRecords = NO_EARLIER_RECORDS,
) -> None:
    """Write rejected records, conflict losers and refused files below ``folder``.

    Raises BalanceError where a record is missing.
    """
    quarantine, workspace = Quarantine(folder / "quarantine"), context.workspace
    with stage("publish"):
        quarantine.write_refused(phase1.refused)
        rejected = quarantine.write_rejected(
            (
                split.result.split,
                split.result.start,
                split.first_line,
                reject_file(workspace, split.result.split.number),
            )
            for split in phase1.splits
            if split.result.rejected
        )
    tasks = _conflict_tasks(workspace, phase1, earlier)
    run_all(engine, fetch_conflicts, context, tasks, no_advance)
    with stage("publish"):
        conflicts = quarantine.write_conflicts(conflict_file(workspace, task.number) for task in tasks)
    expected = sum(split.result.rejected for split in phase1.splits), phase2.conflicts
    if (rejected, conflicts) != expected:
        raise BalanceError(
            f"the quarantine holds {rejected} rejected records and {conflicts} conflicts, expected {expected[0]} and "
            f"{expected[1]}. Nothing was published. This is a fault in the program; please report it."
        )


def _conflict_tasks(workspace: Workspace, phase1: Phase1Result, earlier: EarlierRecords) -> list[ConflictTask]:
    """All conflict losers, some of one split in each task."""
    placed_splits = {split.result.split.number: (split, file) for file in phase1.ledgers for split in file.splits}
    tasks: list[ConflictTask] = []
    for (number,), group in conflict_places(workspace).group_by("split", maintain_order=True):
        placed, file = placed_splits[int(str(number))]
        in_earlier = bool(earlier.quarantine and file.listed_as)
        offsets = group["offset"].to_list()
        for first in range(0, len(offsets), _CONFLICTS_AT_ONCE):
            tasks.append(
                ConflictTask(
                    number=len(tasks),
                    split=placed.result.split,
                    start=placed.result.start,
                    first_line=placed.first_line,
                    offsets=tuple(offsets[first : first + _CONFLICTS_AT_ONCE]),
                    at_hand=file.at_hand,
                    previous=str(earlier.quarantine) if in_earlier else "",
                    listed_as=file.listed_as if in_earlier else "",
                    forgotten=file.read_at < earlier.oldest_kept,
                )
            )
    return tasks

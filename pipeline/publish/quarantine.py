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
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
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
from pipeline.machine import display_name, writing
from pipeline.native.arrow import to_table
from pipeline.preprocess.ledger import Phase1Result
from pipeline.preprocess.reject_writer import GROUP_ROWS, SCHEMA, reject_file
from pipeline.privacy import mask_addresses
from pipeline.publish.conflicts import conflict_file, fetch_conflicts
from pipeline.publish.context import PublishContext
from pipeline.publish.tasks import ConflictTask
from pipeline.timing import stage

_GROUP_BYTES = 16 * 2**20
_CONFLICTS_OF_TASK = 20_000


@dataclass(frozen=True)
class EarlierRecords:
    """What the previous version still knows of records, and how long their texts may be kept.

    ===============  =====================================================================================
    ``quarantine``   folder of the previous version's quarantine; None where there is none
    ``oldest_kept``  records of files that were read before this time (epoch seconds) lose value and raw
    ===============  =====================================================================================
    """

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
    """Write the quarantine below ``folder``, which must have none.

    Raises BalanceError where a record is missing, EnvironmentFault where a log with a conflict loser is.
    """
    quarantine = Quarantine(folder / "quarantine")
    with stage("publish"):
        quarantine.write_refused(phase1.refused)
        rejected = quarantine.write_rejected(_reject_files(context.workspace, phase1))
    tasks = _conflict_tasks(context.workspace, phase1, earlier)
    run_all(engine, fetch_conflicts, context, tasks, no_advance)
    with stage("publish"):
        conflicts = quarantine.write_conflicts(conflict_file(context.workspace, task.number) for task in tasks)
    expected = sum(split.result.rejected for split in phase1.splits), phase2.conflicts
    if (rejected, conflicts) != expected:
        raise BalanceError(
            f"the quarantine holds {rejected} rejected records and {conflicts} conflicts, expected {expected[0]} and "
            f"{expected[1]}. Nothing was published. This is a fault in the program; please report it."
        )


@dataclass(frozen=True)
class RejectFile:
    """The rejected records of one split, in the file ``path``; their lines and offsets count within the split.

    ==============  ===========================================================
    ``name``        of the log, as it is shown
    ``start``       byte of the log at which the split's records begin
    ``first_line``  line of the log on which they begin, from 1
    ==============  ===========================================================
    """

    path: Path
    name: str
    start: int
    first_line: int


class Quarantine:
    """Writes the files of one quarantine into a new folder; raises FileExistsError where it is there already."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, mode=0o700)
        self._folder = folder

    def write_rejected(self, files: Iterable[RejectFile]) -> int:
        """Write rejected records with their lines and offsets in the logs; returns how many."""
        count = 0
        with self._open("rejected") as stream, pq.ParquetWriter(stream, SCHEMA, compression="zstd") as writer:
            for file in files:
                for table in _row_groups(file.path):
                    frame = pl.DataFrame(table).with_columns(
                        pl.lit(file.name).alias("file"),
                        pl.col("line") + file.first_line,
                        pl.col("byte_offset") + file.start,
                    )
                    writer.write_table(frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(SCHEMA))
                    count += len(frame)
        return count

    def write_conflicts(self, paths: Iterable[Path]) -> int:
        """Move the records out of the files that ``fetch_conflicts`` wrote; returns how many."""
        count = 0
        point("quarantine.write")
        with self._open("conflicts") as stream, pq.ParquetWriter(stream, SCHEMA, compression="zstd") as writer:
            for path in paths:
                table = pq.read_table(path)
                writer.write_table(table)
                count += table.num_rows
                path.unlink()  # a copy would outlive the retention of this one
        return count

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


def _row_groups(path: Path) -> Iterator[pa.Table]:
    """The rows of a file in tables of about ``_GROUP_BYTES`` or ``GROUP_ROWS``: row groups that are not too small."""
    file = pq.ParquetFile(path)
    groups: list[int] = []
    size = rows = 0
    for number in range(file.num_row_groups):
        groups.append(number)
        size += file.metadata.row_group(number).total_byte_size
        rows += file.metadata.row_group(number).num_rows
        if size > _GROUP_BYTES or rows > GROUP_ROWS or number == file.num_row_groups - 1:
            yield file.read_row_groups(groups, use_threads=False)
            groups, size, rows = [], 0, 0


def _reject_files(workspace: Workspace, phase1: Phase1Result) -> Iterator[RejectFile]:
    for split in phase1.splits:
        if split.result.rejected:
            source = split.result.split
            path = reject_file(workspace, source.number)
            yield RejectFile(path, display_name(source.path), split.result.start, split.first_line)


def _conflict_tasks(workspace: Workspace, phase1: Phase1Result, earlier: EarlierRecords) -> list[ConflictTask]:
    """Tasks for all conflict losers: those of one split, at most ``_CONFLICTS_OF_TASK`` of them, in each."""
    placed_splits = {split.result.split.number: (split, file) for file in phase1.ledgers for split in file.splits}
    tasks: list[ConflictTask] = []
    for (number,), group in conflict_places(workspace).group_by("split", maintain_order=True):
        placed, file = placed_splits[int(str(number))]
        in_earlier = bool(earlier.quarantine and file.listed_as)
        offsets = group["offset"].to_list()
        for first in range(0, len(offsets), _CONFLICTS_OF_TASK):
            tasks.append(
                ConflictTask(
                    number=len(tasks),
                    split=placed.result.split,
                    start=placed.result.start,
                    first_line=placed.first_line,
                    offsets=tuple(offsets[first : first + _CONFLICTS_OF_TASK]),
                    at_hand=file.at_hand,
                    previous=str(earlier.quarantine) if in_earlier else "",
                    listed_as=file.listed_as if in_earlier else "",
                    forgotten=file.read_at < earlier.oldest_kept,
                )
            )
    return tasks

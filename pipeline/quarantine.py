"""Rejected records and conflict losers: kept as Parquet, readable by Polars and DuckDB.

Columns: file, line (from 1), byte_offset, reason, column, value, raw; of a refused file only file and reason. Addresses
in values are cut to their networks. Folder and files belong to their owner alone (0700, 0600), because raw records
hold personal data.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.arrow import to_table
from pipeline.departed import read_earlier, recall_contents
from pipeline.errors import EnvironmentFault
from pipeline.faults import point
from pipeline.intermediate import split_file
from pipeline.job import Job
from pipeline.masking import mask_addresses
from pipeline.records import Record, read_record
from pipeline.splits import Split, display_name

CONFLICT = "conflict"
SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        ("line", pa.int64()),
        ("byte_offset", pa.int64()),
        ("reason", pa.string()),
        ("column", pa.string()),
        ("value", pa.string()),
        ("raw", pa.binary()),
    ]
)
_FLUSH_BYTES = 4 * 2**20
_GROUP_BYTES = 16 * 2**20
_GROUP_ROWS = 65_536
"""Short records take many times their bytes in memory."""
_USUAL_RECORD = 4096


class RejectWriter:
    """Writes the rejected records of one split, in its own coordinates, in bounded memory; ``counts`` by reason.

    Their raw bytes only where ``keep_raw``.
    """

    def __init__(self, path: Path, keep_raw: bool) -> None:
        self.counts: Counter[str] = Counter()
        self._path = path
        self._keep_raw = keep_raw
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pl.DataFrame] = []
        self._bytes = 0

    def __enter__(self) -> "RejectWriter":
        self._path.unlink(missing_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        if self._writer:
            self._writer.close()

    def add(self, rejected: pl.DataFrame) -> None:
        """Take some rejected records, as ``REJECTED``."""
        if not len(rejected):
            return
        self.counts.update(dict(rejected.group_by("reason", maintain_order=True).len().iter_rows()))
        self._waiting.append(rejected)
        self._bytes += int(rejected.estimated_size())
        if self._bytes > _FLUSH_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, SCHEMA, compression="zstd")
        frame = pl.concat(self._waiting).select(
            pl.lit(None, pl.String).alias("file"),
            "line",
            pl.col("offset").alias("byte_offset"),
            "reason",
            "column",
            pl.col("value").map_batches(_mask, return_dtype=pl.String),
            "raw" if self._keep_raw else pl.lit(None, pl.Binary).alias("raw"),
        )
        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(SCHEMA)
        self._writer.write_table(table, row_group_size=_GROUP_ROWS)
        self._waiting, self._bytes = [], 0


def _mask(values: pl.Series) -> pl.Series:
    """The values with their addresses cut."""
    return pl.Series(values.name, [value and mask_addresses(value) for value in values.to_list()], dtype=pl.String)


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
    """The rows of a file, about ``_GROUP_BYTES`` or ``_GROUP_ROWS`` at a time: every row group written has a price."""
    file = pq.ParquetFile(path)
    some: list[int] = []
    size = rows = 0
    for number in range(file.num_row_groups):
        some.append(number)
        size += file.metadata.row_group(number).total_byte_size
        rows += file.metadata.row_group(number).num_rows
        if size > _GROUP_BYTES or rows > _GROUP_ROWS or number == file.num_row_groups - 1:
            yield file.read_row_groups(some, use_threads=False)
            some, size, rows = [], 0, 0


@dataclass(frozen=True)
class ConflictTask:
    """Fetch the records at ``offsets`` (sorted, from byte ``start``, which is on line ``first_line``) of a split.

    ``at_hand``: whether the source has the bytes that were read; ``previous``: the quarantine of the version before,
    empty where the file is not in it, and ``listed_as``: under which name it is; ``forgotten``: read so long ago that
    value and raw are no longer kept.
    """

    number: int
    split: Split
    start: int
    first_line: int
    offsets: tuple[int, ...]
    at_hand: bool = True
    previous: str = ""
    listed_as: str = ""
    forgotten: bool = False


def reject_file(job: Job, split: Split) -> Path:
    """Where a split's rejected records are, in its own coordinates."""
    return job.workspace.path("rejects", split_file(split.number))


def conflict_file(job: Job, number: int) -> Path:
    """Where the records of a ConflictTask are."""
    return job.workspace.path("quarantine", split_file(number))


def fetch_conflicts(job: Job, task: ConflictTask, report: Callable[[int], None]) -> int:
    """Read conflict losers again from their source file, in its coordinates; returns how many.

    Raises EnvironmentFault where the file is gone: nothing is dropped without its record.
    """
    name = display_name(task.split.path)
    earlier = read_earlier(task.previous, task.listed_as, CONFLICT)
    known = [offset for offset in task.offsets if task.start + offset in earlier]
    rows = [(name, *earlier[task.start + offset]) for offset in known]
    rest = tuple(offset for offset in task.offsets if task.start + offset not in earlier)
    if rest and task.at_hand:
        rows += _read_again(job, replace(task, offsets=rest))
    elif rest:
        rows += recall_contents(job, task.split.number, name, task.start, rest, CONFLICT)
    if task.forgotten:
        rows = [(*row[:-2], None, None) for row in rows]
    pq.write_table(
        to_table(dict(zip(SCHEMA.names, zip(*rows, strict=True), strict=True)), SCHEMA),
        conflict_file(job, task.number),
    )
    report(len(rows))
    return len(rows)


def _read_again(job: Job, task: ConflictTask) -> list[tuple[Any, ...]]:
    split, delimiter = task.split, task.split.header.delimiter.encode()
    chunks = np.load(job.workspace.path("lines", split_file(split.number, "npy")))
    wanted = np.array(task.offsets, np.int64)
    chunk_of = np.searchsorted(chunks[:, 0], wanted, side="right") - 1
    name = display_name(split.path)
    rows: list[tuple[Any, ...]] = []
    try:
        with open(split.source, "rb") as stream:
            for chunk in np.unique(chunk_of).tolist():
                begin, first_line = chunks[chunk].tolist()
                offsets = wanted[chunk_of == chunk]
                stream.seek(task.start + begin)
                data = stream.read(int(offsets[-1]) - begin + _USUAL_RECORD)
                ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
                lines = np.searchsorted(ends, offsets - begin)  # line ends before each record, which are its line
                stops = np.append(ends, -1)[lines]
                for offset, line, stop in zip(offsets.tolist(), lines.tolist(), stops.tolist(), strict=True):
                    raw = data[offset - begin : stop].removesuffix(b"\r")
                    if stop < 0 or b'"' in raw:  # it may go on
                        stream.seek(task.start + offset)
                        raw = record_at(stream, delimiter, split.header.fields, job.max_record).raw
                    place = name, task.first_line + first_line + line, task.start + offset
                    rows.append((*place, CONFLICT, None, None, raw if job.keep_raw else None))
    except OSError as fault:
        raise EnvironmentFault(
            f"{name} can no longer be read ({fault.strerror or fault}), but the records that lost "
            "a conflict must be kept. Restore it and run again."
        ) from fault
    return rows


def record_at(stream: BinaryIO, delimiter: bytes, fields: int, max_record: int) -> Record:
    """The record at the stream's position, which is a good one; most are short."""
    head = stream.read(_USUAL_RECORD)
    record = read_record(head + b"\n", 0, delimiter, fields, max_record)
    if record.values is None or record.end >= len(head):
        head += stream.read(max_record + 2)
        record = read_record(head + b"\n", 0, delimiter, fields, max_record)
    return record

"""The kernel that fetches the records that lost a conflict, for the quarantine.

Phase 2 knows a conflict loser by its split and offset alone. Its row in the quarantine comes from the first of these
sources that has the record:

====================================  ============================================================
quarantine of the previous version    the row as it stands there
source file, if its bytes are there   line, offset and bytes of the record
rows of Phase 1                       offset and content (user, region, watch time) of the record
====================================  ============================================================
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.engines import Advance
from pipeline.errors import EnvironmentFault
from pipeline.exchange.workspace import Workspace, split_file
from pipeline.machine import display_name, writing
from pipeline.native.arrow import to_table
from pipeline.preprocess.reject_writer import SCHEMA
from pipeline.privacy import mask_addresses
from pipeline.publish.context import PublishContext
from pipeline.publish.tasks import ConflictTask
from pipeline.quality import MICRO
from pipeline.reading.single_record import USUAL_RECORD, record_at
from pipeline.timing import in_stage

CONFLICT = "conflict"
"""The reason of a conflict loser in the quarantine."""
CONTENT_COLUMN = "user_id, region, minutes"
"""What the quarantine names as the column where the value is the content of a record."""
Row = tuple[Any, ...]
"""A row of the quarantine, in the order of its columns."""


@in_stage("publish")
def fetch_conflicts(context: PublishContext, task: ConflictTask, advance: Advance) -> int:
    """Write the conflict losers of a task to ``conflict_file``, as rows of the quarantine; returns how many.

    Raises EnvironmentFault where a source file that should be there cannot be read: no record is dropped silently.
    """
    earlier = _read_earlier(task.previous, task.listed_as)
    rows = [
        (display_name(task.split.path), *earlier[task.start + offset])
        for offset in task.offsets
        if task.start + offset in earlier
    ]
    rest = tuple(offset for offset in task.offsets if task.start + offset not in earlier)
    if rest and task.at_hand:
        rows += _read_source(context, replace(task, offsets=rest))
    elif rest:
        rows += _read_contents(context, task, rest)
    if task.forgotten:
        rows = [(*row[:-2], None, None) for row in rows]
    path = conflict_file(context.workspace, task.number)
    with writing(path):
        pq.write_table(to_table(dict(zip(SCHEMA.names, zip(*rows, strict=True), strict=True)), SCHEMA), path)
    advance(len(rows))
    return len(rows)


def conflict_file(workspace: Workspace, number: int) -> Path:
    """The file that ``fetch_conflicts`` writes for the task of this number."""
    return workspace.path("quarantine", split_file(number))


def _read_earlier(quarantine: str, file: str) -> dict[int, Row]:
    """Conflict losers of a file in an earlier quarantine, by byte offset: rows without the first column, ``file``."""
    path = Path(quarantine) / "conflicts.parquet"
    if not quarantine or not file or not path.exists():
        return {}
    found = pl.scan_parquet(path, glob=False).filter((pl.col("file") == file) & (pl.col("reason") == CONFLICT))
    return {row[1]: row for row in found.select(SCHEMA.names[1:]).collect().rows()}


def _read_source(context: PublishContext, task: ConflictTask) -> list[Row]:
    """The records at the task's offsets, read from the source file; each chunk that holds some is read once."""
    chunks = np.load(context.workspace.path("lines", split_file(task.split.number, "npy")))  # (first byte, first line)
    offsets = np.array(task.offsets, np.int64)
    chunk_of = np.searchsorted(chunks[:, 0], offsets, side="right") - 1
    try:
        with open(task.split.source, "rb") as stream:
            return [
                row
                for chunk in np.unique(chunk_of).tolist()
                for row in _read_chunk(stream, context, task, chunks[chunk].tolist(), offsets[chunk_of == chunk])
            ]
    except OSError as fault:
        raise EnvironmentFault(
            f"{display_name(task.split.path)} can no longer be read ({fault.strerror or fault}), but the records that "
            "lost a conflict must be kept. Restore it and run again."
        ) from fault


def _read_chunk(
    stream: BinaryIO, context: PublishContext, task: ConflictTask, chunk: Sequence[int], offsets: NDArray[np.int64]
) -> Iterator[Row]:
    """The records at ``offsets``, all in one chunk of the split: (byte, line) at which it begins, both from 0."""
    begin, first_line = chunk
    name, header = display_name(task.split.path), task.split.header
    stream.seek(task.start + begin)
    data = stream.read(int(offsets[-1]) - begin + USUAL_RECORD)
    line_ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
    lines = np.searchsorted(line_ends, offsets - begin)  # as many line ends as lie before a record
    stops = np.append(line_ends, -1)[lines]
    for offset, line, stop in zip(offsets.tolist(), lines.tolist(), stops.tolist(), strict=True):
        raw = data[offset - begin : stop].removesuffix(b"\r")
        if stop < 0 or b'"' in raw:  # the record may go on behind what was read, or behind this line
            stream.seek(task.start + offset)
            raw = record_at(stream, header.delimiter.encode(), header.fields, context.max_record).raw
        location = task.first_line + first_line + line, task.start + offset
        yield name, *location, CONFLICT, None, None, raw if context.keep_raw else None


def _read_contents(context: PublishContext, task: ConflictTask, offsets: Sequence[int]) -> list[Row]:
    """The contents of the records at ``offsets``, from the rows that Phase 1 stored."""
    path = context.workspace.path("rows", split_file(task.split.number))
    found = pl.scan_parquet(path, glob=False).filter(pl.col("offset").is_in(list(offsets))).sort("offset")
    contents = found.select("offset", "user_id", "region", "micro_minutes").collect().rows()
    name, regions = display_name(task.split.path), context.region_names
    return [
        (name, None, task.start + offset, CONFLICT, CONTENT_COLUMN, _as_text(user, regions[region], micro), None)
        for offset, user, region, micro in contents
    ]


def _as_text(user: str, region: str, micro: int) -> str:
    return mask_addresses(json.dumps([user, region, micro / MICRO], ensure_ascii=False))

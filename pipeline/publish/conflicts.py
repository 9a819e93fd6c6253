"""Rejected records and conflict losers: kept as Parquet, readable by Polars and DuckDB.

Columns: file, line (from 1), byte_offset, reason, column, value, raw; of a refused file only file and reason. Addresses
in values are cut to their networks. Folder and files belong to their owner alone (0700, 0600), because raw records
hold personal data.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from pipeline.engines import Advance
from pipeline.errors import EnvironmentFault
from pipeline.exchange.workspace import Workspace, split_file
from pipeline.machine import display_name
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


@in_stage("publish")
def fetch_conflicts(context: PublishContext, task: ConflictTask, advance: Advance) -> int:
    """Read conflict losers again from their source file, in its coordinates; returns how many.

    Raises EnvironmentFault where the file is gone: nothing is dropped without its record.
    """
    name = display_name(task.split.path)
    earlier = read_earlier(task.previous, task.listed_as, CONFLICT)
    known = [offset for offset in task.offsets if task.start + offset in earlier]
    rows = [(name, *earlier[task.start + offset]) for offset in known]
    rest = tuple(offset for offset in task.offsets if task.start + offset not in earlier)
    if rest and task.at_hand:
        rows += _read_again(context, replace(task, offsets=rest))
    elif rest:
        rows += recall_contents(context, task.split.number, name, task.start, rest, CONFLICT)
    if task.forgotten:
        rows = [(*row[:-2], None, None) for row in rows]
    pq.write_table(
        to_table(dict(zip(SCHEMA.names, zip(*rows, strict=True), strict=True)), SCHEMA),
        conflict_file(context.workspace, task.number),
    )
    advance(len(rows))
    return len(rows)


def _read_again(context: PublishContext, task: ConflictTask) -> list[tuple[Any, ...]]:
    split, delimiter = task.split, task.split.header.delimiter.encode()
    chunks = np.load(context.workspace.path("lines", split_file(split.number, "npy")))
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
                data = stream.read(int(offsets[-1]) - begin + USUAL_RECORD)
                ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
                lines = np.searchsorted(ends, offsets - begin)  # line ends before each record, which are its line
                stops = np.append(ends, -1)[lines]
                for offset, line, stop in zip(offsets.tolist(), lines.tolist(), stops.tolist(), strict=True):
                    raw = data[offset - begin : stop].removesuffix(b"\r")
                    if stop < 0 or b'"' in raw:  # it may go on
                        stream.seek(task.start + offset)
                        raw = record_at(stream, delimiter, split.header.fields, context.max_record).raw
                    place = name, task.first_line + first_line + line, task.start + offset
                    rows.append((*place, CONFLICT, None, None, raw if context.keep_raw else None))
    except OSError as fault:
        raise EnvironmentFault(
            f"{name} can no longer be read ({fault.strerror or fault}), but the records that lost "
            "a conflict must be kept. Restore it and run again."
        ) from fault
    return rows


CONTENT_COLUMN = "user_id, region, minutes"
_COLUMNS = ("line", "byte_offset", "reason", "column", "value", "raw")


def read_earlier(previous: str, file: str, reason: str) -> dict[int, tuple[Any, ...]]:
    """Records of a file in the quarantine ``previous`` (a folder, or empty) by byte offset, without the file's name."""
    path = Path(previous) / "conflicts.parquet"
    if not previous or not file or not path.exists():
        return {}
    found = pl.scan_parquet(path, glob=False).filter((pl.col("file") == file) & (pl.col("reason") == reason))
    return {row[1]: row for row in found.select(_COLUMNS).collect().rows()}


def recall_contents(
    context: PublishContext, split: int, file: str, start: int, offsets: Sequence[int], reason: str
) -> list[tuple[Any, ...]]:
    """Rows of the quarantine for the records at ``offsets`` of a split whose records begin at byte ``start``."""
    names = context.region_names
    rows = pl.scan_parquet(context.workspace.path("rows", split_file(split)), glob=False)
    found = rows.filter(pl.col("offset").is_in(list(offsets))).sort("offset")
    contents = found.select("offset", "user_id", "region", "micro_minutes").collect().rows()
    return [
        (file, None, start + offset, reason, CONTENT_COLUMN, _as_text(user, names[region], micro), None)
        for offset, user, region, micro in contents
    ]


def _as_text(user: str, region: str, micro: int) -> str:
    return mask_addresses(json.dumps([user, region, micro / MICRO], ensure_ascii=False))


def conflict_file(workspace: Workspace, number: int) -> Path:
    """Where the records of a ConflictTask are."""
    return workspace.path("quarantine", split_file(number))

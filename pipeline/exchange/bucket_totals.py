"""Files of totals, one for each bucket: rows in order of region, so that those of one region can be read alone."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.faults import point
from pipeline.machine import writing
from pipeline.native.arrow import column, to_numpy

SCHEMA = pa.schema(
    [
        pa.field("user_id", pa.string()),
        pa.field("region", pa.uint16()),
        pa.field("micro_minutes", pa.int64()),
        pa.field("event_count", pa.int64()),
    ]
)
"""One row for each user and region: the sum of the watch times that count, and the number of their events."""

RegionSums = dict[int, tuple[int, int, int]]
"""Region code → (rows, events, micro-minutes) of a bucket's totals, in order of the codes. A row is a user."""

_GROUP_ROWS = 4096
"""Least rows of a row group, so that small regions share one: a row group costs as much as some thousand rows."""


def write_totals(path: Path, total: pa.Table) -> RegionSums:
    """Write ``total`` (columns of SCHEMA, in order of region, in one chunk); returns the sums over what was written.

    The file has its name only when it is whole.
    """
    regions = column(total, "region")
    starts = np.flatnonzero(np.append(True, regions[1:] != regions[:-1])) if len(total) else np.empty(0, np.int64)
    partial = path.with_suffix(".partial")
    numbers = SCHEMA.names[1:]
    with (
        writing(partial),
        pq.ParquetWriter(
            partial,
            total.schema,
            compression="none",  # totals are read twice, and compressing them takes longer than writing
            use_dictionary=False,
            column_encoding=dict.fromkeys(numbers, "DELTA_BINARY_PACKED"),
            write_statistics=False,
            store_schema=False,
        ) as writer,
    ):
        for first, last in _groups(starts, len(total)):
            writer.write_table(total.slice(first, last - first), row_group_size=last - first)
    point("intermediate.rename")
    partial.replace(path)
    return _add_up(total, starts)


def read_totals(path: Path, first: int, rows: int) -> pa.Table:
    """Read ``rows`` rows from row ``first`` on, in columns of SCHEMA."""
    file = pq.ParquetFile(path, pre_buffer=False)
    counts = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    bounds = np.cumsum([0, *counts])
    low, high = int(np.searchsorted(bounds, first, "right")) - 1, int(np.searchsorted(bounds, first + rows, "left"))
    table = file.read_row_groups(list(range(low, high)), use_threads=False)
    return table.slice(first - int(bounds[low]), rows)


def read_all_totals(path: Path) -> pa.Table:
    """Read all rows of a file, in columns of SCHEMA."""
    return pq.ParquetFile(path).read(use_threads=False)


def sum_exactly(values: pa.ChunkedArray) -> int:
    """The exact sum of int64 values, also where the sum passes int64."""
    chunks = [to_numpy(chunk) for chunk in values.chunks]
    return (sum(int((chunk >> 32).sum()) for chunk in chunks) << 32) + sum(
        int((chunk & 0xFFFFFFFF).sum()) for chunk in chunks
    )


def _groups(starts: NDArray[np.int64], rows: int) -> Iterator[tuple[int, int]]:
    """Bounds of row groups of whole regions, whose rows begin at ``starts``."""
    first = 0
    for bound in (*starts[1:].tolist(), rows):
        if bound - first >= _GROUP_ROWS or bound == rows > first:
            yield first, bound
            first = bound


def _add_up(total: pa.Table, starts: NDArray[np.int64]) -> RegionSums:
    if not len(total):
        return {}
    micro, events = column(total, "micro_minutes"), column(total, "event_count")
    high, low, events = (np.add.reduceat(part, starts).tolist() for part in (micro >> 32, micro & 0xFFFFFFFF, events))
    rows = np.diff(np.append(starts, len(total))).tolist()
    codes = column(total, "region")[starts].tolist()
    return {
        code: (count, found, (above << 32) + below)
        for code, count, found, above, below in zip(codes, rows, events, high, low, strict=True)
    }

"""Files of totals, one for each bucket: rows in order of region, so that those of one region can be read alone."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.exchange.row_groups import parquet_file
from pipeline.exchange.row_memory import batch_rows
from pipeline.faults import point
from pipeline.machine import writing
from pipeline.native.arrow import column, text_bounds, to_numpy
from pipeline.staging import at_once, here, staged

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
_PIECE_BYTES = 1 << 23
"""Most bytes of totals that are read at a time, if they lie in several row groups."""
_FOOTER_ROOM = 1 << 16
"""Bytes at the end of a file that are read first, where it lies on object storage: mostly they hold the footer."""
_GROUP_TEXT_BYTES = 1 << 22
"""Most bytes of user_ids in a row group, unless one row has more: a row group is read at once."""


def write_totals(path: Path, total: pa.Table) -> RegionSums:
    """Write ``total`` (columns of SCHEMA, in order of region, in one chunk); returns the sums over what was written.

    The file has its name only when it is whole.
    """
    regions = column(total, "region")
    starts = np.flatnonzero(np.append(True, regions[1:] != regions[:-1])) if len(total) else np.empty(0, np.int64)
    path = staged(path)
    partial = path.with_suffix(".partial")
    numbers = SCHEMA.names[1:]
    with writing(partial), open_writer(partial, total.schema, numbers, mean_bytes(total)) as writer:
        for first, last in _groups(starts, len(total), text_ends(total)):
            writer.write_table(total.slice(first, last - first), row_group_size=last - first)
    point("intermediate.rename")
    partial.replace(path)
    return _add_up(total, starts)


def write_pieces(path: Path, pieces: Iterable[pa.Table]) -> None:
    """Write totals that come in pieces, in order of region; the file has its name only when it is whole."""
    path = staged(path)
    partial = path.with_suffix(".partial")
    with writing(partial):
        waiting: list[pa.Table] = []
        writer: pq.ParquetWriter | None = None
        for piece in chain(pieces, [None]):
            if waiting and (piece is None or sum(table.nbytes for table in waiting) + piece.nbytes > _GROUP_TEXT_BYTES):
                group = pa.concat_tables(waiting).combine_chunks()
                writer = writer or open_writer(partial, group.schema, SCHEMA.names[1:], mean_bytes(group))
                writer.write_table(group, row_group_size=len(group))
                waiting = []
            if piece is not None and len(piece):
                waiting.append(piece)
        (writer or open_writer(partial, SCHEMA, SCHEMA.names[1:], 0)).close()
    point("intermediate.rename")
    partial.replace(path)


def open_writer(path: Path, schema: pa.Schema, numbers: Sequence[str], user_bytes: int) -> pq.ParquetWriter:
    """Open a writer of totals; ``numbers``: names of the columns that are no texts; ``user_bytes``: mean of a user_id.

    Nothing is compressed, because totals are read twice, and compressing them takes longer than writing.
    """
    return pq.ParquetWriter(
        path,
        schema,
        compression="none",
        use_dictionary=False,
        column_encoding=dict.fromkeys(numbers, "DELTA_BINARY_PACKED"),
        write_statistics=False,
        store_schema=False,
        write_batch_size=batch_rows(user_bytes),
    )


def text_ends(total: pa.Table) -> NDArray[np.int64]:
    """The bytes of the user_ids up to each row and with it; the table is in one chunk."""
    bounds = text_bounds(total["user_id"].chunk(0)) if len(total) else np.zeros(1, np.int64)
    ends: NDArray[np.int64] = bounds[1:] - bounds[0]
    return ends


def mean_bytes(total: pa.Table) -> int:
    """Mean bytes of a user_id; the table is in one chunk."""
    return int(text_ends(total)[-1]) // len(total) if len(total) else 0


def read_totals_in_pieces(path: Path, first: int, rows: int) -> Iterator[pa.Table]:
    """Read ``rows`` rows from row ``first`` on, in columns of SCHEMA, in tables of about ``_PIECE_BYTES`` at most."""
    file = pq.ParquetFile(here(path), pre_buffer=False)
    low, high, begin = _groups_of(file.metadata, first, rows)
    while low < high:
        stop, size = low + 1, file.metadata.row_group(low).total_byte_size
        while stop < high and size + file.metadata.row_group(stop).total_byte_size <= _PIECE_BYTES:
            size += file.metadata.row_group(stop).total_byte_size
            stop += 1
        table = file.read_row_groups(list(range(low, stop)), use_threads=False)
        skipped = max(0, first - begin)
        yield table.slice(skipped, min(len(table), first + rows - begin) - skipped)
        begin += len(table)
        low = stop


def read_all_in_pieces(path: Path) -> Iterator[pa.Table]:
    """Read all rows of a file, as ``read_totals_in_pieces`` does."""
    return read_totals_in_pieces(path, 0, pq.read_metadata(here(path)).num_rows)


Wanted = tuple[Path, int, int]
"""Rows of totals: (file, first row, number of rows)."""


class _Located(NamedTuple):
    """Where wanted rows lie: in the row groups from ``low`` to ``high``, the first of which begins with row ``begin``;
    ``size``: bytes of these groups."""

    wanted: Wanted
    metadata: pq.FileMetaData
    low: int
    high: int
    begin: int
    size: int


def read_totals(wanted: Sequence[Wanted], most_bytes: int) -> list[pa.Table] | None:
    """Read rows of several files, in columns of SCHEMA: a table for each. None where the row groups that they are in,
    which the tables keep in memory, have more than ``most_bytes`` bytes.

    On object storage several files are read at once, and of each one the footer and these row groups. Nobody may write
    them again: a process keeps what it knows of an object.
    """
    located = list(at_once(_locate, wanted))
    if sum(found.size for found in located) > most_bytes:
        return None
    return list(at_once(_read_located, located))


def _locate(wanted: Wanted) -> _Located:
    path, first, rows = wanted
    metadata = parquet_file(path, _FOOTER_ROOM).metadata
    low, high, begin = _groups_of(metadata, first, rows)
    size = sum(metadata.row_group(group).total_byte_size for group in range(low, high))
    return _Located(wanted, metadata, low, high, begin, size)


def _read_located(found: _Located) -> pa.Table:
    path, first, rows = found.wanted
    file = parquet_file(path, min(max(found.size, 1), _PIECE_BYTES), found.metadata)
    table = file.read_row_groups(list(range(found.low, found.high)), use_threads=False)
    return table.slice(first - found.begin, rows)


def _groups_of(metadata: pq.FileMetaData, first: int, rows: int) -> tuple[int, int, int]:
    """(First row group, row group behind the last one, first row of the first) of ``rows`` rows from ``first`` on."""
    counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    bounds = np.cumsum([0, *counts])
    low, high = int(np.searchsorted(bounds, first, "right")) - 1, int(np.searchsorted(bounds, first + rows, "left"))
    return low, high, int(bounds[low])


def sum_exactly(values: pa.ChunkedArray) -> int:
    """The exact sum of int64 values, also where the sum passes int64."""
    chunks = [to_numpy(chunk) for chunk in values.chunks]
    return (sum(int((chunk >> 32).sum()) for chunk in chunks) << 32) + sum(
        int((chunk & 0xFFFFFFFF).sum()) for chunk in chunks
    )


def _groups(starts: NDArray[np.int64], rows: int, ends: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Bounds of row groups: of whole regions, whose rows begin at ``starts``, or of parts of one with long texts.

    ``ends``: the bytes of the texts up to each row and with it.
    """
    first = 0
    for bound in (*starts[1:].tolist(), rows):
        begin = int(ends[first - 1]) if first else 0
        if bound > first and int(ends[bound - 1]) - begin > _GROUP_TEXT_BYTES:
            cuts = begin + np.arange(_GROUP_TEXT_BYTES, int(ends[bound - 1]) - begin, _GROUP_TEXT_BYTES)
            inner = np.unique(np.searchsorted(ends[first:bound], cuts, "left") + 1 + first)
            bounds = [first, *inner[inner < bound].tolist(), bound]
            yield from pairwise(bounds)
            first = bound
        elif bound - first >= _GROUP_ROWS or bound == rows > first:
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

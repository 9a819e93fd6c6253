"""Reads the rows of a bucket, or single columns of all buckets, from the file of a split."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.exchange.row_files import (
    PLACE_UNIT,
    ROW_SCHEMA,
    TIMESTAMP_SCHEMA,
    with_places,
)
from pipeline.exchange.row_groups import RowGroups, damage_explained, find_groups, parquet_file
from pipeline.exchange.row_memory import memory_of, table_memory
from pipeline.exchange.split_rows import NO_TIMESTAMP
from pipeline.native.arrow import column, to_arrow
from pipeline.native.pages import Group, decode_groups
from pipeline.staging import at_once, ranges_of

_FILES_TOGETHER = 1024
"""Most files whose rows are read into one table: there may be very many, and what is known of one takes a kilobyte."""
_HEADER_ROOM = 48
"""Most bytes of the header of a page."""
_PIECE_BYTES = 16 * 2**20
"""Most bytes of a split's rows that are read at a time, if they lie in several row groups."""


class _Located(NamedTuple):
    """The row groups of a split in which rows of a bucket are."""

    split: int
    path: Path
    found: RowGroups
    wanted: range


_PLACE = pa.field("place", pa.int64(), nullable=False)
_DTYPES = {field.name: field.type.to_pandas_dtype() for field in (*TIMESTAMP_SCHEMA, _PLACE) if field.name != "user_id"}


def read_rows(
    path: Path, bucket: int, buckets: int, columns: list[str] | None = None, library: Path | None = None
) -> pa.Table | None:
    """Read the rows of one of ``buckets`` buckets of one split; None where it has none. See ``read_buckets``."""
    rows, sizes = read_buckets(path, bucket, 1, buckets, columns, library)
    return rows if sizes else None


def read_buckets(
    path: Path, first: int, count: int, buckets: int, columns: list[str] | None = None, library: Path | None = None
) -> tuple[pa.Table, dict[int, int]]:
    """Read the rows of ``count`` of ``buckets`` buckets of one split, from bucket ``first`` on.

    Returns (rows in order of bucket, in columns of one chunk; number of rows of each bucket that has any). The split
    may have been written with more buckets than ``buckets``, never with fewer. ``columns``: None for all but content.
    """
    pieces = list(read_pieces(path, first, count, buckets, columns, library))
    if not pieces:
        return pa.table({}), {}
    sizes: dict[int, int] = {}
    for bucket, rows in chain.from_iterable(found.items() for _, found in pieces):
        sizes[bucket] = sizes.get(bucket, 0) + rows
    return pa.concat_tables([rows for rows, _ in pieces]).combine_chunks(), sizes


def read_pieces(
    path: Path, first: int, count: int, buckets: int, columns: list[str] | None = None, library: Path | None = None
) -> Iterator[tuple[pa.Table, dict[int, int]]]:
    """Read as ``read_buckets`` does, but in pieces of about ``_PIECE_BYTES`` at most; mostly there is one."""
    found = find_groups(path)
    if wanted := _wanted(found, first, count, buckets):
        yield from _read(path, found, wanted, buckets, columns or _all_but_content(found), library)


def _wanted(found: RowGroups, first: int, count: int, buckets: int) -> range:
    """The row groups of ``count`` of ``buckets`` buckets from bucket ``first`` on."""
    step = found.buckets // buckets  # each bucket is so many written ones
    return range(*np.searchsorted(found.used, [first * step, (first + count) * step]).tolist())


def _all_but_content(found: RowGroups) -> list[str]:
    return [name for name in _schema(found).names if name != "content"]


def _read(
    path: Path, found: RowGroups, wanted: range, buckets: int, names: Sequence[str], library: Path | None
) -> Iterator[tuple[pa.Table, dict[int, int]]]:
    """Yields what ``read_pieces`` does of the row groups ``wanted``."""
    numbers = (found.used[wanted.start : wanted.stop] // (found.buckets // buckets)).tolist()
    if found.groups is not None and library:
        yield from _read_compiled(library, path, found, wanted, numbers, names)
    else:
        yield from _read_with_pyarrow(path, wanted, numbers, names)


def read_together(
    files: Iterable[tuple[int, Path]], bucket: int, buckets: int, most_bytes: int, library: Path | None = None
) -> list[pa.Table] | None:
    """Read the rows of one of ``buckets`` buckets of several splits; None where they take more than ``most_bytes``.

    ``files``: (number of a split, its file). The tables have the columns of the files, but content, and ``place``
    instead of offset. They are in order of the files; mostly there is one.
    """
    waiting = iter(files)
    tables: list[pa.Table] = []
    memory = 0
    while some := list(islice(waiting, _FILES_TOGETHER)):
        read = _read_some(some, bucket, buckets, most_bytes - memory, library)
        if read is None:
            return None
        tables += read
        memory += sum(map(memory_of, read))
    return tables


def _read_some(
    files: Sequence[tuple[int, Path]], bucket: int, buckets: int, most_bytes: int, library: Path | None
) -> list[pa.Table] | None:
    """``read_together`` for so few files that it does not matter what is known of each."""
    located = []
    for (split, path), found in zip(files, at_once(find_groups, [path for _, path in files]), strict=True):
        if wanted := _wanted(found, bucket, 1, buckets):
            located.append(_Located(split, path, found, wanted))
    alike = len({file.found.timestamps for file in located}) == 1
    if library and alike and all(file.found.groups is not None for file in located):
        return _read_into_one(library, located, most_bytes)
    tables: list[pa.Table] = []
    memory = 0
    for split, path, found, wanted in located:
        for rows, _ in _read(path, found, wanted, buckets, _all_but_content(found), library):
            tables.append(with_places(rows, split))
            memory += memory_of(rows)
            if memory > most_bytes:
                return None
    return tables


def _read_into_one(library: Path, located: Sequence[_Located], most_bytes: int) -> list[pa.Table] | None:
    """``read_together`` for what compiled code wrote."""
    groups = [file.found.at(file.wanted) for file in located]
    rows = [sum(group.rows for group in of_file) for of_file in groups]
    text_bytes = sum(group.text_bytes for of_file in groups for group in of_file)
    if table_memory(sum(rows), text_bytes) > most_bytes:
        return None
    names = ["place" if name == "offset" else name for name in _all_but_content(located[0].found)]
    arrays, row = _arrays(names, sum(rows), text_bytes), 0
    read = at_once(_read_located, list(zip((file.path for file in located), groups, strict=True)))
    for (split, path, found, _), of_file, count, data in zip(located, groups, rows, read, strict=True):
        with damage_explained(path):
            decode_groups(
                library, data, of_file, arrays, timestamps=found.timestamps, row=row, first_place=split * PLACE_UNIT
            )
        row += count
    return [_table(arrays, names, _schema(located[0].found))]


def _read_located(wanted: tuple[Path, Sequence[Group]]) -> bytes:
    path, groups = wanted
    with damage_explained(path), _open(path) as stream:
        return _read_groups(stream, groups)


def read_columns(path: Path, names: Sequence[str], library: Path | None = None) -> list[NDArray[np.uint64]]:
    """Read whole columns of 64-bit numbers without nulls, in the order of the file's rows.

    Where compiled code wrote them, id_hi comes first in each row group, and content last unless there are timestamps:
    these are read without the others.
    """
    found = find_groups(path)
    if library and found.groups is not None and set(names) <= _EDGES.keys() and not found.timestamps:
        groups = found.at(range(len(found.used)))
        with damage_explained(path), _open(path) as stream:
            return [_EDGES[name](library, stream, groups) for name in names]
    tables = [rows for rows, _ in read_pieces(path, 0, 1, 1, list(names), library)]
    return [np.concatenate([column(table, name) for table in tables]).view(np.uint64) for name in names]


def _first_columns(library: Path, file: io.RawIOBase, groups: Sequence[Group]) -> NDArray[np.uint64]:
    ids = np.empty(sum(group.rows for group in groups), np.uint64)
    first = 0
    for group in groups:
        part = ids[first : first + group.rows]
        data = _read_at(file, group.start, min(group.stop - group.start, _HEADER_ROOM + part.nbytes))
        decode_groups(library, data, [group], {"id_hi": part}, timestamps=False)
        first += group.rows
    return ids


def _last_columns(_: Path, file: io.RawIOBase, groups: Sequence[Group]) -> NDArray[np.uint64]:
    return np.frombuffer(
        b"".join(_read_at(file, group.stop - 8 * group.rows, 8 * group.rows) for group in groups), np.uint64
    )


_EDGES = {"id_hi": _first_columns, "content": _last_columns}


def _read_compiled(
    library: Path, path: Path, found: RowGroups, wanted: range, numbers: Sequence[int], names: Sequence[str]
) -> Iterator[tuple[pa.Table, dict[int, int]]]:
    groups = found.at(wanted)
    with _open(path) as stream:
        for first, stop in _pieces([group.stop - group.start for group in groups]):
            piece = groups[first:stop]
            arrays = _arrays(names, sum(group.rows for group in piece), sum(group.text_bytes for group in piece))
            with damage_explained(path):
                data = _read_groups(stream, piece)
                decode_groups(library, data, piece, arrays, timestamps=found.timestamps)
            yield (
                _table(arrays, names, _schema(found)),
                _sizes(numbers[first:stop], [group.rows for group in piece]),
            )


def _open(path: Path) -> io.RawIOBase:
    return ranges_of(path) or path.open("rb", buffering=0)


def _read_groups(file: io.RawIOBase, groups: Sequence[Group]) -> bytes:
    """The bytes of row groups that follow each other."""
    return _read_at(file, groups[0].start, groups[-1].stop - groups[0].start)


def _read_at(file: io.RawIOBase, start: int, size: int) -> bytes:
    """``size`` bytes from byte ``start`` on; a file system may give fewer at a time. Raises ValueError where the file
    ends before."""
    file.seek(start)
    data = file.read(size) or b""
    while len(data) < size:
        more = file.read(size - len(data)) or b""
        if not more:
            raise ValueError("the file is shorter than its metadata says")
        data += more
    return data


def _read_with_pyarrow(
    path: Path, wanted: range, numbers: Sequence[int], names: Sequence[str]
) -> Iterator[tuple[pa.Table, dict[int, int]]]:
    file = parquet_file(path)
    metadata = [file.metadata.row_group(group) for group in wanted]
    for first, stop in _pieces([group.total_byte_size for group in metadata]):
        with damage_explained(path):
            rows = file.read_row_groups(list(wanted[first:stop]), columns=list(names), use_threads=False)
            rows = rows.combine_chunks()
        yield rows, _sizes(numbers[first:stop], [group.num_rows for group in metadata[first:stop]])


def _pieces(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Bounds of pieces of about ``_PIECE_BYTES`` at most; ``sizes``: bytes of each row group."""
    first = filled = 0
    for stop, size in enumerate(sizes):
        if stop > first and filled + size > _PIECE_BYTES:
            yield first, stop
            first, filled = stop, 0
        filled += size
    yield first, len(sizes)


def _sizes(numbers: Sequence[int], rows: Sequence[int]) -> dict[int, int]:
    sizes: dict[int, int] = {}
    for number, count in zip(numbers, rows, strict=True):
        sizes[number] = sizes.get(number, 0) + count
    return sizes


def _arrays(names: Sequence[str], rows: int, text_bytes: int) -> dict[str, NDArray[Any]]:
    """Room for the columns ``names``, as ``native.pages.decode_groups`` takes it."""
    arrays: dict[str, NDArray[Any]] = {}
    for name in names:
        if name == "user_id":
            arrays["bounds"], arrays["texts"] = np.empty(rows + 1, np.int64), np.empty(text_bytes, np.uint8)
            arrays["bounds"][0] = 0
        else:
            arrays[name] = np.empty(rows, _DTYPES[name])
    return arrays


def _table(arrays: Mapping[str, NDArray[Any]], names: Sequence[str], schema: pa.Schema) -> pa.Table:
    fields = [_PLACE if name == "place" else schema.field(name) for name in names]
    return pa.Table.from_arrays([_arrow(arrays, name) for name in names], schema=pa.schema(fields))


def _arrow(arrays: Mapping[str, NDArray[Any]], name: str) -> pa.Array:
    if name == "user_id":
        buffers = pa.py_buffer(arrays["bounds"]), pa.py_buffer(arrays["texts"])
        return pa.LargeStringArray.from_buffers(len(arrays["bounds"]) - 1, *buffers)
    values = arrays[name]
    return to_arrow(values, values == NO_TIMESTAMP if name == "timestamp" else None)


def _schema(found: RowGroups) -> pa.Schema:
    return TIMESTAMP_SCHEMA if found.timestamps else ROW_SCHEMA

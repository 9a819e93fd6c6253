"""The rows of a bucket, read from the files of its splits.

Every bucket is read from every split, whose footer tells of all buckets: to decode it whole each time takes longer than
the rows do where inputs are large. So only what it tells of the wanted row groups is decoded (docs/decisions/018).
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.exchange.row_files import BUCKETS_KEY
from pipeline.native.library import load

_MAGIC = b"PAR1"


_STRUCTS, _LONG_LIST = 12, 15
"""Of Thrift's compact protocol: a list's elements, and what stands for its length where that takes bytes of its own."""


_MOST_KEPT = 1024
"""Footers of so many splits are kept, each of 6 kB with 128 buckets and 23 kB with 1,024."""


class _Footer(NamedTuple):
    """``used``: the buckets of the row groups, ascending, of ``buckets``. The footer lies in the file from ``begin`` on
    and is ``head``, the list of row groups and ``tail``; ``positions`` as of ``find_row_groups``."""

    buckets: int
    used: NDArray[np.uint16]
    begin: int
    head: bytes
    tail: bytes
    positions: NDArray[np.int64]


_kept: dict[Path, tuple[int, _Footer]] = {}


def read_rows(
    path: Path, bucket: int, buckets: int, columns: list[str] | None = None, library: Path | None = None
) -> pa.Table | None:
    """The rows of one of ``buckets`` buckets of one split, in columns of one chunk; None where it has none.

    The split may have been written with more buckets than ``buckets``, never with fewer.
    """
    rows, sizes = read_buckets(path, bucket, 1, buckets, columns, library)
    return rows if sizes else None


def read_buckets(
    path: Path, first: int, count: int, buckets: int, columns: list[str] | None = None, library: Path | None = None
) -> tuple[pa.Table, dict[int, int]]:
    """The same for ``count`` buckets, from ``first`` on: (their rows, how many of each bucket that has any)."""
    found = _open(path, first, buckets, count, library)
    if not found:
        return pa.table({}), {}
    file, groups, numbers = found
    sizes: dict[int, int] = {}
    for group, number in zip(groups, numbers, strict=True):
        sizes[number] = sizes.get(number, 0) + file.metadata.row_group(group).num_rows
    columns = columns or [name for name in file.schema_arrow.names if name != "content"]
    return file.read_row_groups(groups, columns=columns, use_threads=False).combine_chunks(), sizes


def _open(
    path: Path, bucket: int, buckets: int, count: int, library: Path | None
) -> tuple[pq.ParquetFile, list[int], list[int]] | None:
    """A rows file, those of its row groups that belong to ``count`` buckets of ``buckets``, from ``bucket`` on, and the
    bucket of each; None where it has none. It may have been written with more buckets, never with fewer."""
    footer = _read(path, library) if library else None
    if not footer:
        file = pq.ParquetFile(path, pre_buffer=False)
        written, used = _buckets_of(file)
        first, stop = _wanted(used, written // buckets, bucket, count)
        numbers = (used[first:stop] // (written // buckets)).tolist()
        return (file, list(range(first, stop)), numbers) if numbers else None
    first, stop = _wanted(footer.used, footer.buckets // buckets, bucket, count)
    if first == stop:
        return None
    with path.open("rb") as stream:
        stream.seek(footer.begin + int(footer.positions[first + 1]))
        told = stream.read(int(footer.positions[stop + 1] - footer.positions[first + 1]))
    metadata = pq.read_metadata(pa.BufferReader(_compose(footer, stop - first, told)))
    numbers = (footer.used[first:stop] // (footer.buckets // buckets)).tolist()
    return pq.ParquetFile(path, metadata=metadata, pre_buffer=False), list(range(stop - first)), numbers


def _wanted(used: NDArray[np.uint16], step: int, bucket: int, count: int) -> tuple[int, int]:
    """The row groups of ``count`` buckets from ``bucket`` on, each of ``step`` of those that were written."""
    first, stop = np.searchsorted(used, [bucket * step, (bucket + count) * step])
    return int(first), int(stop)


def _read(path: Path, library: Path) -> _Footer | None:
    """A file's footer, kept for its other buckets while there is room; None where it cannot be taken apart."""
    changed = path.stat().st_mtime_ns  # tells a file from one that took its place
    before, footer = _kept.get(path, (0, None))
    if footer and before == changed:
        return footer
    with path.open("rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        stream.seek(end - 8)
        begin = end - 8 - int.from_bytes(stream.read(4), "little")
        stream.seek(begin)
        whole = stream.read(end - 8 - begin)
    file = pq.ParquetFile(path, pre_buffer=False)
    positions = find_row_groups(library, whole, file.num_row_groups)
    if positions is None:
        return None
    buckets, used = _buckets_of(file)
    footer = _Footer(buckets, used, begin, whole[: positions[0]], whole[positions[-1] :], positions)
    if path in _kept or len(_kept) < _MOST_KEPT:
        _kept[path] = changed, footer
    return footer


def _buckets_of(file: pq.ParquetFile) -> tuple[int, NDArray[np.uint16]]:
    # Not by ``file.metadata.schema``, which refers back: a megabyte that stays until garbage is collected.
    buckets, used = json.loads(file.schema_arrow.metadata[BUCKETS_KEY])
    return buckets, np.array(used, np.uint16)


def _compose(footer: _Footer, groups: int, told: bytes) -> bytes:
    """A Parquet file without data, of so many row groups, of which ``told`` is what the footer tells."""
    size = (
        bytes([groups << 4 | _STRUCTS])
        if groups < _LONG_LIST
        else bytes([_LONG_LIST << 4 | _STRUCTS, *_varint(groups)])
    )
    whole = b"".join((footer.head, size, told, footer.tail))
    return b"".join((_MAGIC, whole, len(whole).to_bytes(4, "little"), _MAGIC))


def _varint(number: int) -> Iterator[int]:
    while number > 0x7F:
        yield number & 0x7F | 0x80
        number >>= 7
    yield number


def find_row_groups(library: Path, footer: bytes, groups: int) -> NDArray[np.int64] | None:
    """Positions in ``footer``: of the header of its list of ``groups`` row groups, of the first byte of each, and of
    the end of the last. None where it is not such a footer."""
    positions = np.empty(groups + 2, np.int64)
    found = load(library).find_row_groups(footer, len(footer), positions.ctypes.data, len(positions))
    return positions if found == groups else None

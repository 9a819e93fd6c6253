"""Reads the rows of a bucket from the files of its splits.

Every bucket is read from every split, and a file's footer describes all its buckets. Where inputs are large, decoding
the whole footer for each bucket takes longer than reading the rows. So only the entries of the wanted row groups are
decoded (docs/decisions/018).
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
"""Thrift's compact protocol: the type of a list's elements, and the length that says that the true one follows."""
_MOST_KEPT = 1024
"""Most footers that a process keeps: 6 kB each with 128 buckets, 23 kB with 1,024."""

_PIECE_BYTES = 16 * 2**20
"""Most bytes of a split's rows that are read at a time, if they lie in several row groups."""


class _Footer(NamedTuple):
    """A footer whose list of row groups is not decoded.

    ===========  ==================================================================================
    ``buckets``  number of buckets that the file was written with
    ``used``     the bucket of each row group, ascending
    ``begin``    first byte of the footer in the file
    ``head``     the footer's bytes before its list of row groups
    ``tail``     its bytes behind that list
    ``offsets``  as ``find_row_groups`` returns them
    ===========  ==================================================================================
    """

    buckets: int
    used: NDArray[np.uint16]
    begin: int
    head: bytes
    tail: bytes
    offsets: NDArray[np.int64]


_kept: dict[Path, tuple[int, _Footer]] = {}
"""Path → (time of the file's last change in ns, its footer)."""


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
    found = _open_buckets(path, first, buckets, count, library)
    if not found:
        return pa.table({}), {}
    file, groups, numbers = found
    sizes: dict[int, int] = {}
    for group, number in zip(groups, numbers, strict=True):
        sizes[number] = sizes.get(number, 0) + file.metadata.row_group(group).num_rows
    columns = columns or [name for name in file.schema_arrow.names if name != "content"]
    return file.read_row_groups(groups, columns=columns, use_threads=False).combine_chunks(), sizes


def read_pieces(
    path: Path, first: int, count: int, buckets: int, columns: list[str] | None = None, library: Path | None = None
) -> Iterator[tuple[pa.Table, dict[int, int]]]:
    """Read as ``read_buckets`` does, but in pieces of about ``_PIECE_BYTES`` at most; mostly there is one."""
    found = _open_buckets(path, first, buckets, count, library)
    if not found:
        return
    file, groups, numbers = found
    columns = columns or [name for name in file.schema_arrow.names if name != "content"]
    piece: list[int] = []
    sizes: dict[int, int] = {}
    filled = 0
    for group, number in zip(groups, numbers, strict=True):
        metadata = file.metadata.row_group(group)
        if piece and filled + metadata.total_byte_size > _PIECE_BYTES:
            yield file.read_row_groups(piece, columns=columns, use_threads=False).combine_chunks(), sizes
            piece, sizes, filled = [], {}, 0
        piece.append(group)
        sizes[number] = sizes.get(number, 0) + metadata.num_rows
        filled += metadata.total_byte_size
    yield file.read_row_groups(piece, columns=columns, use_threads=False).combine_chunks(), sizes


def _open_buckets(
    path: Path, bucket: int, buckets: int, count: int, library: Path | None
) -> tuple[pq.ParquetFile, list[int], list[int]] | None:
    """(The file, numbers of the row groups of the wanted buckets, the bucket of each); None where it has none."""
    footer = _read_footer(path, library) if library else None
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
        stream.seek(footer.begin + int(footer.offsets[first + 1]))
        entries = stream.read(int(footer.offsets[stop + 1] - footer.offsets[first + 1]))
    metadata = pq.read_metadata(pa.BufferReader(_compose(footer, stop - first, entries)))
    numbers = (footer.used[first:stop] // (footer.buckets // buckets)).tolist()
    return pq.ParquetFile(path, metadata=metadata, pre_buffer=False), list(range(stop - first)), numbers


def _wanted(used: NDArray[np.uint16], step: int, bucket: int, count: int) -> tuple[int, int]:
    """Bounds of the row groups of ``count`` buckets from ``bucket`` on, each of which is ``step`` written ones."""
    first, stop = np.searchsorted(used, [bucket * step, (bucket + count) * step])
    return int(first), int(stop)


def _read_footer(path: Path, library: Path) -> _Footer | None:
    """A file's footer, kept for its other buckets while there is room; None where its form is not the usual one."""
    changed = path.stat().st_mtime_ns  # tells a file from one that replaced it
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
    offsets = find_row_groups(library, whole, file.num_row_groups)
    if offsets is None:
        return None
    buckets, used = _buckets_of(file)
    footer = _Footer(buckets, used, begin, whole[: offsets[0]], whole[offsets[-1] :], offsets)
    if path in _kept or len(_kept) < _MOST_KEPT:
        _kept[path] = changed, footer
    return footer


def _buckets_of(file: pq.ParquetFile) -> tuple[int, NDArray[np.uint16]]:
    # Not by ``file.metadata.schema``, which refers back: a megabyte that stays until garbage is collected.
    buckets, used = json.loads(file.schema_arrow.metadata[BUCKETS_KEY])
    return buckets, np.array(used, np.uint16)


def _compose(footer: _Footer, groups: int, entries: bytes) -> bytes:
    """A Parquet file without data, whose footer lists ``groups`` row groups: ``entries``, taken from ``footer``."""
    size = (
        bytes([groups << 4 | _STRUCTS])
        if groups < _LONG_LIST
        else bytes([_LONG_LIST << 4 | _STRUCTS, *_varint(groups)])
    )
    whole = b"".join((footer.head, size, entries, footer.tail))
    return b"".join((_MAGIC, whole, len(whole).to_bytes(4, "little"), _MAGIC))


def _varint(number: int) -> Iterator[int]:
    while number > 0x7F:
        yield number & 0x7F | 0x80
        number >>= 7
    yield number


def find_row_groups(library: Path, footer: bytes, groups: int) -> NDArray[np.int64] | None:
    """Find the list of ``groups`` row groups in a Parquet footer, by compiled code.

    Returns ``groups`` + 2 offsets in ``footer``: of the list's header, of the first byte of each row group, and of the
    end of the last one. None where ``footer`` is not a footer with such a list.
    """
    offsets = np.empty(groups + 2, np.int64)
    found = load(library).find_row_groups(footer, len(footer), offsets.ctypes.data, len(offsets))
    return offsets if found == groups else None

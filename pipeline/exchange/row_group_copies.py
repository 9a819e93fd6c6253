"""Puts a Parquet file together from row groups of others, which are copied as bytes and never decoded.

A file that grows a little costs what is new, and a copy of the rest at the speed of the disk: on file systems that
share blocks between files, less than that.
"""

import errno
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pipeline.exchange.parquet_footer import MAGIC, Field, Struct, encode, read_footer

_SCHEMA, _ROWS, _GROUPS, _KEY_VALUES = 2, 3, 4, 5
"""Fields of ``FileMetaData``."""
_COLUMNS, _GROUP_ROWS, _GROUP_OFFSET, _ORDINAL = 1, 3, 5, 7
"""Fields of ``RowGroup``."""
_FILE_OFFSET, _META, _OFFSET_INDEX, _COLUMN_INDEX = 2, 3, 4, 6
"""Fields of ``ColumnChunk``: the indexes are not copied."""
_COMPRESSED, _DATA_PAGE, _INDEX_PAGE, _DICTIONARY_PAGE, _BLOOM, _BLOOM_LENGTH = 7, 9, 10, 11, 14, 15
"""Fields of ``ColumnMetaData``."""
_BINARY, _I64, _LIST, _STRUCT = 8, 6, 9, 12
_PIECE = 8 * 2**20
_CANNOT_COPY = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF}
"""Why the system does not copy between two files by itself."""


@dataclass(frozen=True)
class GroupsOf:
    """Row groups of the file ``path``, by number; None: all of them."""

    path: Path
    groups: tuple[int, ...] | None = None


def join_row_groups(stream: BinaryIO, parts: Iterable[GroupsOf], key_values: Mapping[bytes, bytes]) -> int:
    """Write a Parquet file with the row groups of ``parts``, at least one part, into the new file ``stream``.

    All files have the same schema. ``key_values`` are added to the metadata of the first one. Returns the number of
    rows. Raises ValueError where schemas differ or a file is damaged.
    """
    stream.write(MAGIC)
    stream.flush()
    at = len(MAGIC)
    whole: Struct = {}
    copied: list[Struct] = []
    for part in parts:
        footer = read_footer(part.path)
        whole = whole or footer
        if footer[_SCHEMA] != whole[_SCHEMA]:
            raise ValueError(f"{str(part.path)!r} has other columns than the files that it is joined with")
        groups = footer[_GROUPS].value[1]
        with part.path.open("rb") as source:
            for group in groups if part.groups is None else [groups[number] for number in part.groups]:
                begin, stop = _bytes_of(group)
                _copy(source, stream, begin, stop - begin, at)
                copied.append(_moved(group, at - begin, len(copied)))
                at += stop - begin
    whole[_ROWS] = Field(_I64, sum(group[_GROUP_ROWS].value for group in copied))
    whole[_GROUPS] = Field(_LIST, (_STRUCT, copied))
    whole[_KEY_VALUES] = Field(_LIST, (_STRUCT, _with_values(whole, key_values)))
    encoded = encode(whole)
    stream.seek(at)
    stream.write(encoded + len(encoded).to_bytes(4, "little") + MAGIC)
    return int(whole[_ROWS].value)


def key_values_of(footer: Struct) -> dict[bytes, bytes]:
    """The key-value metadata of a file."""
    found = footer.get(_KEY_VALUES, Field(_LIST, (_STRUCT, [])))
    return {pair[1].value: pair[2].value for pair in found.value[1] if 2 in pair}


def rows_of_groups(footer: Struct) -> list[int]:
    """The number of rows of each row group."""
    return [group[_GROUP_ROWS].value for group in footer[_GROUPS].value[1]]


def bytes_of_groups(footer: Struct) -> list[int]:
    """The bytes on disk of each row group."""
    return [stop - begin for begin, stop in map(_bytes_of, footer[_GROUPS].value[1])]


def same_columns(first: Struct, second: Struct) -> bool:
    """Whether two files have the same schema, to the byte."""
    return first[_SCHEMA] == second[_SCHEMA]


def _bytes_of(group: Struct) -> tuple[int, int]:
    """Bounds of the bytes of a row group, whose column chunks follow each other."""
    begins, stops = [], []
    for chunk in group[_COLUMNS].value[1]:
        meta = chunk[_META].value
        begin = min(meta[page].value for page in (_DATA_PAGE, _DICTIONARY_PAGE) if page in meta)
        begins.append(begin)
        stops.append(begin + meta[_COMPRESSED].value)
    return min(begins), max(stops)


def _moved(group: Struct, by: int, ordinal: int) -> Struct:
    """The entry of a row group whose bytes lie ``by`` bytes further on, as row group ``ordinal`` of its file."""
    chunks = []
    for chunk in group[_COLUMNS].value[1]:
        meta = {number: field for number, field in chunk[_META].value.items() if number not in (_BLOOM, _BLOOM_LENGTH)}
        for page in (_DATA_PAGE, _INDEX_PAGE, _DICTIONARY_PAGE):
            if page in meta:
                meta[page] = Field(meta[page].type, meta[page].value + by)
        kept = {number: field for number, field in chunk.items() if number <= _META}
        if kept.get(_FILE_OFFSET, Field(_I64, 0)).value:  # 0 in files of today's writers
            kept[_FILE_OFFSET] = Field(_I64, kept[_FILE_OFFSET].value + by)
        chunks.append(kept | {_META: Field(_STRUCT, meta)})
    moved = group | {_COLUMNS: Field(_LIST, (_STRUCT, chunks))}
    if _GROUP_OFFSET in moved:
        moved[_GROUP_OFFSET] = Field(_I64, moved[_GROUP_OFFSET].value + by)
    if _ORDINAL in moved and ordinal < 2**15:
        moved[_ORDINAL] = Field(moved[_ORDINAL].type, ordinal)
    else:
        moved.pop(_ORDINAL, None)
    return moved


def _with_values(footer: Struct, more: Mapping[bytes, bytes]) -> list[Struct]:
    values = key_values_of(footer) | dict(more)
    return [{1: Field(_BINARY, key), 2: Field(_BINARY, value)} for key, value in values.items()]


def _copy(source: BinaryIO, target: BinaryIO, begin: int, count: int, at: int) -> None:
    """Copy ``count`` bytes from byte ``begin`` of ``source`` to byte ``at`` of ``target``: by the system if it can."""
    left = count - _copy_by_system(source.fileno(), target.fileno(), begin, count, at)
    source.seek(begin + count - left)
    target.seek(at + count - left)
    while left:
        piece = source.read(min(left, _PIECE))
        if not piece:
            raise ValueError("a Parquet file ends before its last row group")
        target.write(piece)
        left -= len(piece)
    target.flush()


_copy_range: Callable[..., int] | None = getattr(os, "copy_file_range", None)
"""Copies between files within the system; only Linux has it."""


def _copy_by_system(source: int, target: int, begin: int, count: int, at: int) -> int:
    """Returns how many bytes were copied. Raises OSError where the disk is full or fails."""
    done = 0
    while _copy_range and done < count:
        try:
            copied = _copy_range(source, target, count - done, begin + done, at + done)
        except OSError as fault:
            if fault.errno in _CANNOT_COPY:
                break
            raise
        if not copied:
            break
        done += copied
    return done

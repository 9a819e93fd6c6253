"""Puts a Parquet file together from another one and some columns that changed: the others are copied as bytes.

The file that comes out is the one that Polars would write of all columns, to the byte: column by column its pages and
its metadata, then the indexes of all columns, then the footer, which has the places of all of these.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pipeline.exchange.parquet_footer import MAGIC, Field, Struct, decode, encode

_GROUPS, _KEY_VALUES, _WRITER = 4, 5, 6
"""Fields of ``FileMetaData`` (see ``parquet_footer``)."""
_COLUMNS, _BYTES, _GROUP_ROWS, _GROUP_OFFSET, _COMPRESSED_BYTES = 1, 2, 3, 5, 6
"""Fields of ``RowGroup``."""
_FILE_OFFSET, _META, _OFFSET_INDEX, _OFFSET_BYTES, _COLUMN_INDEX, _COLUMN_BYTES = 2, 3, 4, 5, 6, 7
"""Fields of ``ColumnChunk``."""
_PATH, _UNCOMPRESSED, _COMPRESSED, _DATA_PAGE, _DICTIONARY_PAGE = 3, 6, 7, 9, 11
"""Fields of ``ColumnMetaData``."""
_LOCATIONS, _LOCATION = 1, 1
"""Fields of ``OffsetIndex`` and ``PageLocation``."""
_KNOWN = {_FILE_OFFSET, _META, _OFFSET_INDEX, _OFFSET_BYTES, _COLUMN_INDEX, _COLUMN_BYTES}
_END = 8
"""Bytes behind a footer: its length and the magic."""


class _Moved(NamedTuple):
    """A column of a row group of the file ``data``, which lies ``by`` bytes further on in the new one."""

    data: bytes
    chunk: Struct
    by: int


def key_values_in(data: bytes) -> dict[bytes, bytes]:
    """The key-value metadata of a file."""
    return {pair[1].value: pair[2].value for pair in _footer(data)[_KEY_VALUES].value[1]}


def replace_columns(before: bytes, changed: bytes, key_values: Mapping[bytes, bytes]) -> bytes | None:
    """The file ``before`` with those columns that the file ``changed`` has, in the same rows, and with ``key_values``
    in place of its own of these keys.

    None: the files were not both written as this module knows it, such as by another version of Polars.
    """
    old, new = _footer(before), _footer(changed)
    if old[_WRITER] != new[_WRITER] or _rows(old) != _rows(new):
        return None
    out, groups, moved = bytearray(MAGIC), list[Struct](), list[list[_Moved]]()
    for group, other in zip(_groups(old), _groups(new), strict=True):
        begin = len(out)
        instead = {_path(chunk): chunk for chunk in _chunks(other)}
        columns = [
            _copy_pages(out, changed, instead[_path(chunk)])
            if _path(chunk) in instead
            else _copy_pages(out, before, chunk)
            for chunk in _chunks(group)
        ]
        moved.append([column for column in columns if column])
        if len(moved[-1]) < len(columns):
            return None
        groups.append(_with_chunks(group, moved[-1], begin))
    _copy_indexes(out, list(zip(groups, moved, strict=True)))
    for pair in old[_KEY_VALUES].value[1]:
        pair[2] = Field(pair[2].type, key_values.get(pair[1].value, pair[2].value))
    kind, _ = old[_GROUPS].value
    footer = encode(old | {_GROUPS: Field(old[_GROUPS].type, (kind, groups))})
    return bytes(out + footer + len(footer).to_bytes(4, "little") + MAGIC)


def _footer(data: bytes) -> Struct:
    length = int.from_bytes(data[-_END:-4], "little")
    return decode(data[-_END - length : -_END])


def _groups(footer: Struct) -> list[Struct]:
    found: list[Struct] = footer[_GROUPS].value[1]
    return found


def _rows(footer: Struct) -> list[int]:
    return [group[_GROUP_ROWS].value for group in _groups(footer)]


def _chunks(group: Struct) -> list[Struct]:
    found: list[Struct] = group[_COLUMNS].value[1]
    return found


def _path(chunk: Struct) -> tuple[bytes, ...]:
    return tuple(chunk[_META].value[_PATH].value[1])


def _copy_pages(out: bytearray, data: bytes, chunk: Struct) -> _Moved | None:
    """Append the pages of a column, and its metadata with their places. None: they do not lie as Polars writes them."""
    meta: Struct = chunk[_META].value
    begin = min(meta[page].value for page in (_DATA_PAGE, _DICTIONARY_PAGE) if page in meta)
    end, by = begin + meta[_COMPRESSED].value, len(out) - begin
    if set(chunk) != _KNOWN or not data.startswith(encode(meta), end):
        return None
    places = {page: _plus(meta[page], by) for page in (_DATA_PAGE, _DICTIONARY_PAGE) if page in meta}
    out += data[begin:end] + encode(meta | places)
    copied = chunk | {_META: Field(chunk[_META].type, meta | places), _FILE_OFFSET: _plus(chunk[_FILE_OFFSET], by)}
    return _Moved(data, copied, by)


def _plus(field: Field, more: int) -> Field:
    return Field(field.type, field.value + more)


def _with_chunks(group: Struct, columns: list[_Moved], begin: int) -> Struct:
    """The entry of a row group that begins at ``begin`` with other columns, whose sizes it adds up."""
    kind, old = group[_COLUMNS].value
    chunks = [column.chunk for column in columns]
    more = {
        size: _plus(group[size], _sum(chunks, of) - _sum(old, of))
        for size, of in ((_BYTES, _UNCOMPRESSED), (_COMPRESSED_BYTES, _COMPRESSED))
    }
    moved = {_GROUP_OFFSET: Field(group[_GROUP_OFFSET].type, begin)}
    return group | more | moved | {_COLUMNS: Field(group[_COLUMNS].type, (kind, chunks))}


def _sum(chunks: list[Struct], field: int) -> int:
    return sum(chunk[_META].value[field].value for chunk in chunks)


def _copy_indexes(out: bytearray, groups: list[tuple[Struct, list[_Moved]]]) -> None:
    """Append the indexes of all columns, with the places of their pages."""

    def columns() -> Iterator[tuple[Struct, _Moved]]:
        for group, moved in groups:
            yield from zip(_chunks(group), moved, strict=True)

    for chunk, column in columns():
        begin, size = chunk[_COLUMN_INDEX].value, chunk[_COLUMN_BYTES].value
        chunk[_COLUMN_INDEX] = Field(chunk[_COLUMN_INDEX].type, len(out))
        out += column.data[begin : begin + size]
    for chunk, column in columns():
        begin, size = chunk[_OFFSET_INDEX].value, chunk[_OFFSET_BYTES].value
        index = decode(column.data[begin : begin + size])
        for location in index[_LOCATIONS].value[1]:
            location[_LOCATION] = _plus(location[_LOCATION], column.by)
        encoded = encode(index)
        chunk[_OFFSET_INDEX] = Field(chunk[_OFFSET_INDEX].type, len(out))
        chunk[_OFFSET_BYTES] = Field(chunk[_OFFSET_BYTES].type, len(encoded))
        out += encoded
